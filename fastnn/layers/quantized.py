"""Weights of a layer that are kept in fewer bits, in place of float32 ones: for models that predict alone.

A layer that has some knows them by the names of its parameters; planning (``fastnn.models.graph``) gives them to its
ops and leaves these parameters out of the flat vector. A layer that is to have some may learn with what they stand for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from fastnn.engine import ops as engine
from fastnn.engine.ops import ConvolutionOp, FakeQuantizeOp
from fastnn.layers.places import Parameter
from fastnn.typing import Array, FloatArray, Shape

PANEL, PIECE = 64, 16  # columns that lie together in memory, and of those left over


class FewBits:
    """An array of weights in the shape that the layer has them; an op takes it for a matrix of some columns."""

    kind: str
    itemsize: int
    step = 1  # rows whose numbers of a column are neighbours

    def __init__(self, values: Array) -> None:
        self.shape: Shape = values.shape
        self._values: Array | None = values
        self._parts: list[Any] = []

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)

    def parts(self, *columns: int) -> list[Any]:
        """What an op multiplies by: so many columns each."""
        if self._values is not None:
            ends = np.cumsum(columns)
            if self.size % ends[-1]:
                raise ValueError(f"weights {self.shape} are no matrix of {ends[-1]} columns")
            pieces = np.split(self._values.reshape(-1, ends[-1]), ends[:-1], axis=1)
            self._parts = [self._part(piece, end) for piece, end in zip(pieces, ends, strict=True)]
            self._columns, self._depth = columns, len(pieces[0])
            self._values = None  # once in memory
        return self._parts

    def values(self) -> Array:
        """The array, as a file has it."""
        if self._values is not None:
            return self._values
        pairs = zip(self._parts, self._columns, strict=True)
        pieces = [_unpacked(part.packed, self._depth, columns, self.step) for part, columns in pairs]
        return np.concatenate(pieces, axis=1).reshape(self.shape)

    def arrays(self) -> dict[str, Array]:
        """What a file has of it, by what stands behind the weights' name."""
        return {"": self.values()}

    def floats(self) -> FloatArray:
        """The weights that it stands for."""
        raise NotImplementedError

    def _part(self, piece: Array, end: int) -> Any:
        """Columns before `end` for the engine."""
        raise NotImplementedError


def _filled(piece: Array, step: int) -> Array:
    """A matrix with zeros behind it, up to whole pieces of columns."""
    depth, columns = piece.shape
    filled = np.zeros((-(-depth // step) * step, -(-columns // PIECE) * PIECE), piece.dtype)
    filled[:depth, :columns] = piece
    return filled


def _starts(columns: int) -> list[tuple[int, int]]:
    """Where panels of so many columns begin, whole pieces, and how many each has."""
    wide = columns // PANEL * PANEL
    return [(at, PANEL) for at in range(0, wide, PANEL)] + [(at, PIECE) for at in range(wide, columns, PIECE)]


def _packed(filled: Array, step: int) -> Array:
    """Panels one behind the other, from a cache line on: each (rows / step, columns, step)."""
    whole = np.empty(filled.nbytes + 64, np.uint8)
    start = -whole.ctypes.data % 64
    packed = whole[start : start + filled.nbytes].view(filled.dtype)
    panels = [
        filled[:, at : at + width].reshape(-1, step, width).transpose(0, 2, 1).reshape(-1)
        for at, width in _starts(filled.shape[1])
    ]
    return np.concatenate(panels, out=packed)


def _unpacked(packed: Array, depth: int, columns: int, step: int) -> Array:
    rows = -(-depth // step) * step
    panels = [
        packed[at * rows : (at + width) * rows].reshape(-1, width, step).transpose(0, 2, 1).reshape(-1, width)
        for at, width in _starts(len(packed) // rows)
    ]
    return np.concatenate(panels, axis=1)[:depth, :columns]


class Int8(FewBits):
    """values * scales, a scale for each column.

    range: the least and the most of what it is multiplied by; empty where each row says it.
    """

    kind = "int8"
    itemsize = 1
    step = 4

    def __init__(self, values: Array, scales: FloatArray, range: FloatArray) -> None:
        super().__init__(values)
        self.scales, self.range = scales, range

    def parts(self, *columns: int) -> list[Any]:
        if len(self.scales) != sum(columns):
            raise ValueError(f"int8 weights {self.shape} of {sum(columns)} columns have {len(self.scales)} scales")
        return super().parts(*columns)

    def _part(self, piece: Array, end: int) -> Any:
        filled = _filled(piece, self.step)
        scales = np.zeros(filled.shape[1], np.float32)
        scales[: piece.shape[1]] = self.scales[end - piece.shape[1] : end]
        sums = filled.sum(axis=0, dtype=np.int32)
        return engine.FewBits(_packed(filled, self.step), len(piece), piece.shape[1], scales, sums, tuple(self.range))

    def arrays(self) -> dict[str, Array]:
        return {"": self.values(), "_scale": self.scales, **({"_range": self.range} if self.range.size else {})}

    def floats(self) -> FloatArray:
        return (self.values().reshape(-1, len(self.scales)) * self.scales).reshape(self.shape)

    @classmethod
    def from_arrays(cls, name: str, shape: Shape, arrays: Mapping[str, Array]) -> FewBits:
        """Those of a file. ValueError where they are none."""
        scales = _checked(f"{name}_scale", None, "f4", arrays)
        ends = _checked(f"{name}_range", (2,), "f4", arrays) if f"{name}_range" in arrays else np.empty(0, np.float32)
        if ends.size and not ends[0] <= 0 <= ends[1]:
            raise ValueError(f"{name}_range must have 0 in it, got {ends}")
        return cls(_checked(name, shape, "i1", arrays), scales, ends)


class Float16(FewBits):
    """IEEE 754's half precision: 11 bits, up to 65,504."""

    kind = "float16"
    itemsize = 2
    dtype = "f2"
    brain = False

    def _part(self, piece: Array, end: int) -> Any:
        filled = _filled(np.ascontiguousarray(piece).view(np.uint16), 1)
        return engine.FewBits(_packed(filled, 1), len(piece), piece.shape[1], brain=self.brain)

    def values(self) -> Array:
        return super().values().view(self.dtype)

    def floats(self) -> FloatArray:
        return self.values().astype(np.float32)

    @classmethod
    def from_arrays(cls, name: str, shape: Shape, arrays: Mapping[str, Array]) -> FewBits:
        """Those of a file. ValueError where they are none."""
        return cls(_checked(name, shape, cls.dtype, arrays))


class BFloat16(Float16):
    """float32 without the last 16 bits: 8 bits, of the same range. NumPy has no such type: two bytes, ``V2``."""

    kind = "bfloat16"
    dtype = "V2"
    brain = True

    def floats(self) -> FloatArray:
        wide: FloatArray = (self.values().view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return wide


def rounded(weights: FloatArray) -> Array:
    """Finite float32 as bfloat16, to the nearest, a half to the even one; what is beyond its range is infinite."""
    bits = np.ascontiguousarray(weights, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16).view("V2")


def int8_of(weights: FloatArray, columns: int, range: Any = None) -> Int8:
    """Finite weights as int8, by the largest of each of so many columns."""
    matrix = weights.reshape(-1, columns).astype(np.float64)
    scales = (np.abs(matrix).max(axis=0) / 127).astype(np.float32)
    values = np.rint(matrix / np.where(scales > 0, scales, 1)).clip(-127, 127).astype(np.int8)
    ends = np.empty(0, np.float32) if range is None else np.array(range, np.float32)
    return Int8(values.reshape(weights.shape), scales, ends)


class StraightThrough:
    """A constraint that keeps weights at what int8 has for them, and what that takes from them for the next step.

    So a step goes from the weights as they would be without it, by the gradient at those that int8 has: the
    straight-through estimator. columns: of the matrix that the op takes the weights for. first: a constraint before it.
    """

    def __init__(self, columns: int, first: Any = None) -> None:
        self.columns, self.first = columns, first
        self._rest: Any = 0

    def __call__(self, w: FloatArray) -> FloatArray:
        whole: FloatArray = w + self._rest
        if self.first is not None:
            from fastnn.constraints import applied

            whole = np.asarray(applied(self.first, whole), np.float32)
        if not np.isfinite(whole).all():
            return whole
        given: FloatArray = int8_of(whole, self.columns).floats()
        self._rest = whole - given
        return given


def aware(layer: Any) -> dict[str, StraightThrough]:
    """What a layer's weights learn with that are to be quantised, by their names; none as a rule."""
    found: dict[str, StraightThrough] = vars(layer).get("_aware", {})
    return found


def with_straight_through(layer: Any, parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """A layer's parameters, those with a constraint more that are to be quantised."""
    found = []
    for each in parameters:
        own = aware(layer).get(each.name)
        if own is not None:
            own.first = each.constraint
            each = each._replace(constraint=own)
        found.append(each)
    return tuple(found)


def fake_quantized(op: Any) -> FakeQuantizeOp:
    """What makes of rows what they count as for an op whose weights are quantised."""
    row = op.widths[0]
    width = row if isinstance(op, ConvolutionOp) else op.kernels()[0][0]
    return FakeQuantizeOp(width, row // width)


def quantized(layer: Any) -> dict[str, FewBits]:
    """The quantised weights of a layer by their names; none as a rule."""
    found: dict[str, FewBits] = vars(layer).get("_quantized", {})
    return found


def quantized_in(description: Any) -> dict[str, FewBits]:
    """The quantised weights of a model, by name: "dense/kernel"."""
    paths = description.paths()
    return {f"{paths[layer]}/{name}": each for layer in description.layers() for name, each in quantized(layer).items()}


def check_learns(description: Any, action: str) -> None:
    """RuntimeError for a model that predicts alone."""
    if any(map(quantized, description.layers())):
        raise RuntimeError(
            f"{action}: a quantised model predicts, and does not learn; train the model that it was made of, which "
            "fastnn.compress.quantization_aware makes ready for it, and quantise that again"
        )


def kept(layer: Any, parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """Those of a layer's parameters that are float32."""
    return tuple(each for each in parameters if each.name not in quantized(layer))


def quantize_ops(layer: Any, parameters: Sequence[Parameter], ops: Sequence[Any]) -> None:
    """Give a layer's ops their quantised weights. The parameters are all of the layer's, in the ops' order."""
    place = 0
    for op in ops:
        size, first = op.size, place
        while size > 0:
            size -= parameters[place].size
            place += 1
        given = [quantized(layer).get(each.name) for each in parameters[first:place]][: len(op.kernels())]
        if given and all(each is not None for each in given):
            op.quantize(given)


def _checked(name: str, shape: Shape | None, dtype: str, arrays: Mapping[str, Array]) -> Any:
    """The array of that name. ValueError where it is not of that shape (None: any of one axis) and type."""
    found = arrays.get(name)
    if found is None or found.dtype.str[1:] != dtype or (found.ndim != 1 if shape is None else found.shape != shape):
        came = "nothing" if found is None else f"{found.dtype} {found.shape}"
        raise ValueError(f"weights {name!r:.200} must be {np.dtype(dtype)} {shape or '(columns,)'}, got {came}")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise ValueError(f"{name!r:.200} must be finite numbers")
    return found
