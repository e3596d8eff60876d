from collections.abc import Iterable
from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastnn.kernels.kernel import Kernel

class MatrixPenaltyKernel(Kernel):
    def __call__(self, w: ArrayLike, g: NDArray[Any], numbers: Iterable[float] = ()) -> float: ...

class ConstraintKernel(Kernel):
    def __call__(
        self, w: NDArray[Any], numbers: Iterable[float] = (), first: int = 0, last: int | None = None
    ) -> None: ...
