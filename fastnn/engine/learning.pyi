from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.added_losses import AddedLosses
from fastnn.engine.description import Variable

_Floats = NDArray[np.float32]

class Learning(AddedLosses):
    huge: int
    iterations: int
    owned_by: object
    @property
    def gradients(self) -> _Floats: ...
    def set_variables(self, variables: Iterable[Variable], frozen: Sequence[bool] | None = None) -> None: ...
    def apply_constraints(self) -> None: ...
    @property
    def delays(self) -> int: ...
    def delay_for_tests(self, number: int, thread: int, seconds: float) -> None: ...
