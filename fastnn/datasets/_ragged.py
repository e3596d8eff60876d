"""Arrays of lists in a file: NumPy pickles them, and a pickle may run any code, so nothing but arrays is unpickled."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from typing import Any

import numpy as np

# What the pickle of an array names, as older NumPy and newer write it. In none of them can code hide.
ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}
MOST_BYTES = 2**31  # of one array, unpacked


class ArraysOnly(pickle.Unpickler):
    """Reads a pickle of arrays, numbers, texts, lists and dicts; UnpicklingError for one that names anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(
                f"Refusing to load {module}.{name}, which no file of arrays names; get the file again from its source"
            )
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def load_npz(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The arrays of an npz file by their names, those of lists included; runs no code. ValueError for another file."""
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".npy") and member.file_size <= MOST_BYTES:
                    arrays[member.filename.removesuffix(".npy")] = _array(io.BytesIO(archive.read(member)))
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{os.fspath(path)} is no npz file, or is not whole: {error}") from error
    return arrays


def _array(file: io.BytesIO) -> Any:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
    _, _, dtype = read(file)
    if dtype.hasobject:
        return ArraysOnly(file).load()
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
