from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.ops import Op
from fastnn.kernels.kernel import LossKernel, OptimizerKernel

_Floats = NDArray[np.float32]

class Arena:
    iterations: int
    seed: int
    owned_by: object
    def __init__(self, ops: Iterable[Op]) -> None: ...
    @property
    def ops(self) -> tuple[Op, ...]: ...
    @property
    def parameters(self) -> _Floats: ...
    @property
    def gradients(self) -> _Floats: ...
    @property
    def slots(self) -> list[_Floats]: ...
    @property
    def inputs(self) -> int: ...
    @property
    def units(self) -> int: ...
    def set_loss(
        self,
        kernel: LossKernel,
        numbers: Iterable[float],
        targets: int,
        fused: bool = False,
        from_logits: bool = False,
        metrics: Sequence[tuple[LossKernel, Iterable[float]]] = (),
        penalties: Sequence[tuple[int, int, float, float]] = (),
    ) -> None: ...
    def set_optimizer(self, kernel: OptimizerKernel, numbers: Iterable[float], slots: int) -> None: ...
    def set_numbers(self, numbers: Iterable[float]) -> None: ...
