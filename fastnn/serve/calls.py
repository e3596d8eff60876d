"""What protocols have in common: what is told of an answer, and a prediction for others than the one of HTTP."""

from __future__ import annotations

from time import perf_counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from .protocol import Request

if TYPE_CHECKING:
    from fastnn.typing import Array

    from .served import Outputs, Served


class Prediction(NamedTuple):
    """What a hook is told of a request that was answered.

    inputs: the tensors as they came, by name, (rows, *row). outputs: the model's, likewise, also those that the client
    did not ask for. is_shadow: whether the client had another version's answer. seconds: from the request's last byte
    to the answer. trace_id: of the request's ``traceparent``, or None.
    """

    model: str
    version: str
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    request_id: str
    trace_id: str | None
    seconds: float
    is_shadow: bool


async def predicted(
    app: Any, name: str, version: str | None, tensors: dict[str, Array], ident: str = "", trace: str = ""
) -> tuple[Served, Outputs]:
    """The version of an Application that answers, and its outputs. ident, trace: of the request, if it has some."""
    begin = perf_counter()
    served, shadow = app.models.route(name, version)
    request = Request(None, {}, tensors, None, False)
    outputs = await served.predict(served.rows_of(tensors), request.rows, app.pool)
    call = SimpleNamespace(ident=ident or app.next_id(), trace=trace or None)
    app.answered(call, served, shadow, request, outputs, perf_counter() - begin)
    return served, outputs


def host_of(header: bytes) -> bytes:
    """The host without its port."""
    return header[: header.find(b"]") + 1] if header.startswith(b"[") else header.partition(b":")[0]
