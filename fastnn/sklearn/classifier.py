"""``MLPClassifier``: scikit-learn's, on the engine."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target

from fastnn.losses import as_loss
from fastnn.sklearn import labels
from fastnn.sklearn.base import BaseMLP
from fastnn.sklearn.checks import takes_passes
from fastnn.sklearn.rows import Rows
from fastnn.typing import Array, FloatArray


class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """A classifier of dense layers, in the place of ``sklearn.neural_network.MLPClassifier``.

    It ends in softmax, and of two classes or several labels in a row in the logistic function; the loss is the
    cross-entropy. For parameters and attributes see `BaseMLP`. class_weight: a dict of label -> weight, "balanced",
    which makes all classes weigh the same, or for several labels a list of dicts; in ``partial_fit`` classes are
    balanced by all rows that were seen. Attribute: also classes_.
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        loss: Any = "log_loss",
        dropout: Any = 0.0,
        class_weight: Any = None,
        callbacks: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.loss = loss
        self.dropout = dropout
        self.class_weight = class_weight
        self.callbacks = callbacks

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit.

        X: (rows, features), an array, a frame or a sparse matrix. y: a label for each row, of any type that can be
        sorted; or (rows, labels) of 0 and 1. sample_weight: (rows,); a row that weighs 0 is as one that is not there.
        """
        return self._fit(X, y, sample_weight, False)

    @available_if(takes_passes)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """One pass over these rows, from the weights as they are.

        classes: all labels that there will be; with the first call. With ``early_stopping`` each call holds out its
        share of the rows and patience is counted across calls: once it is at its end ``stopped_`` is True, the best
        weights are restored, and further calls change nothing.
        """
        if _check_partial_fit_first_call(self, classes):
            several = type_of_target(y).startswith("multilabel")
            self._kind = "multilabel" if several else labels.kind_of(self.classes_)[0]
        return self._fit(X, y, sample_weight, True)

    def predict(self, X: Any) -> Any:
        """The label of each row; of several labels in a row a 0 or 1 for each."""
        found = labels.decoded(self._predicted(X), self._kind, self.classes_)
        return csr_matrix(found) if self._kind == "multilabel" and self._sparse_labels else found

    def predict_proba(self, X: Any) -> FloatArray:
        """The probability of each class, in the order of ``classes_``: float32 (rows, classes)."""
        found = self._predicted(X)
        return found if found.shape[1] > 1 else np.concatenate([1 - found, found], axis=1)

    def predict_log_proba(self, X: Any) -> FloatArray:
        """The logarithms of ``predict_proba``."""
        found = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(found, out=found)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    # What a classifier says for itself.

    classes_: Array
    _sparse_labels = False

    def _validated(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, FloatArray]:
        X, y = self._checked(X, y, reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._kind, self.classes_ = labels.kind_of(y)
        else:
            self._check_classes(labels.classes_in(y))
        self._sparse_labels = hasattr(y, "tocsr")
        targets = labels.encoded(y, self._kind, self.classes_)
        self.n_outputs_ = len(self.classes_) if self._kind == "multiclass" else targets.shape[1]
        return X, targets if self.loss == "log_loss" else self._as_loss_takes(targets)

    def _as_loss_takes(self, targets: FloatArray) -> FloatArray:
        """Targets for a loss that the user has chosen."""
        loss = as_loss(self.loss)
        if loss.logits:
            raise ValueError(
                f"loss {loss.name!r} takes the output as logits, but a classifier's network gives probabilities; leave "
                "out from_logits=True"
            )
        if self._kind == "multiclass" and loss.targets(self.n_outputs_) > 1:
            return labels.one_hot(targets, self.n_outputs_)
        return targets

    def _check_classes(self, classes: Array) -> None:
        """ValueError where rows to go on with have labels that the ones before had not."""
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _class_weighted(self, rows: Rows, incremental: bool) -> FloatArray | None:
        given = self.class_weight
        if given is None:
            return rows.weight
        if self._kind == "multilabel":
            by_class = compute_sample_weight(given, rows.y)
        else:
            numbers = rows.y[:, 0].astype(np.intp) if rows.y.shape[1] == 1 else rows.y.argmax(axis=1)
            by_class = self._weights_of_classes(given, numbers, rows.weight, incremental)[numbers]
        return np.asarray(by_class if rows.weight is None else by_class * rows.weight, np.float32)

    def _weights_of_classes(self, given: Any, numbers: Array, weight: Any, incremental: bool) -> Array:
        """A weight for each of the classes. Balanced, they are as all rows that were seen say, in all calls."""
        classes = self.classes_
        if isinstance(given, str):
            seen = np.bincount(numbers, weight, minlength=len(classes))
            before = getattr(self, "_seen", None) if incremental else None
            self._seen = seen if before is None else before + seen
            here = self._seen > 0
            return np.where(here, self._seen.sum() / (here.sum() * np.where(here, self._seen, 1)), 1)
        known = {label: place for place, label in enumerate(classes.tolist())}
        unknown = [label for label in given if label not in known]
        if unknown:
            raise ValueError(f"class_weight has {unknown}, but y has the classes {list(known)}; name those")
        weights = np.ones(len(classes))
        for label, value in given.items():
            weights[known[label]] = value
        return weights

    def _out_activation(self) -> str:
        return "softmax" if self._kind == "multiclass" else "logistic"

    def _loss(self, outputs: int) -> tuple[Any, float]:
        if self.loss != "log_loss":
            return self.loss, 1.0
        if self._kind == "multiclass":
            return "sparse_categorical_crossentropy", 1.0
        return "binary_crossentropy", float(outputs)  # the sum over labels, whose mean the engine has

    def _score_of(self, rows: Rows, outputs: FloatArray) -> float:
        """The accuracy, as scikit-learn's MLP has it: of several labels in a row all must be right."""
        if not np.isfinite(outputs).all():
            return float("nan")
        if self._kind == "multiclass":
            wanted = rows.y[:, 0] if rows.y.shape[1] == 1 else rows.y.argmax(axis=1)
            hits = outputs.argmax(axis=1) == wanted
        else:
            hits = ((outputs > 0.5) == (rows.y > 0.5)).all(axis=1)
        return float(np.average(hits, weights=rows.weight))
