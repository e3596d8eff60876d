from collections.abc import Sequence

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

class PictureOp(Op):
    def __init__(
        self,
        shape: Sequence[int],
        given: Sequence[int],
        base: Sequence[float],
        drawn: str = "none",
        low: Sequence[float] = (0, 0),
        high: Sequence[float] = (0, 0),
        shared: bool = False,
        nearest: bool = False,
        fill: str = "constant",
        value: float = 0,
        window: Sequence[float] | None = None,
        channels_first: bool = False,
        seed: int | None = None,
    ) -> None: ...

class ContrastOp(Op):
    def __init__(
        self,
        pixels: int,
        channels: int,
        low: Sequence[float],
        high: Sequence[float],
        least: float,
        most: float,
        channels_first: bool = False,
        seed: int | None = None,
    ) -> None: ...
