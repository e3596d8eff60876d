"""The loop of losses whose row value is the mean of its elements' values, and what several elements need."""

cimport fastnn.kernels.maths as maths
cimport fastnn.kernels.sums as sums
from fastnn.kernels.targets cimport weigh
from fastnn.kernels.types cimport real


# The sums of this module's losses, once and not in each of them: a call is little beside the logarithms of a row.

cdef real sum_of(const real* a, Py_ssize_t n) noexcept nogil:
    return sums.sum_of(a, n)


cdef double whole_sum(const real* a, Py_ssize_t n) noexcept nogil:
    return sums.whole_sum(a, n)


cdef double whole_dot(const real* a, const real* b, Py_ssize_t n) noexcept nogil:
    return sums.whole_dot(a, b, n)


cdef double sum_of_rows(
        bint squared, const real* values, const real* weight, real* d, Py_ssize_t rows, Py_ssize_t units,
        Py_ssize_t n) noexcept nogil:
    """The sum of n values, or of their squares, each times its row's weight, by which the slopes d are multiplied."""
    cdef Py_ssize_t i
    cdef double total = 0, w
    if weight == NULL:
        return whole_dot(values, values, n) if squared else whole_sum(values, n)
    n = min(n, units)
    for i in range(rows):
        w = weight[i]
        if w != 0:
            total += w * (
                whole_dot(values + i * units, values + i * units, n) if squared else whole_sum(values + i * units, n))
    if d != NULL:
        weigh(<const real*>d, d, weight, rows, n, 1)
    return total


cdef inline double elementwise(
        real (*element)(real, real, const double*, real, real*) noexcept nogil, bint fused, bint squared,
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p, Py_ssize_t rows,
        Py_ssize_t units, double scale) noexcept nogil:
    """The loop of all: whole rows, or parts of one row, in chunks. Elements know no rows.

    squared: an element's value is the square of what it gives, which float32 need not hold.
    It is compiled anew for each element that it is called with, which the compiler then makes vector instructions of.
    """
    cdef Py_ssize_t row = 0, start = 0, n, taken, i, at
    cdef double total = 0
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
        total += sum_of_rows(
            squared, <const real*>values, weight + row if weight != NULL else NULL, d + at if d != NULL else NULL,
            taken, units, n)
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
