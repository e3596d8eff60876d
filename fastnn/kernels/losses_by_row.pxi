"""Losses whose value belongs to a whole row, or to a whole batch. What each argument is stands in losses.pxi."""

cimport libc.math as libc

cimport fastnn.kernels.maths as maths
cimport fastnn.kernels.sums as sums
from fastnn.kernels.targets cimport class_of, clear, weight_of
from fastnn.kernels.types cimport LABELS, PAIRS, WHOLE, make_loss, real, wide

cdef inline real largest_of_others(const real* a, const real* y, Py_ssize_t n) noexcept nogil:
    """Largest of (1 - y) a, n >= 1."""
    cdef real values[sums.CHUNK]
    cdef real top = 0, found
    cdef Py_ssize_t j, m, start = 0
    while start < n:
        m = min(n - start, <Py_ssize_t>sums.CHUNK)
        for j in range(m):
            values[j] = (<real>1 - y[start + j]) * a[start + j]
        found = sums.largest(values, m)
        top = found if start == 0 or found > top else top
        start += m
    return top


cdef double categorical_hinge_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    """max(1 + largest of (1 - y) a - sum of y a, 0)."""
    cdef Py_ssize_t row, j
    cdef double total = 0, w
    cdef real top, value, factor
    for row in range(rows):
        w = weight_of(weight, row)
        clear(d, units)
        if w != 0 and units > 0:
            top = largest_of_others(a, y, units)
            value = maths.ramp(top - sums.dot(y, a, units) + <real>1)
            total += w * value
            if d != NULL and value > 0:
                factor = <real>(scale * w)
                for j in range(units):
                    d[j] = -factor * y[j]
                for j in range(units):
                    if (<real>1 - y[j]) * a[j] == top:              # the first of equals, as in argmax
                        d[j] += factor * (<real>1 - y[j])
                        break
        a = a + units
        y = y + units
        d = d + units if d != NULL else NULL
    return total


cdef inline double inverse_norm(double square) noexcept nogil:
    """1 / |x|, at most 1e7, so that 0 has a direction of length 0; square: of |x|."""
    return min(1 / libc.sqrt(square), 1 / EPSILON)


cdef double cosine_similarity_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    """-y.a / (|y| |a|)."""
    cdef Py_ssize_t row, j
    cdef double total = 0, w, cosine, of_a, of_y, along
    cdef real factor, by_y, by_a
    for row in range(rows):
        w = weight_of(weight, row)
        if w == 0:
            clear(d, units)
        else:
            of_a = inverse_norm(whole_dot(a, a, units))
            of_y = inverse_norm(whole_dot(y, y, units))
            cosine = whole_dot(y, a, units) * of_y * of_a
            total -= w * cosine
            if d != NULL:
                # Where the norm of a is not the divisor, the part along a stays.
                along = cosine * of_a if of_a < 1 / EPSILON else 0
                factor, by_y, by_a = <real>(-scale * w * of_a), <real>of_y, <real>along
                for j in range(units):
                    d[j] = factor * maths.multiply_add(by_y, y[j], -by_a * a[j])
        a = a + units
        y = y + units
        d = d + units if d != NULL else NULL
    return total


cdef double kl_divergence_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    """Sum over classes of t log(t / q), t and q being y and a kept from 1e-7 to 1."""
    cdef real values[sums.CHUNK]
    cdef Py_ssize_t row, j, m, start
    cdef double total = 0, w
    cdef real target, q, factor, low = <real>EPSILON
    for row in range(rows):
        w = weight_of(weight, row)
        if w == 0:
            clear(d, units)
        start = 0
        while start < units and w != 0:
            factor = <real>(scale * w)
            m = min(units - start, <Py_ssize_t>sums.CHUNK)
            for j in range(m):
                target = low if y[start + j] < low else y[start + j]
                target = <real>1 if target > 1 else target
                q = low if a[start + j] < low else a[start + j]
                q = <real>1 if q > 1 else q
                values[j] = target * maths.log(target / q)
                if d != NULL:
                    # Outside the clip the value is constant, and so its slope is 0.
                    d[start + j] = -factor * target / q if q == a[start + j] else 0
            total += w * sum_of(values, m)
            start += m
        a = a + units
        y = y + units
        d = d + units if d != NULL else NULL
    return total


cdef double gaussian_nll_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    """Mean over k of (log v + (y - m)^2 / v) / 2, v = e^s + p[0]; a holds k means m, then k numbers s.

    Narrow rows go together, so that their logarithms fill vectors; a wide row goes in chunks.
    """
    cdef real errors[sums.CHUNK]
    cdef real above[sums.CHUNK]
    cdef real values[sums.CHUNK]
    cdef real of_m[sums.CHUNK]
    cdef real of_s[sums.CHUNK]
    cdef Py_ssize_t row = 0, start, width, taken, i, j, at, k = units // 2
    cdef double total = 0, w
    cdef real floor = maths.log(<real>p[0]), log_v, over_root, error, factor
    while row < rows:
        taken = min(rows - row, max(<Py_ssize_t>1, sums.CHUNK // k if k else sums.CHUNK))
        start = 0
        while start < k:
            width = min(k - start, <Py_ssize_t>sums.CHUNK)
            for i in range(taken):
                at = (row + i) * units + start
                for j in range(width):
                    errors[i * width + j] = a[at + j] - y[(row + i) * k + start + j]
                    above[i * width + j] = a[at + k + j] - floor
            for j in range(taken * width):
                log_v = floor + maths.softplus(above[j])
                over_root = maths.exp(<real>-0.5 * log_v)       # 1 / v may be less than float32 holds
                error = errors[j] * over_root
                of_m[j] = error * over_root
                of_s[j] = <real>0.5 * maths.sigmoid(above[j]) * maths.multiply_add(-error, error, <real>1)
                values[j] = maths.multiply_add(error, error, log_v)
            for i in range(taken):
                at = (row + i) * units + start
                w = weight_of(weight, row + i) / k
                if w != 0:
                    total += 0.5 * w * whole_sum(values + i * width, width)
                if d != NULL:
                    factor = <real>(scale * w)
                    for j in range(width):
                        d[at + j] = factor * of_m[i * width + j] if w != 0 else 0
                        d[at + k + j] = factor * of_s[i * width + j] if w != 0 else 0
            start += width
        row += taken
    return total


cdef double categorical_generalized_cross_entropy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    """(1 - a[y]^p[0]) / p[0]."""
    cdef Py_ssize_t row, label
    cdef double total = 0, w
    cdef real share, others, q = <real>p[0]
    for row in range(rows):
        w = weight_of(weight, row)
        clear(d, units)
        if w != 0:
            label = class_of(y[row], units)
            if label < 0:
                return libc.NAN
            others = sum_of(a, units)
            share = a[label] + (others - others)                    # a NaN among the others is not lost
            total += w * ((<real>1 - maths.exp(q * maths.log(share))) / q)
            if d != NULL:
                share = <real>1e-30 if share < <real>1e-30 else share    # at 0 the slope is infinite
                d[label] = -<real>(scale * w) * maths.exp((q - <real>1) * maths.log(share))
        a = a + units
        d = d + units if d != NULL else NULL
    return total


cdef inline real focal_class(
        real target, real q, real log_q, real rest, real alpha, real gamma, real* slope) noexcept nogil:
    """-alpha target (1 - q)^gamma log q, and its slope by log q; rest = 1 - q."""
    cdef real tiny = <real>1e-37                                    # log(0) times 0 must not be NaN
    rest = tiny if rest < tiny else rest
    cdef real power = maths.exp(gamma * maths.log(rest))
    slope[0] = alpha * target * maths.multiply_add(gamma * power / rest * q, log_q, -power)
    return -alpha * target * power * log_q if target != 0 else <real>0


cdef double focal_rows(
        bint fused, const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    """Narrow rows go together, so that their logarithms fill vectors. p: label smoothing, alpha, gamma."""
    cdef real given[sums.CHUNK]                                 # fused: log q; else q before its clip
    cdef real values[sums.CHUNK]
    cdef real slopes[sums.CHUNK]
    cdef real norms[sums.LANES]                                     # fused: logarithms of the rows' sums
    cdef real of_rows[sums.LANES]
    cdef Py_ssize_t row = 0, taken, start, width, first, at, i, j
    cdef double total = 0, w
    cdef real q, log_q, factor
    cdef real keep = <real>(1 - p[0]), spread = <real>(p[0] / units) if units else 0
    cdef real alpha = <real>p[1], gamma = <real>p[2], low = <real>EPSILON, high = <real>(1 - EPSILON)
    cdef real edge = <real>-3e38                                    # an infinite logit times 0 must not be NaN
    while row < rows:
        first = row * units
        taken = max(<Py_ssize_t>1, min(<Py_ssize_t>sums.LANES, sums.CHUNK // units if units else sums.LANES))
        taken = min(taken, rows - row)
        if fused:
            taken = sums.softmax_rows(z + first, a + first, norms, of_rows, taken, units)
            sums.add_logs(norms, <const real*>of_rows, taken)
        for i in range(taken):
            of_rows[i] = 0
            if not fused:
                norms[i] = <real>1 / sum_of(a + first + i * units, units)
        start = 0
        while start < units:
            width = min(units - start, <Py_ssize_t>sums.CHUNK)
            for i in range(taken):
                at = first + i * units + start
                for j in range(width):
                    given[i * width + j] = z[at + j] - norms[i] if fused else a[at + j] * norms[i]
            at = first + start
            for j in range(taken * width):
                if fused:
                    log_q = edge if given[j] < edge else given[j]
                    log_q = <real>0 if log_q > 0 else log_q
                    values[j] = focal_class(
                        y[at + j] * keep + spread, a[at + j], log_q, -maths.expm1_negative(log_q), alpha, gamma,
                        &slopes[j])
                else:
                    q = low if given[j] < low else given[j]
                    q = high if q > high else q
                    values[j] = focal_class(
                        y[at + j] * keep + spread, q, maths.log(q), <real>1 - q, alpha, gamma, &slopes[j])
                    # Outside the clip the value is constant, and so its slope is 0.
                    slopes[j] = slopes[j] if q == given[j] else <real>0
            for i in range(taken):
                w = weight_of(weight, row + i)
                total += w * sum_of(values + i * width, width) if w != 0 else 0
                of_rows[i] += sum_of(slopes + i * width, width)
                if d != NULL:
                    at = first + i * units + start
                    for j in range(width):
                        d[at + j] = slopes[i * width + j]
            start += width
        for i in range(taken if d != NULL else 0):
            w, at = weight_of(weight, row + i), first + i * units
            factor = <real>(scale * w)
            for j in range(at, at + units):
                if fused:
                    d[j] = factor * maths.multiply_add(-of_rows[i], a[j], d[j])
                else:
                    q = a[j] * norms[i]
                    d[j] = factor * norms[i] * ((d[j] / q if d[j] != 0 else <real>0) - of_rows[i])
            if w == 0:
                clear(d + at, units)
        row += taken
    return total


cdef double categorical_focal_crossentropy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return focal_rows(False, z, a, y, weight, d, p, rows, units, scale)


cdef double softmax_categorical_focal_crossentropy_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return focal_rows(True, z, a, y, weight, d, p, rows, units, scale)


cdef double overlap_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    """All rows of a batch together: (sum of weights) * D, D = 1 - p0 I / (p1 I + p2 Y + p3 A + 1e-7).

    I, Y and A are the sums of y a, y and a over all rows, whatever their weights; the slopes are those of the result.
    """
    cdef Py_ssize_t row, i
    cdef double both = 0, of_y = 0, of_a = 0, weights = 0, bottom, top
    cdef real by_y, by_all, factor
    for row in range(rows):
        i = row * units
        both += whole_dot(y + i, a + i, units)
        of_y += whole_sum(y + i, units)
        of_a += whole_sum(a + i, units)
        weights += weight_of(weight, row)
    top = p[0] * both
    bottom = p[1] * both + p[2] * of_y + p[3] * of_a + EPSILON
    if d != NULL:
        factor = <real>(scale * weights)
        by_y = <real>((top * p[1] / bottom - p[0]) / bottom)
        by_all = <real>(top * p[3] / bottom / bottom)
        for i in range(rows * units):
            d[i] = factor * maths.multiply_add(by_y, y[i], by_all)
    return weights * (1 - top / bottom)


cdef struct Similar:        # the exponentials of a row's pairs, added up one after the other: total * e^top
    double top
    double total


cdef inline void add_pair(Similar* pairs, double value) noexcept nogil:
    if value > pairs.top:
        pairs.total = pairs.total * libc.exp(pairs.top - value) + 1
        pairs.top = value
    else:
        pairs.total += libc.exp(value - pairs.top)


cdef inline double circle_pair(bint same, double distance, const double* p) noexcept nogil:
    """What a pair adds: p0 (distance^2 - p1^2) of one class, p0 (1 + p1 - distance) (1 - p1 - distance) of two."""
    if same:
        return p[0] * (distance * distance - p[1] * p[1])
    return p[0] * max(1 + p[1] - distance, 0.0) * (1 - p[1] - distance)


cdef inline double circle_slope(bint same, double distance, const double* p) noexcept nogil:
    """The slope of a pair's value by its distance."""
    if same:
        return 2 * p[0] * distance
    return 2 * p[0] * (distance - 1) if distance < 1 + p[1] else 0


cdef double circle_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    """All rows of a batch together: of each row log(1 + sums of e^value over the pairs of one class and of two).

    A row has as many pairs as there are rows, whatever they weigh; the distance of one is 1 - a_i.a_j, at least 0.
    p: gamma, margin, whether a row is no pair with itself. The distances are worked out twice, as nothing holds them.
    """
    cdef Py_ssize_t i, j, k
    cdef double total = 0, w, cosine, distance, both, outer, share
    cdef real factor
    cdef bint same
    cdef Similar positive, negative
    clear(d, rows * units)
    for i in range(rows):
        w = weight_of(weight, i)
        if w == 0:
            continue
        positive.top, positive.total = -libc.INFINITY, 0
        negative.top, negative.total = -libc.INFINITY, 0
        for j in range(rows):
            same = y[i] == y[j]
            if same and i == j and p[2] != 0:
                continue
            cosine = whole_dot(a + i * units, a + j * units, units)
            distance = 1 - cosine if cosine <= 1 or cosine != cosine else 0
            if same:
                add_pair(&positive, circle_pair(same, distance, p))
            else:
                add_pair(&negative, circle_pair(same, distance, p))
        if positive.total == 0 or negative.total == 0:
            continue
        both = positive.top + libc.log(positive.total) + negative.top + libc.log(negative.total)
        total += w * (max(both, 0.0) + libc.log1p(libc.exp(-libc.fabs(both)))) if both == both else both
        if d == NULL:
            continue
        outer = scale * w / (1 + libc.exp(-both))
        for j in range(rows):
            same = y[i] == y[j]
            if same and i == j and p[2] != 0:
                continue
            cosine = whole_dot(a + i * units, a + j * units, units)
            if cosine < 1:
                distance = 1 - cosine
                share = circle_pair(same, distance, p)
                if same:
                    share = libc.exp(share - positive.top) / positive.total
                else:
                    share = libc.exp(share - negative.top) / negative.total
                factor = <real>(-outer * share * circle_slope(same, distance, p))
                for k in range(units):
                    d[i * units + k] += factor * a[j * units + k]
                for k in range(units):
                    d[j * units + k] += factor * a[i * units + k]
    return total


make_loss(made, "categorical_hinge", categorical_hinge_rows[float], wide(categorical_hinge_rows[double]))
make_loss(made, "cosine_similarity", cosine_similarity_rows[float], wide(cosine_similarity_rows[double]))
make_loss(made, "kl_divergence", kl_divergence_rows[float], wide(kl_divergence_rows[double]))
make_loss(made, "gaussian_nll", gaussian_nll_rows[float], wide(gaussian_nll_rows[double]), PAIRS)
make_loss(
    made, "categorical_generalized_cross_entropy", categorical_generalized_cross_entropy_rows[float],
    wide(categorical_generalized_cross_entropy_rows[double]), LABELS)
make_loss(
    made, "categorical_focal_crossentropy", categorical_focal_crossentropy_rows[float],
    wide(categorical_focal_crossentropy_rows[double]))
make_loss(
    made, "softmax_categorical_focal_crossentropy", softmax_categorical_focal_crossentropy_rows[float],
    wide(softmax_categorical_focal_crossentropy_rows[double]))
make_loss(made, "overlap", overlap_rows[float], wide(overlap_rows[double]), WHOLE)
make_loss(made, "circle", circle_rows[float], wide(circle_rows[double]), LABELS | WHOLE)
