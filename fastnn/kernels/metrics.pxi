"""Metrics: values of the network's output that nothing is trained by. Of two kinds.

A mean metric has a loss's signature and gives the sum over the rows of weight * value; it has no gradient.
An accumulator adds a batch to a state of doubles, row after row, and the value is made of that at the end:

a       (rows, units) the network's output
y       (rows, targets) targets
weight  (rows,) or NULL for ones; a row of weight 0 adds nothing, whatever it holds
state   all zeros before the first batch
p       the metric's own numbers, as many as it has
"""

cimport libc.math as libc

cimport fastnn.kernels.maths as maths
cimport fastnn.kernels.sums as sums
from fastnn.kernels.targets cimport class_of, weight_of
from fastnn.kernels.types cimport LABELS, make_accumulator, make_loss, real, wide


cdef inline Py_ssize_t argmax(const real* a, Py_ssize_t n) noexcept nogil:
    """The first of the largest; any number where there is a NaN."""
    cdef Py_ssize_t j, best = 0
    cdef real top
    cdef int first = <int>n
    if n < sums.LANES:
        for j in range(1, n):
            best = j if a[j] > a[best] else best
        return best
    # The smallest place may be looked for in any order, so the compiler makes it vectors.
    top = sums.largest(a, n)
    for j in range(n):
        first = min(first, <int>(j if a[j] == top else n))
    return first


# Mean metrics.

cdef enum Hit:
    EQUAL, SIDE


cdef inline Py_ssize_t hits(
        Hit which, const real* a, const real* y, real threshold, Py_ssize_t n) noexcept nogil:
    """How many outputs equal y, or lie on the side of the threshold that y says."""
    cdef Py_ssize_t i, count = 0
    if which == EQUAL:
        for i in range(n):
            count += a[i] == y[i]
    else:
        for i in range(n):
            count += (<real>1 if a[i] > threshold else <real>0) == y[i]
    return count


cdef inline double rows_of_hits(
        Hit which, const real* a, const real* y, const real* weight, double threshold,
        Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t row
    cdef double total = 0
    if weight == NULL:
        total = hits(which, a, y, <real>threshold, rows * units)
    else:
        for row in range(rows):
            total += weight[row] * hits(which, a + row * units, y + row * units, <real>threshold, units)
    return total / units if units else 0


cdef double accuracy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return rows_of_hits(EQUAL, <const real*>a, y, weight, 0, rows, units)


cdef double binary_accuracy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return rows_of_hits(SIDE, <const real*>a, y, weight, p[0], rows, units)


cdef double categorical_accuracy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row
    cdef double total = 0
    for row in range(rows):
        total += weight_of(weight, row) * (argmax(a + row * units, units) == argmax(y + row * units, units))
    return total


cdef double sparse_categorical_accuracy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row
    cdef double total = 0
    for row in range(rows):
        total += weight_of(weight, row) * (argmax(a + row * units, units) == y[row])
    return total


cdef inline bint is_among_top(const real* a, Py_ssize_t place, double k, Py_ssize_t n) noexcept nogil:
    """Whether a[place] is a number that fewer than k others exceed."""
    cdef Py_ssize_t j, larger = 0
    if place < 0:
        return False
    for j in range(n):
        larger += a[j] > a[place]
    return larger < k and a[place] == a[place]


cdef double top_k_categorical_accuracy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row, at
    cdef double total = 0
    for row in range(rows):
        at = row * units
        total += weight_of(weight, row) * is_among_top(<const real*>a + at, argmax(y + at, units), p[0], units)
    return total


cdef double sparse_top_k_categorical_accuracy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row
    cdef double total = 0
    for row in range(rows):
        total += weight_of(weight, row) * is_among_top(
            <const real*>a + row * units, class_of(y[row], units), p[0], units)
    return total


cdef double sorted_top_k_accuracy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    cdef Py_ssize_t row, first = <Py_ssize_t>min(p[0], <double>units)
    cdef Py_ssize_t j
    cdef bint found
    cdef double total = 0
    for row in range(rows):
        found = False
        for j in range(row * units, row * units + first):
            found |= a[j] == y[row]
        total += weight_of(weight, row) * found
    return total


cdef inline double mean_of(const real* a, Py_ssize_t n) noexcept nogil:
    """In float64, so that numbers that are all the same have no more than its rounding between them."""
    cdef double total = 0
    cdef Py_ssize_t j
    for j in range(n):
        total += a[j]
    return total / n


cdef inline bint is_constant(double squares, double mean, Py_ssize_t n) noexcept nogil:
    """Whether n numbers of that mean, and that sum of squares about it, differ by rounding alone. False for NaN."""
    return squares <= n * 1e-28 * mean * mean


cdef inline double correlation_rows(
        bint concordance, const real* a, const real* y, const real* weight, Py_ssize_t rows,
        Py_ssize_t units) noexcept nogil:
    """Of each row the covariance of its outputs and targets: by the root of their variances, or by how far the two are
    from being the same. 0 where that is 0 / 0.
    """
    cdef Py_ssize_t row, j
    cdef double total = 0, w, mean_a, mean_y, of_a, of_y, both, apart_a, apart_y
    for row in range(rows):
        w = weight_of(weight, row)
        if w != 0 and units > 0:
            mean_a, mean_y = mean_of(a, units), mean_of(y, units)
            of_a = of_y = both = 0
            for j in range(units):
                apart_a, apart_y = a[j] - mean_a, y[j] - mean_y
                of_a += apart_a * apart_a
                of_y += apart_y * apart_y
                both += apart_a * apart_y
            if concordance:
                apart_a = mean_a - mean_y
                total += w * 2 * both / (of_a + of_y + units * (apart_a * apart_a + EPSILON))
            elif not (is_constant(of_a, mean_a, units) or is_constant(of_y, mean_y, units)):
                total += w * both / libc.sqrt(of_a) / libc.sqrt(of_y)
        a = a + units
        y = y + units
    return total


cdef double pearson_correlation_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return correlation_rows(False, <const real*>a, y, weight, rows, units)


cdef double concordance_correlation_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return correlation_rows(True, <const real*>a, y, weight, rows, units)


# Accumulators.

cdef double NOT_AMONG_TOP = -1e10           # the output that Keras gives to a class that is not among the top k


cdef inline Py_ssize_t place_of_kth(const real* a, Py_ssize_t k, Py_ssize_t n) noexcept nogil:
    """Place of the k-th largest, the earlier of equals first; of the smallest if n < k; -1 if all are NaN."""
    cdef Py_ssize_t j, best, last = -1
    while k > 0:
        best = -1
        for j in range(n):
            if (last < 0 or a[j] < a[last] or (a[j] == a[last] and j > last)) and a[j] == a[j]:
                best = j if best < 0 or a[j] > a[best] else best
        if best < 0:
            break
        last = best
        k -= 1
    return last


cdef inline Py_ssize_t passed(real value, const double* thresholds, Py_ssize_t n) noexcept nogil:
    """How many of the thresholds, which rise, the value is above. NaN is above none."""
    cdef Py_ssize_t count
    cdef double low, high
    if n == 0 or not value > <real>thresholds[0]:
        return 0
    if value > <real>thresholds[n - 1]:
        return n
    # Between evenly spaced thresholds this is the answer, but for rounding; the steps after it make it so for any.
    low, high = thresholds[0], thresholds[n - 1]
    count = <Py_ssize_t>((value - low) / (high - low) * (n - 1))
    count = max(<Py_ssize_t>1, min(count, n - 1))
    while value > <real>thresholds[count]:
        count += 1
    while not value > <real>thresholds[count - 1]:
        count -= 1
    return count


cdef Py_ssize_t threshold_counts_size(const double* p, Py_ssize_t units, Py_ssize_t targets) noexcept nogil:
    return (units if p[0] != 0 else 1) * 2 * (<Py_ssize_t>p[4] + 1)


cdef void threshold_counts_update(
        const real* a, const real* y, const real* weight, double* state, const double* p,
        Py_ssize_t rows, Py_ssize_t units, Py_ssize_t targets) noexcept nogil:
    """state (columns or 1, 2, thresholds + 1): weight of the elements of y = 0 and of the others, by thresholds passed.

    p: whether columns are kept apart; whether a is logits; the only column that counts or -1; how many of the largest
    of a row count or 0; how many thresholds; the thresholds, rising.
    """
    cdef bint apart = p[0] != 0, logits = p[1] != 0
    cdef Py_ssize_t only = <Py_ssize_t>p[2], top = <Py_ssize_t>p[3], n = <Py_ssize_t>p[4]
    cdef Py_ssize_t row, j, kth = -1
    cdef double w
    cdef real value
    for row in range(rows):
        w = weight_of(weight, row)
        if w != 0:
            if top > 0:
                kth = place_of_kth(a, top, units)
            for j in range(max(only, <Py_ssize_t>0), min(only + 1, units) if only >= 0 else units):
                value = maths.sigmoid(a[j]) if logits else a[j]
                if top > 0 and (kth < 0 or not (a[j] > a[kth] or (a[j] == a[kth] and j <= kth))):
                    value = <real>NOT_AMONG_TOP
                state[((j if apart else 0) * 2 + (y[j] != 0)) * (n + 1) + passed(value, p + 5, n)] += w
        a = a + units
        y = y + targets


cdef enum Reading:
    # How a class is read: a number, the place of the largest, the side of a threshold.
    NUMBER, LARGEST, ABOVE, AT_LEAST


cdef inline Py_ssize_t class_read(
        Reading how, const real* values, Py_ssize_t j, Py_ssize_t n, real threshold, Py_ssize_t classes) noexcept nogil:
    """The class that element j of a row of n says, or the row where it is LARGEST; -1 where there is none such."""
    if how == LARGEST:
        j = argmax(values, n)
        return j if j < classes else -1
    elif how == ABOVE:
        return values[j] > threshold
    elif how == AT_LEAST:
        return values[j] >= threshold
    # As Keras does, without what is behind the point.
    return <Py_ssize_t>values[j] if values[j] > -1 and values[j] < classes else -1


cdef inline Py_ssize_t confusion_classes(const double* p, Py_ssize_t units) noexcept nogil:
    return <Py_ssize_t>p[0] if p[0] != 0 else max(units, <Py_ssize_t>2)


cdef Py_ssize_t confusion_counts_size(const double* p, Py_ssize_t units, Py_ssize_t targets) noexcept nogil:
    return confusion_classes(p, units) * confusion_classes(p, units)


cdef void confusion_counts_update(
        const real* a, const real* y, const real* weight, double* state, const double* p,
        Py_ssize_t rows, Py_ssize_t units, Py_ssize_t targets) noexcept nogil:
    """state (classes, classes): weight of what is of the row's class and was taken for the column's.

    p: classes, how y and a are read, the threshold, the class of y that is left out or -1. Classes 0: as many as
    outputs, or two, read as the shapes say.
    """
    cdef Py_ssize_t classes = confusion_classes(p, units), left_out = <Py_ssize_t>p[4]
    cdef Reading how_y = <Reading><int>p[1], how_a = <Reading><int>p[2]
    cdef Py_ssize_t row, j, truth, taken, elements
    cdef double w
    if p[0] == 0:
        how_y = LARGEST if targets > 1 else NUMBER
        how_a = LARGEST if units > 1 else ABOVE
    elements = 1 if how_a == LARGEST else units
    for row in range(rows):
        w = weight_of(weight, row)
        if w != 0:
            for j in range(elements):
                truth = class_read(how_y, y, j, targets, <real>0, classes)
                taken = class_read(how_a, a, j, units, <real>p[3], classes)
                if truth >= 0 and taken >= 0 and truth != left_out:
                    state[truth * classes + taken] += w
        a = a + units
        y = y + targets


cdef Py_ssize_t class_counts_size(const double* p, Py_ssize_t units, Py_ssize_t targets) noexcept nogil:
    return 3 * units


cdef void class_counts_update(
        const real* a, const real* y, const real* weight, double* state, const double* p,
        Py_ssize_t rows, Py_ssize_t units, Py_ssize_t targets) noexcept nogil:
    """state (3, units): weight of what was taken for the class and is (y may be a share), was taken for it, is it.

    p: whether there is a threshold to be above, or else the largest of the row are taken; the threshold.
    """
    cdef Py_ssize_t row, j
    cdef double w
    cdef real top
    for row in range(rows):
        w = weight_of(weight, row)
        if w != 0:
            top = -1
            if p[0] == 0:
                top = a[0]
                for j in range(1, units):
                    # A NaN is passed by, wherever it stands.
                    top = a[j] if a[j] > top or top != top else top
            for j in range(units):
                if a[j] > <real>p[1] if p[0] != 0 else (a[j] >= top and maths.absolute(a[j]) > <real>1e-9):
                    state[j] += w * y[j]
                    state[units + j] += w
                state[2 * units + j] += w * y[j]
        a = a + units
        y = y + targets


cdef Py_ssize_t column_moments_size(const double* p, Py_ssize_t units, Py_ssize_t targets) noexcept nogil:
    return 4 * units + 1


cdef void column_moments_update(
        const real* a, const real* y, const real* weight, double* state, const double* p,
        Py_ssize_t rows, Py_ssize_t units, Py_ssize_t targets) noexcept nogil:
    """state (4, units) and 1: sum of weights, mean of y, sum of weight * (y - mean)^2 and of weight * (y - a)^2; rows.

    Welford's recurrence with weights (West 1979): no difference of large sums, whatever the mean is.
    """
    cdef Py_ssize_t row, j
    cdef double w, before, error
    cdef double* weights = state
    cdef double* means = state + units
    cdef double* spreads = state + 2 * units
    cdef double* residuals = state + 3 * units
    state[4 * units] += rows
    for row in range(rows):
        w = weight_of(weight, row)
        if w != 0:
            for j in range(units):
                before = y[j] - means[j]
                weights[j] += w
                means[j] += before * w / weights[j]
                spreads[j] += w * before * (y[j] - means[j])
                error = <double>y[j] - a[j]
                residuals[j] += w * error * error
        a = a + units
        y = y + targets


make_loss(made, "accuracy", accuracy_rows[float], wide(accuracy_rows[double]))
make_loss(made, "binary_accuracy", binary_accuracy_rows[float], wide(binary_accuracy_rows[double]))
make_loss(made, "categorical_accuracy", categorical_accuracy_rows[float], wide(categorical_accuracy_rows[double]))
make_loss(
    made, "sparse_categorical_accuracy", sparse_categorical_accuracy_rows[float],
    wide(sparse_categorical_accuracy_rows[double]), LABELS)
make_loss(
    made, "top_k_categorical_accuracy", top_k_categorical_accuracy_rows[float],
    wide(top_k_categorical_accuracy_rows[double]))
make_loss(
    made, "sparse_top_k_categorical_accuracy", sparse_top_k_categorical_accuracy_rows[float],
    wide(sparse_top_k_categorical_accuracy_rows[double]), LABELS)
make_loss(
    made, "sorted_top_k_accuracy", sorted_top_k_accuracy_rows[float], wide(sorted_top_k_accuracy_rows[double]), LABELS)
make_loss(made, "pearson_correlation", pearson_correlation_rows[float], wide(pearson_correlation_rows[double]))
make_loss(
    made, "concordance_correlation", concordance_correlation_rows[float], wide(concordance_correlation_rows[double]))
make_accumulator(
    made, "threshold_counts", threshold_counts_update[float], wide(threshold_counts_update[double]),
    threshold_counts_size)
make_accumulator(
    made, "confusion_counts", confusion_counts_update[float], wide(confusion_counts_update[double]),
    confusion_counts_size)
make_accumulator(made, "class_counts", class_counts_update[float], wide(class_counts_update[double]), class_counts_size)
make_accumulator(
    made, "column_moments", column_moments_update[float], wide(column_moments_update[double]), column_moments_size)
