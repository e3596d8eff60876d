# The losses and metrics whose row value is the mean of its elements' values.
#
# a (n,) output, y (n,) targets, values (n,) and d (n,), of any n elements in a row: elements know no rows, so one loop
# serves a column of rows and a wide row alike. d is NULL where no slopes are asked for.

cimport fastnn.kernels.maths as maths
from fastnn.kernels.types cimport real

cdef enum Element:
    SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, BINARY, SIGMOID_BINARY, BINARY_HIT

# Elements whose values a caller holds before it adds them up.
cdef enum:
    CHUNK = 256


cdef inline void binary_elements(
        const real* a, const real* y, real* d, real* values, Py_ssize_t n,
        real smoothing, real factor, double epsilon) noexcept nogil:
    cdef Py_ssize_t i
    cdef real q, target
    cdef real low = <real>epsilon, high = <real>(1 - epsilon)
    for i in range(n):
        target = y[i] * (<real>1 - smoothing) + <real>0.5 * smoothing
        q = low if a[i] < low else a[i]
        q = high if q > high else q
        values[i] = -maths.multiply_add(target, maths.log(q), (<real>1 - target) * maths.log(<real>1 - q))
        if d != NULL:
            # Outside the clip the value is constant, and so its slope is 0.
            d[i] = factor * (q - target) / (q * (<real>1 - q)) if q == a[i] else 0


cdef inline void sigmoid_binary_elements(
        const real* z, real* a, const real* y, real* d, real* values, Py_ssize_t n,
        real smoothing, real factor) noexcept nogil:
    cdef Py_ssize_t i
    cdef real x, target
    cdef real edge = <real>3e38                                     # an infinite logit times 0 must not be NaN
    for i in range(n):
        target = y[i] * (<real>1 - smoothing) + <real>0.5 * smoothing
        x = maths.absolute(z[i])
        x = edge if x > edge else x
        # softplus(z) - z * target, with the large terms cancelled by hand
        values[i] = x * (target if z[i] < 0 else <real>1 - target) + maths.softplus_tail(maths.far(z[i]))
        a[i] = maths.sigmoid(z[i])
        if d != NULL:
            d[i] = factor * (a[i] - target)


cdef inline void values_and_slopes(
        Element which, const real* z, real* a, const real* y, real* d, real* values, Py_ssize_t n,
        const double* p, double scale, double epsilon) noexcept nogil:
    """values[i] = the element's value, and unless d is NULL d[i] = scale * its slope. p: the loss's own numbers."""
    cdef Py_ssize_t i
    cdef real error, inside
    cdef real factor = <real>scale, number = <real>p[0]
    if which == SIGMOID_BINARY:
        sigmoid_binary_elements(z, a, y, d, values, n, number, factor)
    elif which == BINARY:
        binary_elements(a, y, d, values, n, number, factor, epsilon)
    elif which == SQUARED_ERROR:
        factor = 2 * factor
        for i in range(n):
            error = a[i] - y[i]
            values[i] = error * error
            if d != NULL:
                d[i] = factor * error
    elif which == ABSOLUTE_ERROR:
        for i in range(n):
            error = a[i] - y[i]
            values[i] = maths.absolute(error)
            if d != NULL:
                d[i] = factor if error > 0 else (-factor if error < 0 else 0)
    elif which == HUBER:
        for i in range(n):
            error = a[i] - y[i]
            inside = number if error > number else error
            inside = -number if inside < -number else inside
            # 0.5 e^2 inside, delta (|e| - 0.5 delta) outside: the same product
            values[i] = inside * (error - <real>0.5 * inside)
            if d != NULL:
                d[i] = factor * inside
    else:
        for i in range(n):
            values[i] = <real>1 if (<real>1 if a[i] > number else <real>0) == y[i] else <real>0
