"""Products of numbers rounded to bfloat16 (bfloat16.h), under the names of those of gemm.pxi, where they can be had."""

from fastnn.kernels.kernel cimport make


cdef extern from "bfloat16.h" nogil:
    void* bfloat16_function(int emulated, int number)


cdef const char** BFLOAT16 = [
    "gemm", "gemm_transposed_a", "gemm_transposed_b", "gemm_packed", "gemm_segments", "pack", "pack_turned", "round"]


cdef int make_bfloat16() except -1:
    cdef int emulated, number
    for emulated in range(2):
        for number in range(8 if bfloat16_function(emulated, 0) != NULL else 0):
            name = (b"emulated_" if emulated else b"bfloat16_") + BFLOAT16[number]
            make(made, name, "gemm" if number < 4 else "segments" if number == 4 else "sum", 0,
                 bfloat16_function(emulated, number), NULL, NULL)
    return 0


make_bfloat16()
