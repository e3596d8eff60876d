"""Sparse rows give the bits of dense ones: each width of a layer, fits of all kinds, any number of threads."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import kernels, optimizers
from fastnn.data import SparseRows
from fastnn.data.sparse import sparse_rows
from fastnn.engine.description import Objective, Variable
from fastnn.engine.network import Network
from fastnn.engine.ops import DenseOp
from fastnn.layers import (
    LSTM,
    Activation,
    BatchNormalization,
    Concatenate,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    Normalization,
    Reshape,
    SpectralNormalization,
)
from fastnn.models import Model, Sequential
from support.ranks import same
from support.small import bits

sparse = pytest.importorskip("scipy.sparse")

ROWS, COLUMNS, BATCH = 150, 700, 64
RNG = np.random.default_rng(0)


def matrix(rows: int = ROWS, columns: int = COLUMNS, density: float = 0.03) -> Any:
    """With rows that are empty, zeros that are there, and a full row."""
    dense = RNG.normal(size=(rows, columns)) * (RNG.random((rows, columns)) < density)
    dense[[1, 5, rows - 1]] = 0
    dense[3] = 1
    made = sparse.csr_array(dense.astype("f4"))
    made.data[::11] = 0
    return made


X = matrix()
Y = (RNG.random(ROWS) < 0.5).astype("f4")
WEIGHT = RNG.random(ROWS).astype("f4")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


def network(columns: int, units: int, bias: bool) -> Network:
    rng = np.random.default_rng(1)
    net = Network([DenseOp(columns, units, bias, activation=kernels.tanh), DenseOp(units, 1)])
    net.set_objectives([Objective(kernels.mean_squared_error, targets=1)])
    size = columns * units
    net.parameters[:size] = rng.normal(size=size)
    net.parameters[size : size + units * bias] = rng.normal(size=units * bias)
    place = net.ops[1].start
    net.parameters[place : place + units + 1] = rng.normal(size=units + 1)
    variables = [Variable(0, columns, units)] + [Variable(size, 1, units)] * bias
    net.set_variables([*variables, Variable(place, units, 1), Variable(place + units, 1, 1)])
    net.set_optimizer(kernels.adam, (0.9, 0.999, 1e-7, 0), (0.0, 0.0))
    return net


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("units", [1, 2, 3, 4, 5, 8, 9, 12, 13, 15, 16, 17, 31, 64, 65, 100, 129])
def test_every_width_of_a_layer(units: int, bias: bool) -> None:
    for columns in (1, 3, 16, 33, 700):
        x, order = matrix(90, columns), RNG.permutation(90).astype(np.uint32)
        y, weight = RNG.normal(size=(90, 1)).astype("f4"), RNG.random(90).astype("f4")
        found = []
        for rows in (x.toarray(), sparse_rows(x, "x")):
            net = network(columns, units, bias)
            values = [net.predict(rows), net.predict(rows[3:5]), net.evaluate(rows, y, weight)]
            values += [net.gradient(rows, y, weight), net.gradients.copy()]
            values += [net.fit_epoch(rows, y, weight, order, 40, 0.01)[1], net.parameters.copy(), *net.slots]
            found.append([np.asarray(value).tobytes() for value in values])
        assert found[0] == found[1], columns


def test_products_and_gradients_are_right() -> None:
    net = network(COLUMNS, 20, True)
    size = COLUMNS * 20
    w, b = net.parameters[:size].reshape(COLUMNS, 20).astype(float), net.parameters[size : size + 20].astype(float)
    v, c = (
        part.astype(float) for part in (net.parameters[net.ops[1].start :][:20], net.parameters[net.ops[1].start + 20])
    )
    x, rows = X.astype(float), sparse_rows(X, "x")
    hidden = np.tanh(x @ w + b)
    given = hidden @ v + c
    np.testing.assert_allclose(net.predict(rows)[:, 0], given, rtol=2e-5, atol=2e-5)
    loss = net.gradient(rows, Y[:, None])
    np.testing.assert_allclose(loss, ((given - Y) ** 2).mean(), rtol=1e-5)
    d = (2 * (given - Y) / ROWS)[:, None] * v * (1 - hidden**2)
    np.testing.assert_allclose(net.gradients[:size].reshape(COLUMNS, 20), x.T @ d, rtol=1e-4, atol=1e-6)


def dense(*before: Callable[[], Any], units: int = 120, **more: Any) -> Callable[[], Model]:
    def make() -> Model:
        layers = [Input((COLUMNS,)), *(layer() for layer in before), Dense(units, "relu", **more)]
        return Sequential([*layers, Dense(1, "sigmoid")])

    return make


def two_readers(other: Callable[[], Any]) -> Callable[[], Model]:
    def make() -> Model:
        x = Input((COLUMNS,))
        return Model(x, Dense(1, "sigmoid")(Concatenate()([Dense(60, "relu")(x), other()(x)])))

    return make


def shared() -> Model:
    x, layer = Input((COLUMNS,)), Dense(100, "relu")
    return Model(x, Dense(1, "sigmoid")(Concatenate()([layer(x), layer(Dropout(0.5)(x))])))


MODELS: dict[str, Callable[[], Model]] = {
    "dense": dense(),  # so large that its gradient is made with the steps
    "small": dense(units=9),
    "penalty": dense(kernel_regularizer="l1_l2"),
    "constraint": dense(kernel_constraint="max_norm"),
    "frozen": dense(trainable=False),
    "no bias": dense(use_bias=False),
    "dropout": dense(lambda: Dropout(0.3)),
    "batch normalization": dense(BatchNormalization),
    "normalization": dense(lambda: Normalization(mean=0.5, variance=2.0)),
    "activation": dense(lambda: Activation("relu")),
    "spectral": lambda: Sequential(
        [Input((COLUMNS,)), SpectralNormalization(Dense(8, "relu"), power_iterations=1), Dense(1, "sigmoid")]
    ),
    "recurrent": dense(lambda: Reshape((70, 10)), lambda: LSTM(4)),
    "embedding": lambda: Sequential([Input((COLUMNS,)), Embedding(9, 2), Flatten(), Dense(1, "sigmoid")]),
    "lines": dense(lambda: Reshape((100, 7)), lambda: Dense(5), Flatten),
    "two dense": two_readers(lambda: Dense(30)),
    "dense and another": two_readers(BatchNormalization),
    "shared": shared,
}
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: optimizers.SGD(0.1, momentum=0.9),
    "adamw": optimizers.AdamW,
    "average": lambda: optimizers.Adam(use_ema=True, ema_momentum=0.9),
    "clipped by value": lambda: optimizers.Adam(clipvalue=0.001),
    "clipped by norm": lambda: optimizers.Adam(clipnorm=0.01),
    "clipped by all": lambda: optimizers.Adam(global_clipnorm=0.01),
    "accumulation": lambda: optimizers.Adam(gradient_accumulation_steps=2),
    "whole": optimizers.Muon,
    "private": lambda: optimizers.DPSGD(0.1, noise=0.5, clip=0.1),
}
HOW: dict[str, dict[str, Any]] = {
    "sample weights": {"sample_weight": WEIGHT},
    "class weights": {"class_weight": {0: 1.0, 1: 3.0}},
    "validation split": {"validation_split": 0.3},
    "rows as they lie": {"shuffle": False},
}


def left_by(make: Callable[[], Model], x: Any, optimizer: Any = "adam", **how: Any) -> Any:
    """What a fit leaves, and what the model then gives."""
    with fastnn.random.seeded(4):
        model = make()
        model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
        history = model.fit(x, Y, **{"epochs": 2, "batch_size": BATCH, "verbose": 0, **how}).history
        rows = x[:20] if not isinstance(x, (list, dict)) else x
        after = model.train_on_batch(rows, Y[: 20 if rows is not x else None])
        asked = [model.evaluate(x, Y, verbose=0), model.predict(x, verbose=0), model.predict_on_batch(rows)]
        return history, after, bits(model), *(np.asarray(each).tobytes() for each in asked)


def check(make: Callable[[], Model], optimizer: Callable[[], Any] = optimizers.Adam, **how: Any) -> None:
    fastnn.set_num_threads(1)
    alone = left_by(make, X.toarray(), optimizer(), **how)
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        assert left_by(make, X, optimizer(), **how) == alone, f"{threads} threads"


@pytest.mark.parametrize("name", MODELS)
def test_every_model(name: str) -> None:
    if name == "embedding":
        whole = sparse.csr_array(RNG.integers(0, 9, (ROWS, COLUMNS)) * (RNG.random((ROWS, COLUMNS)) < 0.1))
        assert left_by(MODELS[name], whole) == left_by(MODELS[name], whole.toarray())
        return
    check(MODELS[name])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_kind_of_step(name: str) -> None:
    check(MODELS["dense"], OPTIMIZERS[name])


@pytest.mark.parametrize("name", HOW)
def test_every_way_to_fit(name: str) -> None:
    check(MODELS["dense"], **HOW[name])


def test_all_rows_in_each_step() -> None:
    found = []
    for x in (X.toarray(), X):
        with fastnn.random.seeded(1):
            model = MODELS["dense"]()
        model.compile(optimizers.LBFGS(), "binary_crossentropy")
        model.fit(x, Y, epochs=3, batch_size=ROWS, verbose=0)
        found.append(bits(model))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "form", ["csc_array", "coo_array", "csr_matrix", "float64", "int64 indices", "unsorted", "twice"]
)
def test_every_form_of_a_matrix(form: str) -> None:
    given = X.copy()
    if form == "float64":
        given = X.astype("f8")
    elif form == "int64 indices":
        given.indices, given.indptr = given.indices.astype("i8"), given.indptr.astype("i8")
    elif form == "unsorted":
        for start, stop in zip(given.indptr[:-1], given.indptr[1:], strict=True):
            given.indices[start:stop], given.data[start:stop] = X.indices[start:stop][::-1], X.data[start:stop][::-1]
    elif form == "twice":
        half = sparse.coo_array(X / 2)
        places = [np.concatenate([part, part]) for part in (half.row, half.col)]
        given = sparse.coo_array((np.concatenate([half.data, half.data]), tuple(places)), shape=X.shape)
    else:
        given = getattr(sparse, form)(X)
    assert left_by(MODELS["small"], given) == left_by(MODELS["small"], X.toarray())


def test_several_inputs() -> None:
    beside = RNG.normal(size=(ROWS, 7)).astype("f4")

    def make() -> Model:
        a, b = Input((COLUMNS,), name="a"), Input((7,), name="b")
        h = Concatenate()([Dense(100, "relu")(a), Dense(4)(BatchNormalization()(b)), Dense(3)(b)])
        return Model([a, b], Dense(1, "sigmoid")(h))

    alone = left_by(make, [X.toarray(), beside])
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        for x in ([X, beside], {"b": sparse.csc_array(beside), "a": X}, [sparse.coo_array(X), beside]):
            assert left_by(make, x) == alone


def test_batches_that_come() -> None:
    def fit(x: Any) -> Any:
        with fastnn.random.seeded(1):
            model = MODELS["dense"]()
        model.compile("adam", "binary_crossentropy")
        model.fit(((x[i : i + 50], Y[i : i + 50]) for i in range(0, ROWS, 50)), verbose=0, validation_data=(x, Y))
        return bits(model)

    assert fit(X) == fit(X.toarray())


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks(ranks: int) -> None:
    def left(communicator: Any) -> Any:
        with fastnn.random.seeded(2):
            model = MODELS["dense"]()
        model.compile("adam", "binary_crossentropy")
        more = {} if communicator is None else {"distribute": communicator}
        model.fit(X, Y, batch_size=50, epochs=2, verbose=0, **more)
        return bits(model)

    assert same(ranks, left) == left(None)


def test_a_row_that_weighs_nothing_may_hold_anything() -> None:
    bad = X.copy()
    bad.data[bad.indptr[8] : bad.indptr[9]] = np.nan
    weight = np.ones(ROWS, "f4")
    weight[8] = 0
    found = []
    for x in (bad, bad.toarray()):
        with fastnn.random.seeded(1):
            model = MODELS["dense"]()
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        history = model.fit(x, Y, sample_weight=weight, shuffle=False, verbose=0).history
        found.append((history, bits(model)))
    assert found[0] == found[1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_named(value: float) -> None:
    bad = X.copy()
    row, column = 8, bad.indices[bad.indptr[8] + 2]
    bad.data[bad.indptr[8] + 2] = value
    with fastnn.random.seeded(1):
        model = MODELS["dense"]()
    model.compile("adam", "binary_crossentropy")
    before = bits(model)
    for ask in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=f"x has {value} at row {row}, column {column}"):
            ask(bad, Y, batch_size=ROWS, verbose=0)
    assert bits(model) == before


@pytest.mark.parametrize("rate", [1e3, 1e30, 1e37])
def test_a_fit_that_diverges_does_so_alike(rate: float) -> None:
    found = []
    for x in (X, X.toarray()):
        with fastnn.random.seeded(1):
            model = Sequential([Input((COLUMNS,)), Dense(200), Dense(1)])
        model.compile(optimizers.SGD(rate), "mse")
        with pytest.raises(FloatingPointError, match="not finite") as error:
            model.fit(x, Y, epochs=5, batch_size=BATCH, shuffle=False, verbose=0)
        found.append((str(error.value), bits(model)))
    assert found[0] == found[1]


def test_gradients_beyond_float32s_squares() -> None:
    found = []
    for x in (X * np.float32(1e12), (X * np.float32(1e12)).toarray()):
        with fastnn.random.seeded(1):
            model = Sequential([Input((COLUMNS,)), Dense(100, kernel_initializer="zeros"), Dense(1)])
        model.compile("adam", "mse", metrics=[])
        model.fit(x, Y * np.float32(1e6), epochs=2, batch_size=BATCH, shuffle=False, verbose=0)
        found.append(bits(model))
    assert found[0] == found[1]


WRONG: dict[str, Callable[[SparseRows], Any]] = {
    "a column beyond": lambda x: SparseRows(
        x.data, np.where(x.indices == 5, COLUMNS, x.indices).astype("i4"), x.indptr, COLUMNS
    ),
    "a column below": lambda x: SparseRows(x.data, x.indices - np.int32(9), x.indptr, COLUMNS),
    "ends that fall": lambda x: SparseRows(x.data, x.indices, x.indptr[::-1].copy(), COLUMNS),
    "ends beyond": lambda x: SparseRows(x.data, x.indices, x.indptr + 1, COLUMNS),
    "ends below": lambda x: SparseRows(x.data, x.indices, x.indptr - 1, COLUMNS),
    "other columns": lambda x: SparseRows(x.data, x.indices, x.indptr, COLUMNS + 1),
    "strides": lambda x: SparseRows(np.repeat(x.data, 2)[::2], x.indices, x.indptr, COLUMNS),
}


@pytest.mark.parametrize("name", WRONG)
def test_rows_that_are_none(name: str) -> None:
    net, bad = network(COLUMNS, 8, True), WRONG[name](sparse_rows(X, "x"))
    before = net.parameters.copy()
    for ask in (
        lambda: net.predict(bad),
        lambda: net.evaluate(bad, Y[:, None], None),
        lambda: net.fit_epoch(bad, Y[:, None], None, None, 9, 0.1),
    ):
        with pytest.raises(ValueError, match=r"no sparse rows of 700 columns|not C-contiguous"):
            ask()
    np.testing.assert_array_equal(net.parameters, before)


def test_dense_and_sparse_in_turn() -> None:
    net = network(COLUMNS, 100, True)
    rows, dense_rows, small = sparse_rows(X, "x"), X.toarray(), X.toarray().astype("i2")
    expected = net.predict(dense_rows).tobytes(), net.predict(small.astype("f4")).tobytes()
    for _ in range(3):
        assert net.predict(rows[:9]).tobytes() == net.predict(dense_rows[:9]).tobytes()
        assert (net.predict(rows).tobytes(), net.predict(small).tobytes()) == expected
        assert net.predict(dense_rows).tobytes() == expected[0]
        net.gradient(rows[:20], Y[:20, None])


@pytest.mark.parametrize("gradient", [False, True], ids=["predict", "fit"])
def test_only_dense_rows_need_room_for_a_dense_product(gradient: bool) -> None:
    columns = 100_000
    rows = sparse_rows(matrix(20, columns, 0.0001), "x")
    net = network(columns, 2, True)
    tracemalloc.start()
    try:
        if gradient:
            net.fit_epoch(rows, Y[:20, None], None, None, 10, 0.01)
        else:
            net.predict(rows)
        lean = tracemalloc.get_traced_memory()[1]
        one = net.predict(rows[4:5])
        assert net.predict(rows[4:5].toarray()).tobytes() == one.tobytes()
        assert tracemalloc.get_traced_memory()[1] > 4 * 32 * columns > lean
    finally:
        tracemalloc.stop()


def test_fuller_and_fuller_rows() -> None:
    """What is noted of a batch has room for the first run's; rows of more numbers come in a later one."""
    net, dense_net = network(COLUMNS, 100, True), network(COLUMNS, 100, True)
    y = RNG.normal(size=(30, 1)).astype("f4")
    for density in (0.001, 0.02, 0.15, 0.01):
        x = matrix(30, COLUMNS, density)
        net.fit_epoch(sparse_rows(x, "x"), y, None, None, 10, 0.01)
        dense_net.fit_epoch(x.toarray(), y, None, None, 10, 0.01)
        np.testing.assert_array_equal(net.parameters, dense_net.parameters)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"data": [1.0]}, TypeError),
        ({"data": np.ones(1)}, TypeError),
        ({"indices": np.zeros((1, 1), np.int32)}, TypeError),
        ({"indptr": list}, TypeError),
        ({"indices": np.zeros(2, np.int32)}, ValueError),
        ({"indptr": np.zeros(0, np.int64)}, ValueError),
        ({"columns": -1}, ValueError),
        ({"columns": "3"}, TypeError),
    ],
)
def test_rows_of_other_parts_are_refused(change: Any, error: type[Exception]) -> None:
    parts: Any = {"data": np.ones(1, np.float32), "indices": np.zeros(1, np.int32), "indptr": np.array([0, 1])}
    assert SparseRows(**parts, columns=3).toarray().tolist() == [[1, 0, 0]]
    with pytest.raises(error, match=next(iter(change)) if error is TypeError else "must"):
        SparseRows(**{**parts, "columns": 3, **change})
