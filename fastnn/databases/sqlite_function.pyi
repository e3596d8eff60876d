from collections.abc import Callable
from sqlite3 import Connection

import numpy as np
from numpy.typing import NDArray

KINDS: tuple[str, ...]

class Function:
    def __init__(
        self,
        name: str,
        predict: Callable[[NDArray[np.float32]], NDArray[np.float32] | None],
        inputs: int,
        kind: str,
        probability: bool,
    ) -> None: ...
    def __call__(self, *values: float | None) -> float | None: ...
    def of(self, x: NDArray[np.float32]) -> float: ...
    def load_into(self, connection: Connection) -> None: ...
