from collections.abc import Sequence

from numpy.typing import NDArray

from fastnn.engine.ops import Op

class BatchNormalizationOp(Op):
    def __init__(
        self,
        units: int,
        channels: int,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
    ) -> None: ...
    @property
    def channels(self) -> int: ...
    @property
    def momentum(self) -> float: ...
    @property
    def epsilon(self) -> float: ...
    @property
    def center(self) -> bool: ...
    @property
    def scale(self) -> bool: ...

class LayerNormalizationOp(Op):
    def __init__(
        self,
        units: int,
        channels: int,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        centred: bool = True,
    ) -> None: ...
    @property
    def channels(self) -> int: ...
    @property
    def epsilon(self) -> float: ...
    @property
    def center(self) -> bool: ...
    @property
    def scale(self) -> bool: ...
    @property
    def centred(self) -> bool: ...

class AffineOp(Op):
    def __init__(
        self, units: int, scale: Sequence[float] | NDArray[float], offset: Sequence[float] | NDArray[float]
    ) -> None: ...
    @property
    def channels(self) -> int: ...

class StandardizeOp(AffineOp):
    def __init__(
        self,
        units: int,
        channels: int,
        epsilon: float,
        inverse: bool = False,
        mean: Sequence[float] | None = None,
        variance: Sequence[float] | None = None,
        more: int = 0,
    ) -> None: ...
    @property
    def inverse(self) -> bool: ...

class PReLUOp(Op):
    def __init__(self, units: int, channels: int) -> None: ...
    @property
    def channels(self) -> int: ...
