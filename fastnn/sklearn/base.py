"""What both estimators share: their parameters, the order of a fit, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from operator import is_
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastnn.data import SparseRows
from fastnn.sklearn.checks import FLOATS, NOTHING, PARAMETERS, PLAIN, generator_of, is_plain, looks_at_all
from fastnn.sklearn.fitting import NON_FINITE, FitMixin
from fastnn.sklearn.network import Net, Plan, loss_of, optimizer_of
from fastnn.sklearn.rows import FEW_ROWS, Rows, as_float32, rows_for
from fastnn.typing import FloatArray


class BaseMLP(FitMixin, BaseEstimator):  # type: ignore[misc]
    """What both estimators take, and what a fit leaves.

    Parameters that scikit-learn's have, with its names, defaults and meanings: hidden_layer_sizes: the units of each
    hidden layer. solver: "adam", "sgd" or "lbfgs". alpha: the penalty alpha / 2 * sum w^2 on the kernels, divided by
    the rows of each batch, or their weights. batch_size: rows of a step; "auto" is min(200, rows). learning_rate:
    "constant"; with sgd also "invscaling", learning_rate_init / t^power_t, and "adaptive", a fifth whenever there is no
    gain. max_iter: the most epochs, of lbfgs steps; max_fun: of lbfgs the most evaluations. shuffle: whether each epoch
    has an order of its own. random_state: a number or a RandomState, for first weights, what is held out, orders and
    dropout: what scikit-learn would draw. tol, n_iter_no_change: the fit ends when the loss has fallen by less than tol
    for more than so many epochs. early_stopping, validation_fraction: that share of the rows is held out, their score
    takes the place of the loss, and the weights with the best are kept. warm_start: whether a fit goes on from the
    weights of the one before. verbose: prints each epoch's loss. momentum, nesterovs_momentum: of sgd; beta_1, beta_2,
    epsilon: of adam.

    And more: activation: "identity", "logistic", "tanh", "relu", any of ``fastnn.activations``, a function, or a list
    with one for each hidden layer. solver: any optimizer of ``fastnn.optimizers`` by name, with learning_rate_init, or
    as an object, of which a copy is used as it is. loss: any of ``fastnn.losses``. dropout: the share of each hidden
    layer's units that is left out in training, a number or a list. callbacks: of ``fastnn.callbacks``; the logs have
    val_loss where rows are held out. ``partial_fit`` goes with early_stopping.

    Attributes, as scikit-learn's: coefs_, intercepts_ (float32; the weights themselves, which may be set), loss_,
    best_loss_, loss_curve_, validation_scores_, best_validation_score_, n_iter_, t_, n_layers_, n_outputs_,
    out_activation_, n_features_in_, feature_names_in_. And stopped_: whether the patience of ``partial_fit`` is at its
    end.

    The network computes in float32: what it gives is float32, whatever comes in. Source: scikit-learn 1.9,
    ``sklearn.neural_network``.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = PARAMETERS
    _found_good: ClassVar[list[Any]] = [NOTHING]  # parameters of the last estimator that was looked at
    n_outputs_: int
    _net: Net | None = None  # made of the parameters and the weights when there is use for it; in no pickle
    _kind = ""  # of a classifier's labels
    _optimizer_state: dict[str, Any] | None = None  # of an estimator that was pickled

    @property
    def model_(self) -> Any:
        """The fitted model, a ``fastnn.Sequential``: to save, to look at, to explain."""
        check_is_fitted(self, "coefs_")
        return self._network().model

    @property
    def _optimizer(self) -> Any:
        """The optimizer as it is now, which has its learning rate."""
        if not hasattr(self, "coefs_"):
            raise AttributeError(f"this {type(self).__name__} has no optimizer before it is fitted")
        return self._network().optimizer

    # Fitting.

    def _validate_params(self) -> None:
        """As scikit-learn does it; numbers and texts that were just found good are not looked at again."""
        values, cls = vars(self), type(self)
        given = [values.get(name) for name in self._parameter_constraints]
        if not all(map(is_, given, vars(cls).get("_found_good", [NOTHING]))):  # a subclass may ask for more
            super()._validate_params()
            cls._found_good = given if all(type(value) in PLAIN for value in given) else [NOTHING]

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Self:
        self._validate_params()
        sizes = self._sizes()
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        X, targets = self._validated(X, y, incremental, first)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        with generator_of(self.random_state) as rng:
            self._fit_on(X, targets, weight, sizes, first, incremental, rng)
        if not all(np.isfinite(array).all() for array in (*self.coefs_, *self.intercepts_)):
            raise ValueError(NON_FINITE)
        return self

    def _fit_on(
        self, X: Any, targets: FloatArray, weight: Any, sizes: Any, first: bool, incremental: bool, rng: Any
    ) -> None:
        """A fit on what has been checked."""
        units = (X.shape[1], *sizes, self.n_outputs_)
        if first:
            self._initialize(units, rng)
        if weight is not None and not weight.sum() > 0:
            raise ValueError(
                f"sample_weight must have a sum above 0, got {weight.sum():g}: no row would count; give weights above 0"
            )
        epochs = 1 if incremental else self.max_iter
        x = as_float32(X) if self.early_stopping or looks_at_all(self.solver) else rows_for(X, epochs)
        rows = Rows(x, targets, None if weight is None else weight.astype(np.float32))
        most = FEW_ROWS if looks_at_all(self.solver) else self._most_rows()
        if rows.rows <= most and not (incremental or self.early_stopping):  # one batch
            rows = rows.in_own_order(most)
        rows.weight = self._class_weighted(rows, incremental)
        net = self._prepared(units, rows, rng, incremental)
        if looks_at_all(self.solver):
            self._fit_lbfgs(net, rows)
        else:
            self._fit_stochastic(net, rows, rng, incremental)

    def _checked(self, X: Any, y: Any, reset: bool, **options: Any) -> tuple[Any, Any]:
        """(X, y) as ``validate_data`` gives them, and what that notes of the columns; plain arrays take a short way."""
        known = vars(self)
        if (
            is_plain(X)
            and type(y) is np.ndarray
            and y.shape == X.shape[:1]
            and (y.dtype.kind in "iub" or (y.dtype in FLOATS and np.isfinite(y).all()))
            and (reset or (X.shape[1] == known["n_features_in_"] and "feature_names_in_" not in known))
            and np.isfinite(X).all()
        ):
            if reset:
                self.n_features_in_ = X.shape[1]
                self.__dict__.pop("feature_names_in_", None)
            return X, y
        return validate_data(  # type: ignore[no-any-return]
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=FLOATS, reset=reset, **options
        )

    def _sizes(self) -> list[int]:
        """The units of the hidden layers."""
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if isinstance(sizes, Iterable) else [sizes]
        if any(not isinstance(size, Integral) or size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return [int(size) for size in sizes]

    def _activations(self) -> list[Any]:
        """The activation of each hidden layer; of the last, the first weights of the output layer take account too."""
        layers = len(self._sizes())
        if not isinstance(self.activation, (list, tuple)):
            return [self.activation] * layers
        if len(self.activation) != layers:
            raise ValueError(
                f"activation has {len(self.activation)} entries for {layers} hidden layers; give one for all, or a "
                "list with one for each"
            )
        return list(self.activation)

    def _dropout(self) -> list[float]:
        """The share of each hidden layer's units that is left out in training."""
        layers = len(self._sizes())
        rates = self.dropout if isinstance(self.dropout, (list, tuple)) else [self.dropout] * layers
        if len(rates) != layers or not all(isinstance(rate, Real) and 0 <= float(rate) < 1 for rate in rates):
            raise ValueError(
                f"dropout must be a number of at least 0 and below 1, or a list with one for each of {layers} hidden "
                f"layers, got {self.dropout!r}"
            )
        return [float(rate) for rate in rates]

    def _class_weighted(self, rows: Rows, incremental: bool) -> FloatArray | None:
        """The weights of the rows, those of their classes included."""
        return rows.weight

    def _most_rows(self) -> int:
        """Rows that a batch may have."""
        return 200 if self.batch_size == "auto" else int(self.batch_size)

    def _initialize(self, units: tuple[int, ...], rng: Any) -> None:
        """Attributes of an estimator that begins anew, and its first weights: scikit-learn's draws."""
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(units)
        self.out_activation_: str = self._out_activation()
        self._net = self._optimizer_state = None
        self.coefs_: list[FloatArray] = []
        self.intercepts_: list[FloatArray] = []
        hidden = self._activations()
        for i, activation in enumerate([*hidden, hidden[-1] if hidden else self.activation]):
            bound = np.sqrt((2.0 if activation in ("logistic", "sigmoid") else 6.0) / (units[i] + units[i + 1]))
            self.coefs_.append(rng.uniform(-bound, bound, units[i : i + 2]).astype(np.float32))
            self.intercepts_.append(rng.uniform(-bound, bound, units[i + 1]).astype(np.float32))
        self._best = [array.copy() for array in (*self.coefs_, *self.intercepts_)]
        if not looks_at_all(self.solver):
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            self.validation_scores_: list[float] | None = [] if self.early_stopping else None
            self.best_validation_score_: float | None = -np.inf if self.early_stopping else None
            self.best_loss_: float | None = None if self.early_stopping else np.inf

    # The network.

    def _plan(self, units: tuple[int, ...], rows: float, seed: int) -> Plan:
        name, importance = self._loss(units[-1])
        activations = (*self._activations(), self.out_activation_)
        loss = loss_of(name)
        return Plan(units, activations, tuple(self._dropout()), float(self.alpha), rows, loss, importance, seed)

    def _prepared(self, units: tuple[int, ...], rows: Rows, rng: Any, incremental: bool) -> Net:
        """The network for a fit; for a further step of ``partial_fit`` the one that there is, where it still fits."""
        divisor: float = min(self._most_rows(), rows.rows)
        if looks_at_all(self.solver):
            divisor = rows.rows if rows.weight is None else float(rows.weight.sum(dtype=np.float64))
        plan = self._plan(units, divisor, int(rng.randint(2**31 - 1)) if any(self._dropout()) else 0)
        net, state = self._net, None
        if incremental:
            if net is not None and _same(net.plan, plan) and net.runs_on(self.coefs_, self.intercepts_):
                return net
            state = self._optimizer_state if net is None else net.state()
        net = Net(plan, optimizer_of(self.solver, self))
        if looks_at_all(self.solver):
            net.network.penalty_rows = 0  # all rows are one batch
        self._put_on(net)
        if state is not None:
            net.go_on(state)
        return net

    def _put_on(self, net: Net) -> None:
        """Have a network run on the estimator's weights, which lie there from now on."""
        net.take(self.coefs_, self.intercepts_)
        self.coefs_, self.intercepts_ = list(net.coefs), list(net.intercepts)
        self._net, self._optimizer_state = net, None

    def _network(self) -> Net:
        """The network on the weights in `coefs_` and `intercepts_`, also where a caller has replaced them."""
        net = self._net
        if net is None:
            units = (self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_))
            net = Net(self._plan(units, 1.0, 0), optimizer_of(self.solver, self))
            state = self._optimizer_state
            self._put_on(net)
            if state is not None:
                net.go_on(state)
        elif not net.runs_on(self.coefs_, self.intercepts_):
            self._put_on(net)
        return net

    def _predicted(self, X: Any) -> FloatArray:
        """What the network gives for each row: float32 (rows, outputs)."""
        known = vars(self)
        net = known.get("_net")
        if (
            net is not None
            and is_plain(X)
            and X.shape[1] == known["n_features_in_"]
            and "feature_names_in_" not in known
            and net.runs_on(known["coefs_"], known["intercepts_"])
        ):
            x = X if X.dtype == np.float32 and X.flags.c_contiguous else as_float32(X)
            if np.isfinite(x).all():
                found: FloatArray = net.network.predict(x)
                return found
        check_is_fitted(self, "coefs_")
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False, dtype=FLOATS)
        x = as_float32(X)
        if not np.isfinite(x.data if isinstance(x, SparseRows) else x).all():
            raise ValueError(
                "X has a value too large for float32, in which the network computes (at most 3.4e38); scale the columns"
            )
        return self._network().outputs(x)

    # Pickles.

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        net = state.pop("_net", None)
        if net is not None:
            state["_optimizer_state"] = net.state()
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # What each estimator says for itself.

    def _validated(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, FloatArray]:
        """(rows, targets as the engine takes them); `n_outputs_` is set."""
        raise NotImplementedError

    def _out_activation(self) -> str:
        raise NotImplementedError

    def _loss(self, outputs: int) -> tuple[Any, float]:
        """The loss, and what it counts."""
        raise NotImplementedError

    def _score_of(self, rows: Rows, outputs: FloatArray) -> float:
        """How well outputs go with the targets of rows that were held out."""
        raise NotImplementedError

    def _reported(self, total: float, alone: float) -> float:
        """The loss as scikit-learn reports it, of the mean that was trained on and that without importance."""
        return total


def _same(old: Plan, new: Plan) -> bool:
    """Whether a network of one plan can go on with the other: penalties are divided by each batch's own rows."""
    return old._replace(rows=1.0, seed=0) == new._replace(rows=1.0, seed=0)
