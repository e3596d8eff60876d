"""Where models are served from: files, folders, a registry in a database, MLflow, fastnn's own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

ENDINGS = (".fastnn", ".keras")
_NAME = re.compile(r"[^/\\?#%\x00-\x1f\x7f]{1,255}")


class Found(NamedTuple):
    """A version that a source has. stamp: is another where it was written anew. load: gives the model."""

    name: str
    version: str
    stamp: Any
    load: Callable[[], Any]
    aliases: tuple[str, ...] = ()


Source = Callable[[], "list[Found]"]


def source_of(where: Any) -> Source:
    """What lists the versions at a place, each time that it is called. ValueError for what is no place.

    where: the path of a file, or of a folder; URL#name, URL#name@alias or URL#name@version of a registry in a database,
    or URL# for all that it has; models:/name/version or models:/name@alias of MLflow; zoo:name, which comes with
    fastnn. name=place gives it another name.
    """
    text = os.fspath(where)
    name, equals, place = text.partition("=")
    if not equals or not _NAME.fullmatch(name) or "." in name:
        name, place = "", text
    if place.startswith("models:/"):
        return partial(_of_mlflow, place, name)
    if place.startswith("zoo:"):
        return partial(_of_zoo, place.removeprefix("zoo:"), name)
    url, sharp, what = place.partition("#")
    if sharp and not os.path.exists(place):
        return partial(_of_registry, url, what, name)
    return partial(_of_path, Path(place), name)


def _of_path(path: Path, name: str) -> list[Found]:
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r} to serve models from")
    if not path.is_dir():
        return [_of_file(path, name or _stem(path), "1")]
    return list(_of_folder(path))


def _of_folder(folder: Path) -> Iterator[Found]:
    """NAME/VERSION.fastnn, NAME.fastnn but no hidden files, such as those being written."""
    for each in sorted(folder.iterdir()):
        if each.name.startswith("."):
            continue
        if each.is_dir():
            for inner in sorted(each.iterdir()):
                if inner.name.endswith(ENDINGS) and not inner.name.startswith("."):
                    yield _of_file(inner, each.name, _stem(inner))
        elif each.name.endswith(ENDINGS):
            yield _of_file(each, _stem(each), "1")


def _stem(path: Path) -> str:
    return path.name.removesuffix(path.suffix)


def _of_file(path: Path, name: str, version: str) -> Found:
    from fastnn.models import load_model

    about = path.stat()
    stamp = (about.st_mtime_ns, about.st_size, about.st_ino)
    return Found(name, version, stamp, partial(load_model, path, compile=False))


def _of_registry(url: str, what: str, name: str) -> list[Found]:
    """What is asked for by version or alias, else of each name the latest version and those with an alias."""
    from fastnn import registry

    wanted, _, which = what.partition("@")
    with registry.open(url) as opened:
        entries = opened.list(wanted or None)
    latest = {each.name: each.version for each in entries}
    chosen = [
        each
        for each in entries
        if (which in (str(each.version), *each.aliases) if which else each.aliases or latest[each.name] == each.version)
    ]
    if which == "latest":
        chosen = [each for each in entries if latest[each.name] == each.version]
    if wanted and not chosen:
        raise ValueError(f"there is no {what!r} in the registry; fastnn models URL lists what there is")
    return [
        Found(
            name or each.name,
            str(each.version),
            each.sha256,
            partial(_load, url, each.name, each.version),
            each.aliases,
        )
        for each in chosen
    ]


def _load(url: str, name: str, version: int) -> Any:
    from fastnn import registry

    with registry.open(url) as opened:
        return opened.load(name, version, compile=False)


def _of_mlflow(uri: str, name: str) -> list[Found]:
    """What the name stands for now."""
    from fastnn import mlflow

    path, at, alias = uri.removeprefix("models:/").partition("@")
    version = mlflow.resolve(uri)
    return [
        Found(name or path.partition("/")[0], version, version, lambda: mlflow.load_model(uri), (alias,) * bool(at))
    ]


def _of_zoo(which: str, name: str) -> list[Found]:
    from fastnn import zoo

    zoo.card(which)  # says what there is, where there is none
    return [Found(name or which, "1", which, partial(zoo.load, which))]


def check_served_name(what: str, name: Any) -> str:
    """A name or version that can stand in the path of a URL. ValueError for others."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in (".", ".."):
        raise ValueError(f"{what} must be a text of 1 to 255 characters without /, \\, ?, # and %, got {name!r:.100}")
    return name
