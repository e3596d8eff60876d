"""The layers that make numbers of a query's columns, chosen by what the columns hold: ``prepare`` of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastnn import _names
from fastnn._checks import as_flag, as_number, check_count, shown
from fastnn.data.columns import as_objects
from fastnn.data.stored import StoredSource
from fastnn.layers import (
    Concatenate,
    DateParts,
    Embedding,
    Flatten,
    Hashing,
    Input,
    IntegerLookup,
    Scaler,
    StringLookup,
)
from fastnn.models.columns import DATES, INTEGERS, NOTHING, NUMBERS, NUMERALS, TEXTS, Column, read
from fastnn.models.model import Model

ONE_HOT = 20  # categories, up to which each has a number of its own
MOST_CATEGORIES = 10_000  # beyond, they are hashed
BINS = 4096
RARE = 3  # rows, below which a category is put together with those that are not known
WIDEST = 32  # numbers of an embedding
LIKE_KEYS = 100  # rows, from which on a column in which no value comes twice is taken for a key
SKEWED = 2.0
MISSING = -(2**63)  # among whole numbers that name something: no database counts down to it
OFTEN = 20  # rows, from which on that a number is missing is a number of its own

_SCALED = ("standard", "min_max", "robust", "none", "log")
_CATEGORIES = ("one_hot", "embedding", "hashing")
KINDS = ("auto", *_SCALED, *_CATEGORIES, "date", "skip")
_OPTIONS = {
    "as": None,
    "missing": (*_SCALED, *_CATEGORIES, "date"),
    "indicator": _SCALED,
    "unknown": ("one_hot", "embedding"),
    "bins": ("hashing",),
    "size": ("embedding", "hashing"),
    "components": ("date",),
    "optional": (*_SCALED, *_CATEGORIES, "date"),
}


class Prepared(NamedTuple):
    """A model of the columns, which gives a row of numbers; what is to be noted beside it; and how many rows came."""

    model: Model
    notes: dict[str, Any]
    rows: int


class _Choice(NamedTuple):
    """What a column becomes: the dtype of its input and what makes its tensor; None where it is left alone."""

    dtype: str
    made: Callable[[Any], Any] | None
    becomes: str
    null: str = ""
    unknown: str = ""


def prepared(source: StoredSource) -> Prepared:
    """Choose layers for the columns of a dataset by its `prepare`, and adapt them; two passes over the query, of which
    the first ends as soon as each column has shown a value.

    ValueError for a rule that does not go with its column, for columns none of which is of use, and for what cannot be
    read.
    """
    rules = checked_rules(source.prepare, source.columns)
    target = source.targets_named[0] if len(source.targets_named) == 1 else None
    columns, label = read(source, rules, target)
    rows = max(column.rows for column in columns)
    if not rows:
        raise source.no_rows()
    inputs: dict[str, Any] = {}
    parts: list[Any] = []
    table: list[list[str]] = []
    optional: list[str] = []
    for column in columns:
        rule = rules[column.name]
        choice = _chosen(column, rule)
        table.append([column.name, column.said(), choice.becomes, choice.null, choice.unknown])
        if choice.made is not None:
            inputs[column.name] = Input((1,), dtype=choice.dtype)
            parts.append(choice.made(inputs[column.name]))
            if rule.get("optional"):
                optional.append(column.name)
    if not parts:
        raise ValueError(
            f"no column of the query is of use as it is: {'; '.join(f'{row[0]!r} {row[2]}' for row in table)}"
        )
    model = Model(inputs, parts[0] if len(parts) == 1 else Concatenate()(parts), name="preparation")
    known = [*source.columns, *source.targets_named, *([] if source.key is None else [source.key])]
    notes: dict[str, Any] = {
        "preparation": table,
        "ignored": [name for name in known if name not in inputs],
        "optional": optional,
    }
    if label is not None:
        notes["classes"] = label.classes()
    return Prepared(model, notes, rows)


# Rules.


def checked_rules(prepare: Any, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The rule for each column. TypeError, ValueError for what is none."""
    if isinstance(prepare, str) and prepare == "auto":
        return {name: {} for name in names}
    if not isinstance(prepare, Mapping):
        raise TypeError(f'prepare must be "auto" or a dict by column, got {shown(prepare)}')
    for name in prepare:
        if name not in names:
            raise ValueError(
                f"prepare: there is no feature {shown(name)}{_names.hint(name, names)}; they are "
                f"{', '.join(map(repr, names))}"
            )
    return {name: _rule(name, prepare.get(name, "auto")) for name in names}


def _rule(name: str, given: Any) -> dict[str, Any]:
    rule = {"as": given} if isinstance(given, str) else given
    if not isinstance(rule, Mapping):
        raise TypeError(f"prepare[{name!r}] must be one of {', '.join(KINDS)}, or a dict, got {shown(given)}")
    kind = rule.get("as", "auto")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(
            f"prepare[{name!r}]: unknown preparation {shown(kind)}{_names.hint(kind, KINDS)}; known: {', '.join(KINDS)}"
        )
    for option in rule:
        if not isinstance(option, str) or option not in _OPTIONS:
            raise ValueError(
                f"prepare[{name!r}]: unknown option {shown(option)}{_names.hint(option, _OPTIONS)}; known: "
                f"{', '.join(_OPTIONS)}"
            )
        of = _OPTIONS[option]
        if of is not None and kind not in ("auto", *of):
            raise ValueError(f"prepare[{name!r}]: {option!r} goes with {', '.join(of)}, and not with {kind!r}")
    called = f"prepare[{name!r}]: "
    found = dict(rule)
    for option, value in rule.items():
        if option == "unknown" and not (isinstance(value, str) and value in ("error", "other")):
            raise ValueError(f"{called}unknown must be 'error' or 'other', got {shown(value)}")
        if option == "missing" and not isinstance(value, (str, bool)):
            found[option] = as_number(f"{called}missing", value)
        if option in ("bins", "size"):
            found[option] = check_count(f"{called}{option}", value)
        if option in ("indicator", "optional"):
            found[option] = as_flag(f"{called}{option}", value)
    return found


# Choices.


def _chosen(column: Column, rule: Mapping[str, Any]) -> _Choice:
    kind = rule.get("as", "auto")
    if kind == "auto":
        kind, why = _inferred(column)
        if kind == "skip":
            return _Choice("", None, why)
    if kind == "skip":
        return _Choice("", None, "left out, as was asked")
    if column.kind == NOTHING:
        raise ValueError(f"column {column.name!r} is all NULL, so it cannot become {kind!r}; leave it out")
    if kind in _SCALED:
        return _scaled(column, kind, rule)
    if kind == "date":
        return _date(column, rule)
    return _category(column, kind, rule)


def _inferred(column: Column) -> tuple[str, str]:
    """The kind of preparation, and why where it is none."""
    if column.kind == NOTHING:
        return "skip", "left out: all NULL"
    if column.is_constant():
        return "skip", "left out: always the same"
    if column.kind == DATES:
        return "date", ""
    if column.kind in (NUMBERS, NUMERALS):
        return ("log" if column.is_skewed(SKEWED) else "standard"), ""
    if column.has_no_value_twice() and column.rows >= LIKE_KEYS:
        return "skip", "left out: no value comes twice"
    if column.many:
        return "hashing", ""
    count = len(column.values)
    return ("one_hot" if count <= ONE_HOT else "embedding" if count <= MOST_CATEGORIES else "hashing"), ""


def _scaled(column: Column, kind: str, rule: Mapping[str, Any]) -> _Choice:
    if column.kind not in (NUMBERS, NUMERALS):
        raise ValueError(f"prepare[{column.name!r}]: {kind!r} is for numbers, and the column holds {column.said()}")
    nulls = column.nulls > 0 or bool(rule.get("optional"))
    missing = rule.get("missing", "mean" if nulls else "error")
    missing = None if missing in ("error", False) else "mean" if missing is True else missing
    indicator = rule.get("indicator", column.nulls >= OFTEN and missing is not None and "missing" not in rule)
    method = "standard" if kind == "log" else kind
    layer = Scaler(method, kind == "log", missing, bool(indicator), name=_name(column, "scaler"))
    try:
        layer.take(*column.statistics(kind == "log"))
    except ValueError as error:
        raise ValueError(f"prepare[{column.name!r}]: {error}") from None
    if column.nulls and missing is None:
        raise ValueError(
            f"column {column.name!r} is NULL in {column.nulls:,} rows; say what stands for that: "
            f'prepare={{{column.name!r}: {{"missing": "mean"}}}}, "median" or a number'
        )
    becomes = {"standard": "standardised", "min_max": "scaled to 0 ... 1", "robust": "scaled by quartiles"}
    said = "log(1 + x), standardised" if kind == "log" else becomes.get(kind, "as it is")
    null = "error" if missing is None else f"{missing if isinstance(missing, str) else f'{missing:g}'}"
    null += " and an indicator" if indicator else ""
    return _Choice("string" if column.kind == NUMERALS else "float32", layer, said, null)


def _date(column: Column, rule: Mapping[str, Any]) -> _Choice:
    if column.kind != DATES:
        raise ValueError(f"prepare[{column.name!r}]: 'date' is for dates, and the column holds {column.said()}")
    missing = rule.get("missing", column.nulls > 0 or bool(rule.get("optional"))) not in ("error", False)
    if column.nulls and not missing:
        raise ValueError(
            f"column {column.name!r} has no date in {column.nulls:,} rows; prepare={{{column.name!r}: "
            '{"missing": True}} lets that be'
        )
    layer = DateParts(rule.get("components") or column.date_parts(), missing, name=_name(column, "date_parts"))
    for date in column.ends:
        layer.update_state(as_objects([date], (1, 1)))
    layer.finalize_state()
    return _Choice("string", layer, ", ".join(layer.components), "zeros and an indicator" if missing else "error")


def _category(column: Column, kind: str, rule: Mapping[str, Any]) -> _Choice:
    if column.kind not in (TEXTS, INTEGERS, DATES):
        raise ValueError(
            f"prepare[{column.name!r}]: {kind!r} is for text and whole numbers, and the column holds {column.said()}"
        )
    missing = rule.get("missing", column.nulls > 0 or bool(rule.get("optional"))) not in ("error", False)
    if column.nulls and not missing:
        raise ValueError(
            f"column {column.name!r} is NULL in {column.nulls:,} rows; "
            f'prepare={{{column.name!r}: {{"missing": True}}}} makes that a category of its own'
        )
    is_text = column.kind != INTEGERS
    dtype = "string" if is_text else "int64"
    null = "a category of its own" if missing else "error"
    mask: Any = None if not missing else "" if is_text else MISSING
    if kind == "hashing":
        bins = rule.get("bins", BINS)
        lookup: Any = Hashing(bins, mask, name=_name(column, "hashing"))
        size, unknown = bins, "hashed too"
    else:
        if column.many:
            raise ValueError(
                f"prepare[{column.name!r}]: the column has more than {len(column.values):,} different values; "
                "say 'hashing'"
            )
        known, rare = column.ranked(RARE)
        # Where there are many, others will come; where few, one that comes is a fault as a rule.
        other = {"error": False, "other": True}.get(rule.get("unknown", ""), rare or kind == "embedding")
        if not rare or ("unknown" in rule and not other):
            known, _ = column.ranked(1)
        of: Any = StringLookup if is_text else IntegerLookup
        mode = "one_hot" if kind == "one_hot" else "int"
        lookup = of(
            num_oov_indices=int(other),
            mask_token=mask,
            vocabulary=known,
            output_mode=mode,
            name=_name(column, "lookup"),
        )
        size = lookup.vocabulary_size()
        unknown = "error" if not other else "with the rare ones" if rare else "other"
    if kind == "one_hot":
        return _Choice(dtype, lookup, f"one-hot, {size} numbers", null, unknown)
    width = int(rule.get("size", min(WIDEST, max(2, round(1.6 * size**0.56)))))
    said = f"embedding of {width}" if kind == "embedding" else f"hashed to {size}, embedding of {width}"

    def made(tensor: Any) -> Any:
        return Flatten()(Embedding(size, width, name=_name(column, "embedding"))(lookup(tensor)))

    return _Choice(dtype, made, said, null, unknown)


def _name(column: Column, what: str) -> str | None:
    """What a column's layer is called, where a layer may be called so."""
    return None if "/" in column.name or not column.name else f"{column.name}_{what}"
