"""Names for types that many signatures share."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
FloatArray: TypeAlias = npt.NDArray[np.float32]
ArrayLike: TypeAlias = npt.ArrayLike
Shape: TypeAlias = tuple[int, ...]
