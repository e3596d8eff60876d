"""A prediction for other protocols than that of HTTP: it counts, and is told, like any."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from .protocol import Request

if TYPE_CHECKING:
    from fastnn.typing import Array

    from .served import Outputs, Served


async def predicted(
    app: Any, name: str, version: str | None, tensors: dict[str, Array], ident: str = "", trace: str = ""
) -> tuple[Served, Outputs]:
    """The version of an Application that answers, and its outputs. ident, trace: of the request, if it has some."""
    begin = perf_counter()
    served, shadow = app.models.route(name, version)
    request = Request(None, {}, tensors, None, False)
    outputs = await served.predict(served.rows_of(tensors), request.rows, app.pool)
    seconds = perf_counter() - begin
    app.told(served, shadow, request, outputs, seconds, ident or app.next_id(), trace or None)
    return served, outputs
