"""Losses whose row value is the mean of its elements' values. The other arguments of a kernel stand in losses.pxi.

An element is a function of its own: it gives the value of one output, or the root of it, and `factor` times the slope.

a       the output; for a fused loss the raw output before its sigmoid
y       the target
p       the loss's own numbers, in the order that its class in fastnn/losses/ gives
"""

cimport fastnn.kernels.maths as maths
from fastnn.kernels.types cimport make_loss, real, wide


cdef inline real squared_error_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real error = a - y
    slope[0] = <real>2 * factor * error
    return error


cdef inline real absolute_error_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real error = a - y
    slope[0] = factor if error > 0 else (-factor if error < 0 else 0)
    return maths.absolute(error)


cdef inline real huber_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real error = a - y, delta = <real>p[0]
    cdef real inside = delta if error > delta else error
    inside = -delta if inside < -delta else inside
    slope[0] = factor * inside
    return inside * (error - <real>0.5 * inside)    # 0.5 e^2 inside, delta (|e| - 0.5 delta) outside: one product


cdef inline real binary_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real target = smoothed(y, p[0]), low = <real>EPSILON, high = <real>(1 - EPSILON)
    cdef real q = low if a < low else a
    q = high if q > high else q
    # Outside the clip the value is constant, and so its slope is 0.
    slope[0] = factor * (q - target) / (q * (<real>1 - q)) if q == a else 0
    return -maths.multiply_add(target, maths.log(q), (<real>1 - target) * maths.log(<real>1 - q))


cdef inline real sigmoid_binary_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real target = smoothed(y, p[0])
    slope[0] = factor * (maths.sigmoid(a) - target)
    return softplus_less(a, target)


# The loop of each element, for float32 and float64: the function that its kernel has. Each is written out, for Cython
# makes no function anew for another function. What comes nearest, a fused type, wants a type, an entry and a branch for
# each element.


cdef double squared_error_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(squared_error_element[real], False, True, z, a, y, weight, d, p, rows, units, scale)


cdef double absolute_error_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(absolute_error_element[real], False, False, z, a, y, weight, d, p, rows, units, scale)


cdef double huber_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(huber_element[real], False, False, z, a, y, weight, d, p, rows, units, scale)


cdef double binary_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(binary_element[real], False, False, z, a, y, weight, d, p, rows, units, scale)


cdef double sigmoid_binary_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(sigmoid_binary_element[real], True, False, z, a, y, weight, d, p, rows, units, scale)


make_loss(made, "mean_squared_error", squared_error_rows[float], wide(squared_error_rows[double]))
make_loss(made, "mean_absolute_error", absolute_error_rows[float], wide(absolute_error_rows[double]))
make_loss(made, "huber", huber_rows[float], wide(huber_rows[double]))
make_loss(made, "binary_crossentropy", binary_rows[float], wide(binary_rows[double]))
make_loss(made, "sigmoid_binary_crossentropy", sigmoid_binary_rows[float], wide(sigmoid_binary_rows[double]))
