"""Where the file of a dataset is, and how to get it where it is not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

KERAS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


class DataFile(NamedTuple):
    """A file of a dataset: its name, its address, the sha256 (or md5) of its bytes, None where nobody says it."""

    name: str
    address: str
    file_hash: str | None = None


def folders(below: str = "") -> list[Path]:
    """Where datasets are looked for: FASTNN_DATASETS, ~/.fastnn/datasets, and Keras's own cache."""
    named = os.environ.get("FASTNN_DATASETS")
    keras = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "datasets"
    home = Path("~/.fastnn/datasets").expanduser()
    return [folder / below for folder in ([Path(named).expanduser()] if named else []) + [home, keras]]


def found(
    file: DataFile, path: str | os.PathLike[str] | None, download: bool, more: Sequence[Path] = (), below: str = ""
) -> Path:
    """The path of a file: `path` itself, or of that name in a folder or in `more`; downloaded where asked for.

    FileNotFoundError, which says what to do, where it is in none of them and download is False.
    """
    given = Path(file.name if path is None else path).expanduser()
    places = [given] if path is not None and (given.is_absolute() or len(given.parts) > 1) else []
    places = places or [folder / given for folder in (*folders(below), *more)]
    for place in places:
        if place.is_file():
            return place
    target = places[0]
    if download:
        from fastnn.utils.files import fetch

        target.parent.mkdir(parents=True, exist_ok=True)
        fetch(file.address, target, file.file_hash)
        return target
    check = f" (sha256 {file.file_hash})" if file.file_hash else ""
    raise FileNotFoundError(
        f"{given.name} is not on this machine; looked for {', '.join(map(str, places))}. Pass download=True to fetch "
        f"it from {file.address}{check}, or put it at {target}"
    )
