"""fastnn against careful NumPy, one thread each."""

import os
import sys

THREADS = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "FASTNN_NUM_THREADS",
)
# Settings that hold OpenBLAS to older kernels (half the speed) are for other purposes than a race.
HANDICAPS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")

# BLAS reads these once, when NumPy loads it.
READY = "numpy" not in sys.modules or (
    all(os.environ.get(name) == "1" for name in THREADS)
    and not any(name in os.environ for name in HANDICAPS)
)
os.environ.update(dict.fromkeys(THREADS, "1"))
for _name in HANDICAPS:
    os.environ.pop(_name, None)
