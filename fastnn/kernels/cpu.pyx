"""What this processor can run. Compiled for the baseline, since it is what decides."""

cdef extern from "cpu.h":
    bint cpu_has_avx2()
    bint cpu_has_avx512()


def supported():
    """Names of the compiled instruction sets that this processor and its operating system run, best first."""
    names = ["baseline"]
    if cpu_has_avx2():
        names.insert(0, "avx2")
    if cpu_has_avx512():
        names.insert(0, "avx512")
    return tuple(names)
