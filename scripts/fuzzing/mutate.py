"""Changes files of the safetensors layout: their bytes, their headers, and the JSON texts in their metadata."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from math import prod
from typing import Any

MOST_BYTES = 2**28  # of arrays that are made anew
NUMBERS = [0, 1, -1, 2, 3, 7, 255, 256, 1000, 65535, 2**24 + 1, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63]
NUMBERS += [2**64, 10**30, 10**400, -(2**31), -(2**63), 0.5, -0.0, 1e-45, 1e30, 1e39, 1e308]
NUMBERS += [float("nan"), float("inf"), float("-inf")]
TEXTS = [
    "",
    "x",
    "/",
    "..",
    "canary",
    "checkpoints/x",
    "a/b",
    "dense",
    "relu",
    "mse",
    "sgd",
    "adam",
    "\0",
    "\n",
    "é",
    "\ud800",
    "a" * 5000,
]
TEXTS += ["__class__", "__init__", "F32", "functional", "sequential", "layer", "model", "one", "dict", "nan", "1"]
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [None], {"class": "dense"}, {"": {}}, [0], [1, 2], [[0, 0]]]
UNITS: list[Any] = [
    {"family": "loss", "class": "mean_squared_error"},
    {"family": "optimizer", "class": "adam"},
    {"family": "model", "layers": [], "models": []},
    {"family": "layer", "class": "dense", "units": 3},
    {"family": "layer", "class": "dropout", "rate": 2},
    {"family": "activation", "class": "relu"},
    {"family": "initializer", "class": "zeros"},
    {"family": "constraint", "class": "max_norm"},
    {"family": "schedule", "class": "exponential_decay"},
    {"function": "own_function"},
    {"function": []},
]
DTYPES = ["F64", "F32", "F16", "BF16", "I64", "I32", "I8", "U8", "BOOL", "f32", "", 4, None]
WAYS = ["dtype", "shape", "offsets", "rename", "delete", "copy", "grow", "order", "metadata", "format", "values", "any"]
WAYS += ["stale text", "length", "swap", "tensors", "data", "resize", "resize", "resize"]
FORMATS = [
    "fastnn 1",
    "fastnn 2",
    "fastnn 3",
    "fastnn 4",
    "fastnn 99999",
    "fastnn weights 3",
    "fastnn backup 1",
    "",
    "3",
]


class Nested(list[Any]):
    """Stands for lists in lists, objects in objects or digits, more than `json` can write."""

    def __init__(self, depth: int, brackets: str) -> None:
        super().__init__()
        self.depth, self.brackets = depth, brackets


class Parts:
    """A file, taken apart. raw: what stands in the place of all else, where the bytes were altered."""

    def __init__(self, content: bytes) -> None:
        (length,) = struct.unpack("<Q", content[:8])
        self.header: dict[str, Any] = json.loads(content[8 : 8 + length])
        self.data = content[8 + length :]
        self.length: int | None = None  # what the file says of its header, where that is not so
        metadata = self.header["__metadata__"]
        self.texts = {name: json.loads(metadata[name]) for name in ("model", "place") if name in metadata}

    def joined(self) -> bytes:
        """The file."""
        header = dict(self.header)
        metadata = header.get("__metadata__")
        if isinstance(metadata, dict):
            header["__metadata__"] = {**metadata, **{name: _text(each) for name, each in self.texts.items()}}
        text = _text(header).encode("utf-8", "surrogatepass")
        length = len(text) if self.length is None else self.length
        return struct.pack("<Q", length % 2**64) + text + self.data


def _text(value: Any) -> str:
    """JSON, with nesting as deep as it is wanted."""
    found: list[Nested] = []

    def gone(each: Any) -> Any:
        if isinstance(each, Nested):
            found.append(each)
            return f"\0nested{len(found) - 1}\0"
        if isinstance(each, dict):
            return {key: gone(inner) for key, inner in each.items()}
        return [gone(inner) for inner in each] if isinstance(each, list) else each

    text = json.dumps(gone(value))
    for number, each in enumerate(found):
        deep = "[" * each.depth + "]" * each.depth
        if each.brackets == "1":
            deep = "1" * each.depth
        if each.brackets == "{":
            deep = '{"a":' * each.depth + "1" + "}" * each.depth
        text = text.replace(f'"\\u0000nested{number}\\u0000"', deep)
    return text


def altered(content: bytes, others: list[bytes], rng: random.Random) -> tuple[bytes, list[str]]:
    """A file with some changes, and what they were. others: files to take pieces of."""
    notes: list[str] = []
    try:
        return _altered(content, others, rng, notes), notes
    except (RecursionError, ValueError):  # of json: too deep, or a number without end that was altered once more
        return content[:-1], [*notes, "cannot be written; the last byte is left out"]


def _altered(content: bytes, others: list[bytes], rng: random.Random, notes: list[str]) -> bytes:
    if rng.random() < 0.15:
        for _ in range(rng.choice([1, 1, 1, 2, 8])):
            content = _bytes(content, others, rng, notes)
        return content
    parts = Parts(content)
    for _ in range(rng.choice([1, 1, 1, 1, 2, 3])):
        if parts.texts and rng.random() < 0.7:
            name = rng.choice(sorted(parts.texts))
            parts.texts[name] = _json(parts.texts[name], rng, notes, lambda: _piece(others, rng))
        else:
            _header(parts, others, rng, notes)
    content = parts.joined()
    if rng.random() < 0.03:
        content = _bytes(content, others, rng, notes)
    return content


def _bytes(content: bytes, others: list[bytes], rng: random.Random, notes: list[str]) -> bytes:
    at = rng.randrange(len(content) + 1) if rng.random() < 0.5 else rng.randrange(min(len(content), 600) + 1)
    other = rng.choice(others)
    ways = {
        "bit": lambda: content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :],
        "byte": lambda: content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :],
        "cut": lambda: content[:at],
        "drop": lambda: content[:at] + content[at + rng.randrange(1, 64) :],
        "twice": lambda: content[: at + 40] + content[at:],
        "insert": lambda: content[:at] + rng.randbytes(rng.randrange(1, 40)) + content[at:],
        "zeros": lambda: content[:at] + bytes(rng.randrange(1, 40)) + content[at + 40 :],
        "splice": lambda: content[:at] + other[rng.randrange(len(other)) :],
        "append": lambda: content + other[: rng.randrange(len(other))],
        "empty": lambda: b"",
        "length": lambda: (
            struct.pack("<Q", rng.choice([0, 1, 2, 7, len(content), 2**24, 2**31, 2**63, 2**64 - 1])) + content[8:]
        ),
    }
    way = rng.choice(sorted(ways))
    if way in ("bit", "byte") and at == len(content):
        at -= 1
    notes.append(f"{way} at {at}")
    return ways[way]() if content else b""


def _header(parts: Parts, others: list[bytes], rng: random.Random, notes: list[str]) -> None:
    header = parts.header
    names = [name for name in header if name != "__metadata__"]
    name = rng.choice(names) if names else None
    way = rng.choice(WAYS)
    notes.append(f"header: {way} {name!r:.60}")
    entry = header.get(name) if name is not None else None
    if way == "metadata":
        header["__metadata__"] = rng.choice([None, [], {}, {"format": 1}, {"format": "fastnn 3"}, "x", {"model": "{}"}])
    elif way == "format" and isinstance(header.get("__metadata__"), dict):
        header["__metadata__"]["format"] = rng.choice(FORMATS)
    elif way == "stale text" and parts.texts:
        text = rng.choice(sorted(parts.texts))
        raw = _text(parts.texts.pop(text))
        at = rng.randrange(len(raw))
        header["__metadata__"] = {
            **header["__metadata__"],
            text: rng.choice([raw[:at], raw[at:], "", "[]", "null", "NaN"]),
        }
    elif way == "length":
        parts.length = rng.choice([0, 8, 100, len(_text(header)) + 1, len(_text(header)) - 1, 2**63, 2**64 - 1])
    elif way == "tensors":
        parts.header = {**Parts(rng.choice(others)).header, "__metadata__": header.get("__metadata__")}
    elif way == "data":
        parts.data = rng.choice(
            [b"", parts.data * 2, parts.data[:-1], bytes(len(parts.data)), rng.randbytes(len(parts.data))]
        )
    elif way == "order":
        mixed = list(header)
        rng.shuffle(mixed)
        parts.header = {each: header[each] for each in mixed}
    elif way == "values":  # numbers that are not finite, denormal or huge, in their places
        values = rng.choice(
            [b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\1\0\0\0", b"\xff\xff\x7f\x7f", b"\0\0\0\x80", b"\0\0\x80\xff"]
        )
        at = 4 * rng.randrange(len(parts.data) // 4 + 1)
        parts.data = parts.data[:at] + values + parts.data[at + 4 :] if at + 4 <= len(parts.data) else parts.data
    elif way == "resize":
        _resize(parts, rng)
    elif way == "any":
        parts.header = _json(header, rng, notes, lambda: _piece(others, rng))
    elif isinstance(entry, dict):
        _entry(header, name, entry, names, way, rng)


def _resize(parts: Parts, rng: random.Random) -> None:
    """Another number wherever the file has one of its sizes, so that it may be a good file of another model."""
    entries = {name: entry for name, entry in parts.header.items() if name != "__metadata__"}
    whole = all(isinstance(each, dict) and isinstance(each.get("shape"), list) for each in entries.values())
    sizes = [size for entry in entries.values() for size in entry["shape"]] if whole else []
    if not sizes or not all(type(size) is int and 0 <= size < 10**4 for size in sizes):
        return  # it has been altered before
    old, new = rng.choice(sorted(set(sizes))), rng.choice([0, 1, 2, 3, 7, 64, 1000])
    end = 0
    for name, entry in entries.items():
        shape = [new if size == old else size for size in entry["shape"]]
        bytes_ = prod(shape) * (8 if entry.get("dtype") == "F64" else 4)
        parts.header[name] = {"dtype": entry.get("dtype"), "shape": shape, "data_offsets": [end, end + bytes_]}
        end += bytes_
    if end > MOST_BYTES:
        return
    parts.data = (parts.data + rng.randbytes(16)) * (end // (len(parts.data) + 16) + 1)
    parts.data = parts.data[:end]
    parts.texts = {name: _replaced(text, old, new) for name, text in parts.texts.items()}


def _replaced(value: Any, old: int, new: int) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, old, new) for inner in value]
    return new if type(value) is int and value == old else value


def _entry(
    header: dict[str, Any], name: Any, entry: dict[str, Any], names: list[str], way: str, rng: random.Random
) -> None:
    other = rng.choice(names)
    if way == "dtype":
        entry["dtype"] = rng.choice(DTYPES)
    elif way == "shape" and isinstance(entry.get("shape"), list):
        shape = entry["shape"] = list(entry["shape"])
        choice = rng.randrange(5)
        if choice == 0 and shape:
            shape[rng.randrange(len(shape))] = rng.choice(NUMBERS)
        elif choice == 1:
            shape.insert(0, rng.choice([0, 1, 2, 2**31]))
        elif choice == 2:
            shape.reverse()
        elif choice == 3:
            shape += [1] * rng.choice([1, 31, 62, 64, 65, 5000])
        else:
            entry["shape"] = rng.choice(OTHERS)
    elif way == "offsets":
        entry["data_offsets"] = rng.choice(
            [
                [0, 4],
                [4, 0],
                [0, 0],
                [0],
                [],
                None,
                [0, 2**63],
                [-4, 0],
                [0.0, 4.0],
                [True, 5],
                header[other].get("data_offsets"),
            ]
            if isinstance(header[other], dict)
            else [[0, 4]]
        )
    elif way == "rename":
        header[rng.choice([*TEXTS, other, f"{name}/x", f"optimizer/{name}"])] = header.pop(name)
    elif way == "delete":
        del header[name]
    elif way == "copy":
        header[f"{name}2"] = entry
    elif way == "swap" and other in header:
        header[name], header[other] = header[other], header[name]
    elif way == "grow":
        for number in range(rng.choice([1, 10, 1000, 5000])):
            header[f"{name}{number}"] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}


def _piece(others: list[bytes], rng: random.Random) -> Any:
    """A piece of another file's description."""
    parts = Parts(rng.choice(others))
    root: Any = parts.texts[rng.choice(sorted(parts.texts))] if parts.texts else parts.header
    paths = list(_paths(root))
    return _at(root, rng.choice(paths))


def _json(root: Any, rng: random.Random, notes: list[str], piece: Callable[[], Any]) -> Any:
    """A JSON value with one place changed; no part of the old one is altered."""
    root = json.loads(json.dumps(root)) if not _has_nested(root) else root
    paths = list(_paths(root))
    path = rng.choice(paths)
    value = _at(root, path)
    new = _changed(value, rng, piece, root, paths)
    notes.append(f"{path}: {value!r:.60} -> {new!r:.60}")
    if not path:
        return new
    parent = _at(root, path[:-1])
    if rng.random() < 0.08:
        if isinstance(parent, list):
            parent.pop(path[-1])
            notes.append("taken away")
        else:
            key = path[-1]
            moved = parent.pop(key)
            if rng.random() < 0.5:
                parent[rng.choice([*TEXTS, f"{key}s", key.upper()])] = moved
            notes.append("key taken away")
        return root
    if rng.random() < 0.1 and isinstance(parent, list):
        times = rng.choice([1, 2, 10, 60, 1000, 20000])
        parent[path[-1] : path[-1]] = [value] * times
        notes.append(f"{times} times more")
        return root
    parent[path[-1]] = new
    return root


def _changed(value: Any, rng: random.Random, piece: Callable[[], Any], root: Any, paths: list[Any]) -> Any:
    choice = rng.random()
    if choice < 0.3 and isinstance(value, (int, float)) and not isinstance(value, bool):
        return rng.choice(
            [value + 1, value - 1, value * 2, -value, float(value) if abs(value) < 1e300 else 0, str(value), [value]]
        )
    if choice < 0.3 and isinstance(value, str):
        return rng.choice([value + "x", value[:-1], value.upper(), [value], {value: value}, value * 50])
    if choice < 0.3 and isinstance(value, list):
        return rng.choice(
            [value[::-1], value * 2, value[:-1], [*value, None], dict(enumerate(map(str, value))), [value]]
        )
    if choice < 0.45:
        return rng.choice(NUMBERS)
    if choice < 0.6:
        return rng.choice(TEXTS)
    if choice < 0.7:
        return rng.choice(OTHERS)
    if choice < 0.8:
        return rng.choice(UNITS)
    if choice < 0.87:
        return piece()
    if choice < 0.9:
        return Nested(rng.choice([5, 50, 500, 900, 3000, 100000]), rng.choice("[{1"))
    return _at(root, rng.choice(paths))


def _has_nested(value: Any) -> bool:
    if isinstance(value, Nested):
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_has_nested, inner))


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """The ways to all values in a JSON value."""
    yield path
    if isinstance(value, Nested) or len(path) > 20:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:200]):
            yield from _paths(inner, (*path, number))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value
