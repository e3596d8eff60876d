from collections.abc import Iterable

from fastnn.kernels.kernel import Kernel

class Op:
    @property
    def read_count(self) -> int: ...
    @property
    def inputs(self) -> int: ...
    @property
    def units(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def row_size(self) -> int: ...
    @property
    def random(self) -> bool: ...
    @property
    def lines(self) -> int: ...
    @property
    def width(self) -> int: ...
    slices: int
    training: int
    @property
    def widths(self) -> tuple[int, ...]: ...
    @property
    def whole_batch(self) -> bool: ...
    @property
    def takes_gil(self) -> bool: ...
    @property
    def commits(self) -> bool: ...
    @property
    def frozen(self) -> bool: ...

class Activated(Op):
    @property
    def kernel(self) -> Kernel: ...

class DenseOp(Activated):
    def __init__(
        self,
        inputs: int,
        units: int,
        use_bias: bool = True,
        activation: Kernel | None = None,
        numbers: Iterable[float] = (),
        lines: int = 1,
    ) -> None: ...
    @property
    def use_bias(self) -> bool: ...

class ActivationOp(Activated):
    def __init__(
        self,
        units: int,
        activation: Kernel | None = None,
        numbers: Iterable[float] = (),
        lines: int = 1,
    ) -> None: ...
