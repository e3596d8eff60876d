"""Dask's arrays and data frames: predicted in blocks, and as rows of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.layers import Conv2D, Dense, Flatten, Input
from fastnn.models import Sequential

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

X = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
Y = X.sum(axis=1)


@pytest.fixture(autouse=True)
def _threads() -> Any:
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


def made(units: int = 2, activation: str = "linear") -> Any:
    model = Sequential([Input((4,)), Dense(5, "tanh"), Dense(units, activation)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("chunks", [(30, 4), (100, 4), (7, 2)])
def test_arrays_are_predicted_in_blocks(chunks: Any) -> None:
    model = made()
    found = fastnn.dask.predict(da.from_array(X, chunks=chunks), model)
    assert found.shape == (100, 2)
    assert found.dtype == np.float32
    assert found.chunks[0] == da.from_array(X, chunks=chunks).chunks[0]
    assert np.array_equal(found.compute(), model.predict(X))


def test_pictures() -> None:
    model = Sequential([Input((5, 5, 1)), Conv2D(2, 3), Flatten(), Dense(3)])
    x = np.random.default_rng(1).normal(size=(20, 5, 5, 1)).astype(np.float32)
    found = fastnn.dask.predict(da.from_array(x, chunks=(6, 5, 5, 1)), model)
    assert np.array_equal(found.compute(), model.predict(x))


@pytest.mark.parametrize("limit", [256 * 2**20, 64])
def test_a_fit_on_arrays(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastnn.data.kinds.MEMORY_LIMIT", limit)  # beyond it they are read in pages
    losses = []
    for x, y in ((X, Y), (da.from_array(X, chunks=(33, 4)), da.from_array(Y, chunks=33))):
        fastnn.set_random_seed(1)
        model = made(1)
        losses.append(model.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def test_frames() -> None:
    dd, pd = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=Y, word="w")
    spread = dd.from_pandas(frame, npartitions=3)
    model = made(1)
    dataset = fastnn.dask.dataset(spread, target="y", features=list("abcd"))
    losses = model.fit(dataset, epochs=2, shuffle=False, verbose=0).history["loss"]
    fastnn.set_random_seed(0)
    other = made(1)
    other.set_weights(list(model.get_weights()))
    assert dataset.rows == 100
    assert losses[1] < losses[0]
    found = fastnn.dask.predict(spread, model, features=list("abcd")).compute()
    assert list(found.columns) == [*frame.columns, "prediction"]
    assert np.array_equal(found["prediction"], model.predict(X)[:, 0])
    assert found.index.equals(frame.index)
    classes = made(3, "softmax")
    found = fastnn.dask.predict(spread, classes, features=list("abcd"), output="class").compute()
    assert found["class"].tolist() == classes.predict(X).argmax(axis=1).tolist()
    vectors = fastnn.dask.predict(spread, made(2), features=list("abcd"), kind="values").compute()
    assert np.stack(vectors["prediction"]).shape == (100, 2)


def test_a_fit_on_a_frame_is_that_on_arrays() -> None:
    dd, pd = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    spread = dd.from_pandas(pd.DataFrame(X, columns=list("abcd")).assign(y=Y), npartitions=4)
    losses = []
    for source in ((X, Y), (fastnn.dask.dataset(spread, target="y"),)):
        fastnn.set_random_seed(1)
        losses.append(made(1).fit(*source, epochs=2, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def test_what_is_none() -> None:
    for call in (lambda: fastnn.dask.predict(X, made()), lambda: fastnn.dask.dataset(X)):
        with pytest.raises(TypeError, match="of Dask"):
            call()
    with pytest.raises(TypeError, match="features goes with a data frame"):
        fastnn.dask.predict(da.from_array(X), made(), features=["a"])
