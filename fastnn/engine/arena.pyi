from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.description import AddedLoss
from fastnn.engine.lock import Lock
from fastnn.engine.ops import Op

_Floats = NDArray[np.float32]

def aligned(n: int) -> _Floats: ...
def starts_of(sizes: Iterable[int]) -> tuple[list[int], int]: ...

class Arena:
    seed: int
    def __new__(
        cls,
        ops: Iterable[Op],
        sources: Iterable[Iterable[int]] | None = None,
        inputs: Iterable[int] | None = None,
        outputs: Iterable[int] | None = None,
        parameters: _Floats | None = None,
        starts: Sequence[int] | None = None,
        lock: Lock | None = None,
        added: Iterable[AddedLoss] = (),
        masks: Iterable[int | None] = (),
    ) -> Self: ...
    @property
    def lock(self) -> Lock: ...
    @property
    def fixed_rows(self) -> int: ...
    @property
    def masks(self) -> tuple[int | None, ...]: ...
    @property
    def ops(self) -> tuple[Op, ...]: ...
    @property
    def sources(self) -> tuple[tuple[int, ...], ...]: ...
    @property
    def input_widths(self) -> tuple[int, ...]: ...
    @property
    def outputs(self) -> tuple[int, ...]: ...
    @property
    def added_places(self) -> tuple[int, ...]: ...
    @property
    def parameters(self) -> _Floats: ...
    @property
    def inputs(self) -> int: ...
    @property
    def units(self) -> int: ...
    @property
    def all_ids(self) -> bool: ...
    @property
    def block_rows(self) -> int: ...
