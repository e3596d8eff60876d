"""The models that are served: loaded, replaced and unloaded while requests go on."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

from fastnn import _names
from fastnn._checks import as_number, shown

from .protocol import RequestError
from .served import Served
from .sources import Source, check_served_name, source_of


@dataclass(frozen=True)
class Route:
    """What an alias stands for: versions, the shares of requests that they have, added up; one that is only logged."""

    versions: tuple[str, ...]
    ends: tuple[float, ...] = (1.0,)
    shadow: str | None = None

    def version(self) -> str:
        """The version that a request goes to."""
        if len(self.versions) == 1:
            return self.versions[0]
        at = random.random() * self.ends[-1]
        return next((each for each, end in zip(self.versions, self.ends, strict=True) if at < end), self.versions[-1])

    def shares(self) -> dict[str, float]:
        """The share of each version."""
        starts = (0.0, *self.ends[:-1])
        return {each: end - start for each, start, end in zip(self.versions, starts, self.ends, strict=True)}

    def of(self, versions: Mapping[str, Any]) -> Route | None:
        """Itself as far as the versions are there."""
        left = {each: share for each, share in self.shares().items() if each in versions}
        shadow = self.shadow if self.shadow in versions else None
        return Route(tuple(left), tuple(accumulate(left.values())), shadow) if left else None


@dataclass(frozen=True)
class Family:
    """The versions and aliases of a name."""

    versions: Mapping[str, Served] = field(default_factory=dict)
    aliases: Mapping[str, Route] = field(default_factory=dict)
    latest: str = ""


class _Place:
    """Where models are from, and what was taken from there: stamps of versions, None of those that cannot be loaded."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.stamps: dict[tuple[str, str], Any] = {}
        self.aliases: dict[tuple[str, str], str] = {}


class Models:
    """Models by name and version, from which any number of threads may read while others load and unload.

    ``Models("model.fastnn", "folder", "sqlite:///shop.db#churn@production")`` serves what is there; see `load` for what
    a place may be. A request has one version from its beginning to its end: a version that is replaced or unloaded
    answers the requests that it has.

    An alias stands for a version wherever a request names one. The alias "default" is what a request without a version
    has; without it that is the version with the highest number.
    """

    def __init__(self, *places: Any) -> None:
        self._table: dict[str, Family] = {}
        self._lock = threading.RLock()  # of those who change the table, which is replaced as a whole
        self._places: list[_Place] = []
        self._refreshing = threading.Lock()
        self._watcher: threading.Thread | None = None
        self._stop = threading.Event()
        self.listeners: list[Callable[[str, Served], None]] = []
        self.prepare: Callable[[Served], None] | None = None
        for place in places:
            self.load(place)

    def __repr__(self) -> str:
        return f"<Models {', '.join(self.names()) or '(none)'}>"

    # Reading.

    def __contains__(self, key: tuple[str, str]) -> bool:
        family = self._table.get(key[0])
        return family is not None and key[1] in family.versions

    def names(self) -> list[str]:
        """The names, in order."""
        return sorted(self._table)

    def versions(self, name: str) -> list[str]:
        """The versions of a name, the lowest first. RequestError (a ValueError) for an unknown name."""
        return sorted(self._family(name).versions, key=_rank)

    def aliases(self, name: str) -> dict[str, dict[str, Any]]:
        """What each alias of a name stands for: {"versions": {version: share}, "shadow": version or None}."""
        aliases = self._family(name).aliases
        return {each: {"versions": route.shares(), "shadow": route.shadow} for each, route in aliases.items()}

    def served(self) -> list[Served]:
        """All versions of all names."""
        return [each for family in self._table.values() for each in family.versions.values()]

    def get(self, name: str, version: str | None = None) -> Served:
        """The version that a request for a name, and a version or an alias, goes to; RequestError if there is none."""
        return self.route(name, version)[0]

    def route(self, name: str, version: str | None = None) -> tuple[Served, Served | None]:
        """The version that a request goes to, and the shadow that it is only tried on."""
        family = self._table.get(name) or self._family(name)
        found = family.versions.get(family.latest if version is None else version)
        if found is not None and (version is not None or "default" not in family.aliases):
            return found, None
        route = family.aliases.get("default" if version is None else version)
        if route is None:
            known = [*family.versions, *family.aliases]
            raise RequestError(
                f"there is no version {shown(version)} of model {name!r}{_names.hint(str(version), known)}; there are "
                f"{', '.join(known)}",
                404,
            )
        return family.versions[route.version()], family.versions[route.shadow] if route.shadow else None

    def _family(self, name: str) -> Family:
        found = self._table.get(name)
        if found is None:
            known = self.names()
            raise RequestError(
                f"there is no model {shown(name)}{_names.hint(name, known)}; "
                f"there are {', '.join(known[:20]) or 'none'}",
                404,
            )
        return found

    # Changing.

    def add(self, model: Any, name: str | None = None, version: str | int = "1") -> Served:
        """Serve a model that is in memory, in place of the version that there is; it must not be trained meanwhile.

        name: None for its own. ValueError, TypeError for a model that cannot be served.
        """
        name = check_served_name("name", getattr(model, "name", None) if name is None else name)
        served = self._made(model, name, check_served_name("version", str(version)))
        self._swap([served], [], {})
        return served

    def load(self, place: Any) -> None:
        """Load what a place has, now and, by `refresh` or `watch`, whenever it has changed.

        place: a file of a model, called like the file, version 1; a folder of NAME.fastnn or NAME/VERSION.fastnn;
        URL#name@alias, URL#name@version, URL#name or URL# of a registry in a database; models:/name@alias or
        models:/name/version of MLflow; zoo:name, which comes with fastnn. With name= before it, it has that name.

        OSError, ValueError, ImportError where that is not there, or cannot be loaded or served; nothing changes then.
        """
        found = _Place(source_of(place))
        with self._refreshing:
            self._take(found, lasting=False)
            self._places.append(found)

    def unload(self, name: str, version: str | int | None = None) -> None:
        """Serve a version, or a name, no more. RequestError (a ValueError) for one that is not there.

        An alias goes with the last of its versions.
        """
        with self._lock:
            there = self._family(name).versions
            if version is not None and str(version) not in there:
                self.route(name, str(version))  # says what there is
                raise ValueError(f"unload: {version!r} is an alias of {name!r}; alias(name, alias, None) takes it away")
            self._swap([], [(name, each) for each in (there if version is None else [str(version)])], {})

    def alias(self, name: str, alias: str, versions: Any, shadow: str | int | None = None) -> None:
        """Have an alias stand for a version; for several by shares, {"1": 0.9, "2": 0.1}; None takes it away.

        shadow: a version that the requests are tried on as well, after they are answered; what it gives is told to the
        hooks alone. ValueError for versions that are not there, and for shares that are not positive.
        """
        alias = check_served_name("alias", alias)
        with self._lock:
            family = self._family(name)
            if alias in family.versions:
                raise ValueError(f"alias: {name!r} has a version {alias!r}; choose another word")
            aliases = {each: route for each, route in family.aliases.items() if each != alias}
            if versions is not None:
                aliases[alias] = _route(family.versions, name, versions, shadow)
            self._table = {**self._table, name: replace(family, aliases=aliases)}

    def refresh(self) -> list[str]:
        """Load what has changed at the places, unload what is gone there; give what could not be done, in words.

        A version whose new file cannot be loaded stays as it is.
        """
        errors: list[str] = []
        with self._refreshing:
            for place in self._places:
                try:
                    errors += self._take(place, lasting=True)
                except Exception as error:  # a database that is away, or a folder
                    errors.append(str(error))
        return errors

    def watch(self, seconds: float, failed: Callable[[str], None] | None = None) -> None:
        """Call `refresh` every so many seconds, in a thread, until `close`. failed: is told what could not be done."""
        seconds = check_seconds("watch: seconds", seconds)

        def run() -> None:
            said: list[str] = []
            while not self._stop.wait(seconds):
                errors = self.refresh()
                for each in errors:
                    if failed is not None and each not in said:
                        failed(each)
                said = errors

        if self._watcher is None:
            self._watcher = threading.Thread(target=run, name="fastnn-serve-watch", daemon=True)
            self._watcher.start()

    def close(self) -> None:
        """Watch no more."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            self._stop.set()
            watcher.join()
            self._stop.clear()

    def _take(self, place: _Place, lasting: bool) -> list[str]:
        """Have what a place has. lasting: go on where a version cannot be loaded, and give the words."""
        errors: list[str] = []
        fresh: list[Served] = []
        stamps: dict[tuple[str, str], Any] = {}
        aliases: dict[tuple[str, str], str] = {}
        for each in place.source():
            key = each.name, each.version
            before = place.stamps.get(key)
            try:
                if before != each.stamp:
                    check_served_name("name", each.name)
                    check_served_name("version", each.version)
                    if key in stamps or (before is None and key in self):
                        raise ValueError("it is served from another place already")
                    fresh.append(self._made(each.load(), *key))
                names = [check_served_name("alias", alias) for alias in each.aliases]
                stamps[key] = each.stamp
            except Exception as error:
                if not lasting:
                    raise
                errors.append(f"model {each.name!r} version {each.version!r} stays as it was: {error}")
                stamps.setdefault(key, before)
            else:
                aliases |= {(each.name, alias): each.version for alias in names}
        gone = [key for key, stamp in place.stamps.items() if key not in stamps and stamp is not None]
        moved: dict[tuple[str, str], str | None] = {key: None for key in place.aliases if key not in aliases}
        moved |= {key: version for key, version in aliases.items() if place.aliases.get(key) != version}
        self._swap(fresh, gone, moved)
        place.stamps, place.aliases = stamps, aliases
        return errors

    def _made(self, model: Any, name: str, version: str) -> Served:
        served = Served(model, name, version)
        if self.prepare is not None:
            self.prepare(served)
        return served

    def _swap(
        self, fresh: list[Served], gone: list[tuple[str, str]], moved: Mapping[tuple[str, str], str | None]
    ) -> None:
        """Replace the table by one with other versions and aliases; requests see the one or the other."""
        with self._lock:
            table, before = dict(self._table), list[Served]()
            for name in {each.name for each in fresh} | {name for name, _ in gone} | {name for name, _ in moved}:
                family = table.pop(name, Family())
                versions, aliases = dict(family.versions), dict(family.aliases)
                for each in fresh:
                    if each.name == name:
                        before += filter(None, [versions.get(each.version)])
                        versions[each.version] = each
                before += [versions.pop(version) for key, version in gone if key == name and version in versions]
                for (key, alias), version in moved.items():
                    if key == name:
                        aliases.pop(alias, None)
                        if version is not None and alias not in versions:
                            aliases[alias] = Route((version,))
                if versions:
                    aliases = {
                        each: left for each, route in aliases.items() if (left := route.of(versions)) is not None
                    }
                    table[name] = Family(versions, aliases, max(versions, key=_rank))
            self._table = table
        for event, several in (("loaded", fresh), ("unloaded", before)):
            for each in several:
                for listener in self.listeners:
                    listener(event, each)


def check_seconds(name: str, value: Any) -> float:
    """A number of seconds above 0. ValueError or TypeError for others."""
    seconds = as_number(name, value)
    if not 0 < seconds < 10**6:
        raise ValueError(f"{name} must be seconds above 0, got {seconds:g}")
    return seconds


def _rank(version: str) -> tuple[int, int, str]:
    """Numbers by size, behind other texts."""
    return (1, int(version), "") if version.isdecimal() else (0, 0, version)


def _route(versions: Mapping[str, Any], name: str, given: Any, shadow: Any) -> Route:
    """An alias as it is asked for. ValueError where it cannot be so."""
    shares = (
        {str(each): as_number("a share", share) for each, share in given.items()} if isinstance(given, Mapping) else {}
    )
    chosen = shares or {str(given): 1.0}
    shadow = None if shadow is None else str(shadow)
    for each in [*chosen, *([] if shadow is None else [shadow])]:
        if each not in versions:
            raise ValueError(f"alias: {name!r} has no version {each!r}; it has {', '.join(versions)}")
    if not all(0 < share < float("inf") for share in chosen.values()):
        raise ValueError(f"alias: shares must be above 0, got {shown(given)}")
    return Route(tuple(chosen), tuple(accumulate(chosen.values())), shadow)
