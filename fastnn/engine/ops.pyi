from collections.abc import Iterable

from numpy.typing import ArrayLike

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
    def reads_ids(self) -> bool: ...
    @property
    def held_rows(self) -> int: ...
    @property
    def knows_rows(self) -> bool: ...
    @property
    def steady(self) -> bool: ...
    @property
    def lines(self) -> int: ...
    @property
    def width(self) -> int: ...
    slices: int
    tapped: bool
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

class ColumnOp(Op): ...

class BatchNormalizationOp(ColumnOp):
    def __init__(
        self,
        units: int,
        channels: int,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        masked: bool = False,
    ) -> None: ...
    @property
    def momentum(self) -> float: ...
    @property
    def epsilon(self) -> float: ...
    @property
    def center(self) -> bool: ...
    @property
    def scale(self) -> bool: ...

class LayerNormalizationOp(ColumnOp):
    def __init__(
        self,
        units: int,
        channels: int,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        centred: bool = True,
    ) -> None: ...
    @property
    def epsilon(self) -> float: ...
    @property
    def center(self) -> bool: ...
    @property
    def scale(self) -> bool: ...
    @property
    def centred(self) -> bool: ...

class UnitNormalizationOp(LayerNormalizationOp):
    def __init__(self, units: int, channels: int, epsilon: float) -> None: ...

class ScaleShiftOp(ColumnOp):
    def __init__(self, units: int, channels: int, center: bool = True, scale: bool = True) -> None: ...
    @property
    def center(self) -> bool: ...
    @property
    def scale(self) -> bool: ...

class AffineOp(ColumnOp):
    def __init__(self, units: int, scale: ArrayLike, offset: ArrayLike) -> None: ...

class StandardizeOp(AffineOp):
    def __init__(
        self,
        units: int,
        channels: int,
        epsilon: float,
        inverse: bool = False,
        mean: ArrayLike | None = None,
        variance: ArrayLike | None = None,
        more: int = 0,
    ) -> None: ...
    @property
    def inverse(self) -> bool: ...

class PReLUOp(ColumnOp):
    def __init__(self, units: int, channels: int) -> None: ...

class IndexOp(Op):
    @property
    def choices(self) -> int: ...
    @property
    def title(self) -> str: ...

class EmbeddingOp(IndexOp):
    def __init__(self, inputs: int, choices: int, depth: int, title: str = "Embedding") -> None: ...
    @property
    def depth(self) -> int: ...

class EncodeOp(IndexOp):
    def __init__(
        self, inputs: int, choices: int, line: int = 1, counts: bool = False, title: str = "CategoryEncoding"
    ) -> None: ...
    @property
    def counts(self) -> bool: ...
