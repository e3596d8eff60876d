"""Every layer goes to Keras and comes back, and predicts the same on both sides; or it is refused, by a reason."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras", reason="compares with Keras 3, which is not installed")

import fastnn.layers as L  # noqa: E402
from fastnn import activations  # noqa: E402
from fastnn.activations import ACTIVATIONS  # noqa: E402
from fastnn.exchange import from_keras, to_keras  # noqa: E402
from fastnn.exchange.keras_config import LACKING, OTHERS, REFUSED  # noqa: E402
from fastnn.layers import LAYERS  # noqa: E402
from fastnn.losses import LOSSES  # noqa: E402
from fastnn.metrics import METRICS  # noqa: E402
from fastnn.models import Model, Sequential, load_model  # noqa: E402
from fastnn.optimizers import OPTIMIZERS  # noqa: E402
from support.layers import CASES, FRONT, OF_COLUMNS, RANDOM  # noqa: E402
from support.units import units  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs

# What Keras refuses, or cannot be told: by the beginning of a case's title.
NOT_THERE = {
    "normalization by numbers": "one shape",
    "normalization along two": "one shape",
    "encoding by count": "several axes",
    "encoding on (2": "several axes",
    "layer along two": "as they rise",
    "rms along 1": "another axis",
    "bidirectional on": "as wide",
    "glu": "cannot go",
    "dense glu": "cannot go",
    "time distributed glu": "cannot go",
    "einsum to two axes": "without None",
    "einsum with all biases": "without None",
    "spectral": "the backend",
    "time distributed spectral": "the backend",
    "wrapper": "derive classes",
    "phase": "no one operation",
    "lambda": "code",
    "random crop": "crops nothing",
    "group query on": "must be equal",  # Keras's own: of queries and values as wide as each other alone
}
# Keras 3.15 on JAX computes these by a function that cannot, or that leaves the window out for other keys.
FAULTY = ("multi head, causal", "multi head of many", "multi head in a window")
# Each costs Keras a third of a second: one of each class, and those that are made of others.
_first: dict[Any, str] = {}
for _title, _case in CASES.items():
    if not _title.startswith("form of"):
        _more = _title.startswith(
            ("time distributed model", "rnn of", "bidirectional ", "attention of", "multi head with", "gru, res")
        )
        _first.setdefault(re.sub(r" on \(.*", "", _title) if _more else type(_case.make()), _title)
TITLES = [*_first.values(), *(title for title in NOT_THERE if title in CASES and title not in _first.values())]


def apart(one: Any, other: Any) -> float:
    one, other = (np.asarray(keras.ops.convert_to_numpy(each), float) for each in (one, other))
    assert one.shape == other.shape
    return float(np.abs(one - other).max() / max(1.0, np.abs(other).max()))


@pytest.mark.parametrize("title", TITLES)
def test_there_and_back(title: str) -> None:
    case = CASES[title]
    model, layer = case.model(2)
    reason = next((words for start, words in NOT_THERE.items() if f"{title} on".startswith(start)), None)
    if reason is not None:
        with pytest.raises(ValueError, match=reason):
            to_keras(model)
        return
    x = case.rows(4)
    theirs = to_keras(model)
    expected = model.predict(x)
    if title not in FAULTY:
        drawn = type(layer).__name__.startswith("Random")  # when it is called, Keras draws
        assert apart(theirs.predict(x, verbose=0) if drawn else theirs(x), expected) <= 1e-5
    assert [tuple(w.shape) for w in theirs.trainable_variables] == [w.shape for w in model.trainable_weights]
    back = from_keras(theirs)
    assert apart(back.predict(x), expected) <= 1e-6
    assert [type(each) for each in back.layers if each.weights] == [type(each) for each in model.layers if each.weights]


def test_random_layers() -> None:
    """Noise and dropout do nothing in predictions, and go there and back with their arguments."""
    chain: list[Any] = [make() for make in RANDOM.values()]
    pictures = [(make(), row) for make, row in OF_COLUMNS.values()]
    models = [Sequential([L.Input((5,)), *chain, L.Dense(2)])]
    models += [Sequential([L.Input(row), layer, L.Flatten(), L.Dense(2)]) for layer, row in pictures]
    flips = L.RandomFlip("vertical", seed=3)
    models.append(Sequential([L.Input((4, 4, 2)), flips, L.Flatten(), L.Dense(2)]))
    for model in models:
        x = np.random.default_rng(0).normal(size=(6, *model.input_shape[1:])).astype("f4")
        theirs = to_keras(model)
        assert apart(theirs.predict(x, verbose=0), model.predict(x)) <= 1e-5
        for one, other in zip(model.layers, from_keras(theirs).layers, strict=True):
            assert vars(other).get("rate") == vars(one).get("rate")
            assert vars(other).get("seed") == vars(one).get("seed")


def test_every_layer_is_met() -> None:
    """A layer that is new here is in a case above, of the front, refused with a reason or not in Keras."""
    LAYERS.load()
    front = {type(case.make()) for case in FRONT.values()}
    cells = {L.GRUCell, L.LSTMCell, L.SimpleRNNCell, L.StackedRNNCells, L.InputLayer}  # within others, above
    known = (
        {type(CASES[title].make()) for title in TITLES}
        | front
        | cells
        | {type(make()) for make in RANDOM.values()}
        | {L.RandomFlip}
    )
    known |= {type(make()) for make, _ in OF_COLUMNS.values()}
    left = {cls.__name__ for _, cls in LAYERS if cls not in known} - REFUSED.keys() - LACKING
    assert not left


def test_what_keras_lacks() -> None:
    """The tables of names are what Keras has not, no less and no more."""
    from fastnn.optimizers.schedules import SCHEDULES

    homes = [(LAYERS, keras.layers), (LOSSES, keras.losses), (METRICS, keras.metrics), (OPTIMIZERS, keras.optimizers)]
    homes.append((SCHEDULES, keras.optimizers.schedules))
    lacking = {cls.__name__ for table, home in homes for _, cls in table if not hasattr(home, cls.__name__)}
    assert lacking - {"Operation"} == LACKING


def test_activations() -> None:
    """Each with the numbers that it has in the tables' tests; what Keras has in another way is refused by name."""
    x, going = L.Input((5,)), []
    for activation in units(ACTIVATIONS):
        own = activation != type(activation)() and not isinstance(
            activation, (activations.ReLU, activations.LeakyReLU, activations.ELU)
        )
        if activation.table_name in OTHERS or own or getattr(activation, "negative_slope", 1) < 0:
            with pytest.raises(ValueError, match=r"cannot go to Keras|does not take"):
                to_keras(Sequential([L.Input((5,)), L.Dense(6, activation)]))
        else:
            going.append(L.Dense(6, activation))
    assert len(going) > 20
    model = Model(x, [layer(x) for layer in going])
    rows = np.random.default_rng(1).normal(size=(9, 5)).astype("f4")
    theirs = to_keras(model)
    back = from_keras(theirs)
    for layer, mine, other, again in zip(going, model.predict(rows), theirs(rows), back.predict(rows), strict=True):
        assert apart(other, mine) <= 1e-5, layer.activation
        assert apart(again, mine) == 0, layer.activation
    known = {layer.name: layer.activation for layer in back.layers if isinstance(layer, L.Dense)}
    assert all(known[name] == layer.activation for name, layer in zip(model.output_names, going, strict=True))


def test_shared_and_nested() -> None:
    """Several inputs and outputs, a layer that two read, a model in a model, twice."""
    a, b = L.Input((4,), name="a"), L.Input((3,), name="b")
    shared = L.Dense(5, "tanh")
    inner = Sequential([L.Input((5,)), L.Dense(4), L.LayerNormalization()], name="inner")
    deep_in = L.Input((4,))
    deep = Model(deep_in, L.BatchNormalization()(L.Dense(4, "relu")(deep_in)), name="deep")
    one, other = inner(shared(L.Dense(6)(a))), deep(inner(shared(L.Dense(6)(b))))
    first = L.Dense(2, name="first")(L.Concatenate()([one, other]))
    model = Model({"a": a, "b": b}, {"first": first, "second": L.Dense(1)(L.Add()([one, other]))})
    rng = np.random.default_rng(2)
    x = {"a": rng.normal(size=(7, 4)).astype("f4"), "b": rng.normal(size=(7, 3)).astype("f4")}
    theirs = to_keras(model)
    expected, found = model.predict(x), theirs.predict(x, verbose=0)
    back = from_keras(theirs)
    for name in expected:
        assert apart(found[name], expected[name]) <= 1e-5
        assert apart(back.predict(x)[name], expected[name]) <= 1e-6
    assert len(back.weights) == len(model.weights)


def test_training_of_a_call() -> None:
    """In Keras that of the run takes its place: what is drawn in a fit alone is not drawn in predictions."""
    x = keras.layers.Input((5,))
    theirs = keras.Model(x, keras.layers.Dense(2)(keras.layers.Dropout(0.5)(x, training=True)))
    rows = np.random.default_rng(0).normal(size=(6, 5)).astype("f4")
    assert apart(from_keras(theirs).predict(rows), theirs.predict(rows, verbose=0)) <= 1e-5
    start = L.Input((5,))
    with pytest.raises(ValueError, match="'dropout' cannot go to Keras: it is called with training="):
        to_keras(Model(start, L.Dropout(0.5)(start, training=True)))


def test_masks() -> None:
    """Keras writes each mask as an operation; here layers pass them on."""
    lib = keras.layers
    x = lib.Input((6,))
    h = lib.Bidirectional(lib.LSTM(3, return_sequences=True))(lib.Embedding(9, 4, mask_zero=True)(x))
    models = [(keras.Model(x, lib.GRU(3)(h)), np.random.default_rng(0).integers(0, 9, (5, 6)).astype("f4"))]
    x = lib.Input((6, 3))
    h = lib.Masking()(x)
    steps = np.random.default_rng(1).normal(size=(5, 6, 3)).astype("f4")
    steps[:, 4:] = 0
    models.append(
        (keras.Model(x, lib.GRU(3)(lib.Add()([lib.LSTM(3, return_sequences=True)(h), lib.Dense(3)(h)]))), steps)
    )
    for theirs, rows in models:
        ours = from_keras(theirs)
        assert apart(ours.predict(rows), theirs.predict(rows, verbose=0)) <= 1e-5
        assert apart(to_keras(ours).predict(rows, verbose=0), ours.predict(rows)) <= 1e-5


def test_shared_by_two_models(tmp_path: Any) -> None:
    """A model that stands in this one and in a model of it stays one. Keras writes such a file, and cannot read it."""
    inner = Sequential([L.Input((4,)), L.Dense(4, "tanh")], name="inner")
    start, x = L.Input((4,)), L.Input((4,))
    deep = Model(start, inner(L.Dense(4)(start)), name="deep")
    model = Model(x, L.Add()([inner(x), deep(x)]))
    model.save(tmp_path / "x.keras")
    again = load_model(tmp_path / "x.keras")
    rows = np.random.default_rng(0).normal(size=(5, 4))
    np.testing.assert_array_equal(again.predict(rows), model.predict(rows))
    assert len(again.weights) == len(model.weights) == 4


def random_graph(lib: Any, rng: np.random.Generator) -> Any:
    """A graph of layers, of which some are called twice; of the same draws the same in both libraries."""
    layers = lib.layers
    tensors = [layers.Input((4,)) for _ in range(rng.integers(1, 4))]
    inputs, known = list(tensors), []
    for _ in range(rng.integers(4, 12)):
        one, other = (tensors[rng.integers(len(tensors))] for _ in range(2))
        kind = rng.integers(5)
        if kind in (0, 4) and known:
            tensors.append(known[rng.integers(len(known))](one))
        elif kind == 1 and one is not other:
            tensors.append(layers.Add()([one, other]))
        elif kind == 2:
            inner = lib.Sequential([layers.Input((4,)), layers.Dense(4), layers.BatchNormalization()])
            known.append(inner)
            tensors.append(inner(one))
        else:
            known.append(layers.Dense(4, "tanh"))
            tensors.append(known[-1](one))
    used = tensors[len(inputs) :]
    outputs = [used[at] for at in sorted({int(rng.integers(len(used))) for _ in range(2)} | {len(used) - 1})]
    try:
        return lib.Model(inputs, outputs)
    except ValueError:  # an input that nothing reads: of one library alone
        return None


def test_random_graphs(tmp_path: Any) -> None:
    """The order in which Keras numbers layers is that of the graph, shared layers and models among them."""
    import fastnn

    done = 0
    for seed in range(40):
        theirs, ours = (random_graph(lib, np.random.default_rng(seed)) for lib in (keras, fastnn))
        if theirs is None or ours is None:
            continue
        theirs.set_weights([np.random.default_rng(seed).normal(size=w.shape) for w in theirs.get_weights()])
        path = str(tmp_path / "x.weights.h5")
        theirs.save_weights(path)
        ours.load_weights(path)
        done += 1
        for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, other)
        ours.set_weights([w + 1 for w in ours.get_weights()])
        ours.save_weights(path)
        theirs.load_weights(path)
        for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, other)
    assert done > 20
