from collections.abc import Iterable

from numpy.typing import ArrayLike

from fastnn.kernels.kernel import Kernel
from fastnn.typing import DoubleArray

class TallyKernel(Kernel):
    def size(self, units: int, targets: int, numbers: Iterable[float]) -> int: ...
    def __call__(
        self,
        y: ArrayLike,
        output: ArrayLike,
        state: DoubleArray,
        numbers: Iterable[float],
        weight: ArrayLike | None = None,
    ) -> None: ...
