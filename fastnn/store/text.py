"""JSON that others may have written: read within bounds of memory and of time, which are looked at before it is parsed.

Parsed JSON takes up to thirty times the memory of its text, and time by the number of its values.
"""

import json
from typing import Any

import numpy as np

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
    if "\\u" in text:
        # An escaped lone surrogate parses, but is no text: it could not be written again, or shown.
        json.dumps(value, ensure_ascii=False).encode()
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
