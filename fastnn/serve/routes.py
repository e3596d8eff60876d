"""What is asked for beside predictions: health, metadata, the document, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn._version import __version__

from .protocol import JSON, RequestError, dumps

EXTENSIONS = ["binary_tensor_data", "fastnn_explain"]


def routed(app: Any, more: Sequence[Any]) -> Any:
    """The routes, as an ASGI application. more: others, Starlette's. ImportError where that is missing."""
    try:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.responses import Response
        from starlette.routing import Route
    except ImportError as error:
        raise ImportError('fastnn.serve needs starlette: pip install "fastnn[serve]"') from error

    from . import page

    models = app.models

    def said(value: Any, status: int = 200, headers: Any = None) -> Any:
        return Response(dumps(value), status, headers, JSON.decode())

    async def server(_: Any) -> Any:
        return said({"name": "fastnn", "version": __version__, "extensions": EXTENSIONS})

    async def live(_: Any) -> Any:
        return said({"live": True})

    async def ready(_: Any) -> Any:
        good = bool(models.names()) and not app.is_draining
        return said({"ready": good}, 200 if good else 503)

    async def model(request: Any) -> Any:
        name = request.path_params["name"]
        served = models.get(name, request.path_params.get("version"))
        return said(served.metadata(models.versions(name)))

    async def model_ready(request: Any) -> Any:
        served = models.get(request.path_params["name"], request.path_params.get("version"))
        return said({"name": served.name, "ready": True})

    async def document(_: Any) -> Any:
        from .openapi import document

        return said(document())

    async def metrics(_: Any) -> Any:
        if app.meter is None:
            raise RequestError('metrics need prometheus_client: pip install "fastnn[serve]"', 404)
        text, kind = app.meter.text()
        return Response(text, headers={"content-type": kind})

    async def nothing(_: Any) -> Any:
        raise RequestError("there is no such model", 404)

    def refused(_: Any, error: Any) -> Any:
        if isinstance(error, RequestError):
            return said({"error": str(error)}, error.status)
        return said({"error": f"{error.detail}; see /openapi.json"}, error.status_code, error.headers)

    paths: dict[str, Any] = {
        "/v2": server,
        "/v2/": server,
        "/v2/health/live": live,
        "/v2/health/ready": ready,
        "/openapi.json": document,
        "/metrics": metrics,
    }
    places = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
    for place in places:
        paths |= {place: model, f"{place}/ready": model_ready}
    routes = [Route(path, call, methods=["GET"]) for path, call in paths.items()]
    for place in places:  # which the application itself answers, and others' methods find here
        routes += [Route(f"{place}/{tail}", nothing, methods=["POST"]) for tail in ("infer", "explain")]
    found = Starlette(
        routes=[*routes, *page.routes(), *more], exception_handlers={RequestError: refused, HTTPException: refused}
    )
    found.router.redirect_slashes = False
    found.state.application = app
    return found
