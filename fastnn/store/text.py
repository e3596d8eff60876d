"""JSON that others may have written: read within bounds of memory and of time, which are looked at before it is parsed.

Parsed JSON takes up to thirty times the memory of its text, and time by the number of its values.
"""

import json
from types import NoneType, UnionType
from typing import Any

import numpy as np

from fastnn._checks import shown

MAX_VALUES = 2**18  # commas, colons and brackets: about as many as the keys, numbers, texts and lists of a text
MAX_DIGITS = 50  # of a whole number: reading goes by their square, and a generator's state has 39
SHORT = 2**20  # a text in which Python's own limit of digits, 4300, is enough


def check_size(raw: bytes | str, objects: int) -> None:
    """ValueError where a text has more values than MAX_VALUES, or more than `objects` objects."""
    data = raw.encode(errors="replace") if isinstance(raw, str) else raw
    characters = np.frombuffer(data, np.uint8)
    opened, *others = (int(np.count_nonzero(characters == code)) for code in b"{,[:")
    for what, count, most in (("objects", opened, objects), ("values", opened + sum(others), MAX_VALUES)):
        if count > most:
            raise ValueError(f"at most {most:,} {what} are expected, got about {count:,}")


def parsed(text: str) -> Any:
    """The value of a JSON text. ValueError for what is none, the same key twice, and texts that are no Unicode."""
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_int=None if len(text) < SHORT else _whole)
    except RecursionError:
        raise ValueError("expected JSON of a few levels, got far deeper nesting") from None
    try:
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        # An escaped lone surrogate parses, but is no text: it could not be written again, or shown.
        around = error.object[max(0, error.start - 40) : error.end]
        raise ValueError(
            f"expected Unicode text, got lone surrogates, half characters, behind {shown(around)}"
        ) from None
    return value


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a whole number has {len(digits):,} digits")
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("the same key twice in one object")
    return result


class FormError(ValueError):
    """A value is not what a text has at its place."""

    def __init__(self, expected: str, came: object, place: str = "") -> None:
        super().__init__(f"expected {expected}{f' at {place}' if place else ''}, got {shown(came)}")
        self.expected, self.came, self.place = expected, came, place

    def within(self, place: str) -> "FormError":
        """The same, of what stands at a place."""
        return FormError(self.expected, self.came, place + self.place)


_CALLED = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", NoneType: "null"}
_CALLED |= {list: "a list", dict: "an object"}


def check_form(value: Any, form: Any) -> None:
    """FormError, which says where, unless a value is of a form.

    A form is a type, or several with | between; object, which is anything; [form], a list of any length; (form, form),
    a list of that many; {name: form}, an object that has these names and perhaps others. A whole number is a number
    too, true and false are none.
    """
    if isinstance(form, dict):
        if not isinstance(value, dict):
            raise FormError("an object", value)
        for name, inner in form.items():
            if name not in value:
                raise FormError(f"{name!r} among the names of an object", list(value))
            _check_part(value[name], inner, f".{name}")
    elif isinstance(form, (list, tuple)):
        forms = form * len(value) if isinstance(form, list) and isinstance(value, list) else form
        if not isinstance(value, list) or len(value) != len(forms):
            raise FormError("a list" if isinstance(form, list) else f"a list of {len(form)}", value)
        for number, (each, inner) in enumerate(zip(value, forms, strict=True)):
            _check_part(each, inner, number)
    elif form is not object:
        kinds = form.__args__ if isinstance(form, UnionType) else (form,)
        if type(value) not in kinds and not (type(value) is int and float in kinds):
            raise FormError(" or ".join(_CALLED[kind] for kind in kinds), value)


def _check_part(value: Any, form: Any, place: str | int) -> None:
    try:
        check_form(value, form)
    except FormError as error:
        raise error.within(place if isinstance(place, str) else f"[{place}]") from None
