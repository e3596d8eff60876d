"""The kernels whose loops gain from all that a compiler can do: for each instruction set, at -O3 (setup.py)."""

include "gemm.pxi"
include "planes.pxi"
include "optimizers.pxi"
include "optimizers_whole.pxi"
include "vectors.pxi"
