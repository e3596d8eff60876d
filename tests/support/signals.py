"""Signals to the calling thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext

import pytest


def ctrl_c(call: Callable[[], object], after: float = 0.1, raises: bool = True) -> None:
    """Ctrl-C, so many seconds after the call begins. Where SIGINT is ignored, as in the background of a shell, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(after, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt) if raises else nullcontext():
            call()
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
