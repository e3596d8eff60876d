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
