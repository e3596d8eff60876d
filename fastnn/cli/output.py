"""What a command prints, and what becomes of output that nobody reads."""

from __future__ import annotations

import json
import os
import re
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
        print(f"{name}: {shown(value)}", flush=True)


def shown(value: Any) -> str:
    """A value as people read it."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def figures(values: Mapping[str, Any]) -> str:
    """Numbers by name, in a line."""
    return ", ".join(f"{name} {float(each):.5g}" for name, each in values.items())


def say(text: str) -> None:
    """Say on standard error how things go."""
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)


def described(error: Exception) -> str:
    """Why, in a line; of a file that cannot be used, which one."""
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def hidden(text: str) -> str:
    """A text in which URLs have no passwords."""
    return re.sub(r"(://[^\s:/?#@]*:)\S*(?=@)|(password=)[^\s&]*", r"\1\2***", text)


def forget_output() -> None:
    """Let Python's own flush at the end of the process succeed, where there is nobody to read."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
