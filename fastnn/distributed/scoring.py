"""A prediction of several ranks: each predicts some of the rows, and all of them have all that comes out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import shown
from fastnn.distributed.meeting import check, check_facts, facts_of, fingerprint, met, shared_rows
from fastnn.distributed.reading import Together
from fastnn.engine.description import RowError

if TYPE_CHECKING:
    from fastnn.distributed.communicator import Communicator


def predict(model: Any, communicator: Communicator, x: Any, run: Callable[..., Any], callbacks: Any, **how: Any) -> Any:
    """``Model.predict`` by all ranks. run: predicts x by a network that ``made(network, source)`` gives.

    TypeError for what is no communicator, ValueError for callbacks, which would look at the outputs of one rank.
    """
    check(communicator, model)
    if communicator.size > 1 and callbacks is not None:
        raise ValueError("predict with distribute runs no callbacks; leave out the one or the other")
    if communicator.size == 1:
        return run(x, callbacks=callbacks)
    x = shared_rows(communicator, {"x": x})["x"]
    shared = _Shared(communicator)

    def made(network: Any, source: Any) -> _Shared:
        facts = {**facts_of(model), "data": fingerprint(source), **{name: shown(each) for name, each in how.items()}}
        check_facts(shared.told(None, facts))
        with model.description.locked():
            communicator.bcast(network.parameters)
        shared.network, shared.lock = network, network.lock
        return shared

    try:
        with Together(communicator, [x], shared.met):
            outputs = run(x, made)
    except BaseException as error:
        if not shared.ended:
            shared.told(error)
        raise
    shared.told(None)
    return outputs


class _Shared:
    """A network as a prediction's loop calls it, whose rows the ranks share out where no row looks at others."""

    network: Any
    lock: Any

    def __init__(self, communicator: Communicator) -> None:
        self.communicator, self.ended = communicator, False  # by an error that all ranks know

    def met(self, error: BaseException | None, doing: str, what: Any = None) -> tuple[BaseException | None, list[Any]]:
        """See ``meeting.met``."""
        found, told = met(self.communicator, error, doing, what)
        self.ended = found is not None
        return found, told

    def told(self, error: BaseException | None, what: Any = None) -> list[Any]:
        """What each rank has to say. Raises the error of the first that has one."""
        found, told = self.met(error, "predicts", what)
        if found is not None:
            raise found
        return told

    def predict(self, x: Any, progress: Any = None) -> Any:
        rank, size, rows = self.communicator.rank, self.communicator.size, len(x)
        ends = [rows * number // size for number in range(size + 1)]
        if self.network.fixed_rows or self.network.takes_gil or self.network.draws:
            ends = [0] + [rows] * size
        error: BaseException | None = None
        own = np.empty((0, self.network.units), np.float32)
        try:
            if ends[rank] < ends[rank + 1]:
                own = self.network.predict(x[ends[rank] : ends[rank + 1]], progress)
        except RowError as found:
            error = RowError(*found.parts, int(found.row) + ends[rank])
        except BaseException as found:
            error = found
        self.told(error)
        units = self.network.units
        everyone = np.empty(rows * units, np.float32)
        counts = [(stop - start) * units for start, stop in pairwise(ends)]
        self.communicator.allgatherv(np.ascontiguousarray(own).reshape(-1), everyone, counts)
        return everyone.reshape(rows, units)
