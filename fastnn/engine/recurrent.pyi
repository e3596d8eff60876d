from collections.abc import Sequence

from fastnn.engine.ops import Op
from fastnn.kernels.kernel import Kernel

class RecurrentOp(Op):
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
    ) -> None: ...

class SimpleRNNOp(RecurrentOp): ...
class LSTMOp(RecurrentOp): ...
class GRUOp(RecurrentOp): ...

class AttentionOp(Op):
    def __init__(
        self,
        heads: int,
        groups: int,
        queries: int,
        keys: int,
        width: int,
        value_width: int,
        masks: Sequence[tuple[int, tuple[int, int, int]]] = (),
        scale: float = 1,
        causal: bool = False,
        window: int = 0,
        rate: float = 0,
        seed: int | None = None,
        apart: bool = False,
        scored: bool = False,
        states: bool = False,
    ) -> None: ...
