"""Rows of a Redis: blocks, hashes and streams, as redis-py itself has them, and strictly."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pytest

redis = pytest.importorskip("redis", reason="Redis's driver: pip install redis")

from fastnn.data import RedisDataset, RedisStream, write_redis  # noqa: E402
from fastnn.layers import Dense  # noqa: E402
from fastnn.models import Sequential  # noqa: E402
from support import servers  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.standard_normal((1000, 3)).astype(np.float32)
Y = (X @ np.float32([1, -2, 0.5]))[:, None]
ABC = ["a", "b", "c", "y"]


@pytest.fixture
def client(redis: Any) -> Any:
    return redis


def rows(dataset: RedisDataset) -> tuple[np.ndarray, np.ndarray | None]:
    pages = list(dataset.pages(1))
    x = np.concatenate([page.x for page in pages])
    return x, None if pages[0].y is None else np.concatenate([page.y for page in pages if page.y is not None])


def test_blocks(client: Any) -> None:
    assert write_redis(client, "train:", X, Y, rows=300) == 1000
    assert sorted(client.keys()) == [f"train:{number:09d}".encode() for number in range(4)]
    assert client.get("train:000000003") == np.hstack([X, Y])[900:].tobytes()
    dataset = RedisDataset(client, "train:*", "y", columns=ABC)
    x, y = rows(dataset)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    assert (dataset.columns, dataset.rows) == (("a", "b", "c"), 1000)
    keys = ["train:000000002", b"train:000000000"]
    x, y = rows(RedisDataset(client, keys, ["b"], columns=ABC, features=["y", "a"]))
    np.testing.assert_array_equal(x, np.hstack([Y, X[:, :1]])[[*range(600, 900), *range(300)]])
    with pytest.raises(ValueError, match=r"the key 'train:000000000' holds 4800 bytes, .* 7 columns .*28 bytes"):
        rows(RedisDataset(client, "train:*", columns=list("abcdefg")))
    with pytest.raises(ValueError, match="a block does not say what its columns are: pass columns"):
        RedisDataset(client, "train:*")
    with pytest.raises(ValueError, match="the blocks have no column 'z'; their columns are 'a'"):
        RedisDataset(client, "train:*", "z", columns=ABC)
    client.hset("train:1", "a", 1)
    with pytest.raises(ValueError, match=r"the query failed after 1000 rows; Redis at 127.0.0.1:.* says: WRONGTYPE"):
        rows(RedisDataset(client, "train:*", columns=ABC))
    with pytest.raises(ValueError, match="there is no block under the key 'gone'"):
        rows(RedisDataset(client, ["train:000000000", "gone"], columns=ABC))


def test_what_is_there_is_not_overwritten(client: Any) -> None:
    client.set("t:000000002", "mine")
    with pytest.raises(ValueError, match="the key 't:000000002' is there already"):
        write_redis(client, "t:", X, rows=100)
    assert client.keys() == [b"t:000000002"]
    client.set("h7", "mine")
    with pytest.raises(ValueError, match="the key 'h7' is there already"):
        write_redis(client, "h", X, layout="hashes", columns=["a", "b", "c"])
    assert len(client.keys()) == 2


def test_hashes(client: Any) -> None:
    names = [f"{number:04d}" for number in RNG.permutation(1000)]
    assert write_redis(client, "row:", X, Y, layout="hashes", columns=ABC, names=names) == 1000
    assert {name: float(text) for name, text in client.hgetall(f"row:{names[3]}").items()} == {
        name.encode(): float(value) for name, value in zip(ABC, [*X[3], Y[3, 0]], strict=True)
    }
    order = np.argsort(names)
    for decoding in (client, redis.Redis.from_url(_url(client), decode_responses=True)):
        dataset = RedisDataset(decoding, "row:*", "y")
        x, y = rows(dataset)
        assert dataset.columns == ("a", "b", "c")
        np.testing.assert_array_equal(x, X[order])
        np.testing.assert_array_equal(y, Y[order])
    decoding.close()
    few, _ = rows(RedisDataset(client, "row:000[1-3]", columns=["c", "a"]))
    np.testing.assert_array_equal(few, X[order][1:4][:, [2, 0]])


def _url(client: Any) -> str:
    return "redis://127.0.0.1:{port}/{db}".format(**client.connection_pool.connection_kwargs)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), (b"-1.5e-3", -1.5e-3), ("inf", np.inf), ("-Infinity", -np.inf), ("nan", np.nan), ("+.5", 0.5),
     (str(2**53 + 1), 2**53), ("1e-400", 0), ("3.4028235e38", 3.4028235e38)],
)  # fmt: skip
def test_numbers(client: Any, text: Any, number: float) -> None:
    client.hset("h", mapping={"a": text, "b": 2})
    np.testing.assert_array_equal(rows(RedisDataset(client, "h"))[0], np.array([[number, 2]], np.float32))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x", "field 'a' holds 'x', which is no number, in hash 'h:2' (row 2), where a number is expected"),
        ("", "holds ''"),
        ("1_000", "holds '1_000'"),
        (" 1", "holds ' 1'"),
        ("1\n", "which is no number"),
        ("0x10", "holds '0x10'"),
        ("e", "holds 'e'"),
        (b"\xff1", "is no number"),
        ("\u0661", "is no number"),
        ("1e39", "field 'a' holds 1e39, beyond float32's range of ±3.4e38, in hash 'h:2' (row 2)"),
        ("-3.5e38", "beyond float32's range"),
        (None, "field 'a' is missing, in hash 'h:2' (row 2), where a number is expected; pass null=<number>"),
    ],
)
def test_what_is_no_number_is_told(client: Any, text: Any, told: str) -> None:
    client.hset("h:1", mapping={"a": 1, "b": 2})
    client.hset("h:2", mapping={"b": 2} if text is None else {"a": text, "b": 2})
    with pytest.raises(ValueError, match="where a number is expected") as error:
        rows(RedisDataset(client, "h:*"))
    assert told in str(error.value)
    if text is None:
        assert rows(RedisDataset(client, "h:*", null=-1))[0].tolist() == [[1, 2], [-1, 2]]
        with pytest.raises(
            ValueError, match=r"field 'a' is missing, in hash 'h:2' \(row 2\), where a number is expected$"
        ):
            rows(RedisDataset(client, "h:*", "a", null=-1))


def test_a_target_is_what_it_was(client: Any) -> None:
    client.hset("h", mapping={"a": 1, "y": 2**24 + 1})
    with pytest.raises(
        ValueError, match="field 'y' is the target and holds 16777217, which float32 cannot hold exactly"
    ):
        rows(RedisDataset(client, "h", "y"))
    for fine in ("16777216", "16777216.5", "inf"):
        client.hset("h", "y", fine)
        assert rows(RedisDataset(client, "h", "y"))[0].shape == (1, 1)


def test_hostile_names(client: Any) -> None:
    fields = ["a b", "'", '"', "é😀", "*", "\n", "_id", "%s", "SELECT"]
    key = "k:\n*? 'é"
    client.hset(key, mapping={field: place for place, field in enumerate(fields)})
    assert rows(RedisDataset(client, [key], columns=fields))[0].tolist() == [list(range(len(fields)))]
    client.hset(b"k:\xff\0", mapping={"a": 5})
    assert rows(RedisDataset(client, b"k:\xff*"))[0].tolist() == [[5]]


def test_nothing_and_what_has_no_rows(client: Any) -> None:
    with pytest.raises(ValueError, match=r"no key is there to take the columns from: keys 'x\*'; pass columns"):
        RedisDataset(client, "x*")
    dataset = RedisDataset(client, "x*", columns=["a"], memory_limit=0, cache=False)
    with pytest.raises(ValueError, match=r"the query gives no rows: keys 'x\*'; check the keys"):
        rows(dataset)
    client.hset("x1", "a", 3)
    assert rows(dataset)[0].tolist() == [[3]]
    client.hset("x2", "b", 3)
    with pytest.raises(ValueError, match="under the key 'x2' there is no hash with 'a'"):
        rows(RedisDataset(client, "x*", columns=["a"], null=0))
    client.sadd("set", "a")
    with pytest.raises(ValueError, match="the key 'set' is a set; a string"):
        RedisDataset(client, "set")
    with pytest.raises(ValueError, match="there is no key 'nothing'"):
        RedisDataset(client, ["nothing"], columns=["a"])
    for wrong, told in (
        ({"layout": "rows"}, "unknown layout 'rows'"),
        ({"since": "x"}, "since must be the id of an entry"),
        ({"columns": ["a", "a"]}, "columns names the column 'a' twice"),
    ):
        with pytest.raises(ValueError, match=told):
            RedisDataset(client, "x*", **wrong)
    for arguments in ((3, "x"), (client, 3), (client, [3])):
        with pytest.raises(TypeError, match="must be"):
            RedisDataset(*arguments)
    with pytest.raises(TypeError, match=r"columns must be a sequence of names; for one, write \['a'\]"):
        RedisDataset(client, "x*", columns="a")


def test_a_stream(client: Any) -> None:
    assert write_redis(client, "s", X, Y, layout="stream", columns=ABC) == 1000
    ids = [entry.decode() for entry, _ in client.xrange("s")]
    x, y = rows(RedisDataset(client, "s", "y"))
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    x, _ = rows(RedisDataset(client, "s", "y", since=ids[699]))
    np.testing.assert_array_equal(x, X[700:])
    first = RedisDataset(client, "s", "y").since(None)
    assert first.last == ids[-1]
    client.xadd("s", {"a": 1, "b": 2, "c": 3, "y": 4})
    later = RedisDataset(client, "s", "y").since(first.last)
    assert len(rows(first)[0]) == 1000
    assert rows(later)[0].tolist() == [[1, 2, 3]]
    client.xadd("s", {"a": "x", "b": 2, "c": 3, "y": 4}, id="99999999999999-7")
    with pytest.raises(ValueError, match=r"field 'a' holds 'x', .* in entry '99999999999999-7' \(row 1002\)"):
        rows(RedisDataset(client, "s", "y"))


def test_what_comes_during_a_pass_is_of_the_next(client: Any) -> None:
    client.xadd("s", {"a": 0})
    dataset = RedisDataset(client, "s", memory_limit=0, cache=False)
    for expected in (1, 2):
        pages = dataset.pages(1)
        seen = 0
        for page in pages:
            seen += len(page.x)
            client.xadd("s", {"a": 1})
        assert seen == expected
        client.xtrim("s", 2, approximate=False)


def test_a_model_learns_from_a_stream_by_steps_and_goes_on(client: Any) -> None:
    write_redis(client, "s", X, Y, layout="stream", columns=ABC)
    ids = [entry.decode() for entry, _ in client.xrange("s")]
    model = Sequential([Dense(1)])
    model.compile("adam", "mse")
    stream = RedisStream(client, "s", "y", batch_size=10)
    model.fit(stream, steps_per_epoch=10, epochs=3, verbose=0)
    assert stream.last == ids[299]
    x, y = next(RedisStream(client, "s", "y", batch_size=400, last=stream.last))
    np.testing.assert_array_equal(x, X[300:700])
    np.testing.assert_array_equal(y, Y[300:700])
    rest = list(RedisStream(client, "s", columns=["c", "a"], batch_size=400, wait=0.05))
    np.testing.assert_array_equal(np.concatenate(rest), X[:, [2, 0]])
    assert [len(each) for each in rest] == [400, 400, 200]


@pytest.mark.parametrize("protocol", [2, 3])
def test_both_protocols(client: Any, protocol: int) -> None:
    with redis.Redis.from_url(_url(client), protocol=protocol) as speaking:
        write_redis(speaking, "s", X, Y, layout="stream", columns=ABC)
        write_redis(
            speaking, "h:", X, Y, layout="hashes", columns=ABC, names=[f"{number:04d}" for number in range(1000)]
        )
        write_redis(speaking, "b:", X, Y)
        for keys, how in (("s", {}), ("h:*", {}), ("b:*", {"columns": ABC})):
            np.testing.assert_array_equal(rows(RedisDataset(speaking, keys, "y", **how))[0], X)
        batches = list(RedisStream(speaking, "s", "y", batch_size=300, wait=0.01))
        np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), X)


def test_a_stream_waits_for_what_comes(client: Any) -> None:
    client.xadd("s", {"a": 0})
    stream = RedisStream(client, "s", batch_size=3, last="$", columns=["a"])
    writer = redis.Redis.from_url(_url(client))
    later = threading.Timer(0.2, lambda: [writer.xadd("s", {"a": number}) for number in (1, 2, 3)])
    later.start()
    assert next(stream).tolist() == [[1], [2], [3]]
    later.join()
    writer.close()
    assert next(RedisStream(client, "none", columns=["a"], wait=0.01), None) is None
    client.set("text", "x")
    with pytest.raises(ValueError, match=r"the stream cannot be read after 0-0 \(0 rows\); Redis at .* WRONGTYPE"):
        next(RedisStream(client, "text", columns=["a"]))
    for wrong in ("x", 5, "1-", ""):
        with pytest.raises(ValueError, match="last must be the id of an entry"):
            RedisStream(client, "s", last=wrong)  # type: ignore[arg-type]


def test_splits_by_the_key(client: Any) -> None:
    write_redis(client, "r:", X, Y, layout="hashes", columns=ABC)
    train, validation = RedisDataset(client, "r:*", "y").split(0.3)
    before = {each.tobytes() for each in rows(validation)[0]}
    assert len(rows(train)[0]) + len(before) == 1000
    assert 250 < len(before) < 350
    write_redis(client, "r:", X + 1, Y, layout="hashes", columns=ABC, names=range(1000, 2000))
    _, later = RedisDataset(client, "r:*", "y").split(0.3)
    assert before < {each.tobytes() for each in rows(later)[0]}


def test_a_server_that_is_killed_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    with servers.redis_server() as (url, process):
        with redis.Redis.from_url(url) as client:
            write_redis(client, "t:", X, Y, rows=10)
        dataset = RedisDataset(url, "t:*", "y", columns=ABC, memory_limit=1000)
        stream = RedisStream(url, "t", columns=["a"])
        pages = dataset.pages(10)
        next(pages)
        process.kill()
        process.wait()
        address = url.removeprefix("redis://").removesuffix("/0")
        with pytest.raises(
            ValueError, match=rf"the query failed after \d+0 rows; Redis at {address} says: .*keys 't:\*'"
        ):
            list(pages)
        with pytest.raises(ValueError, match=f"the query failed; Redis at {address} says: .*refused"):
            list(dataset.pages(10))
        with pytest.raises(ValueError, match=f"the stream cannot be read after 0-0 .*Redis at {address} says"):
            next(stream)
        with pytest.raises(ValueError, match=f"Redis at {address} says: .*refused"):
            write_redis(url, "t:", X)


def test_urls_and_passwords() -> None:
    with servers.redis_server("--requirepass", "s3cret") as (url, _):
        url = url.replace("redis://", "redis://:s3cret@")
        write_redis(url, "t:", X)
        dataset = RedisDataset(url, "t:*", columns=["a", "b", "c"])
        np.testing.assert_array_equal(rows(dataset)[0], X)
        assert "s3cret" not in repr(dataset._reader.address)
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(dataset)
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(dataset._reader)
        for wrong, told in (
            (url.replace("s3cret", "s3"), "says: "),
            ("redis://:s3/cret@h", "con is no URL of a Redis"),
            ("http://:s3cret@h", "con is no URL of a Redis"),
            ("redis://:s3cret@h:x", "con is no URL of a Redis"),
        ):
            with pytest.raises(ValueError, match=told) as error:
                RedisDataset(wrong, "t:*")
            assert "cret" not in str(error.value)


def test_a_dataset_of_a_url_goes_to_another_process(redis_url: str, client: Any) -> None:
    write_redis(client, "t:", X)
    dataset = pickle.loads(pickle.dumps(RedisDataset(redis_url, "t:*", columns=["a", "b", "c"])))
    np.testing.assert_array_equal(rows(dataset)[0], X)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(RedisDataset(client, "t:*", columns=["a", "b", "c"]))


def test_what_cannot_be_written_is_told(client: Any) -> None:
    for x, y, how, told in (
        (X[0], None, {}, r"x must be \(rows, features\), got the shape \(3,\)"),
        (X, Y[:5], {}, "y must have a row for each of the 1000 of x"),
        (X, None, {"layout": "hashes"}, "columns must be 3 names"),
        (X, Y, {"layout": "stream", "columns": ["a"]}, "columns must be 4 names"),
        (X, None, {"layout": "table"}, "unknown layout 'table'"),
        (
            X,
            None,
            {"layout": "hashes", "columns": ["a", "b", "c"], "names": ["a"]},
            "names must be one for each of 1000",
        ),
        (X, np.full(1000, 2**24 + 1), {}, "y"),
        (X.astype(float) * 1e39, None, {}, "x"),
    ):
        with pytest.raises(ValueError, match=told):
            write_redis(client, "t:", x, y, **how)  # type: ignore[arg-type]
    assert client.keys() == []
    assert write_redis(client, "t:", X[:0]) == 0
