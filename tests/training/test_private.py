"""Differentially private steps: rows clipped as a loop over rows clips them, noise as it is said, what is refused."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L
from fastnn.callbacks import BackupAndRestore, LambdaCallback
from fastnn.models import Model, Sequential, load_model
from fastnn.optimizers import DPSGD, SGD, dp_epsilon

RNG = np.random.default_rng(0)
ROWS = 40


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


def numbers(*shape: int) -> np.ndarray:
    return RNG.normal(size=(ROWS, *shape)).astype("f4")


def ids(*shape: int) -> np.ndarray:
    return RNG.integers(0, 7, (ROWS, *shape))


def branches() -> Model:
    x = L.Input((6,))
    return Model(x, L.Concatenate()([L.Dense(5, "tanh")(x), L.Dropout(0.0)(L.Dense(3)(x))]))


def attention() -> Model:
    x = L.Input((5, 4))
    return Model(x, L.Dense(2)(L.Flatten()(L.LayerNormalization()(L.MultiHeadAttention(2, 3)(x, x)))))


NETS: dict[str, tuple[Callable[[], Any], np.ndarray]] = {
    "dense": (lambda: Sequential([L.Dense(8, "relu", input_shape=(6,)), L.Dense(3, use_bias=False)]), numbers(6)),
    "lines": (
        lambda: Sequential([L.Dense(4, "tanh", input_shape=(5, 3)), L.Flatten(), L.Dense(2)]),
        numbers(5, 3),
    ),
    "lines without bias": (
        lambda: Sequential([L.Dense(4, use_bias=False, input_shape=(5, 3)), L.GlobalAveragePooling1D(), L.Dense(2)]),
        numbers(5, 3),
    ),
    "slices": (
        lambda: Sequential([L.Input((3, 4)), L.TimeDistributed(L.Dense(2, "elu")), L.Flatten(), L.Dense(1)]),
        numbers(3, 4),
    ),
    "embedding": (
        lambda: Sequential([L.Input((6,)), L.Embedding(7, 3), L.Flatten(), L.Dense(2, "tanh"), L.Dense(1)]),
        ids(6),
    ),
    "embedding in slices": (
        lambda: Sequential([L.Input((4, 3)), L.TimeDistributed(L.Embedding(7, 2)), L.Flatten(), L.Dense(2)]),
        ids(4, 3),
    ),
    "normalised": (
        lambda: Sequential([L.Input((4, 5)), L.LayerNormalization(), L.Flatten(), L.Dense(2)]),
        numbers(4, 5),
    ),
    "normalised without scale": (
        lambda: Sequential([L.Input((4, 5)), L.LayerNormalization(scale=False), L.Flatten(), L.Dense(2)]),
        numbers(4, 5),
    ),
    "root mean square": (
        lambda: Sequential([L.Input((4, 5)), L.RMSNormalization(), L.Flatten(), L.Dense(2)]),
        numbers(4, 5),
    ),
    "einsum": (
        lambda: Sequential(
            [L.Input((4, 3)), L.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d"), L.Flatten(), L.Dense(2)]
        ),
        numbers(4, 3),
    ),
    "branches": (branches, numbers(6)),
    "attention": (attention, numbers(5, 4)),
    "parts of a batch": (
        lambda: Sequential([L.Dense(64, "tanh", input_shape=(600, 40)), L.GlobalAveragePooling1D(), L.Dense(1)]),
        numbers(600, 40),
    ),
    "penalties": (
        lambda: Sequential([L.Dense(4, "tanh", kernel_regularizer="l2", input_shape=(6,)), L.Dense(2)]),
        numbers(6),
    ),
    "frozen": (
        lambda: Sequential(
            [L.Dense(4, "tanh", trainable=False, input_shape=(6,)), L.BatchNormalization(trainable=False), L.Dense(2)]
        ),
        numbers(6),
    ),
}


def called_twice() -> Model:
    x, layer = L.Input((4,)), L.Dense(4, "tanh")
    return Model(x, L.Dense(2)(layer(layer(x))))


# Of these no op knows how long a row's gradient is, or two share their weights: a row goes after the other.
NETS |= {
    "called twice": (called_twice, numbers(4)),
    "PReLU": (lambda: Sequential([L.Input((4,)), L.Dense(5), L.PReLU(), L.Dense(2)]), numbers(4)),
    "convolutions": (
        lambda: Sequential(
            [
                L.Input((9, 8, 2)),
                L.Conv2D(4, 3, activation="relu"),
                L.MaxPooling2D(2),
                L.DepthwiseConv2D(2, activation="tanh"),
                L.SeparableConv2D(3, 2),
                L.Flatten(),
                L.Dense(2),
            ]
        ),
        numbers(9, 8, 2),
    ),
    "a large convolution": (  # whose gradient is not left by blocks of rows
        lambda: Sequential(
            [L.Input((5, 16)), L.Conv1D(70, 3), L.Conv1DTranspose(4, 3, 2), L.GlobalMaxPooling1D(), L.Dense(1)]
        ),
        numbers(5, 16),
    ),
    "group normalised": (
        lambda: Sequential([L.Input((4, 6)), L.GroupNormalization(3), L.Flatten(), L.Dense(2)]),
        numbers(4, 6),
    ),
    "LSTM": (
        lambda: Sequential([L.Input((5, 3)), L.Bidirectional(L.LSTM(4, return_sequences=True)), L.LSTM(3), L.Dense(2)]),
        numbers(5, 3),
    ),
    "GRU": (
        lambda: Sequential([L.Input((6,)), L.Embedding(7, 3, mask_zero=True), L.GRU(4), L.Dense(2)]),
        ids(6),
    ),
    "SimpleRNN and penalties": (
        lambda: Sequential([L.Input((5, 3)), L.SimpleRNN(4, kernel_regularizer="l1"), L.Dense(2)]),
        numbers(5, 3),
    ),
    "frozen convolution": (
        lambda: Sequential([L.Input((6, 2)), L.Conv1D(3, 2, trainable=False), L.LSTM(3), L.Dense(1)]),
        numbers(6, 2),
    ),
}


def made(name: str, optimizer: Any, seed: int = 3) -> tuple[Any, np.ndarray, np.ndarray]:
    fastnn.set_random_seed(seed)
    make, x = NETS[name]
    model = make()
    model.compile(optimizer, "mse")
    y = np.random.default_rng(1).normal(size=(ROWS, model.output_shape[-1])).astype("f4")
    return model, x, y


def gradient(model: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """The gradient of some rows' mean loss, penalties included, by all weights that learn."""
    network = model.description.trainer.configured()
    network.gradient(x.reshape(len(x), -1).astype("f4"), y, weight)
    return np.concatenate(
        [network.gradients[v.start : v.start + v.rows * v.columns].astype(float) for v in model.description.variables()]
    )


def weights(model: Any) -> np.ndarray:
    flat = model.description.network.parameters
    return np.concatenate([flat[v.start : v.start + v.rows * v.columns] for v in model.description.variables()])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_rows_are_clipped_as_a_loop_over_rows_clips_them(name: str, weighted: bool) -> None:
    plain, x, y = made(name, SGD(0.0))
    weight = np.linspace(0, 3, ROWS).astype("f4") if weighted else None
    plain.fit(x[:1], y[:1], verbose=0)
    penalty = gradient(plain, x, y, np.zeros(ROWS, "f4"))  # of no row
    rows = [
        gradient(plain, x[i : i + 1], y[i : i + 1], None if weight is None else weight[i : i + 1]) - penalty
        for i in range(ROWS)
    ]
    norms = np.array([np.linalg.norm(row) for row in rows])
    clip = float(np.median(norms))
    expected = (
        sum(row * min(1, clip / max(norm, 1e-30)) for row, norm in zip(rows, norms, strict=True)) / ROWS + penalty
    )
    model, _, _ = made(name, DPSGD(0.5, noise=0, clip=clip))
    model.predict(x[:1])
    before = weights(model)
    np.testing.assert_array_equal(before, weights(plain))
    model.fit(x, y, batch_size=ROWS, sample_weight=weight, shuffle=False, verbose=0)
    assert (0 < model.description.network.part_rows < ROWS) == (name == "parts of a batch")
    np.testing.assert_allclose((before - weights(model).astype(float)) / 0.5, expected, rtol=2e-4, atol=2e-6 * clip)


def test_gradients_of_rows_by_hand() -> None:
    """Two layers in float64, a row at a time, nothing of which comes from the engine."""
    fastnn.set_random_seed(1)
    model = Sequential([L.Dense(5, "tanh", input_shape=(4,)), L.Dense(2)])
    model.compile(DPSGD(0.25, noise=0, clip=2.0, momentum=0.5), "mse")
    x, y = numbers(4), numbers(2)
    model.predict(x)
    w = [np.asarray(each, float) for each in model.get_weights()]
    velocity = [np.zeros_like(each) for each in w]
    for start in (0, 16, 32):
        total, clipped = [np.zeros_like(each) for each in w], 0
        for row, target in zip(x[start : start + 16].astype(float), y[start : start + 16], strict=True):
            hidden = np.tanh(row @ w[0] + w[1])
            d = hidden @ w[2] + w[3] - target
            d_hidden = (w[2] @ d) * (1 - hidden**2)
            gradients = [np.outer(row, d_hidden), d_hidden, np.outer(hidden, d), d]
            norm = np.sqrt(sum((each**2).sum() for each in gradients))
            clipped += norm > 2.0
            total = [a + b * min(1, 2.0 / norm) for a, b in zip(total, gradients, strict=True)]
        rows = len(x[start : start + 16])
        assert 0 < clipped < rows
        velocity = [0.5 * v - 0.25 * g / rows for v, g in zip(velocity, total, strict=True)]
        w = [a + v for a, v in zip(w, velocity, strict=True)]
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    for found, expected in zip(model.get_weights(), w, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["lines", "embedding", "attention", "convolutions", "GRU"])
def test_no_bit_depends_on_threads(name: str) -> None:
    found = []
    for threads in (1, 2, 3):
        fastnn.set_num_threads(threads)
        model, x, y = made(name, DPSGD(0.1, noise=0.5, clip=0.3, momentum=0.9))
        model.fit(np.tile(x, (50,) + (1,) * (x.ndim - 1)), np.tile(y, (50, 1)), batch_size=400, epochs=2, verbose=0)
        found.append(weights(model).tobytes())
    assert len(set(found)) == 1


def wide(noise: float, clip: float, seed: int, **more: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    fastnn.set_random_seed(seed)
    model = Sequential([L.Dense(64, input_shape=(101,)), L.Dense(3)])
    model.compile(DPSGD(1.0, noise=noise, clip=clip, **more), "mse")
    rng = np.random.default_rng(2)
    return model, rng.normal(size=(60, 101)).astype("f4"), rng.normal(size=(60, 3)).astype("f4")


@pytest.mark.parametrize("rows", [60, 25])
def test_noise_has_the_deviation_that_is_said(rows: int) -> None:
    """Of each batch, the last smaller one too; independent from weight to weight and from step to step."""
    noises = []
    for step in range(30):
        found = []
        for noise in (0.0, 1.7):
            model, x, y = wide(noise, 0.01, 5 + step // 10)  # three seeds, ten steps each
            model.predict(x[:1])
            start = weights(model)
            model.description.trainer.configured().iterations = step % 10
            model.train_on_batch(x[:rows], y[:rows])
            found.append(start - weights(model).astype(float))
        noises.append((found[1] - found[0]) * rows / (0.01 * 1.7))
    z = np.array(noises)
    assert abs(z.mean()) < 5 / z.size**0.5
    assert abs(z.std() - 1) < 0.01
    assert abs((z**4).mean() - 3) < 0.06
    assert np.abs(np.corrcoef(z) - np.eye(len(z))).max() < 0.06
    assert abs(np.corrcoef(z[:, :3232].ravel(), z[:, 3232:6464].ravel())[0, 1]) < 0.02  # halves of blocks


def test_goes_on_to_the_bit(tmp_path: Path) -> None:
    whole, x, y = wide(0.7, 0.1, 1, momentum=0.5)
    whole.fit(x, y, epochs=4, batch_size=16, verbose=0)
    for stop in (1, 2):
        model, _, _ = wide(0.7, 0.1, 1, momentum=0.5)

        def leave(epoch: int, logs: Any, stop: int = stop) -> None:
            if epoch == stop:
                raise KeyboardInterrupt

        path = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            model.fit(
                x,
                y,
                epochs=4,
                batch_size=16,
                verbose=0,
                callbacks=[BackupAndRestore(path), LambdaCallback(on_epoch_begin=leave)],
            )
        again, _, _ = wide(0.7, 0.1, 1, momentum=0.5)
        again.fit(x, y, epochs=4, batch_size=16, verbose=0, callbacks=[BackupAndRestore(path)])
        np.testing.assert_array_equal(weights(again), weights(whole))


def test_files_have_no_seed_that_would_take_the_noise_away(tmp_path: Path) -> None:
    """Also once the model was compiled anew."""
    model, x, y = wide(0.7, 0.1, 1)
    model.fit(x, y, epochs=1, verbose=0)
    seed = str(model.description.network.seed).encode()
    for optimizer in (None, "sgd"):
        if optimizer:
            model.compile(optimizer, "mse")
        assert seed not in pickle.dumps(model)
        model.save(tmp_path / "m.fastnn")
        assert seed not in (tmp_path / "m.fastnn").read_bytes()
    plain, _, _ = made("dense", SGD())
    plain.predict(NETS["dense"][1])
    assert str(plain.description.network.seed).encode() in pickle.dumps(plain)


def test_files_and_copies_know_it(tmp_path: Path) -> None:
    model, x, y = wide(0.7, 0.1, 1, momentum=0.5)
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "model.fastnn")
    for other in (load_model(tmp_path / "model.fastnn"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert other.optimizer == model.optimizer
        assert other.optimizer.row_clipping == (0.1, 0.7)
        assert other.description.network.seed != model.description.network.seed


def test_a_batch_whose_gradients_are_not_finite_changes_nothing() -> None:
    model, x, y = wide(0.5, 0.1, 1)
    model.predict(x[:1])
    x[3, 0] = np.inf
    before = weights(model)
    with pytest.raises((FloatingPointError, ValueError)):
        model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(weights(model), before)


class Own(L.Layer):
    def forward(self, x: Any, weights: Any, training: bool) -> Any:
        return x

    def backward(self, x: Any, a: Any, d: Any, weights: Any) -> Any:
        return d, []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Sequential([L.Input((4,)), L.BatchNormalization(name="bn"), L.Dense(2)]),
            "bn looks at other rows too",
        ),
        (
            lambda: Sequential(
                [L.Input(batch_shape=(5, 4, 2)), L.LSTM(3, stateful=True, trainable=False, name="cells"), L.Dense(1)]
            ),
            "cells looks at other rows too",
        ),
        (lambda: Sequential([L.Input((4,)), Own(name="own"), L.Dense(2)]), "own runs Python"),
    ],
)
def test_layers_that_are_refused(make: Any, message: str) -> None:
    model = make()
    model.compile(DPSGD(0.1), "mse")
    x = np.zeros((5, *model.input_shape[1:]), "f4")
    y = np.zeros((5, *model.output_shape[1:]), "f4")
    with pytest.raises(ValueError, match=f"DPSGD clips the gradient of each row, and {message}.*use layers that"):
        model.fit(x, y, verbose=0)


@pytest.mark.parametrize("loss", ["dice", fastnn.losses.MeanSquaredError(reduction="sum"), lambda y, a: (y - a) ** 2])
def test_losses_that_are_refused(loss: Any) -> None:
    model = Sequential([L.Dense(2, input_shape=(3,))])
    model.compile(DPSGD(0.1), loss)
    with pytest.raises(ValueError, match="depends on the whole batch; take a loss that is a mean over the rows"):
        model.fit(np.zeros((5, 3)), np.zeros((5, 2)), verbose=0)


def test_gradients_that_are_given_are_refused() -> None:
    w = np.ones(3, "f4")
    with pytest.raises(TypeError, match=r"DPSGD clips the gradient of each row, which .* use fit, or SGD"):
        DPSGD(0.1).apply_gradients([(np.ones(3), w)])
    np.testing.assert_array_equal(w, 1)


@pytest.mark.parametrize(
    ("given", "message"), [({"noise": -1}, "noise must be at least 0"), ({"clip": 0}, "clip must")]
)
def test_numbers_that_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"DPSGD: {message}"):
        DPSGD(**given)


# What it promises: values of dp-accounting, its RdpAccountant.

KNOWN = [
    (60000, 256, 15, 1.3, 1e-5, 0.9557739528920558),
    (60000, 256, 60, 1.1, 1e-5, 2.6003429394461106),
    (60000, 32, 10, 1.0, 1e-5, 0.6745640118271115),
    (1000, 1000, 10, 5.0, 1e-3, 2.040847162237852),
    (60000, 600, 100, 4.0, 1e-5, 1.0354900660362436),
    (500, 50, 1, 0.05, 1e-3, 2012.4421958023777),
    (10**6, 64, 2, 0.8, 1e-7, 1.1635429614803194),
]


@pytest.mark.parametrize(("rows", "batch_size", "epochs", "noise", "delta", "epsilon"), KNOWN)
def test_epsilon_is_the_librarys(
    rows: int, batch_size: int, epochs: int, noise: float, delta: float, epsilon: float
) -> None:
    found = dp_epsilon(rows=rows, batch_size=batch_size, epochs=epochs, noise=noise, delta=delta)
    assert found == pytest.approx(epsilon, rel=1e-6)


@pytest.mark.parametrize("noise", [0.6, 0.9, 2.5, 30.0])
@pytest.mark.parametrize("batch_size", [7, 300])
def test_epsilon_beside_dp_accounting(noise: float, batch_size: int) -> None:
    reason = "dp_accounting is missing: pip install dp-accounting"
    rdp = pytest.importorskip("dp_accounting.rdp", reason=reason)
    events = pytest.importorskip("dp_accounting.dp_event", reason=reason)
    rows, epochs, delta = 3000, 4, 1e-4
    step = events.PoissonSampledDpEvent(batch_size / rows, events.GaussianDpEvent(noise))
    accountant = rdp.RdpAccountant()
    accountant.compose(step, epochs * -(-rows // batch_size))
    found = dp_epsilon(rows=rows, batch_size=batch_size, epochs=epochs, noise=noise, delta=delta)
    assert 0.95 * accountant.get_epsilon(delta) < found < 1.001 * accountant.get_epsilon(delta)


def test_epsilon_falls_with_noise_and_grows_with_epochs() -> None:
    def of(**given: Any) -> float:
        return dp_epsilon(**({"rows": 1000, "batch_size": 50, "epochs": 5, "noise": 1.0, "delta": 1e-4} | given))

    noises = [of(noise=noise) for noise in (1e-3, 0.019, 0.02, 0.1, 0.5, 0.51, 1, 5, 100)]
    assert sorted(noises, reverse=True) == noises
    assert of(epochs=1) < of(epochs=5) < of(epochs=50)
    assert of(batch_size=10) < of(batch_size=100) < of(batch_size=1000)
    assert of(delta=1e-3) < of(delta=1e-6)
    assert of(noise=0) == np.inf
    assert of(epochs=0) == 0


def test_epsilon_of_the_steps_that_were_taken() -> None:
    model, x, y = wide(1.2, 0.1, 1)
    assert model.optimizer.epsilon(1e-2, rows=60, batch_size=20) == 0
    model.fit(x, y, epochs=3, batch_size=20, verbose=0)
    known = dp_epsilon(rows=60, batch_size=20, epochs=3, noise=1.2, delta=1e-2)
    assert model.optimizer.epsilon(1e-2, rows=60, batch_size=20) == known


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rows": 0}, "rows must be at least 1"),
        ({"batch_size": 2000}, "batch_size must be at most the number of rows, 1000, got 2000"),
        ({"epochs": -1}, "epochs must be at least 0"),
        ({"noise": -1}, "noise must be finite and at least 0"),
        ({"noise": np.nan}, "noise must be"),
        ({"delta": 0}, "delta must be above 0 and below 1, got 0"),
        ({"delta": 1}, "delta must be above 0 and below 1, got 1"),
    ],
)
def test_epsilon_refuses(given: dict[str, Any], message: str) -> None:
    fine = {"rows": 1000, "batch_size": 50, "epochs": 5, "noise": 1.0, "delta": 1e-4}
    with pytest.raises(ValueError, match=message):
        dp_epsilon(**(fine | given))
