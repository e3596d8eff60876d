"""Requests and responses of the Open Inference Protocol v2, in JSON and with the binary tensor extension.

Source: https://github.com/kserve/open-inference-protocol, inference_rest.md and extension_binary_data.md.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn import _names
from fastnn._checks import shown

if TYPE_CHECKING:
    from fastnn.typing import Array

DATATYPES = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
MAX_AXES = 32
_NONE: dict[str, Any] = {}
JSON, BINARY = b"application/json", b"application/octet-stream"


class RequestError(ValueError):
    """What is wrong with a request, as its client is told. status: of HTTP."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Tensor(NamedTuple):
    """What metadata says of an input or output. shape: of a row, without the axis of the rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def described(self) -> dict[str, Any]:
        """As the protocol has it, -1 for the number of rows."""
        return {"name": self.name, "datatype": self.datatype, "shape": [-1, *self.shape]}


class Request(NamedTuple):
    """An inference request.

    outputs: by the names that are asked for, whether as bytes; None for all. every: whether they are bytes unless they
    say otherwise.
    """

    id: str | None
    parameters: Mapping[str, Any]
    tensors: dict[str, Array]
    outputs: dict[str, bool] | None
    every: bool

    @property
    def rows(self) -> int:
        """How many rows the first tensor has."""
        return len(next(iter(self.tensors.values())))


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _plain_loads(data: Any) -> Any:
    return json.loads(bytes(data), parse_constant=_constant)


def _plain_dumps(value: Any) -> bytes:
    text = json.dumps(value, default=_numbers, separators=(",", ":"))
    return text.encode()


def _numbers(values: Any) -> list[Any]:
    """As orjson writes them: null for what is not finite."""
    return [each if isfinite(each) else None for each in values.tolist()]


def _codec() -> tuple[Callable[[Any], Any], Callable[[Any], bytes]]:
    """What reads and writes JSON: orjson where it is installed."""
    try:
        import orjson
    except ImportError:
        return _plain_loads, _plain_dumps
    return orjson.loads, lambda value: orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


loads, dumps = _codec()


def decoded(body: bytes, length: bytes | None) -> Request:
    """The request in a body. length: of its JSON, where tensors' bytes follow, as the header has it.

    RequestError for all that the protocol does not allow.
    """
    tail: memoryview | None = None
    given: Any = body
    if length is not None:
        if not length.isdigit() or len(length) > 18 or int(length) > len(body):
            raise RequestError(
                f"Inference-Header-Content-Length must be the bytes of JSON in the body, 0 to {len(body)}, got "
                f"{shown(length.decode('latin-1'))}"
            )
        view = memoryview(body)
        given, tail = view[: int(length)], view[int(length) :]
    try:
        request = loads(given)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is no JSON: {str(error) or 'it is nested too deep'}") from None
    if not isinstance(request, dict):
        raise RequestError(f"the body must be a JSON object, got {shown(request)}")
    ident = request.get("id")
    if ident is not None and not isinstance(ident, str):
        raise RequestError(f"id must be a string, got {shown(ident)}")
    parameters = _parameters(request, "")
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise RequestError(f"inputs must be a list of at least one tensor, got {shown(inputs)}")
    tensors: dict[str, Array] = {}
    at = 0
    for number, each in enumerate(inputs):
        if not isinstance(each, dict):
            raise RequestError(f"inputs[{number}] must be an object, got {shown(each)}")
        name = each.get("name")
        if not isinstance(name, str):
            raise RequestError(f"inputs[{number}].name must be a string, got {shown(name)}")
        if name in tensors:
            raise RequestError(f"inputs[{number}].name is {shown(name)}, which is there already")
        try:
            size = _parameters(each, "").get("binary_data_size")
            if size is None:
                tensors[name] = of_values(each)
                continue
            if tail is None:
                raise RequestError("a binary_data_size needs the header Inference-Header-Content-Length")
            if type(size) is not int or not 0 <= size <= len(tail) - at:
                raise RequestError(
                    f"binary_data_size must be at most the {len(tail) - at} bytes that are left of the body, got "
                    f"{shown(size)}: is it cut off?"
                )
            if "data" in each:
                raise RequestError("it has data and a binary_data_size; leave one out")
            tensors[name] = of_bytes(each, tail[at : at + size])
        except RequestError as error:
            raise RequestError(f"inputs[{number}] {shown(name)}: {error}") from None
        at += size
    if tail is not None and at != len(tail):
        raise RequestError(f"the body has {len(tail) - at} bytes behind the tensors")
    every = parameters.get("binary_data_output", False)
    if not isinstance(every, bool):
        raise RequestError(f"parameters.binary_data_output must be true or false, got {shown(every)}")
    return Request(ident, parameters, tensors, _outputs(request.get("outputs"), every), every)


def _parameters(owner: dict[str, Any], what: str) -> Mapping[str, Any]:
    found = owner.get("parameters")
    if found is None:
        return _NONE
    if not isinstance(found, dict):
        raise RequestError(f"{what}parameters must be an object, got {shown(found)}")
    return found


def _outputs(given: Any, every: bool) -> dict[str, bool] | None:
    """Which outputs are asked for, and whether as bytes."""
    if given is None:
        return None
    if not isinstance(given, list):
        raise RequestError(f"outputs must be a list of objects with a name, got {shown(given)}")
    asked: dict[str, bool] = {}
    for number, each in enumerate(given):
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(name, str):
            raise RequestError(f"outputs[{number}] must be an object with a name, got {shown(each)}")
        binary = _parameters(each, f"outputs[{number}].").get("binary_data", every)
        if not isinstance(binary, bool):
            raise RequestError(f"outputs[{number}].parameters.binary_data must be true or false, got {shown(binary)}")
        asked[name] = binary
    return asked or None


def _declared(tensor: dict[str, Any]) -> tuple[list[int], str]:
    """The shape and the datatype that a tensor says it has."""
    shape, datatype = tensor.get("shape"), tensor.get("datatype")
    good = isinstance(shape, list) and 1 <= len(shape) <= MAX_AXES
    if good:
        assert isinstance(shape, list)
        for side in shape:
            if type(side) is not int or not 0 <= side < 2**62:
                good = False
    if not good:
        raise RequestError(f"shape must be a list of 1 to {MAX_AXES} whole numbers from 0, got {shown(shape)}")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise RequestError(f"datatype must be one of {', '.join(DATATYPES)}, got {shown(datatype)}")
    assert isinstance(shape, list)
    return shape, datatype


def of_values(tensor: dict[str, Any]) -> Array:
    """A tensor of the values that JSON, or gRPC, has for it."""
    shape, datatype = _declared(tensor)
    data = tensor.get("data")
    if not isinstance(data, list):
        raise RequestError(f"data must be a list, got {shown(data) if 'data' in tensor else 'none'}")
    flat, axes = data, [len(data)]
    while flat and type(flat[0]) is list:
        axes.append(len(flat[0]))
        for each in flat:
            if type(each) is not list or len(each) != axes[-1]:
                raise RequestError(f"data must be flat, or nested as its shape {shown(shape)} says")
        flat = [inner for each in flat for inner in each]
    if prod(shape) != len(flat) or (len(axes) > 1 and axes != shape):
        raise RequestError(f"its shape {shown(shape)} is of {prod(shape)} values, got data of the shape {axes}")
    dtype = DATATYPES[datatype]
    kind = dtype.kind
    kinds = set(map(type, flat))
    if not kinds <= _TYPES[kind]:
        odd = next(each for each in flat if type(each) not in _TYPES[kind])
        raise RequestError(f"data must be {_WORDS[kind]} for {datatype}, got {shown(odd)}")
    if kind == "f":
        return _floats(flat, kinds, dtype).reshape(shape)
    array = np.empty(len(flat), dtype)
    try:
        array[:] = flat
    except OverflowError:
        limits: Any = np.iinfo(dtype)
        raise RequestError(f"data must be {limits.min} to {limits.max} for {datatype}, got more") from None
    return array.reshape(shape)


_WORDS = {"b": "true and false", "i": "whole numbers", "u": "whole numbers", "f": "numbers", "O": "strings"}
_TYPES: dict[str, set[type]] = {
    "b": {bool},
    "i": {int},
    "u": {int},
    "f": {int, float, type(None)},
    "O": {str, type(None)},
}


def _floats(flat: list[Any], kinds: set[type], dtype: np.dtype[Any]) -> Array:
    """Numbers, NaN for null."""
    if type(None) in kinds:
        flat = [np.nan if each is None else each for each in flat]
    try:
        # Plain Python is as quick as NumPy for a row, and less of it is new to a cache that others have used.
        if flat and min(flat) >= -LARGEST and max(flat) <= LARGEST and dtype.itemsize >= 4:
            return np.array(flat, dtype)
        with np.errstate(over="ignore"):
            return np.array(flat, dtype)
    except OverflowError:  # a whole number of hundreds of digits
        raise RequestError("data must be numbers of at most eight bytes, got a larger one") from None


LARGEST = float(np.finfo(np.float32).max)


def of_bytes(tensor: dict[str, Any], data: Any) -> Array:
    """A tensor of the bytes that the binary extension, or gRPC, has for it."""
    shape, datatype = _declared(tensor)
    dtype, count = DATATYPES[datatype], prod(shape)
    if datatype == "BYTES":
        return _texts_of_bytes(data, count).reshape(shape)
    if len(data) != count * dtype.itemsize:
        raise RequestError(f"{datatype} of the shape {shown(shape)} is {count * dtype.itemsize} bytes, got {len(data)}")
    if dtype.kind == "b" and any(each > 1 for each in bytes(data)):
        raise RequestError("bytes of BOOL must be 0 or 1")
    found = np.frombuffer(data, dtype) if count else np.empty(0, dtype)
    return (found if found.flags.aligned else found.copy()).reshape(shape)


def _texts_of_bytes(data: Any, count: int) -> Array:
    """Texts, each with its length before it in four bytes."""
    texts: list[str] = []
    at = 0
    while at < len(data):
        end = at + 4
        if end <= len(data):
            end += struct.unpack_from("<I", data, at)[0]
        if end > len(data) or at + 4 > len(data):
            raise RequestError(f"a text of BYTES is cut off at byte {at} of {len(data)}")
        try:
            texts.append(bytes(data[at + 4 : end]).decode())
        except UnicodeDecodeError:
            raise RequestError(f"a text of BYTES at byte {at} is no UTF-8") from None
        at = end
    if len(texts) != count:
        raise RequestError(f"its shape is of {count} texts, got {len(texts)}")
    found = np.empty(count, object)
    found[:] = texts
    return found


def are_finite(values: Array) -> bool:
    """Whether all of some float32 numbers are finite."""
    if values.size <= FEW:
        return isfinite(sum(values.ravel().tolist()))
    return isfinite(values.min()) and isfinite(values.max())  # both are NaN where one number is


FEW = 64  # numbers that are added up without NumPy


def encoded(
    model: str, version: str, request: Request, named: Sequence[tuple[Tensor, Array]], parameters: Any = None
) -> tuple[bytes, int | None]:
    """The body of a response, and the length of its JSON where bytes follow. RequestError for an unknown output."""
    outputs: list[dict[str, Any]] = []
    tails: list[bytes] = []
    asked, every = request.outputs, request.every
    if asked is not None:
        found = {tensor.name: (tensor, values) for tensor, values in named}
        for name in asked:
            if name not in found:
                raise RequestError(
                    f"outputs: unknown {shown(name)}{_names.hint(name, found)}; the model has {', '.join(found)}"
                )
        named = [found[name] for name in asked]
    for tensor, values in named:
        said: dict[str, Any] = {"name": tensor.name, "shape": values.shape, "datatype": tensor.datatype}
        if every if asked is None else asked[tensor.name]:
            tails.append(values.tobytes())
            said["parameters"] = {"binary_data_size": len(tails[-1])}
        else:
            said["data"] = values.ravel()
        outputs.append(said)
    response: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    if request.id is not None:
        response["id"] = request.id
    if parameters:
        response["parameters"] = parameters
    body = dumps(response)
    if b"null" in body:  # what takes the place of numbers that JSON has not, unless a name is so
        for said, (tensor, values) in zip(outputs, named, strict=True):
            if "data" in said and not are_finite(values):
                raise RequestError(
                    f"output {tensor.name!r} is not finite, which JSON has no number for; check the inputs, or ask "
                    "for it as binary data"
                )
    return (b"".join((body, *tails)), len(body)) if tails else (body, None)
