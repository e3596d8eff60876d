"""A network that the tasks of a barrier stage of Spark train together."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple, NoReturn

import numpy as np

from fastnn import random
from fastnn.distributed import Communicator, GlooCommunicator, LocalCommunicator, LocalSGD
from fastnn.distributed.communicator import gather_objects
from fastnn.kernels.team import set_num_threads
from fastnn.layers import Dense, Input
from fastnn.models import Sequential, check_model, load_model
from fastnn.models.scoring import numbers_of
from fastnn.store.model_file import packed

from .predicting import as_arrays, task_cpus

MODES = ("average", "exact")


class Training(NamedTuple):
    """What each task is told. classifies: whether labels are classes. network: a model as text, "" for one of dense
    layers, of what the others say. mode: "average" or "exact".
    """

    classifies: bool
    network: str
    hidden: Sequence[int]
    activation: str
    optimizer: str
    rate: float
    epochs: int
    batch_size: int
    seed: int
    workers: int
    mode: str


def as_text(model: Any, optimizer: bool = True) -> str:
    """A model as text, which a Param of Spark can be. TypeError for what is none."""
    check_model("network", model)
    return b64encode(packed(model, optimizer=optimizer)).decode()


def from_text(text: str) -> Any:
    """The model of a text. ValueError where it is of none."""
    from io import BytesIO

    return load_model(BytesIO(b64decode(text)))


def trained(df: Any, features: str, label: str, weight: str, plan: Training) -> str:
    """The network, as text, that the rows of a data frame have trained. ValueError for rows that cannot be learnt."""
    from pyspark.sql import functions as F

    read, hidden = as_arrays(df, features)
    columns = [F.col(hidden or features).alias("x"), F.col(label).cast("double").alias("y")]
    if weight:
        columns.append(F.col(weight).cast("double").alias("weight"))
    several = plan.workers > 1
    rows = read.select(*columns)
    rows = rows.repartition(plan.workers) if several else rows.coalesce(1)
    given = rows.mapInArrow(lambda batches: _task(batches, plan), "network string", barrier=several)
    try:
        return str(given.collect()[0]["network"])
    except Exception as error:  # of Python in Java in Python
        ours = re.search(r"\b(?:ValueError|ImportError): (fit: [^\n]*)", str(error))
        if ours is None:
            raise
        raise ValueError(ours[1]) from error


def _task(batches: Iterator[Any], plan: Training) -> Iterator[Any]:
    import pyarrow

    set_num_threads(task_cpus())
    table = pyarrow.Table.from_batches([batch for batch in batches if len(batch)] or [_none(pyarrow)])
    rows = [numbers_of(table, name, "fit") for name in table.schema.names]
    with _communicator(plan) as comm:
        model = _fitted(rows, plan, comm)
        if comm.rank == 0:
            yield pyarrow.RecordBatch.from_pydict({"network": [as_text(model, optimizer=False)]})


def _none(pyarrow: Any) -> Any:
    x, y = pyarrow.array([], pyarrow.list_(pyarrow.float32())), pyarrow.array([], pyarrow.float64())
    return pyarrow.RecordBatch.from_pydict({"x": x, "y": y})


def _fitted(rows: list[Any], plan: Training, comm: Communicator) -> Any:
    x, y = rows[:2]
    told = gather_objects(comm, (len(x), x.shape[1], float(y.max(initial=0)), _wrong(y, plan)))
    for rank, (count, _, _, wrong) in enumerate(told):
        if not count:
            raise ValueError(f"fit: task {rank} of {comm.size} has no rows; set numWorkers to fewer")
        if wrong:
            raise ValueError(f"fit: {wrong}")
    widths = sorted({width for _, width, _, _ in told})
    if len(widths) > 1:
        raise ValueError(f"fit: features must be as many numbers in each row, got {widths}")
    if plan.mode == "exact" and comm.size > 1:
        rows = [_all_rows(part, [count for count, *_ in told], comm) for part in rows]
    x, y, weight = (*rows, None)[:3]
    classes = int(max(most for _, _, most, _ in told)) + 1 if plan.classifies else 0
    with random.seeded(plan.seed):
        model = from_text(plan.network) if plan.network else _made(plan, widths[0], max(2, classes))
        _check(model, plan, classes)
        options: dict[str, Any] = {}
        if comm.size > 1:
            options = {"distribute": comm} if plan.mode == "exact" else {"callbacks": [LocalSGD(comm)]}
        one = model.output_shape[-1] == 1 or not plan.classifies
        y = y.astype(np.float32 if one else np.int64).reshape(-1, *[1] * one)
        model.fit(x, y, sample_weight=weight, epochs=plan.epochs, batch_size=plan.batch_size, verbose=0, **options)
    return model


def _wrong(y: Any, plan: Training) -> str:
    if not np.isfinite(y).all():
        return "a label is null or no finite number"
    odd = y[(y < 0) | (y % 1 != 0)] if plan.classifies else y[:0]
    if len(odd):
        return f"labels must be the numbers of classes from 0, got {odd[0]:g}; use a StringIndexer"
    return ""


def _all_rows(part: Any, counts: list[int], comm: Communicator) -> Any:
    """The rows of all tasks, in their order."""
    each = part.size // max(1, len(part))
    found = np.empty(sum(counts) * each, part.dtype)
    comm.allgatherv(np.ascontiguousarray(part).reshape(-1), found, [count * each for count in counts])
    return found.reshape(-1, *part.shape[1:])


def _made(plan: Training, width: int, classes: int) -> Any:
    from fastnn import optimizers

    last = Dense(classes, "softmax") if plan.classifies else Dense(1)
    model = Sequential([Input((width,)), *(Dense(units, plan.activation) for units in plan.hidden), last])
    optimizer: Any = optimizers.get(plan.optimizer)
    optimizer.learning_rate = plan.rate
    model.compile(optimizer, "sparse_categorical_crossentropy" if plan.classifies else "mean_squared_error")
    return model


def _check(model: Any, plan: Training, classes: int) -> None:
    """ValueError for a network that is not compiled, or does not give what an estimator's does."""
    if not model.compiled:
        raise ValueError("fit: network must be a compiled model; call model.compile(...) before it is given")
    ending, units = model.description.last_activation(), model.output_shape[-1]
    if plan.classifies and (ending not in ("softmax", "sigmoid") or max(2, units) < classes):
        raise ValueError(
            f"fit: network must end in a softmax of {classes} units{' or one sigmoid' * (classes < 3)}, one for each "
            f"class; it has {units} unit(s) of {ending}"
        )
    if not plan.classifies and units != 1:
        raise ValueError(f"fit: network must give one number a row, it gives {units}")


# Between tasks.


class BarrierCommunicator:
    """The tasks of a barrier stage. Arrays go as texts by way of the driver: slow, and without a port of their own."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.rank, self.size = int(context.partitionId()), len(context.getTaskInfos())

    def _all(self, array: Any) -> list[bytes]:
        return [b64decode(text) for text in self._context.allGather(b64encode(array.tobytes()).decode())]

    def allgatherv(self, send: Any, receive: Any, counts: Sequence[int]) -> None:
        receive[...] = np.frombuffer(b"".join(self._all(send)), receive.dtype)

    def bcast(self, array: Any, root: int = 0) -> None:
        array[...] = np.frombuffer(self._all(array if self.rank == root else array[:0])[root], array.dtype)

    def bcast_object(self, value: Any, root: int = 0) -> Any:
        return gather_objects(self, value if self.rank == root else None)[root]

    def barrier(self) -> None:
        self._context.barrier()

    def abort(self, message: str) -> NoReturn:
        raise RuntimeError(f"task {self.rank} of {self.size}: {message}")


@contextmanager
def _communicator(plan: Training) -> Iterator[Any]:
    if plan.workers == 1:
        yield LocalCommunicator()
        return
    from pyspark import BarrierTaskContext

    context = BarrierTaskContext.get()
    with nullcontext(BarrierCommunicator(context)) if plan.mode == "average" else _gloo(context) as found:
        yield found


@contextmanager
def _gloo(context: Any) -> Iterator[Any]:
    """The same tasks, each with sockets to the others."""
    try:
        from torch import distributed
    except ImportError as error:
        raise ImportError('fit: mode "exact" needs torch on each executor: pip install "fastnn[torch]"') from error
    rank, infos = context.partitionId(), context.getTaskInfos()
    host = infos[0].address.rpartition(":")[0] or infos[0].address
    store = distributed.TCPStore(host, 0, len(infos), True, wait_for_workers=False) if rank == 0 else None
    (port, *_) = context.allGather("" if store is None else str(store.port))
    if store is None:
        store = distributed.TCPStore(host, int(port), len(infos), False)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=len(infos))
    try:
        yield GlooCommunicator()
        context.barrier()  # the store is rank 0's
    finally:
        distributed.destroy_process_group()
