"""Convolution by a kernel three pixels wide with two thirds of the multiplications (winograd.h)."""

from fastnn.kernels.types cimport make_winograd


cdef extern from "winograd.h" nogil:
    enum:
        WINOGRAD
    void winograd_tiles(int what, float* x, Py_ssize_t lines, Py_ssize_t apart, Py_ssize_t pixels, Py_ssize_t n,
                        float* tiles, Py_ssize_t count, Py_ssize_t plane, const float* bias)
    void winograd_kernel(int back, float* w, Py_ssize_t lines, Py_ssize_t n, float* u)


cdef void winograd_tiles_lines(
        int what, float* x, Py_ssize_t lines, Py_ssize_t apart, Py_ssize_t pixels, Py_ssize_t n, float* tiles,
        Py_ssize_t count, Py_ssize_t plane, const float* bias) noexcept nogil:
    winograd_tiles(what, x, lines, apart, pixels, n, tiles, count, plane, bias)


cdef void winograd_kernel_lines(bint back, float* w, Py_ssize_t lines, Py_ssize_t n, float* u) noexcept nogil:
    winograd_kernel(back, w, lines, n, u)


make_winograd(made, "winograd", winograd_tiles_lines, winograd_kernel_lines, WINOGRAD)
