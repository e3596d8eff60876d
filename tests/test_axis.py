"""Losses and metrics along another axis than the last: arrays moved there by hand give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, metrics

RNG = np.random.default_rng(4)
OUT = RNG.dirichlet(np.ones(3), (2, 4)).astype("float32")  # (2, 4, 3), each line sums to 1
LABELS = RNG.integers(0, 3, (2, 4))
HOT = np.eye(3, dtype="float32")[LABELS]
AXES = (1, -2, 0)

LOSSES = [
    losses.BinaryCrossentropy,
    losses.BinaryFocalCrossentropy,
    losses.CategoricalCrossentropy,
    losses.CategoricalFocalCrossentropy,
    losses.CosineSimilarity,
]
METRICS: list[Any] = [
    metrics.CategoricalCrossentropy,
    metrics.CosineSimilarity,
    lambda **named: metrics.OneHotMeanIoU(3, **named),
    lambda **named: metrics.OneHotIoU(3, [0, 1], **named),
    lambda **named: metrics.MeanIoU(3, sparse_y_true=False, sparse_y_pred=False, **named),
    lambda **named: metrics.IoU(3, [2], sparse_y_true=False, sparse_y_pred=False, **named),
]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("cls", LOSSES, ids=lambda cls: cls.__name__)
def test_losses(cls: Any, axis: int) -> None:
    moved = [np.moveaxis(array, -1, axis) for array in (HOT, OUT)]
    np.testing.assert_array_equal(cls(axis=axis, reduction=None)(*moved), cls(reduction=None)(HOT, OUT))
    assert cls(axis=axis).get_config()["axis"] == axis


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("make", METRICS)
def test_metrics(make: Any, axis: int) -> None:
    moved = [np.moveaxis(array, -1, axis) for array in (HOT, OUT)]
    assert make(axis=axis)(*moved) == make()(HOT, OUT)


@pytest.mark.parametrize("axis", AXES)
def test_class_numbers_have_no_such_axis(axis: int) -> None:
    metric = metrics.SparseCategoricalCrossentropy(axis=axis)
    assert metric(LABELS, np.moveaxis(OUT, -1, axis)) == metrics.SparseCategoricalCrossentropy()(LABELS, OUT)
    loss = losses.SparseCategoricalCrossentropy(axis=axis, reduction=None)
    np.testing.assert_array_equal(
        loss(LABELS, np.moveaxis(OUT, -1, axis)), losses.SparseCategoricalCrossentropy(reduction=None)(LABELS, OUT)
    )
    metric = metrics.MeanIoU(3, sparse_y_pred=False, axis=axis)  # type: ignore[assignment]
    assert metric(LABELS, np.moveaxis(OUT, -1, axis)) == metrics.MeanIoU(3, sparse_y_pred=False)(LABELS, OUT)


def test_models_have_the_last_axis() -> None:
    net = fastnn.Sequential([fastnn.Input((4, 3)), layers.Dense(3, "softmax")])
    for loss, measured in (
        (losses.CategoricalCrossentropy(axis=1), []),
        ("categorical_crossentropy", [metrics.CosineSimilarity(axis=1)]),
    ):
        net.compile("sgd", loss, metrics=measured)
        with pytest.raises(ValueError, match="a model takes axis -1, the last, got 1; a Permute layer"):
            net.fit(OUT, HOT, verbose=0)
    net.compile("sgd", losses.CategoricalCrossentropy(axis=2), metrics=[metrics.CosineSimilarity(axis=-1)])
    net.fit(OUT, HOT, verbose=0)


@pytest.mark.parametrize("cls", [*LOSSES, metrics.CosineSimilarity, metrics.PearsonCorrelation])
def test_what_is_no_axis(cls: Any) -> None:
    with pytest.raises(TypeError, match="axis must be a whole number"):
        cls(axis=1.5)
    if cls is metrics.PearsonCorrelation:
        with pytest.raises(ValueError, match="axis must be -1"):
            cls(axis=1)
    else:
        with pytest.raises(ValueError, match=r"axis 3 must be one of y_pred"):
            cls(axis=3)(HOT, OUT)


@pytest.mark.parametrize("make", [losses.Dice, lambda **named: losses.Tversky(0.3, 0.9, **named)])
def test_overlap_along_axes(make: Any) -> None:
    values = make(axis=(1, 2), reduction=None)(HOT, OUT)
    np.testing.assert_allclose(values, [make()(y, out) for y, out in zip(HOT, OUT, strict=True)], rtol=1e-6)
    assert make(axis=(0, 1, 2))(HOT, OUT) == pytest.approx(make()(HOT, OUT), rel=1e-6)
    np.testing.assert_allclose(
        make(axis=0, reduction=None)(HOT, OUT)[1, 2], make()(HOT[:, 1, 2], OUT[:, 1, 2]), rtol=1e-6
    )
    assert make(axis=[1, 2]).get_config()["axis"] == [1, 2]
    with pytest.raises(ValueError, match="axis must name some of the 3 axes of y_pred"):
        make(axis=3)(HOT, OUT)


@pytest.mark.parametrize("make", [losses.Dice, lambda **named: losses.Tversky(0.3, 0.9, **named)])
def test_overlap_of_each_row_trains(make: Any) -> None:
    loss = make(axis=(1, 2))
    _, slopes = loss.value_and_gradient(HOT, OUT, None, 1.0)
    for place in np.ndindex(*OUT.shape):
        ends = [OUT.astype(float), OUT.astype(float)]
        ends[0][place] += 1e-6
        ends[1][place] -= 1e-6
        difference = sum(
            make(axis=(1, 2), reduction="sum")(HOT, end) * sign for end, sign in zip(ends, (1, -1), strict=True)
        )
        # A row's value counts for each of its four lines.
        assert slopes[place] == pytest.approx(4 * difference / 2e-6, rel=1e-3, abs=1e-4)
    net = fastnn.Sequential([fastnn.Input((4, 3)), layers.Dense(3, "sigmoid")])
    net.compile(fastnn.optimizers.Adam(0.1), loss)
    history = net.fit(OUT, HOT, epochs=20, verbose=0).history["loss"]
    assert history[-1] < history[0]
