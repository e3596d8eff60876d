"""What other protocols than the one of HTTP have in common: a prediction that counts, and is told, like any."""

from __future__ import annotations

from time import perf_counter
from types import SimpleNamespace
from typing import TYPE_CHECKING

from .protocol import Request

if TYPE_CHECKING:
    from fastnn.typing import Array

    from .asgi import Application
    from .served import Outputs, Served


async def predicted(
    app: Application, name: str, version: str | None, tensors: dict[str, Array], ident: str = "", trace: str = ""
) -> tuple[Served, Outputs]:
    """The version that answers, and its outputs. ident, trace: of the request, if it has some. RequestError as ever."""
    begin = perf_counter()
    served, shadow = app.models.route(name, version)
    request = Request(None, {}, tensors, None, False)
    outputs = await served.predict(served.rows_of(tensors), request.rows, app.pool)
    call = SimpleNamespace(ident=ident or app.next_id(), trace=trace or None)
    await app.answered(call, served, shadow, request, outputs, perf_counter() - begin)
    return served, outputs
