"""Losses called on arrays: shapes, types, weights, reductions, function forms, and Python functions as losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import losses
from fastnn.layers import Dense
from fastnn.losses import LOSSES, Custom
from fastnn.models import Sequential
from fastnn.optimizers import Adam
from support.guarded import close
from support.units import label, outputs_for, targets_for, units

Y = np.array([[0.0, 1.0], [0.0, 0.0]])
OUTPUT = np.array([[1.0, 1.0], [1.0, 0.0]])
VALUES = [0.5, 0.5]  # of the squared errors


def batch(loss: Any, shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(y, output) that the loss takes, output of this shape."""
    rng = np.random.default_rng(seed)
    rows = int(np.prod(shape[:-1]))
    y = targets_for(loss, rows, shape[-1], rng)
    return y.reshape(*shape[:-1], -1), outputs_for(loss, rng.normal(size=shape))


@pytest.mark.parametrize("loss", units(LOSSES), ids=label)
def test_any_leading_axes(loss: Any) -> None:
    y, output = batch(loss, (2, 3, 4))
    flat = loss.reference(y.reshape(6, -1), output.reshape(6, 4))
    close(loss.call(y, output), flat if flat.ndim == 0 else flat.reshape(2, 3), 1e-12)
    assert loss.call(y, output).dtype == np.float64
    single = loss.call(y.astype("f4"), output.astype("f4"))
    assert single.dtype == np.float32
    assert loss(y, output.astype("f4")).dtype == np.float32
    close(single, loss.call(y, output), 1e-4, 1e-5)
    close(loss(y.tolist(), output.tolist()), loss(y, output), 0)


@pytest.mark.parametrize("loss", units(LOSSES), ids=label)
def test_targets_that_do_not_fit(loss: Any) -> None:
    _, output = batch(loss, (5, 4))
    for wrong in (np.zeros((5, 3)), np.zeros((4, 4)), np.zeros((5, 4, 1)), np.zeros(6)):
        with pytest.raises(ValueError, match=r"takes y_true of shape \(5, \d\) with y_pred of shape \(5, 4\), got"):
            loss(wrong, output)
    with pytest.raises(ValueError, match="at least one axis"):
        loss(1.0, 0.5)


@pytest.mark.parametrize(
    ("reduction", "weight", "expected"),
    [
        ("sum_over_batch_size", None, 0.5),
        ("mean", [1.0, 3.0], 1.0),
        ("mean", [[1.0], [3.0]], 1.0),
        ("mean", 2.0, 1.0),
        ("sum", None, 1.0),
        ("sum", [1.0, 3.0], 2.0),
        ("mean_with_sample_weight", None, 0.5),
        ("mean_with_sample_weight", [1.0, 3.0], 0.5),
        ("mean_with_sample_weight", [0.0, 0.0], 0.0),
        ("none", None, [0.5, 0.5]),
        (None, [1.0, 3.0], [0.5, 1.5]),
    ],
)
def test_reductions(reduction: Any, weight: Any, expected: Any) -> None:
    found = losses.MeanSquaredError(reduction=reduction)(Y, OUTPUT, weight)
    np.testing.assert_array_equal(found, expected)
    assert np.shape(found) == np.shape(expected)


def test_unknown_reduction() -> None:
    with pytest.raises(ValueError, match=r"MeanSquaredError: reduction must be one of sum_over_batch_size, .*'avg'"):
        losses.MeanSquaredError(reduction="avg")
    with pytest.raises(ValueError, match="reduction"):
        losses.get({"class": "huber", "delta": 1.0, "reduction": 3})


def test_a_weight_of_0_makes_0_of_any_value() -> None:
    bad = OUTPUT.copy()
    bad[0] = np.nan
    assert losses.MeanSquaredError()(Y, bad, [0, 1]) == 0.25
    assert np.isnan(losses.MeanSquaredError()(Y, bad))
    bad[0] = np.inf
    assert losses.MeanSquaredError()(Y, bad, [[0], [1]]) == 0.25


def test_weights_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"sample_weight of shape \(3,\) does not go with values of shape \(2,\)"):
        losses.MeanSquaredError()(Y, OUTPUT, [1, 2, 3])


def test_one_axis_is_one_row_and_columns_find_their_rows() -> None:
    mse = losses.MeanSquaredError(reduction="none")
    assert mse([0.0, 2.0], [1.0, 0.0]) == 2.5
    np.testing.assert_array_equal(mse([0.0, 2.0], [[1.0], [0.0]]), [1, 4])
    np.testing.assert_array_equal(mse([[0.0], [2.0]], [1.0, 0.0]), [1, 4])
    np.testing.assert_array_equal(mse(np.zeros((0, 3)), np.zeros((0, 3))), [])


def test_ignored_class() -> None:
    """Its rows are left out of an average, and may hold any label."""
    output = np.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]])
    for labels in ([0, -1, 1], [[0], [-1], [1]]):
        loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
        close(loss(labels, output), -(np.log(0.5) + np.log(0.8)) / 2, 1e-12)
        close(loss(labels, output, [1, 5, 3]), -(np.log(0.5) + 3 * np.log(0.8)) / 2, 1e-12)
    assert loss([-1, -1, -1], output) == 0
    with pytest.raises(ValueError, match="y has -2 at row 1"):
        loss([0, -2, 1], output)
    assert losses.bad_targets(loss, np.array([[0.0], [-1.0]]), 2, np.arange(2)) is None


def test_function_forms() -> None:
    assert {name for name, _ in LOSSES} | {cls.__name__ for _, cls in LOSSES} <= set(losses.__all__)
    for name, cls in LOSSES:
        function = getattr(losses, name)
        y, output = batch(cls(), (5, 4))
        np.testing.assert_array_equal(function(y, output), cls().call(y, output))
        assert losses.as_loss(function) == cls()
        assert function.__name__ == name
    np.testing.assert_array_equal(losses.huber(Y, OUTPUT, 0.5), losses.Huber(0.5).call(Y, OUTPUT))
    assert losses.binary_crossentropy.__doc__.startswith(
        "(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1)"
    )


def test_names_and_configurations() -> None:
    for loss in units(LOSSES):
        config = LOSSES.config(loss)
        assert losses.as_loss(config) == loss
        assert {"reduction", "name"} <= config.keys()
    assert losses.MeanSquaredError().name == "mean_squared_error"
    assert losses.MeanSquaredError(name="mine").name == "mine"
    assert losses.as_loss("quantile") == losses.Pinball(0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.Pinball(1.0), "quantile must be above 0 and below 1"),
        (lambda: losses.GaussianNLL(0.0), "epsilon must be at least 1e-30 and at most 1"),
        (lambda: losses.Tversky(alpha=-1), "alpha must be at least 0"),
        (lambda: losses.Tversky(beta=-1), "beta must be at least 0"),
        (lambda: losses.BinaryFocalCrossentropy(gamma=-1), "gamma must be at least 0"),
        (lambda: losses.BinaryFocalCrossentropy(alpha=2), "alpha must be at least 0 and at most 1"),
        (lambda: losses.CategoricalFocalCrossentropy(label_smoothing=2), "label_smoothing must be"),
        (lambda: losses.CategoricalGeneralizedCrossEntropy(1), "q must be above 0 and below 1"),
        (lambda: losses.SparseCategoricalCrossentropy(ignore_class=2**30), "ignore_class must be"),
        (lambda: losses.GaussianNLL().targets(3), r"two outputs for each target.*got 3 output\(s\); give the last"),
    ],
)
def test_arguments_out_of_range(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_an_alpha_for_each_class_is_refused() -> None:
    with pytest.raises(TypeError, match="alpha must be a number"):
        losses.CategoricalFocalCrossentropy(alpha=[0.1, 0.9])  # type: ignore[arg-type]


def test_gaussian_nll_learns_a_variance() -> None:
    """A network of one layer finds expectation and variance of numbers that have both."""
    rng = np.random.default_rng(0)
    x = np.ones((2000, 1))
    y = 3 + 0.5 * rng.normal(size=2000)
    model = Sequential([Dense(2, input_dim=1, use_bias=False)])
    model.compile(Adam(0.05), losses.GaussianNLL())
    model.fit(x, y, batch_size=200, epochs=100, verbose=0)
    m, s = model.predict(x[:1], verbose=0)[0]
    close(m, y.mean(), 0.02)
    close(np.exp(s), y.var(), 0.1)
    close(model.evaluate(x, y, verbose=0), losses.GaussianNLL()(y, model.predict(x, verbose=0)), 1e-5)


# Python functions.


def squares(y: np.ndarray, output: np.ndarray) -> np.ndarray:
    return ((output - y) ** 2).mean(axis=-1)


def largest(y: np.ndarray, output: np.ndarray) -> Any:
    return np.log1p(((output - y) ** 2).sum())


def random_batch(rows: int = 5, count: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    y, output = rng.normal(size=(2, rows, count)).astype("f4")
    return y, output, (np.arange(rows) % 3).astype("f4")


@pytest.mark.parametrize("weighted", [False, True])
def test_custom_with_a_value_for_each_row(weighted: bool) -> None:
    y, output, weight = random_batch()
    given = weight if weighted else None
    total, slopes, _ = losses.MeanSquaredError().kernel(y, output, weight=given, scale=0.2)
    for gradient in (None, lambda y, output: 2 * (output - y) / 3):
        found, d = Custom(squares, gradient).value_and_gradient(y, output, given, 0.2)
        close(found, total, 1e-6)
        close(d, slopes, 1e-5, 1e-7)
        assert d.dtype == np.float32


def test_custom_with_one_value_for_the_batch() -> None:
    y, output, weight = random_batch()
    value, error = float(largest(y, output)), output - y
    slopes = 2 * error / (1 + (error**2).sum())
    for gradient in (None, lambda y, output: 2 * (output - y) / (1 + ((output - y) ** 2).sum())):
        total, d = Custom(largest, gradient).value_and_gradient(y, output, weight, 0.2)
        close(total, weight.sum() * value, 1e-6)
        close(d, 0.2 * weight.sum() * slopes, 1e-5, 1e-7)


def test_custom_leaves_rows_of_weight_0_out() -> None:
    y, output, weight = random_batch()
    clean = Custom(squares).value_and_gradient(y, output, weight, 1.0)
    output[weight == 0] = np.nan
    total, d = Custom(squares).value_and_gradient(y, output, weight, 1.0)
    assert total == clean[0]
    np.testing.assert_array_equal(d, clean[1])


def test_custom_functions_of_the_wrong_shape() -> None:
    y, output, _ = random_batch()
    with pytest.raises(ValueError, match=r"loss 'every' gave an array of shape \(5, 3\) for 5 rows of 3 output"):
        Custom(lambda y, a: (a - y) ** 2, name="every").value_and_gradient(y, output, None, 1.0)
    with pytest.raises(ValueError, match=r"the gradient of loss 'squares' has shape \(5,\); it must have that of y_p"):
        Custom(squares, squares).value_and_gradient(y, output, None, 1.0)
    with pytest.raises(ValueError, match="one value for 1500 outputs, which is too many"):
        Custom(largest).value_and_gradient(*random_batch(500)[:2], None, 1.0)
    for function, gradient in ((3, None), (squares, 3)):
        with pytest.raises(TypeError, match="Custom takes functions of"):
            Custom(function, gradient)  # type: ignore[arg-type]


def test_a_function_by_name_and_by_configuration() -> None:
    loss = losses.as_loss(squares)
    assert loss == Custom(squares)
    assert loss != Custom(largest, name="squares")
    assert (loss.name, loss.kernel, loss.targets(7), loss.labels) == ("squares", None, 7, False)
    config = LOSSES.config(loss)
    assert config == {"class": "custom", "reduction": "sum_over_batch_size", "name": "squares"}
    assert losses.as_loss(config, {"squares": squares}) == loss
    assert losses.as_loss("mine", {"mine": squares}) == loss
    own = Custom(squares, lambda y, output: 2 * (output - y))
    assert losses.as_loss(config, {"squares": own}) is own
    for broken in (config, {"class": "custom", "name": []}, {"class": "custom"}):
        with pytest.raises(ValueError, match="is a Python function, which is not saved with a model; pass it as"):
            losses.get(broken)


def test_custom_called_on_arrays() -> None:
    assert Custom(squares)(Y, OUTPUT, [1, 3]) == 1.0
    assert Custom(squares, reduction="sum")(Y, OUTPUT) == 1.0
    assert Custom(largest)(Y, OUTPUT) == np.log1p(2)
