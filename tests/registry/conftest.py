"""A registry in each of the databases."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import hub_server, servers
from support.registries import KINDS, Place, mariadb_place, postgres_place, sqlite_place


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty database."""
    if request.param == "sqlite":
        yield sqlite_place(tmp_path)
    elif request.param in ("postgres", "adbc"):
        pytest.importorskip("psycopg", reason='PostgreSQL\'s driver: pip install "psycopg[binary]"')
        with servers.postgres_database(request.getfixturevalue("postgres_server")) as url:
            yield postgres_place(url)
    else:
        with servers.mariadb_database(request.getfixturevalue("mariadb_server")) as options:
            yield mariadb_place(options)


@pytest.fixture(scope="session")
def _mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow's without models: to make one takes seconds."""
    client = pytest.importorskip("mlflow", reason="MLflow: pip install 'fastnn[mlflow]'")
    pytest.importorskip("pandas", reason="MLflow's pyfunc needs pandas")
    pytest.importorskip("alembic", reason="MLflow on SQLite needs alembic")
    path = tmp_path_factory.mktemp("mlflow") / "m.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        client.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_uri(_mlflow_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty MLflow, whose artifacts go into the test's folder; the one that it is set to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    uri = f"sqlite:///{shutil.copy(_mlflow_database, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The repositories of a Hub of the test's own."""
    pytest.importorskip("huggingface_hub", reason="the Hub: pip install 'fastnn[hub]'")
    with hub_server.hub(monkeypatch, tmp_path / "cache") as repositories:
        yield repositories


@pytest.fixture(params=["folder", "mlflow", "hub"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What opens an empty registry that is no database."""
    if request.param == "folder":
        return f"{tmp_path / 'models'}/"
    if request.param == "mlflow":
        return f"mlflow:{request.getfixturevalue('mlflow_uri')}"
    request.getfixturevalue("hub")
    return "hf:me"
