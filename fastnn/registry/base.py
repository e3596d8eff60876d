"""A registry, whatever keeps the models: what it is asked, checked, and what comes back, verified."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from typing import Any, NamedTuple

from fastnn import _names
from fastnn._checks import as_list, check_count, check_text, shown
from fastnn._version import __version__
from fastnn.models import Model, load_model

from .comparison import Comparison, check_rows, compared
from .entries import Entry, as_json, checked_alias, checked_name, few

__all__ = ["Registry"]


class New(NamedTuple):
    """What is to be saved: a model, the bytes of its file, and what is said of it, with dicts and lists as JSON."""

    model: Any
    data: memoryview
    about: dict[str, Any]
    aliases: tuple[str, ...]


class Found(NamedTuple):
    """What was saved: the number of the version, the size and checksum that its file should have, and its bytes."""

    version: int
    size: int
    sha256: str
    data: BytesIO


class Registry(ABC):
    """Models by name and version, as ``fastnn.registry.open`` gives it; ``with`` closes it.

    Each call is done whole or not at all, also where the process is killed. Raises ValueError, in the words of the
    place where the models are, for what that refuses or has not.
    """

    address = ""  # of the place, without a password
    _closed = False

    def __repr__(self) -> str:
        return f"<Registry {self.address}{', closed' if self._closed else ''}>"

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the registry; an open connection that it was given stays open."""
        self._closed = True

    def save(
        self,
        model: Any,
        name: str,
        *,
        metrics: Mapping[str, Any] | None = None,
        query: str | None = None,
        statistics: Mapping[str, Any] | None = None,
        notes: str = "",
        aliases: Iterable[str] = (),
    ) -> int:
        """Save a model as the next version of a name; gives the version, from 1.

        model: a built model, or a FeatureSpace. name: any text of 1 to 255 characters without white space at its ends.
        metrics, statistics: names and what JSON has for them (numbers, also NumPy's, texts, lists, dicts). query: the
        SQL that it was trained with. notes: any text. aliases: names that point to this version from now on.

        A version is never written over, and no number is given twice, though others save at the same time, and not
        after a deletion either.
        """
        name = checked_name("name", name)
        several = as_list("aliases", [aliases] if isinstance(aliases, str) else aliases, "texts")
        pointing = tuple(checked_alias(each) for each in several)
        about: dict[str, Any] = {
            "created": "",
            "metrics": as_json("metrics", metrics),
            "query": "" if query is None else check_text("query", query),
            "feature_names": "",
            "statistics": as_json("statistics", statistics),
            "notes": check_text("notes", notes),
        }
        data = _bytes_of(model)
        about |= {
            "created": now(),
            "feature_names": json.dumps([*getattr(model, "feature_names", ())]),
            "size": len(data),
            "sha256": sha256(data).hexdigest(),
            "fastnn_version": __version__,
        }
        self._check_open()
        return self._save(name, New(model, data, about, pointing))

    def load(
        self,
        name: str,
        version: int | str = "latest",
        *,
        custom_objects: Mapping[str, Any] | None = None,
        compile: bool = True,
    ) -> Any:
        """The model of a version: its number, an alias, or "latest", the highest that there is.

        custom_objects, compile: as in ``fastnn.models.load_model``, which reads the bytes once their checksum is right.

        ValueError for an unknown name, version or alias, and where the bytes are damaged or a newer fastnn wrote them.
        """
        name = checked_name("name", name)
        self._check_open()
        found, size, expected, data = self._fetch(name, version)
        what, came = f"version {found} of {name!r}", sha256(data.getbuffer()).hexdigest()
        if data.getbuffer().nbytes != size or came != expected:
            raise ValueError(
                f"{what} is damaged in {self.address}: expected {size:,} bytes with the checksum {expected:.12}, got "
                f"{data.getbuffer().nbytes:,} with {came:.12}; load another version"
            )
        data.seek(0)
        try:
            model: Any = load_model(data, custom_objects, compile)
        except ValueError as error:
            raise ValueError(f"{what} cannot be loaded: {error}") from error
        vars(model)["_registered"] = name, found, expected  # what predictions say, as long as it is this one
        return model

    def list(self, name: str | None = None) -> Sequence[Entry]:
        """A list of what there is, by name and version: all of it, or the versions of a name, which may be unknown."""
        name = None if name is None else checked_name("name", name)
        self._check_open()
        return sorted(self._list(name))

    def alias(self, name: str, alias: str, version: int | str | None) -> None:
        """Have an alias point to a version (a number, "latest" as it is now, or another alias); None takes it away.

        alias: a text as a name is one, but not "latest" and no number.
        """
        name, alias = checked_name("name", name), checked_alias(alias)
        self._check_open()
        self._alias(name, alias, version)

    def delete(self, name: str, version: int | str | None = None) -> int:
        """Delete a version, or all of a name, with the aliases that point there; gives how many versions that were.

        The name and the numbers stay known, so that they are not given again.
        """
        name = checked_name("name", name)
        self._check_open()
        return self._delete(name, version)

    def compare(
        self,
        name: str,
        a: int | str,
        b: int | str = "latest",
        x: Any = None,
        y: Any = None,
        *,
        sample_weight: Any = None,
        custom_objects: Mapping[str, Any] | None = None,
    ) -> Comparison:
        """Two versions of a name, each a number, an alias or "latest", side by side on the same rows.

        x, y, sample_weight: as ``evaluate`` takes them; of a dataset with targets y is None, as it is where the
        answers alone are to be compared. ValueError where one of the two does not take these rows, or has no compiled
        metrics to say what they are worth, which it names.
        """
        check_rows(x)
        versions, models = [], []
        for each in (a, b):
            models.append(self.load(name, each, custom_objects=custom_objects))
            versions.append(vars(models[-1])["_registered"][1])
        return compared(name, versions, models, x, y, sample_weight)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the registry is closed; open it again")

    # What each place does, of names, aliases and texts that were checked.

    @abstractmethod
    def _save(self, name: str, new: New) -> int: ...

    @abstractmethod
    def _fetch(self, name: str, version: int | str) -> Found: ...

    @abstractmethod
    def _list(self, name: str | None) -> Iterable[Entry]: ...

    @abstractmethod
    def _alias(self, name: str, alias: str, version: int | str | None) -> None: ...

    @abstractmethod
    def _delete(self, name: str, version: int | str | None) -> int: ...


def chosen(
    where: str,
    name: str,
    version: int | str,
    numbers: Sequence[int],
    aliases: Callable[[], Mapping[str, int]],
    known: Callable[[], Sequence[str]],
    deleted: Callable[[int], str | None] | None = None,
) -> int:
    """The number of a version, where a name has these; ValueError where there is none such.

    aliases: of the name. known: the names that there are. deleted: when a version was deleted, None where it never was
    there; not given where nobody knows.
    """
    if not numbers:
        names = sorted(known())
        has = f"it has {few(names)}" if names else "it has none"
        raise ValueError(f"no model {name!r} in {where}{_names.hint(name, names)}; {has}")
    if version == "latest":
        return max(numbers)
    if isinstance(version, str):
        pointing = aliases()
        if version not in pointing:
            has = f"its aliases are {few(sorted(pointing))}" if pointing else "it has no aliases"
            raise ValueError(f"{name!r} has no alias {shown(version)}{_names.hint(version, pointing)}; {has}")
        return pointing[version]
    number = check_count("version", version)
    if number not in numbers:
        when = "" if deleted is None else deleted(number)
        what = "was never saved" if when is None else f"was deleted at {when}" if when else "is not there"
        raise ValueError(f"version {number} of {name!r} {what}; there are {few(sorted(numbers))}")
    return number


def now() -> str:
    """The time, as an entry has it."""
    return datetime.now(UTC).isoformat()


def _bytes_of(model: Any) -> memoryview:
    """A model as the bytes of its file."""
    if not isinstance(model, Model):
        from fastnn.models.feature_space import FeatureSpace

        if not isinstance(model, FeatureSpace):
            raise TypeError(f"model must be a fastnn.models.Model, got {shown(model)}")
    file = BytesIO()
    model.save(file)
    return file.getbuffer()
