"""A registry in MLflow's: a version is one of a registered model, with the run that its model and metrics are in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastnn._checks import check_text
from fastnn.mlflow.flavor import flavor_of, mlflow_of, refusals, save_model

from .base import Found, New, Registry, chosen
from .entries import Entry, entry_of

TAG = "fastnn"  # of a version: what is said of it, as JSON
UNKNOWN = {"metrics": "{}", "query": "", "feature_names": "[]", "statistics": "{}", "size": 0, "sha256": ""}
ALL = 10**4  # versions or names at a time, the most that MLflow gives


class MlflowRegistry(Registry):
    """Those that others have registered are there too; of them an entry has what MLflow says."""

    def __init__(self, uri: str) -> None:
        self._mlflow = mlflow_of("a registry in MLflow")
        uri = check_text("the URI", uri)
        secret = re.search(r"(?<=//)[^/@]*:[^/]*(?=@)", uri)
        self._secret = secret[0] if secret else ""
        self.address = f"mlflow:{uri.replace(self._secret, '***') if secret else uri}"
        self._uri = uri or None
        with self._told("the registry cannot be opened"):
            self._client = self._mlflow.MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def _save(self, name: str, new: New) -> int:
        client, failed = self._client, self._mlflow.exceptions.MlflowException
        with self._told(f"the model {name!r} cannot be saved"), TemporaryDirectory() as folder:
            save_model(new.model, Path(folder, "model"))
            try:
                client.create_registered_model(name)
            except failed:
                client.get_registered_model(name)  # where it is there already
            try:
                experiment = client.create_experiment(name)
            except failed:
                experiment = client.get_experiment_by_name(name).experiment_id
            run = client.create_run(experiment, tags={"mlflow.source.name": "fastnn"}).info
            made = None
            try:
                for metric, value in json.loads(new.about["metrics"]).items():
                    if isinstance(value, (int, float)):
                        client.log_metric(run.run_id, metric, value)
                client.log_artifacts(run.run_id, folder)
                source, notes = f"{run.artifact_uri}/model", new.about["notes"]
                told = {TAG: json.dumps({**new.about, "notes": ""})}
                made = client.create_model_version(name, source, run.run_id, tags=told, description=notes)
                for alias in new.aliases:
                    client.set_registered_model_alias(name, alias, made.version)
            except BaseException:
                client.set_terminated(run.run_id, "FAILED")
                if made is not None:  # of a name that MLflow takes for no alias
                    client.delete_model_version(name, made.version)
                raise
            client.set_terminated(run.run_id)
            return int(made.version)

    def _fetch(self, name: str, version: int | str) -> Found:
        with self._told(f"the model {name!r} cannot be loaded"), TemporaryDirectory() as folder:
            found = self._find(name, version)
            source = self._client.get_model_version_download_uri(name, str(found)).rstrip("/")

            def fetched(file: str) -> str:
                download = self._mlflow.artifacts.download_artifacts
                uris = {"tracking_uri": self._uri, "registry_uri": self._uri}
                return str(download(f"{source}/{file}", dst_path=folder, **uris))

            known = flavor_of(self._mlflow, fetched("MLmodel"), f"version {found} of {name!r}")
            data = Path(fetched(known["data"])).read_bytes()
            size, digest = known.get("size", len(data)), known.get("sha256", sha256(data).hexdigest())
            return Found(found, size, digest, BytesIO(data))

    def _list(self, name: str | None) -> list[Entry]:
        with self._told("the models cannot be listed"):
            found = self._versions(name)
            aliases = {each: self._aliases(each) for each in {one.name for one in found}}
            return [self._entry(each, aliases[each.name]) for each in found]

    def _alias(self, name: str, alias: str, version: int | str | None) -> None:
        with self._told(f"the alias {alias!r} of {name!r} cannot be set"):
            found = self._find(name, alias if version is None else version)
            if version is None:
                self._client.delete_registered_model_alias(name, alias)
            else:
                self._client.set_registered_model_alias(name, alias, str(found))

    def _delete(self, name: str, version: int | str | None) -> int:
        # The name stays, else MLflow would give its numbers again; and so do the runs, which have the bytes.
        with self._told(f"the model {name!r} cannot be deleted"):
            one = self._find(name, "latest" if version is None else version)
            found = [int(each.version) for each in self._versions(name)] if version is None else [one]
            for alias, number in self._aliases(name).items():
                if number in found:
                    self._client.delete_registered_model_alias(name, alias)
            for each in found:
                self._client.delete_model_version(name, str(each))
            return len(found)

    def _find(self, name: str, version: int | str) -> int:
        numbers = [int(each.version) for each in self._versions(name)]
        return chosen(self.address, name, version, numbers, lambda: self._aliases(name), self._names)

    def _names(self) -> list[str]:
        return [each.name for each in _pages(self._client.search_registered_models, max_results=1000)]

    def _versions(self, name: str | None) -> list[Any]:
        # MLflow's filter has no way to write both quotes.
        quote = '"' if "'" in (name or "") else "'"
        wanted = None if name is None or quote in name else f"name = {quote}{name}{quote}"
        found = _pages(self._client.search_model_versions, wanted, max_results=ALL)
        return [each for each in found if name in (None, each.name)]

    def _aliases(self, name: str) -> dict[str, int]:
        return {alias: int(each) for alias, each in self._client.get_registered_model(name).aliases.items()}

    def _entry(self, version: Any, aliases: Mapping[str, int]) -> Entry:
        created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat()
        told = {**UNKNOWN, "fastnn_version": "", "created": created}
        if TAG in version.tags:
            told |= _object(version.tags[TAG])
        elif version.run_id:
            told["metrics"] = json.dumps(self._client.get_run(version.run_id).data.metrics)
        number, notes = int(version.version), version.description or ""
        pointing = [each for each, one in aliases.items() if one == number]
        return entry_of({**told, "name": version.name, "version": number, "notes": notes}, pointing)

    def _told(self, what: str) -> AbstractContextManager[None]:
        return refusals(what, self._secret)


def _object(text: str) -> dict[str, Any]:
    """An object of JSON; {} for what is none, of which an entry then says that it was altered."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {"created": None}
    return told if isinstance(told, dict) else {"created": None}


def _pages(search: Any, *given: Any, **options: Any) -> list[Any]:
    """All that a search gives, page by page."""
    found, token = [], None
    while token != "":
        page = search(*given, **options, page_token=token)
        found += page
        token = page.token or ""
    return found
