"""Tells an error that says what was wrong from one that merely escaped.

An error is clear where fastnn raised it on purpose: its innermost frame is a `raise` of fastnn's, and it has a text. It
is raw where it came up by itself, in fastnn or below it (an IndexError, a TypeError of NumPy's), and vague where fastnn
raised it, but with nothing more than Python's or NumPy's words. What the caller's own code raises is passed on, and an
error of the operating system that names its file is clear.
"""

from __future__ import annotations

import dis
import re
from functools import cache
from pathlib import Path
from types import CodeType, TracebackType
from typing import NamedTuple

from numpy.exceptions import AxisError

import fastnn

HERE = str(Path(__file__).parent)
VALUES = str(Path(__file__).with_name("values.py"))  # the caller's own functions
ROOT = Path(__file__).parents[2]
PACKAGE = str(Path(fastnn.__file__).parent)
RAISE = dis.opmap["RAISE_VARARGS"]

OK, CLEAR, MEMORY, VAGUE, RAW = RESULTS = ("ok", "clear error", "memory", "vague error", "raw error")

# Never raised on purpose, whoever does it.
SLIPS = (AssertionError, UnboundLocalError, RecursionError, ZeroDivisionError, IndexError, SystemError)

# How Python and NumPy speak of a value, which says nothing of the argument that it was.
PYTHONS_WORDS = re.compile(
    r"object (is not|has no|of type|cannot be|does not support)|not subscriptable|unhashable type|unsupported operand"
    r"|cannot unpack|(not enough|too many) values to unpack|(list|tuple|string) index|\bindices must be|has no len\(\)"
    r"|must be real number|invalid literal for|could not convert|setting an array element|could not be broadcast"
    r"|(Key|Attribute|Index|Type|Value|Overflow)Error\(|too large to convert|Maximum allowed|int too (large|big)"
    r"|takes \d+ positional|missing \d+ required|unexpected keyword argument"
)
# A keyword that is passed on is named all the same; so is what is missing where it is said what there is.
KEYWORD = re.compile(r"got an unexpected keyword argument|got multiple values for keyword argument|; it takes ")
# What Cython says of an argument of a compiled function names it, or says how many there may be.
# What Python says where one of the caller's own functions takes something else.
OWN_FUNCTION = re.compile(r"(.*\.)?(own_\w+|<lambda>)\(")
BOUNDARY = re.compile(r"Argument '\w+' has incorrect type|takes .* positional argument|required keyword")


class OwnError(Exception):
    """What a callback, a function or an iterator of the caller's raises."""


class Judgement(NamedTuple):
    """Of an error: which of RESULTS it is, and its cause, the same text for all errors of one place."""

    result: str
    cause: str


def judge(error: BaseException) -> Judgement:
    """What an error is that came out of a call which the harness made."""
    frames = list(_frames(error.__traceback__))
    own = [frame for frame in frames if _is_own(frame[0].co_filename)]
    where = _place(own[-1] if own else frames[-1])
    if frames[-1] is not (own[-1] if own else frames[-1]):
        where += f" <- {_place(frames[-1])}"
    cause = f"{type(error).__name__} at {where}"
    if isinstance(error, MemoryError):
        return Judgement(MEMORY, cause)
    if by_caller(error):
        return Judgement(CLEAR, cause)
    return Judgement(_result(error, frames[-1]), cause)


def by_caller(error: BaseException) -> bool:
    """Whether a function of the caller's own raised it, or NumPy on its account, or it could not be called so."""
    if isinstance(error, OwnError):
        return True
    files = [code.co_filename for code, _, _ in _frames(error.__traceback__)]
    own = [place for place, name in enumerate(files) if _is_own(name)]
    inside = own and VALUES in files[own[-1] :]
    return bool(inside) or (isinstance(error, TypeError) and OWN_FUNCTION.match(str(error)) is not None)


def _result(error: BaseException, innermost: tuple[CodeType, int, int]) -> str:
    code, line, instruction = innermost
    text = str(error)
    named = isinstance(error, OSError) and error.filename is not None
    if code.co_filename.startswith(HERE):  # the call itself was refused, as of any function in Python
        return CLEAR if isinstance(error, (TypeError, AttributeError)) else RAW
    if not _is_own(code.co_filename):
        return CLEAR if named else RAW
    if not _is_raise(code, line, instruction):
        boundary = isinstance(error, TypeError) and (
            KEYWORD.search(text) or (not code.co_filename.endswith(".py") and BOUNDARY.search(text))
        )
        return CLEAR if named or boundary else RAW
    slip = isinstance(error, SLIPS) and not isinstance(error, AxisError)  # an IndexError that is said on purpose
    if slip or not isinstance(error, Exception) or not text.strip():
        return RAW
    return VAGUE if PYTHONS_WORDS.search(text) and not KEYWORD.search(text) else CLEAR


def _frames(traceback: TracebackType | None) -> list[tuple[CodeType, int, int]]:
    found = []
    while traceback is not None:
        found.append((traceback.tb_frame.f_code, traceback.tb_lineno, traceback.tb_lasti))
        traceback = traceback.tb_next
    return found


def _is_own(name: str) -> bool:
    return name.startswith((PACKAGE, "fastnn/"))


def _place(frame: tuple[CodeType, int, int]) -> str:
    code, line, _ = frame
    name = code.co_filename
    name = "/".join(Path(name).parts[-3:]) if name.startswith("/") else name
    return f"{name}:{line}"


def _is_raise(code: CodeType, line: int, instruction: int) -> bool:
    """Whether a frame stands at a `raise`."""
    if code.co_filename.endswith(".py"):
        return code.co_code[instruction] == RAISE
    source = _lines(code.co_filename)  # compiled: only the line is known
    for number in range(line - 1, max(-1, line - 8), -1):
        if number < len(source) and re.match(r"\s*(raise|.*: raise)\b", source[number]):
            return True
        if number < len(source) and number < line - 1 and not source[number].rstrip().endswith(("(", ",", '"')):
            return False
    return False


@cache
def _lines(name: str) -> list[str]:
    path = ROOT / name
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
