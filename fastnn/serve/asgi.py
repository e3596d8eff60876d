"""The application: what every request meets, and the requests for predictions, which are plain ASGI.

Starlette routes all others (``routes.py``). A prediction is short, so that what is done for each request counts.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import logging
import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn._checks import check_count

from .call import Call, Gone
from .metrics import Meter
from .models import Models, check_seconds
from .protocol import BINARY, JSON, Request, RequestError, encoded
from .routes import routed
from .served import Outputs, Served

if TYPE_CHECKING:
    from fastnn.typing import Array

LOGGER = logging.getLogger("fastnn.serve")
EXPLAINED = 64  # rows that are explained at once
SHADOWS = 64  # predictions of shadows that may wait; beyond that they are left out
_OPEN = ("/v2/health/live", "/v2/health/ready", "/")  # without a token: the page itself holds nothing


class Prediction(NamedTuple):
    """What a hook is told of a request that was answered.

    inputs: the tensors as they came, by name, (rows, *row). outputs: the model's, likewise, also those that the client
    did not ask for. is_shadow: whether the client had another version's answer. seconds: from the request's last byte
    to the answer. trace_id: of the request's ``traceparent``, or None. parameters: the request's own.
    """

    model: str
    version: str
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    request_id: str
    trace_id: str | None
    seconds: float
    is_shadow: bool
    parameters: Mapping[str, Any]


class Application:
    """An ASGI application that serves models by the Open Inference Protocol v2; see ``fastnn.serve.app``."""

    def __init__(
        self,
        models: Models,
        *,
        token: str | None,
        max_body: int,
        timeout: float,
        hosts: Iterable[str],
        hooks: Iterable[Callable[[Prediction], None]],
        routes: Iterable[Any],
        watch: float | None,
        shared: str | None = None,
    ) -> None:
        self.models = models
        self.hooks = list(hooks)
        self.companions: list[Any] = []  # servers beside it: `await each.start()`, `await each.stop()`
        self.closing: list[Callable[[], None]] = []  # are called when no more is served
        self.is_draining = False
        self._token = None if token is None else b"Bearer " + token.encode()
        self._hosts = frozenset(host.encode() for host in hosts)
        self.max_body = check_count("max_body", max_body)
        self.timeout = check_seconds("timeout", timeout)
        self._watch = None if watch is None else check_seconds("watch: seconds", watch)
        self.pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1), "fastnn-serve")
        self._began: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._trying: set[asyncio.Task[None]] = set()
        self._sweeper: tuple[Any, Any] = (None, None)  # the loop, and what looks for requests that take too long
        self._start, self._count = os.urandom(4).hex(), itertools.count()
        self.meter: Meter | None = None  # what counts, where prometheus_client is installed
        with suppress(ImportError):
            self.meter = Meter(models, shared)
        self.others = routed(self, [*routes])  # all but predictions
        models.listeners.append(lambda event, served: self.say(logging.INFO, event, _of(served)))

    # What every request meets.

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        task = asyncio.current_task()
        assert task is not None
        call = Call(self, scope, receive, send)
        self._began[task] = call.began
        if self._sweeper[0] is not task.get_loop():
            self._sweep(task.get_loop())
        try:
            path = scope["path"].removeprefix(scope.get("root_path", ""))  # where another application has it
            self._check(call, path)
            parts = path.split("/") if scope["method"] == "POST" and path.startswith("/v2/models/") else [""]
            version = parts[5] if len(parts) == 7 and parts[4] == "versions" else None
            if parts[-1] == "infer" and (version is not None or len(parts) == 5):
                await self.infer(call, parts[3], version)
            elif parts[-1] == "explain" and (version is not None or len(parts) == 5):
                await self.explain(call, parts[3], version)
            else:
                await self.others(scope, call.receive_limited, call.send_noted)
        except RequestError as error:
            await call.refuse(error.status, str(error))
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            said = "the request did not come to its end" if call.ended is None else "the prediction did not end"
            await call.refuse(408 if call.ended is None else 503, f"{said} within {self.timeout:g} seconds")
        except Gone:
            call.status = 499
        except Exception as error:
            self.say(logging.ERROR, "failed", {"request_id": call.ident, **_where(error)})
            await call.refuse(500, "the server failed; its log says more under this request's id")
        finally:
            self._began.pop(task, None)
            self._late.discard(task)
            if call.status >= 400 or LOGGER.isEnabledFor(logging.DEBUG):
                self.log(call)

    def _check(self, call: Call, path: str) -> None:
        """RequestError for a request that is not to be here."""
        if self._hosts and _host(call.headers.get(b"host", b"")) not in self._hosts:
            raise RequestError("the header Host names another server; --allow-host lets it", 421)
        if path not in _OPEN and not self.allows(call.headers.get(b"authorization", b"")):
            raise RequestError("a bearer token is needed: Authorization: Bearer TOKEN", 401)

    def allows(self, authorization: bytes) -> bool:
        """Whether a header Authorization has the token, where one is asked for."""
        return self._token is None or hmac.compare_digest(authorization, self._token)

    # Predictions.

    async def infer(self, call: Call, name: str, version: str | None) -> None:
        """Answer an inference request."""
        served, shadow = self.models.route(name, version)
        call.served = served
        request = await call.request()
        x = served.rows_of(request.tensors)
        call.rows = rows = request.rows
        outputs = await served.predict(x, rows, self.pool)
        body, length = encoded(name, served.version, request, outputs)
        await call.answer(200, body, JSON if length is None else BINARY, length)
        seconds = perf_counter() - call.ended
        self.told(served, shadow, request, outputs, seconds, call.ident, call.trace)

    def told(
        self,
        served: Served,
        shadow: Served | None,
        request: Request,
        outputs: Outputs,
        seconds: float,
        ident: str,
        trace: str | None,
    ) -> None:
        """Count a request that was answered, tell the hooks, and begin what a shadow would have said."""
        if self.meter is not None:
            self.meter.answered(served, request.rows, seconds)
        if self.hooks:
            self._tell(served, request, outputs, seconds, ident, trace, False)
        if shadow is not None and len(self._trying) < SHADOWS:
            task = asyncio.create_task(self._try(shadow, request, outputs, ident, trace))
            self._trying.add(task)
            task.add_done_callback(self._trying.discard)

    async def explain(self, call: Call, name: str, version: str | None) -> None:
        """Answer with what each number of a row adds to an output: an extension of the protocol."""
        from .explained import explained

        served, _ = self.models.route(name, version)
        call.served = served
        request = await call.request()
        call.rows = request.rows
        if request.rows > EXPLAINED:
            raise RequestError(f"inputs: at most {EXPLAINED} rows are explained at once, got {request.rows}")
        loop = asyncio.get_running_loop()
        named, said = await loop.run_in_executor(self.pool, explained, served, request)
        body, length = encoded(name, served.version, request, named, said)
        await call.answer(200, body, JSON if length is None else BINARY, length)

    async def _try(self, shadow: Served, request: Request, answered: Outputs, ident: str, trace: str | None) -> None:
        """Have a shadow predict what was answered; whatever becomes of it is logged, and told to the hooks."""
        start, said = perf_counter(), {"request_id": ident, **_of(shadow)}
        try:
            outputs = await shadow.predict(shadow.rows_of(request.tensors), request.rows, self.pool)
        except Exception as error:
            self.say(logging.WARNING, "shadow failed", {**said, **_where(error)})
            return
        if self.hooks:
            self._tell(shadow, request, outputs, perf_counter() - start, ident, trace, True)
        pairs = zip((array for _, array in answered), (array for _, array in outputs), strict=False)
        largest = max((float(abs(a - b).max()) for a, b in pairs if a.shape == b.shape), default=None)
        self.say(logging.INFO, "shadow", {**said, "rows": request.rows, "largest_difference": largest})

    def _tell(
        self,
        served: Served,
        request: Request,
        outputs: Outputs,
        seconds: float,
        ident: str,
        trace: str | None,
        is_shadow: bool,
    ) -> None:
        found = {tensor.name: array for tensor, array in outputs}
        said = Prediction(
            served.name, served.version, request.tensors, found, ident, trace, seconds, is_shadow, request.parameters
        )
        for hook in [*self.hooks]:
            try:
                hook(said)
            except Exception as error:  # the answer is out
                self.say(logging.ERROR, "hook failed", {"request_id": ident, **_where(error)})

    # The rest.

    async def _other(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})
            return
        while True:  # the life of the server
            message = await receive()
            if message["type"] == "lifespan.startup":
                if self._watch is not None:
                    self.models.watch(self._watch, lambda text: self.say(logging.ERROR, "reload", {"error": text}))
                for each in self.companions:
                    await each.start()
            else:
                self.is_draining = True
                for each in self.companions:
                    await each.stop()
                self.models.close()
                self.pool.shutdown(cancel_futures=True)
                for close in self.closing:
                    await asyncio.to_thread(close)
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    def _sweep(self, loop: Any) -> None:
        """Once in a while, end the requests that take too long: cheaper than a timer for each."""
        now = perf_counter()
        for task, began in list(self._began.items()):
            if now - began > self.timeout and task not in self._late:
                self._late.add(task)
                task.cancel()
        if self.meter is not None:
            self.meter.leave()
        self._sweeper = loop, loop.call_later(min(1.0, self.timeout / 4), self._sweep, loop)

    def next_id(self) -> str:
        """An id for a request that brought none."""
        return f"{self._start}-{next(self._count):x}"

    def log(self, call: Call) -> None:
        """Say what became of a request, without anything of its rows."""
        status = call.status
        level = logging.DEBUG if status < 400 else logging.INFO if status < 500 else logging.ERROR
        if status >= 400 and self.meter is not None:
            self.meter.failed(status)
        if LOGGER.isEnabledFor(level):
            said = {"request_id": call.ident, "trace_id": call.trace, "method": call.scope["method"]}
            said |= {"path": call.scope["path"][:200], "status": status, "rows": call.rows}
            said |= {"ms": round(1000 * (perf_counter() - call.began), 3), **_of(call.served)}
            self.say(level, "request", said)

    def say(self, level: int, event: str, fields: dict[str, Any]) -> None:
        """Write a line of the log, unless it is not asked for."""
        if LOGGER.isEnabledFor(level):
            said = {"time": datetime.now(UTC).isoformat(), "level": logging.getLevelName(level).lower(), "event": event}
            LOGGER.log(level, json.dumps(said | {name: each for name, each in fields.items() if each is not None}))


class Crossing(Application):
    """One that pages of other origins may ask, too."""

    def __init__(self, models: Models, *, cors: Iterable[str], **options: Any) -> None:
        super().__init__(models, **options)
        from starlette.middleware.cors import CORSMiddleware

        self._crossing = CORSMiddleware(super().__call__, [*cors], allow_methods=["GET", "POST"], allow_headers=["*"])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        await self._crossing(scope, receive, send)


def application(models: Models, *, cors: Iterable[str] = (), **options: Any) -> Application:
    """The application for these options."""
    allowed = [*cors]
    return Crossing(models, cors=allowed, **options) if allowed else Application(models, **options)


def _of(served: Served | None) -> dict[str, str]:
    return {} if served is None else {"model": served.name, "version": served.version}


def _where(error: BaseException) -> dict[str, Any]:
    """What an error was and where, without its words, in which there may be rows."""
    frames = [f"{os.path.basename(each.filename)}:{each.lineno}" for each in traceback.extract_tb(error.__traceback__)]
    return {"error": type(error).__name__, "at": frames[-6:]}


def _host(header: bytes) -> bytes:
    """The host without its port."""
    return header[: header.find(b"]") + 1] if header.startswith(b"[") else header.partition(b":")[0]
