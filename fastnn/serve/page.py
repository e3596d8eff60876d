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


@cache
def _page() -> tuple[bytes, dict[str, str]]:
    """The page, and headers that allow its own script and style alone, and no request but to this server."""
    text = files("fastnn.serve").joinpath("page.html").read_text(encoding="utf-8")
    policy = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    policy += "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    for name in ("script", "style"):
        (inside,) = re.findall(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
        policy += f"; {name}-src 'sha256-{b64encode(sha256(inside.encode()).digest()).decode()}'"
    said = {"content-type": "text/html; charset=utf-8", "content-security-policy": policy, "cache-control": "no-cache"}
    return text.encode(), said | {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


def routes() -> list[Any]:
    """Starlette's routes: the page, what it lists, and the structure of a version."""
    from starlette.responses import Response
    from starlette.routing import Route

    async def page(_: Any) -> Any:
        text, headers = _page()
        return Response(text, headers=headers)

    async def models(request: Any) -> Any:
        return Response(dumps(listed(request.app.state.application.models)), media_type=JSON.decode())

    def structure(request: Any) -> Any:  # in a thread: a large model takes a while
        asked = request.query_params
        served = request.app.state.application.models.get(asked.get("name", ""), asked.get("version"))
        return Response(dumps(structure_of(served.model)), media_type=JSON.decode())

    paths = {"/": page, "/page/models": models, "/page/structure": structure}
    return [Route(path, call, methods=["GET"]) for path, call in paths.items()]


def listed(models: Models) -> list[dict[str, Any]]:
    """All versions, as the page has them: metadata, parameters, and aliases with what is said of them in words."""
    found = []
    for served in sorted(models.served(), key=lambda each: (each.name, each.version)):
        aliases = []
        with suppress(RequestError):  # it may have gone since
            for alias, route in models.aliases(served.name).items():
                share = route["versions"].get(served.version)
                if share is not None:
                    aliases.append(alias if len(route["versions"]) == 1 else f"{alias} ({share:g})")
                elif route["shadow"] == served.version:
                    aliases.append(f"{alias} (shadow)")
        said = served.metadata([])
        more = said.pop("parameters", {})
        said |= {"version": served.version, "parameters": served.model.count_params(), "aliases": aliases}
        found.append(said | more)
    return found


def structure_of(model: Any) -> list[dict[str, Any]]:
    """The layers of a model, what is to be said of each in words, and what is in it."""
    built = model.description
    names = dict(zip(built.members, built.names, strict=True))
    return [_described(each) for each in parts_of(model, built.graph, names, {})]


def _described(part: Part) -> dict[str, Any]:
    reads = f"reads {', '.join(part.reads)}" if part.reads else ""
    weights = "; ".join(f"{name} {' x '.join(map(str, array.shape))}" for name, array in part.weights)
    config = ", ".join(f"{name} {each}" for name, each in part.config.items())
    said = {"name": part.name, "kind": part.kind, "shape": part.shape, "parameters": part.parameters}
    return said | {
        "said": [each for each in (reads, weights, config) if each],
        "parts": [_described(each) for each in part.parts],
    }
