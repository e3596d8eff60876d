from collections.abc import Callable, Iterable
from typing import Any, Final, Self

bindings: dict[str, Callable[..., Any]]

class Numbers:
    def __new__(cls, values: Iterable[float] = ()) -> Self: ...

class Kernel:
    name: Final[str]
    signature: Final[str]
    variant: Final[int]
    labels: Final[bool]
    pairs: Final[bool]
    whole: Final[bool]
    size_address: Final[int]
    def addresses(self, double: bool = False) -> tuple[int, ...]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
