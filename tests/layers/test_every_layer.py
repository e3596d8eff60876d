"""Every layer inside a model: its formula, its gradients, threads, files, rows of any number, frozen, not a number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastnn.layers import ActivityRegularization, Composite, Flatten, Identity, Reshape
from fastnn.models import Model, load_model
from support.layers import CASES, Case

EACH = pytest.mark.parametrize("name", CASES)


def output_of_training(model: Model, x: np.ndarray) -> float:
    """The loss of x against zeros, as a step of training sees it."""
    return float(model.train_on_batch(x, np.zeros((len(x), model.output_shape[1]), np.float32)))


@EACH
@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 40])
def test_loss_of_training_is_the_formulas(name: str, rows: int) -> None:
    case = CASES[name]
    model, layer = case.model()
    x, before = case.rows(rows), model.get_weights()
    expected = (case.reference(layer, x, before) ** 2).mean()
    np.testing.assert_allclose(output_of_training(model, x), expected, rtol=2e-5, atol=1e-9)


@EACH
def test_gradients_are_the_formulas_differences(name: str) -> None:
    case = CASES[name]
    model, layer = case.model()
    x, weights = case.rows(19), [w.astype(np.float64) for w in model.get_weights()]
    y = np.random.default_rng(3).normal(size=(19, model.output_shape[1])).astype(np.float32)
    model.evaluate(x, y, verbose=0)  # which tells the network its loss
    network = model.description.network
    network.gradient(x.reshape(19, -1), y)
    found = [g for each in model.description.layers() for g in each._placed().views(network.gradients)]
    learns = [p.trainable for each in model.description.layers() for p in each._placed().parameters]
    for number, w in enumerate(weights):
        if not learns[number]:
            continue
        slope = np.empty_like(w)
        for at in np.ndindex(w.shape):
            kept, ends = w[at], []
            for step in (1e-6, -1e-6):
                w[at] = kept + step
                ends.append(((case.reference(layer, x, weights) - y) ** 2).mean())
            w[at] = kept
            slope[at] = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(found[number], slope, rtol=2e-3, atol=2e-4 * max(1e-2, np.abs(slope).max()))


@EACH
def test_batches_of_predict_give_the_same_bits(name: str) -> None:
    case = CASES[name]
    model, _ = case.model()
    x = case.rows(600)
    whole = model.predict(x)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(np.concatenate([model.predict(x[i : i + 7]) for i in range(0, 600, 7)]), whole)


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("form", "lambda"))])  # functions
def test_file(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    model, layer = case.model(3)
    x = case.rows(30)
    model.fit(x, np.ones((30, 3), np.float32), epochs=2, verbose=0)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    again = loaded.layers[model.layers.index(layer)]
    assert again.get_config() == layer.get_config()
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))


@EACH
def test_frozen_layer_keeps_its_weights(name: str) -> None:
    case = CASES[name]
    model, layer = case.model(3, trainable=False)
    before = layer.get_weights()
    x = case.rows(30)
    model.fit(x, np.ones((30, 3), np.float32), epochs=2, verbose=0)
    for one, other in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@EACH
def test_a_batch_without_a_finite_loss_changes_nothing(name: str) -> None:
    case = CASES[name]
    model, _ = case.model(3)
    before = model.get_weights()
    with pytest.raises((FloatingPointError, ValueError)):
        model.train_on_batch(case.rows(8), np.full((8, 3), np.nan, np.float32))
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.choices])
def test_not_a_number_stays_one_and_in_its_row(name: str) -> None:
    case: Case = CASES[name]
    model, _ = case.model()
    x = case.rows(20)
    good = model.predict(x)
    x[3] = np.nan
    bad = model.predict(x)
    border = name.startswith(("zero padding", "transposed")) & (good[3] == 0)
    assert (np.isnan(bad[3]) | border).all()
    np.testing.assert_array_equal(np.delete(bad, 3, axis=0), np.delete(good, 3, axis=0))


def test_no_case_is_of_a_layer_without_arithmetic() -> None:
    shaping = (ActivityRegularization, Flatten, Identity, Reshape)
    for case in CASES.values():
        layer = case.make()
        assert isinstance(layer, (*shaping, Composite)) or layer.ops(*case.shapes)


@pytest.mark.parametrize("name", [name for name in CASES if not CASES[name].choices])
def test_slopes_of_a_prediction_are_its_differences(name: str) -> None:
    """By x, as the layer predicts; but where a kink lies between."""
    case = CASES[name]
    model, _ = case.model(1)
    x, h = case.rows(17), 4e-3
    model.optimizer.learning_rate = 1e-9  # moving averages follow, and hardly anything else
    model.fit(x + 1, np.ones((17, 1), np.float32), epochs=2, verbose=0)
    expected = np.empty(x.shape)
    for column in range(x.shape[1]):
        move = np.zeros(x.shape[1], np.float32)
        move[column] = h
        expected[:, column] = (model.predict(x + move) - model.predict(x - move))[:, 0] / (2 * h)
    rounding = 3e-7 * np.abs(model.predict(x)) / h
    far = (
        np.abs(model.input_gradient(x) - expected)
        > 3e-2 * np.abs(expected) + 2e-2 * np.median(np.abs(expected)) + rounding
    )
    assert far.mean() < 0.08, far.mean()
