import contextlib
import json
import os
import random
import struct
import sys
import tracemalloc

import numpy as np
import pytest

from fastnn.store import safetensors
from fastnn.store.safetensors import DamagedFileError, read, write

SAMPLE = {"kernel": np.ones((3, 2), "f4"), "größe": np.zeros(2, "f4"), "step": np.array(7, "i8")}
NOTES = {"config": '{"layers": []}', "größe": "ένα"}


def raw(header, data=b"", length=None):
    """A file from its parts; `header` is JSON in bytes, or an object to be dumped."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(dtype="F32", shape=(2,), data_offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets, **more}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


LONG = 10**30
DAMAGE = {
    "empty file": (b"", "8 bytes"),
    "short length": (b"\0" * 7, "8 bytes .* got 7"),
    "zero length": (b"\0" * 8, "JSON object"),
    "length beyond the file": (raw(b"{}", length=3), "at most 2 bytes, got the length 3"),
    "length of 2**64 - 1": (raw(b"{}", length=2**64 - 1), "at most 2 bytes"),
    "not an object": (raw(b"[]"), "JSON object"),
    "leading blank": (raw(b" {}"), "JSON object"),
    "byte order mark": (raw(b"\xef\xbb\xbf{}"), "JSON object"),
    "not UTF-8": (raw(b'{"\xff":1}'), "UTF-8"),
    "not JSON": (raw(b"{]"), "UTF-8 JSON"),
    "two values": (raw(b"{}{}"), "Extra data"),
    "zero after the header": (raw(b"{}\0"), "Extra data"),
    "cut JSON": (raw(b'{"a":'), "UTF-8 JSON"),
    "duplicate name": (raw(b'{"a":1,"a":1}'), "twice"),
    "duplicate metadata": (raw(b'{"__metadata__":{"a":"","a":""}}'), "twice"),
    "deep list": (raw(b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}"), "nesting|UTF-8 JSON"),
    "deep object": (raw(b'{"a":' * 10**5 + b"1" + b"}" * 10**5), "nesting|UTF-8 JSON"),
    "endless integer": (raw(b'{"a":' + b"9" * 10**5 + b"}"), "UTF-8 JSON|expected dtype"),
    "surrogate name": (raw(rb'{"\ud800":1}'), "surrogates"),
    "surrogate metadata": (raw(rb'{"__metadata__":{"a":"\ud800"}}'), "surrogate"),
    "surrogate metadata key": (raw(rb'{"__metadata__":{"\ud800":""}}'), "surrogates"),
    "metadata list": (raw({"__metadata__": []}), "to be an object"),
    "metadata null": (raw({"__metadata__": None}), "to be an object"),
    "metadata number": (raw({"__metadata__": {"a": 1}}), "'a' to be a string, got 1"),
    "entry list": (raw({"a": []}), "'a': expected dtype, shape"),
    "entry without shape": (raw({"a": {"dtype": "F32", "data_offsets": [0, 0]}}), "expected dtype"),
    "entry with more": (raw({"a": tensor(x=1)}, bytes(8)), "expected dtype"),
    "dtype unknown": (raw({"a": tensor("BF17", (4,))}, bytes(8)), "dtype of F64.*got 'BF17'"),
    "dtype case": (raw({"a": tensor("f32")}, bytes(8)), "dtype of"),
    "dtype list": (raw({"a": tensor(["F32"])}, bytes(8)), "dtype of"),
    "shape number": (raw({"a": tensor(shape=2)}, bytes(8)), "shape"),
    "shape null": (raw({"a": tensor(shape=None)}, bytes(8)), "shape"),
    "shape negative": (raw({"a": tensor(shape=[-1, -2])}, bytes(8)), "shape"),
    "shape float": (raw({"a": tensor(shape=[2.0])}, bytes(8)), "shape"),
    "shape NaN": (raw({"a": tensor(shape=[float("nan")])}, bytes(8)), "shape"),
    "shape bool": (raw({"a": tensor(shape=[2, True])}, bytes(8)), "shape"),
    "shape string": (raw({"a": tensor(shape="2")}, bytes(8)), "shape"),
    "shape of 65": (raw({"a": tensor(shape=[1] * 64 + [2])}, bytes(8)), "at most 64 sizes"),
    "shape too long": (raw({"a": tensor(shape=[1] * 65)}, bytes(8)), "at most 64 sizes"),
    "shape wraps to 0": (raw({"a": tensor(shape=[2**32, 2**32], data_offsets=[0, 0])}), "memory"),
    "shape wraps to 2": (raw({"a": tensor("U8", [2**63 + 1, 2], [0, 2])}, bytes(2)), "memory"),
    "shape huge": (raw({"a": tensor(shape=[LONG], data_offsets=[0, 4 * LONG])}), "memory"),
    "shape huge and empty": (raw({"a": tensor(shape=[0, LONG], data_offsets=[0, 0])}), "memory"),
    "offsets null": (raw({"a": tensor(data_offsets=None)}, bytes(8)), "two data_offsets"),
    "offsets one": (raw({"a": tensor(data_offsets=[8])}, bytes(8)), "two data_offsets"),
    "offsets three": (raw({"a": tensor(data_offsets=[0, 8, 8])}, bytes(8)), "two data_offsets"),
    "offsets float": (raw({"a": tensor(data_offsets=[0, 8.0])}, bytes(8)), "two data_offsets"),
    "offsets bool": (raw({"a": tensor("U8", [1], [False, True])}, b"1"), "two data_offsets"),
    "offsets negative": (raw({"a": tensor(data_offsets=[-8, 0])}, bytes(8)), "two data_offsets"),
    "offsets swapped": (raw({"a": tensor(data_offsets=[8, 0])}, bytes(8)), "8 bytes for F32"),
    "offsets beyond": (raw({"a": tensor(data_offsets=[LONG, LONG + 8])}, bytes(8)), "gap"),
    "size is not shape": (raw({"a": tensor(shape=[3])}, bytes(8)), "expected 12 bytes for F32"),
    "size is not dtype": (raw({"a": tensor("F64")}, bytes(8)), "expected 16 bytes for F64"),
    "gap at the start": (raw({"a": tensor(data_offsets=[4, 12])}, bytes(12)), "gap"),
    "gap between": (raw({"a": tensor(), "b": tensor(data_offsets=[9, 17])}, bytes(17)), "gap"),
    "overlap": (raw({"a": tensor(), "b": tensor(data_offsets=[4, 12])}, bytes(12)), "overlap"),
    "same place": (raw({"a": tensor(), "b": tensor()}, bytes(8)), "overlap"),
    "empty in the middle": (
        raw({"a": tensor(), "b": tensor(shape=[0], data_offsets=[4, 4])}, bytes(8)),
        "overlap",
    ),
    "a script": (b"import numpy as np\n", "it begins with b'import numpy as ', as no safetensors file does"),
    "missing bytes": (raw({"a": tensor()}, bytes(7)), "expected 8 bytes of data, got 7"),
    "trailing bytes": (raw({"a": tensor()}, bytes(9)), "expected 8 bytes of data, got 9"),
    "data without tensors": (raw({}, b"x"), "expected 0 bytes of data, got 1"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused(path, content, message):
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=message) as caught:
        read(path)
    assert repr(str(path)) in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("header", [b"{}", b'{"a":"' + b"x" * 200 + b'"}'])
def test_a_header_above_the_cap_is_not_read(path, header, monkeypatch):
    monkeypatch.setattr(safetensors, "MAX_HEADER", len(header) - 1)
    path.write_bytes(raw(header))
    with pytest.raises(DamagedFileError, match="a header of at most"):
        read(path)


def test_entries_may_stand_in_any_order(path):
    header = {"b": tensor(data_offsets=[8, 16]), "a": tensor(), "e": tensor("U8", [0], [8, 8])}
    path.write_bytes(raw(header, np.arange(4, dtype="f4").tobytes()))
    got, _ = read(path)
    assert list(got) == ["b", "a", "e"]
    assert got["b"].tolist() == [2, 3]


def test_a_hostile_shape_allocates_nothing(path):
    path.write_bytes(raw({"a": tensor("U8", [2**40], [0, 2**40])}, bytes(8)))
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError, match="cut off"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


def test_a_file_that_shrinks_while_it_is_read(path, monkeypatch):
    check = safetensors._check_cover

    def cut_then_check(*arguments):
        check(*arguments)
        os.truncate(path, path.stat().st_size - 4)

    monkeypatch.setattr(safetensors, "_check_cover", cut_then_check)
    write(path, {"w": np.zeros(100_000, "f4")}, {})
    with pytest.raises(DamagedFileError, match="'w': expected 400,000 bytes, got 399,996"):
        read(path)


def test_read_refuses_what_is_not_a_file(tmp_path):
    with pytest.raises(DamagedFileError, match="expected a regular file, got a folder"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent")


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_read_does_not_wait_at_a_pipe(path):
    os.mkfifo(path)
    with pytest.raises(DamagedFileError, match="pipe"):
        read(path)


def mutations(content, header_end, random_):
    """Each header byte flipped, replaced, dropped and doubled; then cuts and random damage."""
    tokens = [b"", b"0", b"-", b"9" * 25, b"[", b"{", b'"', b"\\", b",", b"null", b"1e9", b"\xff"]
    for at in range(header_end):
        yield content[:at] + bytes([content[at] ^ (1 << random_.randrange(8))]) + content[at + 1 :]
        yield content[:at] + random_.choice(tokens) + content[at + 1 :]
        yield content[:at] + random_.choice(tokens) + content[at:]
        yield content[:at] + content[at : at + 1] + content[at:]
    for at in range(len(content)):
        yield content[:at]
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(random_.randint(1, 4)):
            damaged[random_.randrange(len(content))] = random_.randrange(256)
        yield bytes(damaged)


def test_fuzz(path):
    write(path, SAMPLE, NOTES)
    content = path.read_bytes()
    header_end = 8 + struct.unpack("<Q", content[:8])[0]
    outcomes = {"read": 0, "refused": 0}
    for damaged in mutations(content, header_end, random.Random(0)):
        path.write_bytes(damaged)
        try:
            tensors, metadata = read(path)
        except DamagedFileError:
            outcomes["refused"] += 1
            continue
        outcomes["read"] += 1
        assert sum(array.nbytes for array in tensors.values()) <= len(damaged)
        assert all(type(text) is str for pair in metadata.items() for text in pair)
        write(path, tensors, metadata)  # what is accepted can be written, and is the same then
        again, notes = read(path)
        assert list(again) == list(tensors)
        assert all(again[name].tobytes() == tensors[name].tobytes() for name in tensors)
        assert notes == metadata
    assert outcomes["read"] > 100, outcomes
    assert outcomes["refused"] > 1000, outcomes


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/fd")
def test_no_file_stays_open(path):
    write(path, SAMPLE, NOTES)
    before = len(os.listdir("/proc/self/fd"))
    for content in [path.read_bytes(), b"", DAMAGE["gap between"][0]]:
        path.write_bytes(content)
        with contextlib.suppress(DamagedFileError):
            read(path)
    assert len(os.listdir("/proc/self/fd")) == before
