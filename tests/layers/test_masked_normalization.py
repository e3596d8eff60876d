"""BatchNormalization behind a mask: moments of the steps that are there, for all of the batch's rows together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.data import ArraySource
from fastnn.engine.ops import BatchNormalizationOp
from fastnn.layers import BatchNormalization, Dense, Flatten, Input, Masking
from fastnn.models import Model, Sequential, load_model

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*destroy the mask"
)  # Flatten reads all steps, those that are not there too

STEPS, FEATURES, CHANNELS = 5, 3, 19  # more columns than a vector has
RNG = np.random.default_rng(4)


def rows_of(count: int, share: float = 0.6) -> Any:
    """Some steps are there, at either end and in the middle; of the first rows none, one, the last one, all."""
    mask = RNG.random((count, STEPS)) < share
    for row, steps in enumerate([[], [0], [STEPS - 1], range(STEPS), [0, 2, 4], [1, 2]][: max(0, count - 2)]):
        mask[row] = np.isin(np.arange(STEPS), list(steps))
    x = np.where(mask[..., None], RNG.normal(3, 2, (count, STEPS, FEATURES)), 0).astype(np.float32)
    return x, RNG.standard_normal((count, 1), np.float32)


def model_of(**named: Any) -> Any:
    fastnn.set_random_seed(1)
    model = Sequential(
        [
            Input((STEPS, FEATURES)),
            Masking(),
            Dense(CHANNELS, bias_initializer="normal"),
            BatchNormalization(momentum=0.8, gamma_initializer="normal", beta_initializer="normal", **named),
            Flatten(),
            Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    return model


def network_of(x: Any, y: Any, **named: Any) -> Any:
    return model_of(**named).description.trainer.ready(ArraySource(x, y))


def loss_of(weights: list[Any], x: Any, y: Any) -> float:
    """The loss of a batch, in float64, of the layer's own reference."""
    kernel, bias, gamma, beta, last, offset = weights
    h = x.astype(float) @ kernel + bias
    h = BatchNormalization().reference(h, gamma, beta, mask=(x != 0).any(axis=-1))
    return float((((h.reshape(len(x), -1) @ last + offset) - y) ** 2).mean())


def learnt(model: Any) -> list[Any]:
    return [np.asarray(variable).astype(float) for variable in model.trainable_variables]


@pytest.mark.parametrize("count", [4, 7, 33, 70])
def test_loss_and_gradient_beside_differences(count: int) -> None:
    x, y = rows_of(count)
    model = model_of()
    network = model.description.trainer.ready(ArraySource(x, y))
    weights = learnt(model)
    assert network.gradient(x.reshape(count, -1), y) == pytest.approx(loss_of(weights, x, y), rel=2e-6)
    starts = [op.start for op in network.ops if op.size]
    flat = network.gradients
    places = [starts[0], starts[0] + FEATURES * CHANNELS, starts[1], starts[1] + CHANNELS, starts[2]]
    for k, start in enumerate(places):
        found = flat[start : start + weights[k].size].reshape(weights[k].shape)
        wanted = np.zeros_like(weights[k])
        for at in np.ndindex(weights[k].shape):
            both = []
            for step in (1e-5, -1e-5):
                moved = [each.copy() for each in weights]
                moved[k][at] += step
                both.append(loss_of(moved, x, y))
            wanted[at] = (both[0] - both[1]) / 2e-5
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max() + 1e-6)


def test_moving_moments_are_those_of_the_steps_that_are_there() -> None:
    x, y = rows_of(40)
    model = model_of()
    (kernel, bias, *_) = learnt(model)
    model.fit(x, y, batch_size=40, epochs=1, verbose=0, shuffle=False)
    seen = (x.astype(float) @ kernel + bias)[(x != 0).any(axis=-1)]
    layer = model.layers[2]
    np.testing.assert_allclose(layer.moving_mean, 0.2 * seen.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.8 + 0.2 * seen.var(axis=0), rtol=1e-5)


def test_a_batch_of_which_no_step_is_there() -> None:
    """Its moments are 0: finite numbers, and moving moments that come closer to 0."""
    x, y = np.zeros((6, STEPS, FEATURES), np.float32), np.ones((6, 1), np.float32)
    network = network_of(x, y)
    assert np.isfinite(network.gradient(x.reshape(6, -1), y))
    assert np.isfinite(network.gradients).all()
    model = model_of()
    model.fit(x, y, verbose=0)
    np.testing.assert_allclose(model.layers[2].moving_mean, 0)
    np.testing.assert_allclose(model.layers[2].moving_variance, 0.8, rtol=1e-6)


def test_where_all_steps_are_there_it_is_as_without_a_mask() -> None:
    x, y = np.abs(rows_of(30, 1)[0]) + 1, RNG.standard_normal((30, 1), np.float32)
    masked = model_of()
    plain = Sequential(
        [Input((STEPS, FEATURES)), Dense(CHANNELS), BatchNormalization(momentum=0.8), Flatten(), Dense(1)]
    )
    plain.set_weights(masked.get_weights())
    plain.compile("sgd", "mse")
    for model in (masked, plain):
        model.fit(x, y, batch_size=10, epochs=3, verbose=0, shuffle=False)
    for one, other in zip(masked.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.fixture
def _threads() -> Iterator[None]:
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_bits_do_not_depend_on_threads() -> None:
    x, y = rows_of(150)
    found = []
    for threads in (1, 2, 3, 8):
        fastnn.set_num_threads(threads)
        model = model_of()
        model.fit(x, y, batch_size=50, epochs=3, verbose=0)
        found.append([*(w.tobytes() for w in model.get_weights()), model.predict(x).tobytes()])
        rows = [model.predict(x[row : row + 1]) for row in range(0, 150, 37)]
        np.testing.assert_array_equal(np.concatenate(rows), model.predict(x)[::37])
    assert found[0] == found[1] == found[2] == found[3]


def test_large_numbers_keep_their_moments() -> None:
    """Squares that float32 does not hold, and a mean that is large beside the deviation."""
    for scale, offset in ((1e25, 0.0), (1.0, 1e5)):
        rows, y = rows_of(20)
        x = np.where(rows != 0, rows * scale + offset, 0).astype(np.float32)
        model = Sequential([Input((STEPS, FEATURES)), Masking(), BatchNormalization(momentum=0), Flatten(), Dense(1)])
        model.compile("sgd", "mse")
        model.description.trainer.ready(ArraySource(x, y)).gradient(x.reshape(20, -1), y, commit=True)
        layer, seen = model.layers[1], x[(x != 0).any(axis=-1)].astype(float)
        np.testing.assert_allclose(layer.moving_mean, seen.mean(axis=0), rtol=1e-5)
        if scale == 1:
            np.testing.assert_allclose(layer.moving_variance, seen.var(axis=0), rtol=1e-3)


def test_frozen_or_predicting_it_knows_no_mask(tmp_path: Any) -> None:
    x, y = rows_of(20)
    model = model_of(trainable=False)
    before = model.layers[2].get_weights()
    model.fit(x, y, verbose=0)
    for one, other in zip(before, model.layers[2].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    model = model_of()
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.fastnn")
    np.testing.assert_array_equal(load_model(tmp_path / "m.fastnn").predict(x), model.predict(x))


def test_a_mask_of_other_axes_is_refused() -> None:
    x = Input((STEPS, FEATURES))
    with pytest.raises(
        ValueError, match=r"a mask of shape \(None, 5\) says which steps count .* and axis is 1; take axis=-1"
    ):
        Model(x, BatchNormalization(axis=1)(Masking()(x)))
    with pytest.raises(ValueError, match="rows of 12 numbers are no lines of 5 columns"):
        BatchNormalizationOp(12, 5, masked=True)
