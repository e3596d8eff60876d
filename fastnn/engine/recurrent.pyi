from collections.abc import Iterable

from fastnn.engine.ops import Op
from fastnn.kernels.kernel import Kernel

class RecurrentOp(Op):
    def __init__(
        self,
        steps: int,
        features: int,
        hidden: int,
        use_bias: bool = True,
        activation: Kernel | None = None,
        numbers: Iterable[float] = (),
        recurrent_activation: Kernel | None = None,
        recurrent_numbers: Iterable[float] = (),
        sequences: bool = False,
        states: bool = False,
        reverse: bool = False,
        initial: bool = False,
        rate: float = 0.0,
        seed: int | None = None,
        reset_after: bool = True,
    ) -> None: ...

class SimpleRNNOp(RecurrentOp): ...
