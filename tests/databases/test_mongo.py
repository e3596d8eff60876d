"""Rows of MongoDB's collections: as pymongo itself has them, and strictly."""

from __future__ import annotations

import datetime
import pickle
import random
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pymongo = pytest.importorskip("pymongo", reason="MongoDB's driver: pip install pymongo")
import bson  # noqa: E402
from bson.binary import BinaryVectorDtype  # noqa: E402

from fastnn.data import MongoDataset  # noqa: E402
from fastnn.databases.mongo import MongoReader, Place  # noqa: E402
from fastnn.databases.mongo_fields import nodes_of  # noqa: E402
from fastnn.databases.native import BSONRows  # noqa: E402
from fastnn.databases.reader import Wanted  # noqa: E402
from fastnn.layers import Dense  # noqa: E402
from fastnn.models import Sequential  # noqa: E402

Decimal128, Int64, Binary = bson.Decimal128, bson.Int64, bson.Binary


def rows(dataset: MongoDataset) -> tuple[np.ndarray, np.ndarray | None]:
    pages = list(dataset.pages(1))
    x = np.concatenate([page.x for page in pages])
    return x, None if pages[0].y is None else np.concatenate([page.y for page in pages if page.y is not None])


def test_numbers_of_all_kinds(mongodb: Any) -> None:
    mongodb.t.insert_many(
        [
            {"_id": 2, "a": 0.1, "b": Int64(2**53 + 1), "c": True, "d": Decimal128("-12.345"), "y": 3},
            {"_id": 1, "a": 7, "b": 2.5, "c": 0, "d": Decimal128("1E+20"), "y": Int64(-4)},
            {"_id": 3, "a": float("inf"), "b": float("nan"), "c": False, "d": Decimal128("NaN"), "y": 16777216.0},
        ]
    )
    dataset = MongoDataset(mongodb.t, target="y")
    x, y = rows(dataset)
    expected = [[7, 2.5, 0, 1e20], [0.1, 2**53 + 1, 1, -12.345], [np.inf, np.nan, 0, np.nan]]
    np.testing.assert_array_equal(x, np.array(expected, np.float32))
    np.testing.assert_array_equal(y, np.array([[-4], [3], [16777216]], np.float32))
    assert dataset.columns == ("a", "b", "c", "d")
    assert dataset.rows == 3
    chosen, _ = rows(MongoDataset(mongodb.t, {"_id": {"$gte": np.int64(2)}}, ["d", "_id"], sort=[("_id", -1)]))
    np.testing.assert_array_equal(chosen, np.array([[np.nan, 3], [-12.345, 2]], np.float32))


def test_what_is_within_documents_arrays_and_vectors(mongodb: Any) -> None:
    vectors = np.random.default_rng(0).standard_normal((700, 5)).astype(np.float32)
    documents = []
    for number, vector in enumerate(vectors.tolist()):
        documents.append({
            "_id": number,
            "v": Binary.from_vector(vector, BinaryVectorDtype.FLOAT32) if number % 3 else vector,
            "small": Binary.from_vector([number % 100 - 50, 3], BinaryVectorDtype.INT8),
            "in": {"the": {"deep": number, "y": number % 2}, "list": [{"p": 1.5}, {"p": number}]},
        })  # fmt: skip
    mongodb.t.insert_many(documents)
    dataset = MongoDataset(mongodb.t, target="in.the.y")
    assert dataset.columns == (
        "v.0", "v.1", "v.2", "v.3", "v.4", "small.0", "small.1", "in.the.deep", "in.list.0.p", "in.list.1.p",
    )  # fmt: skip
    x, y = rows(dataset)
    number = np.arange(700)
    expected = [*vectors.T, number % 100 - 50, number * 0 + 3, number, number * 0 + 1.5, number]
    np.testing.assert_array_equal(x, np.array(expected, np.float32).T)
    np.testing.assert_array_equal(y, (number % 2)[:, None])
    both, target = rows(MongoDataset(mongodb.t, None, ["in.list.1.p", "v.3"], "small"))
    np.testing.assert_array_equal(both, np.array([number, vectors[:, 3]], np.float32).T)
    assert target is not None
    assert target.shape == (700, 2)


ODD: list[Any] = [
    None, True, False, 0, -1, 2**24 + 1, 2**31 - 1, Int64(2**53 + 1), Int64(-(2**63)), Int64(2**63 - 1), 0.1, -0.0,
    3.4028235e38, 1e-320, float("inf"), float("-inf"), float("nan"), Decimal128("0.1"), Decimal128("-1E-6176"),
    Decimal128("123456789012345678.5"),
    Decimal128("9007199254740991"), Decimal128("0.000000000000001"), Decimal128("1E-16"), Decimal128("-0"),
    Decimal128("Infinity"), Decimal128("-NaN"), Decimal128("sNaN"),
    Decimal128("9999999999999999999999999999999999"),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_the_same_numbers_as_pymongo_decodes(seed: int) -> None:
    chance = random.Random(seed)
    names = ["a", "b", "é", "x'\"`y", "in.SELECT", "in.deep.er", "in.0", "list.1", "ab"]
    documents = []
    for number in range(chance.choice([1, 2, 300])):
        values = {name: chance.choice(ODD) for name in names if chance.random() < 0.9}
        document: dict[str, Any] = {"unwanted": [1, {"a": 3}], "_id": bson.ObjectId(), "code": bson.Code("x", {"a": 1})}
        document.update(
            {"re": bson.Regex("a", "i"), "t": "text", "at": datetime.datetime(2026, 1, 1), "ts": bson.Timestamp(1, 2)}
        )
        document.update({"max": bson.MaxKey(), "min": bson.MinKey(), "bin": b"123", "ref": bson.DBRef("a", 5)})
        for name, value in values.items():
            *outer, last = name.split(".")
            if outer == ["list"]:
                document["list"] = ["text", value]
            elif outer:
                inner = document.setdefault("in", {})
                for part in outer[1:]:
                    inner = inner.setdefault(part, {})
                inner[last] = value
            else:
                document[last] = value
        items = list(document.items())
        if number % 3:
            chance.shuffle(items)
        documents.append(dict(items))
    read = BSONRows(nodes_of(names, ["_id", "in", "t"], {}), len(names), len(names), 3, 0.25)
    numbers, others = read.read(b"".join(map(bson.encode, documents)))
    assert read.stopped is None

    def of(value: Any) -> float:
        if isinstance(value, Decimal128):
            value = str(value).removeprefix("s")
        return 0.25 if value is None else float(value)

    def at(document: Any, name: str) -> Any:
        for part in name.split("."):
            if isinstance(document, list):
                return document[int(part)]
            document = document.get(part, {})
        return None if document == {} else document

    expected = np.array([[of(at(each, name)) for name in names] for each in documents], np.float64).astype(np.float32)
    np.testing.assert_array_equal(numbers, expected)
    assert [len(column) for column in others] == [len(documents)] * 3


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (..., "field 'a' is missing in document 2 (_id 'k'), where a number is expected; pass null=<number>"),
        (None, "field 'a' is null in document 2 (_id 'k')"),
        ("1", "field 'a' holds text ('1') in document 2"),
        (b"123", "field 'a' holds binary data in document 2"),
        (datetime.datetime(2026, 1, 2), "field 'a' holds a date (2026-01-02 00:00:00) in document 2"),
        ([1], "field 'a' holds an array in document 2"),
        ({"b": 1}, "field 'a' holds a document in document 2"),
        (1e39, "field 'a' holds 1e+39, beyond float32's range"),
        (-3.5e38, "field 'a' holds -3.5e+38, beyond float32's range"),
        (Decimal128("1E+400"), "beyond float32's range"),
        (Decimal128("-4E+38"), "beyond float32's range"),
        (bson.ObjectId("0123456789abcdef01234567"), "field 'a' holds a ObjectId in document 2"),
        (bson.Regex("x"), "field 'a' holds a Regex in document 2"),
    ],
)
def test_what_is_no_number_is_told(mongodb: Any, value: Any, told: str) -> None:
    mongodb.t.insert_many([{"_id": 1, "a": 1}, {"_id": "k"} if value is ... else {"_id": "k", "a": value}])
    with pytest.raises(ValueError, match="expected") as error:
        rows(MongoDataset(mongodb.t, fields=["a"]))
    assert told in str(error.value)
    if value is None or value is ...:
        x, _ = rows(MongoDataset(mongodb.t, fields=["a"], null=float("nan")))
        np.testing.assert_array_equal(x, np.array([[1], [np.nan]], np.float32))
        with pytest.raises(ValueError, match=r"leave such documents out with the filter {'a': {'\$ne': None}}"):
            rows(MongoDataset(mongodb.t, fields=["b"], target="a", null=0))
        assert len(rows(MongoDataset(mongodb.t, {"a": {"$ne": None}}, ["a"]))[0]) == 1


@pytest.mark.parametrize(
    "value", [2**24 + 1, Int64(2**53 + 1), Int64(2**63 - 1), Decimal128("16777217"), Decimal128(str(2**53 + 1)),
              Decimal128("16777217.0")]
)  # fmt: skip
def test_a_target_is_what_it_was(mongodb: Any, value: Any) -> None:
    mongodb.t.insert_one({"a": 1, "y": value})
    with pytest.raises(ValueError, match=r"field 'y' is the target and holds the whole number \d+.* in document 1"):
        rows(MongoDataset(mongodb.t, target="y"))
    assert rows(MongoDataset(mongodb.t, fields=["y"]))[0].shape == (1, 1)
    mongodb.t.update_one({}, {"$set": {"y": Decimal128("16777216.5")}})
    assert rows(MongoDataset(mongodb.t, target="y"))[1] is not None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([1, 2], "field 'v' holds 2 numbers in document 2 (_id 'k'), where the first document has 3"),
        ([1, 2, 3, 4], "holds 4 numbers"),
        (Binary.from_vector([1.0], BinaryVectorDtype.FLOAT32), "holds 1 numbers"),
        (Binary.from_vector([1, 2, 3, 4], BinaryVectorDtype.INT8), "holds 4 numbers"),
        (Binary.from_vector([1, 2, 3], BinaryVectorDtype.PACKED_BIT), "field 'v' holds binary data"),
        (Binary(b"\x27\0" + bytes(11), 9), "field 'v' holds binary data"),
        (b"123456789012", "field 'v' holds binary data"),
        (b"", "field 'v' holds binary data"),
        ("text", "field 'v' holds text"),
        (5, "field 'v' holds a int"),
        ({"0": 1, "1": 2, "2": 3}, "field 'v' holds a document"),
        ([1, "x", 3], "field 'v.1' holds text ('x')"),
        ([1, None, 3], "field 'v.1' is null"),
        (None, "field 'v.0' is missing"),
        (..., "field 'v.0' is missing"),
    ],
)
def test_a_vector_of_another_length_or_none(mongodb: Any, value: Any, told: str) -> None:
    mongodb.t.insert_many([{"_id": 1, "v": [1, 2, 3]}, {"_id": "k"} if value is ... else {"_id": "k", "v": value}])
    for null in (None, 0):
        if null is not None and ("missing" in told or "null" in told):
            assert 0 in rows(MongoDataset(mongodb.t, fields=["v"], null=null))[0][1]
            continue
        with pytest.raises(ValueError, match=r"document 2 \(_id 'k'\)") as error:
            rows(MongoDataset(mongodb.t, fields=["v"], null=null))
        assert told in str(error.value)


def test_an_array_of_documents_is_no_document(mongodb: Any) -> None:
    mongodb.t.insert_many([{"_id": 1, "in": {"a": 1}}, {"_id": 2, "in": 5}, {"_id": 3, "in": [{"a": 1}]}])
    assert rows(MongoDataset(mongodb.t, {"_id": {"$lt": 3}}, ["in.a"], null=-1))[0].tolist() == [[1], [-1]]
    with pytest.raises(ValueError, match=r"field 'in' holds an array in document 3 \(_id 3\)"):
        rows(MongoDataset(mongodb.t, fields=["in.a"], null=-1))
    with pytest.raises(ValueError, match=r"field 'in\.1' is missing in document 1 \(_id 3\)"):
        rows(MongoDataset(mongodb.t, {"_id": 3}, ["in.0.a", "in.1"]))


def test_hostile_names(mongodb: Any) -> None:
    names = ["a b", "'", '"', "`; DROP", "SELECT", "ü😀", "_ID", "x" * 300, "a\nb", "%s", "{}"]
    mongodb.t.insert_many([{name: place + 100 * row for place, name in enumerate(names)} for row in range(3)])
    dataset = MongoDataset(mongodb.t)
    assert dataset.columns == tuple(names)
    x, _ = rows(dataset)
    np.testing.assert_array_equal(x, [[place + 100 * row for place in range(len(names))] for row in range(3)])
    for name in ("$where", "a..b", "", "a.$b", "a\0b"):
        with pytest.raises(ValueError, match="MongoDB gives no field by the name"):
            MongoDataset(mongodb.t, fields=[name])


def test_few_documents(mongodb: Any) -> None:
    with pytest.raises(ValueError, match=r"no document is there to take the fields from: .*\.t\.find\({}\); name the"):
        MongoDataset(mongodb.t)
    with pytest.raises(ValueError, match=r"the query gives no rows: .*\.t\.find\({}\); check the filter"):
        rows(MongoDataset(mongodb.t, fields=["a"]))
    mongodb.t.insert_one({"a": 1.5})
    assert rows(MongoDataset(mongodb.t))[0].tolist() == [[1.5]]
    mongodb.t.insert_one({"a": 1.5, "late": 3})
    assert MongoDataset(mongodb.t).columns == ("a",)


def test_the_order_is_that_of_the_ids(mongodb: Any) -> None:
    mongodb.t.insert_many([{"_id": (7 * i) % 1000, "a": i} for i in range(1000)])
    expected = [each["a"] for each in mongodb.t.find(sort=[("_id", 1)])]
    assert rows(MongoDataset(mongodb.t, fields=["a"]))[0][:, 0].tolist() == expected
    assert rows(MongoDataset(mongodb.t, fields=["a"], sort="a"))[0][:, 0].tolist() == list(range(1000))
    assert rows(MongoDataset(mongodb.t, fields=["a"], sort={"a": -1}))[0][0].tolist() == [999]


def test_a_pipeline(mongodb: Any) -> None:
    mongodb.t.insert_many([{"shop": i % 3, "sum": i, "at": datetime.datetime(2026, 1, 1 + i)} for i in range(10)])
    stages = [
        {"$match": {"at": {"$gte": datetime.date(2026, 1, 3)}}},
        {"$group": {"_id": "$shop", "total": {"$sum": "$sum"}}},
        {"$sort": {"_id": 1}},
    ]
    assert rows(MongoDataset(mongodb.t, stages, ["_id", "total"]))[0].tolist() == [[0, 18], [1, 11], [2, 15]]
    for stage in ({"$out": "t"}, {"$merge": {"into": "t"}}):
        with pytest.raises(ValueError, match=r"the pipeline writes with '\$(out|merge)'"):
            MongoDataset(mongodb.t, [*stages, stage])
    with pytest.raises(ValueError, match=r"sorts by a stage of its own: add {'\$sort'"):
        MongoDataset(mongodb.t, stages, sort="total")


def test_bad_arguments(mongodb: Any) -> None:
    mongodb.t.insert_one({"a": 1, "y": 1})
    with pytest.raises(TypeError, match=r"collection must be a pymongo Collection or a URL, .* got Database"):
        MongoDataset(mongodb)
    with pytest.raises(TypeError, match=r"fields must be a sequence of names; for one, write \['a'\]"):
        MongoDataset(mongodb.t, fields="a")
    with pytest.raises(TypeError, match="filter must be a dict"):
        MongoDataset(mongodb.t, "a")
    with pytest.raises(ValueError, match=r"the query failed; MongoDB at .* says: .*\$oops.*; the query is: .*find"):
        MongoDataset(mongodb.t, {"$oops": 1})
    with pytest.raises(ValueError, match=r"the query failed; MongoDB at .*; the query is"):
        MongoDataset(mongodb.t, {"a": 2**70})
    with pytest.raises(ValueError, match="both a feature and a target"):
        MongoDataset(mongodb.t, fields=["a", "y"], target="y")


def test_urls_and_passwords(mongodb: Any, mongodb_url: str) -> None:
    mongodb.t.insert_many([{"_id": i, "a": i, "y": i % 2} for i in range(50)])
    host = mongodb_url.removeprefix("mongodb://").rstrip("/")
    dataset = MongoDataset(f"mongodb://{host}/{mongodb.name}.t", target="y")
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(rows(again)[0], rows(dataset)[0])
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(MongoDataset(mongodb.t))
    for url, told in (
        (f"mongodb://user:s3cret@{host}/{mongodb.name}", "a URL without a collection"),
        (f"mongodb://user:s3/cret@{host}/{mongodb.name}.t", "is no URL"),
        (f"mongodb://user:s3@cret@{host}/{mongodb.name}.t", "is no URL"),
        (
            f"mongodb://user:s3cret@127.0.0.1:1/{mongodb.name}.t?serverSelectionTimeoutMS=50",
            "MongoDB at 127.0.0.1:1 says",
        ),
    ):
        with pytest.raises(ValueError, match=told) as error:
            MongoDataset(url)
        assert "cret" not in str(error.value)
    place = Place("mongodb://user:s3cret@127.0.0.1:1/d.t")
    assert "s3cret" not in repr((place.address, place.server, vars(place)["_where"]))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(place)


def test_rows_on_disk_are_taken_by_age(mongodb: Any, mongodb_url: str) -> None:
    mongodb.t.insert_many([{"_id": i, "a": i} for i in range(5)])
    url = f"{mongodb_url.rstrip('/')}/{mongodb.name}.t"
    how: dict[str, Any] = {"fields": ["a"], "memory_limit": 0}
    rows(MongoDataset(url, cache=1000, **how))
    mongodb.t.insert_one({"_id": 5, "a": 5})
    assert len(rows(MongoDataset(url, cache=1000, **how))[0]) == 5
    assert len(rows(MongoDataset(url, **how))[0]) == 6
    assert len(rows(MongoDataset(url, {"a": {"$gt": 3}}, cache=1000, **how))[0]) == 2


def test_a_model_learns_from_it(mongodb: Any) -> None:
    x = np.random.default_rng(1).standard_normal((600, 3)).astype(np.float32)
    y = x @ np.float32([1, -2, 0.5])
    mongodb.t.insert_many(
        [{**{"abc"[i]: float(v) for i, v in enumerate(row)}, "y": float(t)} for row, t in zip(x, y, strict=True)]
    )
    train, validation = MongoDataset(mongodb.t, target="y").split(0.25)
    model = Sequential([Dense(1)])
    model.compile("adam", "mse")
    model.fit(train, validation_data=validation, epochs=1, verbose=0)
    assert 400 < train.rows < 500
    assert train.rows + validation.rows == 600
    before = {each.tobytes() for each in rows(validation)[0]}
    mongodb.t.insert_many([{"a": i, "b": 1.0, "c": 2.0, "y": 0.5} for i in range(100)])
    _, later = MongoDataset(mongodb.t, target="y").split(0.25)
    assert before < {each.tobytes() for each in rows(later)[0]}


@pytest.mark.parametrize("piped", [False, True])
def test_documents_that_came_later(mongodb: Any, piped: bool) -> None:
    mongodb.t.insert_many([{"at": number, "a": number / 2, "skip": number % 5 == 0} for number in range(100)])
    where: Any = [{"$match": {"skip": False}}, {"$sort": {"at": 1}}] if piped else {"skip": False}

    def after(value: Any) -> Any:
        return MongoDataset(mongodb.t, where, ["a"], key="at", cache=False, memory_limit=0).since(value)

    first = after(None)
    mongodb.t.insert_many([{"at": number, "a": number / 2, "skip": number % 5 == 0} for number in range(100, 111)])
    assert (first.last, len(rows(first)[0])) == (99, 80)
    later = after(first.last)
    assert (later.last, rows(later)[0][:, 0].tolist()) == (109, [n / 2 for n in range(101, 110) if n % 5])
    none = after(later.last)
    assert none.last == 109
    with pytest.raises(ValueError, match="gives no rows"):
        rows(none)
    mongodb.t.insert_one({"at": 200, "a": 7, "skip": False})
    with pytest.raises(ValueError, match="gives no rows"):
        rows(none)
    by_id = MongoDataset(mongodb.t, fields=["a"]).since(mongodb.t.find_one({"at": 109})["_id"])
    assert rows(by_id)[0].tolist() == [[55], [7]]


def test_a_query_takes_what_a_models_layers_read(mongodb: Any) -> None:
    mongodb.t.insert_many([{"_id": i, "n": Int64(2**40 + i), "s": "äöü"[: i % 4], "v": [i]} for i in range(5)])
    reader = MongoReader(Place(mongodb.t), None, ["n", "s", "v"], [], "_id", None)
    [block] = reader.blocks(Wanted(["v.0"], (), ["s", "n", "_id", "v"]))
    s, n, key, v = block.others
    assert s.tolist() == ["äöü"[: i % 4] for i in range(5)]
    assert n.tolist() == [2**40 + i for i in range(5)]
    assert {type(each) for each in n} == {int}
    assert key.tolist() == list(range(5))
    assert v.tolist() == [[i] for i in range(5)]
    assert block.numbers.tolist() == [[i] for i in range(5)]


class Proxy:
    """Between a client and a server, until it is cut."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = [self._listening]
        self.passed = 0
        self.cut_after = 2**60
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._to)
            except OSError:
                return
            self._open += [client, server]
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(one, other, one is server), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, answers: bool) -> None:
        try:
            while content := one.recv(2**16):
                self.passed += len(content) * answers
                if self.passed > self.cut_after:
                    break
                other.sendall(content)
        except OSError:
            pass
        if self.passed > self.cut_after:
            self.cut()

    def cut(self) -> None:
        for each in self._open:
            each.close()


@pytest.fixture
def proxy(mongodb_url: str) -> Iterator[Proxy]:
    from pymongo.uri_parser import parse_uri

    [(host, port)] = parse_uri(mongodb_url)["nodelist"]
    between = Proxy(host, port)
    yield between
    between.cut()


def test_a_connection_that_is_lost_in_the_middle(mongodb: Any, proxy: Proxy) -> None:
    mongodb.t.insert_many([{"_id": i, "a": i, "fill": "x" * 2000} for i in range(5000)])
    url = f"mongodb://127.0.0.1:{proxy.port}/{mongodb.name}.t?directConnection=true&serverSelectionTimeoutMS=200"
    dataset = MongoDataset(url, fields=["a"], memory_limit=4000)
    dataset._reader._size = 500  # type: ignore[attr-defined]
    pages = dataset.pages(10)
    next(pages)
    proxy.cut()
    with pytest.raises(
        ValueError, match=rf"the query failed after \d+00 documents; MongoDB at 127.0.0.1:{proxy.port} says"
    ):
        list(pages)
    with pytest.raises(ValueError, match=rf"the query failed; MongoDB at 127.0.0.1:{proxy.port} says: .*refused"):
        list(dataset.pages(10))


@pytest.mark.parametrize("seed", range(30))
def test_bytes_that_are_no_bson_are_told_and_never_crash(seed: int) -> None:
    chance = random.Random(seed)
    document = {"a": 1.5, "s": "text", "in": {"b": 5, "l": [1, 2]}, "r": bson.Regex("a", "b"), "d": Decimal128("1"),
                "v": Binary.from_vector([1.0, 2.0], BinaryVectorDtype.FLOAT32), "c": bson.Code("x", {})}  # fmt: skip
    good = bson.encode(document)
    nodes = nodes_of(["a", "in.b", "in.l.1", "v.1", "d"], ["s", "r"], {"v": 2})
    for _ in range(500):
        content = bytearray(good * 2)
        for _ in range(chance.randint(1, 3)):
            content[chance.randrange(len(content))] = chance.choice(
                [0, 1, 2, 5, 0x7F, 0x80, 0xFF, chance.randrange(256)]
            )
        cut = bytes(content[: chance.choice([len(content), chance.randrange(len(content))])])
        read = BSONRows(nodes, 5, 5, 2, 0.5)
        try:
            numbers, others = read.read(cut)
        except ValueError as error:
            if "no BSON" not in str(error):
                raise
        else:
            assert len(numbers) == len(others[0]) <= 2
    for size in (-1, 0, 4, 2**31 - 1):
        with pytest.raises(ValueError, match="no BSON"):
            BSONRows(nodes, 5, 5, 2, 0.5).read(struct.pack("<i", size) + good[4:])
