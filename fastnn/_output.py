"""What is printed, on any standard output, and what is warned of: nothing that an output does ends what prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any


def say(text: str = "", end: str = "\n", out: Any = None) -> None:
    """Print and flush, to `out` or to standard output.

    A character that the output's encoding lacks is written as its code. An output that is missing, closed, full or
    broken gets nothing: what was printed is not worth the work that it tells of.
    """
    out = getattr(sys, "stdout", None) if out is None else out
    try:
        _write(out, text + end)
        if hasattr(out, "flush"):
            out.flush()
    except Exception:  # of any class: the output may be an object of the user's own
        return


def _write(out: Any, text: str) -> None:
    try:
        out.write(text)
    except UnicodeEncodeError:
        try:
            name = encoding_of(out)
            out.write(text.encode(name, "backslashreplace").decode(name))
        except (LookupError, UnicodeError):  # the output is not of the encoding that it names
            out.write(text.encode("ascii", "backslashreplace").decode())


def warn(text: str) -> None:
    """Warn of a line of the user's own: the last one outside fastnn."""
    import warnings

    frame: Any = sys._getframe(1)  # noqa: SLF001 - Python can leave files out from 3.12 on
    level = 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "fastnn":
        frame, level = frame.f_back, level + 1
    try:
        warnings.warn(text, stacklevel=level)
    except Warning:  # where the user has made errors of warnings
        raise
    except Exception:  # where they cannot be printed
        return


def encoding_of(out: Any) -> str:
    """The name of an output's encoding; "ascii" where it has none."""
    try:
        return str(out.encoding or "ascii")
    except Exception:
        return "ascii"


def is_terminal(out: Any) -> bool:
    """Whether what is written is shown at once, as far as the output says."""
    try:
        return bool(out.isatty())
    except Exception:  # some stand-ins can do no more than write, and a closed file raises
        return False


def is_notebook(out: Any) -> bool:
    """Whether an output is a notebook's, whose stream is of ipykernel's class."""
    return type(out).__module__.partition(".")[0] == "ipykernel"


def columns_of(out: Any) -> int | None:
    """How many columns a terminal has now: what COLUMNS says, or the terminal; None where neither does.

    A notebook has none: its stream leads to the terminal in which Jupyter was started.
    """
    if is_notebook(out):
        return None
    try:
        columns = int(os.environ["COLUMNS"])
        if columns > 0:
            return columns
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size(out.fileno()).columns or None
    except Exception:
        return None


def printable(text: str) -> str:
    """A name in one line: what cannot be shown, such as a line's end, is written as its code."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def width_of(text: str) -> int:
    """How many columns a text takes: those of East Asia are two wide, and marks above others none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines of text, each column as wide as its widest cell."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(padded, row, widths)).rstrip() for row in rows)


def padded(text: str, width: int, left: bool = True) -> str:
    """A text at the left of so many columns, or at their right."""
    blank = " " * (width - width_of(text))
    return text + blank if left else blank + text
