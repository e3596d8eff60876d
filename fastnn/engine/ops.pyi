from collections.abc import Iterable, Sequence
from typing import Any

from fastnn.kernels.kernel import Kernel
from fastnn.typing import Array, ArrayLike

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
    def reads_sparse(self) -> bool: ...
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
    @property
    def forward_only(self) -> bool: ...
    def kernels(self) -> tuple[tuple[int, int], ...]: ...
    def quantize(self, weights: Any) -> None: ...

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
    def kernels(self) -> tuple[tuple[int, int], ...]: ...
    def quantize(self, weights: Any) -> None: ...

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
    def kernels(self) -> tuple[tuple[int, int], ...]: ...
    def quantize(self, weights: Any) -> None: ...

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

class DrawingOp(Op):
    @property
    def seed(self) -> int | None: ...

class NoiseOp(DrawingOp):
    def __init__(self, units: int, kernel: Kernel, strength: float, seed: int | None = None) -> None: ...
    @property
    def strength(self) -> float: ...

class DropoutOp(NoiseOp):
    def __init__(self, units: int, rate: float, seed: int | None = None) -> None: ...

class SharedDropoutOp(DropoutOp):
    def __init__(self, places: ArrayLike, by_row: bool, rate: float, seed: int | None = None) -> None: ...

class SharedAlphaDropoutOp(SharedDropoutOp):
    def __init__(self, places: ArrayLike, by_row: bool, rate: float, limit: float, seed: int | None = None) -> None: ...

class MaskOp(Op):
    def __init__(self, lines: int, width: int, value: float = 0) -> None: ...

class MaskedOp(Op):
    def __init__(self, lines: int, width: int, mean: bool = False) -> None: ...

class StatesOp(Op):
    def __init__(
        self,
        sizes: tuple[int, int, int],
        unit: tuple[Kernel, tuple[float, ...]],
        gate: tuple[Kernel, tuple[float, ...]],
        use_bias: bool,
        sequences: bool,
        states: bool,
        reverse: bool,
        initial: bool,
        rate: float,
        seed: int | None,
        reset_after: bool,
        valid: bool = False,
        zero: bool = False,
        held: ArrayLike | None = None,
    ) -> None: ...
    def kernels(self) -> tuple[tuple[int, int], ...]: ...
    def quantize(self, weights: Any) -> None: ...

class RecurrentOp(StatesOp): ...
class SimpleRNNOp(RecurrentOp): ...
class LSTMOp(RecurrentOp): ...
class GRUOp(RecurrentOp): ...

class SpectralDenseOp(DenseOp):
    def __init__(self, inputs: int, units: int, use_bias: bool = True, iterations: int = 1, lines: int = 1) -> None: ...
    @property
    def iterations(self) -> int: ...

class AttentionOp(NoiseOp):
    def __init__(
        self,
        numbers: Array,
        sources: Iterable[tuple[int, int]],
        strides: Array,
        scale: float,
        rate: float,
        seed: int | None,
    ) -> None: ...

class TanhScoresOp(Op):
    def __init__(self, outer: int, queries: int, keys: int, width: int) -> None: ...

KINDS: dict[str, int]
FILLS: dict[str, int]

class PictureOp(DrawingOp):
    def __init__(
        self,
        shape: Sequence[int],
        given: Sequence[int],
        base: Sequence[float],
        drawn: str = "none",
        low: Sequence[float] = (0, 0),
        high: Sequence[float] = (0, 0),
        shared: bool = False,
        nearest: bool = False,
        fill: str = "constant",
        value: float = 0,
        window: Sequence[float] | None = None,
        channels_first: bool = False,
        seed: int | None = None,
    ) -> None: ...

class ContrastOp(DrawingOp):
    def __init__(
        self,
        pixels: int,
        channels: int,
        low: Sequence[float],
        high: Sequence[float],
        least: float,
        most: float,
        channels_first: bool = False,
        seed: int | None = None,
    ) -> None: ...

class PythonOp(Op):
    def __init__(
        self,
        layer: Any,
        inputs: Sequence[tuple[int, ...]],
        output: Sequence[int],
        weights: Sequence[tuple[int, ...]] = (),
        title: str | None = None,
    ) -> None: ...
    @property
    def layer(self) -> Any: ...
    @property
    def title(self) -> str: ...
    @property
    def gave_not_finite(self) -> bool: ...

class PythonActivationOp(PythonOp):
    def __init__(self, units: int, activation: Any, title: str | None = None) -> None: ...

class FewBits:
    @property
    def packed(self) -> Any: ...
    def __init__(
        self,
        packed: ArrayLike,
        depth: int,
        columns: int,
        scales: ArrayLike | None = None,
        sums: ArrayLike | None = None,
        range: Iterable[float] = (),
        brain: bool = False,
    ) -> None: ...

class FakeQuantizeOp(Op):
    def __init__(self, units: int, lines: int = 1) -> None: ...
