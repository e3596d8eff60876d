"""What a registry says of a version, and what may be said of one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from fastnn._checks import check_text, shown
from fastnn.databases.reader import listed

__all__ = ["Entry"]

LONGEST = 255  # characters of a name


class Entry(NamedTuple):
    """What a registry says of one version of a model.

    created: when it was saved, a datetime in UTC. metrics, statistics: as they were given to ``save``, numbers being
    Python's. query: the text of the query that it was trained with, or None. feature_names: the columns that it was
    fitted on. size: of its file, in bytes. sha256: of these bytes. fastnn_version: of the fastnn that saved it.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    created: datetime
    metrics: dict[str, Any]
    query: str | None
    feature_names: tuple[str, ...]
    statistics: dict[str, Any]
    notes: str
    size: int
    sha256: str
    fastnn_version: str


def entry_of(about: Mapping[str, Any], aliases: Iterable[str]) -> Entry:
    """What is said of a version, dicts and lists being JSON; ValueError where it was altered."""
    try:
        told = {**about, "aliases": tuple(sorted(aliases)), "query": about["query"] or None}
        told["created"] = datetime.fromisoformat(about["created"])
        told |= {name: json.loads(about[name]) for name in ("metrics", "statistics")}
        told["feature_names"] = tuple(json.loads(about["feature_names"]))
        return Entry(**{name: told[name] for name in Entry._fields})
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        name, version = about.get("name"), about.get("version")
        raise ValueError(f"what the registry says of version {version} of {name!r} was altered: {error}") from None


def checked_name(what: str, given: Any) -> str:
    name = check_text(what, given)
    if not name or name != name.strip() or len(name) > LONGEST:
        raise ValueError(
            f"{what} must be a text of 1 to {LONGEST} characters without white space at its ends, got {shown(given)}"
        )
    return name


def checked_alias(given: Any) -> str:
    alias = checked_name("an alias", given)
    if alias == "latest" or alias.isdecimal():
        raise ValueError(f"an alias must be neither 'latest' nor a number, got {alias!r}")
    return alias


def as_json(what: str, given: Mapping[str, Any] | None) -> str:
    """What was given as a JSON text."""
    if given is None:
        return "{}"
    if not isinstance(given, Mapping):
        raise TypeError(f"{what} must be a dict of names and values, got {shown(given)}")
    try:
        return json.dumps({check_text(f"a name in {what}", name): given[name] for name in given}, default=_plain)
    except (ValueError, RecursionError) as error:  # it holds itself
        raise ValueError(f"{what} cannot be written as JSON: {error}") from None
    except TypeError as error:
        raise TypeError(f"{what} cannot be written as JSON: {error}") from None


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"it must be made of numbers, texts, None, lists and dicts, got {shown(value)}")


def few(values: Iterable[Any]) -> str:
    """The first of some values, for a message."""
    first = list(islice(values, 11))
    return listed(first[:10]) + (" and more" if len(first) > 10 else "")
