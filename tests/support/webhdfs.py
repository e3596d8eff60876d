"""A stand-in for HDFS over HTTP, for want of a Hadoop that could be installed.

It follows Hadoop's page "WebHDFS REST API", section "File and Directory Operations", call by call: OPEN, CREATE and
APPEND answer 307 with the address of a data node, here another port, and that one has the bytes; MKDIRS, RENAME and
DELETE answer {"boolean": ...}; GETFILESTATUS and LISTSTATUS as there; errors are a RemoteException. As in HDFS, RENAME
onto a file that exists says false with status 200 and changes nothing, and parents are made by CREATE and MKDIRS.
Source: hadoop-hdfs-project/hadoop-hdfs/src/site/markdown/WebHDFS.md.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PREFIX = "/webhdfs/v1"


class WebHDFS:
    """What the servers have: files by their paths, folders, and each call as (method, op, path)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.folders = {"/"}
        self.calls: list[tuple[str, str, str]] = []
        self.failing: dict[str, int] = {}  # of the next calls of an op: how many fail
        self.lock = threading.Lock()
        self.url = self.name_node = self.data_node = ""

    def make_folder(self, path: str) -> None:
        while path not in self.folders:
            self.folders.add(path)
            path = path.rpartition("/")[0] or "/"

    def children(self, path: str) -> list[str]:
        start = path.rstrip("/") + "/"
        known = [each for each in (*self.files, *self.folders) if each.startswith(start) and each != "/"]
        return sorted({each[len(start) :].split("/")[0] for each in known} - {""})

    def status(self, path: str, suffix: str = "") -> dict[str, Any]:
        is_file = path in self.files
        return {
            "accessTime": 0,
            "blockSize": 134217728 if is_file else 0,
            "group": "supergroup",
            "length": len(self.files.get(path, b"")),
            "modificationTime": 1320173277227,
            "owner": "webuser",
            "pathSuffix": suffix,
            "permission": "644" if is_file else "755",
            "replication": 1 if is_file else 0,
            "type": "FILE" if is_file else "DIRECTORY",
        }


class RemoteException(Exception):
    def __init__(self, status: int, name: str, message: str) -> None:
        self.status = status
        self.said = {"RemoteException": {"exception": name, "javaClassName": f"java.io.{name}", "message": message}}


def missing(path: str) -> RemoteException:
    return RemoteException(404, "FileNotFoundException", f"File does not exist: {path}")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hdfs: WebHDFS
    has_data = False

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, body: Any = b"", **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def handle_call(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts, hdfs = urlsplit(self.path), self.hdfs
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path, op = unquote(parts.path).removeprefix(PREFIX).rstrip("/") or "/", options.get("op", "").upper()
        with hdfs.lock:
            hdfs.calls.append((self.command, op, path))
            try:
                if hdfs.failing.get(op, 0):
                    hdfs.failing[op] -= 1
                    raise RemoteException(403, "AccessControlException", "Permission denied: user=dr.who")
                (self.data if self.has_data else self.name)(op, path, options, body)
            except RemoteException as error:
                self.answer(error.status, error.said)

    do_GET = do_PUT = do_POST = do_DELETE = handle_call

    def name(self, op: str, path: str, options: dict[str, str], body: bytes) -> None:
        hdfs, method = self.hdfs, self.command
        exists = path in hdfs.files or path in hdfs.folders
        if (method, op) in (("GET", "OPEN"), ("PUT", "CREATE"), ("POST", "APPEND")):
            if op == "CREATE" and exists and options.get("overwrite") != "true":
                raise RemoteException(403, "FileAlreadyExistsException", f"{path} for client already exists")
            if op != "CREATE" and path not in hdfs.files:
                raise missing(path)
            assert op == "OPEN" or not body, "the data go to the data node"
            self.answer(307, Location=f"{hdfs.data_node}{self.path}")
        elif (method, op) == ("PUT", "MKDIRS"):
            hdfs.make_folder(path)
            self.answer(200, {"boolean": True})
        elif (method, op) == ("PUT", "RENAME"):
            new = options["destination"]
            done = path in hdfs.files and new not in hdfs.files and (new.rpartition("/")[0] or "/") in hdfs.folders
            if done:
                hdfs.files[new] = hdfs.files.pop(path)
            self.answer(200, {"boolean": done})
        elif (method, op) == ("DELETE", "DELETE"):
            if hdfs.children(path) and options.get("recursive") != "true":
                raise RemoteException(403, "PathIsNotEmptyDirectoryException", f"{path} is non empty")
            gone = [each for each in (*hdfs.files, *hdfs.folders) if each == path or each.startswith(path + "/")]
            for each in gone:
                hdfs.files.pop(each, None)
                hdfs.folders.discard(each)
            self.answer(200, {"boolean": bool(gone)})
        elif method == "GET" and op in ("GETFILESTATUS", "LISTSTATUS"):
            if not exists:
                raise missing(path)
            if op == "GETFILESTATUS":
                self.answer(200, {"FileStatus": hdfs.status(path)})
                return
            names = [""] if path in hdfs.files else hdfs.children(path)
            found = [hdfs.status(f"{path.rstrip('/')}/{name}" if name else path, name) for name in names]
            self.answer(200, {"FileStatuses": {"FileStatus": found}})
        else:
            raise RemoteException(400, "UnsupportedOperationException", f"{method} {op} is not supported")

    def data(self, op: str, path: str, options: dict[str, str], body: bytes) -> None:
        hdfs = self.hdfs
        if op == "OPEN":
            start = int(options.get("offset", 0))
            content = hdfs.files[path][start:]
            self.answer(200, content[: int(options["length"])] if "length" in options else content)
        elif op == "CREATE":
            hdfs.make_folder(path.rpartition("/")[0] or "/")
            hdfs.files[path] = body
            self.answer(201, Location=f"{hdfs.url}{path}")
        else:
            hdfs.files[path] += body
            self.answer(200)


@contextmanager
def webhdfs() -> Iterator[WebHDFS]:
    """A name node and a data node; `url` is webhdfs://127.0.0.1:PORT."""
    hdfs, servers = WebHDFS(), []
    for has_data in (False, True):
        handler = type("Node", (Handler,), {"hdfs": hdfs, "has_data": has_data})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
    hdfs.name_node, hdfs.data_node = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    hdfs.url = hdfs.name_node.replace("http", "webhdfs", 1)
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hdfs
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
