from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.arena import Arena

REDUCTIONS: dict[str, int]

# (LossKernel or Python object, numbers, whether weighted)
_Metric = tuple[Any, Iterable[float], bool]
# (LossKernel or Python object, numbers, targets, fused, from_logits, reduction, importance, metrics)
_Goal = tuple[Any, Iterable[float], int, bool, bool, str, float, Sequence[_Metric]]

class Goals(Arena):
    def set_goals(self, goals: Sequence[_Goal]) -> None: ...
    @property
    def targets(self) -> int: ...
    @property
    def states(self) -> list[NDArray[np.float64]]: ...
    @property
    def losses_of_outputs(self) -> list[float]: ...
