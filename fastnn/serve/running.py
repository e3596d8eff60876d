"""What runs the application: uvicorn, in one process or in several that share the weights."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import Any

from fastnn.models.weights import mapped

from .asgi import LOGGER, Application, application
from .models import Models
from .served import Served
from .writes import joining

LEVELS = {"requests": logging.DEBUG, "events": logging.INFO, "errors": logging.ERROR}


@dataclass(frozen=True)
class Options:
    """What the processes of a server are told.

    places: as ``Models.load`` takes them. aliases: (name, alias, versions, shadow). application: arguments of
    ``application``. log: of LEVELS. shared: the folder in which the weights lie that processes have in
    common. setup: are called with the application.
    """

    places: Sequence[str]
    aliases: Sequence[tuple[str, str, Any, str | None]] = ()
    application: Mapping[str, Any] = field(default_factory=dict)
    log: str = "events"
    shared: str | None = None
    setup: Sequence[Callable[[Application], None]] = ()


def made(options: Options) -> Application:
    """The application of a process."""
    _log_to_stderr(LEVELS[options.log])
    models = Models()
    if options.shared is not None:
        _share(models, options.shared)
    for place in options.places:
        models.load(place)
    for each in options.aliases:
        models.alias(*each)
    app = application(models, **options.application, shared=options.shared)
    for call in options.setup:
        call(app)
    return app


def _share(models: Models, folder: str) -> None:
    """Have the weights of what is loaded lie in files of a folder, which go with the last version that has them."""

    def prepare(served: Served) -> None:
        served.image = mapped(served.model.description, folder)

    def listener(event: str, served: Served) -> None:
        left = {each.image for each in models.served()}
        if event == "unloaded" and served.image is not None and served.image not in left:
            with suppress(OSError):  # another process was first; or Windows, where a map holds it
                os.unlink(served.image)

    models.prepare = prepare
    models.listeners.append(listener)


def run(
    options: Options,
    host: str,
    port: int,
    workers: int = 1,
    tls: tuple[str, str] | None = None,
    begun: Callable[[Models, str], None] = lambda models, url: None,
) -> None:
    """Serve until a signal ends it; SIGTERM lets the requests that have come be answered.

    begun: is told what is served, and where. Raises what ``Models.load`` raises, OSError where the port is taken,
    ImportError where uvicorn is missing.
    """
    try:
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ImportError('fastnn serve needs uvicorn: pip install "fastnn[serve]"') from error
    # One process writes nothing: it may have a file system that is read-only.
    place = tempfile.TemporaryDirectory(prefix="fastnn-serve-") if workers > 1 else nullcontext("")
    with place as folder, bound(host, port) as there:
        app: Any = made(options)  # by several, too: what is wrong with the models is said once, and in a line
        url = f"{'http' if tls is None else 'https'}://{_shown(there)}"
        begun(app.models, url)
        timeout = float(options.application.get("timeout", 30))
        settings: dict[str, Any] = {
            "log_config": None,
            "access_log": False,
            "ws": "none",
            "proxy_headers": False,
            "server_header": False,
            "timeout_keep_alive": 30,
            "timeout_graceful_shutdown": int(timeout) + 1,
        }
        if tls is not None:
            settings |= {"ssl_certfile": tls[0], "ssl_keyfile": tls[1]}
        if workers == 1:
            _serve(app, there, settings)
            return
        app.pool.shutdown()
        for close in app.closing:  # what keeps and judges predictions does so in the processes that answer
            close()
        del app
        _supervise(replace(options, shared=folder), there, settings, workers)


def _serve(app: Any, bound: socket.socket, settings: dict[str, Any]) -> None:
    """Serve in this process until a signal."""
    import uvicorn

    gc.collect()
    gc.freeze()  # what is there stays: it need not be looked through again and again
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again when all is done
    config = uvicorn.Config(app, lifespan="on", **settings)
    config.load()
    server = uvicorn.Server(config)
    config.http_protocol_class = joining(config.http_protocol_class, server.server_state.tasks)
    server.run(sockets=[bound])
    signal.signal(signal.SIGTERM, before)


def _work(options: Options, bound: socket.socket, settings: dict[str, Any]) -> None:
    """What a process of several does."""
    with suppress(KeyboardInterrupt):
        _serve(made(options), bound, settings)


def _supervise(options: Options, bound: socket.socket, settings: dict[str, Any], workers: int) -> None:
    """Keep so many processes at work until a signal; then let them end, too."""
    context = get_context("spawn")

    def begun() -> Any:
        process = context.Process(target=_work, args=(options, bound, settings))
        process.start()
        return process

    signals: list[int] = []
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, _: signals.append(number))
    processes = [begun() for _ in range(workers)]
    while not signals:
        if not wait([each.sentinel for each in processes], timeout=0.5):
            continue
        for place, each in enumerate(processes):
            if each.exitcode is not None and not signals:
                LOGGER.error(json.dumps({"level": "error", "event": "worker died", "status": each.exitcode}))
                time.sleep(1)  # one that cannot begin is not to take all of a processor
                processes[place] = begun()
    for each in processes:
        each.terminate()
    for each in processes:
        each.join()
    if signal.SIGINT in signals:
        raise KeyboardInterrupt


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens. OSError where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen at {host} port {port}: {error.strerror}") from None


def _shown(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Lines(logging.Formatter):
    """A line of JSON for each record, also of uvicorn's."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.name == LOGGER.name:
            return text
        return json.dumps({"level": record.levelname.lower(), "event": record.name, "error": text[:1000]})


def _log_to_stderr(level: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    for name, least in ((LOGGER.name, level), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(least)
        logger.propagate = False
    with suppress(ImportError):
        import uvloop  # noqa: F401  so that it is imported before the first request
