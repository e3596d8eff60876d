"""``SKLearnClassifier``, ``SKLearnRegressor``, ``SKLearnTransformer``: estimators around any model. Keras's names."""

from __future__ import annotations

from contextlib import nullcontext
from io import BytesIO
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from fastnn import random
from fastnn._checks import shown
from fastnn.callbacks import History
from fastnn.models import Model, clone_model, load_model
from fastnn.typing import Array, FloatArray


class SKLearnBase(BaseEstimator):  # type: ignore[misc]
    """The base of the three.

    model: a function of (X, y), by keyword, and of `model_kwargs`, that gives a compiled model; or a compiled model, of
    which each fit trains a copy with new weights. warm_start: whether a fit goes on with the model of the one before.
    fit_kwargs: arguments of ``Model.fit``; those given to ``fit`` count more. random_state: a number, for weights,
    shuffling and dropout; None draws from fastnn's own source. Attributes: `model_`; `history_`, which
    ``Model.fit`` gave; `n_features_in_`.
    """

    # Rows that weigh are an argument of Model.fit, which metadata routing must be told of.
    __metadata_request__fit: ClassVar[dict[str, Any]] = {"sample_weight": None}
    model_: Any
    history_: Any

    def __init__(
        self,
        model: Any,
        warm_start: bool = False,
        model_kwargs: Any = None,
        fit_kwargs: Any = None,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs
        self.random_state = random_state

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Self:
        """Make the model and train it. kwargs: of ``Model.fit``, such as sample_weight, epochs or callbacks."""
        X, y = self._validated(X, y)
        targets = self._targets(y)
        going_on = self.warm_start and hasattr(self, "model_")
        with nullcontext() if self.random_state is None else random.seeded(self._seed()):
            model = self.model_ if going_on else self._made(X, targets)
            self.history_ = model.fit(X, targets, **{"verbose": 0, **(self.fit_kwargs or {}), **kwargs})
        self.model_ = model
        return self

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _made(self, X: Array, targets: Array) -> Any:
        """The model that is trained. TypeError, ValueError where there is none, or one that is not compiled."""
        if isinstance(self.model, Model):
            model = clone_model(self.model)
        elif callable(self.model):
            model = self.model(X=X, y=targets, **(self.model_kwargs or {}))
        else:
            raise TypeError(
                f"{type(self).__name__}: model must be a function of (X, y) that gives a compiled model, or such a "
                f"model, got {shown(self.model)}"
            )
        if not isinstance(model, Model):
            raise TypeError(f"{type(self).__name__}: the function must give a fastnn model, got {shown(model)}")
        if not model.compiled:
            raise RuntimeError(
                "Given model needs to be compiled, and have a loss and an optimizer: call model.compile(...) before "
                "the function returns it"
            )
        return model

    def _outputs(self, X: Any) -> FloatArray:
        """What the model gives for rows that are checked."""
        check_is_fitted(self, "model_")
        X = validate_data(self, X, reset=False, allow_nd=True, accept_sparse=True)
        found = self.model_.predict(X)
        if not isinstance(found, np.ndarray):  # a list or dict of one: fit takes a model of one output
            (found,) = found.values() if isinstance(found, dict) else found
        return found  # type: ignore[no-any-return]

    def _validated(self, X: Any, y: Any) -> tuple[Array, Array]:
        X, y = validate_data(self, X, y, allow_nd=True, accept_sparse=True, multi_output=True)
        return X, y

    def _targets(self, y: Array) -> Array:
        """What the model is trained on."""
        self._one_axis = y.ndim == 1
        return y.reshape(-1, 1) if y.ndim == 1 else y

    # A pickle holds the model as the bytes of its file, and what each epoch gave.

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        model, history = state.pop("model_", None), state.pop("history_", None)
        if model is not None:
            file = BytesIO()
            model.save(file)
            state["_file"] = file.getvalue()
        if history is not None:
            state["_epochs"] = [list(history.epoch), history.history]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        file, epochs = state.pop("_file", None), state.pop("_epochs", None)
        super().__setstate__(state)
        if file is not None:
            self.model_ = load_model(BytesIO(file))
        if epochs is not None:
            self.history_ = History()
            numbers, columns = epochs
            for place, number in enumerate(numbers):
                logs = {name: values[place] for name, values in columns.items() if place < len(values)}
                self.history_.on_epoch_end(number, logs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        tags.input_tags.sparse = True
        return tags


def ends_in_softmax(est: Any) -> bool:
    """Whether a model, once there is one, gives probabilities. AttributeError that says why there are none."""
    model = vars(est).get("model_")
    if model is not None and model.description.last_activation() != "softmax":
        raise AttributeError("predict_proba: the model's outputs are no probabilities; end it in softmax")
    return True


class SKLearnClassifier(ClassifierMixin, SKLearnBase):  # type: ignore[misc]
    """A classifier around any model that has an output for each class.

    The function is given y as one-hot rows (rows, classes), and the model learns those. For the arguments see
    `SKLearnBase`. Attributes: also `classes_`.
    """

    classes_: Array

    def predict(self, X: Any) -> Array:
        """The class with the largest output."""
        outputs = self._outputs(X)
        found: Array = self.classes_.take(outputs.argmax(axis=1))
        return found

    def decision_function(self, X: Any) -> FloatArray:
        """The model's outputs (rows, classes); of two classes how much larger the second's is (rows,)."""
        outputs = self._outputs(X)
        return outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs

    @available_if(ends_in_softmax)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> FloatArray:
        """The probability of each class; where the model ends in softmax."""
        return self._outputs(X)

    def _validated(self, X: Any, y: Any) -> tuple[Array, Array]:
        X, y = super()._validated(X, y)
        check_classification_targets(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if y.ndim > 1:
            raise ValueError(
                f"Only binary and multiclass target types are supported: y must have one label for each row, got the "
                f"shape {y.shape}"
            )
        return X, y

    def _targets(self, y: Array) -> Array:
        classes, numbers = np.unique(y, return_inverse=True)
        if len(classes) == 1:
            raise ValueError("Classifier can't train when only one class is present.")
        known = self.classes_ if self.warm_start and hasattr(self, "model_") else classes
        if not np.array_equal(classes, known):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {known}, `y` has {classes}"
            )
        self.classes_ = classes
        return np.eye(len(classes), dtype=np.float32)[numbers]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # whatever the model and its epochs are
        return tags


class SKLearnRegressor(RegressorMixin, SKLearnBase):  # type: ignore[misc]
    """A regressor around any model. The function is given y as columns (rows, targets).

    For the arguments see `SKLearnBase`.
    """

    def predict(self, X: Any) -> FloatArray:
        """The model's output for each row: (rows,), or (rows, targets) as y was."""
        found = self._outputs(X)
        return found[:, 0] if self._one_axis and found.ndim == 2 and found.shape[1] == 1 else found

    def _validated(self, X: Any, y: Any) -> tuple[Array, Array]:
        X, y = validate_data(self, X, y, allow_nd=True, accept_sparse=True, multi_output=True, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


class SKLearnTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SKLearnBase):  # type: ignore[misc]
    """A transformer around any model: what the model gives are the new features. Arguments: see `SKLearnBase`."""

    def transform(self, X: Any) -> FloatArray:
        """The model's output for each row."""
        return self._outputs(X)

    @property
    def _n_features_out(self) -> int:
        return int(self.model_.output_shape[-1])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        tags.target_tags.required = True
        return tags
