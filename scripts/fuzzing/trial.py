"""One input: the calls that it makes, what came of each, and the chance that chose them."""

from __future__ import annotations

import os
import random
import traceback
from collections.abc import Callable
from typing import Any

from fuzzing.judge import CLEAR, OK, RAW, RESULTS, by_caller, judge

FAILED: Any = type("Failed", (), {"__repr__": lambda self: "FAILED"})()  # what a call gives that raised


class Trial:
    """An input by its kind, seed and number: the same three are always the same input.

    note: what is told of each call before it is made, so that it is known where a crash came.
    """

    def __init__(
        self, kind: str, seed: int, number: int, folder: str, note: Callable[[str], None] | None = None
    ) -> None:
        self.rng = random.Random(f"{kind}/{seed}/{number}")
        self.number = number
        self.folder = folder
        self.notes: list[str] = []
        self.result, self.cause, self.details = OK, "", ""
        self._note = note

    def path(self, name: str) -> str:
        """A path in a folder that this process alone uses."""
        return os.path.join(self.folder, name)

    def note(self, text: str) -> None:
        """Say what is done."""
        self.notes.append(text)
        if self._note is not None:
            self._note(text)

    def attempt(self, text: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """What a call gives; FAILED where it raised, which is judged."""
        self.note(text)
        try:
            return function(*args, **named)
        except BaseException as error:  # SystemExit too would end a user's program
            self.take(error)
            return FAILED

    def must(self, text: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """What a call gives that has to succeed whatever came before; a fit may say that it diverges."""
        self.note(f"must: {text}")
        try:
            return function(*args, **named)
        except FloatingPointError as error:
            self.take(error)
            return FAILED
        except BaseException as error:
            if by_caller(error):  # a function of the caller's that still raises
                self.take(error)
                return FAILED
            where = judge(error).cause
            self.fail(f"{text} no longer works: {where}", traceback.format_exc())
            return FAILED

    def check(self, holds: bool, text: str) -> None:
        """A condition that has to hold whatever came before."""
        if not holds:
            self.fail(text)

    def take(self, error: BaseException) -> None:
        """Judge an error."""
        result, cause = judge(error)
        self.note(f"  {result}: {type(error).__name__}: {error!s:.300}")
        details = "" if result == CLEAR else "".join(traceback.format_exception(error))
        self._worse(result, cause, details)

    def fail(self, cause: str, details: str = "") -> None:
        """What no error says: something is wrong."""
        self.note(f"  wrong: {cause}")
        self._worse(RAW, cause, details)

    def _worse(self, result: str, cause: str, details: str) -> None:
        if RESULTS.index(result) > RESULTS.index(self.result):
            self.result, self.cause, self.details = result, cause, details
