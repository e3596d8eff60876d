"""Every public function that takes an array: numbers in any container give what they are, and nothing else gives any.

A table of functions by the argument that is an array, and a table of what may be given as one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fastnn import activations, constraints, initializers, kernels, losses, metrics, optimizers, regularizers
from fastnn.data import ArraySource, PagedSource
from fastnn.layers import CategoryEncoding, Dense, Embedding, Input, Layer, Normalization, Rescaling
from fastnn.models import Sequential

X = np.array([[0.25, 1.0], [0.5, 0.0], [1.0, 0.75]])  # exact in every float, and from 0 to 1
ONE_HOT = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
LABELS = np.array([1.0, 0.0, 1.0])
Call = Callable[[Any], Any]


def model_of() -> Sequential:
    model = Sequential([Input((2,)), Dense(2, kernel_initializer="ones")])
    model.compile(optimizers.SGD(0.125), "mse", metrics=["mae"])
    return model


def fitted(*given: Any, **named: Any) -> list[np.ndarray]:
    model = model_of()
    model.fit(*given, shuffle=False, verbose=0, **named)
    return model.get_weights()


def stepped(*given: Any, **named: Any) -> list[np.ndarray]:
    model = model_of()
    model.train_on_batch(*given, **named)
    return model.get_weights()


def weights_set(kernel: Any) -> list[np.ndarray]:
    model = model_of()
    model.set_weights([kernel, np.zeros(2)])
    return model.get_weights()


def layer_weights_set(kernel: Any) -> list[np.ndarray]:
    model = model_of()
    model.layers[0].set_weights([kernel, np.zeros(2)])
    return model.get_weights()


def adapted(data: Any) -> list[np.ndarray]:
    layer = Normalization()
    layer.adapt(data)
    return [np.asarray(layer(Input((2,))).node.layer._adapted)]


def after(layer: Layer, x: Any = X) -> Any:
    return Sequential([Input((2,)), layer]).predict(np.asarray(x, np.float32))


def updated(metric: Any, *given: Any) -> Any:
    metric.update_state(*given)
    return metric.result()


class Half(Layer):
    """Gives what it is made with."""

    def __init__(self, given: Any) -> None:
        super().__init__()
        self.given = given

    def output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def forward(self, x: Any, weights: Any, training: Any) -> Any:
        return self.given

    def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
        return d, []


# Functions of a matrix like X, and those of one number a row like LABELS.
MATRICES: dict[str, Call] = {
    "ArraySource x": lambda x: ArraySource(x).x,
    "ArraySource y": lambda y: ArraySource(X, y).y,
    "ArraySource sample_weight": lambda w: ArraySource(X, X, w).weight,
    "PagedSource y": lambda y: PagedSource(X, y).y,
    "predict": lambda x: model_of().predict(x),
    "predict verbose": lambda x: model_of().predict(x, steps=1),
    "predict_on_batch": lambda x: model_of().predict_on_batch(x),
    "call": lambda x: model_of()(x),
    "fit x": lambda x: fitted(x, X),
    "fit y": lambda y: fitted(X, y),
    "fit in a list": lambda x: fitted([x], X),
    "fit in a batch": lambda x: fitted(iter([(x, X)])),
    "fit validation": lambda x: fitted(X, X, validation_data=(x, X)),
    "evaluate x": lambda x: model_of().evaluate(x, X, verbose=0),
    "evaluate y": lambda y: model_of().evaluate(X, y, verbose=0),
    "train_on_batch x": lambda x: stepped(x, X),
    "train_on_batch y": lambda y: stepped(X, y),
    "test_on_batch x": lambda x: model_of().test_on_batch(x, X),
    "test_on_batch y": lambda y: model_of().test_on_batch(X, y),
    "Normalization.adapt": adapted,
    "a layer's forward": lambda a: Sequential([Input((2,)), Half(a)]).predict(X),
    "mse y_true": lambda y: losses.MeanSquaredError()(y, X),
    "mse y_pred": lambda p: losses.MeanSquaredError()(X, p),
    "mse function": lambda y: losses.mean_squared_error(y, X),
    "cosine y_pred": lambda p: losses.CosineSimilarity()(X, p),
    "crossentropy y_pred": lambda p: losses.CategoricalCrossentropy(from_logits=True)(ONE_HOT, p),
    "sparse crossentropy y_pred": lambda p: losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, p),
    "dice y_pred": lambda p: losses.Dice()(ONE_HOT, p),
    "a loss of one's own y": lambda y: losses.Custom(lambda a, b: ((a - b) ** 2).mean(axis=-1))(y, X),
    "a loss of one's own p": lambda p: losses.Custom(lambda a, b: ((a - b) ** 2).mean(axis=-1))(X, p),
    "an activation of one's own": lambda x: activations.Custom(lambda z: z * 2)(x),
    "what an activation gives": lambda x: activations.Custom(lambda z: x)(X),
    "relu": lambda x: activations.relu(x),
    "relu with a field": lambda x: activations.relu(x, max_value=0.5),
    "softmax": lambda x: activations.softmax(x),
    "softmax along 0": lambda x: activations.softmax(x, axis=0),
    "a kernel": lambda x: kernels.tanh(x),
    "matmul a": lambda x: kernels.matmul(x, X.T),
    "matmul b": lambda x: kernels.matmul(X.T, x),
    "NonNeg": lambda w: constraints.NonNeg()(w),
    "UnitNorm": lambda w: constraints.UnitNorm()(w),
    "L2": lambda w: regularizers.L2(0.5)(w),
    "OrthogonalRegularizer": lambda w: regularizers.OrthogonalRegularizer(0.5)(w),
    "MeanSquaredError y_true": lambda y: updated(metrics.MeanSquaredError(), y, X),
    "MeanSquaredError y_pred": lambda p: updated(metrics.MeanSquaredError(), X, p),
    "CategoricalAccuracy y_pred": lambda p: updated(metrics.CategoricalAccuracy(), ONE_HOT, p),
    "AUC y_pred": lambda p: updated(metrics.AUC(multi_label=True, num_labels=2), ONE_HOT, p),
    "R2Score y_true": lambda y: updated(metrics.R2Score(), y, X),
    "Mean": lambda v: updated(metrics.Mean(), v),
    "Sum": lambda v: updated(metrics.Sum(), v),
    "MeanMetricWrapper": lambda v: updated(metrics.MeanMetricWrapper(lambda y, p: v), X, X),
    "binary_accuracy y_true": lambda y: metrics.binary_accuracy(y, ONE_HOT),
    "binary_accuracy y_pred": lambda p: metrics.binary_accuracy(ONE_HOT, p),
    "categorical_accuracy y_true": lambda y: metrics.categorical_accuracy(y, ONE_HOT),
    "categorical_accuracy y_pred": lambda p: metrics.categorical_accuracy(ONE_HOT, p),
}
ROWS: dict[str, Call] = {
    "ArraySource x": lambda x: ArraySource(x).x,
    "fit y": lambda y: _one_unit().fit(X, y, verbose=0, shuffle=False).history["loss"],
    "fit sample_weight": lambda w: fitted(X, X, sample_weight=w),
    "evaluate sample_weight": lambda w: model_of().evaluate(X, X, sample_weight=w, verbose=0),
    "train_on_batch sample_weight": lambda w: stepped(X, X, sample_weight=w),
    "fit validation weight": lambda w: fitted(X, X, validation_data=(X, X, w)),
    "mse sample_weight": lambda w: losses.MeanSquaredError()(ONE_HOT, X, sample_weight=w),
    "sparse crossentropy y_true": lambda y: losses.SparseCategoricalCrossentropy()(y, X / X.sum(1, keepdims=True)),
    "metric sample_weight": lambda w: updated(metrics.MeanSquaredError(), ONE_HOT, X, w),
    "Precision y_true": lambda y: updated(metrics.Precision(), y, X[:, 0]),
    "Mean": lambda v: updated(metrics.Mean(), v),
    "Mean sample_weight": lambda w: updated(metrics.Mean(), X[:, 0], w),
    "sparse_categorical_accuracy": lambda y: metrics.sparse_categorical_accuracy(y, X),
    "MaxNorm": lambda w: constraints.MaxNorm(0.5)(w),
    "L1": lambda w: regularizers.L1(0.5)(w),
    "a schedule": lambda steps: optimizers.schedules.ExponentialDecay(0.5, 10, 0.5)(steps),
}
SQUARE: dict[str, Call] = {"set_weights": weights_set, "layer set_weights": layer_weights_set}
PAIRS: dict[str, Call] = {  # of two numbers, one for each feature
    "Rescaling scale": lambda v: after(Rescaling(v)),
    "Rescaling offset": lambda v: after(Rescaling(1.0, v)),
    "Normalization mean": lambda v: after(Normalization(mean=v, variance=1.0)),
    "Normalization variance": lambda v: after(Normalization(mean=0.0, variance=v)),
}
GROUPS = {
    **{("matrix", name): (call, X) for name, call in MATRICES.items()},
    **{("rows", name): (call, LABELS) for name, call in ROWS.items()},
    **{("square", name): (call, X[1:]) for name, call in SQUARE.items()},
    **{("pair", name): (call, X[0]) for name, call in PAIRS.items()},
}
ONE_TYPE = ("matmul a", "matmul b", "what an activation gives")  # must be of the type of the other array
EVERY = pytest.mark.parametrize("name", GROUPS, ids=lambda name: " ".join(name))


def _one_unit() -> Sequential:
    model = Sequential([Input((2,)), Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse")
    return model


def objects(values: np.ndarray, kind: Callable[[float], Any]) -> np.ndarray:
    out = np.empty(values.shape, object)
    for place in np.ndindex(values.shape):
        out[place] = kind(float(values[place]))
    return out


class Wrapped:
    """What only says `__array__`."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values


RIGHT: dict[str, Callable[[np.ndarray], Any]] = {
    "a list": lambda v: v.tolist(),
    "a tuple": lambda v: tuple(map(tuple, v)) if v.ndim > 1 else tuple(v),
    "float32": lambda v: v.astype(np.float32),
    "float16": lambda v: v.astype(np.float16),
    "longdouble": lambda v: v.astype(np.longdouble),
    "big-endian": lambda v: v.astype(">f8"),
    "columns first": np.asfortranarray,
    "strides": lambda v: np.repeat(v, 2, axis=-1)[..., ::2],
    "objects": lambda v: objects(v, float),
    "Decimals": lambda v: objects(v, Decimal),
    "Fractions": lambda v: objects(v, Fraction),
    "NumPy's scalars": lambda v: objects(v, np.float32),
    "a list of Decimals": lambda v: objects(v, Decimal).tolist(),
    "a list of rows": list,
    "a mask that hides nothing": lambda v: np.ma.array(v),
    "a float32 mask that hides nothing": lambda v: np.ma.array(v, np.float32, mask=np.zeros(v.shape, bool)),
    "rows whose masks hide nothing": lambda v: [np.ma.array(row, mask=np.zeros(row.shape, bool)) for row in v],
    "__array__": Wrapped,
    "a buffer": lambda v: memoryview(np.ascontiguousarray(v)),
}


def hidden(values: np.ndarray, dtype: Any) -> Any:
    mask = np.zeros(values.shape, bool)
    mask[(-1,) * values.ndim] = True
    return np.ma.array(values.astype(dtype), mask=mask)


WRONG: dict[str, Callable[[np.ndarray], Any]] = {
    "float32 mask": lambda v: hidden(v, np.float32),
    "float64 mask": lambda v: hidden(v, np.float64),
    "whole mask": lambda v: hidden(v, np.int64),
    "objects with a mask": lambda v: hidden(v, object),
    "rows with masks": lambda v: [np.ma.array(row, mask=np.ones(np.shape(row), bool)) for row in v],
    "lists with masked": lambda v: [*v.tolist()[:-1], np.ma.masked if v.ndim == 1 else [v[-1, 0], np.ma.masked]],
    "text": lambda v: v.astype(str),
    "bytes": lambda v: v.astype("S8"),
    "objects that are text": lambda v: objects(v, str),
    "a list of texts": lambda v: v.astype(str).tolist(),
    "None": lambda v: objects(v, lambda _: None),
    "complex": lambda v: v.astype(complex),
    "complex objects": lambda v: objects(v, complex),
    "times": lambda v: v.astype("M8[s]"),
    "durations": lambda v: v.astype("m8[s]"),
    "records": lambda v: np.zeros((*v.shape, 1), "i4,i4"),
    "rows of other lengths": lambda v: [[1.0, 2.0], [1.0], [2.0]],
    "a dict": lambda v: {"a": v},
    "a text": lambda v: "text",
}


@EVERY
@pytest.mark.parametrize("way", RIGHT)
def test_numbers_are_what_they_are(name: Any, way: str) -> None:
    call, values = GROUPS[name]
    if name[1] in ONE_TYPE and "float" in way:
        way = "a list"
    expected = call(values)
    with np.errstate(all="raise"):
        found = call(RIGHT[way](values))
    tolerance = 1e-6 if "float" in way or way == "longdouble" else 1e-7
    for one, other in zip(flat(found), flat(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@EVERY
@pytest.mark.parametrize("way", WRONG)
def test_what_is_no_number_is_refused(name: Any, way: str) -> None:
    call, values = GROUPS[name]
    given = WRONG[way](values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((TypeError, ValueError)) as caught:
            call(given)
    assert type(caught.value) in (TypeError, ValueError)
    words = ("number", "masked", "array", "model", "text", "shape", "sample_weight", "validation_data")
    assert any(word in str(caught.value) for word in words), caught.value


def flat(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_a_prediction_does_not_read_behind_a_mask() -> None:
    model = model_of()
    x = np.ma.array(np.ones((3, 2), np.float32), mask=[[0, 0], [0, 1], [0, 0]])
    with pytest.raises(ValueError, match="x has a masked value at row 1, column 1; fill masked values first"):
        model.predict(x)
    np.testing.assert_array_equal(model.predict(x.filled(2)), [[2, 2], [3, 3], [2, 2]])
    with pytest.raises(ValueError, match=r"x has a masked value at row 2, column 0"):
        model.predict([np.ma.array([1.0, 2.0], mask=[0, 0]), [1.0, 2.0], np.ma.array([1.0, 2.0], mask=[1, 0])])


@pytest.mark.parametrize("kind", [int, Decimal, Fraction, np.int64, np.uint64])
def test_targets_that_float32_would_round(kind: Any) -> None:
    for whole in (2**24 + 1, 2**31 + 1):
        y = np.array([kind(3), kind(whole)], object)
        with pytest.raises(ValueError, match=f"y holds the whole number {whole} at row 1, which float32 cannot hold"):
            ArraySource(X[:2], y)
        with pytest.raises(ValueError, match=f"y holds the whole number {whole} at row 1"):
            ArraySource(X[:2], y.tolist())
    assert ArraySource(X[:2], np.array([kind(3), kind(2**25)], object)).y[1, 0] == 2**25
    assert ArraySource(X[:2], np.array([0.5, 2.0**24 + 1], object)).y[1, 0] == 2**24  # a float may be rounded


def test_objects_beyond_any_float() -> None:
    for value in (Decimal("1e400"), 10**400, Fraction(10**400), Decimal("-1e400"), Decimal("1e39")):
        with pytest.raises(ValueError, match=r"x holds .* at row 1, beyond float32's range"):
            ArraySource(np.array([1, value], object))
    with pytest.raises(ValueError, match=r"weights\[0\] holds 1e\+39 at row 0, column 0, beyond float32's range"):
        weights_set(np.full((2, 2), 1e39))
    assert np.isinf(ArraySource(np.array([1, Decimal("Infinity")], object)).x[1, 0])
    assert np.isnan(ArraySource(np.array([1, Decimal("NaN")], object)).x[1, 0])


def test_numbers_alone() -> None:
    for zero in (0.5, np.float32(0.5), np.array(0.5), Decimal("0.5"), Fraction(1, 2), np.array(Decimal("0.5"), object)):
        assert activations.relu(zero) == 0.5
        assert losses.MeanSquaredError()([[1.0]], [[0.0]], sample_weight=zero) == 0.5
        assert initializers.Constant(zero)((2,)).tolist() == [0.5, 0.5]
        assert after(Rescaling(zero), [[1, 2]]).tolist() == [[0.5, 1]]
        with pytest.raises(TypeError, match="must be an array with one entry for each row"):
            ArraySource(zero)


def test_ids_of_any_kind() -> None:
    table = Sequential([Input((2,)), Embedding(4, 3)])
    hot = Sequential([Input((2,)), CategoryEncoding(4)])
    for model in (table, hot):
        expected = model.predict(np.array([[0, 3], [2, 1]]))
        for kind in (int, Decimal, Fraction, np.int8, bool):
            x = objects(np.array([[0.0, 1.0], [1.0, 1.0]]), lambda v, kind=kind: kind(int(v)))
            np.testing.assert_array_equal(model.predict(x), model.predict([[0, 1], [1, 1]]))
        assert expected.shape[0] == 2


# Numbers that a unit is made with: alone, or a few of them.
UNITS: dict[str, Call] = {
    "SGD": lambda v: optimizers.SGD(v).learning_rate,
    "ExponentialDecay": lambda v: optimizers.schedules.ExponentialDecay(v, 10, 0.5)(0),
    "PiecewiseConstantDecay": lambda v: optimizers.schedules.PiecewiseConstantDecay([1], [v, 0.25])(0),
    "Constant": lambda v: initializers.Constant(v)((1,))[0],
    "L2": lambda v: regularizers.L2(v)(np.ones(1)),
    "Huber": lambda v: losses.Huber(v).numbers()[0],
    "Rescaling": lambda v: after(Rescaling(v), [[1, 2]])[0, 0],
    "LeakyReLU": lambda v: -activations.leaky_relu(-1.0, v),
    "Precision": lambda v: metrics.Precision(thresholds=v).cuts()[0],
    "Precision of two": lambda v: metrics.Precision(thresholds=[v, 0.75]).cuts()[0],
    "AUC": lambda v: metrics.AUC(thresholds=[v, 0.75]).cuts()[0],
    "AUC's weights": lambda v: metrics.AUC(multi_label=True, label_weights=[v, 0.75]).label_weights[0],
}


@pytest.mark.parametrize("name", UNITS)
def test_numbers_of_a_unit(name: str) -> None:
    call = UNITS[name]
    for half in (0.5, Decimal("0.5"), Fraction(1, 2), np.float32(0.5), np.array(0.5), np.ma.array(0.5)):
        assert call(half) == 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for wrong in (np.ma.masked, "0.5", 0.5 + 0j, np.datetime64("2026-01-31"), None if "Prec" not in name else "x"):
            with pytest.raises((TypeError, ValueError), match=r"number|masked"):
                call(wrong)


LAYERS: dict[str, tuple[Call, np.ndarray]] = {
    "Rescaling": (lambda x: Rescaling(2.0)(x), X),
    "Rescaling of a row": (lambda x: Rescaling(2.0)(x), LABELS),
    "Normalization": (lambda x: Normalization(mean=0.5, variance=0.25)(x), X),
    "Dense": (lambda x: Dense(2, kernel_initializer="ones")(x), X),
    "CategoryEncoding": (lambda x: CategoryEncoding(3)(x), ONE_HOT),
    "CategoryEncoding of a row": (lambda x: CategoryEncoding(3)(x), LABELS),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_called_on_arrays(name: str) -> None:
    call, values = LAYERS[name]
    expected = call(values)
    for way in ("float32", "longdouble", "big-endian", "columns first", "objects", "Decimals"):
        np.testing.assert_allclose(call(RIGHT[way](values)), expected, rtol=1e-6)
    np.testing.assert_array_equal(call(np.ma.array(values)), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for way in ("float32 mask", "whole mask", "rows with masks", "lists with masked", "text", "complex", "times"):
            with pytest.raises((TypeError, ValueError), match=r"masked|number|array|tensor"):
                call(WRONG[way](values))
