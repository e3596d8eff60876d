from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.added_losses import AddedLosses
from fastnn.engine.description import Variable
from fastnn.kernels.kernel import Kernel

_Floats = NDArray[np.float32]

class Learning(AddedLosses):
    huge: int
    iterations: int
    owned_by: object
    @property
    def gradients(self) -> _Floats: ...
    @property
    def slots(self) -> list[_Floats]: ...
    def set_variables(self, variables: Iterable[Variable], frozen: Sequence[bool] | None = None) -> None: ...
    def set_optimizer(
        self,
        kernel: Kernel,
        numbers: Iterable[float],
        slot_starts: Sequence[float] = (),
        *,
        accumulation: int = 1,
        average: bool = False,
    ) -> None: ...
    def apply_constraints(self) -> None: ...
    def set_numbers(
        self,
        numbers: Iterable[float],
        *,
        weight_decay: float | None = None,
        clipvalue: float | None = None,
        clipnorm: float | None = None,
        global_clipnorm: float | None = None,
        ema_momentum: float | None = None,
        ema_overwrite_frequency: int | None = None,
    ) -> None: ...
    @property
    def delays(self) -> int: ...
    def delay_for_tests(self, number: int, thread: int, seconds: float) -> None: ...
