from collections.abc import Iterable

from fastnn.engine.ops import Op
from fastnn.kernels.kernel import Kernel
from fastnn.typing import ArrayLike

class MergeOp(Op):
    def __init__(self, kernel: Kernel, units: int, count: int) -> None: ...

class ConcatenateOp(Op):
    def __init__(self, widths: Iterable[int], outer: int = 1) -> None: ...

class DotOp(Op):
    def __init__(
        self,
        depth: int,
        left: int,
        left_inner: int,
        right: int,
        right_inner: int,
        normalize: bool = False,
    ) -> None: ...

class StridedCopyOp(Op):
    def __init__(self, inputs: int, shape: Iterable[int], strides: Iterable[int], first: int = 0) -> None: ...

REDUCTIONS: tuple[str, ...]

class ReduceOp(Op):
    def __init__(self, which: str, outer: int, n: int, inner: int) -> None: ...

class ConstantOp(Op):
    def __init__(self, inputs: int, numbers: ArrayLike) -> None: ...

class ParameterOp(Op):
    def __init__(self, inputs: int, units: int) -> None: ...

class PhaseOp(Op):
    def __init__(self, units: int) -> None: ...
