"""A model as a function of SQL."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from fastnn import _names
from fastnn._checks import check_text, shown
from fastnn.databases.reader import listed
from fastnn.databases.rows import RowConverter

from ._front import Fronted, features_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from .several import Several

_KINDS = ("binary", "classes", "values")
_OUTPUTS = ("prediction", "probability")


def register(con: sqlite3.Connection, name: str, network: Any, kind: str, output: str, inputs: Several | None) -> None:
    """Make a network a function of SQL: see ``Model.register_sqlite``. inputs: of a model with a front."""
    import sqlite3

    if not isinstance(con, sqlite3.Connection):
        raise TypeError(f"con must be an open sqlite3.Connection, got {shown(con)}")
    if not check_text("name", name):
        raise ValueError("name must be a name, got an empty text")
    for what, given, known in (("kind", kind, _KINDS), ("output", output, _OUTPUTS)):
        if not isinstance(given, str) or given not in known:
            raise ValueError(
                f"unknown {what} {shown(given)}{_names.hint(given, known)}; known {what}s: {listed(known)}"
            )
    if (kind == "classes") != (network.units > 1):
        raise ValueError(
            f"register_sqlite: the model has {network.units} unit(s), and kind={kind!r} makes no number of that; "
            'say kind="classes" where they are several, "values" or "binary" for one, or make a Model of a part'
        )
    if output == "probability" and kind == "values":
        raise ValueError("register_sqlite: values have no probability")
    from fastnn.databases.sqlite_function import Function

    function = Function(name, network.predict_as_it_lies, network.inputs, kind, output == "probability")
    try:
        if inputs is not None:
            _create(con, name, *_fronted(function, inputs))
        elif not _loaded(con, function):
            _create(con, name, network.inputs, function)
    except sqlite3.Error as error:
        raise ValueError(
            f"SQLite does not take a function {name!r} of {network.inputs} arguments, it says: {error}"
        ) from error


def _loaded(con: sqlite3.Connection, function: Any) -> bool:
    """Whether SQLite has taken it as an extension."""
    import sqlite3

    if not hasattr(con, "enable_load_extension"):
        return False
    for enable in (False, True):  # where it may be without being enabled, as some builds have it, it stays as it is
        try:
            if enable:
                con.enable_load_extension(True)
            function.load_into(con)
        except sqlite3.OperationalError:  # at last: of another SQLite than the first, or too many arguments
            continue
        finally:
            if enable:
                con.enable_load_extension(False)
        return True
    return False


def _create(con: sqlite3.Connection, name: str, arguments: int, function: Callable[..., Any]) -> None:
    con.create_function(name, arguments, function, deterministic=True)


def _fronted(function: Any, inputs: Several) -> tuple[int, Callable[..., Any]]:
    """Of a model with a front: how many arguments it has, and what takes them as Python's values."""
    names: Sequence[str] = inputs.names
    if len(names) == 1:
        names = (
            [f"{names[0]} {number}" for number in range(prod(inputs.shapes[0]))]
            if prod(inputs.shapes[0]) > 1
            else names
        )
    take = Fronted(features_of(names, inputs), (), None, inputs)
    convert = RowConverter(names, take.wanted)

    def predict(*values: Any) -> Any:
        if None in values:
            return None
        return function.of(take(convert([values], 1), 1))

    return len(names), predict
