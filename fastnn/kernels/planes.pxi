"""Convolution by few filters, whose pixels lie side by side in vectors, in planes of each channel (planes.h)."""

from fastnn.kernels.types cimport make_planes


cdef extern from "planes.h" nogil:
    enum:
        PLANE_LANES
    void planes_forward(const float* x, const Py_ssize_t* taps, Py_ssize_t depth, const float* w, Py_ssize_t width,
                        const float* bias, bint floors, float* out, Py_ssize_t n)
    void planes_gradient(const float* x, const Py_ssize_t* taps, Py_ssize_t depth, const float* d, Py_ssize_t width,
                         Py_ssize_t n, float* sums)
    void planes_total(const float* sums, Py_ssize_t n, float* out)
    void turn_planes(bint to_planes, float* x, Py_ssize_t channels, Py_ssize_t lines, Py_ssize_t n, float* planes,
                     Py_ssize_t line, Py_ssize_t plane)


cdef void planes_forward_picture(
        const float* x, const Py_ssize_t* taps, Py_ssize_t depth, const float* w, Py_ssize_t width, const float* bias,
        bint floors, float* out, Py_ssize_t n) noexcept nogil:
    planes_forward(x, taps, depth, w, width, bias, floors, out, n)


cdef void planes_gradient_picture(
        const float* x, const Py_ssize_t* taps, Py_ssize_t depth, const float* d, Py_ssize_t width, float* sums,
        float* g, Py_ssize_t n) noexcept nogil:
    if x != NULL:
        planes_gradient(x, taps, depth, d, width, n, sums)
    else:
        planes_total(sums, depth * width, g)


cdef void planes_turn(
        bint to_planes, float* x, Py_ssize_t channels, Py_ssize_t lines, Py_ssize_t n, float* planes, Py_ssize_t line,
        Py_ssize_t plane) noexcept nogil:
    turn_planes(to_planes, x, channels, lines, n, planes, line, plane)


make_planes(made, "planes", planes_forward_picture, planes_gradient_picture, planes_turn, PLANE_LANES)
