"""``LocalSGD``: against the same by hand, for each of its ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import EarlyStopping, LambdaCallback
from fastnn.distributed import LocalCommunicator, LocalSGD
from fastnn.layers import BatchNormalization, Dense, Input
from fastnn.models import Sequential
from support.ranks import run as in_threads

RNG = np.random.default_rng(2)
X = RNG.normal(size=(240, 4)).astype(np.float32)
Y = (X @ RNG.normal(size=(4, 1))).astype(np.float32)


def compiled(optimizer: Any = None, seed: int = 0) -> Any:
    with fastnn.random.seeded(seed):
        model = Sequential([Input((4,)), Dense(8, "tanh"), BatchNormalization(), Dense(1)])
        model.compile(optimizer or fastnn.optimizers.SGD(0.05), "mse")
        model.build()
    return model


def flat(model: Any) -> Any:
    return np.concatenate([array.ravel() for array in model.get_weights()])


def trained(size: int, *, rows: Any = None, optimizer: Any = None, epochs: int = 2, **options: Any) -> list[Any]:
    """The models of all ranks; `seed` differs, so that rank 0's weights must reach the others."""

    def work(comm: Any) -> Any:
        model = compiled(optimizer() if optimizer else None, comm.rank)
        mine = slice(comm.rank, None, size) if rows is None else rows[comm.rank]
        callbacks = [LocalSGD(comm, **options)]
        model.fit(X[mine], Y[mine], batch_size=10, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
        return model, comm

    found = in_threads(size, work)
    for each in found:
        if isinstance(each, Exception):
            raise each
    models = [model for model, _ in found]
    for model in models[1:]:
        assert flat(model).tobytes() == flat(models[0]).tobytes()
    return [models[0], found[0][1]]


def bytes_sent(comm: Any) -> int:
    return sum(own for own, _ in comm.calls)


def set_flat(model: Any, values: Any) -> None:
    arrays, start = [], 0
    for array in model.get_weights():
        arrays.append(values[start : start + array.size].reshape(array.shape))
        start += array.size
    model.set_weights(arrays)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("steps", [1, 3, None])
def test_it_is_the_mean_of_local_steps(size: int, steps: int | None) -> None:
    ranks = [compiled() for _ in range(size)]
    shards = [(X[r::size], Y[r::size]) for r in range(size)]
    batches = len(shards[0][0]) // 10
    for _ in range(2):
        since = 0
        for batch in range(batches):
            at = slice(10 * batch, 10 * batch + 10)
            for model, (x, y) in zip(ranks, shards, strict=True):
                model.train_on_batch(x[at], y[at])
            since += 1
            if since == steps or batch == batches - 1:
                mean = np.zeros(flat(ranks[0]).size)
                for model in ranks:
                    mean += np.float64(1 / size) * flat(model)
                for model in ranks:
                    set_flat(model, mean.astype(np.float32))
                since = 0
    model, _ = trained(size, steps=steps)
    assert flat(model).tobytes() == flat(ranks[0]).tobytes()


def test_one_rank_is_a_plain_fit() -> None:
    plain, with_it = compiled("adam"), compiled("adam")
    for model, callbacks in ((plain, []), (with_it, [LocalSGD(LocalCommunicator(), 2)])):
        model.fit(X, Y, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)
    assert flat(plain).tobytes() == flat(with_it).tobytes()


def test_repeatable_and_slots_count() -> None:
    adam = {"optimizer": lambda: fastnn.optimizers.Adam(0.01), "steps": 2}
    first, again = (flat(trained(3, **adam)[0]).tobytes() for _ in range(2))
    assert first == again
    assert flat(trained(3, average_slots=False, **adam)[0]).tobytes() != first


def test_ranks_with_more_and_fewer_rows() -> None:
    """Who has done its epoch waits, and counts by its steps since the last mean."""
    rows = [slice(0, 130), slice(130, 140), slice(140, 240)]
    model, _ = trained(3, rows=rows, steps=4, epochs=3)
    again, _ = trained(3, rows=rows, steps=4, epochs=3)
    assert flat(model).tobytes() == flat(again).tobytes()
    by_epoch, _ = trained(3, rows=rows, epochs=1)
    ranks = [compiled() for _ in range(3)]
    for each, part in zip(ranks, rows, strict=True):
        each.fit(X[part], Y[part], batch_size=10, epochs=1, shuffle=False, verbose=0)
    expected = (13 * flat(ranks[0]).astype(float) + flat(ranks[1]) + 10 * flat(ranks[2])) / 24
    assert np.allclose(flat(by_epoch), expected, rtol=1e-6, atol=1e-7)


def test_top_k_with_everything_is_the_mean() -> None:
    """All changes, in float32: what is sent is all, up to the rounding of w - w_0 + w_0."""
    whole, _ = trained(2, steps=2, average_slots=False)
    by_change, _ = trained(2, steps=2, top_k=1.0)
    assert np.allclose(flat(whole), flat(by_change), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_top_k_is_gradient_compression_with_error_feedback(dtype: str) -> None:
    """With a step of SGD each time: Karimireddy et al. 2019, algorithm 2, by hand."""
    size, rate = 2, 0.05
    models = [compiled() for _ in range(size)]
    w = flat(models[0]).astype(np.float32)
    count = int(np.ceil(0.1 * models[0].description.network.parameters.size))
    errors = [np.zeros_like(w) for _ in range(size)]
    place = slice(None)
    for batch in range(12):
        at, sent = slice(10 * batch, 10 * batch + 10), []
        for r, model in enumerate(models):
            set_flat(model, w)
            model.train_on_batch(X[r::size][at], Y[r::size][at])
            change = flat(model) - w + errors[r]
            place = np.argsort(-np.abs(change), kind="stable")[:count]
            kept = np.zeros_like(w)
            kept[place] = change[place].astype(dtype)
            errors[r] = change - kept
            sent.append(kept)
        w = (w + np.mean(sent, axis=0)).astype(np.float32)
    assert rate
    model, comm = trained(size, epochs=1, steps=1, top_k=0.1, dtype=dtype)
    # Moving averages of BatchNormalization are weights too, and change as the rest.
    assert np.allclose(flat(model), w, rtol=2e-4, atol=2e-6)
    exact, other = trained(size, epochs=1, steps=1, average_slots=False)
    assert bytes_sent(comm) < 0.5 * bytes_sent(other)
    assert not np.allclose(flat(model), flat(exact), rtol=2e-4, atol=2e-6)


def test_float16_sends_half() -> None:
    _, whole = trained(2, steps=1, average_slots=False)
    model, half = trained(2, steps=1, dtype="float16")
    assert bytes_sent(half) < 0.75 * bytes_sent(whole)  # with the counts beside them
    assert np.isfinite(flat(model)).all()


def test_all_stop_where_one_does_and_end_with_one_set_of_weights() -> None:
    def work(comm: Any) -> Any:
        model, epochs = compiled(), []
        stop = LambdaCallback(
            on_epoch_end=lambda epoch, logs: (
                epochs.append(epoch),
                setattr(model, "stop_training", epoch == 2 and comm.rank == 1),
            )
        )
        best = EarlyStopping("loss", patience=100, restore_best_weights=True)
        model.fit(X[comm.rank :: 2], Y[comm.rank :: 2], epochs=9, verbose=0, callbacks=[LocalSGD(comm), stop, best])
        return epochs, flat(model).tobytes()

    (first, weights), (second, other) = in_threads(2, work)
    assert first == second == [0, 1, 2]
    assert weights == other


def test_a_validation_is_of_the_mean() -> None:
    def work(comm: Any) -> Any:
        model = compiled(seed=comm.rank)
        mine = slice(comm.rank, None, 2)
        callbacks = [LocalSGD(comm)]
        history = model.fit(X[mine], Y[mine], epochs=2, verbose=0, validation_data=(X, Y), callbacks=callbacks).history
        return history["val_loss"]

    first, second = in_threads(2, work)
    assert first == second


def test_an_error_at_one_rank_ends_all() -> None:
    def work(comm: Any) -> Any:
        y = Y.copy()
        if comm.rank == 1:
            y[200] = np.nan
        compiled().fit(X, y, batch_size=10, shuffle=False, verbose=0, callbacks=[LocalSGD(comm, 5)])

    found = in_threads(2, work)
    assert isinstance(found[1], ValueError)
    assert found[0] is not None


def test_ranks_that_differ_are_named() -> None:
    def work(comm: Any) -> Any:
        compiled().fit(X, Y, verbose=0, callbacks=[LocalSGD(comm, 5 + comm.rank)])

    for error in in_threads(2, work):
        assert isinstance(error, ValueError)
        assert "LocalSGD: rank " in str(error)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": 1.5}, "steps must be a whole number"),
        ({"top_k": 0}, "top_k must be a share"),
        ({"top_k": float("nan")}, "top_k must be a share"),
        ({"top_k": "all"}, "top_k must be a number"),
        ({"dtype": "int8"}, 'dtype must be "float32" or "float16"'),
        ({"average_slots": "yes"}, "average_slots must be True or False"),
    ],
)
def test_arguments(options: dict[str, Any], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        LocalSGD(LocalCommunicator(), **options)
