"""The activations along rows: softmax, its logarithm, and sparsemax.

Arguments as in activations.pxi. A NaN in a row makes the whole row NaN.
"""

cimport fastnn.kernels.maths as maths
cimport fastnn.kernels.sums as sums
from fastnn.kernels.types cimport checked, make_activation, real, wide


# Once for softmax, its logarithm and the losses: it is called for 16 rows or a wide one.

cdef Py_ssize_t softmax_rows(
        const real* z, real* a, real* tops, real* totals, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    return sums.softmax_rows(z, a, tops, totals, rows, n)


cdef Py_ssize_t softmax_rows_with_logs(
        const real* z, real* a, real* logs, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """softmax_rows, and logs[row], the logarithm of the sum of e^z of the row."""
    cdef real totals[sums.LANES]
    cdef Py_ssize_t taken = softmax_rows(z, a, logs, totals, rows, n)
    sums.add_logs(logs, <const real*>totals, taken)
    return taken


cdef void softmax_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t row = 0
    cdef real tops[sums.LANES]
    cdef real totals[sums.LANES]
    while row < rows:
        row += softmax_rows(z + row * units, a + row * units, tops, totals, rows - row, units)


cdef void softmax_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t row, j
    cdef const real* a_row
    cdef real* d_row
    cdef real dot
    for row in range(rows):
        a_row = a + row * units
        d_row = d + row * units
        dot = sums.dot(a_row, d_row, units)
        for j in range(units):
            d_row[j] = a_row[j] * (d_row[j] - dot)


cdef void log_softmax_forward(
        const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t row = 0, taken, i, j
    cdef real tops[sums.LANES]
    cdef real totals[sums.LANES]
    cdef real log_total
    while row < rows:
        taken = softmax_rows(z + row * units, a + row * units, tops, totals, rows - row, units)
        for i in range(taken):
            log_total = maths.log(totals[i] * <real>(1 / maths.SHIFTED))
            for j in range((row + i) * units, (row + i + 1) * units):
                a[j] = z[j] - tops[i] - log_total
        row += taken


cdef void log_softmax_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t row, j
    cdef const real* a_row
    cdef real* d_row
    cdef real total
    for row in range(rows):
        a_row = a + row * units
        d_row = d + row * units
        total = sums.sum_of(d_row, units)
        for j in range(units):
            d_row[j] = d_row[j] - total * maths.exp(a_row[j])


cdef inline real sparsemax_row(const real* z, real* a, real top, Py_ssize_t n) noexcept nogil:
    """The threshold tau of a row, less top, its largest z: sum of max(z - top - tau, 0) = 1. a is overwritten.

    Michelot 1986: from a set that holds all above tau (here those above top - 1), take the tau that would make that
    set's sum 1, leave out what is not above it, and again until none leaves. tau never falls, so that what was left
    out by a rounding does not come back, for ever. A NaN counts as above, and so makes tau NaN.
    """
    cdef Py_ssize_t j, count = 0, before = -1
    cdef real above, found, tau = -1
    while count != before and tau == tau:
        before, count = count, 0
        for j in range(n):
            above = z[j] - top
            count += 0 if above <= tau else 1
            a[j] = <real>0 if above <= tau else above
        found = (sums.sum_of(a, n) - <real>1) / <real>count
        tau = tau if found < tau else found
    return tau


cdef void sparsemax_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t row, j
    cdef const real* z_row
    cdef real* a_row
    cdef real top, tau, over
    if units == 0:
        return
    for row in range(rows):
        z_row = z + row * units
        a_row = a + row * units
        top = sums.largest(z_row, units)
        tau = sparsemax_row(z_row, a_row, top, units)
        for j in range(units):
            over = z_row[j] - top - tau
            a_row[j] = maths.ramp(over)


cdef void sparsemax_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t row, j, count
    cdef const real* a_row
    cdef real* d_row
    cdef real mean
    for row in range(rows):
        a_row = a + row * units
        d_row = d + row * units
        count = 0
        for j in range(units):
            count += 1 if a_row[j] > 0 else 0
            d_row[j] = d_row[j] * (<real>1 if a_row[j] > 0 else <real>0)
        mean = sums.sum_of(d_row, units) / <real>count
        for j in range(units):
            d_row[j] = d_row[j] - mean * (<real>1 if a_row[j] > 0 else <real>0)


make_activation(
    made, "softmax", softmax_forward[float], softmax_backward[float], wide(softmax_forward[double]),
    checked(softmax_backward[double]))
make_activation(
    made, "log_softmax", log_softmax_forward[float], log_softmax_backward[float], wide(log_softmax_forward[double]),
    checked(log_softmax_backward[double]))
make_activation(
    made, "sparsemax", sparsemax_forward[float], sparsemax_backward[float], wide(sparsemax_forward[double]),
    checked(sparsemax_backward[double]))
