"""Models by name and version, with their metrics: in a database, a folder, MLflow or on the Hugging Face Hub."""

from __future__ import annotations

import os
from typing import Any

from fastnn import _names
from fastnn._checks import check_path
from fastnn.registry.base import Registry
from fastnn.registry.comparison import Comparison
from fastnn.registry.entries import Entry

__all__ = ["Comparison", "Entry", "Registry", "open"]


def open(where: Any, *, timeout: float = 30.0) -> Registry:
    """The registry at a place, which is made by the first ``save``.

    where: one of
    - a path or a sqlite:///path URL of an SQLite database, whose file need not exist; a URL as
      postgresql://user@host/database (by psycopg, or ADBC where that is missing) or mysql://user@host/database
      (mariadb:// too, by PyMySQL), a password being quoted as in any URL, or left to PGPASSWORD, to ~/.pgpass, or to
      ?read_default_file=~/.my.cnf; or an open connection of sqlite3, psycopg or PyMySQL
    - a folder that is there, or a path that ends with a slash: NAME/VERSION.fastnn in it
    - "mlflow:" and the URI of MLflow's tracking server or database, "mlflow:" alone for the one that MLflow is set to
    - "hf:OWNER", whose repositories on the Hugging Face Hub are the names; "hf:" alone for names "owner/name"

    A database's URL or path is connected to anew for each thing that is done, so that any number of threads may share
    the registry. On an open connection with an open transaction, what is done becomes part of that, and its commit is
    the caller's; else it is committed at once. timeout: seconds to wait for others who write to a database.

    The tables are fastnn_models, fastnn_model_parts, which has the files' bytes, and fastnn_model_aliases.

    Raises ValueError where there is no such database, where it cannot be connected to, or where it has other tables of
    these names; FileNotFoundError where the folder of a path is missing; ImportError where the driver is, MLflow or
    huggingface_hub; TypeError for any other object.
    """
    if isinstance(where, str) and where.startswith(("mlflow:", "hf:")):
        from fastnn.registry.elsewhere import HubRegistry, MlflowRegistry

        kind, _, place = where.partition(":")
        return MlflowRegistry(place) if kind == "mlflow" else HubRegistry(place)
    path = os.fsdecode(where) if isinstance(where, (str, bytes, os.PathLike)) else "://"
    if "://" not in path and (path.endswith(("/", os.sep)) or os.path.isdir(check_path("where", path))):
        from fastnn.registry.folder import FolderRegistry

        return FolderRegistry(path)
    from fastnn.registry.models import DatabaseRegistry

    return DatabaseRegistry(where, timeout)


_names.offer(globals())
