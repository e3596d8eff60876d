"""What is done row by row: normalisation of a row, merges of several rows, dot products of two.

Rows that are read come by their addresses; those of a merge for each source. `a`, `d` and each `d_x` are one block.

layer_normalization   a = (x - mean) / sqrt(variance + epsilon) * gamma + beta, over groups of `features` numbers;
                      without centring a = x / sqrt(mean of x^2 + epsilon) * gamma
add, subtract, ...    element by element, of any number of sources (subtract: two)
dot                   sums of products along an axis of each of two rows
"""

cimport libc.math as libc
from libc.string cimport memcpy

cimport fastnn.kernels.maths as maths
cimport fastnn.kernels.sums as sums
from fastnn.kernels.sums cimport BLOCK, LANES
from fastnn.kernels.types cimport (
    ADD, AVERAGE, Axes, checked, make_dot, make_layer, make_merge, MAXIMUM, Merge, MINIMUM, MULTIPLY, real, SUBTRACT,
)

# Layer normalisation. Of each row are kept the normalised numbers and, for each group, 1 / its deviation.


cdef double wide_moments(const real* x, Py_ssize_t n, double epsilon, bint centred, double* mean) noexcept nogil:
    """The mean of a group, 0 where it is not centred, and 1 / its deviation, where float32 would lose the squares."""
    cdef Py_ssize_t i
    cdef double total = 0, square = 0
    if centred:
        for i in range(n):
            total += x[i]
    mean[0] = total / n
    for i in range(n):
        square += (x[i] - mean[0]) * (x[i] - mean[0])
    return 1 / libc.sqrt(square / n + epsilon)


cdef void layer_forward(const real* const* x, Py_ssize_t r0, Py_ssize_t r1, Py_ssize_t groups, Py_ssize_t n,
                        const real* gamma, const real* beta, double epsilon, bint centred, real* kept, real* a
                        ) noexcept nogil:
    cdef Py_ssize_t row, group, i
    cdef const real* line
    cdef real* hat
    cdef real* to
    cdef real level, scale, square
    cdef double mean, inverse
    for row in range(r0, r1):
        for group in range(groups):
            line = x[row] + group * n
            hat = kept + row * groups * (n + 1) + group * n
            to = a + (row * groups + group) * n
            # The mean is that of x less its first number: float32 holds it, however large x is.
            level = line[0] if centred else 0
            for i in range(n):
                hat[i] = line[i] - level
            if centred:
                level = sums.sum_of(hat, n) / <real>n
                for i in range(n):
                    hat[i] = hat[i] - level
            square = sums.dot(hat, hat, n) / <real>n + <real>epsilon
            if sums.is_held(square):
                scale = <real>1 / maths.square_root(square)
                for i in range(n):
                    hat[i] = hat[i] * scale
            else:
                inverse = wide_moments(line, n, epsilon, centred, &mean)
                scale = <real>inverse
                for i in range(n):
                    hat[i] = <real>((line[i] - mean) * inverse)
            kept[row * groups * (n + 1) + groups * n + group] = scale
            for i in range(n):
                to[i] = hat[i] * gamma[i] if gamma != NULL else hat[i]
            if beta != NULL:
                for i in range(n):
                    to[i] = to[i] + beta[i]


cdef void layer_backward(const real* d, Py_ssize_t r0, Py_ssize_t r1, Py_ssize_t groups, Py_ssize_t n,
                         const real* gamma, bint centred, const real* kept, real* d_x) noexcept nogil:
    cdef Py_ssize_t row, group, i
    cdef const real* hat
    cdef const real* line
    cdef real* to
    cdef real level, slope, scale
    for row in range(r0, r1):
        for group in range(groups):
            line = d + (row * groups + group) * n
            hat = kept + row * groups * (n + 1) + group * n
            scale = kept[row * groups * (n + 1) + groups * n + group]
            to = d_x + (row * groups + group) * n
            for i in range(n):
                to[i] = line[i] * gamma[i] if gamma != NULL else line[i]
            level = sums.sum_of(to, n) / <real>n if centred else 0
            slope = -sums.dot(to, hat, n) / <real>n
            for i in range(n):
                to[i] = scale * maths.multiply_add(hat[i], slope, to[i] - level)


cdef inline void block_gradient(const real* d, const real* const* hats, Py_ssize_t n, int lines, Py_ssize_t j,
                                int lanes, real* d_gamma, real* d_beta) noexcept nogil:
    cdef real products[LANES]
    cdef real levels[LANES]
    cdef int i, lane
    for lane in range(lanes):
        products[lane] = levels[lane] = 0
    for i in range(lines):
        for lane in range(lanes):
            levels[lane] += d[i * n + j + lane]
            products[lane] = maths.multiply_add(d[i * n + j + lane], hats[i][j + lane], products[lane])
    if d_gamma != NULL:
        for lane in range(lanes):
            d_gamma[j + lane] += products[lane]
    if d_beta != NULL:
        for lane in range(lanes):
            d_beta[j + lane] += levels[lane]


cdef void layer_gradient(const real* d, Py_ssize_t rows, Py_ssize_t groups, Py_ssize_t n, const real* kept,
                         Py_ssize_t c0, Py_ssize_t c1, real* d_gamma, real* d_beta) noexcept nogil:
    """Sums over all groups of all rows of d * normalised x, and of d, for features c0:c1; either may be NULL."""
    cdef const real* hats[BLOCK]
    cdef Py_ssize_t line = 0, j
    cdef int i, lines
    for j in range(c0, c1):
        if d_gamma != NULL:
            d_gamma[j] = 0
        if d_beta != NULL:
            d_beta[j] = 0
    while line < rows * groups:
        lines = <int>min(<Py_ssize_t>BLOCK, rows * groups - line)
        for i in range(lines):
            hats[i] = kept + (line + i) // groups * groups * (n + 1) + (line + i) % groups * n
        j = c0
        while j + LANES <= c1:
            block_gradient(d + line * n, hats, n, lines, j, LANES, d_gamma, d_beta)
            j += LANES
        if j < c1:
            block_gradient(d + line * n, hats, n, lines, j, <int>(c1 - j), d_gamma, d_beta)
        line += lines


# Merges


cdef inline real merged(Merge which, real left, real right) noexcept nogil:
    if which == SUBTRACT:
        return left - right
    elif which == MULTIPLY:
        return left * right
    elif which == MAXIMUM:
        return right if right > left or right != right else left
    elif which == MINIMUM:
        return right if right < left or right != right else left
    else:
        return left + right


cdef inline void merge_rows(Merge which, const real*** xs, int count, Py_ssize_t r0, Py_ssize_t r1, Py_ssize_t n,
                            real* a) noexcept nogil:
    cdef Py_ssize_t row, i
    cdef int k
    cdef const real* left
    cdef const real* right
    cdef real* to
    for row in range(r0, r1):
        to = a + row * n
        left = xs[0][row]
        if count == 1:
            memcpy(to, left, n * sizeof(real))
            continue
        right = xs[1][row]
        for i in range(n):
            to[i] = merged(which, left[i], right[i])
        for k in range(2, count):
            right = xs[k][row]
            for i in range(n):
                to[i] = merged(which, to[i], right[i])
        if which == AVERAGE:
            for i in range(n):
                to[i] = to[i] / <real>count


cdef inline bint wins(Merge which, bint strictly, real x, real other) noexcept nogil:
    if which == MAXIMUM:
        return x > other if strictly else x >= other
    else:
        return x < other if strictly else x <= other


cdef inline void unmerge_rows(Merge which, const real*** xs, int count, Py_ssize_t r0, Py_ssize_t r1, Py_ssize_t n,
                              const real* d, real** d_xs) noexcept nogil:
    cdef Py_ssize_t row, i
    cdef int k, j
    cdef const real* other
    cdef const real* x
    cdef real* to
    cdef real factor
    for k in range(count):
        if d_xs[k] == NULL:
            continue
        factor = -1 if which == SUBTRACT and k else 1
        for row in range(r0, r1):
            to = d_xs[k] + row * n
            for i in range(n):
                to[i] = d[row * n + i] / <real>count if which == AVERAGE else factor * d[row * n + i]
            if which == MULTIPLY or which == MAXIMUM or which == MINIMUM:
                x = xs[k][row]
                for j in range(count):
                    other = xs[j][row]
                    if j != k:
                        for i in range(n):
                            if which == MULTIPLY:
                                to[i] = to[i] * other[i]
                            else:               # of equal ones the first has the whole gradient
                                to[i] = to[i] if wins(which, j < k, x[i], other[i]) else 0


cdef void merge_forward(Merge which, const real*** xs, int count, Py_ssize_t r0, Py_ssize_t r1, Py_ssize_t n,
                        real* a) noexcept nogil:
    if which == ADD:
        merge_rows(ADD, xs, count, r0, r1, n, a)
    elif which == SUBTRACT:
        merge_rows(SUBTRACT, xs, count, r0, r1, n, a)
    elif which == MULTIPLY:
        merge_rows(MULTIPLY, xs, count, r0, r1, n, a)
    elif which == AVERAGE:
        merge_rows(AVERAGE, xs, count, r0, r1, n, a)
    elif which == MAXIMUM:
        merge_rows(MAXIMUM, xs, count, r0, r1, n, a)
    else:
        merge_rows(MINIMUM, xs, count, r0, r1, n, a)


cdef void merge_backward(Merge which, const real*** xs, int count, Py_ssize_t r0, Py_ssize_t r1, Py_ssize_t n,
                         const real* d, real** d_xs) noexcept nogil:
    if which == ADD:
        unmerge_rows(ADD, xs, count, r0, r1, n, d, d_xs)
    elif which == SUBTRACT:
        unmerge_rows(SUBTRACT, xs, count, r0, r1, n, d, d_xs)
    elif which == MULTIPLY:
        unmerge_rows(MULTIPLY, xs, count, r0, r1, n, d, d_xs)
    elif which == AVERAGE:
        unmerge_rows(AVERAGE, xs, count, r0, r1, n, d, d_xs)
    elif which == MAXIMUM:
        unmerge_rows(MAXIMUM, xs, count, r0, r1, n, d, d_xs)
    else:
        unmerge_rows(MINIMUM, xs, count, r0, r1, n, d, d_xs)


# Dot products. A row is a number of vectors of `depth` numbers, which lie `inner` apart; of each is kept 1 / its length
# where the products are of unit vectors, else 1.

cdef double SHORTEST = 1e-12


cdef inline Py_ssize_t vector(Py_ssize_t number, Py_ssize_t depth, Py_ssize_t inner) noexcept nogil:
    """Where a vector begins in its row."""
    return number // inner * depth * inner + number % inner


cdef inline double product(const real* x, Py_ssize_t x_step, const real* y, Py_ssize_t y_step, Py_ssize_t n,
                           bint whole) noexcept nogil:
    """whole: though it may be larger or smaller than float32 holds."""
    cdef Py_ssize_t k
    cdef real total = 0
    cdef double wide = 0
    if x_step == 1 and y_step == 1:
        return sums.whole_dot(x, y, n) if whole else sums.dot(x, y, n)
    for k in range(n):
        total = maths.multiply_add(x[k * x_step], y[k * y_step], total)
    if not whole or sums.is_held(total):
        return total
    for k in range(n):
        wide += <double>x[k * x_step] * y[k * y_step]
    return wide


cdef inline double inverse_length(const real* x, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    return 1 / max(libc.sqrt(product(x, step, x, step, n, True)), SHORTEST)


cdef void dot_forward(const real* const* x, const real* const* y, Py_ssize_t r0, Py_ssize_t r1, const Axes* axes,
                      real* kept, real* a) noexcept nogil:
    cdef Py_ssize_t row, p, q, n = axes.depth
    cdef const real* u
    cdef const real* v
    cdef real* scales
    cdef real* to
    for row in range(r0, r1):
        scales = kept + row * (axes.left + axes.right)
        to = a + row * axes.left * axes.right
        for p in range(axes.left + axes.right):
            scales[p] = 1
        if axes.normalize:
            for p in range(axes.left):
                u = x[row] + vector(p, n, axes.left_inner)
                scales[p] = <real>inverse_length(u, axes.left_inner, n)
            for q in range(axes.right):
                v = y[row] + vector(q, n, axes.right_inner)
                scales[axes.left + q] = <real>inverse_length(v, axes.right_inner, n)
        for p in range(axes.left):
            u = x[row] + vector(p, n, axes.left_inner)
            for q in range(axes.right):
                v = y[row] + vector(q, n, axes.right_inner)
                to[p * axes.right + q] = <real>(
                    product(u, axes.left_inner, v, axes.right_inner, n, axes.normalize)
                    * scales[p] * scales[axes.left + q])


cdef inline void dot_slopes(const real* u, Py_ssize_t u_step, real u_scale, const real* ys, Py_ssize_t y_inner,
                            const real* y_scales, Py_ssize_t others, const real* d, const real* a, Py_ssize_t d_step,
                            Py_ssize_t n, bint normalize, real* to) noexcept nogil:
    """Gradient by one vector u: sum over the others v of d * (v - (u.v) u) in unit vectors, / length of u."""
    cdef Py_ssize_t k, q, v
    cdef real factor, along = 0
    if normalize:
        for q in range(others):
            along = maths.multiply_add(d[q * d_step], a[q * d_step], along)
    for k in range(n):
        to[k * u_step] = -along * u_scale * (u_scale * u[k * u_step])      # the square of a scale may be 0
    for q in range(others):
        v = vector(q, n, y_inner)
        factor = d[q * d_step] * u_scale * y_scales[q]
        for k in range(n):
            to[k * u_step] = maths.multiply_add(factor, ys[v + k * y_inner], to[k * u_step])


cdef void dot_backward(const real* const* x, const real* const* y, Py_ssize_t r0, Py_ssize_t r1, const Axes* axes,
                       const real* kept, const real* a, const real* d, real* d_x, real* d_y) noexcept nogil:
    cdef Py_ssize_t row, p, q, at, n = axes.depth, units = axes.left * axes.right
    cdef const real* scales
    for row in range(r0, r1):
        scales = kept + row * (axes.left + axes.right)
        for p in range(axes.left if d_x != NULL else 0):
            at = vector(p, n, axes.left_inner)
            dot_slopes(x[row] + at, axes.left_inner, scales[p], y[row], axes.right_inner, scales + axes.left,
                       axes.right, d + row * units + p * axes.right, a + row * units + p * axes.right, 1, n,
                       axes.normalize, d_x + row * axes.left * n + at)
        for q in range(axes.right if d_y != NULL else 0):
            at = vector(q, n, axes.right_inner)
            dot_slopes(y[row] + at, axes.right_inner, scales[axes.left + q], x[row], axes.left_inner, scales,
                       axes.left, d + row * units + q, a + row * units + q, axes.right, n,
                       axes.normalize, d_y + row * axes.right * n + at)


make_layer(
    made, "layer_normalization", layer_forward[float], layer_backward[float], layer_gradient[float],
    checked(layer_forward[double]), checked(layer_backward[double]), checked(layer_gradient[double]))
make_merge(
    made, "add_rows", ADD, merge_forward[float], merge_backward[float], checked(merge_forward[double]),
    checked(merge_backward[double]))
make_merge(
    made, "subtract_rows", SUBTRACT, merge_forward[float], merge_backward[float], checked(merge_forward[double]),
    checked(merge_backward[double]))
make_merge(
    made, "multiply_rows", MULTIPLY, merge_forward[float], merge_backward[float], checked(merge_forward[double]),
    checked(merge_backward[double]))
make_merge(
    made, "average_rows", AVERAGE, merge_forward[float], merge_backward[float], checked(merge_forward[double]),
    checked(merge_backward[double]))
make_merge(
    made, "maximum_rows", MAXIMUM, merge_forward[float], merge_backward[float], checked(merge_forward[double]),
    checked(merge_backward[double]))
make_merge(
    made, "minimum_rows", MINIMUM, merge_forward[float], merge_backward[float], checked(merge_forward[double]),
    checked(merge_backward[double]))
make_dot(
    made, "dot_rows", dot_forward[float], dot_backward[float], checked(dot_forward[double]),
    checked(dot_backward[double]))
