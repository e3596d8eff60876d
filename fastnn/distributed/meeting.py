"""What ranks say to one another: errors, and whether they do the same."""

from __future__ import annotations

import contextlib
import pickle
import zlib
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import _version, kernels
from fastnn._checks import shown
from fastnn.config import get_matmul_precision
from fastnn.distributed.communicator import gather_objects
from fastnn.engine.description import RowError

if TYPE_CHECKING:
    from fastnn.distributed.communicator import Communicator

SAMPLED, BYTES = 4096, 2**26  # rows of an array, or somewhat more, that its fingerprint is of; and their bytes
SAME = "all ranks must run the same, but"


def check(communicator: Any, model: Any) -> None:
    """TypeError for what is no communicator, RuntimeError within a fit of the model by several ranks."""
    for name in ("rank", "size", "allgatherv", "bcast", "bcast_object", "abort"):
        if not hasattr(communicator, name):
            raise TypeError(
                f"distribute must be a communicator, such as fastnn.distributed.MPICommunicator(), got "
                f"{shown(communicator)}, which has no {name}"
            )
    if getattr(model.description.trainer, "link", None) is not None:
        raise RuntimeError("callbacks of a fit with distribute run on rank 0 alone; leave distribute out in them")


def met(
    communicator: Communicator, error: BaseException | None, doing: str, what: Any = None
) -> tuple[BaseException | None, list[Any]]:
    """(The error of the first rank that has one, what each has to say; [] where they do different things)."""
    told = gather_objects(communicator, (packed(error), doing, what))
    first = next((rank for rank, each in enumerate(told) if each[0] is not None), None)
    odd = next((rank for rank, each in enumerate(told) if each[1] != told[0][1]), None)
    found = error if first in (None, communicator.rank) else unpacked(told[first][0], first)
    if odd is None:
        return found, [each for _, _, each in told]
    return found or ValueError(f"{SAME} rank {odd} {told[odd][1]} where rank 0 {told[0][1]}"), []


def check_facts(told: Sequence[Mapping[str, Any]]) -> None:
    """ValueError, which names the first rank whose facts are not those of rank 0."""
    for rank, other in enumerate(told):
        for name, fact in told[0].items():
            if other[name] != fact:
                raise ValueError(
                    f"{SAME} the {name} of rank {rank} is not that of rank 0: {shown(other[name])}, not {shown(fact)}"
                )


def facts_of(model: Any, *more: Any) -> dict[str, Any]:
    """What is the same where the same numbers come out. more: of the model."""
    network = model.description.network
    ops = [(type(op).__name__, op.size, op.units, op.start, op.frozen) for op in network.ops]
    return {
        "fastnn version": _version.__version__,
        "NumPy version": np.__version__,
        "instruction set (FASTNN_ISA)": kernels.isa,
        "matmul_precision": network.matmul_precision or get_matmul_precision(),
        "model": digest((ops, network.sources, [each[:5] for each in model.description.variables()], more)),
    }


def fingerprint(source: Any) -> str:
    """A text that is another for other rows, of which it looks at some thousands, from the first to the last."""
    source = getattr(source, "source", source)  # of one with class_weight
    parts: list[Any] = [type(source).__name__, source.input_shape, source.names, getattr(source, "terms", tuple)()]
    if not parts[-1]:
        parts.append(source.rows)
    for name in ("x", "y", "weight"):
        array = getattr(source, name, None)
        if isinstance(array, np.ndarray):
            rows = max(16, min(SAMPLED, BYTES // max(1, array[:1].nbytes)))
            seen: Any = np.ascontiguousarray(array[:: max(1, len(array) // rows)])
            parts += [name, array.shape, array.dtype, zlib.crc32(seen)]
    return digest(parts)


def digest(parts: Any) -> str:
    """A short text for a few small things."""
    return blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def packed(error: BaseException | None) -> Any:
    """An error as other ranks can make it again, or as text."""
    if error is None:
        return None
    if isinstance(error, RowError):
        return RowError, (*error.parts, int(error.row))
    with contextlib.suppress(Exception):
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return type(error), error.args
    return None, f"{type(error).__name__}: {error}"


def unpacked(found: Any, rank: int) -> BaseException:
    """The error that a rank has packed."""
    kind, given = found
    return RuntimeError(f"rank {rank} has failed: {given}") if kind is None else kind(*given)


def shared_rows(communicator: Communicator, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with the rows of rank 0 where another has none. TypeError where these are no arrays."""
    without = gather_objects(communicator, arguments["x"] is None)
    names = [name for name in ("x", "y", "sample_weight") if name in arguments]
    for name in names if any(without) and not without[0] else ():
        array = arguments[name]
        known = array is None or isinstance(array, np.ndarray)
        form = (shown(array) if not known else array if array is None else (array.shape, array.dtype.str),)
        (form,) = communicator.bcast_object(form)
        if isinstance(form, str):
            raise TypeError(f"rank 0 gives {name} to the others as an array, got {form}")
        if form is not None:
            array = np.ascontiguousarray(array) if communicator.rank == 0 else np.empty(*form)
            communicator.bcast(array.reshape(-1))
        arguments[name] = None if form is None else array
    return arguments
