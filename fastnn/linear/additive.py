"""Additive nets: one small network for each feature, whose sum is the prediction."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any, Self

import numpy as np

from fastnn import _names, random
from fastnn._checks import SEEDS, as_number, check_count, shown
from fastnn.callbacks import EarlyStopping, ReduceLROnPlateau
from fastnn.initializers import RandomNormal, RandomUniform
from fastnn.layers import Concatenate, Dense, Input, Normalization, Rescaling
from fastnn.linear.base import signs_of
from fastnn.linear.design import Moments, moments_of
from fastnn.linear.estimator import Classifier, Estimator
from fastnn.linear.rows import ArrayRows, Rows, SourceRows
from fastnn.models import Model
from fastnn.optimizers import Adam
from fastnn.regularizers import L2
from fastnn.typing import Array, DoubleArray


class AdditiveModel(Estimator):
    """The base of both additive nets."""

    reads_sparse = False
    model_: Model
    intercept_: Any
    _terms: Model
    _scale: float

    def __init__(
        self,
        hidden_layer_sizes: Any = (32, 16),
        *,
        monotone: Any = None,
        alpha: float = 1e-4,
        learning_rate_init: float = 0.01,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        validation_fraction: float = 0.15,
        n_iter_no_change: int = 20,
        random_state: int | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.monotone = monotone
        self.alpha = alpha
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state

    def fit(self, x: Any, y: Any = None) -> Self:
        """Fit. x: (rows, features), an array, a data frame or dict of columns, or a dataset such as ``SQLDataset`` that
        has a key.

        y: (rows,); a dataset brings its own. Of arrays some rows, drawn by ``random_state``, are kept for validation,
        of a dataset those that a hash of the key says; the net is that of the epoch with the least loss of theirs.
        """
        share = as_number("validation_fraction", self.validation_fraction)
        if not 0 < share < 1:
            raise ValueError(f"validation_fraction must lie between 0 and 1, got {self.validation_fraction!r}")
        rows = self._given(x, y, None)
        signs = signs_of(self.monotone, self._names)
        moments = moments_of(rows)
        if moments.rows < 2:
            raise ValueError(f"{type(self).__name__} needs at least 2 rows, one of them for validation, got 1 sample")
        seed: Any = self.random_state
        if hasattr(seed, "randint"):  # a RandomState
            seed = int(seed.randint(2**31 - 1))
        with nullcontext() if seed is None else random.seeded(check_count("random_state", seed, 0, SEEDS)):
            self._build(moments, signs)
            self._train(rows, moments.rows, share)
        self._centre(rows, moments.rows)
        return self

    # What each says for itself.

    def _outputs(self) -> tuple[int, str, str]:
        """(units, activation, loss) of the net."""
        raise NotImplementedError

    def _start(self, moments: Moments) -> tuple[float, Any]:
        """(what a term is multiplied with, what the sum begins at)."""
        raise NotImplementedError

    # The net.

    def _build(self, moments: Moments, signs: Array) -> None:
        units, activation, loss = self._outputs()
        if signs.any() and units > 1:
            raise ValueError(f"monotone= is for two classes, and there are {units}; put some together")
        sizes = self.hidden_layer_sizes
        sizes = [check_count("hidden_layer_sizes", size) for size in (sizes if hasattr(sizes, "__len__") else [sizes])]
        features = self.n_features_in_
        variance = moments.products.diagonal()[:-1] / moments.weight
        variance = np.where(moments.constant | (variance == 0), 1.0, variance)
        rows = Input((features,))
        scaled = Normalization(mean=moments.mean[:-1], variance=variance)(rows)
        parts = [
            _term(
                scaled[:, place : place + 1],
                int(signs[place]),
                sizes,
                {"units": units, "name": f"term_{place}"},
                float(self.alpha),
            )
            for place in range(features)
        ]
        side = parts[0] if features == 1 else Concatenate()(parts)
        self._scale, start = self._start(moments)
        if max(self._scale, abs(start)) > 1e37:
            raise ValueError(
                "y holds numbers beyond float32's range of ±3.4e38, in which the nets compute; scale y first"
            )
        total: Any = Dense(units, activation, name="total")
        total.trainable = False  # it adds up: what it begins at is learnt by the terms
        self.model_ = Model(rows, total(side), name="additive")
        self._terms = Model(rows, side)
        total.set_weights(
            [np.tile(np.eye(units, dtype=np.float32) * self._scale, (features, 1)), np.full(units, start)]
        )
        self.model_.description.columns = tuple(vars(self).get("feature_names_in_", ()))
        self.model_.compile(Adam(self.learning_rate_init), loss)

    def _train(self, rows: Rows, count: int, share: float) -> None:
        x, y, validation = self._split(rows, count, share)
        patience = check_count("n_iter_no_change", self.n_iter_no_change)
        best = EarlyStopping(patience=patience, restore_best_weights=True)
        slower = ReduceLROnPlateau(factor=0.5, patience=max(1, patience // 4))
        size: Any = min(512, max(16, count // 64)) if self.batch_size == "auto" else self.batch_size
        history = self.model_.fit(
            x,
            y,
            batch_size=size,
            epochs=check_count("max_iter", self.max_iter),
            verbose=0,
            callbacks=[best, slower],
            validation_data=validation,
        )
        self.n_iter_ = len(history.history["loss"])
        self.history_ = history.history

    def _split(self, rows: Rows, count: int, share: float) -> tuple[Any, Any, Any]:
        """(x and y that `fit` of the net is given, what it is measured on)."""
        if isinstance(rows, ArrayRows):
            order = random.generator().permutation(count)
            held = min(count - 1, max(1, round(count * share)))
            x32, y32 = np.asarray(rows.x, np.float32), np.asarray(rows.y, np.float32)
            return x32[order[held:]], y32[order[held:]], (x32[order[:held]], y32[order[:held]])
        assert isinstance(rows, SourceRows)
        try:
            kept, held_out = rows.source.split(share)
        except ValueError as error:
            raise ValueError(
                f"{type(self).__name__} keeps rows of a dataset apart, by which the fit is ended: {error}"
            ) from None
        return kept, None, held_out

    def _centre(self, rows: Rows, count: int) -> None:
        """Give each term the mean 0 over the rows, and what it had to the bias."""
        features, units = self.n_features_in_, self._outputs()[0]
        sums = np.zeros(features * units)
        for block in rows:
            sums += self._terms.predict(block.x).sum(axis=0, dtype=np.float64)
        means = (sums / count).reshape(features, units)
        total = self.model_.get_layer("total")
        kernel, bias = total.get_weights()
        exact = bias.astype(np.float64) + self._scale * means.sum(axis=0)
        total.set_weights([kernel, exact.astype(np.float32)])
        for place, mean in enumerate(means):
            layer = self.model_.get_layer(f"term_{place}")
            weights = layer.get_weights()
            layer.set_weights([*weights[:-1], (weights[-1].astype(np.float64) - mean).astype(np.float32)])
        self.intercept_ = float(exact[0]) if units == 1 else exact

    def contributions(self, x: Any) -> DoubleArray:
        """What each feature adds to the sum in each row: (rows, features), with classes beyond two (rows, features,
        classes). With ``intercept_`` they make the prediction, of a classifier the logarithm of the odds.
        """
        rows = self._rows(x)
        units = self._outputs()[0]
        parts = [self._terms.predict(block.x).astype(np.float64) for block in rows]
        found = np.concatenate(parts) * self._scale
        return found if units == 1 else found.reshape(len(found), -1, units)

    def shape_function(self, feature: str | int, grid: Any) -> DoubleArray:
        """What a feature adds to the sum at the values of a grid: (values,), with classes beyond two (values, classes).

        feature: its name or place. Over the rows of the fit the mean is 0.
        """
        self._check_fitted()
        names = self._names
        if isinstance(feature, str) and feature in names:
            place = names.index(feature)
        elif isinstance(feature, (int, np.integer)) and -len(names) <= feature < len(names):
            place = int(feature)
        else:
            raise ValueError(f"there is no feature {shown(feature)}{_names.hint(feature, names)}")
        values = np.asarray(grid, np.float64)
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise ValueError(f"grid must be a row of finite numbers, got an array of shape {values.shape}")
        rows = np.zeros((len(values), len(names)), np.float32)
        rows[:, place] = values
        units = self._outputs()[0]
        found = self._terms.predict(rows)[:, place * units : (place + 1) * units].astype(np.float64) * self._scale
        return np.asarray(found[:, 0] if units == 1 else found)

    def _net(self, x: Any) -> DoubleArray:
        found = [self.model_.predict(block.x).astype(np.float64) for block in self._rows(x)]
        return np.concatenate(found)


class AdditiveRegressor(AdditiveModel):
    """A regression by a sum of curves, one for each feature: as flexible as a net along each, and as readable as a sum.

        model = AdditiveRegressor(random_state=0).fit(frame, price)
        model.shape_function("carat", np.linspace(0.2, 3, 50))

    hidden_layer_sizes: of each feature's net. monotone: {"carat": 1, "age": -1}, features along which the prediction
    must not fall, or not rise: it cannot, wherever, since the weights of their nets are not negative and their
    activations rise. alpha: a penalty on squares of weights. learning_rate_init: of Adam, halved where the loss of the
    validation rows stands still. batch_size: rows of a step, "auto" for a 64th of them, 16 to 512. max_iter: the most
    epochs. validation_fraction: the share of rows by which the fit is ended, after n_iter_no_change epochs without
    gain. random_state: a whole number, for the same net each time.

    After ``fit``: ``model_``, a ``fastnn.Model``; ``intercept_``, ``history_``, ``n_iter_``, ``n_features_in_``,
    ``feature_names_in_`` where columns have names. Columns are standardised in the net. Sources: Agarwal et al. 2021
    (one net for each feature), Runje and Shankaranarayana 2023 (rising nets).
    """

    def _outputs(self) -> tuple[int, str, str]:
        return 1, "linear", "mean_squared_error"

    def _start(self, moments: Moments) -> tuple[float, Any]:
        return math.sqrt(moments.products[-1, -1] / moments.weight) or 1.0, moments.mean[-1]

    def predict(self, x: Any) -> DoubleArray:
        """The prediction for each row, (rows,)."""
        return self._net(x)[:, 0]


class AdditiveClassifier(Classifier, AdditiveModel):
    """A classification by a sum of curves, one for each feature, of two classes or more.

    Arguments and attributes: as ``AdditiveRegressor``, and ``classes_``. The sum is the logarithm of the odds, of more
    than two classes a score for each.
    """

    def _outputs(self) -> tuple[int, str, str]:
        count = len(self.classes_)
        if count == 2:
            return 1, "sigmoid", "binary_crossentropy"
        return count, "softmax", "sparse_categorical_crossentropy"

    def _start(self, moments: Moments) -> tuple[float, Any]:
        share = moments.mean[-1]
        return 1.0, math.log(share / (1 - share)) if len(self.classes_) == 2 else 0.0

    def predict_proba(self, x: Any) -> DoubleArray:
        """The probability of each class, in the order of ``classes_``: (rows, classes)."""
        found = self._net(x)
        return np.concatenate([1 - found, found], axis=1) if found.shape[1] == 1 else found

    def decision_function(self, x: Any) -> DoubleArray:
        """The sum: the logarithm of the odds, (rows,), of two classes; a score for each, (rows, classes)."""
        total: DoubleArray = self.contributions(x).sum(axis=1) + self.intercept_
        return total


def _term(column: Any, sign: int, sizes: list[int], last: dict[str, Any], alpha: float) -> Any:
    """One feature's net: (rows, 1) -> (rows, units). last: the arguments of its last layer."""
    options: dict[str, Any] = {"kernel_regularizer": L2(alpha) if alpha else None}
    if not sign:
        for size in sizes:
            column = Dense(size, "silu", **options)(column)
        return Dense(**last, **options)(column)
    # Sums with weights that are not negative, of functions that rise, rise: half of them bend up, half bend down. To
    # the last bit: relu rounds nothing, and rounded products and sums rise too.
    column = column if sign > 0 else _turned(column)
    options |= {"kernel_constraint": "non_neg"}
    width = 1
    for size in sizes:
        half = max(1, size // 2)
        begin: dict[str, Any] = {
            "kernel_initializer": RandomUniform(0, 2 / width),
            "bias_initializer": RandomNormal(0, 0.5),
        }
        up = Dense(half, "relu", **begin, **options)(column)
        down = Dense(half, "relu", **begin, **options)(_turned(column))
        column, width = Concatenate()([up, _turned(down)]), 2 * half
    return Dense(**last, kernel_initializer=RandomUniform(0, 2 / width), **options)(column)


def _turned(tensor: Any) -> Any:
    return Rescaling(-1.0)(tensor)
