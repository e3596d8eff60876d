"""One SELECT, as each database writes its texts and comments; and the values that are bound to it."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn._checks import check_text, shown
from fastnn._numbers import refuse_masked

from .reader import Reader, Wanted

_ORDER = re.compile(r"\bORDER\s+BY\s+([\w\"`]+)(?:\s+ASC)?\s*\Z", re.IGNORECASE)
_QUOTED = r""" '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` """
# What SQL is made of, as far as one must know it to see where a statement ends. An unclosed
# string falls to the last line, one character at a time; the database then says what is wrong.
_TOKENS = {
    name: re.compile(rf"(?P<nothing> \s+ | {nothing} ) | {quoted} | \w+ | .", re.VERBOSE | re.DOTALL)
    for name, nothing, quoted in (
        ("sqlite", r"--[^\n]* | /\*.*?(?:\*/|\Z) | ;", _QUOTED + r"| \[[^\]]*\]"),
        ("other", r"--[^\n]* | /\*.*?(?:\*/|\Z)", _QUOTED + r"| \[[^\]]*\]"),
        # Comments lie in comments, and texts between $$ or $tag$, or after E with backslashes.
        (
            "postgresql",
            r"--[^\n]* | /\*(?:[^*/]|\*(?!/)|/(?!\*)|/\*.*?\*/)*\*/",
            r"[eE]'(?:[^'\\]|\\.|'')*' | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$ |" + _QUOTED,
        ),
        # 5--1 is 6; what stands in /*! is run.
        (
            "mysql",
            r"--(?:\s[^\n]*|\Z) | \#[^\n]* | /\*(?!M?!).*?(?:\*/|\Z)",
            r"""'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`]|``)*`""",
        ),
    )
}


def only_select(sql: object, dialect: str = "other") -> str:
    """Return the statement without the semicolon and the comments behind it; ValueError for what is not one SELECT.

    dialect: "sqlite", which refuses a second statement itself, "postgresql", "mysql" or "other".
    """
    text = check_text("sql", sql)
    tokens = [token for token in _TOKENS[dialect].finditer(text) if token["nothing"] is None]
    while tokens and tokens[-1].group() == ";":
        tokens.pop()
    words = [token.group() for token in tokens]
    if not words or words[0].upper() not in ("SELECT", "WITH", "VALUES") or ";" in words:
        raise ValueError(f"sql must be one SELECT, got {shown(text)}; to read a table: SELECT * FROM ...")
    return text[: tokens[-1].end()]


def quoted(name: str, mark: str = '"') -> str:
    """Return `name` as an SQL identifier, whatever it holds."""
    return mark + name.replace(mark, 2 * mark) + mark


def no_rows(sql: str) -> str:
    """A query whose result has the same columns and no row: it is not run, and only a SELECT compiles in it."""
    return f"SELECT * FROM ({sql}\n) fastnn_query WHERE 1 = 0"


class QueryReader(Reader):
    """A query of a database that can be asked for some of its rows, by a key."""

    sql: str

    @abstractmethod
    def asked(self, key: str) -> tuple[Any, ...]:
        """What goes into ``rows_since``, but for the value. () where the database cannot be asked."""

    def since(self, key: str, value: Any) -> tuple[Reader, Any]:
        if not (asked := self.asked(key)):
            return super().since(key, value)
        sql, name, *more = asked
        return rows_since(sql, name, value, *more)

    def cuts(self, most: int, key: str | None = None) -> Sequence[str]:
        """By ranges of a key of whole numbers, where the query ends with ORDER BY and this key."""
        order = _ORDER.search(self.sql)
        if key is None or order is None or order[1].strip('"`').lower() != key.lower():
            return ()
        if not (asked := self.asked(key)):
            return ()
        sql, name, params, _, make = asked
        rows = f"FROM ({sql}\n) fastnn_query"
        ends = f"SELECT MIN({name}) AS least, MAX({name}) AS most, COUNT(*) - COUNT({name}) AS without {rows}"
        [block] = make(ends, params).blocks(Wanted((), (), ("least", "most", "without")))
        first, last, without = (column[0] for column in block.others)
        if without or not type(first) is type(last) is int:
            return ()
        size = -(-(last - first + 1) // most)
        where = [f"{name} >= {start} AND {name} < {start + size}" for start in range(first, last + 1, size)]
        return [f"SELECT * {rows} WHERE {each} ORDER BY {name}" for each in where]

    def part(self, cut: str) -> Reader:
        _, _, params, _, make = self.asked("")
        found: Reader = make(cut, params)
        return found


def rows_since(
    sql: str,
    name: str,
    value: Any,
    params: list[Any] | dict[str, Any] | None,
    mark: Callable[[str, int], str],
    make: Callable[[str, Any], Reader],
) -> tuple[Reader, Any]:
    """``Reader.since`` of a query.

    name: the key's, quoted. mark: what stands in the query for a value of a dict, by its name, or of a list, by its
    place from 1 on. make: a reader like this one of another query.
    """

    def reader(start: str, **more: Any) -> Reader:
        given = params or []
        marks = {each: mark(f"fastnn_{each}", len(given) + place) for place, each in enumerate(more, 1)}
        above = [f"{name} {'>' if each == 'above' else '<='} {found}" for each, found in marks.items()]
        where = f" WHERE {' AND '.join(above)}" if above else ""
        if [*more] == ["last"]:  # all rows, also those that have no key, which is for others to refuse
            where += f" OR {name} IS NULL"
        values = {f"fastnn_{each}": bound for each, bound in more.items()}
        return make(start + where, {**given, **values} if isinstance(given, dict) else [*given, *values.values()])

    rows = f"FROM ({sql}\n) fastnn_query"
    least = {} if value is None else {"above": value}
    wanted = Wanted((), (), ("last",))
    [block] = reader(f"SELECT MAX({name}) AS last {rows}", **least).blocks(wanted)
    [last] = block.others[0]
    if last is None:
        return make(f"SELECT * {rows} WHERE 1 = 0", params), value
    return reader(f"SELECT * {rows}", **least, last=last), last


def driver_values(params: object) -> list[Any] | dict[str, Any] | None:
    """Return a copy of `params` for a driver that knows Python's types: NumPy's scalars become these. TypeError."""
    if params is None:
        return None
    if isinstance(params, Mapping):
        return {check_text("a name in params", name): _plain(value, name) for name, value in params.items()}
    if isinstance(params, str | bytes | bytearray | memoryview) or not isinstance(params, Sequence | np.ndarray):
        raise TypeError(
            f"params must be a sequence or a mapping, got {shown(params)}; for one value, write [{shown(params)}]"
        )
    return [_plain(value, str(number)) for number, value in enumerate(params, 1)]


def _plain(value: Any, name: str) -> Any:
    refuse_masked(value, f"parameter {name}")
    if not isinstance(value, np.generic | np.ndarray):
        return value
    if value.ndim:
        raise TypeError(f"parameter {name} is an array of shape {value.shape}, where one value is expected")
    found = value.item()
    return value.astype("M8[us]").item() if value.dtype.kind == "M" and isinstance(found, int) else found
