"""``fastnn.distributed.map``: work that ranks share."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from fastnn.distributed import LocalCommunicator, map
from support.processes import started
from support.ranks import run as in_threads


def square(number: int) -> int:
    return number * number


@pytest.mark.parametrize("comm", [None, LocalCommunicator()])
@pytest.mark.parametrize("threads", [1, 3])
def test_one_process(comm: Any, threads: int) -> None:
    told: list[tuple[int, int]] = []
    found = map(square, range(10), comm, threads=threads, on_result=lambda *each: told.append(each))
    assert found == [n * n for n in range(10)]
    assert sorted(told) == list(enumerate(found))
    assert map(square, [], comm, threads=threads) == []


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("threads", [1, 2])
def test_all_ranks_have_all_results(size: int, threads: int) -> None:
    told: list[int] = []
    for found in in_threads(size, lambda comm: map(square, range(20), comm, threads=threads, on_result=tell(told))):
        assert found == [n * n for n in range(20)]
    assert sorted(told) == list(range(20))  # at rank 0 alone


def tell(told: list[int]) -> Any:
    return lambda number, result: told.append(number)


def test_who_is_free_takes_the_next() -> None:
    """While one rank is busy with an item, the other does all others."""
    by: dict[int, str] = {}
    others = threading.Event()

    def work(number: int) -> int:
        by[number] = threading.current_thread().name
        if number == 0:
            assert others.wait(30)
        elif number == 9:
            others.set()
        return number

    for found in in_threads(2, lambda comm: map(work, range(10), comm)):
        assert found == list(range(10))
    assert {name for number, name in by.items() if number} == {by[1]}
    assert by[0] != by[1]


def test_results_come_while_work_goes_on() -> None:
    told, last = [], threading.Event()

    def work(number: int) -> int:
        if number == 3:
            assert last.wait(30)  # until the others were told
        return number

    def hear(number: int, result: int) -> None:
        told.append(number)
        if len(told) == 3:
            last.set()

    in_threads(2, lambda comm: map(work, range(4), comm, on_result=hear))
    assert sorted(told[:3]) == [0, 1, 2]
    assert told[3] == 3


@pytest.mark.parametrize("size", [1, 2, 3])
def test_an_error_is_raised_where_it_is_and_told_elsewhere(size: int) -> None:
    def work(number: int) -> int:
        if number == 5:
            raise KeyError("five")
        return number

    found = in_threads(size, lambda comm: map(work, range(100), comm))
    kinds = sorted(type(error).__name__ for error in found)
    assert kinds == sorted(["KeyError", *["RuntimeError"] * (size - 1)])
    for error in found:
        if isinstance(error, RuntimeError):
            assert "failed: KeyError: 'five'" in str(error)


def test_a_result_that_cannot_be_sent() -> None:
    """It is an error, and nobody waits for ever."""
    here = threading.Barrier(2, timeout=30)

    def work(number: int) -> Any:
        here.wait()  # both ranks have one
        return threading.Lock()

    for error in in_threads(2, lambda comm: map(work, range(2), comm)):
        assert isinstance(error, (TypeError, RuntimeError))
        assert "pickle" in str(error)


def test_an_error_of_on_result_ends_all() -> None:
    def hear(number: int, result: int) -> None:
        raise OSError("no room")

    def work(number: int) -> int:
        time.sleep(0.02)
        return number

    found = in_threads(3, lambda comm: map(work, range(50), comm, on_result=hear))
    assert isinstance(found[0], OSError)
    assert all(isinstance(error, RuntimeError) and "no room" in str(error) for error in found[1:])


CHILD = """
    import time
    from fastnn.distributed import map

    def work(number):
        print("has", number, flush=True)
        time.sleep(60 if sys.argv[4] == "hangs" else 0.01)
        return number * number

    print(map(work, range(12), comm), flush=True)
"""


def test_a_lost_ranks_work_is_done_by_others() -> None:
    comm, (child,) = started(2, CHILD, "hangs")
    killed = threading.Event()

    def kill() -> None:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("has")  # in the midst of an item
        child.kill()
        child.wait()
        killed.set()

    killing = threading.Thread(target=kill)
    killing.start()
    done: list[int] = []

    def work(number: int) -> int:
        assert killed.wait(30)
        done.append(number)
        return number * number

    assert map(work, range(12), comm) == [n * n for n in range(12)]
    killing.join()
    assert sorted(done) == list(range(12))
    child.stdout.close()


def test_processes_share() -> None:
    comm, children = started(3, CHILD, "goes on")
    told = []

    def work(number: int) -> int:
        time.sleep(0.05)
        return number * number

    expected = [n * n for n in range(12)]
    assert map(work, range(12), comm, on_result=lambda *each: told.append(each)) == expected
    assert sorted(told) == list(enumerate(expected))
    for child in children:
        out, _ = child.communicate(timeout=30)
        assert out.splitlines()[-1] == str(expected)
        assert child.returncode == 0


def test_when_rank_0_is_lost() -> None:
    class Gone:
        rank, size = 1, 2

        def allgatherv(self, send: Any, receive: Any, counts: Any) -> None:
            receive[: len(send)] = send
            receive[-len(send) :] = send

        def bcast_object(self, value: Any, root: int = 0) -> Any:
            return ("127.0.0.1", 9), b"key"

    with pytest.raises(ConnectionError, match="rank 0, which hands out the work, is gone"):
        map(square, range(3), Gone())


def test_what_is_no_communicator() -> None:
    with pytest.raises(TypeError, match="comm must be a communicator"):
        map(square, range(3), 4)
    with pytest.raises(ValueError, match="threads must be at least 1"):
        map(square, range(3), threads=0)
