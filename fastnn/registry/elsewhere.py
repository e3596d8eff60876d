"""Registries in MLflow's, and on the Hugging Face Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastnn._checks import check_text

from .base import Found, New, Registry, chosen
from .entries import Entry, entry_of

TAG = "fastnn"  # of a version in MLflow: what is said of it, as JSON
UNKNOWN = {"metrics": "{}", "query": "", "feature_names": "[]", "statistics": "{}", "size": 0, "sha256": ""}
ALL = 10**4  # versions at a time, the most that MLflow gives


class MlflowRegistry(Registry):
    """A version is one of a registered model, with the run that its model and metrics are in."""

    # Versions that others have registered are there too; of them an entry has what MLflow says.

    def __init__(self, uri: str) -> None:
        from fastnn import mlflow

        self._flavor, self._mlflow = mlflow, mlflow.mlflow_of("a registry in MLflow")
        self._uri = check_text("the URI", uri) or None
        secret = re.search(r"(?<=//)[^/@]*:[^/]*(?=@)", uri)
        self._secret = secret[0] if secret else ""
        self.address = f"mlflow:{uri.replace(self._secret, '***') if secret else uri}"
        with self._told("the registry cannot be opened"):
            self._client = self._mlflow.MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def _save(self, name: str, new: New) -> int:
        client, failed, made = self._client, self._mlflow.exceptions.MlflowException, None
        with self._told(f"the model {name!r} cannot be saved"), TemporaryDirectory() as folder:
            self._flavor.save_model(new.model, Path(folder, "model"))
            try:
                client.create_registered_model(name)
            except failed:
                client.get_registered_model(name)  # where it is there already
            try:
                experiment = client.create_experiment(name)
            except failed:
                experiment = client.get_experiment_by_name(name).experiment_id
            run = client.create_run(experiment, tags={"mlflow.source.name": "fastnn"}).info
            try:
                for metric, value in json.loads(new.about["metrics"]).items():
                    if isinstance(value, (int, float)):
                        client.log_metric(run.run_id, metric, value)
                client.log_artifacts(run.run_id, folder)
                source, told = f"{run.artifact_uri}/model", {TAG: json.dumps({**new.about, "notes": ""})}
                made = client.create_model_version(
                    name, source, run.run_id, tags=told, description=new.about["notes"]
                ).version
                for alias in new.aliases:
                    client.set_registered_model_alias(name, alias, made)
            except BaseException:
                client.set_terminated(run.run_id, "FAILED")
                if made is not None:  # of a name that MLflow takes for no alias
                    client.delete_model_version(name, made)
                raise
            client.set_terminated(run.run_id)
            return int(made)

    def _fetch(self, name: str, version: int | str) -> Found:
        with self._told(f"the model {name!r} cannot be loaded"), TemporaryDirectory() as folder:
            found = self._find(name, version)
            source = self._client.get_model_version_download_uri(name, str(found)).rstrip("/")

            def fetched(file: str) -> str:
                download = self._mlflow.artifacts.download_artifacts
                uris = {"tracking_uri": self._uri, "registry_uri": self._uri}
                return str(download(f"{source}/{file}", dst_path=folder, **uris))

            known = self._flavor.flavor_of(self._mlflow, fetched("MLmodel"), f"version {found} of {name!r}")
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
        return list({each.name for each in self._versions(None)})

    def _versions(self, name: str | None) -> list[Any]:
        # MLflow's filter has no way to write both quotes.
        quote = '"' if "'" in (name or "") else "'"
        wanted = None if name is None or quote in name else f"name = {quote}{name}{quote}"
        found, token = [], None
        while token != "":
            page = self._client.search_model_versions(wanted, max_results=ALL, page_token=token)
            found += [each for each in page if name in (None, each.name)]
            token = page.token or ""
        return found

    def _aliases(self, name: str) -> dict[str, int]:
        return {alias: int(each) for alias, each in self._client.get_registered_model(name).aliases.items()}

    def _entry(self, version: Any, aliases: Mapping[str, int]) -> Entry:
        created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat()
        told: dict[str, Any] = {**UNKNOWN, "fastnn_version": "", "created": created}
        if TAG in version.tags:
            told = _object(version.tags[TAG])
        elif version.run_id:
            told["metrics"] = json.dumps(self._client.get_run(version.run_id).data.metrics)
        told |= {"name": version.name, "version": int(version.version), "notes": version.description or ""}
        return entry_of(told, _pointing(aliases, told["version"]))

    def _told(self, what: str) -> AbstractContextManager[None]:
        return self._flavor.refusals(what, self._secret)


class HubRegistry(Registry):
    """A name is a repository, version 3 its tag "v3", an alias any other tag."""

    def __init__(self, owner: str) -> None:
        from fastnn import hub

        hub.hub_model()  # ImportError, with the command
        import huggingface_hub

        self._owner = check_text("the owner", owner).strip("/")
        self.address = f"hf:{self._owner}"
        self._models, self._hub, self._api = hub, huggingface_hub, huggingface_hub.HfApi()

    def _save(self, name: str, new: New) -> int:
        repo, add = self._repo(name), self._hub.CommitOperationAdd
        metrics, notes = json.loads(new.about["metrics"]), new.about["notes"]
        config = {"fastnn_version": new.about["fastnn_version"], "registry": new.about}
        files = {
            "README.md": self._models.model_card(new.model, repo_id=repo, metrics=metrics, notes=notes).encode(),
            "config.json": json.dumps(config, indent=2).encode(),
            self._models.FILE: bytes(new.data),
        }
        with self._models.refusals(f"the model {name!r} cannot be saved"):
            self._api.create_repo(repo, exist_ok=True)
            operations = [add(path_in_repo=path, path_or_fileobj=data) for path, data in files.items()]
            commit = self._api.create_commit(repo, operations=operations, commit_message="A version by fastnn").oid
            for number in count(max(self._tags(name)[0], default=0) + 1):
                try:
                    self._api.create_tag(repo, tag=f"v{number}", revision=commit)
                    break
                except self._hub.errors.HfHubHTTPError as error:
                    if getattr(error.response, "status_code", 0) != 409:  # another has it
                        raise
            try:
                for alias in new.aliases:
                    self._point(repo, alias, f"v{number}")
            except BaseException:
                self._api.delete_tag(repo, tag=f"v{number}")
                raise
        return number

    def _fetch(self, name: str, version: int | str) -> Found:
        with self._models.refusals(f"the model {name!r} cannot be loaded"):
            # A number asks for no list, so that with HF_HUB_OFFLINE=1 it is found where it was loaded before.
            found = version if type(version) is int and version > 0 else self._find(name, version)
            try:
                entry = self._entry(name, found, ())
            except (self._hub.errors.RepositoryNotFoundError, self._hub.errors.RevisionNotFoundError):
                self._find(name, found)
                raise
            path = self._hub.hf_hub_download(self._repo(name), self._models.FILE, revision=f"v{found}")
            return Found(found, entry.size, entry.sha256, BytesIO(Path(path).read_bytes()))

    def _list(self, name: str | None) -> list[Entry]:
        if name is None and not self._owner:
            raise ValueError('hf: has the models of everybody; list those of a name, or open "hf:OWNER"')
        with self._models.refusals("the models cannot be listed"):
            tags = {each: self._tags(each) for each in (self._names() if name is None else [name])}
            return [
                self._entry(each, version, _pointing(aliases, version))
                for each, (versions, aliases) in tags.items()
                for version in versions
            ]

    def _alias(self, name: str, alias: str, version: int | str | None) -> None:
        with self._models.refusals(f"the alias {alias!r} of {name!r} cannot be set"):
            found = self._find(name, alias if version is None else version)
            if version is None:
                self._api.delete_tag(self._repo(name), tag=alias)
            else:
                self._point(self._repo(name), alias, f"v{found}")

    def _delete(self, name: str, version: int | str | None) -> int:
        raise ValueError(
            f"{self.address} deletes nothing: the bytes of a version stay in the history of {self._repo(name)!r}; "
            "delete the repository on its page"
        )

    def _find(self, name: str, version: int | str) -> int:
        numbers, aliases = self._tags(name)
        return chosen(self.address, name, version, numbers, lambda: aliases, self._names)

    def _repo(self, name: str) -> str:
        return f"{self._owner}/{name}" if self._owner else name

    def _names(self) -> Sequence[str]:
        found = self._api.list_models(author=self._owner, filter="fastnn") if self._owner else ()
        return [each.id.partition("/")[2] for each in found]

    def _tags(self, name: str) -> tuple[list[int], dict[str, int]]:
        """The versions, and to which of them the other tags point; of a repository that is not there, none."""
        try:
            tags = {each.name: each.target_commit for each in self._api.list_repo_refs(self._repo(name)).tags}
        except self._hub.errors.RepositoryNotFoundError:
            return [], {}
        numbers = {int(tag[1:]): tags[tag] for tag in tags if re.fullmatch(r"v[1-9]\d*", tag)}
        of = {commit: number for number, commit in sorted(numbers.items())}
        others = {tag: of[tags[tag]] for tag in tags if tags[tag] in of and not re.fullmatch(r"v\d+", tag)}
        return sorted(numbers), others

    def _entry(self, name: str, version: int, aliases: Sequence[str]) -> Entry:
        path = self._hub.hf_hub_download(self._repo(name), "config.json", revision=f"v{version}")
        about = _object(Path(path).read_bytes()).get("registry")
        return entry_of({**(about if isinstance(about, dict) else {}), "name": name, "version": version}, aliases)

    def _point(self, repo: str, alias: str, tag: str) -> None:
        if re.fullmatch(r"v\d+", alias):
            raise ValueError(f"an alias on the Hub must not look like the tag of a version, got {alias!r}")
        # The Hub moves no tag: for a moment there is none.
        with suppress(self._hub.errors.RevisionNotFoundError):
            self._api.delete_tag(repo, tag=alias)
        self._api.create_tag(repo, tag=alias, revision=tag)


def _object(text: str | bytes) -> dict[str, Any]:
    """An object of JSON; {} for what is none, of which an entry then says that it was altered."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _pointing(aliases: Mapping[str, int], version: int) -> list[str]:
    return [alias for alias, number in aliases.items() if number == version]
