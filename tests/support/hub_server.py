"""A server that speaks as much of the Hugging Face Hub's HTTP as huggingface_hub needs to write and read models."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest


class Repository:
    """Commits, each all of its files, and the tags."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, bytes]] = {}
        self.main = ""
        self.tags: dict[str, str] = {}

    def commit(self, files: dict[str, bytes]) -> str:
        whole = {**self.commits.get(self.main, {}), **files}
        self.main = sha1(repr((len(self.commits), whole)).encode()).hexdigest()
        self.commits[self.main] = whole
        return self.main

    def find(self, revision: str) -> str | None:
        return {"main": self.main, **self.tags}.get(revision, revision if revision in self.commits else None)


class Handler(BaseHTTPRequestHandler):
    repositories: dict[str, Repository]
    protocol_version = "HTTP/1.1"

    def log_message(self, *what: Any) -> None:
        pass

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content_Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def missing(self, what: str) -> None:
        self.answer(404, {"error": what}, X_Error_Code=what, X_Error_Message=what)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def route(self) -> None:
        url, body = urlsplit(self.path), self.body()
        parts = [unquote(each) for each in url.path.strip("/").split("/")]
        if parts == ["api", "models"]:
            author = parse_qs(url.query)["author"][0]
            found = [name for name in self.repositories if name.startswith(f"{author}/")]
            self.answer(200, [{"id": name, "modelId": name, "tags": ["fastnn"]} for name in found])
        elif parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            status = 409 if name in self.repositories else 200
            self.repositories.setdefault(name, Repository())
            self.answer(status, {"url": f"http://{self.headers['Host']}/{name}", "name": name})
        elif parts[:2] == ["api", "validate-yaml"]:
            self.answer(200, {"errors": [], "warnings": []})
        elif parts[:2] == ["api", "models"] and "/".join(parts[2:4]) in self.repositories:
            self.of(self.repositories["/".join(parts[2:4])], "/".join(parts[2:4]), parts[4], "/".join(parts[5:]), body)
        elif parts[2:3] == ["resolve"] and "/".join(parts[:2]) in self.repositories:
            self.resolve(self.repositories["/".join(parts[:2])], parts[3], "/".join(parts[4:]))
        else:
            self.missing("RepoNotFound")

    def of(self, repository: Repository, name: str, what: str, rest: str, body: bytes) -> None:
        if what == "preupload":
            files = json.loads(body)["files"]
            modes = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files]
            self.answer(200, {"files": modes})
        elif what == "commit":
            lines = [json.loads(line) for line in body.splitlines()]
            values = [each["value"] for each in lines if each["key"] == "file"]
            oid = repository.commit({each["path"]: base64.b64decode(each["content"]) for each in values})
            url = f"http://{self.headers['Host']}/{name}/commit/{oid}"
            self.answer(200, {"success": True, "commitUrl": url, "commitOid": oid, "hookOutput": ""})
        elif what == "refs":
            tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": c} for n, c in repository.tags.items()]
            self.answer(200, {"branches": [], "converts": [], "tags": tags})
        elif what == "tag" and self.command == "DELETE":
            if repository.tags.pop(rest, None) is None:
                self.missing("RevisionNotFound")
            else:
                self.answer(200, {})
        elif what == "tag":
            tag, commit = json.loads(body)["tag"], repository.find(rest)
            if tag in repository.tags:
                self.answer(409, {"error": "Tag reference exists already"})
            elif commit is None:
                self.missing("RevisionNotFound")
            else:
                repository.tags[tag] = commit
                self.answer(200, {})
        else:
            self.missing("RevisionNotFound")

    def resolve(self, repository: Repository, revision: str, path: str) -> None:
        commit = repository.find(revision)
        if commit is None:
            self.missing("RevisionNotFound")
        elif path not in repository.commits[commit]:
            self.answer(404, {}, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        else:
            data = repository.commits[commit][path]
            self.answer(200, data, ETag=f'"{sha1(data).hexdigest()}"', X_Repo_Commit=commit)

    do_GET = do_HEAD = do_POST = do_DELETE = route


@contextmanager
def hub(monkeypatch: pytest.MonkeyPatch, cache: Any) -> Iterator[dict[str, Repository]]:
    """The repositories of a server that huggingface_hub is set to, with a cache of its own; and a token."""
    from huggingface_hub import constants

    handler = type("Hub", (Handler,), {"repositories": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}", raising=False
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_tests")
    try:
        yield handler.repositories
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
