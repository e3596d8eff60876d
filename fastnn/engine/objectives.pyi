from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.arena import Arena
from fastnn.engine.description import Objective

REDUCTIONS: dict[str, int]

class Objectives(Arena):
    def set_objectives(self, objectives: Sequence[Objective]) -> None: ...
    @property
    def targets(self) -> int: ...
    @property
    def lines(self) -> int: ...
    @property
    def states(self) -> list[NDArray[np.float64]]: ...
    @property
    def losses_of_outputs(self) -> list[float]: ...
