"""What CIFAR-10 and CIFAR-100 have in common: batches of pictures as pickles in an archive."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.datasets._files import DataFile, folders, found
from fastnn.datasets._ragged import ArraysOnly
from fastnn.typing import Array


def batches(
    file: DataFile, folder: str, names: Sequence[str], label: str, path: str | os.PathLike[str] | None, download: bool
) -> tuple[Array, Array]:
    """The pictures (rows, 32, 32, 3) and labels (rows, 1), uint8, of some batches.

    They are read out of the archive, or where Keras or a person has unpacked it. path: the archive or the folder.
    """
    places = [Path(path)] if path is not None else [each / f"{folder}-target" / folder for each in folders()]
    places += [each / folder for each in ([Path(path)] if path is not None else folders())]
    for place in places:
        if all((place / name).is_file() for name in names):
            parts = [_read((place / name).open("rb"), label) for name in names]
            break
    else:
        with tarfile.open(found(file, None if path is None else Path(path).absolute(), download)) as archive:
            parts = [_read(archive.extractfile(f"{folder}/{name}"), label) for name in names]
    pictures, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    return pictures.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels.reshape(-1, 1)


def _read(file: Any, label: str) -> tuple[Array, Array]:
    with file:
        batch = ArraysOnly(file, encoding="bytes").load()
    if not isinstance(batch, dict) or not {b"data", label.encode()} <= batch.keys():
        raise ValueError(f"{file.name} is no batch of pictures with {label}; get the archive again")
    return batch[b"data"], np.array(batch[label.encode()], np.uint8)
