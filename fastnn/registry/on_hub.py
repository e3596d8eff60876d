"""A registry on the Hugging Face Hub: a name is a repository, version 3 its tag "v3", an alias any other tag."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from fastnn._checks import check_text
from fastnn.hub import model_card
from fastnn.hub.pretrained import refusals

from .base import Found, New, Registry, chosen
from .entries import Entry, entry_of

FILE = "model.safetensors"
MOST_TRIED = 100  # numbers that others take while one is looked for


class HubRegistry(Registry):
    """With HF_HUB_OFFLINE=1, a version by its number that was loaded before."""

    def __init__(self, owner: str) -> None:
        try:
            import huggingface_hub
        except ImportError as error:
            raise ImportError('a registry on the Hub needs huggingface_hub: pip install "fastnn[hub]"') from error
        self._owner = check_text("the owner", owner).strip("/")
        self.address = f"hf:{self._owner}"
        self._hub, self._api = huggingface_hub, huggingface_hub.HfApi()

    def _save(self, name: str, new: New) -> int:
        if not hasattr(new.model, "description"):
            raise TypeError(f"{self.address} keeps models, got a {type(new.model).__name__}; save it in a database")
        repo, add = self._repo(name), self._hub.CommitOperationAdd
        metrics, notes = json.loads(new.about["metrics"]), new.about["notes"]
        config = {"fastnn_version": new.about["fastnn_version"], "registry": new.about}
        config["feature_names"] = json.loads(new.about["feature_names"])
        files = {
            "README.md": model_card(new.model, repo_id=repo, metrics=metrics, notes=notes).encode(),
            "config.json": json.dumps(config, indent=2).encode(),
            FILE: bytes(new.data),
        }
        with refusals(f"the model {name!r} cannot be saved"):
            self._api.create_repo(repo, exist_ok=True)
            operations = [add(path_in_repo=path, path_or_fileobj=data) for path, data in files.items()]
            commit = self._api.create_commit(repo, operations=operations, commit_message="A version by fastnn").oid
            version = max(self._tags(name)[0], default=0) + 1
            for number in range(version, version + MOST_TRIED):
                try:
                    self._api.create_tag(repo, tag=f"v{number}", revision=commit)
                    break
                except self._hub.errors.HfHubHTTPError as error:
                    if getattr(error.response, "status_code", 0) != 409 or number == version + MOST_TRIED - 1:
                        raise
            try:
                for alias in new.aliases:
                    self._point(repo, alias, f"v{number}")
            except BaseException:
                self._api.delete_tag(repo, tag=f"v{number}")
                raise
        return number

    def _fetch(self, name: str, version: int | str) -> Found:
        with refusals(f"the model {name!r} cannot be loaded"):
            # A number asks for no list, so that it is found without a network too.
            found = version if type(version) is int and version > 0 else self._find(name, version)
            try:
                about = self._about(name, found)
            except (self._hub.errors.RepositoryNotFoundError, self._hub.errors.RevisionNotFoundError):
                self._find(name, found)
                raise
            path = self._hub.hf_hub_download(self._repo(name), FILE, revision=f"v{found}")
            entry = entry_of(about, ())
            return Found(found, entry.size, entry.sha256, BytesIO(Path(path).read_bytes()))

    def _list(self, name: str | None) -> list[Entry]:
        if name is None and not self._owner:
            raise ValueError('hf: has the models of everybody; list those of a name, or open "hf:OWNER"')

        def entries() -> Iterator[Entry]:
            for each in self._names() if name is None else [name]:
                versions, aliases = self._tags(each)
                for version in versions:
                    pointing = [alias for alias, number in aliases.items() if number == version]
                    yield entry_of(self._about(each, version), pointing)

        with refusals("the models cannot be listed"):
            return list(entries())

    def _alias(self, name: str, alias: str, version: int | str | None) -> None:
        if re.fullmatch(r"v\d+", alias):
            raise ValueError(f"an alias on the Hub must not look like the tag of a version, got {alias!r}")
        with refusals(f"the alias {alias!r} of {name!r} cannot be set"):
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
        known = self._names if self._owner else list
        return chosen(self.address, name, version, numbers, lambda: aliases, known)

    def _repo(self, name: str) -> str:
        return f"{self._owner}/{name}" if self._owner else name

    def _names(self) -> list[str]:
        found = self._api.list_models(author=self._owner, filter="fastnn")
        return [each.id.partition("/")[2] for each in found]

    def _tags(self, name: str) -> tuple[list[int], dict[str, int]]:
        """The versions, and to which of them the other tags point; of a repository that is not there, none."""
        try:
            tags = self._api.list_repo_refs(self._repo(name)).tags
        except self._hub.errors.RepositoryNotFoundError:
            return [], {}
        numbers = {int(each.name[1:]): each.target_commit for each in tags if re.fullmatch(r"v[1-9]\d*", each.name)}
        of = {commit: number for number, commit in sorted(numbers.items())}
        others = [each for each in tags if not re.fullmatch(r"v\d+", each.name)]
        return sorted(numbers), {each.name: of[each.target_commit] for each in others if each.target_commit in of}

    def _about(self, name: str, version: int) -> dict[str, Any]:
        path = self._hub.hf_hub_download(self._repo(name), "config.json", revision=f"v{version}")
        config = json.loads(Path(path).read_bytes())
        about = config.get("registry") if isinstance(config, dict) else None
        return {**(about if isinstance(about, dict) else {}), "name": name, "version": version}

    def _point(self, repo: str, alias: str, tag: str) -> None:
        # The Hub moves no tag: for a moment there is none.
        with suppress(self._hub.errors.RevisionNotFoundError):
            self._api.delete_tag(repo, tag=alias)
        self._api.create_tag(repo, tag=alias, revision=tag)
