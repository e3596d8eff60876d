"""What the package offers, and what it says where mpi4py or torch is missing."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fastnn import distributed


def test_names() -> None:
    for name in distributed.__all__:
        assert hasattr(distributed, name)
    with pytest.raises(AttributeError, match="MPICommunicator"):
        distributed.MPICommunicater  # noqa: B018


@pytest.mark.parametrize(("name", "package", "extra"), [("MPI", "mpi4py", "mpi"), ("Gloo", "torch", "torch")])
def test_what_is_missing(name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'{name}Communicator needs {package}: pip install "fastnn\[{extra}\]"'):
        getattr(distributed, f"{name}Communicator")()


def test_one_process() -> None:
    alone = distributed.LocalCommunicator()
    assert (alone.rank, alone.size, alone.bcast_object([3])) == (0, 1, [3])
    receive = np.zeros(2)
    alone.allgatherv(np.ones(2), receive, [2])
    alone.bcast(receive)
    alone.barrier()
    assert receive.tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="gone"):
        alone.abort("gone")
