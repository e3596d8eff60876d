from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.running import Runner

_Floats = NDArray[np.float32]
_Rows = NDArray[Any]  # float32, or whole numbers of one or two bytes, or ids
_Progress = Callable[[int, float], object] | None

class Network(Runner):
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
    def predict(self, x: _Rows, progress: _Progress = None) -> _Floats: ...
    def predict_in_training(self, x: _Rows, number: int = 0) -> _Floats: ...
    def penalty_value(self) -> float: ...
