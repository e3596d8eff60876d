"""Copies by ``pickle``, ``copy`` and ``joblib``: of models, layers, units, histories, callbacks and sources."""

from __future__ import annotations

import concurrent.futures
import copy
import importlib.util
import io
import multiprocessing
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers, metrics, optimizers
from fastnn.data import ArraySource, Dataset, SQLDataset
from fastnn.layers import Concatenate, Dense, Dropout, Embedding, Flatten, Input, Layer, StringLookup
from fastnn.models import Model, Sequential
from fastnn.utils import FeatureSpace
from support.database import connect
from support.small import bits
from support.units import OTHERS, units

RNG = np.random.default_rng(0)
ROOT = str(Path(__file__).parent.parent)
X, Y = RNG.standard_normal((60, 5)).astype(np.float32), RNG.standard_normal((60, 2)).astype(np.float32)


def by_pickle(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def by_joblib(value: Any) -> Any:
    joblib = pytest.importorskip("joblib")
    file = io.BytesIO()
    joblib.dump(value, file)
    file.seek(0)
    return joblib.load(file)


WAYS = [by_pickle, copy.copy, copy.deepcopy, by_joblib]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@dataclass(frozen=True, eq=False)
class Scaled(Layer):
    """A layer of one's own."""

    by: float = 2.0

    def forward(self, x, weights, training):
        return self.by * x

    def backward(self, x, a, d, weights):
        return self.by * d, []


def steep(y_true, y_pred):
    return np.mean(np.abs(y_true - y_pred) ** 1.5, axis=-1)


class MyModel(Sequential):
    """A class of models of one's own, with an attribute."""

    def classes(self, x):
        return self.predict(x).argmax(1)


def chain() -> Sequential:
    return Sequential([Dense(8, "tanh", input_dim=5), Dropout(0.3), Dense(2)])


def shared() -> Model:
    twice, a, b = Dense(4, "relu", name="twice"), Input((5,)), Input((5,))
    return Model([a, b], Dense(2)(Concatenate()([twice(a), twice(b)])))


def nested() -> Sequential:
    inner = Sequential([Dense(6, "gelu", input_dim=5), Dense(3)], name="inner")
    return Sequential([inner, layers.BatchNormalization(), Dense(2)])


def own() -> Sequential:
    return Sequential([Dense(4, input_dim=5), Scaled(0.5), Dense(2, kernel_regularizer="l2")])


def frozen() -> Sequential:
    model = chain()
    model.layers[0].trainable = False
    return model


MODELS = {"chain": chain, "shared": shared, "nested": nested, "own": own, "frozen": frozen}
OPTIMIZERS = {
    "adam": lambda: optimizers.Adam(0.01),
    "momentum": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "averaged": lambda: optimizers.AdamW(0.01, use_ema=True, gradient_accumulation_steps=2),
    "schedule": lambda: optimizers.Nadam(optimizers.schedules.ExponentialDecay(0.01, 3, 0.9)),
    "full batch": lambda: optimizers.LBFGS(),
}


def compiled(make: Any, optimizer: Any = "adam", loss: Any = "mse") -> Any:
    fastnn.set_random_seed(3)
    model = make()
    model.compile(optimizer, loss, metrics=["mae"])
    return model


def rows(model: Any) -> Any:
    return [X, X[::-1].copy()] if len(model.input_names) == 2 else X


def goes_on_alike(model: Any, twin: Any, **fit: Any) -> None:
    """Assert that two models end a further fit with the same bits."""
    ends = []
    for each in (model, twin):
        fastnn.set_random_seed(9)
        history = each.fit(rows(each), Y, epochs=2, verbose=0, **fit).history
        ends.append((history, bits(each)))
    assert ends[0] == ends[1]


@ways
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_model_goes_on_with_the_same_bits(make, way):
    model = compiled(make)
    model.fit(rows(model), Y, epochs=3, verbose=0)
    twin = way(model)
    assert type(twin) is type(model)
    assert twin is not model
    assert twin.name == model.name
    np.testing.assert_array_equal(twin.predict(rows(model)), model.predict(rows(model)))
    goes_on_alike(model, twin)
    twin.set_weights([0 * w for w in twin.get_weights()])
    assert any(w.any() for w in model.get_weights())  # which shares nothing with it


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_state_of_an_optimizer_goes_along(optimizer):
    model = compiled(chain if optimizer is not OPTIMIZERS["full batch"] else nested, optimizer())
    fit = {"batch_size": 60} if model.optimizer.full_batch else {}
    model.fit(X, Y, epochs=3, verbose=0, **fit)
    goes_on_alike(model, by_pickle(model), **fit)


@ways
def test_a_model_that_is_not_built(way):
    for made in (Sequential([Dense(3, "relu"), Dense(2)]), Sequential(), chain()):
        twin = way(made)
        assert twin.built == made.built
        assert twin.get_config() == made.get_config()
    model = Sequential([Dense(3, "relu"), Dense(2)])
    model.compile(optimizers.SGD(0.1), "mae", metrics=["mse"])
    goes_on_alike(model, way(model))


def test_own_functions_go_by_reference():
    model = compiled(chain, loss=steep)
    model.fit(X, Y, verbose=0)
    twin = by_pickle(model)
    assert twin.loss is steep
    goes_on_alike(model, twin)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(compiled(chain, loss=lambda y_true, y_pred: y_true - y_pred))


def test_the_class_and_the_attributes_of_a_model_of_ones_own():
    model = MyModel([Dense(3, input_dim=5)])
    model.tags, model.first = {"a": [1]}, model.layers[0]
    twin = by_pickle(model)
    assert type(twin) is MyModel
    assert twin.tags == {"a": [1]}
    assert twin.first is twin.layers[0]
    np.testing.assert_array_equal(twin.classes(X), model.classes(X))


def test_two_of_ones_own_by_one_name():
    def steep(y_true, y_pred):
        return y_true - y_pred

    x = Input((5,))
    model = Model(x, [Dense(1, name="a")(x), Dense(1, name="b")(x)])
    model.compile("sgd", [globals()["steep"], steep])
    with pytest.raises(ValueError, match="two classes or functions of your own are called 'steep'"):
        pickle.dumps(model)


def test_a_pickle_of_a_model_holds_a_models_file(tmp_path):
    """What is in it is data, as in the file; no function but the one that reads it is named."""
    import pickletools

    model = compiled(chain)
    named = [argument for op, argument, _ in pickletools.genops(pickle.dumps(model, 2)) if op.name == "GLOBAL"]
    own = {name for name in named if name.startswith("fastnn")}
    assert own == {"fastnn.models.copies restored", "fastnn.models.sequential Sequential"}
    model.save(tmp_path / "model")
    assert (tmp_path / "model").read_bytes() in pickle.dumps(model, 4)


@ways
def test_a_model_with_text_inputs(way):
    model = Model(
        x := Input((1,), dtype="string"), Dense(2)(Flatten()(Embedding(4, 2)(StringLookup(vocabulary=["a", "b"])(x))))
    )
    words = np.array(["a", "b", "c"])
    np.testing.assert_array_equal(way(model).predict(words), model.predict(words))


# Layers and units


@ways
def test_a_layer_has_its_weights(way):
    layer = Dense(3, "relu", kernel_regularizer="l2", name="mine")
    bare = way(layer)
    assert (bare.units, bare.activation, bare.name) == (3, layer.activation, "mine")
    Sequential([layer]).build((5,))
    twin = way(layer)
    assert [w.tobytes() for w in twin.get_weights()] == [w.tobytes() for w in layer.get_weights()]
    twin.set_weights([w + 1 for w in twin.get_weights()])
    assert not np.array_equal(twin.get_weights()[0], layer.get_weights()[0])
    model = Sequential([twin])
    model.build((5,))
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], layer.get_weights()[0] + 1)


@ways
def test_a_layer_that_is_made_of_layers(way):
    layer = layers.TimeDistributed(chain())
    Sequential([Input((4, 5)), layer])
    x = RNG.standard_normal((3, 4, 5)).astype(np.float32)
    twin = way(layer)
    np.testing.assert_array_equal(Sequential([Input((4, 5)), twin]).predict(x), layer(x))


@pytest.mark.parametrize("table", OTHERS, ids=lambda table: table.family)
def test_units(table):
    for unit in units(table):
        for way in (by_pickle, copy.deepcopy, copy.copy):
            assert table.config(way(unit)) == table.config(unit)


@ways
def test_a_metric_has_what_it_has_gathered(way):
    metric = metrics.AUC()
    metric.update_state([0, 1, 1, 0], [0.1, 0.7, 0.4, 0.6])
    twin = way(metric)
    assert twin.result() == metric.result()
    assert twin.name == metric.name


# What comes of a fit


@ways
def test_a_history(way):
    model = compiled(chain)
    history = model.fit(X, Y, epochs=3, verbose=0, validation_split=0.5)
    twin = way(history)
    for name in ("history", "epoch", "learning_rate", "seconds", "params"):
        assert getattr(twin, name) == getattr(history, name)
    np.testing.assert_array_equal(twin.model.predict(X), model.predict(X))


def used(folder: Path) -> list[callbacks.Callback]:
    return [
        callbacks.EarlyStopping("loss", restore_best_weights=True),
        callbacks.ReduceLROnPlateau("loss"),
        callbacks.ModelCheckpoint(folder / "best"),
        callbacks.CSVLogger(folder / "log.csv"),
        callbacks.JSONLinesLogger(folder / "log.jsonl"),
        callbacks.BackupAndRestore(folder / "backup"),
        callbacks.LearningRateScheduler(abs),
        callbacks.TerminateOnNaN(),
        callbacks.TimeBudget(1000),
        callbacks.LambdaCallback(on_train_end=print),
        callbacks.CallbackList([callbacks.History()]),
    ]


@pytest.mark.parametrize("number", range(11))
def test_a_callback_that_was_used(tmp_path, number, capsys):
    for way in (by_pickle, copy.deepcopy, copy.copy):
        callback = used(tmp_path)[number]
        if isinstance(callback, callbacks.LearningRateScheduler):
            callback = callbacks.LearningRateScheduler(half)
        model = compiled(chain)
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[callback])
        twin = way(callback)
        assert type(twin) is type(callback)
        assert twin.get_state().keys() == callback.get_state().keys()
        assert len(model.fit(X, Y, epochs=2, verbose=0, callbacks=[twin]).epoch) == 2


def half(epoch):
    return 0.5**epoch


# Sources


def test_sources(tmp_path):
    source = ArraySource(X, Y)
    for way in (by_pickle, copy.deepcopy, copy.copy):
        (page,) = way(source).pages(10)
        np.testing.assert_array_equal(page.x, X)
    path = tmp_path / "rows.db"
    with connect(path) as con:
        con.executescript("CREATE TABLE t (a, b, y); INSERT INTO t VALUES (1, 2, 3), (4, 5, 6);")
    con.close()
    data = SQLDataset("SELECT a, b, y FROM t", path, target="y")
    for _ in range(2):  # before it was read, and then
        for way in (by_pickle, copy.deepcopy, copy.copy):
            (page,) = way(data).pages(10)
            assert page.x.tolist() == [[1, 2], [4, 5]]
        list(data.pages(10))
    assert len(pickle.dumps(SQLDataset("SELECT a FROM t", path))) < 2000  # the query, not the rows


def test_an_open_connection_stays_where_it_is():
    con = connect(":memory:")
    con.executescript("CREATE TABLE t (a, y); INSERT INTO t VALUES (1, 3)")
    data = SQLDataset("SELECT a, y FROM t", con, target="y")
    for way in (by_pickle, copy.deepcopy):
        with pytest.raises(TypeError, match=r"an open connection belongs to its process.*with a path or a URL"):
            way(data)
    (page,) = copy.copy(data).pages(1)
    assert page.x.tolist() == [[1]]
    con.close()


def test_a_dataset_of_batches():
    data = fastnn.utils.timeseries_dataset_from_array(np.arange(12.0), None, 3, batch_size=4)
    assert isinstance(data, Dataset)
    for way in (by_pickle, copy.deepcopy):
        assert [batch.tolist() for batch in way(data)] == [batch.tolist() for batch in data]


@pytest.mark.parametrize("adapted", [False, True])
def test_a_feature_space(adapted):
    space = FeatureSpace({"age": "float_normalized", "city": "string_categorical"})
    rows = {"age": np.array([20.0, 30.0, 70.0]), "city": np.array(["Rome", "Oslo", "Rome"])}
    if adapted:
        space.adapt(rows)
    for way in (by_pickle, copy.deepcopy):
        twin = way(space)
        if not adapted:
            twin.adapt(rows)
            continue
        np.testing.assert_array_equal(twin(rows), space(rows))
    assert type(twin) is FeatureSpace


def test_a_symbolic_tensor_has_nothing_to_copy():
    for way in (by_pickle, copy.deepcopy):
        with pytest.raises(TypeError, match=r"stands for a value in a graph.*copy its model"):
            way(Input((3,)))


# Other processes


def predicted(model: Any, x: np.ndarray) -> np.ndarray:
    return model.predict(x)


def fitted(model: Any, seed: int) -> list[bytes]:
    fastnn.set_random_seed(seed)
    model.fit(X, Y, epochs=2, verbose=0)
    return bits(model)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_pool_of_processes(method, monkeypatch):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    monkeypatch.setattr(sys, "path", [*sys.path, ROOT])  # where the other process finds this module
    model = compiled(own)
    model.fit(X, Y, verbose=0)
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        np.testing.assert_array_equal(pool.submit(predicted, model, X).result(), model.predict(X))
        theirs = pool.submit(fitted, model, 5).result()
    assert fitted(model, 5) == theirs


def test_threads_have_copies_of_their_own():
    model = compiled(chain)
    model.fit(X, Y, verbose=0)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        twins = list(pool.map(copy.deepcopy, [model] * 8))
        outputs = list(pool.map(predicted, twins, [X] * 8))
    for output in outputs:
        np.testing.assert_array_equal(output, model.predict(X))


def test_scikit_learns_parallel_loop(monkeypatch):
    if importlib.util.find_spec("joblib") is None:
        pytest.skip("needs joblib")
    from joblib import Parallel, delayed

    monkeypatch.setattr(sys, "path", [*sys.path, ROOT])
    model = compiled(chain)
    model.fit(X, Y, verbose=0)
    for output in Parallel(n_jobs=2)(delayed(predicted)(model, X) for _ in range(2)):
        np.testing.assert_array_equal(output, model.predict(X))
