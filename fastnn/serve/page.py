"""The page at "/": models, their structure, rows to try, latency and counts. It loads nothing from elsewhere."""

from __future__ import annotations

import re
from base64 import b64encode
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastnn.report.structure import Part, parts_of

from .protocol import JSON, RequestError, dumps

if TYPE_CHECKING:
    from .models import Models
    from .served import Served


@cache
def _page() -> tuple[bytes, dict[str, str]]:
    """The page, and headers that allow its own script and style alone, and no request but to this server."""
    text = files("fastnn.serve").joinpath("page.html").read_text(encoding="utf-8")
    hashes = {}
    for name in ("script", "style"):
        (inside,) = re.findall(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
        hashes[name] = b64encode(sha256(inside.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return text.encode(), {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-cache",
    }


def routes() -> list[Any]:
    """Starlette's routes: the page, what it lists, and the structure of a version."""
    from starlette.responses import Response
    from starlette.routing import Route

    async def page(_: Any) -> Any:
        return Response(*_page()[:1], headers=_page()[1])

    async def models(request: Any) -> Any:
        return Response(dumps(listed(request.app.state.application.models)), media_type=JSON.decode())

    def structure(request: Any) -> Any:  # in a thread: a large model takes a while
        asked = request.query_params
        served = request.app.state.application.models.get(asked.get("name", ""), asked.get("version"))
        return Response(dumps(structure_of(served)), media_type=JSON.decode())

    paths = {"/": page, "/page/models": models, "/page/structure": structure}
    return [Route(path, call, methods=["GET"]) for path, call in paths.items()]


def listed(models: Models) -> list[dict[str, Any]]:
    """All versions, as the page has them: metadata, aliases with what is said of them in words, parameters."""
    found = []
    for served in sorted(models.served(), key=lambda each: (each.name, each.version)):
        said = served.metadata([]) | {"version": served.version, "parameters": served.model.count_params()}
        more = {"columns": list(served.columns), "labels": list(served.labels)}
        aliases: list[str] = []
        routes = {}
        with suppress(RequestError):  # it may have gone since
            routes = models.aliases(served.name)
        for alias, route in routes.items():
            if (share := route["versions"].get(served.version)) is not None:
                aliases.append(alias if len(route["versions"]) == 1 else f"{alias} ({share:g})")
            elif route["shadow"] == served.version:
                aliases.append(f"{alias} (shadow)")
        found.append(said | {name: each for name, each in more.items() if each} | {"aliases": aliases})
    return found


def structure_of(served: Served) -> list[dict[str, Any]]:
    """The layers of a version, and what is in them."""
    built = served.model.description
    names = dict(zip(built.members, built.names, strict=True))
    return [_described(each) for each in parts_of(served.model, built.graph, names, {})]


def _described(part: Part) -> dict[str, Any]:
    weights = [(name, array.shape) for name, array in part.weights]
    said = {"name": part.name, "kind": part.kind, "shape": part.shape, "parameters": part.parameters}
    return said | {
        "reads": part.reads,
        "weights": weights,
        "config": {name: str(each) for name, each in part.config.items()},
        "parts": [_described(each) for each in part.parts],
    }
