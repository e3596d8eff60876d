from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.learning import Learning
from fastnn.kernels.kernel import Kernel

_Floats = NDArray[np.float32]

class Stepping(Learning):
    @property
    def slots(self) -> list[_Floats]: ...
    def set_optimizer(
        self,
        kernel: Kernel,
        numbers: Iterable[float],
        slot_starts: Sequence[float] = (),
        *,
        accumulation: int = 1,
        average: bool = False,
    ) -> None: ...
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
