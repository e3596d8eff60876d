from numpy.typing import ArrayLike

from fastnn.engine.ops import Op
from fastnn.kernels.kernel import Kernel

class NoiseOp(Op):
    def __init__(self, units: int, kernel: Kernel, strength: float, seed: int | None = None) -> None: ...
    @property
    def strength(self) -> float: ...
    @property
    def seed(self) -> int | None: ...

class DropoutOp(NoiseOp):
    def __init__(self, units: int, rate: float, seed: int | None = None) -> None: ...

class SharedDropoutOp(DropoutOp):
    def __init__(self, places: ArrayLike, by_row: bool, rate: float, seed: int | None = None) -> None: ...

class SharedAlphaDropoutOp(SharedDropoutOp):
    def __init__(self, places: ArrayLike, by_row: bool, rate: float, limit: float, seed: int | None = None) -> None: ...
