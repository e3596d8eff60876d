"""``MLPRegressor``: scikit-learn's, on the engine."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if

from fastnn.losses import Poisson
from fastnn.sklearn.base import BaseMLP
from fastnn.sklearn.checks import takes_passes
from fastnn.sklearn.rows import Rows, as_float32
from fastnn.typing import FloatArray


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """A regressor of dense layers, in the place of ``sklearn.neural_network.MLPRegressor``.

    loss: "squared_error", half of the mean square; "poisson", the deviance of counts, for which the output is an
    exponential; or any other of ``fastnn.losses``. For parameters and attributes see `BaseMLP`.
    """

    def __init__(
        self,
        loss: Any = "squared_error",
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
        dropout: Any = 0.0,
        callbacks: Any = None,
    ) -> None:
        self.loss = loss
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
        self.dropout = dropout
        self.callbacks = callbacks

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit.

        X: (rows, features), an array, a frame or a sparse matrix. y: (rows,), or (rows, targets). sample_weight:
        (rows,); a row that weighs 0 is as one that is not there.
        """
        return self._fit(X, y, sample_weight, False)

    @available_if(takes_passes)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """One pass over these rows, from the weights as they are.

        With ``early_stopping`` each call holds out its share of the rows and patience is counted across calls: once it
        is at its end ``stopped_`` is True, the best weights are restored, and further calls change nothing.
        """
        return self._fit(X, y, sample_weight, True)

    def predict(self, X: Any) -> FloatArray:
        """The value for each row: float32 (rows,), or (rows, targets)."""
        found = self._predicted(X)
        return found.ravel() if found.shape[1] == 1 else found

    # What a regressor says for itself.

    _kind = "numbers"

    def _validated(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, FloatArray]:
        X, y = self._checked(X, y, reset, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        targets = as_float32(y if y.ndim == 2 else y.reshape(-1, 1))
        if not np.isfinite(targets).all():
            raise ValueError("y has a value too large for float32, in which the network computes; scale it")
        if self._counts and (targets < 0).any():
            raise ValueError(f"loss 'poisson' takes y of at least 0, got {targets.min():g}; choose another loss")
        if not reset and targets.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has {targets.shape[1]} column(s), but the estimator was fitted on {self.n_outputs_}; fit it anew"
            )
        self.n_outputs_ = targets.shape[1]
        # The loss that scikit-learn reports has a constant in it: what the best prediction of all would have.
        logs = np.log(targets, out=np.zeros_like(targets), where=targets > 0) if self._counts else None
        self._constant = 0.0 if logs is None else float((targets * logs - targets).mean(axis=0, dtype=float).sum())
        return X, targets

    @property
    def _counts(self) -> bool:
        """Whether the loss is Poisson's, and the output an exponential."""
        return isinstance(self.loss, Poisson) or (isinstance(self.loss, str) and self.loss == "poisson")

    def _out_activation(self) -> str:
        return "exp" if self._counts else "identity"

    def _loss(self, outputs: int) -> tuple[Any, float]:
        if self.loss == "squared_error":
            return "mean_squared_error", outputs / 2  # half the sum over targets: scikit-learn's gradient
        if self.loss == "poisson":
            return "poisson", float(outputs)
        return self.loss, 1.0

    def _reported(self, total: float, alone: float) -> float:
        if self.loss == "squared_error" and self.n_outputs_ > 1:  # half the mean over targets
            return total - (self.n_outputs_ - 1) / 2 * alone
        return total + self._constant if self.loss == "poisson" else total

    def _score_of(self, rows: Rows, outputs: FloatArray) -> float:
        """R^2, the mean over targets, as ``sklearn.metrics.r2_score`` has it."""
        if not np.isfinite(outputs).all():
            return float("nan")
        y, weight = rows.y.astype(float), np.ones(rows.rows) if rows.weight is None else rows.weight.astype(float)
        mean = np.average(y, axis=0, weights=weight)
        wrong, spread = weight @ (y - outputs) ** 2, weight @ (y - mean) ** 2
        scores = np.where(wrong == 0, 1.0, 0.0)  # where nothing can be explained
        np.divide(wrong, spread, out=scores, where=spread != 0)
        return float(np.where(spread != 0, 1 - scores, scores).mean())
