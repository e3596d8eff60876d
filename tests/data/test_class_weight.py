"""ClassWeighted: each row's weight times the weight of its class."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from fastnn.data import ArraySource, ClassWeighted, Page, Source


class Paged(Source):
    """The rows of an array source in pages of one batch, as a stream gives them."""

    def __init__(self, inner: ArraySource) -> None:
        self.inner = inner
        self.input_shape = inner.input_shape
        self.targets = inner.targets

    @property
    def rows(self) -> int | None:
        return None

    def pages(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Page]:
        for at in range(0, self.inner.rows, batch_size):
            part = slice(at, at + batch_size)
            y = None if self.inner.y is None else self.inner.y[part]
            yield Page(self.inner.x[part], y, None, None)


def weights_of(source: Source) -> np.ndarray:
    return np.concatenate([page.weight for page in source.pages(2)])


LABELS = [0, 2, 1, 2, 5]


@pytest.mark.parametrize(
    ("y", "class_weight", "expected"),
    [
        (LABELS, {0: 0.5, 2: 3}, [0.5, 3, 1, 3, 1]),
        (LABELS, {}, [1, 1, 1, 1, 1]),
        (LABELS, {9: 2.0}, [1, 1, 1, 1, 1]),
        (LABELS, {np.int64(5): np.float32(4), np.uint8(0): np.int8(2)}, [2, 1, 1, 1, 4]),
        (LABELS, {2: np.float16(2.5)}, [1, 2.5, 1, 2.5, 1]),
        (LABELS, {2: 0}, [1, 0, 1, 0, 1]),
        ([-1.0, 1.0, -1.0], {-1: 2}, [2, 1, 2]),
        ([True, False], {True: 3, False: 0.25}, [3, 0.25]),
        ([True, False], {np.True_: 3, np.False_: 0.25}, [3, 0.25]),
        (LABELS, {0.0: 0.5, np.float32(2): Decimal(3)}, [0.5, 3, 1, 3, 1]),
        (LABELS, {np.float64(0): 0.5, Decimal(2): np.array(3)}, [0.5, 3, 1, 3, 1]),
        (LABELS, dict(zip(*np.unique(np.array(LABELS, float), return_counts=True), strict=True)), [1, 2, 1, 2, 1]),
        (LABELS, {(0,): 0.5, (2,): 3}, [0.5, 3, 1, 3, 1]),  # value_counts of a frame with one column
        (np.eye(3)[[2, 0, 1]], {0: 2, 2: 5}, [5, 2, 1]),
        ([[0.1, 0.9], [0.8, 0.2]], {1: 7}, [7, 1]),
    ],
)
def test_each_row_weighs_as_its_class(y: Any, class_weight: Any, expected: list[float]) -> None:
    rows = ArraySource(np.zeros((len(y), 3)), y)
    for source in (rows, Paged(rows)):
        weighted = ClassWeighted(source, class_weight)
        weight = weights_of(weighted)
        assert weight.dtype == np.float32
        np.testing.assert_array_equal(weight, np.array(expected, np.float32))
        assert (weighted.input_shape, weighted.targets) == (source.input_shape, source.targets)
        assert weighted.rows == source.rows


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (LABELS, {0: 5 / 4, 1: 5 / 4, 2: 5 / 8, 5: 5 / 4}),
        ([3, 3, 3], {3: 1.0}),
        ([-1, 1, 1, 1], {-1: 2.0, 1: 4 / 6}),
        (np.eye(4)[[2, 0, 2, 2]], {0: 2.0, 2: 4 / 6}),  # a class without rows is none
    ],
)
def test_balanced(y: Any, expected: dict[int, float]) -> None:
    rows = ArraySource(np.zeros((len(y), 3)), y)
    for source in (rows, Paged(rows)):
        balanced, given = ClassWeighted(source, "balanced"), ClassWeighted(source, expected)
        np.testing.assert_array_equal(weights_of(balanced), weights_of(given))
        assert weights_of(balanced).sum() == pytest.approx(len(y), rel=1e-6)


def test_counts_of_pandas() -> None:
    """Whatever type its column has: numbers, booleans, categories, nullable ones."""
    pandas = pytest.importorskip("pandas")
    for kind, labels in (
        ("int64", LABELS),
        ("float32", LABELS),
        ("Int8", LABELS),
        ("Float64", LABELS),
        ("category", LABELS),
        ("object", LABELS),
        ("bool", [0, 1, 1, 1, 0]),
        ("boolean", [0, 1, 1, 1, 0]),
    ):
        column = pandas.Series(labels, dtype=kind, name="y")
        for counts in (column.value_counts(), column.to_frame().value_counts(), dict(column.value_counts())):
            found = weights_of(ClassWeighted(ArraySource(np.zeros((5, 1)), labels), counts))
            np.testing.assert_array_equal(found, [labels.count(label) for label in labels])


def test_balanced_as_scikit_learn_has_it() -> None:
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    y = np.random.default_rng(0).integers(0, 4, 100) ** 2
    expected = compute("balanced", classes=np.unique(y), y=y)
    source = ClassWeighted(ArraySource(np.zeros(100), y), "balanced")
    np.testing.assert_allclose(weights_of(source), expected[np.searchsorted(np.unique(y), y)], rtol=1e-6)


def test_batches_without_an_end_cannot_be_counted() -> None:
    source = Paged(ArraySource(np.zeros((5, 1)), LABELS))
    source.batches = True
    with pytest.raises(ValueError, match="'balanced' reads all rows once"):
        ClassWeighted(source, "balanced")
    assert ClassWeighted(source, {0: 2.0}).batches


def test_labels_that_cannot_be_counted() -> None:
    source = Paged(ArraySource(np.zeros((5, 1)), [0, 1, 2, 0.5, 1]))
    with pytest.raises(ValueError, match=r"got 0\.5 in row 3"):
        ClassWeighted(source, "balanced")


def test_sample_weight_is_multiplied_and_kept() -> None:
    given = np.array([1, 2, 3, 4, 5], np.float32)
    source = ArraySource(np.zeros((5, 1)), LABELS, given)
    weighted = ClassWeighted(source, {2: 10})
    for _ in range(2):
        np.testing.assert_array_equal(weights_of(weighted), [1, 20, 3, 40, 5])
    np.testing.assert_array_equal(given, [1, 2, 3, 4, 5])


def test_order_and_rows_pass_through() -> None:
    source = ArraySource(np.arange(50.0), np.arange(50) % 3)
    [plain] = source.pages(8, np.random.default_rng(3))
    [weighted] = ClassWeighted(source, {1: 2.0}).pages(8, np.random.default_rng(3))
    np.testing.assert_array_equal(plain.order, weighted.order)
    assert weighted.x is plain.x
    assert weighted.y is plain.y


@pytest.mark.parametrize(
    ("y", "class_weight", "words"),
    [
        (LABELS, None, "must be a dict"),
        (LABELS, "equal", "must be a dict .*, or 'balanced', got 'equal'"),
        (LABELS, [1, 2], "must be a dict"),
        (LABELS, {"0": 1.0}, "whole numbers as labels, got '0'"),
        (LABELS, {1.5: 1.0}, "whole numbers as labels, got 1.5"),
        (LABELS, {np.float32(0.5): 1.0}, "whole numbers as labels, got .*0.5"),
        (LABELS, {float("nan"): 1.0}, "whole numbers as labels, got nan"),
        (LABELS, {float("inf"): 1.0}, "whole numbers as labels, got inf"),
        (LABELS, {1j: 1.0}, "whole numbers as labels, got 1j"),
        (LABELS, {(1, 2): 1.0}, r"whole numbers as labels, got \(1, 2\)"),
        (LABELS, {1: 1.0, (1,): 2.0}, "two weights for class 1"),
        (LABELS, {None: 1.0}, "whole numbers as labels, got None"),
        (LABELS, {1: -0.5}, "class 1 must be a finite number, 0 or more, got -0.5"),
        (LABELS, {1: float("nan")}, "class 1 must be .* got nan"),
        (LABELS, {1: float("inf")}, "class 1 must be .* got inf"),
        (LABELS, {1: 1e300}, "class 1 must be .* got 1e"),
        (LABELS, {1: 10**400}, "class 1 must be"),
        (LABELS, {1: "2"}, "class 1 must be .* got '2'"),
        (LABELS, {1: None}, "class 1 must be .* got None"),
        (LABELS, {1: Decimal("sNaN")}, "class 1 must be .* got Decimal"),
        (LABELS, {1: 1 + 0j}, "class 1 must be"),
        (LABELS, {1: [1, 2]}, "class 1 must be"),
        (np.eye(5), {5: 1.0}, "class 5, but one-hot targets with 5 columns .* 0 to 4"),
        (np.eye(5), {-1: 1.0}, "class -1"),
        (None, {1: 1.0}, "no targets"),
    ],
)
def test_bad_class_weight(y: Any, class_weight: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ClassWeighted(ArraySource(np.zeros((5, 1)), y), class_weight)


@pytest.mark.parametrize("bad", [0.5, float("nan"), float("inf"), -float("inf")])
def test_targets_that_are_no_labels(bad: float) -> None:
    source = Paged(ArraySource(np.zeros((5, 1)), [0, 1, 2, bad, 1]))
    with pytest.raises(ValueError, match=f"got {bad:g} in row 3 .*sample_weight"):
        weights_of(ClassWeighted(source, {1: 2.0}))
