"""Optimizers whose step looks at a whole variable: its norm, the means of its rows and columns, a product of matrices.

w        the variable's parameters, updated: `matrices` of (rows, columns) one behind the other; a vector is one row
g        its gradient
slots    pointers to the optimizer's own vectors, each as long as w, updated
matrix   which of its two ways an optimizer takes, where it has two
rate, t, p   as in optimizers.pxi
space    as many elements as the kernel's `size` says

w, g and the slots are float32 in both forms; `real` is what is reckoned in: the double form is for gradients whose
squares float32 does not hold. Formulas are Keras's, to the place of epsilon.
"""

cimport libc.math as libc
cimport fastnn.kernels.maths as maths
cimport fastnn.kernels.sums as sums
from fastnn.kernels.types cimport make_whole_optimizer, real, whole_step32, wide
from fastnn.kernels.wide_step cimport finite, kept


cdef Py_ssize_t lamb_workspace(const double* p, Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    return sums.CHUNK


cdef void lamb_step(
        float* w, const float* g, float* const* slots, Py_ssize_t matrices, Py_ssize_t rows, Py_ssize_t columns,
        bint matrix, double rate, double t, const double* p, real* space) noexcept nogil:
    """p: beta_1, beta_2, epsilon. slots: m, v. You et al. 2020, algorithm 2, without its weight decay."""
    cdef Py_ssize_t i, j, many, n = matrices * rows * columns
    cdef real fresh_m = <real>(1 - p[0]), fresh_v = <real>(1 - p[1]), epsilon = <real>p[2]
    cdef real of_m = <real>(1 / (1 - libc.pow(p[0], t))), of_v = <real>(1 / (1 - libc.pow(p[1], t))), lr
    cdef float* m = slots[0]
    cdef float* v = slots[1]
    cdef double size, length = libc.sqrt(whole_dot(w, w, n)), squares = 0
    i = 0
    while i < n:
        many = min(n - i, <Py_ssize_t>sums.CHUNK)
        for j in range(many):
            m[i + j] = kept(<real>m[i + j] + fresh_m * (<real>g[i + j] - <real>m[i + j]))
            v[i + j] = kept(<real>v[i + j] + fresh_v * (<real>g[i + j] * <real>g[i + j] - <real>v[i + j]))
            space[j] = of_m * m[i + j] / (maths.square_root(of_v * <real>v[i + j]) + epsilon)
        squares += whole_dot(space, space, many)
        i += many
    size = libc.sqrt(squares)
    lr = <real>(rate * length / size if length > 0 and size > 0 else rate)
    for i in range(n):
        w[i] = kept(<real>w[i] - lr * (of_m * m[i] / (maths.square_root(of_v * <real>v[i]) + epsilon)))


cdef Py_ssize_t adafactor_workspace(const double* p, Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    return max(columns, <Py_ssize_t>sums.CHUNK)


cdef inline double adafactor_vector(
        const float* g, float* v, Py_ssize_t n, real fade, real fresh, real epsilon, real* space) noexcept nogil:
    """v, the running mean of g^2, anew; gives the sum of the squares of g / sqrt(v)."""
    cdef Py_ssize_t i = 0, j, many
    cdef double squares = 0
    while i < n:
        many = min(n - i, <Py_ssize_t>sums.CHUNK)
        for j in range(many):
            v[i + j] = kept(fade * <real>v[i + j] + fresh * (<real>g[i + j] * <real>g[i + j] + epsilon))
            space[j] = <real>g[i + j] / maths.square_root(<real>v[i + j])
        squares += whole_dot(space, space, many)
        i += many
    return squares


cdef inline void adafactor_means(
        const float* g, float* v, Py_ssize_t rows, Py_ssize_t columns, double fade, double epsilon,
        real* space) noexcept nogil:
    """The running means of g^2 in each row and in each column of a matrix: v[:rows] and v[rows : rows + columns]."""
    cdef Py_ssize_t row, j
    cdef const float* line
    cdef float* c = v + rows
    cdef real kept_share = <real>fade, fresh = <real>((1 - fade) / rows), least = <real>((1 - fade) * epsilon)
    for j in range(columns):
        space[j] = 0
    for row in range(rows):
        line = g + row * columns
        v[row] = finite(fade * v[row] + (1 - fade) * (whole_dot(line, line, columns) / columns + epsilon))
        for j in range(columns):
            space[j] = space[j] + <real>line[j] * <real>line[j]
    for j in range(columns):
        c[j] = kept(kept_share * <real>c[j] + fresh * space[j] + least)


cdef inline double adafactor_root(const float* v, Py_ssize_t rows, Py_ssize_t columns, real* space) noexcept nogil:
    """space[j] = 1 / sqrt(the mean of column j); gives the root of the mean of the rows' means."""
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(columns):
        space[i] = <real>1 / maths.square_root(<real>v[rows + i])
    for i in range(rows):
        total += v[i]
    return libc.sqrt(total / rows)


cdef inline double adafactor_matrix(
        float* w, const float* g, const float* v, Py_ssize_t rows, Py_ssize_t columns, double scale,
        real* space) noexcept nogil:
    """w -= scale * u, where u = g / sqrt(v) by the means of v's rows and columns; scale 0: the sum of u's squares."""
    cdef Py_ssize_t row, j
    cdef real factor
    cdef real total
    cdef double squares = 0, root = adafactor_root(v, rows, columns, space)
    for row in range(rows):
        factor = <real>(root / libc.sqrt(v[row]) * (scale if scale > 0 else 1))
        if scale > 0:
            for j in range(columns):
                w[row * columns + j] = kept(
                    <real>w[row * columns + j] - <real>g[row * columns + j] * factor * space[j])
        else:
            total = 0
            for j in range(columns):
                total += (<real>g[row * columns + j] * factor * space[j]) * (
                    <real>g[row * columns + j] * factor * space[j])
            squares += total
    return squares


cdef void adafactor_step(
        float* w, const float* g, float* const* slots, Py_ssize_t matrices, Py_ssize_t rows, Py_ssize_t columns,
        bint matrix, double rate, double t, const double* p, real* space) noexcept nogil:
    """p: beta_2_decay, epsilon_1, epsilon_2, clip_threshold. slots: of a matrix its rows' means, then its columns'.

    Where there is one row or one column, the product of the two means is the mean itself, which then has the slot.
    Shazeer and Stern 2018, algorithms 4 and 5.
    """
    cdef Py_ssize_t i, n = matrices * rows * columns, size = rows * columns
    cdef double fade = 1 - libc.pow(t, p[0]), squares = 0, scale
    cdef bint factored = rows > 1 and columns > 1
    cdef float* v = slots[0]
    cdef real lr
    scale = max(p[2], libc.sqrt(whole_dot(w, w, n) / n)) * min(rate, 1 / libc.sqrt(t))
    if factored:
        for i in range(matrices):
            adafactor_means(g + i * size, v + i * size, rows, columns, fade, p[1], space)
            squares += adafactor_matrix(w, g + i * size, v + i * size, rows, columns, 0, space)
    else:
        squares = adafactor_vector(g, v, n, <real>fade, <real>(1 - fade), <real>p[1], space)
    scale = scale / max(1.0, libc.sqrt(squares / n) / p[3])
    if scale == 0:
        return
    if factored:
        for i in range(matrices):
            adafactor_matrix(w + i * size, g + i * size, v + i * size, rows, columns, scale, space)
        return
    lr = <real>scale
    for i in range(n):
        w[i] = kept(<real>w[i] - lr * (<real>g[i] / maths.square_root(<real>v[i])))


make_whole_optimizer(made, "lamb", <whole_step32>lamb_step[float], wide(lamb_step[double]), lamb_workspace)
make_whole_optimizer(
    made, "adafactor", <whole_step32>adafactor_step[float], wide(adafactor_step[double]), adafactor_workspace)
