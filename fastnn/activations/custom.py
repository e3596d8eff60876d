"""A Python function as an activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from fastnn._checks import shown
from fastnn._numbers import as_numbers
from fastnn._table import check_family
from fastnn.activations.base import Activation
from fastnn.typing import Array, ArrayLike, DoubleArray, FloatArray

__all__ = ["Custom"]

# The step of a central difference, times max(1, |z|). In float64 its two errors, step^2 / 6 of the third derivative
# and 2e-16 / step of the value, meet near it.
STEP = 6e-6


@dataclass(frozen=True, eq=False, repr=False)
class Custom(Activation):
    """A Python function a = function(z), elementwise on arrays. It runs with the GIL, once for each batch of rows.

    derivative: its slope da/dz, elementwise on arrays; without it the slope is taken from central differences of
    function, which then must work in float64. name: what a saved model calls it by, unless given ``function.__name__``.
    ValueError at the first use where function does not keep the shape or is not elementwise.
    """

    function: Callable[[Any], Any] = field(metadata={"saved": False})
    derivative: Callable[[Any], Any] | None = field(default=None, metadata={"saved": False})
    name: str | None = None
    table_name: ClassVar[str] = "custom"
    kernel: ClassVar[Any] = None

    def __post_init__(self) -> None:
        for what in ("function", "derivative"):
            given = getattr(self, what)
            if not callable(given) and not (what == "derivative" and given is None):
                raise TypeError(f"Custom: {what} must be a function of an array, got {shown(given)}")
            check_family(given, "activation")
        if self.name is None:
            object.__setattr__(self, "name", getattr(self.function, "__name__", type(self.function).__name__))

    @classmethod
    def of(cls, activation: Activation) -> Custom:
        """An activation that runs in Python, as what its layer calls."""
        if isinstance(activation, cls):
            return activation
        return cls(activation, getattr(activation, "derivative", None), type(activation).__name__)

    def numbers(self) -> tuple[float, ...]:
        """None: there is no kernel to read them."""
        return ()

    def reference(self, z: DoubleArray) -> DoubleArray:
        return np.asarray(self.function(np.asarray(z, float)), float)

    def __call__(self, x: ArrayLike) -> Array:
        """function(x): float32 for float32 in, else float64; shape of x."""
        z = as_numbers(x, "x")
        return self._values(self.function, z if z.dtype == np.float32 else z.astype(np.float64))

    def forward(self, z: FloatArray) -> FloatArray:
        """The function's values. (rows, units) -> (rows, units). ValueError where it is not elementwise."""
        self._check()
        return self._values(self.function, z)

    def backward(self, z: FloatArray, a: FloatArray, d: FloatArray) -> FloatArray:
        """dL/dz from dL/da: d times the slope at z; all (rows, units)."""
        self._check()
        if self.derivative is not None:
            return np.asarray(d * self._values(self.derivative, z), np.float32)
        middle = z.astype(np.float64)
        step = STEP * np.maximum(1.0, np.abs(middle))
        ends = [self._values(self.function, middle + sign * step) for sign in (1, -1)]
        return np.asarray(d * (ends[0] - ends[1]) / (2 * step), np.float32)

    def _values(self, f: Callable[[Any], Any], z: Array) -> Array:
        """f(z) in z's type, of a z that f cannot write to. ValueError for another shape or too few digits."""
        given = z.view()
        given.flags.writeable = False
        values = as_numbers(f(given), f"activation {self.name!r}")
        if values.shape != z.shape:
            raise ValueError(
                f"activation {self.name!r} gave shape {values.shape} for an array of shape {z.shape}; it must keep "
                "the shape. Write a layer with forward and backward for what does not"
            )
        if z.dtype == np.float64 and values.dtype in (np.float32, np.float16):
            raise ValueError(
                f"activation {self.name!r} gave {values.dtype} for float64, too few digits for differences; "
                f"give its slope: fastnn.activations.Custom({self.name}, derivative=...)"
            )
        return values.astype(z.dtype, copy=False)

    def _check(self) -> None:
        """Once: that each number alone gives what it gives among others."""
        if getattr(self, "_checked", False):
            return
        numbers = np.linspace(-2.0, 2.5, 12, dtype=np.float32)
        probe = numbers[5 * np.arange(12) % 12].reshape(4, 3)  # out of order, so that a sort or a running sum shows
        with np.errstate(all="ignore"):
            together = self._values(self.function, probe)
            column = self._values(self.function, probe[:, 1:2])
            row = self._values(self.function, probe[1:2])
        if not all(
            np.allclose(alone, among, rtol=1e-5, atol=1e-6, equal_nan=True)
            for alone, among in ((column, together[:, 1:2]), (row, together[1:2]))
        ):
            raise ValueError(
                f"activation {self.name!r} is not elementwise: it gives other values for a part of an array than "
                "within the whole. Write a layer with forward and backward instead"
            )
        object.__setattr__(self, "_checked", True)
