"""The loss of pairs: a row's value hangs on the other rows of the batch, and its slopes are those of their sum."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.losses import Circle, circle
from support.bindings import kernels
from support.guarded import Guard, close

LOSSES = [Circle(), Circle(2.0, 0.25), Circle(0.5, 0.0, False), Circle(30.0, 1.0)]
CLASSES = ([0, 1, 0, 1, 2, 2, 2], [0, 0, 0], [3, 4, 5], [7], [], [1, 1, 2, 3])
SCALE = 0.37


def rows(count: int, rng: np.random.Generator) -> np.ndarray:
    z = rng.normal(size=(count, 5))
    return z / np.sqrt((z**2).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("circle_loss", LOSSES, ids=str)
@pytest.mark.parametrize("classes", CLASSES, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_slopes(
    circle_loss: Circle, classes: list[int], weighted: bool, dtype: str, guard: Guard, rng: np.random.Generator
) -> None:
    z, y = guard(rows(len(classes), rng), dtype), guard(np.array(classes, float).reshape(-1, 1), dtype)
    weight = guard(rng.integers(0, 3, len(classes)) / 2, dtype) if weighted else None
    factor = np.ones(len(classes)) if weight is None else weight.astype(float)
    d = guard(np.full(z.shape, np.nan), dtype)
    total, _, a = kernels.circle(y, z, circle_loss.numbers(), weight=weight, scale=SCALE, out=d)

    def value(output: np.ndarray) -> float:
        return float((factor * circle_loss.reference(y.astype(float), output)).sum())

    wide = dtype == "float64"
    close(total, value(z.astype(float)), 1e-12 if wide else 1e-4, 1e-12 if wide else 1e-4)
    np.testing.assert_array_equal(a, z)
    slopes = np.empty(z.shape)
    for place in np.ndindex(*z.shape):
        ends = [z.astype(float), z.astype(float)]
        ends[0][place] += 1e-6
        ends[1][place] -= 1e-6
        slopes[place] = SCALE * (value(ends[0]) - value(ends[1])) / 2e-6
    close(d, slopes, 1e-6 if wide else 1e-3, 1e-6 if wide else 1e-2)


def test_no_slopes_are_asked_for_and_nan_is_kept(dtype: str, rng: np.random.Generator) -> None:
    z, y = rows(6, rng).astype(dtype), np.array([0, 0, 1, 1, 2, 2], dtype)
    z[2, 1] = np.nan
    assert np.isnan(kernels.circle(y, z, (80.0, 0.4, 1.0))[0])


def test_known_values() -> None:
    """Keras's own test has these."""
    y = [1, 1, 2, 2, 3]
    z = np.array(
        [
            [0.70014004, -0.42008403, 0.14002801, 0.56011203],
            [0.17609018, 0.70436073, -0.52827054, 0.44022545],
            [-0.34050261, 0.25537696, -0.68100522, 0.59587957],
            [0.32163376, -0.75047877, 0.53605627, -0.21442251],
            [0.51261459, -0.34174306, 0.17087153, 0.76892189],
        ]
    )
    assert Circle()(y, z) == pytest.approx(188.3883, abs=1e-3)
    assert Circle(256, 0.25)(y, z) == pytest.approx(652.7617, abs=1e-3)
    assert Circle()(y, z, [2.0, 2.0, 1.0, 1.0, 0.5]) == pytest.approx(244.91918, abs=1e-3)
    weighted = Circle(reduction="mean_with_sample_weight")
    assert weighted(y, z, [2.0, 2.0, 1.0, 1.0, 0.5]) == pytest.approx(163.27948, abs=1e-3)
    assert Circle(reduction="sum")(y, z) == pytest.approx(4 * 188.3883, abs=1e-2)
    np.testing.assert_allclose(circle(y, z), Circle(reduction=None)(y, z))
    beside = circle(y, z, y, z, remove_diagonal=False)
    np.testing.assert_allclose(beside, Circle(remove_diagonal=False).call(y, z))
    assert circle(y, z, [1, 2], z[:2]).shape == (5,)
    with pytest.raises(ValueError, match="takes as many ref_labels as ref_embeddings"):
        circle(y, z, [1, 2, 3], z[:2])
    with pytest.raises(ValueError, match=r"y has 0.5 at row 0, column 0, but Circle takes whole numbers"):
        Circle()([0.5, 1], z[:2])
