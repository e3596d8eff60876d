"""Where callbacks write."""

from __future__ import annotations

import errno
import os
from typing import Any

from fastnn import _remote
from fastnn._checks import check_path


def folder_for(path: str) -> None:
    """Make the folder that a file is to be in. OSError, which names it, where no file can be written there."""
    if _remote.is_url(path):
        _remote.make_folder(os.path.dirname(path))
        return
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)


def path_of(owner: object, name: str, path: Any) -> str:
    """A path as a text. TypeError, ValueError for what is none."""
    return check_path(f"{type(owner).__name__}: {name}", path)
