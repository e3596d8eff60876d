"""One call that makes a model small or fast: what it keeps, what it takes back, and on what data."""

from __future__ import annotations

import os

import numpy as np
import pytest

import fastnn
from fastnn import Model, Sequential, layers as L
from fastnn.compress import Compressed, compress
from fastnn.compress.densities import shares_of
from fastnn.data import SQLDataset
from fastnn.models import load_model
from support.database import connect
from support.small import bits

RNG = np.random.default_rng(0)
# Two classes that eight of twenty columns tell apart.
X = RNG.normal(size=(600, 20)).astype(np.float32)
Y = (X[:, :8].sum(axis=1) > 0).astype(int)
DATA, JUDGING = (X[:400], Y[:400]), (X[400:], Y[400:])
FEW = {"epochs": 2, "batch_size": 32, "verbose": 0}


def fitted(*layers, loss="sparse_categorical_crossentropy", y=Y, epochs=6):
    fastnn.set_random_seed(0)
    model = Sequential([L.Input((20,)), *(layers or (L.Dense(64, "relu"), L.Dropout(0.1), L.Dense(2, "softmax")))])
    model.compile("adam", loss)
    model.fit(X[:400], y[:400], epochs=epochs, verbose=0)
    return model


@pytest.fixture(scope="module")
def model():
    return fitted()


def accuracy(model) -> float:
    return float((model.predict(JUDGING[0]).argmax(axis=1) == JUDGING[1]).mean())


def left(model) -> float:
    """The share of the kernels' numbers that are no zeros."""
    kernels = [w for w in model.get_weights() if w.ndim > 1]
    return sum(map(np.count_nonzero, kernels)) / sum(w.size for w in kernels)


@pytest.mark.parametrize("target", ["size", "speed"])
def test_it_is_smaller_and_as_good(model, target, tmp_path):
    before = bits(model)
    found = compress(model, DATA, 0.02, target, validation_data=JUDGING, **FEW)
    assert bits(model) == before  # it stays as it is
    first, last = found.steps[0], found.last
    assert (first.name, first.kept) == ("as given", True)
    assert found.measure == "accuracy"
    assert first.score == accuracy(model)
    assert last.score == accuracy(found.model) >= first.score - 0.02
    assert first.bytes > (5 if target == "size" else 2) * last.bytes
    for step in found.steps:
        # What was too bad was taken back; int8 also where it was no faster, and a codebook where it was no smaller.
        or_no_better = step.name == "int8 weights" or "bits" in step.name
        assert step.kept == (step.score >= first.score - 0.02) or (or_no_better and not step.kept)
        assert step.row > 0
        assert step.rows > 0
    path = tmp_path / "small.fastnn"
    found.save(path)
    assert os.path.getsize(path) == last.bytes
    loaded = load_model(path)
    assert accuracy(loaded) == last.score
    assert not isinstance(loaded, Compressed)
    if target == "speed":
        assert found.model.count_params() < 0.6 * model.count_params()
    else:
        kernel = found.model.get_weights()[0]
        assert (kernel == 0).mean() > 0.3
        loaded.fit(*DATA, epochs=1, verbose=0)  # an ordinary model


def test_nothing_may_be_lost(model):
    """The score of what is kept is never below the first, and a file is at least compressed."""
    found = compress(model, DATA, 0.0, scoring=lambda m, x, y: float(m is model), validation_data=JUDGING, **FEW)
    assert [step.kept for step in found.steps].count(True) == 1 + (found.steps[-1].name == "a compressed file")
    kept = [step for step in found.steps if step.kept]
    assert found.last is kept[-1]
    assert found.last.bytes < found.steps[0].bytes


def test_the_ladder_is_climbed_until_it_breaks(model):
    """As scoring says it: all is well until a tenth of the weights is left."""
    asked = []

    def scoring(candidate, x, y):
        asked.append(left(candidate))
        return float(asked[-1] > 0.15)

    found = compress(
        model, DATA, 0.5, validation_data=JUDGING, scoring=scoring, sparsities=(0.5, 0.8, 0.9, 0.95), **FEW
    )
    names = [(step.name, step.kept) for step in found.steps if step.name.endswith("of the weights")]
    assert names == [("0.5 of the weights", True), ("0.2 of the weights", True), ("0.1 of the weights", False)]
    assert found.measure == "score"
    assert found.compression == {"bits": 2}
    assert left(found.model) == asked[-1] == pytest.approx(0.2, abs=0.01)
    assert asked[-7] == pytest.approx(0.1, abs=0.01)


def test_without_some_of_the_steps(model):
    found = compress(model, DATA, 0.5, validation_data=JUDGING, units=(), sparsities=(), **FEW)
    assert {step.name[:7] for step in found.steps} == {"as give", "weights"}
    found = compress(model, DATA, 0.5, "speed", validation_data=JUDGING, units=(0.75,), **FEW)
    assert [layer.units for layer in found.model.layers if isinstance(layer, L.Dense)] == [48, 2]
    found = compress(model, DATA, 0.5, "speed", validation_data=JUDGING, units=(), **FEW)
    assert found.model.count_params() == model.count_params()


def test_where_the_first_step_is_too_much(model):
    def scoring(candidate, x, y):
        return float(left(candidate) > 0.55)

    found = compress(model, DATA, 0.5, validation_data=JUDGING, scoring=scoring, **FEW)
    names = [(step.name, step.kept) for step in found.steps if step.name.endswith("of the weights")]
    assert names == [("0.2 of the weights", False), ("0.4 of the weights", False), ("0.6 of the weights", True)]


def test_where_no_codebook_will_do(model):
    """Then of a model that was pruned less; and if there is none, the file is compressed alone."""

    def scoring(candidate, x, y):
        kernel = candidate.get_weights()[0]
        return float(len(np.unique(kernel)) > 300)

    found = compress(model, DATA, 0.5, validation_data=JUDGING, scoring=scoring, sparsities=(0.3,), **FEW)
    assert found.compression is True
    names = [step.name for step in found.steps]
    assert names.count("weights of 8 bits") == 2  # of the pruned one, and of that with fewer units


def test_numbers_are_judged_by_r_squared():
    y = X @ RNG.normal(size=(20, 1)).astype(np.float32)
    model = fitted(L.Dense(32, "relu"), L.Dense(1), loss="mse", y=y, epochs=20)
    found = compress(model, (X[:400], y[:400]), 0.05, validation_data=(X[400:], y[400:]), **FEW)
    assert found.measure == "R2"
    truth, given = y[400:].astype(float), model.predict(X[400:]).reshape(-1, 1)
    expected = 1 - ((truth - given) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    assert found.steps[0].score == pytest.approx(expected, abs=1e-5)
    assert found.last.score >= expected - 0.05


@pytest.mark.parametrize("last", ["sigmoid", "several", "one-hot", "logits"])
def test_classes_in_other_forms(last):
    y, layer, loss = Y, L.Dense(1, "sigmoid"), "binary_crossentropy"
    if last == "several":
        y, layer = np.stack([Y, 1 - Y, X[:, 0] > 0], axis=1), L.Dense(3, "sigmoid")
    elif last == "one-hot":
        y, layer, loss = np.eye(2)[Y], L.Dense(2, "softmax"), "categorical_crossentropy"
    elif last == "logits":
        layer, loss = L.Dense(2), fastnn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = fitted(L.Dense(32, "relu"), layer, loss=loss, y=y)
    found = compress(model, (X[:400], y[:400]), 0.05, validation_data=(X[400:], y[400:]), **FEW)
    given = model.predict(X[400:])
    expected = (
        (given.argmax(axis=1) == Y[400:])
        if last in ("one-hot", "logits")
        else (given > 0.5) == y[400:].reshape(given.shape)
    )
    assert found.measure == "accuracy"
    assert found.steps[0].score == expected.mean()


def test_a_graph_with_pictures_states_and_two_outputs():
    fastnn.set_random_seed(0)
    picture, series = L.Input((8, 8, 1)), L.Input((5, 4))
    seen = L.Flatten()(L.MaxPooling2D()(L.BatchNormalization()(L.Conv2D(8, 3, activation="relu")(picture))))
    read = L.GRU(12)(series)
    both = L.Dense(32, "relu")(L.Concatenate()([seen, read]))
    model = Model([picture, series], [L.Dense(3, "softmax", name="a")(both), L.Dense(1, name="b")(both)])
    model.compile("adam", ["sparse_categorical_crossentropy", "mse"])
    x = [RNG.normal(size=(200, 8, 8, 1)), RNG.normal(size=(200, 5, 4))]
    y = [RNG.integers(0, 3, 200), RNG.normal(size=(200, 1))]
    for target in ("size", "speed"):
        found = compress(model, (x, y), 0.9, target, **FEW)
        assert found.last.bytes < found.steps[0].bytes / 2
        given = found.model.predict(x)
        assert [each.shape for each in given] == [(200, 3), (200, 1)]


class Own(Model):
    """A class of the user's own."""

    def __init__(self, units=32, **names):
        super().__init__(**names)
        self.first, self.drop, self.last = L.Dense(units, "relu"), L.Dropout(0.2), L.Dense(2, "softmax")

    def call(self, inputs):
        return self.last(self.drop(self.first(inputs)))


def _of_texts():
    words = L.TextVectorization(output_sequence_length=4, vocabulary=["a", "b", "c"])
    read = [L.Input((1,), dtype="string"), words, L.Embedding(5, 32, mask_zero=True), L.Bidirectional(L.LSTM(8))]
    return Sequential([*read, L.Dense(2, "softmax")])


def _shared():
    inner = Sequential([L.Dense(16, "relu"), L.Dense(16, "relu")])
    given = L.Input((20,))
    first = L.Dense(16)(given)
    return Model(given, L.Dense(2, "softmax")(L.Add()([inner(inner(first)), L.Dense(16)(given)])))


@pytest.mark.parametrize("make", [Own, _of_texts, _shared])
@pytest.mark.parametrize("target", ["size", "speed"])
def test_odd_models(make, target, tmp_path):
    model = make()
    model.compile("adam", "sparse_categorical_crossentropy")
    x = np.array(["a b", "c", "b a c"])[RNG.integers(0, 3, (400, 1))] if make is _of_texts else DATA[0]
    model.fit(x, DATA[1], verbose=0)
    found = compress(model, (x, DATA[1]), 0.9, target, **FEW)
    assert found.last.bytes < found.steps[0].bytes
    found.save(tmp_path / "small.fastnn")
    loaded = load_model(tmp_path / "small.fastnn", {"Own": Own})
    assert (loaded.predict(x) == found.model.predict(x)).all()


def test_rows_with_weights_and_without_a_part_to_judge(model):
    weights = np.ones(400)
    found = compress(model, (*DATA, weights), 0.1, **FEW)
    again = compress(model, DATA, 0.1, random_state=1, **FEW)
    # A fifth judges, drawn by random_state: other rows, another score.
    assert found.steps[0].score * 80 == pytest.approx(round(found.steps[0].score * 80))
    assert again.steps[0].bytes == found.steps[0].bytes


def test_a_dataset_of_a_database(tmp_path):
    path = tmp_path / "rows.db"
    names = [f"c{k}" for k in range(20)]
    con = connect(path)
    with con:
        con.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(names)}, y)")
        rows = [(number, *map(float, x), int(y)) for number, (x, y) in enumerate(zip(X, Y, strict=True))]
        con.executemany(f"INSERT INTO t VALUES ({', '.join('?' * 22)})", rows)
    con.close()
    data = SQLDataset("SELECT * FROM t", str(path), target="y", key="id")
    model = fitted()
    found = compress(model, data, 0.05, **FEW)
    assert found.last.bytes < found.steps[0].bytes / 4
    _, judging = data.split(0.2)
    assert compress(model, data, 0.05, validation_data=judging, **FEW).steps[0].score == found.steps[0].score
    with pytest.raises(ValueError, match="key"):
        compress(model, SQLDataset("SELECT * FROM t", str(path), target="y", features=names), **FEW)


def test_what_nothing_can_be_taken_of():
    model = Sequential([L.Dense(1, input_dim=20)])
    model.compile("sgd", "mse")
    y = X[:, :1]
    for target in ("size", "speed"):
        found = compress(model, (X, y), 0.9, target, **FEW)
        assert found.last.bytes < found.steps[0].bytes
    frozen = fitted()
    frozen.trainable = False
    frozen.compile("sgd", "sparse_categorical_crossentropy")
    found = compress(frozen, DATA, 0.9, validation_data=JUDGING, **FEW)
    assert "of the weights" not in str(found)


def test_a_learning_rate_that_is_a_schedule(model):
    from fastnn.optimizers import Adam, schedules

    other = load_model(_saved(model))
    other.compile(Adam(schedules.ExponentialDecay(1e-3, 100, 0.9)), "sparse_categorical_crossentropy")
    assert compress(other, DATA, 0.1, validation_data=JUDGING, **FEW).last.bytes


def _saved(model):
    from io import BytesIO

    file = BytesIO()
    model.save(file)
    file.seek(0)
    return file


def test_the_table(model, capsys):
    found = compress(model, DATA, 0.02, validation_data=JUDGING, epochs=1, batch_size=64)
    printed = capsys.readouterr().out
    lines = found.table().splitlines()
    assert str(found) == found.table()
    assert len(lines) == len(found.steps) + 1 == len(printed.splitlines())
    assert [line.split() for line in lines] == [line.split() for line in printed.splitlines()]
    assert lines[0].split("  ")[0] == "step"
    assert "1.0x" in lines[1]
    assert repr(found).startswith("<Compressed: ")


def test_the_same_call_gives_the_same_model(model):
    found = []
    for _ in range(2):
        fastnn.set_random_seed(3)
        found.append(compress(model, DATA, 0.02, **FEW))
    assert bits(found[0].model) == bits(found[1].model)


WRONG = [
    ({"max_loss": -0.1}, ValueError, "max_loss must be at least 0 and below 1, got -0.1"),
    ({"max_loss": 1}, ValueError, "max_loss must be"),
    ({"max_loss": "x"}, TypeError, "max_loss must be a number"),
    ({"target": "both"}, ValueError, "target must be 'size' or 'speed', got 'both'"),
    ({"target": ["size"]}, ValueError, "target must be"),
    ({"epochs": 0}, ValueError, "epochs must be"),
    ({"batch_size": 0.5}, TypeError, "batch_size must be"),
    ({"scoring": "accuracy"}, TypeError, r"scoring must be a function of \(model, x, y\)"),
    ({"scoring": lambda *_: "good"}, TypeError, "what scoring gives must be a number"),
    ({"sparsities": (0.9, 0.5)}, ValueError, "sparsities must rise"),
    ({"units": (0.25, 0.5)}, ValueError, "units must fall"),
    ({"units": (1.0, 0.5)}, ValueError, "units must fall"),
    ({"sparsities": (0.5, 1.0)}, ValueError, "sparsities must rise"),
    ({"sparsities": 0.9}, TypeError, "sparsities must be a list of shares"),
    ({"sparsities": ("x",)}, TypeError, "sparsities must be a number"),
    ({"data": X}, ValueError, r"data must be \(x, y\), or a dataset of a database with a key"),
    ({"data": (X,)}, ValueError, r"data must be \(x, y\) or \(x, y, sample_weight\), got 1 parts"),
    ({"data": (X, Y[:5])}, ValueError, "as many rows"),
    ({"validation_data": X[:5]}, ValueError, "must have targets"),
    ({"validation_data": (X[:5, :3], Y[:5])}, ValueError, "20"),
    ({"random_state": -1}, ValueError, "random_state must be"),
]


@pytest.mark.parametrize(("given", "error", "message"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_be(model, given, error, message):
    with pytest.raises(error, match=message):
        compress(model, given.pop("data", DATA), **{**FEW, **given})


def test_what_cannot_be_compressed(model):
    with pytest.raises(TypeError, match="must be a fastnn"):
        compress(3, DATA)
    with pytest.raises(RuntimeError, match="is not built yet"):
        compress(Sequential([L.Dense(1)]), DATA)
    plain = load_model(_saved(model), compile=False)
    with pytest.raises(RuntimeError, match="is not compiled yet"):
        compress(plain, DATA)


def test_a_model_of_nan(model):
    broken = load_model(_saved(model))
    broken.set_weights([np.full_like(w, np.nan) for w in broken.get_weights()])
    with pytest.raises(ValueError, match="predicts NaN"):
        compress(broken, DATA, scoring=lambda *_: np.nan, **FEW)


def test_how_much_of_each_layer_stays():
    """LeNet-5's five kernels, by hand: the sum of the sides over their product, times one number."""
    pictures = [L.Input((28, 28, 1)), L.Conv2D(6, 5, padding="same"), L.MaxPooling2D(), L.Conv2D(16, 5)]
    model = Sequential([*pictures, L.MaxPooling2D(), L.Flatten(), L.Dense(120), L.Dense(84), L.Dense(10)])
    model.compile("adam", "mse")
    sizes = [150, 2400, 48000, 10080, 840]
    sides = [17, 32, 520, 204, 94]
    stays = [1 - share for share in shares_of(model, 0.9).values()]
    scale = 0.1 * sum(sizes) / sum(sides)
    assert stays == pytest.approx([scale * b / a for a, b in zip(sizes, sides, strict=True)])
    half = [1 - share for share in shares_of(model, 0.5).values()]
    assert half[0] == half[4] == 1
    assert sum(a * b for a, b in zip(sizes, half, strict=True)) == pytest.approx(0.5 * sum(sizes))
