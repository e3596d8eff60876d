"""Names for types that many signatures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]
    FloatArray: TypeAlias = npt.NDArray[np.float32]
    DoubleArray: TypeAlias = npt.NDArray[np.float64]  # what a reference takes and gives
    ArrayLike: TypeAlias = npt.ArrayLike
else:
    # numpy.typing would be imported for nothing but their names.
    Array = FloatArray = DoubleArray = ArrayLike = Any

Shape: TypeAlias = tuple[int, ...]
