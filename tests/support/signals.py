"""Signals to the calling thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest


def ctrl_c(call: Callable[[], object]) -> None:
    """Ctrl-C, 0.1 seconds after the call begins."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            call()
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
