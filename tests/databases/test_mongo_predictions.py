"""Predictions as documents of MongoDB: of its own documents, of a query's rows, and from it into SQL."""

from __future__ import annotations

import datetime
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pymongo = pytest.importorskip("pymongo", reason="MongoDB's driver: pip install pymongo")
import bson  # noqa: E402

from fastnn.data import MongoDataset, write_predictions  # noqa: E402
from fastnn.databases import staged  # noqa: E402
from fastnn.layers import Concatenate, Dense, Input, StringLookup  # noqa: E402
from fastnn.models import Model, Sequential  # noqa: E402
from support.database import connect  # noqa: E402

IDS: list[Any] = [
    bson.ObjectId(), 5, bson.Int64(2**40), 2.5, "text", "", b"binary", bson.Binary(b"x", 4 + 0x80), True,
    {"a": 1, "b": [2]}, datetime.datetime(2026, 1, 2, 3, 4, 5), bson.Decimal128("1.50"), "é\0",
    -0.25, bson.Timestamp(3, 4),
]  # fmt: skip


def double(x: np.ndarray) -> np.ndarray:
    return 2 * x[:, :1]


def fill(collection: Any) -> None:
    collection.insert_many([{"_id": key, "a": place, "b": 1.0} for place, key in enumerate(IDS)])


def test_of_documents_into_documents(mongodb: Any) -> None:
    fill(mongodb.t)
    before = list(mongodb.t.find())
    told: dict[str, Any] = {
        "into": "p",
        "key": "_id",
        "kind": "values",
        "names": ["a", "b"],
        "model": "m",
        "version": 3,
    }
    assert write_predictions(double, None, mongodb.t, **told) == len(IDS)
    found = {repr(each["_id"]): each for each in mongodb.p.find()}
    for each in before:
        document = found.pop(repr(each["_id"]))
        assert list(document) == ["_id", "prediction", "model", "model_version", "predicted_at"]
        assert (document["prediction"], document["model"], document["model_version"]) == (2 * each["a"], "m", "3")
        assert type(document["predicted_at"]) is datetime.datetime
    assert not found
    assert list(mongodb.t.find()) == before
    assert sorted(mongodb.list_collection_names()) == ["p", "t"]


def test_modes(mongodb: Any) -> None:
    mongodb.t.insert_many([{"_id": number, "a": number} for number in range(10)])
    how: dict[str, Any] = {"into": "p", "key": "_id", "kind": "values"}

    def run(where: Any = None, **more: Any) -> int:
        return write_predictions(double, where, mongodb.t, **{**how, **more})

    with pytest.raises(ValueError, match="the query reads the collection 't'"):
        run(into="t", mode="replace")
    assert run({"_id": {"$lt": 4}}, mode="upsert") == 4
    with pytest.raises(ValueError, match="the database already has 'p'; predictions go into a new collection only"):
        run()
    mongodb.p.update_one({"_id": 2}, {"$set": {"prediction": -1.0, "note": "mine"}})
    assert run({"_id": {"$gt": 1}}, mode="upsert", model="later") == 8
    assert [each["prediction"] for each in mongodb.p.find(sort=[("_id", 1)])] == [2.0 * number for number in range(10)]
    assert mongodb.p.find_one({"_id": 2})["note"] == "mine"
    assert [each["model"] for each in mongodb.p.find(sort=[("_id", 1)])] == [None] * 2 + ["later"] * 8
    assert run([{"$match": {"a": 3}}], mode="replace") == 1
    assert [each["_id"] for each in mongodb.p.find()] == [3]
    assert run({"a": -1}, mode="replace", names=["a"]) == 0
    assert mongodb.list_collection_names(filter={"name": "p"}) == ["p"]
    mongodb.other.insert_one({"a": 1})
    for mode in ("replace", "upsert"):
        with pytest.raises(ValueError, match="'other' has documents of '_id', 'a', not of these predictions"):
            run(into="other", mode=mode)
    for name in ("$a", "a..b", ".a"):
        with pytest.raises(ValueError, match="the predictions cannot be written; MongoDB says: collection names"):
            run(into=name)


def test_a_model_of_a_dataset(mongodb: Any, mongodb_url: str) -> None:
    x = np.random.default_rng(0).standard_normal((300, 3))
    mongodb.t.insert_many([{"in": {"a": row[0], "b": row[1:].tolist()}, "y": int(row[0] > 0)} for row in x])
    data = MongoDataset(mongodb.t, target="y")
    model = Sequential([Dense(4, "relu"), Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.fit(data, epochs=1, verbose=0)
    url = f"{mongodb_url.rstrip('/')}/{mongodb.name}.t"
    assert model.predict_sql(None, url, into="p", key="_id") == 300
    ids = [each["_id"] for each in mongodb.t.find(sort=[("_id", 1)])]
    p = model.predict(data)[:, 0]
    for key, expected in zip(ids, p.tolist(), strict=True):
        found = mongodb.p.find_one({"_id": key})
        assert found["prediction"] == int(expected > 0.5)
        assert found["probability"] == pytest.approx(max(expected, 1 - expected), abs=1e-6)
    keys, outputs = next(model.predict_iter({"y": 1}, mongodb.t, key="_id"))
    assert keys == [str(each["_id"]) for each in mongodb.t.find({"y": 1}, sort=[("_id", 1)])]
    assert len(outputs) == len(keys)
    mongodb.t.update_many({}, {"$unset": {"in.a": 1}})
    with pytest.raises(ValueError, match=r"field 'in\.a' is missing in document 1"):
        model.predict_sql(None, mongodb.t, into="q", key="_id")


def test_of_documents_into_sql_and_back(mongodb: Any, tmp_path: Path) -> None:
    keys = [bson.ObjectId() for _ in range(3)]
    mongodb.t.insert_many([{"_id": key, "a": place} for place, key in enumerate(keys)])
    file = tmp_path / "a.db"
    with closing(connect(file)) as connection:
        connection.execute("CREATE TABLE t (id TEXT, a REAL)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [("x", 1), ("é", 2), ("z", 3)])
        connection.commit()
    how: dict[str, Any] = {"into": "p", "kind": "values"}
    assert write_predictions(double, None, mongodb.t, key="_id", to=file, **how) == 3
    with closing(connect(file)) as connection:
        assert connection.execute("SELECT _id, prediction FROM p").fetchall() == [
            (str(k), 2 * i) for i, k in enumerate(keys)
        ]
    assert write_predictions(double, "SELECT id, a FROM t", file, key="id", to=mongodb, **how) == 3
    assert {each["_id"]: each["prediction"] for each in mongodb.p.find()} == {"x": 2, "é": 4, "z": 6}
    mongodb.t.insert_one({"_id": {"a": 1}, "a": 1})
    with pytest.raises(ValueError, match=r"the key '_id' is {'a': 1}; make it a text or a number in a pipeline"):
        write_predictions(double, None, mongodb.t, key="_id", to=file, mode="replace", **how)
    with pytest.raises(TypeError, match="leave params out"):
        write_predictions(double, None, mongodb.t, key="_id", params=[1], **how)


def test_a_model_that_reads_texts(mongodb: Any) -> None:
    mongodb.t.insert_many([{"_id": i, "s": "xyz"[i % 3], "a": i / 10, "y": float(i)} for i in range(50)])
    s, a = Input((1,), dtype="string", name="s"), Input((1,), name="a")
    known = StringLookup(vocabulary=["x", "y"], output_mode="one_hot")
    model = Model({"s": s, "a": a}, Dense(1)(Concatenate()([known(s), a])))
    model.compile("sgd", "mse")
    data = MongoDataset(mongodb.t, target="y")
    model.fit(data, epochs=1, verbose=0)
    assert model.predict_sql(None, mongodb.t, into="p", key="_id") == 50
    found = [each["prediction"] for each in mongodb.p.find(sort=[("_id", 1)])]
    np.testing.assert_allclose(found, model.predict(data)[:, 0], rtol=1e-6)
    mongodb.t.update_one({"_id": 7}, {"$set": {"s": 5}})
    with pytest.raises(TypeError, match="column 's' of the query must hold text, got 5 at row 8"):
        model.predict(MongoDataset(mongodb.t, target="y"))


def test_a_blob_is_a_key_as_it_is(mongodb: Any, tmp_path: Path) -> None:
    keys = [bson.encode({"": 5}), b"", b"\xff"]
    with closing(connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE t (id BLOB, a REAL)")
        connection.executemany("INSERT INTO t VALUES (?, 1)", [(key,) for key in keys])
        connection.commit()
    write_predictions(double, "SELECT * FROM t", tmp_path / "a.db", into="p", key="id", kind="values", to=mongodb)
    assert sorted(each["_id"] for each in mongodb.p.find()) == sorted(keys)


def test_what_others_write_meanwhile_is_not_overwritten(mongodb: Any) -> None:
    mongodb.t.insert_one({"_id": 1, "a": 1})

    def predict(x: np.ndarray) -> np.ndarray:
        mongodb.p.insert_one({"_id": "theirs"})
        return double(x)

    rename, raced = pymongo.collection.Collection.rename, []

    def late(self: Any, *given: Any, **more: Any) -> Any:
        mongodb.q.insert_one({"_id": "theirs"})
        raced.append(1)
        return rename(self, *given, **more)

    how: dict[str, Any] = {"key": "_id", "kind": "values"}
    with pytest.raises(ValueError, match="the database already has 'p'"):
        write_predictions(predict, None, mongodb.t, into="p", **how)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pymongo.collection.Collection, "rename", late)
        with pytest.raises(ValueError, match="the predictions cannot be written; MongoDB says: "):
            write_predictions(double, None, mongodb.t, into="q", **how)
    assert raced
    assert [list(each.find()) for each in (mongodb.p, mongodb.q)] == [[{"_id": "theirs"}]] * 2


def test_a_connection_that_is_lost_while_documents_are_added(
    mongodb: Any, mongodb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 450
    monkeypatch.setattr(staged, "_AT_ONCE", 100)
    mongodb.t.insert_many([{"_id": number, "a": number} for number in range(rows)])
    how: dict[str, Any] = {
        "into": "p",
        "key": "_id",
        "kind": "values",
        "mode": "upsert",
        "outputs": ["prediction"],
        "batch_size": 70,
    }
    assert write_predictions(lambda x: 0 * x, {"a": {"$lt": 5}}, mongodb.t, **how) == 5
    bulk_write, calls = pymongo.collection.Collection.bulk_write, []

    def cut(self: Any, *given: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise pymongo.errors.AutoReconnect("connection closed")
        return bulk_write(self, *given, **more)

    monkeypatch.setattr(pymongo.collection.Collection, "bulk_write", cut)
    seen: list[int] = []

    def predict(x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        return double(x)

    with pytest.raises(ValueError, match="the predictions cannot be written; MongoDB says: connection closed"):
        write_predictions(predict, None, mongodb.t, identity=b"1", **how)
    assert 5 < mongodb.p.count_documents({}) < rows
    assert write_predictions(predict, None, mongodb.t, identity=b"1", **how) == rows
    assert sum(seen) == rows  # each once
    assert [each["prediction"] for each in mongodb.p.find(sort=[("_id", 1)])] == [
        2.0 * number for number in range(rows)
    ]
