"""A registry in a folder: NAME/1.fastnn, what is said of it in NAME/1.json, and a small file for each alias.

Anything that reads files can read it, ``fastnn serve`` among them, and it may lie on a shared disk. Who makes the .json
has the number; the version is there once the .fastnn is, in one rename.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from fastnn.store.replacing import replacing

from .base import Found, New, Registry, chosen, now
from .entries import Entry, entry_of

FILE, ABOUT, ALIASES = ".fastnn", ".json", "aliases"
LONGEST = 240  # characters of a file's name
JSON = ("metrics", "feature_names", "statistics")


class FolderRegistry(Registry):
    """The folder, which the first save makes."""

    def __init__(self, path: str) -> None:
        self.address = os.path.abspath(path)
        self._root = Path(self.address)

    def _save(self, name: str, new: New) -> int:
        home = self._home(name)
        pointing = [_quoted(alias) for alias in new.aliases]
        told = {each: json.loads(value) if each in JSON else value for each, value in new.about.items()}
        about = json.dumps({"name": name, **told}, indent=1).encode()
        with self._told(f"the model {name!r} cannot be saved"):
            home.mkdir(parents=True, exist_ok=True)
            version = max(_numbers(home, FILE), default=0) + 1
            while not _taken(home / f"{version}{ABOUT}", about):
                version += 1
            _write(home / f"{version}{FILE}", new.data)
            for alias in pointing:
                self._point(home, alias, version)
            return version

    def _fetch(self, name: str, version: int | str) -> Found:
        with self._told(f"the model {name!r} cannot be loaded"):
            found = self._find(name, version)
            entry = _entry(self._home(name), name, found, ())
            try:
                data = (self._home(name) / f"{found}{FILE}").read_bytes()
            except FileNotFoundError:
                self._find(name, found)  # which says that it was deleted meanwhile
                raise
            return Found(found, entry.size, entry.sha256, BytesIO(data))

    def _list(self, name: str | None) -> list[Entry]:
        found = []
        with self._told("the models cannot be listed"):
            for each in self._names() if name is None else [name]:
                aliases = self._aliases(each)
                for version in _numbers(self._home(each), FILE):
                    pointing = [alias for alias, number in aliases.items() if number == version]
                    found.append(_entry(self._home(each), each, version, pointing))
        return found

    def _alias(self, name: str, alias: str, version: int | str | None) -> None:
        home, file = self._home(name), _quoted(alias)
        with self._told(f"the alias {alias!r} of {name!r} cannot be set"):
            found = self._find(name, alias if version is None else version)
            if version is None:
                (home / ALIASES / file).unlink(missing_ok=True)
            else:
                self._point(home, file, found)

    def _delete(self, name: str, version: int | str | None) -> int:
        home = self._home(name)
        with self._told(f"the model {name!r} cannot be deleted"):
            one = self._find(name, "latest" if version is None else version)
            found = _numbers(home, FILE) if version is None else [one]
            for alias, number in self._aliases(name).items():
                if number in found:
                    (home / ALIASES / _quoted(alias)).unlink(missing_ok=True)
            for each in found:
                (home / f"{each}{FILE}").unlink(missing_ok=True)
                _write(home / f"{each}{ABOUT}", json.dumps({"name": name, "deleted": now()}).encode())
            return len(found)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ValueError(f"{what}; {self.address} says: {error}") from error

    def _home(self, name: str) -> Path:
        return self._root / _quoted(name)

    def _names(self) -> list[str]:
        if not self._root.is_dir():
            return []
        return [unquote(each.name) for each in self._root.iterdir() if _numbers(each, FILE)]

    def _aliases(self, name: str) -> dict[str, int]:
        home = self._home(name)
        known, found = {f"{each}": each for each in _numbers(home, FILE)}, {}
        for each in (home / ALIASES).iterdir() if (home / ALIASES).is_dir() else ():
            if not each.name.startswith("."):
                text = each.read_text(encoding="utf-8", errors="replace").strip()
                if text in known:
                    found[unquote(each.name)] = known[text]
        return found

    def _find(self, name: str, version: int | str) -> int:
        def deleted(number: int) -> str | None:
            path = self._home(name) / f"{number}{ABOUT}"
            return str(_read(path, name).get("deleted", "")) if path.exists() else None

        numbers = _numbers(self._home(name), FILE)
        return chosen(self.address, name, version, numbers, lambda: self._aliases(name), self._names, deleted)

    def _point(self, home: Path, alias: str, version: int) -> None:
        (home / ALIASES).mkdir(exist_ok=True)
        _write(home / ALIASES / alias, f"{version}\n".encode())


def _write(path: Path, data: bytes | memoryview) -> None:
    with replacing(path) as file:
        file.write(data)


def _quoted(name: str) -> str:
    """A name as that of a file: no separator, no dot at its beginning. ValueError where no file has so long a name."""
    text = quote(name, safe=" +,=@")
    text = f"%2E{text[1:]}" if text.startswith(".") else text
    if len(text) > LONGEST:
        raise ValueError(
            f"a name in a folder is written as {text:.40}..., of {len(text)} characters; at most {LONGEST}"
        )
    return text


def _numbers(home: Path, ending: str) -> list[int]:
    """The versions that have a file of that kind."""
    if not home.is_dir():
        return []
    names = [each.name.removesuffix(ending) for each in home.iterdir() if each.name.endswith(ending)]
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal() and name[0] != "0")


def _taken(path: Path, about: bytes) -> bool:
    """Take a number by writing what is said of the version; False where another has it."""
    try:
        with open(path, "xb") as file:
            file.write(about)
    except FileExistsError:
        return False
    return True


def _read(path: Path, name: str) -> dict[str, Any]:
    try:
        told = json.loads(path.read_bytes())
        if not isinstance(told, dict) or told.get("name") != name:
            # As of "A" and "a" where the file system takes them for one.
            raise ValueError(f"it is not of {name!r}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"what {str(path)!r} says was altered: {error}") from None
    return told


def _entry(home: Path, name: str, version: int, aliases: Iterable[str]) -> Entry:
    """What is said of a version; of a file that somebody has put there, what it says itself."""
    if (home / f"{version}{ABOUT}").exists():
        told = _read(home / f"{version}{ABOUT}", name)
    else:
        data, when = (home / f"{version}{FILE}").read_bytes(), (home / f"{version}{FILE}").stat().st_mtime
        told = {"query": "", "notes": "", "fastnn_version": "", "metrics": {}, "feature_names": [], "statistics": {}}
        told |= {"created": datetime.fromtimestamp(when, UTC).isoformat()}
        told |= {"size": len(data), "sha256": sha256(data).hexdigest()}
    told |= {each: json.dumps(told.get(each)) for each in JSON}
    return entry_of({**told, "name": name, "version": version}, aliases)
