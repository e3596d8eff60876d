"""Requests and responses of the Open Inference Protocol v2, in JSON and with the binary tensor extension.

Source: https://github.com/kserve/open-inference-protocol, inference_rest.md and extension_binary_data.md.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Mapping
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
    text = json.dumps(value, default=lambda array: array.tolist(), separators=(",", ":"), allow_nan=False)
    return text.encode()


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
    parameters = _parameters(request, "parameters")
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
        what = f"inputs[{number}] {shown(name)}"
        size = _parameters(each, what).get("binary_data_size")
        if size is None:
            tensors[name] = _of_json(each, what)
            continue
        if tail is None:
            raise RequestError(f"{what} has a binary_data_size, which needs the header Inference-Header-Content-Length")
        if type(size) is not int or not 0 <= size <= len(tail) - at:
            raise RequestError(
                f"{what} binary_data_size must be at most the {len(tail) - at} bytes that are left of the body, got "
                f"{shown(size)}: is it cut off?"
            )
        if "data" in each:
            raise RequestError(f"{what} has data and a binary_data_size; leave one out")
        tensors[name] = of_bytes(each, tail[at : at + size], what)
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
        return {}
    if not isinstance(found, dict):
        raise RequestError(f"{what}: parameters must be an object, got {shown(found)}")
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
        binary = _parameters(each, f"outputs[{number}]").get("binary_data", every)
        if not isinstance(binary, bool):
            raise RequestError(f"outputs[{number}].parameters.binary_data must be true or false, got {shown(binary)}")
        asked[name] = binary
    return asked or None


def _declared(tensor: dict[str, Any], what: str) -> tuple[list[int], str]:
    """The shape and the datatype that a tensor says it has."""
    shape, datatype = tensor.get("shape"), tensor.get("datatype")
    good = isinstance(shape, list) and 1 <= len(shape) <= MAX_AXES
    if not good or not all(type(side) is int and 0 <= side < 2**62 for side in shape or ()):
        raise RequestError(f"{what}: shape must be a list of 1 to {MAX_AXES} whole numbers from 0, got {shown(shape)}")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise RequestError(f"{what}: datatype must be one of {', '.join(DATATYPES)}, got {shown(datatype)}")
    assert isinstance(shape, list)
    return shape, datatype


def _of_json(tensor: dict[str, Any], what: str) -> Array:
    shape, datatype = _declared(tensor, what)
    if "data" not in tensor:
        raise RequestError(f"{what} has no data")
    data = tensor["data"]
    if not isinstance(data, list):
        raise RequestError(f"{what}: data must be a list, got {shown(data)}")
    if datatype == "BYTES":
        return _texts(data, shape, what)
    try:
        array = np.array(data)
    except (ValueError, OverflowError):
        raise RequestError(f"{what}: data must be flat, or nested as its shape {shape} says") from None
    kind, dtype = array.dtype.kind, DATATYPES[datatype]
    if kind == "O":  # null among numbers, or whole numbers of more than eight bytes
        array = _with_missing(array, what)
        kind = "f"
    wanted = "b" if dtype.kind == "b" else "iu" if dtype.kind in "iu" else "iuf"
    if kind not in wanted and array.size:
        raise RequestError(f"{what}: data must be {_WORDS[dtype.kind]} for {datatype}, got {_example(data, kind)}")
    _check_shape(array, shape, what)
    if dtype.kind in "iu" and array.size and kind in "iu":
        limits: Any = np.iinfo(dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise RequestError(f"{what}: data must be {limits.min} to {limits.max} for {datatype}, got more")
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(dtype).reshape(shape)


_WORDS = {"b": "true and false", "i": "whole numbers", "u": "whole numbers", "f": "numbers"}


def _example(data: list[Any], kind: str) -> str:
    """What is in the data that should not be there."""
    while isinstance(data[0], list) and data[0]:
        data = data[0]
    kinds = {"U": str, "b": bool, "f": float, "i": int, "u": int}
    return shown(next((each for each in data if isinstance(each, kinds.get(kind, object))), data[0]))


def _with_missing(array: Array, what: str) -> Array:
    """Numbers, NaN for null."""
    flat = array.ravel()
    bad = next((each for each in flat if type(each) not in (int, float, type(None))), None)
    if bad is not None:
        raise RequestError(f"{what}: data must be numbers, flat or nested as its shape says, got {shown(bad)}")
    try:
        return np.array([np.nan if each is None else float(each) for each in flat]).reshape(array.shape)
    except OverflowError:
        raise RequestError(f"{what}: data must be numbers of at most eight bytes, got a larger one") from None


def _texts(data: list[Any], shape: list[int], what: str) -> Array:
    flat = data
    while flat and all(isinstance(each, list) for each in flat):
        flat = [inner for each in flat for inner in each]
    for each in flat:
        if not isinstance(each, str) and each is not None:
            raise RequestError(f"{what}: data must be strings for BYTES, got {shown(each)}")
    array = np.empty(len(flat), object)
    array[:] = flat
    _check_shape(array, shape, what)
    return array.reshape(shape)


def _check_shape(array: Array, shape: list[int], what: str) -> None:
    if prod(shape) != array.size or (array.ndim > 1 and list(array.shape) != shape):
        came = f"{array.size} numbers" if array.ndim < 2 else f"data of the shape {list(array.shape)}"
        raise RequestError(f"{what}: its shape {shown(shape)} is of {prod(shape)} numbers, got {came}")


def of_bytes(tensor: dict[str, Any], data: Any, what: str) -> Array:
    """A tensor of the bytes that the binary extension, or gRPC, has for it."""
    shape, datatype = _declared(tensor, what)
    dtype, count = DATATYPES[datatype], prod(shape)
    if datatype == "BYTES":
        return _texts_of_bytes(data, count, what).reshape(shape)
    if len(data) != count * dtype.itemsize:
        raise RequestError(
            f"{what}: {datatype} of the shape {shown(shape)} is {count * dtype.itemsize} bytes, got {len(data)}"
        )
    if dtype.kind == "b" and any(each > 1 for each in bytes(data)):
        raise RequestError(f"{what}: bytes of BOOL must be 0 or 1")
    array = np.frombuffer(data, dtype) if count else np.empty(0, dtype)
    return (array if array.flags.aligned else array.copy()).reshape(shape)


def _texts_of_bytes(data: Any, count: int, what: str) -> Array:
    """Texts, each with its length before it in four bytes."""
    found: list[str] = []
    at = 0
    while at < len(data):
        end = at + 4
        if end <= len(data):
            end += struct.unpack_from("<I", data, at)[0]
        if end > len(data) or at + 4 > len(data):
            raise RequestError(f"{what}: a text of BYTES is cut off at byte {at} of {len(data)}")
        try:
            found.append(bytes(data[at + 4 : end]).decode())
        except UnicodeDecodeError:
            raise RequestError(f"{what}: a text of BYTES at byte {at} is no UTF-8") from None
        at = end
    if len(found) != count:
        raise RequestError(f"{what}: its shape is of {count} texts, got {len(found)}")
    array = np.empty(count, object)
    array[:] = found
    return array


def are_finite(array: Array) -> bool:
    """Whether all of some float32 numbers are finite."""
    flat = array.ravel()
    # A sum of squares is finite only if all are, and is quick; beyond 1e19 it may be infinite for finite numbers.
    return isfinite(np.dot(flat, flat)) or bool(np.isfinite(flat).all())


def encoded(
    model: str, version: str, request: Request, named: Iterable[tuple[Tensor, Array]], parameters: Any = None
) -> tuple[bytes, int | None]:
    """The body of a response, and the length of its JSON where bytes follow. RequestError for an unknown output."""
    outputs: list[dict[str, Any]] = []
    tails: list[bytes] = []
    asked, every = request.outputs, request.every
    if asked is not None:
        found = {tensor.name: (tensor, array) for tensor, array in named}
        for name in asked:
            if name not in found:
                raise RequestError(
                    f"outputs: unknown {shown(name)}{_names.hint(name, found)}; the model has {', '.join(found)}"
                )
        named = [found[name] for name in asked]
    for tensor, array in named:
        said: dict[str, Any] = {"name": tensor.name, "shape": array.shape, "datatype": tensor.datatype}
        if every if asked is None else asked[tensor.name]:
            tails.append(array.tobytes())
            said["parameters"] = {"binary_data_size": len(tails[-1])}
        else:
            if not are_finite(array):
                raise RequestError(
                    f"output {tensor.name!r} is not finite, which JSON has no number for; check the inputs, or ask "
                    "for it as binary data"
                )
            said["data"] = array.ravel()
        outputs.append(said)
    response: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    if request.id is not None:
        response["id"] = request.id
    if parameters:
        response["parameters"] = parameters
    body = dumps(response)
    return (b"".join((body, *tails)), len(body)) if tails else (body, None)
