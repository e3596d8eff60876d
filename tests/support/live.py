"""An application of `fastnn.serve` behind uvicorn, at a free port of loopback, until a test ends."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """The URL of the application."""
    uvicorn = pytest.importorskip("uvicorn", reason='a server: pip install "fastnn[serve]"')
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="on", log_config=None, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        (socket,) = server.servers[0].sockets
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
