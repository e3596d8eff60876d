"""fastnn.registry in each database: what is saved comes back, and all that may be asked for wrongly is refused."""

from __future__ import annotations

import hashlib
import math
from contextlib import closing
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.data import SQLDataset
from fastnn.layers import Dense, Input, Normalization
from fastnn.models import Sequential
from fastnn.registry import database
from fastnn.store import versions
from fastnn.utils import FeatureSpace
from support.database import connect
from support.registries import Place, file_of, model


def test_a_model_comes_back_to_the_bit(place: Place) -> None:
    first, second = model(1), model(2, units=5)
    with fastnn.registry.open(place.url) as registry:
        assert registry.list() == []
        assert registry.save(first, "churn") == 1
        assert registry.save(second, "churn") == 2
        assert registry.save(second, "other") == 1
    registry = fastnn.registry.open(place.url)
    for version, each in ((1, first), (2, second), ("latest", second)):
        loaded = registry.load("churn", version)
        assert file_of(loaded) == file_of(each)
        x = np.random.default_rng(0).normal(size=(7, 4))
        np.testing.assert_array_equal(loaded.predict(x), each.predict(x))
    assert file_of(registry.load("churn")) == file_of(second) != file_of(first)
    # It goes on as the first one does: the optimizer's state is there too.
    loaded, x = registry.load("churn", 1), np.ones((4, 4))
    for each in (loaded, first):
        each.fit(x, np.arange(4), epochs=2, verbose=0, shuffle=False)
    assert file_of(loaded) == file_of(first)


def test_the_bytes_are_those_of_a_file(place: Place) -> None:
    registry = fastnn.registry.open(place.url)
    registry.save(model(), "m")
    rows = place.run("SELECT bytes FROM fastnn_model_parts ORDER BY part")
    assert b"".join(bytes(row[0]) for row in rows) == file_of(model())


@pytest.mark.parametrize("part", [1000, 2**20])
def test_a_model_of_several_parts(place: Place, part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PART", part)
    large = Sequential([Input((600,)), Dense(900 if part > 1000 else 2)])
    registry = fastnn.registry.open(place.url)
    assert registry.save(large, "large") == 1
    [(count,)] = place.run("SELECT count(*) FROM fastnn_model_parts")
    assert count == -(-len(file_of(large)) // part) > 2
    assert file_of(registry.load("large")) == file_of(large)


def test_what_is_told_of_a_version(place: Place) -> None:
    registry = fastnn.registry.open(place.url)
    before = datetime.now(UTC)
    con = connect(":memory:")
    con.execute('CREATE TABLE t ("a b", "ü", y)')
    con.executemany("INSERT INTO t VALUES (?, ?, ?)", [(1, 2, 3), (4, 5, 6)])
    query = 'SELECT * FROM t -- it\'s 100 % "right"; é 😀 ? %s $1'
    trained = Sequential([Normalization(), Dense(1)])
    trained.compile("sgd", "mse")
    trained.fit(SQLDataset("SELECT * FROM t", con, target="y"), epochs=1, verbose=0)
    metrics = {"loss": np.float32(0.5), "each": np.arange(3), "nan": math.nan, "texts": {"ü": ["x", None, True]}}
    registry.save(
        trained, "m", metrics=metrics, query=query, statistics={"mean": [1.5, 2**60]}, notes="näher 'an'\n", aliases="a"
    )
    registry.save(model(), "m", aliases=["b", "a", "c"])
    registry.save(model(), "l")
    other, first, second = registry.list()
    assert (other.name, first.name, second.name) == ("l", "m", "m")
    assert (other.version, first.version, second.version) == (1, 1, 2)
    assert (first.aliases, second.aliases, other.aliases) == ((), ("a", "b", "c"), ())
    assert before <= first.created <= second.created <= datetime.now(UTC)
    assert first.created.utcoffset().total_seconds() == 0
    assert math.isnan(first.metrics.pop("nan"))
    assert first.metrics == {"loss": 0.5, "each": [0, 1, 2], "texts": {"ü": ["x", None, True]}}
    assert (first.query, second.query) == (query, None)
    assert (first.feature_names, second.feature_names) == (("a b", "ü"), ())
    assert first.statistics == {"mean": [1.5, 2**60]}
    assert (first.notes, second.notes, second.metrics, second.statistics) == ("näher 'an'\n", "", {}, {})
    data = file_of(trained)
    assert (first.size, first.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert first.fastnn_version == fastnn.__version__
    assert registry.list("m") == registry.list()[1:]
    assert registry.list("n") == []
    assert registry.load("m", 1).feature_names == ("a b", "ü")


def test_aliases_move(place: Place) -> None:
    registry = fastnn.registry.open(place.url)
    for seed in (1, 2, 3):
        registry.save(model(seed), "m")
    registry.save(model(4), "n", aliases=["prod"])
    registry.alias("m", "prod", 1)
    registry.alias("m", "old", "prod")
    assert file_of(registry.load("m", "prod")) == file_of(model(1))
    registry.alias("m", "prod", "latest")
    assert file_of(registry.load("m", "prod")) == file_of(model(3))
    assert file_of(registry.load("m", "old")) == file_of(model(1))
    assert file_of(registry.load("n", "prod")) == file_of(model(4))
    registry.save(model(5), "m", aliases=["old"])
    assert [each.aliases for each in registry.list()] == [(), (), ("prod",), ("old",), ("prod",)]
    registry.alias("m", "prod", None)
    with pytest.raises(ValueError, match=r"^'m' has no alias 'prod'; its aliases are 'old'$"):
        registry.load("m", "prod")
    with pytest.raises(ValueError, match="has no alias 'prod'"):
        registry.alias("m", "prod", None)
    with pytest.raises(ValueError, match="version 9 of 'm' was never saved; there are 1, 2, 3, 4"):
        registry.alias("m", "prod", 9)
    assert file_of(registry.load("n", "prod")) == file_of(model(4))


def test_a_number_is_never_given_twice(place: Place) -> None:
    registry = fastnn.registry.open(place.url)
    for version in (1, 2, 3):
        assert (
            registry.save(model(version), "m", aliases=[f"v{version}"], query="SELECT 1", metrics={"a": 1}) == version
        )
    registry.save(model(), "n")
    assert registry.delete("m", 3) == 1
    assert registry.save(model(4), "m") == 4
    assert registry.delete("m", "v1") == 1
    assert [each.version for each in registry.list("m")] == [2, 4]
    with pytest.raises(ValueError, match=r"version 3 of 'm' was deleted at 20\d\d-.*; there are 2, 4$"):
        registry.load("m", 3)
    with pytest.raises(ValueError, match="was deleted"):
        registry.delete("m", 1)
    with pytest.raises(ValueError, match=r"no alias 'v1'; its aliases are 'v2'"):
        registry.load("m", "v1")
    assert file_of(registry.load("m")) == file_of(model(4))
    assert registry.delete("m") == 2
    assert [each.name for each in registry.list()] == ["n"]
    with pytest.raises(ValueError, match=r"no model 'm' in .*; it has 'n'"):
        registry.load("m")
    with pytest.raises(ValueError, match="no model 'm'"):
        registry.delete("m")
    assert registry.save(model(5), "m") == 5
    assert file_of(registry.load("m")) == file_of(model(5))
    # Nothing of the others is left but that they were.
    assert place.run("SELECT DISTINCT version FROM fastnn_model_parts WHERE name = 'm'") == [(5,)]
    assert place.run("SELECT metrics, query FROM fastnn_models WHERE name = 'm' AND version < 5") == [("{}", "")] * 4
    assert place.run("SELECT * FROM fastnn_model_aliases") == []


def test_unknown_names_versions_and_aliases(place: Place) -> None:
    registry = fastnn.registry.open(place.url)
    for call in (registry.load, registry.delete, lambda name: registry.alias(name, "a", 1)):
        with pytest.raises(ValueError, match=r"^no model 'churn' in .*, which has no models yet$"):
            call("churn")
    registry.save(model(), "churn", aliases=["production"])
    with pytest.raises(ValueError, match=r"no model 'chrun' in .* \(did you mean 'churn'\?\); it has 'churn'"):
        registry.load("chrun")
    with pytest.raises(ValueError, match=r"no alias 'produktion' \(did you mean 'production'\?\)"):
        registry.load("churn", "produktion")
    for version in (0, -1, 2**63):
        with pytest.raises(ValueError, match="version must be at"):
            registry.load("churn", version)
    for wrong in (1.0, True, None, b"1"):
        with pytest.raises(TypeError, match="version must be a whole number"):
            registry.load("churn", wrong)
    assert registry.load("churn", np.int64(1)) is not None
    for number in range(30):
        registry.save(model(), f"m{number:02}")
    with pytest.raises(ValueError, match=r"it has 'churn', 'm00', .*'m08' and more$"):
        registry.load("zzz")


HOSTILE = [
    "o'hara",
    'a"b',
    "`select`",
    "[x]; DROP TABLE fastnn_models; --",
    "100 %s %d %%",
    "? ?1 :a $1 @x",
    "\\'\\",
    "a\nb\tc",
    "\xdcber",
    "U\u0308ber",  # the same on a screen
    "\xfcber",
    "uber",
    "churn",
    "Churn",
    "😀" * 255,
    "名前",
    "\u200bname",
    "%",
    "_",
    "NULL",
]


def test_any_text_is_a_name(place: Place) -> None:
    registry = fastnn.registry.open(place.url)
    made = model()
    for number, name in enumerate(HOSTILE):
        assert registry.save(made, name, notes=name, query=name, aliases=[name] + ["a"] * (number % 2)) == 1
    entries = registry.list()
    assert [each.name for each in entries] == sorted(HOSTILE)
    for each in entries:
        number = HOSTILE.index(each.name)
        assert (each.notes, each.query, each.aliases) == (
            each.name,
            each.name,
            tuple(sorted({each.name, *["a"] * (number % 2)})),
        )
    for name in HOSTILE:
        assert registry.load(name, name) is not None
        assert registry.save(made, name) == 2
    for name in HOSTILE[::2]:
        assert registry.delete(name) == 2
    assert [each.name for each in registry.list()] == sorted(HOSTILE[1::2] * 2)


@pytest.mark.parametrize("name", ["", " a", "a ", "\ta", "a" * 256, "a\0b", "\ud800"])
def test_what_is_no_name(name: str, tmp_path: Any) -> None:
    registry = fastnn.registry.open(tmp_path / "m.db")
    for call in (
        lambda: registry.save(model(), name),
        lambda: registry.load(name),
        lambda: registry.list(name),
        lambda: registry.delete(name),
        lambda: registry.alias("m", name, 1),
        lambda: registry.alias(name, "a", 1),
        lambda: registry.save(model(), "m", aliases=[name]),
    ):
        with pytest.raises(ValueError, match="must be"):
            call()
    assert not (tmp_path / "m.db").exists()


def test_what_cannot_be_saved(tmp_path: Any) -> None:
    registry = fastnn.registry.open(tmp_path / "m.db")
    made = model()
    for wrong in (None, "m", object(), [made]):
        with pytest.raises(TypeError, match=r"model must be a fastnn\.models\.Model, got"):
            registry.save(wrong, "m")
    with pytest.raises(RuntimeError, match="save"):
        registry.save(Sequential([Dense(1)]), "m")
    for name in (None, 1, b"m"):
        with pytest.raises(TypeError, match="name must be a string"):
            registry.save(made, name)
    for alias in ("latest", "1", "٣"):
        with pytest.raises(ValueError, match="an alias must be neither 'latest' nor a number"):
            registry.save(made, "m", aliases=[alias])
    with pytest.raises(TypeError, match="aliases must be a list of texts"):
        registry.save(made, "m", aliases=3)
    for given in (3, [("a", 1)]):
        with pytest.raises(TypeError, match="metrics must be a dict of names and values"):
            registry.save(made, "m", metrics=given)
    with pytest.raises(TypeError, match="statistics cannot be written as JSON: it must be made of numbers"):
        registry.save(made, "m", statistics={"a": object()})
    with pytest.raises(TypeError, match="a name in metrics must be a string, got 1"):
        registry.save(made, "m", metrics={1: 2})
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(ValueError, match="metrics cannot be written as JSON"):
        registry.save(made, "m", metrics=endless)
    with pytest.raises(TypeError, match="query must be a string"):
        registry.save(made, "m", query=3)
    assert not (tmp_path / "m.db").exists()


def test_own_functions_and_compile(place: Place) -> None:
    def far(y_true: Any, y_pred: Any) -> Any:
        return np.mean(np.abs(y_true - y_pred), axis=-1)

    made = Sequential([Input((2,)), Dense(1)])
    made.compile("sgd", "mse", metrics=[far])
    registry = fastnn.registry.open(place.url)
    registry.save(made, "m")
    with pytest.raises(ValueError, match=r"^version 1 of 'm' cannot be loaded: .*far"):
        registry.load("m")
    assert registry.load("m", custom_objects={"far": far}).predict(np.ones((1, 2))).shape == (1, 1)
    assert registry.load("m", compile=False).predict(np.ones((1, 2))).shape == (1, 1)


def test_a_feature_space(tmp_path: Any) -> None:
    registry = fastnn.registry.open(tmp_path / "m.db")
    space = FeatureSpace({"a": "float_normalized"})
    space.adapt({"a": np.arange(8.0)})
    registry.save(space, "space")
    rows = {"a": np.array([3.0])}
    np.testing.assert_array_equal(registry.load("space")(rows), space(rows))


def altered(place: Place, change: Any) -> None:
    """Change the bytes of the first part of version 1 of m."""
    [(data,)] = place.run("SELECT bytes FROM fastnn_model_parts WHERE name = 'm' AND version = 1 AND part = 0")
    data = change(bytearray(data))
    place.run("UPDATE fastnn_model_parts SET bytes = ? WHERE name = 'm' AND version = 1 AND part = 0", bytes(data))


def flip(data: bytearray) -> bytearray:
    data[len(data) // 2] ^= 1
    return data


@pytest.mark.parametrize("change", [flip, lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""], ids=str)
def test_damaged_bytes_are_found(place: Place, change: Any) -> None:
    registry = fastnn.registry.open(place.url)
    registry.save(model(1), "m")
    registry.save(model(2), "m")
    altered(place, change)
    with pytest.raises(ValueError, match=r"^version 1 of 'm' is damaged in .*: expected .* bytes .*; load another"):
        registry.load("m", 1)
    assert file_of(registry.load("m", 2)) == file_of(model(2))
    assert len(registry.list()) == 2


def test_lost_and_foreign_parts_are_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PART", 1000)
    registry = fastnn.registry.open(place.url)
    for seed in (1, 2, 3):
        registry.save(model(seed), "m")
    place.run("DELETE FROM fastnn_model_parts WHERE version = 1 AND part = 1")
    place.run("DELETE FROM fastnn_model_parts WHERE version = 2")
    place.run("INSERT INTO fastnn_model_parts (name, version, part, bytes) VALUES (?, 3, 999, ?)", "m", b"more")
    for version in (1, 2):
        with pytest.raises(ValueError, match=f"version {version} of 'm' is damaged"):
            registry.load("m", version)
    assert file_of(registry.load("m", 3)) == file_of(model(3))


def put(place: Place, data: bytes) -> None:
    """Have these bytes be version 1 of m, with the checksum that they have."""
    altered(place, lambda _: data)
    place.run("UPDATE fastnn_models SET size = ?, sha256 = ?", len(data), hashlib.sha256(data).hexdigest())


def test_what_is_no_model_of_this_version(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = fastnn.registry.open(place.url)
    registry.save(model(), "m")
    with monkeypatch.context() as later:
        later.setitem(versions.VERSIONS, versions.MODEL, versions.VERSION + 1)
        newer = file_of(model())
    put(place, newer)
    with pytest.raises(ValueError, match=r"version 1 of 'm' cannot be loaded: .*a newer version of fastnn wrote it"):
        registry.load("m")
    put(place, b"import os; os.abort()")
    with pytest.raises(ValueError, match="version 1 of 'm' cannot be loaded: "):
        registry.load("m")
    weights = BytesIO()
    np.save(weights, np.array([{}], object), allow_pickle=True)
    put(place, weights.getvalue())
    with pytest.raises(ValueError, match="version 1 of 'm' cannot be loaded: "):
        registry.load("m")
    place.run("UPDATE fastnn_models SET metrics = ?", "{")
    with pytest.raises(ValueError, match="what the registry says of version 1 of 'm' was altered: "):
        registry.list()


def test_a_table_of_that_name_is_left_alone(place: Place) -> None:
    place.run("CREATE TABLE fastnn_models (name VARCHAR(20), version INTEGER, price INTEGER)")
    place.run("INSERT INTO fastnn_models VALUES ('mine', 1, 7)")
    with pytest.raises(ValueError, match=r"has a table 'fastnn_models' that is not a registry's: it has no column "):
        fastnn.registry.open(place.url)
    assert place.run("SELECT * FROM fastnn_models") == [("mine", 1, 7)]
    place.run("DROP TABLE fastnn_models")
    registry = fastnn.registry.open(place.url)
    assert registry.save(model(), "m") == 1
    place.run("ALTER TABLE fastnn_models ADD COLUMN more INTEGER")  # as a later fastnn may do
    again = fastnn.registry.open(place.url)
    assert again.save(model(), "m") == 2
    assert [each.version for each in again.list()] == [1, 2]


def test_tables_made_after_opening_and_dropped(place: Place) -> None:
    first, second = fastnn.registry.open(place.url), fastnn.registry.open(place.url)
    assert first.list() == second.list() == []
    assert first.save(model(), "m") == 1
    assert second.save(model(), "m") == 2
    for table in ("fastnn_models", "fastnn_model_parts", "fastnn_model_aliases"):
        place.run(f"DROP TABLE {table}")
    assert first.list() == []
    assert [first.save(model(), "m"), second.save(model(), "m")] == [1, 2]
    place.run("DROP TABLE fastnn_model_parts")
    with pytest.raises(ValueError, match="no models yet"):
        first.load("m")
    assert first.save(model(), "m") == 3
    with pytest.raises(ValueError, match="version 1 of 'm' is damaged"):
        first.load("m", 1)


def test_a_closed_registry(place: Place) -> None:
    with fastnn.registry.open(place.url) as registry:
        registry.save(model(), "m")
        assert not repr(registry).endswith(", closed>")
    registry.close()
    assert repr(registry).endswith(", closed>")
    for call in (
        lambda: registry.save(model(), "m"),
        lambda: registry.load("m"),
        lambda: registry.list(),
        lambda: registry.alias("m", "a", 1),
        lambda: registry.delete("m"),
    ):
        with pytest.raises(ValueError, match="the registry is closed; open it again"):
            call()
    with closing(place.connect()) as con, fastnn.registry.open(con) as registry:
        assert len(registry.list()) == 1
        registry.close()
        assert con.cursor().execute("SELECT 1") is not None


def test_import_fastnn_does_not_pay_for_it() -> None:
    import subprocess
    import sys

    code = "import sys, fastnn; assert 'fastnn.registry' not in sys.modules; assert fastnn.registry.open; " + (
        "assert not {'sqlite3', 'psycopg', 'pymysql'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
