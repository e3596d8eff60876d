# The loop of losses whose row value is the mean of its elements' values, and what several elements need.

cimport fastnn.kernels.maths as maths
cimport fastnn.kernels.sums as sums
from fastnn.kernels.targets cimport weigh
from fastnn.kernels.types cimport real


cdef inline double elementwise(
        real (*element)(real, real, const double*, real, real*) noexcept nogil, bint fused, bint squared,
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p, Py_ssize_t rows,
        Py_ssize_t units, double scale) noexcept nogil:
    """The loop of all: whole rows, or parts of one row, in chunks. Elements know no rows.

    squared: an element's value is the square of what it gives, which float32 need not hold.
    It is compiled anew for each element that it is called with, which the compiler then makes vector instructions of.
    """
    cdef Py_ssize_t row = 0, start = 0, n, taken, i, at
    cdef double total = 0, w
    cdef real factor = <real>(scale / units), output, slope
    cdef real values[sums.CHUNK]
    cdef const real* x
    while row < rows:
        taken = min(rows - row, max(<Py_ssize_t>1, sums.CHUNK // units if units else sums.CHUNK))
        n = min(taken * units - start, <Py_ssize_t>sums.CHUNK)
        at = row * units + start
        x = (z if fused else a) + at
        for i in range(n):
            output = x[i]
            values[i] = element(output, y[at + i], p, factor, &slope)
            if fused:
                a[at + i] = maths.sigmoid(output)
            if d != NULL:
                d[at + i] = slope
        if weight == NULL:
            total += sums.whole_dot(values, values, n) if squared else sums.whole_sum(values, n)
        else:
            for i in range(taken):
                w = weight[row + i]
                if w != 0:
                    total += w * (
                        sums.whole_dot(values + i * units, values + i * units, min(n, units)) if squared else
                        sums.whole_sum(values + i * units, min(n, units)))
            if d != NULL:
                weigh(d + at, d + at, weight + row, taken, min(n, units), 1)
        start += n
        if start >= taken * units:
            row += taken
            start = 0
    return total / units if units else 0


cdef inline real smoothed(real y, double smoothing) noexcept nogil:
    """A target of 0 or 1, that much nearer to a half."""
    return y * (<real>1 - <real>smoothing) + <real>0.5 * <real>smoothing


cdef inline real softplus_less(real z, real target) noexcept nogil:
    """softplus(z) - z * target, with the large terms cancelled by hand."""
    cdef real x = maths.absolute(z), edge = <real>3e38              # an infinite logit times 0 must not be NaN
    x = edge if x > edge else x
    return x * (target if z < 0 else <real>1 - target) + maths.softplus_tail(maths.far(z))
