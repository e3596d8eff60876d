"""How long a test may take before it hangs."""

from __future__ import annotations

import contextlib
import faulthandler
import os
from collections.abc import Iterator

import pytest

HANGS = float(os.environ.get("FASTNN_TEST_HANGS", "120"))  # seconds; a sanitizer makes many of a few


@contextlib.contextmanager
def watched(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """What hangs within it ends the run, and says where it was."""
    with capfd.disabled():
        stderr = os.dup(2)
    faulthandler.dump_traceback_later(HANGS, exit=True, file=stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        os.close(stderr)
