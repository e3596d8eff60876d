"""A registry in a folder: NAME/VERSION/model.fastnn, what is said of it beside it, and a small file for each alias.

Anything else that reads files can read it, and it may lie on a shared disk. Each change is one rename.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from fastnn.store.replacing import replacing

from .base import Found, New, Registry, chosen, now
from .entries import Entry, entry_of

Done = TypeVar("Done")

FILE, ABOUT, ALIASES = "model.fastnn", "entry.json", "aliases"
OLD = 24 * 3600.0  # seconds after which nobody writes to an unfinished version any more
LONGEST = 240  # characters of a file's name
JSON = ("metrics", "feature_names", "statistics")


class FolderRegistry(Registry):
    """The folder, which the first save makes."""

    def __init__(self, path: str) -> None:
        self.address = os.path.abspath(path)
        self._root = Path(self.address)

    def _save(self, name: str, new: New) -> int:
        home = self._home(name)

        for alias in new.aliases:
            _quoted(alias)

        def save() -> int:
            home.mkdir(parents=True, exist_ok=True)
            self._sweep(home)
            made = home / f".new-{os.urandom(8).hex()}"
            made.mkdir()
            try:
                _write(made / FILE, bytes(new.data))
                told = {each: json.loads(value) if each in JSON else value for each, value in new.about.items()}
                _write(made / ABOUT, json.dumps({"name": name, **told, "created": now()}, indent=1).encode())
                version = max(_numbers(home), default=0) + 1
                while not _renamed(made, home / str(version)):  # another was faster
                    version += 1
            except BaseException:
                shutil.rmtree(made, ignore_errors=True)
                raise
            for alias in new.aliases:
                self._point(home, alias, version)
            return version

        return self._do(f"the model {name!r} cannot be saved", save)

    def _fetch(self, name: str, version: int | str) -> Found:
        def fetch() -> Found:
            found = self._find(name, version)
            home = self._home(name) / str(found)
            about = _read(home, name, found)
            try:
                data = (home / FILE).read_bytes()
            except FileNotFoundError:
                self._find(name, found)  # unless it was deleted meanwhile
                raise
            return Found(found, entry_of(about, ()).size, about["sha256"], BytesIO(data))

        return self._do(f"the model {name!r} cannot be loaded", fetch)

    def _list(self, name: str | None) -> list[Entry]:
        def entries() -> Iterator[Entry]:
            for each in self._names() if name is None else [name]:
                aliases = self._aliases(each)
                for version in self._versions(each):
                    about = _read(self._home(each) / str(version), each, version)
                    yield entry_of(about, [alias for alias, number in aliases.items() if number == version])

        return self._do("the models cannot be listed", lambda: list(entries()))

    def _alias(self, name: str, alias: str, version: int | str | None) -> None:
        def point() -> None:
            home = self._home(name)
            if version is None:
                self._find(name, alias)
                (home / ALIASES / _quoted(alias)).unlink(missing_ok=True)
            else:
                self._point(home, alias, self._find(name, version))

        self._do(f"the alias {alias!r} of {name!r} cannot be set", point)

    def _delete(self, name: str, version: int | str | None) -> int:
        def delete() -> int:
            one = self._find(name, "latest" if version is None else version)
            found = self._versions(name) if version is None else [one]
            home = self._home(name)
            for alias, number in self._aliases(name).items():
                if number in found:
                    (home / ALIASES / _quoted(alias)).unlink(missing_ok=True)
            for each in found:  # the folder stays, so that its number is not given again
                _write(home / str(each) / ABOUT, json.dumps({"name": name, "deleted": now()}).encode())
                (home / str(each) / FILE).unlink(missing_ok=True)
            return len(found)

        return self._do(f"the model {name!r} cannot be deleted", delete)

    def _do(self, what: str, work: Callable[[], Done]) -> Done:
        try:
            return work()
        except OSError as error:
            raise ValueError(f"{what}; {self.address} says: {error}") from error

    def _home(self, name: str) -> Path:
        return self._root / _quoted(name)

    def _names(self) -> list[str]:
        if not self._root.is_dir():
            return []
        names = [unquote(each.name) for each in self._root.iterdir() if each.is_dir()]
        return [name for name in names if self._home(name).is_dir() and self._versions(name)]

    def _versions(self, name: str) -> list[int]:
        """The numbers of a name, those that were deleted left out."""
        home = self._home(name)
        return [each for each in _numbers(home) if not _deleted(home / str(each), name, each)]

    def _aliases(self, name: str) -> dict[str, int]:
        home = self._home(name) / ALIASES
        known, found = set(self._versions(name)), {}
        for each in home.iterdir() if home.is_dir() else ():
            if not each.name.startswith("."):
                text = each.read_text(encoding="utf-8").strip()
                if text.isdecimal() and int(text) in known:
                    found[unquote(each.name)] = int(text)
        return found

    def _find(self, name: str, version: int | str) -> int:
        def deleted(number: int) -> str | None:
            home = self._home(name) / str(number)
            return _deleted(home, name, number) if home.is_dir() else None

        numbers = self._versions(name)
        return chosen(self.address, name, version, numbers, lambda: self._aliases(name), self._names, deleted)

    def _point(self, home: Path, alias: str, version: int) -> None:
        (home / ALIASES).mkdir(exist_ok=True)
        _write(home / ALIASES / _quoted(alias), f"{version}\n".encode())

    def _sweep(self, home: Path) -> None:
        """Remove what a writer that was killed has left."""
        for each in home.glob(".new-*"):
            if time.time() - each.stat().st_mtime > OLD:
                shutil.rmtree(each, ignore_errors=True)


def _quoted(name: str) -> str:
    """A name as that of a file: no separator, no dot at its beginning. ValueError where no file has so long a name."""
    text = quote(name, safe=" +,=@")
    text = f"%2E{text[1:]}" if text.startswith(".") else text
    if len(text) > LONGEST:
        raise ValueError(
            f"a name in a folder is written as {text:.40}..., of {len(text)} characters; at most {LONGEST}"
        )
    return text


def _numbers(home: Path) -> list[int]:
    if not home.is_dir():
        return []
    names = [each.name for each in home.iterdir() if each.is_dir()]
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal() and name[0] != "0")


def _renamed(made: Path, to: Path) -> bool:
    """Give a finished version its number; False where that is taken."""
    try:
        made.rename(to)
    except OSError:
        if to.exists():
            return False
        raise
    return True


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)


def _read(home: Path, name: str, version: int) -> dict[str, Any]:
    """What is said of a version, as an entry has it. ValueError where it was altered."""
    try:
        told = json.loads((home / ABOUT).read_bytes())
        if not isinstance(told, dict) or told.get("name") != name:
            # As of "A" and "a" where the file system takes them for one.
            raise ValueError(f"it is not of {name!r}")
    except (FileNotFoundError, ValueError, RecursionError) as error:
        raise ValueError(f"what {str(home / ABOUT)!r} says of version {version} was altered: {error}") from None
    return {**told, **{each: json.dumps(told.get(each)) for each in JSON}, "version": version}


def _deleted(home: Path, name: str, version: int) -> str | None:
    when = _read(home, name, version).get("deleted")
    return None if when is None else str(when)
