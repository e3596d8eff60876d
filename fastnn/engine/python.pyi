from collections.abc import Sequence
from typing import Any

from fastnn.engine.ops import Op

class PythonOp(Op):
    def __init__(
        self,
        layer: Any,
        inputs: Sequence[tuple[int, ...]],
        output: Sequence[int],
        weights: Sequence[tuple[int, ...]] = (),
        title: str | None = None,
    ) -> None: ...
    @property
    def layer(self) -> Any: ...
    @property
    def title(self) -> str: ...
    @property
    def gave_not_finite(self) -> bool: ...

class PythonActivationOp(PythonOp):
    def __init__(self, units: int, activation: Any, title: str | None = None) -> None: ...
