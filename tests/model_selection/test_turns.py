"""Threads that fit networks side by side take turns in Python; nothing that they do may hang on that."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import fastnn
from fastnn.kernels.team import leave_turn, take_turn
from support.folds import X, Y, build, validated


def test_a_turn_is_one_threads() -> None:
    assert take_turn()
    assert not take_turn()  # it has it already
    other: list[bool] = []
    thread = threading.Thread(target=lambda: other.append(take_turn()))
    thread.start()
    thread.join(30)
    assert other == [False]  # after 5 ms it goes on without
    leave_turn()
    leave_turn()  # of a thread that has it not: nothing
    assert take_turn()
    leave_turn()


def test_fits_may_wait_for_one_another() -> None:
    both = threading.Barrier(2, timeout=30)

    def waiting() -> Any:
        both.wait()
        return build()

    assert (
        validated(X, Y, build=waiting, cv=4, n_jobs=2)["test_loss"].tolist()
        == validated(X, Y, cv=4)["test_loss"].tolist()
    )


def test_the_turn_is_free_after_an_error() -> None:
    def failing() -> Any:
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        validated(X, Y, build=failing, n_jobs=2)
    assert take_turn()
    leave_turn()


@pytest.mark.parametrize("n_jobs", [2, 3, 5])
def test_fits_within_fits(n_jobs: int) -> None:
    inner = validated(X, Y, n_jobs=1)["test_loss"].tolist()
    found: list[Any] = []

    def nested() -> Any:
        found.append(validated(X, Y, n_jobs=n_jobs)["test_loss"].tolist())
        return build()

    outer = validated(X, Y, build=nested, cv=3, n_jobs=n_jobs)["test_loss"].tolist()
    assert found == [inner] * 3
    assert outer == validated(X, Y, cv=3, n_jobs=1)["test_loss"].tolist()


def test_fits_that_are_looked_at_leave_the_turn() -> None:
    """Epochs with hooks are calls of their own, in which no turn is held."""
    turns: list[bool] = []

    class Looking(fastnn.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            turns.append(take_turn())
            leave_turn()

    found = validated(X, Y, callbacks=lambda: [Looking()], n_jobs=2, cv=2, epochs=3)
    assert found["test_loss"].tolist() == validated(X, Y, n_jobs=1, cv=2, epochs=3)["test_loss"].tolist()
    assert any(turns)
