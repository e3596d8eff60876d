"""What a registry is opened with: URLs and their passwords, drivers that are missing, objects that are none."""

from __future__ import annotations

import sys
import threading
import traceback
from typing import Any

import pytest

import fastnn
from support import servers
from support.registries import Place, file_of, mariadb_place, model, postgres_place

SECRET, PASSWORD = "s3cr%40et", "s3cr@et"  # in a URL, and as it is


def told(error: BaseException) -> str:
    """All that is printed of an error, with those behind it."""
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("driver", ["psycopg", "adbc"])
def test_no_password_of_postgres_is_told(driver: str, postgres_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if driver == "adbc":
        pytest.importorskip("adbc_driver_postgresql.dbapi", reason="ADBC: pip install adbc-driver-postgresql pyarrow")
    for url, public in (
        (f"postgresql://me:{SECRET}@127.0.0.1:1/d?connect_timeout=1", "postgresql://me@127.0.0.1:1/d"),
        (f"postgres://127.0.0.1:1/d?password={SECRET}", "postgres://127.0.0.1:1/d"),
        (f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/d?no_such_option={SECRET}", "postgresql://me@127.0.0.1:1/d"),
    ):
        with monkeypatch.context() as missing:
            if driver == "adbc":
                missing.setitem(sys.modules, "psycopg", None)
            with pytest.raises(ValueError, match=r"^cannot connect to ") as caught:
                fastnn.registry.open(url)
        assert public in str(caught.value)
        assert "s3cr" not in told(caught.value)
    with servers.postgres_database(postgres_server) as url:
        place = postgres_place(url)
        if driver == "adbc":
            monkeypatch.setitem(sys.modules, "psycopg", None)
        registry = fastnn.registry.open(url.replace("postgres:@", f"postgres:{SECRET}@"))
        assert "s3cr" not in repr(registry) + repr(vars(registry))
        for call in (lambda: registry.load("m"), lambda: registry.delete("m", 3)):
            with pytest.raises(ValueError, match="no models yet") as caught:
                call()
            assert "s3cr" not in told(caught.value)
        registry.save(model(), "m")
        rows = place.run("SELECT row_to_json(fastnn_models)::text FROM fastnn_models")
        assert "s3cr" not in str(rows)


def test_no_password_of_mariadb_is_told(mariadb_server: Any) -> None:
    with servers.mariadb_database(mariadb_server) as options:
        assert fastnn.registry.open(servers.mysql_url(options, "mariadb+pymysql")).list() == []
        with pytest.raises(ValueError, match=r"^cannot connect to mysql://fastnn@.*Access denied") as caught:
            fastnn.registry.open(servers.mysql_url({**options, "password": PASSWORD}))
        assert "s3cr" not in told(caught.value)
        with pytest.raises(
            ValueError, match=r"unknown option 'unix_soket' in the URL \(did you mean 'unix_socket'\?\)"
        ):
            fastnn.registry.open(servers.mysql_url(options) + "?unix_soket=/tmp/s")
    with pytest.raises(ValueError, match=r"cannot connect to mysql://me@127\.0\.0\.1:1/d; the server says: ") as caught:
        fastnn.registry.open(f"mysql://me:{SECRET}@127.0.0.1:1/d")
    assert "s3cr" not in told(caught.value)


def test_no_password_is_told_whatever_the_driver_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pymysql = pytest.importorskip("pymysql", reason="MariaDB's driver: pip install PyMySQL")

    def refuses(**options: Any) -> Any:
        raise pymysql.OperationalError(1045, f"no {options['password']} (sent as {SECRET})")

    monkeypatch.setattr(pymysql, "connect", refuses)
    with pytest.raises(ValueError, match=r"the server says: \(1045, 'no \*\*\* \(sent as \*\*\*\)'\)$") as caught:
        fastnn.registry.open(f"mysql://me:{SECRET}@host/d")
    assert "s3cr" not in told(caught.value)


def test_a_server_of_small_packets(mariadb_server: Any) -> None:
    with servers.mariadb_database(mariadb_server) as options:
        place = mariadb_place(options)
        [(before,)] = place.run("SELECT @@max_allowed_packet")
        place.run("SET GLOBAL max_allowed_packet = 16384")
        try:
            made, registry = model(1, units=5000), fastnn.registry.open(place.url)
            assert registry.save(made, "m") == 1
            assert file_of(registry.load("m")) == file_of(made)
            assert place.run("SELECT max(length(bytes)) FROM fastnn_model_parts")[0][0] == (16384 - 1024) // 2
        finally:
            place.run(f"SET GLOBAL max_allowed_packet = {before}")


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
@pytest.mark.parametrize("secret", ["s3cr/et", "s3cr@et", "s3cr?et", "s3cr#et", "s3cr%et", "s3cr et", "/s3cr"])
def test_a_password_that_is_not_quoted(scheme: str, secret: str) -> None:
    with pytest.raises(ValueError, match="password has a character that stands for something else in a URL") as caught:
        fastnn.registry.open(f"{scheme}://me:{secret}@127.0.0.1/d")
    assert "s3cr" not in told(caught.value)


def test_a_password_of_the_drivers_own_files(mariadb_server: Any, tmp_path: Any) -> None:
    file = tmp_path / "my.cnf"
    with servers.mariadb_database(mariadb_server) as options:
        file.write_text(
            f"[client]\nhost={options['host']}\nport={options['port']}\nuser=fastnn\npassword={options['password']}\n"
        )
        registry = fastnn.registry.open(f"mysql:///{options['database']}?read_default_file={file}")
        assert registry.save(model(), "m") == 1


@pytest.mark.parametrize("charset", ["latin1", "utf8"])
def test_a_character_set_that_has_not_all_names(charset: str, mariadb_server: Any) -> None:
    with servers.mariadb_database(mariadb_server) as options:
        con = mariadb_place(options).connect(charset=charset)
        if con.charset == "utf8mb4":
            pytest.skip("the driver takes it for utf8mb4")
        with pytest.raises(ValueError, match=f"the connection must have charset='utf8mb4'.*'{con.charset}'"):
            fastnn.registry.open(con)
        con.close()


def test_adbc_where_psycopg_is_missing(postgres_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("adbc_driver_postgresql.dbapi", reason="ADBC: pip install adbc-driver-postgresql pyarrow")
    with servers.postgres_database(postgres_server) as url:
        place = postgres_place(url)
        monkeypatch.setitem(sys.modules, "psycopg", None)
        registry = fastnn.registry.open(url, timeout=2)
        assert registry.list() == []
        versions: list[int] = []
        # The first saves make the tables.
        threads = [threading.Thread(target=lambda: versions.append(registry.save(model(1), "ü"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(versions) == [1, 2, 3, 4]
        assert registry.save(model(2), "ü", metrics={"a": 1}, query="SELECT 'ü'", notes="", aliases=["a"]) == 5
        assert file_of(registry.load("ü", "a")) == file_of(model(2))
        entry = registry.list("ü")[-1]
        assert (entry.aliases, entry.metrics, entry.query) == (("a",), {"a": 1}, "SELECT 'ü'")
        registry.alias("ü", "a", 1)
        assert registry.delete("ü", "latest") == 1
        assert registry.save(model(2), "ü") == 6
        with pytest.raises(ValueError, match="was deleted"):
            registry.load("ü", 5)
        place.run("CREATE UNIQUE INDEX once ON fastnn_models (notes) WHERE name = 'other'")
        registry.save(model(1), "other")
        with pytest.raises(TimeoutError, match=r"for 2 s; PostgreSQL says: .*duplicate key"):
            registry.save(model(1), "other")
        assert [each.name for each in registry.list()] == ["other", *["ü"] * 5]


@pytest.mark.parametrize(
    ("url", "hidden", "extra"),
    [
        ("postgresql://127.0.0.1/d", ("psycopg", "adbc_driver_postgresql"), "postgres"),
        ("mysql://127.0.0.1/d", ("pymysql",), "mysql"),
    ],
)
def test_a_missing_driver(url: str, hidden: tuple[str, ...], extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in hidden:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf'pip install "fastnn\[{extra}\]"'):
        fastnn.registry.open(url)


def test_what_is_no_place() -> None:
    with pytest.raises(ValueError, match=r"got the scheme 'postgress' \(did you mean 'postgresql'\?\)"):
        fastnn.registry.open(f"postgress://me:{SECRET}@host/d")
    for wrong in (None, 3, object(), ["m.db"]):
        with pytest.raises(TypeError, match="a registry is opened by a path, by sqlite:///"):
            fastnn.registry.open(wrong)
    with pytest.raises(ValueError, match="timeout must be seconds from 0"):
        fastnn.registry.open("m.db", timeout=-1)
    with pytest.raises(TypeError, match="timeout must be a number"):
        fastnn.registry.open("m.db", timeout="long")
    with pytest.raises(ValueError, match="without options"):
        fastnn.registry.open("sqlite:///m.db?mode=ro")


def test_a_server_that_went_away_and_came_back(place: Place) -> None:
    """Each thing that is done connects anew."""
    registry = fastnn.registry.open(place.url)
    registry.save(model(), "m")
    if place.kind == "postgres":
        place.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    elif place.kind == "mariadb":
        assert [row for row in place.run("SHOW PROCESSLIST") if row[7] is None] == []  # no connection is kept
    assert file_of(registry.load("m")) == file_of(model())
