"""Keras's files of weights, ``.weights.h5``: read and written with h5py, without Keras.

They are read as data: by groups and numbers that the reader names, of shapes that it knows.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import prod
from typing import Any

import numpy as np

from fastnn import _remote
from fastnn._checks import as_flag, check_path, shown
from fastnn._output import warn
from fastnn.exchange import keras_optimizer
from fastnn.exchange.keras_layout import Group, groups
from fastnn.store.replacing import replacing
from fastnn.typing import Array

KINDS = "fiu"  # of NumPy's types
IN_ARCHIVE = "model.weights.h5"  # what a file of weights is called in a model's
MAX_RATIO = 100  # how many times its bytes in an archive a part may be


def save_weights(model: Any, filepath: Any, overwrite: bool = True) -> None:
    """Write the weights, and of a compiled model the optimizer's state, as Keras's ``save_weights`` does.

    The file is replaced whole or not at all. FileExistsError where it exists and overwrite is False; ImportError
    without h5py; ValueError for a model that Keras cannot have.
    """
    path = check_free(filepath, overwrite)
    if path.lower().endswith(".keras"):
        raise ValueError(f"save_weights: {path} would be a whole model's name; call save, or let it end in .weights.h5")
    data = packed(model)
    with replacing(filepath) as file:
        file.write(data)


def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False) -> None:
    """Take the weights from a file of Keras's ``save_weights``, and the optimizer's state where it is the model's.

    Layers are found as Keras finds them: by class, and their number among those of it. ValueError, and no change, where
    the file has other layers or shapes, or is damaged; skip_mismatch: leave out those layers instead.
    """
    path = check_path("filepath", filepath)
    with (
        _remote.opened(path) as file,
        refusing(path, "does not fit this model"),
        opened(_h5_of(path, file), "load_weights") as weights,
    ):
        known = groups(model)
        fitting = [group for group in known if not skip_mismatch or _fits(group, weights)]
        if len(fitting) < len(known):
            left = [group.name for group in known if group not in fitting]
            warn(f"load_weights: {path} has no weights of these shapes for {', '.join(left)}: they stay as they are")
        if not skip_mismatch and (unread := weights.unread(group.path for group in known)):
            raise ValueError(f"it has weights of layers that the model has not: {', '.join(unread[:5])}")
        take(model, known, weights, fitting)


def _h5_of(path: str, file: Any) -> Any:
    """The file of weights: the one that is given, or what a model's file has."""
    if not path.lower().endswith(".keras"):
        return file
    with zipfile.ZipFile(file) as archive:
        return BytesIO(part(archive, IN_ARCHIVE))


def _fits(group: Group, weights: Weights) -> bool:
    try:
        arrays_of(group, weights)
    except ValueError:
        return False
    return True


def arrays_of(group: Group, weights: Weights) -> list[Any]:
    """The arrays of a group, of the shapes that its layer needs. ValueError where the file has others."""
    views = group.views()
    if (count := weights.count(group.path)) != len(views):
        raise ValueError(f"layer {group.name!r} has {len(views)} weights, and the file {count} in {group.path}/vars")
    return [weights.array(group.path, at, view.shape) for at, view in enumerate(views)]


def take(model: Any, known: Sequence[Group], weights: Weights, fitting: Sequence[Group] | None = None) -> None:
    """Give the model what the file has, or raise and change nothing.

    fitting: the groups that are taken, of those that the model has; the optimizer's state is then left out where it is
    another's.
    """
    taken = known if fitting is None else fitting
    arrays = [array for group in taken for array in arrays_of(group, weights)]
    if has_state(model):
        try:
            keras_optimizer.take_state(model, weights, known)
        except ValueError:
            if fitting is None:
                raise
    with model.description.locked() as held:
        held.assign([view for group in taken for view in group.views()], arrays)


def has_state(model: Any) -> bool:
    """Whether the model is compiled with an optimizer whose state Keras could have."""
    return model.compiled and not model.description.trainer.optimizer.full_batch


def packed(model: Any) -> bytes:
    """The weights and the optimizer's state as the bytes of a file."""
    with model.description.locked():
        known = groups(model)
        found = [(group.path, group.name, [np.array(view) for view in group.views()]) for group in known]
        if has_state(model):
            found += keras_optimizer.groups_of(model, known)
    return written(found, "save")


def check_free(path: Any, overwrite: bool) -> str:
    """The path as a text. FileExistsError where there is a file that may not be replaced."""
    name = check_path("filepath", path)
    if not as_flag("overwrite", overwrite) and _remote.exists(name):
        raise FileExistsError(f"{name} exists; pass overwrite=True or another name")
    return name


@contextmanager
def refusing(path: str, wrong: str) -> Iterator[None]:
    """Within it one ValueError, which names the file, is made of whatever is wrong with it."""
    try:
        yield
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        said = f"there is no {error!s:.80} where one is expected" if isinstance(error, KeyError) else f"{error!s:.500}"
        raise ValueError(f"{path} {wrong}: {said}") from error


# The files.


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
