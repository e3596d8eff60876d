"""Losses and metrics: the weighted sum of the rows' values and, for a loss, its gradient, in one pass.

z       (rows, units) raw output; read by the fused losses only, which know the activation and undo its saturation
a       (rows, units) the network's output: read, but written by a fused loss
y       (rows, units) targets, or (rows, 1) class numbers for the sparse ones
weight  (rows,) or NULL for ones; a row of weight 0 adds nothing, whatever it holds
d       (rows, units) or NULL: scale * weight * gradient, by z for the fused losses and by a for the others
return  the sum over rows of weight * value; NaN when a class number is not one of 0 .. units - 1

A row's value is the mean over its units (regression, binary) or the sum over its classes (categorical), as in Keras.
"""

cimport libc.math as libc

cimport fastnn.kernels.maths as maths
from fastnn.kernels.kernel cimport LossKernel, PenaltyKernel
from fastnn.kernels.types cimport real

# Probabilities are kept this far from 0 and 1 before a logarithm: Keras's epsilon.
cdef double EPSILON = 1e-7


cdef inline double weight_of(const real* weight, Py_ssize_t row) noexcept nogil:
    return 1.0 if weight == NULL else weight[row]


cdef inline void clear(real* d, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t j
    if d != NULL:
        for j in range(units):
            d[j] = 0


cdef inline Py_ssize_t class_of(real label, Py_ssize_t units) noexcept nogil:
    """The class that a label names, or -1."""
    if not (label >= 0 and label < units):
        return -1
    cdef Py_ssize_t number = <Py_ssize_t>label
    return number if number == label else -1


cdef inline Py_ssize_t argmax(const real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j, best = 0
    for j in range(1, n):
        if a[j] > a[best]:
            best = j
    return best


cdef double mean_squared_error_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row, j
    cdef double total = 0, w
    cdef real error, factor, value
    for row in range(rows):
        w = weight_of(weight, row)
        if w == 0:
            clear(d, units)
        else:
            value = 0
            for j in range(units):
                error = a[j] - y[j]
                value += error * error
            if d != NULL:
                factor = <real>(2 * scale * w / units)
                for j in range(units):
                    d[j] = factor * (a[j] - y[j])
            total += w * value / units
        a = a + units
        y = y + units
        d = d + units if d != NULL else NULL
    return total


cdef double mean_absolute_error_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row, j
    cdef double total = 0, w
    cdef real error, factor, value
    for row in range(rows):
        w = weight_of(weight, row)
        if w == 0:
            clear(d, units)
        else:
            value = 0
            for j in range(units):
                value += maths.absolute(a[j] - y[j])
            if d != NULL:
                factor = <real>(scale * w / units)
                for j in range(units):
                    error = a[j] - y[j]
                    d[j] = factor * <real>((error > 0) - (error < 0))
            total += w * value / units
        a = a + units
        y = y + units
        d = d + units if d != NULL else NULL
    return total


cdef double huber_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row, j
    cdef double total = 0, w
    cdef real error, inside, factor, value
    cdef real delta = <real>p[0]
    for row in range(rows):
        w = weight_of(weight, row)
        if w == 0:
            clear(d, units)
        else:
            value = 0
            factor = <real>(scale * w / units)
            for j in range(units):
                error = a[j] - y[j]
                inside = delta if error > delta else error
                inside = -delta if inside < -delta else inside
                # 0.5 e^2 inside, delta (|e| - 0.5 delta) outside: the same product
                value += inside * (error - <real>0.5 * inside)
                if d != NULL:
                    d[j] = factor * inside
            total += w * value / units
        a = a + units
        y = y + units
        d = d + units if d != NULL else NULL
    return total


cdef double binary_crossentropy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row, j
    cdef double total = 0, w
    cdef real q, target, factor, value
    cdef real low = <real>EPSILON, high = <real>(1 - EPSILON), smoothing = <real>p[0]
    for row in range(rows):
        w = weight_of(weight, row)
        if w == 0:
            clear(d, units)
        else:
            value = 0
            factor = <real>(scale * w / units)
            for j in range(units):
                target = y[j] * (<real>1 - smoothing) + <real>0.5 * smoothing
                q = low if a[j] < low else a[j]
                q = high if q > high else q
                value -= target * maths.log(q) + (<real>1 - target) * maths.log(<real>1 - q)
                if d != NULL:
                    d[j] = factor * ((q - target) / (q * (<real>1 - q)) if q == a[j] else 0)
            total += w * value / units
        a = a + units
        y = y + units
        d = d + units if d != NULL else NULL
    return total


cdef double sigmoid_binary_crossentropy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row, j
    cdef double total = 0, w
    cdef real x, target, factor, value
    cdef real smoothing = <real>p[0]
    cdef real edge = <real>3e38                                     # an infinite logit times 0 must not be NaN
    for row in range(rows):
        for j in range(units):
            a[j] = maths.sigmoid(z[j])
        w = weight_of(weight, row)
        if w == 0:
            clear(d, units)
        else:
            value = 0
            factor = <real>(scale * w / units)
            for j in range(units):
                target = y[j] * (<real>1 - smoothing) + <real>0.5 * smoothing
                x = edge if z[j] > edge else z[j]
                x = -edge if x < -edge else x
                # softplus(x) - x * target, with the large terms cancelled by hand
                value += (-x * target if x < 0 else x * (<real>1 - target)) + maths.softplus(-maths.absolute(x))
                if d != NULL:
                    d[j] = factor * (a[j] - target)
            total += w * value / units
        z = z + units
        a = a + units
        y = y + units
        d = d + units if d != NULL else NULL
    return total


cdef double categorical_crossentropy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row, j
    cdef double total = 0, w
    cdef real q, target, norm, factor, value, inside
    cdef real low = <real>EPSILON, high = <real>(1 - EPSILON)
    cdef real keep = <real>(1 - p[0]), spread = <real>(p[0] / units) if units else 0
    for row in range(rows):
        w = weight_of(weight, row)
        if w == 0:
            clear(d, units)
        else:
            norm = <real>1 / maths.sum_of(a, units)
            value = 0
            inside = 0
            factor = <real>(scale * w)
            for j in range(units):
                target = y[j] * keep + spread
                q = a[j] * norm
                # Outside the clip the value is constant, and so its slope is 0.
                if q < low:
                    value -= target * maths.log(low)
                elif q > high:
                    value -= target * maths.log(high)
                else:
                    value -= target * maths.log(q)
                    inside += target
            if d != NULL:
                for j in range(units):
                    target = y[j] * keep + spread
                    q = a[j] * norm
                    d[j] = factor * norm * (inside - (target / q if q >= low and q <= high else 0))
            total += w * value
        a = a + units
        y = y + units
        d = d + units if d != NULL else NULL
    return total


cdef double softmax_categorical_crossentropy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row, j
    cdef double total = 0, w
    cdef real target, log_total, mass, factor, value
    cdef real keep = <real>(1 - p[0]), spread = <real>(p[0] / units) if units else 0
    for row in range(rows):
        log_total = maths.softmax_row(z, a, units)
        w = weight_of(weight, row)
        if w == 0:
            clear(d, units)
        else:
            value = 0
            mass = 0
            factor = <real>(scale * w)
            for j in range(units):
                target = y[j] * keep + spread
                mass += target
                value += target * (log_total - z[j]) if target != 0 else 0
            if d != NULL:
                for j in range(units):
                    d[j] = factor * (a[j] * mass - (y[j] * keep + spread))
            total += w * value
        z = z + units
        a = a + units
        y = y + units
        d = d + units if d != NULL else NULL
    return total


cdef double sparse_categorical_crossentropy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row, j, label
    cdef double total = 0, w
    cdef real q, norm, factor
    cdef real low = <real>EPSILON, high = <real>(1 - EPSILON)
    for row in range(rows):
        w = weight_of(weight, row)
        clear(d, units)
        if w != 0:
            label = class_of(y[row], units)
            if label < 0:
                return libc.NAN
            norm = <real>1 / maths.sum_of(a, units)
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
    cdef Py_ssize_t row, j, label
    cdef double total = 0, w
    cdef real log_total, factor
    for row in range(rows):
        log_total = maths.softmax_row(z, a, units)
        w = weight_of(weight, row)
        if w == 0:
            clear(d, units)
        else:
            label = class_of(y[row], units)
            if label < 0:
                return libc.NAN
            total += w * (log_total - z[label])
            if d != NULL:
                factor = <real>(scale * w)
                for j in range(units):
                    d[j] = factor * a[j]
                d[label] -= factor
        z = z + units
        a = a + units
        d = d + units if d != NULL else NULL
    return total


# Metrics: the same signature, no gradient.

cdef double binary_accuracy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row, j, hits
    cdef double total = 0
    for row in range(rows):
        hits = 0
        for j in range(units):
            hits += (<real>1 if a[j] > p[0] else <real>0) == y[j]
        total += weight_of(weight, row) * hits / units
        a = a + units
        y = y + units
    return total


cdef double categorical_accuracy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row
    cdef double total = 0
    for row in range(rows):
        total += weight_of(weight, row) * (argmax(a, units) == argmax(y, units))
        a = a + units
        y = y + units
    return total


cdef double sparse_categorical_accuracy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row
    cdef double total = 0
    for row in range(rows):
        total += weight_of(weight, row) * (argmax(a, units) == y[row])
        a = a + units
    return total


cdef double l1_l2_penalty(const real* w, real* g, Py_ssize_t n, double l1, double l2) noexcept nogil:
    """l1 * sum |w| + l2 * sum w^2; its gradient is added to g."""
    cdef Py_ssize_t i
    cdef real first = <real>l1, second = <real>(2 * l2)
    for i in range(n):
        g[i] = g[i] + first * <real>((w[i] > 0) - (w[i] < 0)) + second * w[i]
    return l1 * maths.sum_of_absolutes(w, n) + l2 * maths.dot(w, w, n)


mean_squared_error = LossKernel.make(
    "mean_squared_error", mean_squared_error_rows[float], mean_squared_error_rows[double])
mean_absolute_error = LossKernel.make(
    "mean_absolute_error", mean_absolute_error_rows[float], mean_absolute_error_rows[double])
huber = LossKernel.make("huber", huber_rows[float], huber_rows[double])
binary_crossentropy = LossKernel.make(
    "binary_crossentropy", binary_crossentropy_rows[float], binary_crossentropy_rows[double])
sigmoid_binary_crossentropy = LossKernel.make(
    "sigmoid_binary_crossentropy", sigmoid_binary_crossentropy_rows[float], sigmoid_binary_crossentropy_rows[double])
categorical_crossentropy = LossKernel.make(
    "categorical_crossentropy", categorical_crossentropy_rows[float], categorical_crossentropy_rows[double])
softmax_categorical_crossentropy = LossKernel.make(
    "softmax_categorical_crossentropy",
    softmax_categorical_crossentropy_rows[float], softmax_categorical_crossentropy_rows[double])
sparse_categorical_crossentropy = LossKernel.make(
    "sparse_categorical_crossentropy",
    sparse_categorical_crossentropy_rows[float], sparse_categorical_crossentropy_rows[double], labels=True)
softmax_sparse_categorical_crossentropy = LossKernel.make(
    "softmax_sparse_categorical_crossentropy",
    softmax_sparse_categorical_crossentropy_rows[float],
    softmax_sparse_categorical_crossentropy_rows[double], labels=True)
binary_accuracy = LossKernel.make("binary_accuracy", binary_accuracy_rows[float], binary_accuracy_rows[double])
categorical_accuracy = LossKernel.make(
    "categorical_accuracy", categorical_accuracy_rows[float], categorical_accuracy_rows[double])
sparse_categorical_accuracy = LossKernel.make(
    "sparse_categorical_accuracy",
    sparse_categorical_accuracy_rows[float], sparse_categorical_accuracy_rows[double], labels=True)
l1_l2 = PenaltyKernel.make("l1_l2", l1_l2_penalty[float], l1_l2_penalty[double])
