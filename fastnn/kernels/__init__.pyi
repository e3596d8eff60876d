from typing import Any

from fastnn.kernels import cpu as cpu
from fastnn.kernels.bindings import (
    matmul as matmul,
    matmul_transposed_a as matmul_transposed_a,
    matmul_transposed_b as matmul_transposed_b,
)
from fastnn.kernels.kernel import Kernel as Kernel

named: str
isa: str
MODULES: tuple[str, ...]

def kernels_of(isa: str) -> dict[str, Kernel]: ...

# The kernels. A new one needs no line here.
def __getattr__(name: str) -> Any: ...
