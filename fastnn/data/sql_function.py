"""A model as a function of SQL, in SQLite and DuckDB."""

from __future__ import annotations

from contextlib import suppress
from inspect import Parameter, Signature
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_text, shown
from fastnn.databases.rows import RowConverter

from ._front import Fronted
from .answers import answers, check_choice

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from fastnn.databases.native import Function

    from .several import Several

_KINDS = ("binary", "classes", "values")
_OUTPUTS = ("prediction", "probability")


def register(con: sqlite3.Connection, name: str, network: Any, kind: str, output: str, inputs: Several | None) -> None:
    """Make a network a function of SQLite's: see ``Model.register_sqlite``. inputs: of a model with a front."""
    import sqlite3

    if not isinstance(con, sqlite3.Connection):
        raise TypeError(f"con must be an open sqlite3.Connection, got {shown(con)}")
    function = _function("register_sqlite", name, network, kind, output)
    try:
        if inputs is not None:
            kinds, of_values = _fronted(function, inputs, kind, output)
            _create(con, name, len(kinds), of_values)
        elif not _loaded(con, function):
            _create(con, name, network.inputs, function)
    except sqlite3.Error as error:
        raise ValueError(
            f"SQLite does not take a function {name!r} of {network.inputs} arguments, it says: {error}"
        ) from error


def register_duckdb(con: Any, name: str, network: Any, kind: str, output: str, inputs: Several | None) -> None:
    """Make a network a function of DuckDB's: see ``Model.register_duckdb``."""
    if type(con).__name__ != "DuckDBPyConnection":
        raise TypeError(f"con must be an open connection of DuckDB, got {shown(con)}")
    import duckdb

    function, how = _function("register_duckdb", name, network, kind, output), "native"
    kinds = ["float32"] * network.inputs
    called: Callable[..., Any]
    if inputs is not None:
        kinds, called = _fronted(function, inputs, kind, output)
    else:
        try:
            called, how = _by_vectors(network, kind, output), "arrow"
        except ImportError:

            def called(*values: Any) -> Any:
                return function(*values)

    # Its signature says how many arguments it has.
    names = [Parameter(f"a{place}", Parameter.POSITIONAL_ONLY) for place in range(len(kinds))]
    called.__signature__ = Signature(names)  # type: ignore[attr-defined]
    types = [{"string": "VARCHAR", "int64": "BIGINT"}.get(each, "DOUBLE") for each in kinds]
    labels = inputs is not None and any(isinstance(each, str) for each in inputs.classes)
    gives = "DOUBLE" if kind == "values" or output == "probability" else "VARCHAR" if labels else "BIGINT"
    try:
        with suppress(duckdb.InvalidInputException):  # there is none
            con.remove_function(name)
        con.create_function(name, called, types, gives, type=how)
    except duckdb.Error as error:
        raise ValueError(
            f"DuckDB does not take a function {name!r}, it says: {' '.join(str(error).split())}"
        ) from error


def _by_vectors(network: Any, kind: str, output: str) -> Callable[..., Any]:
    """What takes arrays of pyarrow's, some thousand rows at once, and gives one; NULLs are left out."""
    import pyarrow

    def called(*columns: Any) -> Any:
        x = np.empty((len(columns[0]), len(columns)), np.float32)
        for place, column in enumerate(columns):
            values = column.to_numpy()
            with np.errstate(over="ignore"):
                x[:, place] = values
            beyond = np.isinf(x[:, place]) & np.isfinite(values)
            if beyond.any():
                raise ValueError(f"argument {place + 1} is {values[beyond][0]:g}, beyond float32's range of ±3.4e38")
        return pyarrow.array(answers(network.predict(x), x, kind, 1, None)[output == "probability"])

    return called


def _function(what: str, name: str, network: Any, kind: str, output: str) -> Function:
    if not check_text("name", name):
        raise ValueError("name must be a name, got an empty text")
    for word, given, known in (("kind", kind, _KINDS), ("output", output, _OUTPUTS)):
        check_choice(word, given, known)
    if (kind == "classes") != (network.units > 1):
        raise ValueError(
            f"{what}: the model has {network.units} unit(s), and kind={kind!r} makes no number of that; "
            'say kind="classes" where they are several, "values" or "binary" for one, or make a Model of a part'
        )
    if output == "probability" and kind == "values":
        raise ValueError(f"{what}: values have no probability")
    from fastnn.databases.native import Function

    return Function(str(name), network.predict_as_it_lies, network.inputs, kind, output == "probability")


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


def _fronted(function: Function, inputs: Several, kind: str, output: str) -> tuple[list[str], Callable[..., Any]]:
    """Of a model with a front: the dtypes of its arguments, and what takes them as Python's values."""
    names, dtypes, size = list(inputs.names), list(inputs.front.dtypes), prod(inputs.shapes[0])
    if len(names) == 1 and size > 1:
        names, dtypes = [f"{names[0]} {number}" for number in range(size)], dtypes * size
    take = Fronted(names, (), None, inputs)
    convert = RowConverter(names, take.wanted)
    classes = inputs.classes if inputs.classes and kind != "values" and output == "prediction" else None
    needed = [missing is None for missing in inputs.front.missing] * (len(names) // len(inputs.names))

    def predict(*values: Any) -> Any:
        if any(value is None for value, must in zip(values, needed, strict=True) if must):
            return None
        found = function.of(take(convert([values], 1), 1))
        return found if classes is None or found is None else classes[int(found)]

    return dtypes, predict
