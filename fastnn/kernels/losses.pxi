"""Losses: the weighted sum of the rows' values and, for a loss, its gradient, in one pass.

z       (rows, units) raw output; read by the fused losses only, which know the activation and undo its saturation
a       (rows, units) the network's output: read, but written by a fused loss
y       (rows, units) targets, or (rows, 1) class numbers for the sparse ones
weight  (rows,) or NULL for ones; a row of weight 0 adds nothing, whatever it holds
d       (rows, units) or NULL: scale * weight * gradient, by z for the fused losses and by a for the others
return  the sum over rows of weight * value; NaN when a class number is not one of 0 .. units - 1

A row's value is the mean over its units (regression, binary) or the sum over its classes (categorical), as in Keras.
A kernel that is `whole` (overlap, in losses_by_row.pxi) is given all rows of a batch in one call.
A row's slopes depend on nothing but the row; the sum is taken in an order that depends on rows and units alone.
"""

cimport libc.math as libc

cimport fastnn.kernels.maths as maths
cimport fastnn.kernels.sums as sums
from fastnn.kernels.targets cimport class_of, clear, weigh, weight_of
from fastnn.kernels.types cimport checked, LABELS, make_loss, make_penalty, real, wide


cdef inline real clipped_entropy(
        const real* a, const real* y, real norm, real keep, real spread, Py_ssize_t n, real* inside) noexcept nogil:
    """-sum over classes of t log q, t = keep y + spread, q = norm * a in its clip; inside: sum of t not at the clip."""
    cdef real values[sums.CHUNK]
    cdef real within[sums.CHUNK]
    cdef real target, q, clipped, total = 0
    cdef real low = <real>EPSILON, high = <real>(1 - EPSILON)
    cdef Py_ssize_t j, m
    inside[0] = 0
    while n > 0:
        m = min(n, <Py_ssize_t>sums.CHUNK)
        for j in range(m):
            target = y[j] * keep + spread
            q = a[j] * norm
            clipped = low if q < low else q
            clipped = high if clipped > high else clipped
            values[j] = target * maths.log(clipped)
            within[j] = target if clipped == q else 0
        total -= sums.sum_of(values, m)
        inside[0] += sums.sum_of(within, m)
        a, y, n = a + m, y + m, n - m
    return total


cdef double categorical_crossentropy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row, j
    cdef double total = 0, w
    cdef real q, target, norm, factor, inside
    cdef real low = <real>EPSILON, high = <real>(1 - EPSILON)
    cdef real keep = <real>(1 - p[0]), spread = <real>(p[0] / units) if units else 0
    for row in range(rows):
        w = weight_of(weight, row)
        if w == 0:
            clear(d, units)
        else:
            norm = <real>1 / sums.sum_of(a, units)
            total += w * clipped_entropy(a, y, norm, keep, spread, units, &inside)
            if d != NULL:
                factor = <real>(scale * w) * norm
                for j in range(units):
                    target = y[j] * keep + spread
                    q = a[j] * norm
                    # Outside the clip the value is constant, and so its slope is 0.
                    d[j] = factor * (inside - (target / q if q >= low and q <= high else 0))
        a = a + units
        y = y + units
        d = d + units if d != NULL else NULL
    return total


cdef inline real cross_entropy(
        const real* z, const real* y, real log_total, real keep, real spread, Py_ssize_t n) noexcept nogil:
    """Sum over classes of t (log_total - z), t = keep y + spread; a class of t = 0 adds nothing, were z infinite."""
    cdef real values[sums.CHUNK]
    cdef real target, total = 0
    cdef Py_ssize_t j, m
    while n > 0:
        m = min(n, <Py_ssize_t>sums.CHUNK)
        for j in range(m):
            target = y[j] * keep + spread
            values[j] = target * (log_total - z[j]) if target != 0 else <real>0
        total += sums.sum_of(values, m)
        z, y, n = z + m, y + m, n - m
    return total


cdef double softmax_categorical_crossentropy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t first = 0, taken, row, i, at
    cdef double total = 0, w
    cdef real mass, factor
    cdef real keep = <real>(1 - p[0]), spread = <real>(p[0] / units) if units else 0
    cdef real logs[sums.LANES]
    while first < rows:
        at = first * units
        taken = softmax_rows_with_logs(z + at, a + at, logs, rows - first, units)
        for row in range(first, first + taken):
            at = row * units
            w = weight_of(weight, row)
            if w == 0:
                clear(d + at if d != NULL else NULL, units)
                continue
            total += w * cross_entropy(z + at, y + at, logs[row - first], keep, spread, units)
            if d != NULL:
                factor = <real>(scale * w)
                mass = keep * sums.sum_of(y + at, units) + spread * units
                for i in range(at, at + units):
                    d[i] = factor * (a[i] * mass - (y[i] * keep + spread))
        first += taken
    return total


cdef inline bint ignored(real label, const double* p) noexcept nogil:
    """Whether a label is the class to leave out: p[1], if p[0] says that there is one."""
    return p[0] != 0 and label == <real>p[1]


cdef double sparse_categorical_crossentropy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row, j, label
    cdef double total = 0, w
    cdef real q, norm, factor
    cdef real low = <real>EPSILON, high = <real>(1 - EPSILON)
    for row in range(rows):
        w = 0 if ignored(y[row], p) else weight_of(weight, row)
        clear(d, units)
        if w != 0:
            label = class_of(y[row], units)
            if label < 0:
                return libc.NAN
            norm = <real>1 / sums.sum_of(a, units)
            q = a[label] * norm
            q = low if q < low else q
            q = high if q > high else q
            total -= w * maths.log(q)
            if d != NULL and q == a[label] * norm:
                factor = <real>(scale * w) * norm
                for j in range(units):
                    d[j] = factor
                d[label] -= factor / q
        a = a + units
        d = d + units if d != NULL else NULL
    return total


cdef double softmax_sparse_categorical_crossentropy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t first = 0, taken, row, at, label
    cdef double total = 0, w
    cdef real logs[sums.LANES]
    while first < rows:
        at = first * units
        taken = softmax_rows_with_logs(z + at, a + at, logs, rows - first, units)
        if d != NULL:
            weigh(a + at, d + at, weight + first if weight != NULL else NULL, taken, units, scale)
        for row in range(first, first + taken):
            w = weight_of(weight, row)
            if ignored(y[row], p):
                clear(d + row * units if d != NULL else NULL, units)
            elif w != 0:
                label = class_of(y[row], units)
                if label < 0:
                    return libc.NAN
                total += w * (logs[row - first] - z[row * units + label])
                if d != NULL:
                    d[row * units + label] -= <real>(scale * w)
        first += taken
    return total


cdef double l1_l2_penalty(const real* w, real* g, Py_ssize_t n, double l1, double l2) noexcept nogil:
    """l1 * sum |w| + l2 * sum w^2; its gradient is added to g, unless that is NULL."""
    cdef Py_ssize_t i
    cdef real first = <real>l1, second = <real>(2 * l2)
    for i in range(n if g != NULL else 0):
        g[i] = g[i] + (second * w[i] + (first if w[i] > 0 else (-first if w[i] < 0 else <real>0)))
    return l1 * sums.sum_of_absolutes(w, n) + l2 * sums.whole_dot(w, w, n)


make_loss(
    made, "categorical_crossentropy", categorical_crossentropy_rows[float], wide(categorical_crossentropy_rows[double]))
make_loss(
    made, "softmax_categorical_crossentropy", softmax_categorical_crossentropy_rows[float],
    wide(softmax_categorical_crossentropy_rows[double]))
make_loss(
    made, "sparse_categorical_crossentropy", sparse_categorical_crossentropy_rows[float],
    wide(sparse_categorical_crossentropy_rows[double]), LABELS)
make_loss(
    made, "softmax_sparse_categorical_crossentropy", softmax_sparse_categorical_crossentropy_rows[float],
    wide(softmax_sparse_categorical_crossentropy_rows[double]), LABELS)
make_penalty(made, "l1_l2", l1_l2_penalty[float], checked(l1_l2_penalty[double]))
