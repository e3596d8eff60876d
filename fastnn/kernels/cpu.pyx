"""What this processor can run. Compiled for the baseline, since it is what decides."""

cdef extern from "cpu.h":
    bint cpu_has_avx2()
    bint cpu_has_avx512()
    const char* FASTNN_COMPILER


def supported():
    """Names of the compiled instruction sets that this processor and its operating system run, best first."""
    names = ["baseline"]
    if cpu_has_avx2():
        names.insert(0, "avx2")
    if cpu_has_avx512():
        names.insert(0, "avx512")
    return tuple(names)


def compiler():
    """What compiled this: "gcc 12.2.0", "clang 14.0.6"."""
    return " ".join(FASTNN_COMPILER.decode().split()[:2])
