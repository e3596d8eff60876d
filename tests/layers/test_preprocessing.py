"""Normalization adapts to arrays and sources before and after a model is built; Rescaling and Reshape refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.data import ArraySource
from fastnn.layers import CategoryEncoding, Dense, Identity, Input, Normalization, Rescaling, Reshape
from fastnn.models import Sequential, load_model
from fastnn.utils import PyDataset


def data(n: int = 20_000) -> np.ndarray:
    return np.random.default_rng(1).normal([3, -2e5, 0.01], [2, 5, 1e-3], (n, 3)).astype(np.float32)


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("wrap", [np.asarray, ArraySource, lambda x: x.astype(float), lambda x: x.tolist()])
def test_adapt(built: bool, wrap: object) -> None:
    x = data()
    layer = Normalization()
    model = Sequential([layer, Dense(1)])
    if built:
        model.build((3,))
        layer.adapt(data(100) + 50)
    layer.adapt(wrap(x))  # type: ignore[operator]
    if not built:
        model.build((3,))
    mean, variance, count = layer.get_weights()
    z = x.astype(float)
    np.testing.assert_allclose(mean, z.mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, z.var(0), rtol=1e-5)
    assert count == 0
    found = Sequential([Input((3,)), layer]).predict(x)
    np.testing.assert_allclose(found.mean(0), 0, atol=0.01)
    np.testing.assert_allclose(found.std(0), 1, atol=0.01)


def test_adapted_weights_do_not_learn_and_are_saved(tmp_path: Path) -> None:
    layer = Normalization()
    layer.adapt(data())
    model = Sequential([Input((3,)), layer, Dense(1)])
    model.compile("sgd", "mse")
    before = layer.get_weights()
    model.fit(data(64), np.ones((64, 1), np.float32), epochs=3, verbose=0)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    for one, other in zip(before, loaded.get_weights()[:3], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(loaded.predict(data(10)), model.predict(data(10)))


def test_adapt_along_other_axes() -> None:
    x = np.random.default_rng(0).normal(2, 3, (50, 3, 4)).astype(np.float32)
    for axis, shape, over in ((-1, (4,), (0, 1)), ((1, 2), (3, 4), (0,)), (None, (), (0, 1, 2))):
        layer = Normalization(axis=axis)
        layer.adapt(x)
        model = Sequential([Input((3, 4)), layer])
        assert layer.get_weights()[0].shape == shape
        expected = (x - x.mean(over)) / x.std(over)
        np.testing.assert_allclose(model.predict(x).reshape(x.shape), expected, rtol=1e-4, atol=1e-5)


def test_inverted_it_undoes_itself() -> None:
    x = data(50)
    there, back = Normalization(), Normalization(invert=True)
    there.adapt(x)
    back.adapt(x)
    found = Sequential([Input((3,)), there, back]).predict(x)
    np.testing.assert_allclose(found, x, rtol=1e-5)


def test_constant_columns() -> None:
    """Their deviation is 0, and 1e-7 takes its place, as in Keras."""
    layer = Normalization()
    layer.adapt(np.full((5, 2), 3.0))
    assert Sequential([Input((2,)), layer]).predict(np.array([[3.0, 4.0]]))[0] == pytest.approx([0, 1e7])


def test_what_normalization_refuses() -> None:
    with pytest.raises(ValueError, match="give both mean and variance"):
        Normalization(mean=1.0)
    with pytest.raises(ValueError, match="variance must be at least 0"):
        Normalization(mean=1.0, variance=-1.0)
    with pytest.raises(TypeError, match="mean must be a number or numbers, got 'x'"):
        Normalization(mean="x", variance=1)
    with pytest.raises(ValueError, match=r"mean of shape \(2,\) does not go with \(3,\)"):
        Normalization(mean=[1, 2], variance=[1, 2]).output_shape((3,))
    with pytest.raises(RuntimeError, match="has mean and variance already"):
        Normalization(mean=1, variance=1).adapt(data())
    with pytest.raises(ValueError, match="adapt got no rows"):
        Normalization().adapt(data()[:0])
    with pytest.raises(TypeError, match="data must hold numbers, got dtype <U1"):
        Normalization().adapt(np.array([["a"]]))
    layer = Normalization()
    layer.adapt(data())
    with pytest.raises(ValueError, match=r"was adapted to features of shape \(3,\), got \(4,\)"):
        Sequential([Input((4,)), layer])


def test_rescaling() -> None:
    x = data(5)
    found = Sequential([Input((3,)), Rescaling([1, 2, 3], offset=1)]).predict(x)
    np.testing.assert_allclose(found, x * np.array([1, 2, 3]) + 1, rtol=1e-6)
    with pytest.raises(ValueError, match=r"scale of shape \(2,\) does not go with \(3,\)"):
        Rescaling([1, 2]).output_shape((3,))
    with pytest.raises(ValueError, match="scale must be finite"):
        Rescaling(np.inf)


def test_reshape() -> None:
    assert Reshape((-1, 2)).output_shape((3, 4)) == (6, 2)
    assert Reshape(12).output_shape((3, 4)) == (12,)
    assert Identity().output_shape((3, 4)) == (3, 4)
    for shape in ((5, -1), (3, 5), (24, -1)):
        with pytest.raises(ValueError, match="cannot make rows of shape"):
            Reshape(shape).output_shape((3, 4))
    with pytest.raises(ValueError, match="at most one -1"):
        Reshape((-1, -1))
    with pytest.raises(ValueError, match="target_shape must be at least 1, got 0"):
        Reshape((0, 3))


def test_numbers_and_vectors() -> None:
    """A vector is one row, and comes back without an axis of rows; numbers that share one mean keep their shape."""
    for mode, expected in (("multi_hot", [0, 1, 0, 1]), ("count", [0, 1, 0, 2])):
        layer = CategoryEncoding(4, mode)
        for x in ([3, 1, 3], np.array([3, 1, 3]), np.array([3, 1, 3], float)):
            np.testing.assert_array_equal(layer(x), expected)
        np.testing.assert_array_equal(layer(2), [0, 0, 1, 0])
        np.testing.assert_array_equal(layer([[3, 1, 3]]), [expected])
    hot = CategoryEncoding(4, "one_hot")
    np.testing.assert_array_equal(hot([3, 1]), np.eye(4)[[3, 1]])
    np.testing.assert_array_equal(hot([3]), np.eye(4)[[3]])
    np.testing.assert_array_equal(hot(3), np.eye(4)[[3]])
    np.testing.assert_array_equal(Rescaling(2.0, 1.0)([1.0, 2.0]), [3, 5])
    assert Rescaling(2.0)(3.0) == 6
    np.testing.assert_array_equal(Rescaling([1.0, 2.0], 1.0)([1.0, 2.0]), [2, 5])
    np.testing.assert_array_equal(Normalization(mean=1.0, variance=4.0)([1.0, 3.0, 5.0]), [0, 1, 2])
    np.testing.assert_array_equal(Normalization(mean=[1.0, 2.0], variance=[4.0, 1.0])([1.0, 3.0]), [0, 1])
    layer = Normalization(axis=None)
    layer.adapt(np.array([1.0, 3.0]))
    np.testing.assert_array_equal(layer([1.0, 3.0, 5.0]), [-1, 1, 3])
    with pytest.raises(ValueError, match="does not go with"):
        Rescaling([1.0, 2.0])([1.0, 2.0, 3.0])


def test_rows_without_numbers() -> None:
    for empty in (np.zeros((4, 0)), np.zeros((4, 3, 0))):
        with pytest.raises(ValueError, match=r"adapt takes rows of at least one number, got an array of shape"):
            Normalization().adapt(empty)


def _batches() -> list[tuple[str, Any]]:
    class Batches(PyDataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            return ROWS[8 * index : 8 * index + 8], np.zeros(1)

    parts = [ROWS[start : start + 8] for start in range(0, 32, 8)]
    return [
        ("list", parts),
        ("generator", (part for part in parts)),
        ("iterator", iter(parts)),
        ("pairs", [(part, np.zeros(8)) for part in parts]),
        ("PyDataset", Batches()),
        ("one batch", [ROWS]),
    ]


ROWS = np.random.default_rng(8).normal(3, 2, (32, 2, 4))


@pytest.mark.parametrize("kind", [kind for kind, _ in _batches()])
@pytest.mark.parametrize("axis", [-1, 1, (1, 2), None])
def test_adapting_to_batches(kind: str, axis: Any) -> None:
    layer = Normalization(axis)
    layer.adapt(dict(_batches())[kind])
    over = {-1: (0, 1), 1: (0, 2), (1, 2): 0, None: None}[axis]
    mean, variance = (of(ROWS, axis=over, keepdims=True) for of in (np.mean, np.var))
    assert layer.built
    for got, expected in ((layer.mean, mean), (layer.variance, variance)):
        assert got.shape == np.shape(expected)
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_allclose(layer(ROWS), (ROWS - mean) / np.sqrt(variance), rtol=1e-4, atol=1e-5)


def test_batches_that_cannot_be_adapted_to() -> None:
    for empty in ([], iter(())):
        with pytest.raises(ValueError, match="empty iterable"):
            Normalization().adapt(empty)
    with pytest.raises(ValueError, match="batch 1 has an incompatible shape"):
        Normalization().adapt(np.ones((8, size)) for size in (4, 6))
    with pytest.raises(TypeError, match=r"batch 0 must be an array, which has a `\.shape`"):
        Normalization().adapt(number for number in (42,))
    layer = Normalization()
    layer.build((None, 5))
    with pytest.raises(ValueError, match="incompatible shape"):
        layer.adapt(np.ones((10, 3)))


def test_moments_of_one_batch_after_the_other() -> None:
    """A mean far from 0, in which a sum of squares would drown; batches of one row, of several pages, and of none."""
    x = np.random.default_rng(3).normal([1e9, -5], [1, 3], (30_000, 2))
    layer = Normalization()
    layer.update_state(x[:5] + 7)
    layer.reset_state()
    for start, stop in ((0, 1), (1, 20_000), (20_000, 20_000), (20_000, 29_000)):
        layer.update_state(x[start:stop])
    layer.finalize_state()
    np.testing.assert_allclose(np.ravel(layer.variance), x[:29_000].var(axis=0), rtol=1e-6)
    layer.update_state(x[29_000:])  # to which those that come later are added
    layer.finalize_state()
    np.testing.assert_allclose(np.ravel(layer.mean), x.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(np.ravel(layer.variance), x.var(axis=0), rtol=1e-6)
    with pytest.raises(ValueError, match=r"rows of an incompatible shape, \(3,\); the first had \(2,\)"):
        layer.update_state(np.ones((4, 3)))
    for call in (lambda: Normalization(mean=1, variance=1).update_state(x), lambda: Normalization().finalize_state()):
        with pytest.raises((RuntimeError, ValueError), match=r"mean and variance already|adapt got no rows"):
            call()


def test_given_moments_go_with_the_rows() -> None:
    given = np.arange(1.0, 6.0)
    layer = Normalization(axis=(1, 2), mean=given, variance=np.ones(5))
    assert layer.mean == tuple(given)
    layer.build((2, 7, 5, 3))
    assert layer.mean.shape == (1, 7, 5, 1)
    np.testing.assert_array_equal(layer.mean, np.broadcast_to(given[:, None], (1, 7, 5, 1)))
    assert layer.get_config()["mean"] == given.tolist()
    assert Normalization.from_config(layer.get_config()).get_config() == layer.get_config()


def test_axes_that_are_none() -> None:
    for axis in (np.zeros((4, 5)), 1.5, {"axis": -1}):
        with pytest.raises(TypeError, match="Normalization: axis must be a whole number"):
            Normalization(axis)
    with pytest.raises(ValueError, match="All `axis` values must be in the range"):
        Normalization(axis=-4).build((2, 3, 4))
