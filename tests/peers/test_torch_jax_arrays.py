"""Tensors of PyTorch and JAX as rows, targets and weights; a DataLoader as batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.data import ArraySource, BatchSource
from fastnn.data.convert import to_float32
from fastnn.layers import Dense
from fastnn.models import Sequential

VALUES = np.arange(12).reshape(4, 3)
TYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.mark.parametrize("dtype", TYPES)
def test_torch_types(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(VALUES).to(getattr(torch, dtype))
    expected = tensor.to(torch.float32).numpy()
    for given, wanted in ((tensor, expected), (tensor.T, expected.T), (tensor[::2], expected[::2])):
        got = to_float32(given, "x")
        np.testing.assert_array_equal(got, wanted)
        assert got.flags.c_contiguous


def test_torch_float32_is_not_copied() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.ones(4, 3, requires_grad=True)
    source = ArraySource(tensor, tensor.detach()[:, 0].clone(), torch.ones(4))
    assert source.x.__array_interface__["data"][0] == tensor.data_ptr()
    assert (source.rows, source.input_shape, source.targets, source.columns) == (4, (3,), 1, ())
    assert ArraySource(torch.nn.Parameter(torch.ones(2, 2))).x.sum() == 4


def test_torch_what_is_refused() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"x lies on the device meta, but must be in main memory; pass x.cpu\(\)"):
        ArraySource(torch.ones(2, 2, device="meta"))
    with pytest.raises(TypeError, match="y cannot be read as an array"):
        ArraySource(np.zeros((2, 1)), torch.eye(2).to_sparse())
    with pytest.raises(TypeError, match="complex64"):
        ArraySource(torch.ones(2, 2, dtype=torch.complex64))
    with pytest.raises(TypeError, match="x must be an array"):
        ArraySource(torch.tensor(1.0))
    with pytest.raises(ValueError, match="16777217"):
        ArraySource(np.zeros((1, 1)), torch.tensor([2**24 + 1]))


@pytest.mark.parametrize("dtype", [name for name in TYPES if name not in ("float64", "int64")])
def test_jax_types(dtype: str) -> None:
    jnp = pytest.importorskip("jax.numpy")
    given = jnp.asarray(VALUES).astype(dtype)
    expected = np.asarray(given.astype("float32"))
    np.testing.assert_array_equal(ArraySource(given, given[:, 0], jnp.ones(4)).x, expected)
    np.testing.assert_array_equal(to_float32(given.T, "x"), expected.T)


def test_jax_float32_is_not_copied() -> None:
    jnp = pytest.importorskip("jax.numpy")
    given = jnp.ones((64, 16), "float32")
    assert ArraySource(given).x.__array_interface__["data"][0] == given.unsafe_buffer_pointer()


def fitted(*given: Any, **options: Any) -> tuple[Any, Any]:
    fastnn.set_random_seed(3)
    model = Sequential([Dense(3, "tanh", input_dim=3), Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model, model.fit(*given, verbose=0, shuffle=False, **options).history


def test_a_model_takes_tensors() -> None:
    torch, jnp = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    x, y = VALUES.astype(np.float32), np.arange(4, dtype=np.float32)
    model, plain = fitted(x, y, epochs=3, sample_weight=y, validation_data=(x, y))
    for make in (torch.tensor, jnp.asarray):
        other, history = fitted(make(x), make(y), epochs=3, sample_weight=make(y), validation_data=(make(x), make(y)))
        assert history == plain
        np.testing.assert_array_equal(other.predict(make(x)), model.predict(x))
        assert other.evaluate(make(x), make(y), verbose=0) == model.evaluate(x, y, verbose=0)


def test_a_data_loader() -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader, TensorDataset

    x, y = np.random.default_rng(0).random((20, 3)).astype(np.float32), np.arange(20, dtype=np.float32)
    loader = DataLoader(TensorDataset(torch.tensor(x), torch.tensor(y)), batch_size=4)
    source = BatchSource(loader)
    for _ in range(2):
        pages = list(source.pages(1))
        assert [len(page.x) for page in pages] == [4] * 5
        np.testing.assert_array_equal(np.concatenate([page.x for page in pages]), x)
        np.testing.assert_array_equal(np.concatenate([page.y for page in pages])[:, 0], y)
    _, history = fitted(loader, epochs=3, batch_size=4)
    _, plain = fitted(x, y, epochs=3, batch_size=4)
    np.testing.assert_allclose(history["loss"], plain["loss"], rtol=1e-6)


def test_a_keras_dataset() -> None:
    utils = pytest.importorskip("keras.utils")

    class Squares(utils.PyDataset):
        ended = 0

        def __len__(self) -> int:
            return 3

        def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
            return np.full((2, 3), i), np.full(2, i * i)

        def on_epoch_end(self) -> None:
            self.ended += 1

    given = Squares()
    source = BatchSource(given)
    assert [float(page.y[0, 0]) for page in source.pages(1)] == [0, 1, 4]
    drawn = [float(page.y[0, 0]) for page in source.pages(1, np.random.default_rng(2))]
    assert sorted(drawn) == [0, 1, 4]
    assert given.ended == 2
