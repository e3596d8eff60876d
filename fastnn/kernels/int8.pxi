"""Products by weights in few bits: int8 with rows of bytes (int8.h), floats of 16 bits (half.h)."""

from fastnn.kernels.kernel cimport make
from fastnn.kernels.types cimport make_half, make_int8


cdef extern from "int8.h" nogil:
    void* int8_quantize_row
    void* int8_best(int without)


cdef extern from "half.h" nogil:
    void* half_widen
    void* half_row
    void* gather_segments


make_int8(made, "int8", &int8_quantize_row, int8_best(0), int8_best(1))
make_half(made, "half", &half_widen, &half_row)
make(made, "gather", "gather", 0, &gather_segments, NULL, NULL)
