"""fastnn against NumPy, one thread each."""

import os
import sys
from pathlib import Path

# Started in a clone, Python would take fastnn from its sources, which hold no compiled modules unless they were built
# in place: then the installed fastnn goes first.
_ROOT = Path(__file__).resolve().parent.parent
if not any((_ROOT / "fastnn" / "kernels").glob("cpu.*[od]")):
    sys.path[:] = [*(p for p in sys.path if Path(p).resolve() != _ROOT), str(_ROOT)]
sys.path.append(str(_ROOT / "tests"))  # support.bindings: kernels that only the engine calls

THREADS = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "FASTNN_NUM_THREADS",
)
# Settings that hold OpenBLAS to older kernels (half the speed) are for other purposes than a race.
HANDICAPS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
TOO_LATE = "NumPy was imported before its BLAS could be set to one thread of its fastest kernels"


def prepare_blas() -> bool:
    """Set the environment so that fastnn and BLAS run one thread, BLAS of its fastest kernels; whether they do.

    BLAS reads these once, when NumPy loads it: after that nothing is changed. A program that measures
    calls this before importing NumPy; an import of this package changes nothing.
    """
    if "numpy" not in sys.modules:
        os.environ.update(dict.fromkeys(THREADS, "1"))
        for name in HANDICAPS:
            os.environ.pop(name, None)
    one_thread = all(os.environ.get(name) == "1" for name in THREADS)
    return one_thread and not any(name in os.environ for name in HANDICAPS)
