from collections.abc import Iterable, Sequence
from typing import Any, Self

from numpy.typing import ArrayLike, NDArray

class Numbers:
    def __new__(cls, values: Iterable[float] = ()) -> Self: ...

class Kernel:
    @property
    def name(self) -> str: ...

class MathKernel(Kernel):
    def __call__(self, x: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]: ...

class ActivationKernel(Kernel):
    def forward(self, z: ArrayLike, numbers: Iterable[float] = (), out: NDArray[Any] | None = None) -> NDArray[Any]: ...
    def backward(
        self,
        z: ArrayLike,
        a: ArrayLike,
        d: ArrayLike,
        numbers: Iterable[float] = (),
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]: ...

class LossKernel(Kernel):
    @property
    def labels(self) -> bool: ...
    @property
    def pairs(self) -> bool: ...
    @property
    def whole(self) -> bool: ...
    def targets(self, units: int) -> int: ...
    def values(self, y: ArrayLike, output: ArrayLike, numbers: Iterable[float] = ()) -> NDArray[Any]: ...
    def __call__(
        self,
        y: ArrayLike,
        output: ArrayLike,
        numbers: Iterable[float] = (),
        weight: ArrayLike | None = None,
        scale: float = 1.0,
        out: NDArray[Any] | None = None,
        activated: NDArray[Any] | None = None,
    ) -> tuple[float, NDArray[Any], NDArray[Any]]: ...

class PenaltyKernel(Kernel):
    def __call__(self, w: ArrayLike, g: NDArray[Any], l1: float, l2: float) -> float: ...

class OptimizerKernel(Kernel):
    def __call__(
        self,
        w: NDArray[Any],
        g: ArrayLike,
        slots: Sequence[NDArray[Any]],
        learning_rate: float,
        t: float,
        numbers: Iterable[float] = (),
    ) -> None: ...

class DropoutKernel(Kernel):
    def __call__(
        self,
        x: ArrayLike,
        rate: float,
        key: int,
        first: int = 0,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]: ...

class MatmulKernel(Kernel):
    def __call__(
        self,
        a: ArrayLike,
        b: ArrayLike,
        bias: ArrayLike | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]: ...

class SumKernel(Kernel):
    def __call__(self, d: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]: ...

class VectorKernel(Kernel):
    @property
    def pairs(self) -> bool: ...
    def __call__(self, a: NDArray[Any], b: NDArray[Any] | None = None, x: float = 0.0) -> float: ...
