"""What all models of ``fastnn.linear`` are as estimators, by scikit-learn's conventions; it is not needed for that."""

from __future__ import annotations

import inspect
import warnings
from typing import Any, ClassVar, Self

import numpy as np

from fastnn import _names
from fastnn.linear.rows import (
    ArrayRows,
    Rows,
    column_of,
    dataset_rows,
    is_dataset,
    matrix_of,
    of_sklearn,
    weights_of,
)
from fastnn.typing import Array, DoubleArray


class NotFittedError(ValueError, AttributeError):
    """A model is asked for something before ``fit``."""


class Estimator:
    """The base of the models of ``fastnn.linear``: parameters, the rows they are given, names of features."""

    estimator_type: ClassVar[str] = "regressor"
    reads_sparse: ClassVar[bool] = True
    positive_targets: ClassVar[bool] = False
    n_features_in_: int
    feature_names_in_: Array

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor, by name."""
        return {name: getattr(self, name) for name in sorted(self._parameter_names())}

    def set_params(self, **params: Any) -> Self:
        """Set arguments of the constructor. ValueError for an unknown one."""
        known = self._parameter_names()
        for name, value in params.items():
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {type(self).__name__}{_names.hint(name, known)}; it has "
                    f"{', '.join(known)}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        given = inspect.signature(type(self).__init__).parameters
        changed = [
            f"{name}={value!r}"
            for name in self._parameter_names()
            if repr(value := getattr(self, name)) != repr(given[name].default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        is_classifier = self.estimator_type == "classifier"
        return Tags(
            estimator_type=self.estimator_type,
            target_tags=TargetTags(required=True, positive_only=self.positive_targets),
            transformer_tags=None,
            classifier_tags=ClassifierTags() if is_classifier else None,
            regressor_tags=None if is_classifier else RegressorTags(),
            input_tags=InputTags(sparse=self.reads_sparse),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return "n_features_in_" in vars(self)

    def _check_fitted(self) -> None:
        """NotFittedError before ``fit``: scikit-learn's, where the program has imported it."""
        if not self.__sklearn_is_fitted__():
            raise of_sklearn("NotFittedError", NotFittedError)(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with appropriate arguments before "
                "using this estimator."
            )

    # Rows.

    def _given(self, x: Any, y: Any, sample_weight: Any) -> Rows:
        """The rows of a fit, of which the names and the number of the features are kept."""
        rows: Rows
        if is_dataset(x):
            if y is not None or sample_weight is not None:
                raise ValueError("a dataset brings its own targets and weights; leave y and sample_weight out")
            rows = dataset_rows(x)
            self._target = next(iter(getattr(rows.source, "targets_named", ())), "y")
        else:
            self._target = str(name) if isinstance(name := getattr(y, "name", None), str) and name else "y"
            matrix, names = matrix_of(x, self.reads_sparse)
            column = column_of(y, matrix.shape[0], type(self).__name__)
            weight = weights_of(sample_weight, matrix.shape[0])
            rows = ArrayRows(matrix, names, self._targets(column), weight)
        self._keep_names(rows)
        return rows

    def _keep_names(self, rows: Rows) -> None:
        self.n_features_in_ = rows.features
        vars(self).pop("feature_names_in_", None)
        if rows.names:
            self.feature_names_in_ = np.array(rows.names, object)

    def _targets(self, y: Array) -> DoubleArray:
        """The targets of a fit as float64."""
        return as_float64(y)

    @property
    def _names(self) -> tuple[str, ...]:
        """The names of the features: those of the columns, or x1, x2, ..."""
        own = vars(self).get("feature_names_in_")
        return tuple(own) if own is not None else tuple(f"x{i + 1}" for i in range(self.n_features_in_))

    def _rows(self, x: Any) -> Rows:
        """The rows that a prediction is asked for, of as many features as the model knows, by the same names."""
        self._check_fitted()
        if is_dataset(x):
            rows: Rows = dataset_rows(x, targets=False)
        else:
            matrix, names = matrix_of(x, self.reads_sparse)
            rows = ArrayRows(matrix, names)
        _check_names(type(self).__name__, rows.names, vars(self).get("feature_names_in_"))
        if rows.features != self.n_features_in_:
            raise ValueError(
                f"X has {rows.features} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input"
            )
        return rows

    def score(self, x: Any, y: Any = None, sample_weight: Any = None) -> float:
        """How good predictions are: R2 of a regressor, the share of right classes of a classifier.

        x, y, sample_weight: as for ``fit``; a dataset brings its own targets.
        """
        self._check_fitted()
        weight: DoubleArray | None
        if is_dataset(x):
            y, weight = labels_of(x)
        else:
            count = matrix_of(x, self.reads_sparse)[0].shape[0]
            y, weight = column_of(y, count, type(self).__name__), weights_of(sample_weight, count)
        return self._score(y, self.predict(x), weight)

    def _score(self, y: Array, predicted: Array, weight: DoubleArray | None) -> float:
        y = as_float64(y)
        total = ((y - np.average(y, weights=weight)) ** 2 * (1 if weight is None else weight)).sum()
        residual = ((y - predicted) ** 2 * (1 if weight is None else weight)).sum()
        if total == 0:
            return 1.0 if residual == 0 else 0.0
        return float(1 - residual / total)

    def predict(self, x: Any) -> Array:
        """The prediction for each row, (rows,)."""
        raise NotImplementedError


class Classifier(Estimator):
    """What models of classes have in common."""

    estimator_type = "classifier"
    classes_: Array

    def _targets(self, y: Array) -> DoubleArray:
        self.classes_, codes = classes_of(y)
        return np.asarray(codes, np.float64)

    def _given(self, x: Any, y: Any, sample_weight: Any) -> Rows:
        rows = super()._given(x, y, sample_weight)
        if is_dataset(x):
            labels: set[float] = set()
            for block in rows:
                assert block.y is not None
                labels.update(np.unique(block.y).tolist())
            self.classes_ = classes_of(np.array(sorted(labels)))[0]
            if list(self.classes_) != list(range(len(self.classes_))):
                raise ValueError(
                    f"the classes of a dataset must be 0, 1, 2, ..., and its targets are {sorted(labels)[:10]}; number "
                    "them in the query, with CASE"
                )
        weight = getattr(rows, "weight", None)
        present = len(self.classes_) if weight is None else len(np.unique(rows.y[weight > 0]))  # type: ignore[attr-defined]
        if present < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes, but the data has only one class: "
                f"{self.classes_[0]!r}"
            )
        return rows

    def predict_proba(self, x: Any) -> DoubleArray:
        """The probability of each class, in the order of ``classes_``: (rows, classes)."""
        raise NotImplementedError

    def predict_log_proba(self, x: Any) -> DoubleArray:
        """The logarithm of ``predict_proba``."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(x))

    def predict(self, x: Any) -> Array:
        """The most probable class of each row, (rows,)."""
        places = self.predict_proba(x).argmax(axis=1)
        found: Array = self.classes_[places]
        return found

    def _score(self, y: Array, predicted: Array, weight: DoubleArray | None) -> float:
        return float(np.average(np.asarray(y) == predicted, weights=weight))


def as_float64(y: Array) -> DoubleArray:
    """Targets as float64; ValueError, TypeError for what are no finite numbers."""
    if y.dtype.kind not in "biufO":
        raise ValueError(f"y must hold numbers, got dtype {y.dtype}; of classes make a classifier")
    try:
        column = y.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise type(error)(f"y must hold numbers: {error}; fill or convert what is none first") from None
    bad = ~np.isfinite(column)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        word = "NaN" if np.isnan(column[row]) else "infinity (inf)"
        raise ValueError(f"Input y contains {word} at row {row}; leave rows without a target out")
    return column


def classes_of(y: Array) -> tuple[Array, Array]:
    """(the classes in their order, the number of each label's class). ValueError for what are no labels."""
    if y.dtype.kind == "f":
        if not np.isfinite(y).all():
            word = "NaN" if np.isnan(y).any() else "infinity (inf)"
            raise ValueError(f"Input y contains {word}; leave rows without a label out")
        if not (np.floor(y) == y).all():
            raise ValueError(
                "Unknown label type: continuous. A classifier takes labels, and y holds numbers with a fraction; a "
                "regressor takes those"
            )
    try:
        classes, codes = np.unique(y, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"Unknown label type: the labels in y cannot be sorted ({error}); make texts of them"
        ) from None
    return classes, codes


def labels_of(dataset: Any) -> tuple[Array, DoubleArray | None]:
    """The targets of a dataset, and its weights where it has any."""
    targets: list[Any] = []
    weights: list[Any] = []
    for block in dataset_rows(dataset):
        targets.append(block.y)
        weights.append(block.weight)
    weight = None if weights[0] is None else np.concatenate(weights)
    return np.concatenate(targets), weight


def _check_names(owner: str, came: tuple[str, ...], known: Array | None) -> None:
    """As scikit-learn: an error where names differ, a warning where one side has none."""
    if known is None and came:
        warnings.warn(f"X has feature names, but {owner} was fitted without feature names", UserWarning, stacklevel=5)
    if known is not None and not came:
        warnings.warn(
            f"X does not have valid feature names, but {owner} was fitted with feature names", UserWarning, stacklevel=5
        )
    if known is None or not came or list(known) == list(came):
        return
    message = "The feature names should match those that were passed during fit.\n"
    unseen, missing = sorted(set(came) - set(known)), sorted(set(known) - set(came))
    if unseen:
        message += "Feature names unseen at fit time:\n" + _listed(unseen)
    if missing:
        message += "Feature names seen at fit time, yet now missing:\n" + _listed(missing)
    if not unseen and not missing:
        message += "Feature names must be in the same order as they were in fit.\n"
    raise ValueError(message)


def _listed(names: list[str]) -> str:
    return "".join(f"- {name}\n" for name in names[:5]) + "- ...\n" * (len(names) > 5)
