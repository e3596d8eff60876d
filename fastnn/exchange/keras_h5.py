"""Keras's HDF5 files of weights, read as data: by groups and numbers that the reader names, of shapes that it knows."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import prod
from typing import Any

import numpy as np

from fastnn._checks import shown
from fastnn.typing import Array

KINDS = "fiu"  # of NumPy's types
IN_ARCHIVE = "model.weights.h5"  # what a file of weights is called in a model's
MAX_RATIO = 100  # how many times its bytes in an archive a part may be


def needed(what: str) -> Any:
    """h5py. ImportError, with what brings it."""
    try:
        import h5py
    except ImportError:
        raise ImportError(f'{what} needs h5py: pip install "fastnn[keras]"') from None
    return h5py


def written(groups: Iterable[tuple[str, str, Sequence[Any]]], what: str) -> bytes:
    """A file of these groups: path, the name that it has, and its arrays."""
    h5py, memory = needed(what), BytesIO()
    with h5py.File(memory, "w") as file:
        for path, name, arrays in groups:
            group = file.require_group(path).create_group("vars")
            group.attrs["name"] = name
            for number, array in enumerate(arrays):
                group[str(number)] = array
    return memory.getvalue()


class Weights:
    """A file that is open. Links to elsewhere are not followed, and nothing is read but arrays of a known shape."""

    def __init__(self, file: Any) -> None:
        self._h5py, self._file = needed("reading it"), file
        self._groups: dict[str, Any] = {}

    def size(self) -> int:
        """How many numbers the file holds in its arrays of weights."""
        return sum(prod(each.shape) for path, each in self._arrays() if not path.startswith("optimizer/"))

    def unread(self, read: Iterable[str]) -> list[str]:
        """The layers' groups that have arrays, beside those that are `read`."""
        known = {f"{path}/vars" for path in read}
        found = (path.rpartition("/")[0] for path, _ in self._arrays() if path.startswith("layers/"))
        return [each for each in dict.fromkeys(found) if each not in known and "seed_generator" not in each]

    def count(self, path: str) -> int:
        """How many arrays a group has; 0 where there is none."""
        group = self._group(path)
        return 0 if group is None else len(group)

    def array(self, path: str, number: int, shape: tuple[int, ...] | None = None) -> Array:
        """An array of the group, float32 or as it is where it is of whole numbers. ValueError where it has another
        shape."""
        group = self._group(path)
        if group is None or str(number) not in group:
            raise ValueError(f"there are no weights {path}/vars/{number}")
        found = self._checked(f"{path}/vars/{number}", group, str(number))
        if shape is not None and found.shape != shape:
            raise ValueError(f"weights {path}/vars/{number} must be of shape {shape}, got {found.shape}")
        if found.attrs.get("dtype") == "bfloat16" and found.dtype.itemsize == 2:
            halves = np.asarray(found[()]).view("u2")
            return (halves.astype("u4") << 16).view("f4")
        if found.dtype.kind not in KINDS:
            raise ValueError(f"weights {path}/vars/{number} must be numbers, got {found.dtype}")
        array = np.asarray(found[()])
        return array if array.dtype.kind in "iu" else array.astype(np.float32)

    def _group(self, path: str) -> Any:
        """The group of a path, None where there is none: one of Keras's older versions has an underscore."""
        if path not in self._groups:
            first, _, last = path.rpartition("/")
            ways = (f"{path}/vars", f"{first}/_{last}/vars")
            self._groups[path] = next((group for way in ways if (group := self._walked(way)) is not None), None)
        return self._groups[path]

    def _walked(self, path: str) -> Any:
        group = self._file
        for name in path.split("/"):
            link = group.get(name, getlink=True) if name in group else None
            if link is None:
                return None
            if not isinstance(link, self._h5py.HardLink):
                raise ValueError(f"group {path} is a link to elsewhere ({type(link).__name__}), which is not followed")
            group = group[name]
            if not isinstance(group, self._h5py.Group):
                raise ValueError(f"{path} must lead through groups, got a {type(group).__name__} at {name!r:.80}")
        return group

    def _checked(self, path: str, group: Any, name: str) -> Any:
        """An array of a group, whose bytes lie in the file."""
        link = group.get(name, getlink=True)
        if not isinstance(link, self._h5py.HardLink):
            raise ValueError(f"weights {path} are a link to elsewhere ({type(link).__name__}), which is not followed")
        return self._held(path, group[name])

    def _held(self, path: str, found: Any) -> Any:
        if not isinstance(found, self._h5py.Dataset) or found.shape is None:
            raise ValueError(f"weights {path} must be an array, got {shown(found)}")
        if found.external or found.is_virtual:
            raise ValueError(f"weights {path} lie in another file, which is not read")
        size, held = prod(found.shape) * found.dtype.itemsize, found.id.get_storage_size()
        if size > held:
            raise ValueError(
                f"weights {path} are {size:,} bytes, of which the file holds {held:,}: compressed or empty arrays are "
                "not read, as they may be of any size; save the file again with Keras"
            )
        return found

    def _arrays(self) -> Iterator[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []

        def note(path: str, each: Any) -> None:
            if isinstance(each, self._h5py.Dataset):
                found.append((path, self._held(path, each)))

        self._file.visititems(note)
        return iter(found)


@contextmanager
def opened(file: Any, what: str) -> Iterator[Weights]:
    """A file of weights that is open for bytes, for as long as the block runs. ValueError where it is none."""
    h5py = needed(what)
    try:
        h5 = h5py.File(file, "r")
    except Exception as error:
        raise ValueError(f"it is no HDF5 file, or damaged: {error!s:.200}") from error
    with h5:
        yield Weights(h5)


def part(archive: zipfile.ZipFile, name: str, most: int | None = None) -> bytes:
    """A part of an archive, whose size is known before it is read. ValueError where it is missing or too long."""
    if name not in archive.namelist():
        raise ValueError(f"there is no {name} in it, as Keras's files have")
    info = archive.getinfo(name)
    limit = MAX_RATIO * info.compress_size + 1024 if most is None else most
    if info.file_size > limit:
        raise ValueError(
            f"{name} would be {info.file_size:,} bytes of {info.compress_size:,}: at most {limit:,} are read"
        )
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise ValueError(f"{name} has {len(data):,} bytes in place of {info.file_size:,}")
    return data
