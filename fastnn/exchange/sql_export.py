"""Models as SQL: a query, a view or an expression, which a database works out without fastnn."""

from __future__ import annotations

from math import prod
from os import PathLike
from typing import Any

import numpy as np

from fastnn._checks import as_list, check_count, check_path, check_text, shown
from fastnn._version import __version__
from fastnn.databases.statement import quoted
from fastnn.exchange.plain import built, walk
from fastnn.exchange.sql_layers import SqlWriter
from fastnn.layers.front import column_dtype
from fastnn.layers.tensor import distinct, has_automatic_name
from fastnn.store.replacing import replacing

MOST_WEIGHTS = 10_000  # what databases read in a moment
MOST_COLUMNS = 1_000  # of a level; PostgreSQL has at most 1,664, SQLite 2,000
MOST_CHARACTERS = 1_000_000  # of an expression without levels
FORMS = ("view", "query", "expression")
# What keeps a planner from writing a level's columns out where they are read, again and again.
FENCES = {"sqlite": " LIMIT -1", "postgresql": " OFFSET 0", "mariadb": f" LIMIT {2**63 - 1}", "duckdb": ""}
CASTS = {
    "sqlite": {"float32": "REAL", "int64": "INTEGER", "string": "TEXT"},
    "postgresql": {"float32": "double precision", "int64": "bigint", "string": "text"},
    "mariadb": {"float32": "DOUBLE", "int64": "SIGNED", "string": "CHAR"},
    "duckdb": {"float32": "DOUBLE", "int64": "BIGINT", "string": "VARCHAR"},
}


def to_sql(
    model: Any,
    table: Any,
    dialect: str = "sqlite",
    form: str = "view",
    *,
    columns: Any = None,
    key: Any = None,
    name: str | None = None,
    outputs: Any = None,
    output: int | None = None,
) -> str:
    """The model as SQL that gives for the rows of a table what ``predict`` does, in double precision.

    table: its name, or a tuple of names, schema first. dialect: "sqlite", "postgresql", "mariadb" or "duckdb". form:
    "view", a CREATE VIEW statement; "query", its SELECT; "expression", one number for the row at hand, to stand in a
    SELECT, WHERE or ORDER BY of a query that knows the table by this name, in MariaDB for small models only, as its
    subqueries cannot see the row. Each unit is worked out once for a row.

    columns: the table's, for the numbers that the model reads, input by input; None takes the names that the model was
    fitted on, or those of its inputs. key: a column, or several, beside the predictions. name: of the view;
    <table>_prediction unless it is given. outputs: the names of the predictions; "prediction" unless they are given,
    and behind it, where there are several, the class or a number. output: which of them an expression is.

    A NULL gives NULL, unless the model knows what to do with it; so does an id or text that ``predict`` refuses. exp,
    ln, sqrt and tanh, where the model needs them, SQLite has if it is compiled with SQLITE_ENABLE_MATH_FUNCTIONS: the
    query's first line names them, and a program may give them to it. TypeError, ValueError for what is no model, for
    one of more than 10,000 weights, for layers that have no form in SQL, and for names that do not fit; RuntimeError
    before the model is built.
    """
    description = built("to_sql", model)
    if not isinstance(dialect, str) or dialect not in FENCES:
        raise ValueError(f"to_sql: dialect must be one of {', '.join(map(repr, FENCES))}, got {shown(dialect)}")
    if not isinstance(form, str) or form not in FORMS:
        raise ValueError(f"to_sql: form must be one of {', '.join(map(repr, FORMS))}, got {shown(form)}")
    count = model.count_params()
    if count > MOST_WEIGHTS:
        raise ValueError(
            f"to_sql: the model has {count:,} weights, and SQL is for at most {MOST_WEIGHTS:,}; predict_sql and "
            "register_sqlite bring larger ones to a database, and fastnn.compress makes them smaller"
        )
    mark = "`" if dialect == "mariadb" else '"'
    parts = [_name("table", each) for each in (table if table and isinstance(table, (tuple, list)) else (table,))]
    source = ".".join(quoted(part, mark) for part in parts)
    read = [f"{source if form == 'expression' else 't'}.{quoted(each, mark)}" for each in _columns(model, columns)]
    writer = SqlWriter(dialect)
    given = _written(writer, description, read)
    if form == "expression":
        which = 0 if output is None and len(given) == 1 else output
        if which is None:
            raise ValueError(
                f"to_sql: an expression is one number, and the model gives {len(given)}; choose by output="
            )
        return _expression(writer, given[check_count("to_sql: output", which, 0, len(given) - 1)])
    if output is not None:
        raise ValueError(f"to_sql: output is for form='expression'; a {form} has all {len(given)}")
    keys = _names("key", key) if key is not None else []
    names = _outputs(description, outputs, len(given), keys)
    query = _query(writer, source, given, [quoted(each, mark) for each in names], [quoted(each, mark) for each in keys])
    if form == "query":
        return query
    view = _name("name", f"{parts[-1]}_prediction" if name is None else name)
    return f"CREATE VIEW {quoted(view, mark)} AS\n{query}"


def _written(writer: SqlWriter, description: Any, columns: list[str]) -> list[str]:
    """Have a model's calls written; gives the texts of the outputs. columns: of what is read, as SQL names them."""
    inputs, casts = description.graph.inputs, CASTS[writer.dialect]
    kinds = [column_dtype(tensor.dtype) if description.front is not None else "float32" for tensor in inputs]
    cells = [casts[kind] for kind, tensor in zip(kinds, inputs, strict=True) for _ in range(prod(tensor.row))]
    read = writer.emit(np.array([f"CAST({c} AS {cast})" for c, cast in zip(columns, cells, strict=True)], object))
    parts = np.split(read, np.cumsum([prod(tensor.row) for tensor in inputs])[:-1])
    values = [part.reshape(tensor.row) for part, tensor in zip(parts, inputs, strict=True)]
    return [str(text) for value in walk(writer, description, values) for text in np.ravel(value)]


def _query(writer: SqlWriter, source: str, given: list[str], names: list[str], keys: list[str]) -> str:
    """A SELECT of keys and predictions, level upon level."""
    levels = writer.used(given)
    wide = max(map(len, levels)) + len(keys)
    if wide > MOST_COLUMNS:
        raise ValueError(
            f"to_sql: {wide:,} numbers lie side by side, and databases have at most {MOST_COLUMNS:,} columns"
        )
    lines = []
    for number, level in enumerate(levels):
        kept = [f"k{k}" if number else f"t.{key} AS k{k}" for k, key in enumerate(keys)]
        from_ = f"l{number - 1}" if number else f"{source} AS t"
        lines.append(f"l{number} AS (SELECT {', '.join([*kept, *level])}\n    FROM {from_}{FENCES[writer.dialect]})")
    last = [f"k{k} AS {key}" for k, key in enumerate(keys)]
    last += [f"{text} AS {name}" for text, name in zip(given, names, strict=True)]
    needs = ""
    if writer.functions and writer.dialect == "sqlite":
        needs = f"; needs {', '.join(sorted(writer.functions))} (SQLITE_ENABLE_MATH_FUNCTIONS)"
    written = ",\n".join(lines)
    query = f"-- fastnn {__version__}{needs}\nWITH {written}\nSELECT {', '.join(last)}\n    FROM l{len(levels) - 1}"
    return query.replace("\0", "")


def _expression(writer: SqlWriter, text: str) -> str:
    """One number, for the row at hand."""
    if writer.dialect == "mariadb":
        found = writer.inlined(text, MOST_CHARACTERS)
        if found is None:
            raise ValueError(
                "to_sql: MariaDB's subqueries cannot see the row at hand, and without them the expression has more "
                f"than {MOST_CHARACTERS:,} characters; take form='view'"
            )
        return f"({found})"  # in which no reference is left
    lines = []
    for number, level in enumerate(writer.used([text])):
        from_ = f"\n    FROM l{number - 1}{FENCES[writer.dialect]}" if number else ""
        lines.append(f"l{number} AS (SELECT {', '.join(level)}{from_})")
    written = ",\n".join(lines)
    return f"(WITH {written}\nSELECT {text} FROM l{len(lines) - 1})".replace("\0", "")


def _names(what: str, given: Any) -> list[str]:
    """One name or several."""
    return [
        _name(what, each)
        for each in ([given] if isinstance(given, str) else as_list(f"to_sql: {what}", given, "names"))
    ]


def _name(what: str, value: Any) -> str:
    text: str = check_text(f"to_sql: {what}", value)
    if not text:
        raise ValueError(f"to_sql: {what} must be a name, got {shown(value)}")
    return text


def _columns(model: Any, columns: Any) -> list[str]:
    """The names of the columns that are read."""
    inputs = model.description.graph.inputs
    count = sum(prod(tensor.row) for tensor in inputs)
    found = list(model.feature_names) if columns is None else _names("columns", columns)
    if not found and all(prod(each.row) == 1 and not has_automatic_name(each.node.layer) for each in inputs):
        found = [tensor.name for tensor in inputs]
    if len(found) != count:
        knows = f"got {len(found)} columns" if found else "knows no names"
        raise ValueError(f"to_sql: the model reads {count} number(s), {knows}; give columns=[...]")
    return found


def _outputs(description: Any, outputs: Any, count: int, keys: list[str]) -> list[str]:
    """The names of the predictions."""
    if outputs is None:
        tensors, names = description.graph.outputs, []
        titles = ["prediction"] if len(tensors) == 1 else description.gives.names
        classes = description.notes.get("classes") or ()
        for title, tensor in zip(titles, tensors, strict=True):
            size = prod(tensor.row)
            each = classes if len(classes) == size == count else range(size)
            names += [title] if size == 1 else [f"{title}_{one}" for one in each]
        found = list(distinct(names))
    else:
        found = _names("outputs", outputs)
    lower = [each.lower() for each in (*found, *keys)]
    if len(found) != count or len(set(lower)) < len(lower):
        raise ValueError(
            f"to_sql: the query has {count} prediction(s) and {len(keys)} key(s), which need names of their own, got "
            f"{shown([*keys, *found])}; give outputs=[...]"
        )
    return found


def export(model: Any, filepath: str | PathLike[str], table: Any, **options: Any) -> None:
    """Write ``to_sql(model, table, ...)`` to a file."""
    path = check_path("export: filepath", filepath)
    text = to_sql(model, table, **options)
    with replacing(path) as file:
        file.write(f"{text}{'' if options.get('form') == 'expression' else ';'}\n".encode())
