"""A request on its way: its headers, its body, and what is answered."""

from __future__ import annotations

import asyncio
import re
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .protocol import JSON, Request, RequestError, decoded, dumps

if TYPE_CHECKING:
    from .served import Served

LARGE = 1 << 16  # bytes of a body that is decoded in a thread
_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class Gone(Exception):
    """The client has gone before its request was whole."""


class Call:
    """A request on its way: what it says in its headers, and what is answered."""

    def __init__(self, app: Any, scope: Any, receive: Any, send: Any) -> None:
        self.app, self.scope, self.receive, self._send = app, scope, receive, send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.began = perf_counter()
        self.ended: Any = None  # when its body had come
        self.status = 0
        self.rows: int | None = None
        self.served: Served | None = None
        given = self.headers.get(b"x-request-id")
        known = given is not None and _ID.fullmatch(given)
        self.ident = given.decode() if given is not None and known else app.next_id()
        self.parent = self.headers.get(b"traceparent")
        found = None if self.parent is None else _TRACE.fullmatch(self.parent)
        self.trace = None if found is None else found[1].decode()
        self._read = 0

    async def request(self) -> Request:
        """The inference request in the body. RequestError for what is none, and for one that is too large."""
        headers, most = self.headers, self.app.max_body
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise RequestError("a body must not be compressed: leave Content-Encoding out", 415)
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and (len(length) > 18 or int(length) > most):
            self._too_large(length.decode())
        message = await self.receive()
        body = message.get("body", b"")
        if message.get("more_body") or len(body) > most or message["type"] == "http.disconnect":
            body = await self._rest(message)
        self.ended = perf_counter()
        of_json = headers.get(b"inference-header-content-length")
        if len(body) < LARGE:
            return decoded(body, of_json)
        return await asyncio.get_running_loop().run_in_executor(self.app.pool, decoded, body, of_json)

    async def _rest(self, message: Any) -> bytes:
        """A body of several parts, of which the first is there."""
        parts: list[bytes] = []
        while True:
            self._look_at(message)
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self.receive()

    def _too_large(self, came: object) -> None:
        raise RequestError(f"a body may have at most {self.app.max_body} bytes, got {came}; send fewer rows", 413)

    def _look_at(self, message: Any) -> None:
        if message["type"] == "http.disconnect" and not self.status:
            raise Gone
        self._read += len(message.get("body", b""))
        if self._read > self.app.max_body:
            self._too_large(f"{self._read} and more")

    async def receive_limited(self) -> Any:
        """The next part of the body, for a route."""
        message = await self.receive()
        self._look_at(message)
        return message

    def _headers(self) -> list[tuple[bytes, bytes]]:
        said = [(b"x-request-id", self.ident.encode())]
        if self.trace is not None and self.parent is not None:
            said.append((b"traceparent", self.parent))
        return said

    async def send_noted(self, message: Any) -> None:
        """Send what a route says, with the headers that all have."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message["headers"], *self._headers()]}
        await self._send(message)

    async def answer(
        self, status: int, body: bytes, kind: bytes = JSON, length: int | None = None, *more: tuple[bytes, bytes]
    ) -> None:
        """Send an answer. length: of its JSON, where bytes of tensors follow."""
        self.status = status
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *self._headers(), *more]
        if length is not None:
            headers.append((b"inference-header-content-length", b"%d" % length))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, status: int, error: str) -> None:
        """Send an error, unless an answer has begun."""
        if self.status:
            return
        more: list[tuple[bytes, bytes]] = [(b"www-authenticate", b"Bearer")] if status == 401 else []
        if self.ended is None and self.scope["method"] == "POST":
            more.append((b"connection", b"close"))  # what is left of the body is nobody's
        await self.answer(status, dumps({"error": error.encode(errors="replace").decode()}), JSON, None, *more)
