from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.arena import Arena
from fastnn.engine.description import AddedLoss, Objective, Variable
from fastnn.kernels.kernel import Kernel

_Floats = NDArray[np.float32]

REDUCTIONS: dict[str, int]

class Objectives(Arena):
    def set_objectives(self, objectives: Sequence[Objective]) -> None: ...
    @property
    def targets(self) -> int: ...
    @property
    def lines(self) -> int: ...
    @property
    def states(self) -> list[NDArray[np.float64]]: ...

class AddedLosses(Objectives):
    @property
    def added(self) -> tuple[AddedLoss, ...]: ...

class Learning(AddedLosses):
    huge: int
    iterations: int
    owned_by: object
    penalty_rows: float
    @property
    def gradients(self) -> _Floats: ...
    @property
    def part_rows(self) -> int: ...
    def set_variables(self, variables: Iterable[Variable], frozen: Sequence[bool] | None = None) -> None: ...
    def apply_constraints(self) -> None: ...
    @property
    def delays(self) -> int: ...
    def delay_for_tests(self, number: int, thread: int, seconds: float) -> None: ...

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
        row_clip: float = 0,
        row_noise: float = 0,
    ) -> None: ...

class PythonUnits(Stepping): ...
class Runner(PythonUnits): ...

_Rows = NDArray[Any]  # float32, or whole numbers of one or two bytes, or ids
_Progress = Callable[[int, float], object] | None

class Network(Runner):
    @property
    def losses_of_outputs(self) -> list[float]: ...
    def fit_epoch(
        self,
        x: _Rows,
        y: _Floats | None,
        weight: _Floats | None,
        order: NDArray[np.uint32] | None,
        batch_size: int,
        learning_rate: float | NDArray[np.float64],
        progress: _Progress = None,
        start: int = 0,
        stop: int | None = None,
    ) -> tuple[int, float, bool]: ...
    def gradient(
        self, x: _Rows, y: _Floats, weight: _Floats | None = None, *, commit: bool = False, noise: int = 0
    ) -> float: ...
    def step_on_gradients(self, gradients: _Floats, learning_rate: float) -> None: ...
    @property
    def op_not_finite(self) -> int | None: ...
    def evaluate(
        self,
        x: _Rows,
        y: _Floats | None,
        weight: _Floats | None,
        progress: _Progress = None,
        batch_size: int = 0,
    ) -> float: ...
    def predict_as_it_lies(self, x: object) -> NDArray[np.float32] | None: ...
    def predict_in_shape(self, x: object, shape: tuple[int, ...]) -> NDArray[np.float32] | None: ...
    def predict(self, x: _Rows, progress: _Progress = None) -> _Floats: ...
    def freeze(self, frozen: Sequence[bool]) -> None: ...
    def predict_in_training(self, x: _Rows, number: int = 0) -> _Floats: ...
    def penalty_value(self) -> float: ...
