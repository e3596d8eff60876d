"""Requests to an application that serves models, without a server and without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

import fastnn
from fastnn import Sequential
from fastnn.layers import Dense, ReLU

ROWS = np.random.default_rng(7).standard_normal((3, 4)).astype(np.float32)


def small(seed: int = 1, name: str = "m") -> Any:
    """A built model of four inputs and two outputs."""
    fastnn.set_random_seed(seed)
    model = Sequential([Dense(5, input_shape=(4,)), ReLU(), Dense(2)], name=name)
    model.build()
    return model


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        assert set(self.json) == {"error"}, self.body
        text = self.json["error"]
        assert isinstance(text, str)
        assert "Traceback" not in text
        return text


async def asked(
    app: Any,
    method: str,
    path: str,
    parts: Iterable[bytes] = (b"",),
    headers: dict[str, str] | None = None,
) -> Answer:
    """The answer to a request, whose body comes in these parts."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    left = list(parts)
    sent: list[Any] = []

    async def receive() -> Any:
        if not left:
            await asyncio.sleep(3600)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    found = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], found, b"".join(each.get("body", b"") for each in sent[1:]))


def ask(app: Any, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    """The same, in a loop of its own."""
    return asyncio.run(asked(app, method, path, [body], headers))


def post(app: Any, value: Any, path: str = "/v2/models/m/infer", headers: dict[str, str] | None = None) -> Answer:
    """A request with a body of JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return ask(app, "POST", path, body, headers)


def tensor(data: Any, shape: Any = None, name: str = "input_layer", datatype: str = "FP32") -> dict[str, Any]:
    """A tensor of a request, in JSON."""
    values = data.tolist() if isinstance(data, np.ndarray) else data
    return {
        "name": name,
        "shape": list(np.shape(data)) if shape is None else shape,
        "datatype": datatype,
        "data": values,
    }


def infer(*tensors: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A request of these tensors."""
    return {"inputs": list(tensors), **more}


def binary(value: dict[str, Any], *tails: bytes) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a request whose tensors follow as bytes."""
    text = json.dumps(value).encode()
    return b"".join((text, *tails)), {"Inference-Header-Content-Length": str(len(text))}
