from numpy.typing import ArrayLike

from fastnn.engine.ops import Op

class ColumnOp(Op): ...

class BatchNormalizationOp(ColumnOp):
    def __init__(
        self,
        units: int,
        channels: int,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        masked: bool = False,
    ) -> None: ...
    @property
    def momentum(self) -> float: ...
    @property
    def epsilon(self) -> float: ...
    @property
    def center(self) -> bool: ...
    @property
    def scale(self) -> bool: ...

class LayerNormalizationOp(ColumnOp):
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
    def epsilon(self) -> float: ...
    @property
    def center(self) -> bool: ...
    @property
    def scale(self) -> bool: ...
    @property
    def centred(self) -> bool: ...

class UnitNormalizationOp(LayerNormalizationOp):
    def __init__(self, units: int, channels: int, epsilon: float) -> None: ...

class ScaleShiftOp(ColumnOp):
    def __init__(self, units: int, channels: int, center: bool = True, scale: bool = True) -> None: ...
    @property
    def center(self) -> bool: ...
    @property
    def scale(self) -> bool: ...

class AffineOp(ColumnOp):
    def __init__(self, units: int, scale: ArrayLike, offset: ArrayLike) -> None: ...

class StandardizeOp(AffineOp):
    def __init__(
        self,
        units: int,
        channels: int,
        epsilon: float,
        inverse: bool = False,
        mean: ArrayLike | None = None,
        variance: ArrayLike | None = None,
        more: int = 0,
    ) -> None: ...
    @property
    def inverse(self) -> bool: ...

class PReLUOp(ColumnOp):
    def __init__(self, units: int, channels: int) -> None: ...
