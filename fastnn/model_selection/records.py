"""What fits have given, in a folder, so that a run which is killed goes on where it was."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from fastnn._checks import shown


class Job(NamedTuple):
    """A network to be fitted: settings, the number of the fold, and what its random numbers begin with."""

    settings: Mapping[str, Any]
    fold: int
    seed: int


class Records:
    """Results of jobs in a folder, a line of JSON each, written as they come; and folders for backups of fits.

    A job is known again by its settings, its fold and its seed. OSError where the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            self._folder = Path(folder)
        except TypeError:
            raise TypeError(f"backup_dir must be a path, got {shown(folder)}") from None
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Any]] = {}
        for path in sorted(self._folder.glob("finished*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, KeyError, TypeError):  # the last line of a process that was killed
                    record = json.loads(line)
                    self._known[record["job"]] = record["result"]
        self._path = self._folder / f"finished-{os.getpid()}.jsonl"

    def known(self, job: Job, with_model: bool) -> dict[str, Any] | None:
        """What a job has given; None where it has not ended, or its model is wanted and not there."""
        found = self._known.get(_name(job))
        if found is None or not with_model:
            return None if found is None else dict(found)
        path = self._model(job)
        if not path.exists():
            return None
        from fastnn.models import load_model

        return {**found, "estimator": load_model(path)}

    def keep(self, job: Job, result: Mapping[str, Any], model: Any) -> None:
        """Keep what a job gives, on disk when this returns; and its model, unless that is None."""
        if model is not None:
            model.save(self._model(job), overwrite=True)
        line = json.dumps({"job": _name(job), "result": _plain(result)}) + "\n"
        with self._lock, open(self._path, "a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def folder_of(self, job: Job) -> Path:
        """Where the backup of its fit is."""
        return self._folder / f"fit-{_name(job)}"

    def _model(self, job: Job) -> Path:
        return self._folder / f"model-{_name(job)}.fastnn"


def _name(job: Job) -> str:
    said = repr((sorted(job.settings.items(), key=lambda item: item[0]), job.fold, job.seed))
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _plain(value: Any) -> Any:
    """Numbers of NumPy as Python's."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.tolist() if hasattr(value, "tolist") else value
