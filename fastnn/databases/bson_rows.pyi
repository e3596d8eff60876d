from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

class BSONRows:
    stopped: tuple[int, bytes] | None
    def __init__(
        self,
        nodes: Sequence[tuple[str, int, int, int, int, int, int]],
        width: int,
        features: int,
        others: int,
        null: float | None,
    ) -> None: ...
    def read(self, batch: bytes) -> tuple[NDArray[np.float32], list[NDArray[np.object_]]]: ...
