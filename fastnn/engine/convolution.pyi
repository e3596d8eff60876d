from collections.abc import Iterable, Sequence

from fastnn.engine.ops import Activated, Op
from fastnn.kernels.kernel import Kernel

class ConvolutionOp(Activated):
    def __init__(
        self,
        size: Sequence[int],
        kernel: Sequence[int],
        channels: int,
        filters: int,
        stride: Sequence[int] = (1, 1, 1),
        dilation: Sequence[int] = (1, 1, 1),
        groups: int = 1,
        use_bias: bool = True,
        activation: Kernel | None = None,
        numbers: Iterable[float] = (),
        transposed: bool = False,
    ) -> None: ...
    @property
    def transposed(self) -> bool: ...
    @property
    def use_bias(self) -> bool: ...
    @property
    def kernel_rows(self) -> int: ...

class PoolOp(Op):
    def __init__(
        self,
        kernel: Kernel,
        size: Sequence[int],
        pool: Sequence[int],
        stride: Sequence[int],
        channels: int,
        before: Sequence[int] = (0, 0, 0),
        after: Sequence[int] = (0, 0, 0),
    ) -> None: ...

class PadOp(Op):
    def __init__(self, size: Sequence[int], channels: int, before: Sequence[int], after: Sequence[int]) -> None: ...
