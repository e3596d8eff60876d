"""What a command prints, and what becomes of output that nobody reads."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


def result(values: Mapping[str, Any], as_json: bool) -> None:
    """Print a command's result: a line a value, or one line of JSON."""
    if as_json:
        print(json.dumps(values), flush=True)
        return
    for name, value in values.items():
        print(f"{name}: {f'{value:.6g}' if isinstance(value, float) else value}", flush=True)


def described(error: Exception) -> str:
    """Why, in a line; of a file that cannot be used, which one."""
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def forget_output() -> None:
    """Let Python's own flush at the end of the process succeed, where there is nobody to read."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
