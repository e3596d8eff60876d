"""One version of a model that is served: what it reads and gives, and how it predicts."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from math import inf, prod
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn import _names
from fastnn._checks import shown
from fastnn.models import check_model

from .protocol import RequestError, Tensor, are_finite

if TYPE_CHECKING:
    from fastnn.typing import Array

MAX_BATCH = 256  # rows of several requests that are predicted together
KINDS = {"string": "BYTES", "int64": "INT64", "float32": "FP32"}
Outputs = list[tuple[Tensor, "Array"]]


class Job(NamedTuple):
    """Rows that wait for the thread. done: is called there with the outputs, or with what went wrong."""

    x: Any
    rows: int
    done: Callable[[Any], None]


class Served:
    """A model under a name and a version. It never changes; another takes its place.

    inputs, outputs: as metadata has them. columns: of a model of one table, what a request may give one by one in its
    place. inline_rows: so many rows cost less than it does to hand them to a thread.
    ValueError for a model that cannot be served.
    """

    def __init__(self, model: Any, name: str, version: str) -> None:
        check_model("serve", model)
        if not model.built:
            raise ValueError(f"serve: model {name!r} is not built yet; build or fit it first")
        built = model.description
        if any(getattr(layer, "stateful", False) for layer in built.layers()):
            raise ValueError(f"serve: model {name!r} is stateful; make it again with stateful=False, with its weights")
        self.model, self.name, self.version = model, name, version
        front, tensors = built.front, model.inputs
        names, shapes = built.takes.names, [tensor.row for tensor in tensors]
        kinds = ["FP32"] * len(names) if front is None else [KINDS[each] for each in front.dtypes]
        self.inputs = [Tensor(*each) for each in zip(names, kinds, shapes, strict=True)]
        self.outputs = [
            Tensor(name, "FP32", tensor.row) for name, tensor in zip(built.gives.names, model.outputs, strict=True)
        ]
        self.missing = [None] * len(names) if front is None else list(front.missing)
        columns = tuple(model.feature_names)
        self.columns = columns if len(names) == 1 and front is None and shapes[0] == (len(columns),) else ()
        self.is_plain = len(names) == 1 and front is None and built.gives.kind == "one"
        self.labels = built.notes.get("classes", [])
        self.image: str | None = None  # the file that its weights are a map of
        self.counts: list[float] | None = None  # of its requests, where there is a meter
        self._only, self._known = self.inputs[0], {each.name: each for each in self.inputs}
        self._waiting: deque[Job] = deque()
        self._lock = threading.Lock()
        self.is_running = False
        self.inline_rows = self._measured()

    def __repr__(self) -> str:
        return f"<Served {self.name!r} version {self.version!r}>"

    @property
    def queued(self) -> int:
        """Requests that wait for the thread."""
        return len(self._waiting)

    def metadata(self, versions: list[str]) -> dict[str, Any]:
        """As ``GET /v2/models/M`` has it."""
        said: dict[str, Any] = {
            "name": self.name,
            "versions": versions,
            "platform": "fastnn",
            "inputs": [each.described() for each in self.inputs],
            "outputs": [each.described() for each in self.outputs],
        }
        more = {"columns": list(self.columns), "labels": list(self.labels)}
        if more := {name: each for name, each in more.items() if each}:
            said["parameters"] = more
        return said

    # What a request gives, as the model reads it.

    def rows_of(self, tensors: Mapping[str, Array]) -> Any:
        """What `predict` takes. RequestError that names what does not fit."""
        if self.is_plain and len(tensors) == 1 and self._only.name in tensors:
            return self._floats(self._only, tensors[self._only.name])
        if self.columns and not self._known.keys() & tensors.keys():
            each = [Tensor(name, "FP32", ()) for name in self.columns]
            self._check_names(tensors, self.columns)
            return np.stack([self._floats(one, tensors[one.name]) for one in each], axis=1)
        self._check_names(tensors, self._known)
        found = [self._column(each, number, tensors[each.name]) for number, each in enumerate(self.inputs)]
        if len({len(array) for array in found}) > 1:
            said = ", ".join(f"{each.name!r} {len(array)}" for each, array in zip(self.inputs, found, strict=True))
            raise RequestError(f"inputs must have as many rows as each other, got {said}")
        return self.model.description.takes.pack(found)

    def _check_names(self, tensors: Mapping[str, Array], known: Any) -> None:
        for name in tensors:
            if name not in known:
                raise RequestError(
                    f"inputs: unknown {shown(name)}{_names.hint(name, known)}; model {self.name!r} reads "
                    f"{', '.join(map(repr, known))}"
                )
        for name in known:
            if name not in tensors:
                raise RequestError(
                    f"inputs: {name!r} is missing; model {self.name!r} reads {', '.join(map(repr, known))}"
                )

    def _column(self, tensor: Tensor, number: int, array: Array) -> Array:
        if tensor.datatype == "FP32":
            return self._floats(tensor, array, self.missing[number] is not None)
        array = self._shaped(tensor, array)
        if tensor.datatype == "BYTES" and (array.dtype.kind != "O"):
            raise RequestError(f"inputs: {tensor.name!r} must be BYTES, got {array.dtype}")
        if tensor.datatype == "INT64" and array.dtype.kind not in "iu":
            raise RequestError(f"inputs: {tensor.name!r} must be INT64 or another of whole numbers, got {array.dtype}")
        if tensor.datatype == "BYTES" and self.missing[number] is None and None in array.ravel().tolist():
            raise RequestError(f"inputs: {tensor.name!r} has a missing text, which the model has no meaning for")
        return array

    def _floats(self, tensor: Tensor, array: Array, missing: bool = False) -> Array:
        array = self._shaped(tensor, array)
        if array.dtype != np.float32:
            if array.dtype.kind == "O":
                raise RequestError(f"inputs: {tensor.name!r} must be {tensor.datatype}, got BYTES")
            if array.dtype.kind in "iu" and self.model.description.reads_ids:
                return array  # which ids may be of any size
            with np.errstate(over="ignore"):
                array = array.astype(np.float32)
        if not are_finite(array) and not (missing and not np.isinf(array).any()):
            row = int(np.argwhere(~np.isfinite(array))[0, 0])
            raise RequestError(
                f"inputs: {tensor.name!r} must be finite numbers of float32, at most 3.4e38, got "
                f"{array[row][~np.isfinite(array[row])].ravel()[0]} in row {row}"
            )
        return array

    def _shaped(self, tensor: Tensor, array: Array) -> Array:
        row = array.shape[1:]
        if row == tensor.shape and len(array):
            return array
        if len(array) and prod(row) == prod(tensor.shape) == 1:  # a column of single values may have an axis or none
            return array.reshape(len(array), *tensor.shape)
        raise RequestError(
            f"inputs: {tensor.name!r} must have the shape [rows, {', '.join(map(str, tensor.shape))}] of at least one "
            f"row, got {list(array.shape)}".replace(", ]", "]")
        )

    # Predicting.

    def outputs_of(self, x: Any) -> Outputs:
        """The model's outputs for what `rows_of` gave. RequestError where the model refuses it."""
        try:
            out = self.model.predict(x)
        except (ValueError, TypeError) as error:
            raise RequestError(f"inputs: {error}") from None
        if self.is_plain:
            return [(self.outputs[0], out)]
        return list(zip(self.outputs, self.model.description.gives.unpack(out, "outputs"), strict=True))

    async def predict(self, x: Any, rows: int, pool: ThreadPoolExecutor) -> Outputs:
        """The outputs: worked out here where that is short, else in a thread, with others' rows that wait."""
        if rows <= self.inline_rows and not self.is_running:
            return self.outputs_of(x)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outputs] = loop.create_future()

        def done(result: Any) -> None:
            with suppress(RuntimeError):  # the loop may be gone
                loop.call_soon_threadsafe(_settle, future, result)

        self.submit(Job(x, rows, done), pool)
        return await future

    def submit(self, job: Job, pool: ThreadPoolExecutor) -> None:
        """Have a job done by a thread of the pool, one at a time for a model."""
        with self._lock:
            self._waiting.append(job)
            if self.is_running:
                return
            self.is_running = True
        pool.submit(self._work)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self.is_running = False
                    return
                jobs = [self._waiting.popleft()]
                rows = jobs[0].rows
                while self.is_plain and self._waiting and rows + self._waiting[0].rows <= MAX_BATCH:
                    jobs.append(self._waiting.popleft())
                    rows += jobs[-1].rows
            try:
                self._do(jobs)
            except BaseException as error:  # those who wait are told, of any error
                for job in jobs:
                    job.done(error)

    def _do(self, jobs: list[Job]) -> None:
        """Together, where that can be; else, and where it cannot be done so, one by one."""
        if len(jobs) > 1 and len({job.x.dtype for job in jobs}) == 1:
            with suppress(Exception):
                [(tensor, out)] = self.outputs_of(np.concatenate([job.x for job in jobs]))
                at = 0
                for job in jobs:
                    job.done([(tensor, out[at : at + job.rows])])
                    at += job.rows
                return
        for job in jobs:
            try:
                job.done(self.outputs_of(job.x))
            except Exception as error:
                job.done(error)

    def _measured(self) -> int:
        """How many rows cost less than a thread's hop; 0 where one costs more."""
        if self.model.description.front is not None:
            return 0  # what its columns cost hangs on what is in them

        def seconds(rows: int) -> float:
            x = self.model.description.takes.pack([np.zeros((rows, *each.shape), np.float32) for each in self.inputs])
            return _least(lambda: self.model.predict(x))

        one, many = seconds(1), seconds(65)
        return int((hop() - one) / max((many - one) / 64, 1e-9)) + 1 if one < hop() else 0


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result if isinstance(result, Exception) else RuntimeError("the prediction was stopped"))
    else:
        future.set_result(result)


def _least(call: Callable[[], Any], times: int = 7) -> float:
    """The shortest of some calls, in seconds."""
    least = inf
    for _ in range(times):
        start = perf_counter()
        call()
        least = min(least, perf_counter() - start)
    return least


@cache
def hop() -> float:
    """The seconds that it takes to have a thread do nothing, and to be told."""
    with ThreadPoolExecutor(1) as pool:
        return _least(lambda: pool.submit(int).result(), 50)
