"""What this processor can run. Compiled for the baseline, since it is what decides."""

cdef extern from "cpu.h":
    bint cpu_has_avx2()


def supported():
    """Names of the instruction sets that this processor and its operating system run, best first."""
    return ("avx2", "baseline") if cpu_has_avx2() else ("baseline",)
