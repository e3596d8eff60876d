"""A command as several processes, which ``mpiexec`` has started: rank 0 alone prints and writes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from typing import Any

from fastnn.cli.output import described
from fastnn.cli.parser import failed

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")  # what MPICH and those made of it, and Open MPI, say of a job
FIRST = 1.0  # seconds that rank 0 has to say what has failed on all ranks


@contextmanager
def ranks() -> Iterator[Any]:
    """The communicator of the job that this process is one of, or None. An error ends all of them.

    ImportError where there is such a job, and no mpi4py.
    """
    if not any(os.environ.get(name, "1") != "1" for name in SIZES):
        yield None
        return
    from fastnn.distributed import MPICommunicator

    communicator = MPICommunicator()
    with ExitStack() as stack:
        if communicator.rank:
            nothing = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(redirect_stdout(nothing))
            stack.enter_context(redirect_stderr(nothing))
        try:
            yield communicator
        except Exception as error:
            if communicator.rank == 0:
                failed(described(error), 1)
                communicator.abort("")
            time.sleep(FIRST)
            communicator.abort(described(error))


def reading(communicator: Any, data: Any) -> AbstractContextManager[Any]:
    """Within it, several ranks read the rows of a dataset together."""
    if communicator is None:
        return nullcontext()
    from fastnn.distributed.reading import Together

    return Together(communicator, [data])
