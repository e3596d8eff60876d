"""Products of matrices and what else most of the time goes into, for each instruction set (setup.py)."""

cdef dict made = {}                     # the kernels, by name
kernels = made

include "gemm.pxi"
include "panels.pxi"
include "narrow.pxi"
include "bfloat16.pxi"
include "int8.pxi"
include "sparse.pxi"
include "muon.pxi"
include "planes.pxi"
include "optimizers.pxi"
include "vectors.pxi"
