from types import ModuleType
from typing import Any

from fastnn.kernels import cpu as cpu
from fastnn.kernels.kernel import DropoutKernel, MatmulKernel, PenaltyKernel, SumKernel
from fastnn.kernels.matrix_kernel import ConstraintKernel, MatrixPenaltyKernel

named: str
isa: str
maths: ModuleType

matmul: MatmulKernel
matmul_transposed_a: MatmulKernel
matmul_transposed_b: MatmulKernel
column_sums: SumKernel
l1_l2: PenaltyKernel
orthogonal: MatrixPenaltyKernel
non_neg: ConstraintKernel
norm_between: ConstraintKernel
dropout: DropoutKernel

# The units of the tables: ActivationKernel, LossKernel, OptimizerKernel objects. A new one needs no line here.
def __getattr__(name: str) -> Any: ...
