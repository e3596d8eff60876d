"""Pictures, sounds, texts, JSON and XML in columns: their numbers, from every reader; and faults by name."""

from __future__ import annotations

import copy
import io
import json
import pickle
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.cli.parser import kinds
from fastnn.data import Audio, Image, Json, MongoDataset, SQLDataset, Text, Xml
from fastnn.databases.decoded import rule_of
from fastnn.kernels.text import hashes
from fastnn.layers import Concatenate, Conv2D, Dense, Embedding, Flatten, GlobalAveragePooling1D, Input, Rescaling
from fastnn.models import Model, Sequential, load_model
from support.database import connect
from support.servers import mysql_url

RNG = np.random.default_rng(8)
PIXELS = RNG.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
SOUNDS = RNG.integers(-(2**15), 2**15, (12, 40), dtype=np.int16)
TEXTS = ["Good, fine!", "bad", "", "ÉTÉ and\tmore\nwords of it", "漢字 a b", "x " * 30] * 2
DOCUMENTS = [{"a": {"b": i / 2}, "l": [i, i + 1, i + 2], "d": f"2026-01-{i + 1:02}", "t": TEXTS[i]} for i in range(12)]
XML = [f'<order n="{i}"><total currency="EUR"> {i / 4} </total></order>' for i in range(12)]
COLUMNS = {
    "photo": Image((6, 5, 3)),
    "clip": Audio(50),
    "review": Text(4),
    "doc": Json("a.b"),
    "tree": Xml("total"),
}


def png(pixels: np.ndarray, form: str = "PNG") -> bytes:
    image = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    image.fromarray(pixels).save(out, form)
    return out.getvalue()


def wav(numbers: np.ndarray, rate: int = 8000, channels: int = 1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(numbers.astype("<i2").tobytes())
    return out.getvalue()


def words(text: str, length: int, size: int = 10_000) -> list[float]:
    kept = "".join(c for c in text.lower() if c not in "!,")
    found = [float(number % (size - 1) + 1) for number in hashes(kept.split()).tolist()][:length]
    return found + [0.0] * (length - len(found))


def expected() -> np.ndarray:
    parts = [
        PIXELS.reshape(12, -1),
        np.pad(SOUNDS / 2**15, ((0, 0), (0, 10))),
        [words(text, 4) for text in TEXTS],
        np.arange(12)[:, None] / 2,
        np.arange(12)[:, None] / 4,
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")


def rows() -> list[tuple[Any, ...]]:
    return [(i, png(PIXELS[i]), wav(SOUNDS[i]), TEXTS[i], json.dumps(DOCUMENTS[i]), XML[i], i % 2) for i in range(12)]


def numbers_of(data: Any) -> np.ndarray:
    return np.concatenate([page.x for page in data.pages(5)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    con = connect(tmp_path / "m.db")
    con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, photo BLOB, clip BLOB, review TEXT, doc TEXT, tree TEXT, y)")
    con.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)", rows())
    con.commit()
    con.close()
    return tmp_path / "m.db"


FEATURES = "SELECT photo, clip, review, doc, tree, y FROM t ORDER BY id"


def check(data: Any) -> None:
    assert data.input_shape == (6 * 5 * 3 + 50 + 4 + 2,)
    np.testing.assert_allclose(numbers_of(data), expected(), rtol=1e-6)
    np.testing.assert_allclose(numbers_of(data), expected(), rtol=1e-6)


def test_sqlite(path: Path) -> None:
    with connect(path) as con:
        for source in (path, f"sqlite:///{path}", con):
            check(SQLDataset(FEATURES, source, target="y", columns=COLUMNS))


def test_duckdb_and_arrow(path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB: pip install duckdb")
    con = duckdb.connect()
    con.execute("CREATE TABLE t (id INT, photo BLOB, clip BLOB, review TEXT, doc JSON, tree TEXT, y INT)")
    con.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)", rows())
    check(SQLDataset(FEATURES, con, target="y", columns=COLUMNS))
    check(SQLDataset(None, con.sql(FEATURES), target="y", columns=COLUMNS))
    polars = pytest.importorskip("polars", reason="a writer of Arrow: pip install polars")
    names = ["id", "photo", "clip", "review", "doc", "tree", "y"]
    frame = polars.DataFrame(rows(), schema=names, orient="row").drop("id")
    check(SQLDataset(None, frame, target="y", columns=COLUMNS))


def test_postgresql(postgres: str) -> None:
    psycopg = pytest.importorskip("psycopg", reason="PostgreSQL's driver: pip install psycopg")
    with psycopg.connect(postgres, autocommit=True) as con:
        con.execute("CREATE TABLE t (id INT, photo BYTEA, clip BYTEA, review TEXT, doc JSONB, tree TEXT, y INT)")
        for row in rows():
            con.execute("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s)", row)
        check(SQLDataset(FEATURES, con, target="y", columns=COLUMNS))
        pytest.importorskip("adbc_driver_postgresql", reason="PostgreSQL's other driver")
        query = FEATURES.replace("doc,", "doc::TEXT AS doc,")
        check(SQLDataset(query, postgres, target="y", columns=COLUMNS))


def test_mariadb(mariadb: dict[str, Any]) -> None:
    import pymysql

    con = pymysql.connect(**mariadb, autocommit=True)
    con.cursor().execute(
        "CREATE TABLE t (id INT, photo BLOB, clip BLOB, review TEXT CHARACTER SET utf8mb4, doc JSON, tree TEXT, y INT)"
    )
    con.cursor().executemany("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s)", rows())
    for source in (con, mysql_url(mariadb)):
        check(SQLDataset(FEATURES, source, target="y", columns=COLUMNS))
    con.close()


def test_mongodb(mongodb: Any) -> None:
    names = ["_id", "photo", "clip", "review", "doc", "tree", "y"]
    mongodb.t.insert_many(dict(zip(names, row, strict=True)) for row in rows())
    check(MongoDataset(mongodb.t, fields=names[1:6], target="y", columns=COLUMNS))


# What they are


def data_of(path: Path, columns: dict[str, Any], name: str, **more: Any) -> SQLDataset:
    columns = {each: kind for each, kind in columns.items() if each == name} or columns
    return SQLDataset(f"SELECT {name}, y FROM t ORDER BY id", path, target="y", columns=columns, **more)


def test_a_dataset_of_one_column_has_its_shape(path: Path) -> None:
    assert data_of(path, COLUMNS, "photo").input_shape == (6, 5, 3)
    assert data_of(path, COLUMNS, "clip").input_shape == (50, 1)
    assert data_of(path, COLUMNS, "review").input_shape == (4,)
    assert data_of(path, COLUMNS, "doc").input_shape == (1,)
    assert data_of(path, {"doc": Json("l", "int32[3]")}, "doc").input_shape == (3,)


def test_the_words_of_rules() -> None:
    assert Image((28, 28, 1)) == "image[28,28,1]"
    assert Image([2, 3, 4], resize=True) == "image[2,3,4,resize]"
    assert Audio(8000) == "audio[8000]"
    assert Audio(8000, 16000) == "audio[8000,16000]"
    assert Text(length=80) == "text[80]"
    assert Text(80, 500) == "text[80,500]"
    assert Json("a.b") == "json[a.b]"
    assert Json("a.b", "date") == "json[a.b]:date"
    assert Xml("a/@b", Text(3)) == "xml[a/@b]:text[3]"
    kept = pickle.loads(pickle.dumps(str(Json("a", Image((1, 1, 1))))))
    assert kept == "json[a]:image[1,1,1]"


def test_rules_of_the_command() -> None:
    found = kinds("photo=image[28,28,1,resize], taken=date,doc=json[a.b]:float32[3]")
    assert found == {"photo": "image[28,28,1,resize]", "taken": "date", "doc": "json[a.b]:float32[3]"}


def test_pictures_of_other_forms_and_sizes(path: Path) -> None:
    grey = data_of(path, {"photo": Image((6, 5, 1))}, "photo")
    weights = np.array([299, 587, 114]) / 1000
    np.testing.assert_allclose(numbers_of(grey), (PIXELS @ weights).reshape(12, -1), atol=1)
    assert (numbers_of(data_of(path, {"photo": Image((6, 5, 4))}, "photo")).reshape(-1, 4)[:, 3] == 255).all()
    half = data_of(path, {"photo": Image((3, 5, 3), resize=True)}, "photo")
    np.testing.assert_allclose(
        numbers_of(half), (PIXELS[:, ::2] / 2.0 + PIXELS[:, 1::2] / 2.0).reshape(12, -1), rtol=1e-5
    )
    with pytest.raises(ValueError, match=r"column 'photo' holds a picture of 6x5 pixels in row 1 .* resize=True"):
        numbers_of(data_of(path, {"photo": Image((3, 5, 3))}, "photo"))
    with connect(path) as con:
        con.execute("UPDATE t SET photo = ? WHERE id = 0", (PIXELS[0].tobytes(),))
        con.execute("UPDATE t SET photo = ? WHERE id = 1", (png(PIXELS[1], "BMP"),))
        con.execute("UPDATE t SET photo = ? WHERE id = 2", (png(PIXELS[2], "GIF"),))
        con.commit()
    found = numbers_of(data_of(path, COLUMNS, "photo"))
    np.testing.assert_array_equal(found[:2], PIXELS[:2].reshape(2, -1))


def test_sounds_of_other_lengths_and_rates(path: Path) -> None:
    cut = numbers_of(data_of(path, {"clip": Audio(30)}, "clip"))
    np.testing.assert_allclose(cut, SOUNDS[:, :30] / 2**15)
    twice = numbers_of(data_of(path, {"clip": Audio(80, 16000)}, "clip"))
    assert np.isfinite(twice).all()
    assert (twice[:, 79] != 0).any()


def test_values_within_documents(path: Path) -> None:
    for kind, wanted in (
        (Json("l", "float32[3]"), [[i, i + 1, i + 2] for i in range(12)]),
        (Json("l.1"), [[i + 1] for i in range(12)]),
        (Json("d", "date"), [[20454 + i] for i in range(12)]),
        (Json("t", Text(3)), [words(text, 3) for text in TEXTS]),
    ):
        np.testing.assert_array_equal(numbers_of(data_of(path, {"doc": kind}, "doc")), np.array(wanted, np.float32))
    for kind, factor in ((Xml("total"), 0.25), (Xml("@n"), 1.0), (Xml("./total"), 0.25)):
        np.testing.assert_allclose(numbers_of(data_of(path, {"tree": kind}, "tree"))[:, 0], np.arange(12) * factor)


def test_what_is_not_there_is_null(path: Path) -> None:
    for name, kind in (("doc", Json("a.c")), ("doc", Json("l.7")), ("doc", Json("d.x")), ("tree", Xml("vat"))):
        with pytest.raises(ValueError, match=f"column '{name}' is NULL in row 1 of the query.*pass null="):
            numbers_of(data_of(path, {name: kind}, name))
        assert (numbers_of(data_of(path, {name: kind}, name, null=-1)) == -1).all()
    with connect(path) as con:
        con.execute("UPDATE t SET photo = NULL, clip = NULL WHERE id = 3")
        con.commit()
    for name in ("photo", "clip"):
        with pytest.raises(ValueError, match=f"column '{name}' is NULL in row 4"):
            numbers_of(data_of(path, COLUMNS, name))
        found = numbers_of(data_of(path, COLUMNS, name, null=0))
        assert (found[3] == 0).all()
        assert (found[4] != 0).any()


# Faults


@pytest.mark.parametrize(
    ("name", "kind", "value", "says"),
    [
        ("photo", Image((6, 5, 3)), b"\x89PNG broken", "cannot be decoded; .* leave it out"),
        ("photo", Image((6, 5, 3)), "text", r"column 'photo' holds text \('text'\) in row 3"),
        ("photo", Image((6, 5, 3)), 7, "column 'photo' holds a int in row 3"),
        ("photo", Image((6, 5, 3)), b"", "column 'photo' in row 3 of the query holds a picture that cannot be decoded"),
        ("clip", Audio(8), b"RIFF", "column 'clip' in row 3 of the query holds a sound that is no WAV file"),
        ("clip", Audio(8), 0.5, "column 'clip' holds a float in row 3"),
        ("review", Text(8), b"\xff\xfe", "column 'review' holds text that is not UTF-8 in row 3"),
        ("doc", Json("a.b"), "{a: 1}", "column 'doc' holds what is no JSON: .* in row 3"),
        ("doc", Json("a.b"), "[" * 100_000, "column 'doc' holds what is no JSON"),
        ("doc", Json("a.b"), '{"a": {"b": "x"}}', r"column 'doc' holds text \('x'\) in row 3"),
        ("doc", Json("a.b"), '{"a": {"b": [1]}}', "column 'doc' holds a list in row 3"),
        ("doc", Json("a.b"), '{"a": {"b": 1e39}}', "beyond float32's range"),
        ("tree", Xml("total"), "<order>", "column 'tree' holds what is no XML: .* in row 3"),
        (
            "tree",
            Xml("total"),
            "<o><total>many</total></o>",
            "the text 'many' at 'total', which is no number, in row 3",
        ),
        ("tree", Xml("total"), '<!DOCTYPE o [<!ENTITY a "b">]><o/>', "declares entities, which are not read in row 3"),
    ],
)
def test_faults_are_named(path: Path, name: str, kind: str, value: Any, says: str) -> None:
    png(PIXELS[0])
    with connect(path) as con:
        con.execute(f"UPDATE t SET {name} = ? WHERE id = 2", (value,))
        con.commit()
    with pytest.raises(ValueError, match=says):
        numbers_of(data_of(path, {name: kind}, name))


@pytest.mark.parametrize("name", ["photo", "clip", "doc", "tree"])
def test_any_damage_is_an_error_that_names_its_row(name: str) -> None:
    raw = {"photo": lambda: png(PIXELS[0]), "clip": lambda: wav(SOUNDS[0]), "doc": lambda: b'{"a": {"b": 1}}'}
    whole = raw.get(name, lambda: XML[0].encode())()
    rule = rule_of(name, Audio(50, 16000) if name == "clip" else COLUMNS[name])
    rng, said = np.random.default_rng(7), []
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.integers(1, 5)):
            place, change = int(rng.integers(len(damaged) + 1)), rng.integers(4)
            if change == 0:
                damaged[place : place + 1] = rng.bytes(1)
            elif change == 1:
                del damaged[place:]
            elif change == 2:
                damaged[place:place] = rng.bytes(3)
            else:
                del damaged[place : place + 2]
        values = np.empty(1, object)
        values[0] = bytes(damaged)
        try:
            kept, _, _ = rule.numbers(values, 5, [], -1.0)
        except ValueError as error:
            said.append(str(error))
        else:
            assert np.isfinite(kept).all()
    assert said
    assert all(f"'{name}'" in each and "row 5" in each for each in said)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Image((3, 3)), "shape must be"),
        (lambda: Image((3, 3, 2)), "1, 3 or 4 channels"),
        (lambda: Image((0, 3, 1)), "at least 1"),
        (lambda: Audio(0), "at least 1"),
        (lambda: Audio(5, 0), "at least 1"),
        (lambda: Text(3, 1), "at least 2"),
        (lambda: Json(""), "path must be"),
        (lambda: Json("a]"), "path must be"),
        (lambda: Json("a", "time"), "must be a vector"),
    ],
)
def test_what_rules_refuse(make: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize(
    "kind",
    "image[3,3] image[3,3,2] image[a] image[] audio[] audio[1,2,3] json[] text[0]".split(),  # noqa: SIM905
)
def test_texts_that_are_no_rule(path: Path, kind: str) -> None:
    with pytest.raises(ValueError, match=r"columns\['photo'\]|Image|Text"):
        data_of(path, {"photo": kind}, "photo")


def test_two_channels_are_refused(path: Path) -> None:
    with connect(path) as con:
        con.execute("UPDATE t SET clip = ? WHERE id = 0", (wav(SOUNDS[0], channels=2),))
        con.commit()
    with pytest.raises(ValueError, match="column 'clip' holds a sound of 2 channels in row 1"):
        numbers_of(data_of(path, COLUMNS, "clip"))


# Models


@pytest.fixture
def shades(tmp_path: Path) -> Path:
    """Pictures whose class is which half is bright, and texts of good and bad words."""
    con = connect(tmp_path / "s.db")
    con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, photo BLOB, review TEXT, y INT)")
    rng = np.random.default_rng(1)
    for i in range(200):
        pixels = rng.integers(0, 60, (8, 8, 1), dtype=np.uint8)
        pixels[:, (slice(0, 4), slice(4, 8))[i % 2]] += 150
        review = " ".join(rng.choice([["bad", "awful", "the"], ["good", "fine", "the"]][i % 2], 6))
        con.execute("INSERT INTO t VALUES (?, ?, ?, ?)", (i, png(pixels[..., 0]), review, i % 2))
    con.commit()
    con.close()
    return tmp_path / "s.db"


def test_a_convolutional_model_from_blobs(shades: Path, tmp_path: Path) -> None:
    fastnn.set_random_seed(1)
    rules = {"photo": Image((8, 8, 1))}
    data = SQLDataset("SELECT id, photo, y FROM t", shades, target="y", key="id", columns=rules)
    train, validation = data.split(0.3)
    model = Sequential(
        [Input((8, 8, 1)), Rescaling(1 / 255), Conv2D(4, 3, activation="relu"), Flatten(), Dense(1, "sigmoid")]
    )
    model.compile(fastnn.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    model.fit(train, epochs=8, validation_data=validation, verbose=0)
    assert model.evaluate(validation, verbose=0)[1] > 0.95
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    expected = model.predict(data)
    np.testing.assert_array_equal(again.predict(data), expected)
    found = [rows for _, rows in again.predict_iter("SELECT id, photo FROM t", shades, key="id")]
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_texts_and_pictures_side_by_side(shades: Path) -> None:
    fastnn.set_random_seed(1)
    photo, review = Input((8, 8, 1), name="photo"), Input((6,), name="review")
    left = Flatten()(Rescaling(1 / 255)(photo))
    right = GlobalAveragePooling1D()(Embedding(100, 4)(review))
    model = Model([photo, review], Dense(1, "sigmoid")(Concatenate()([left, right])))
    model.compile(fastnn.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    rules = {"photo": Image((8, 8, 1)), "review": Text(6, 100)}
    data = SQLDataset("SELECT review, photo, y FROM t", shades, target="y", columns=rules)
    model.fit(data, epochs=10, verbose=0)
    assert model.evaluate(data, verbose=0)[1] > 0.95


def test_copies_caches_and_parts(path: Path) -> None:
    data = SQLDataset(
        "SELECT id, photo, y FROM t", path, target="y", key="id", columns={"photo": COLUMNS["photo"]}, cache=True
    )
    whole = numbers_of(data)
    np.testing.assert_array_equal(numbers_of(pickle.loads(pickle.dumps(data))), whole)
    np.testing.assert_array_equal(numbers_of(copy.deepcopy(data)), whole)
    np.testing.assert_array_equal(numbers_of(data), whole)
    some = SQLDataset(
        "SELECT photo, y FROM t", path, features=["photo.3", "photo.1"], columns={"photo": COLUMNS["photo"]}
    )
    np.testing.assert_array_equal(numbers_of(some), whole[:, [3, 1]])
    fastnn.data.clear_cache()
