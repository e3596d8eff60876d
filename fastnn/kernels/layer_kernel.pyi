from collections.abc import Sequence
from typing import Any, Self

from numpy.typing import ArrayLike, NDArray

from fastnn.kernels.kernel import Kernel

class Addresses:
    def __new__(cls, array: NDArray[Any]) -> Self: ...

class NoiseKernel(Kernel):
    def forward(
        self, x: ArrayLike, number: float, key: int, first: int = 0, out: NDArray[Any] | None = None
    ) -> NDArray[Any]: ...
    def backward(
        self, d: ArrayLike, number: float, key: int, first: int = 0, out: NDArray[Any] | None = None
    ) -> NDArray[Any]: ...

class AffineKernel(Kernel):
    def __call__(
        self,
        x: ArrayLike,
        mean: ArrayLike | None = None,
        variance: ArrayLike | None = None,
        shift: ArrayLike | None = None,
        gamma: ArrayLike | None = None,
        beta: ArrayLike | None = None,
        root: str = "added",
        epsilon: float = 0.0,
        repeats: int = 1,
        slope: bool = False,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]: ...

class BatchKernel(Kernel):
    def moments(self, x: ArrayLike, repeats: int = 1) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...
    def backward(
        self,
        x: ArrayLike,
        d: ArrayLike,
        gamma: ArrayLike | None = None,
        epsilon: float = 1e-3,
        repeats: int = 1,
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...

class PReLUKernel(Kernel):
    def forward(
        self, x: ArrayLike, alpha: ArrayLike, repeats: int = 1, out: NDArray[Any] | None = None
    ) -> NDArray[Any]: ...
    def backward(
        self, x: ArrayLike, alpha: ArrayLike, d: ArrayLike, repeats: int = 1
    ) -> tuple[NDArray[Any], NDArray[Any]]: ...

class LayerKernel(Kernel):
    def forward(
        self,
        x: ArrayLike,
        gamma: ArrayLike | None = None,
        beta: ArrayLike | None = None,
        epsilon: float = 1e-3,
        centred: bool = True,
        groups: int = 1,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]: ...
    def backward(
        self,
        x: ArrayLike,
        d: ArrayLike,
        gamma: ArrayLike | None = None,
        epsilon: float = 1e-3,
        centred: bool = True,
        groups: int = 1,
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...

class MergeKernel(Kernel):
    def forward(self, xs: Sequence[ArrayLike], out: NDArray[Any] | None = None) -> NDArray[Any]: ...
    def backward(self, xs: Sequence[ArrayLike], d: ArrayLike) -> list[NDArray[Any]]: ...

class DotKernel(Kernel):
    def __call__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        axes: tuple[int, int] = (1, 1),
        normalize: bool = False,
        d: ArrayLike | None = None,
    ) -> Any: ...
