"""Penalties and constraints on a parameter as a matrix (rows, columns).

w        (rows, columns), row by row
g        (rows, columns), the gradient, added to
p        the unit's numbers, in the order that its class gives

A constraint works on vectors: the columns where p[0], the axis that a vector runs along, is 0; the rows where it is 1.
It is given the first of them and the one after the last, so that threads can share them; a vector's sum runs in an
order of its own, whatever its neighbours are.
"""

cimport libc.math as libc

cimport fastnn.kernels.maths as maths
cimport fastnn.kernels.sums as sums
from fastnn.kernels.sums cimport LANES
from fastnn.kernels.types cimport checked, make_constraint, make_matrix_penalty, real, wide


cdef void unit_rows(
        const real* w, real* unit, real* inverse, Py_ssize_t size, Py_ssize_t length, Py_ssize_t along,
        Py_ssize_t across) noexcept nogil:
    """unit (size, length) = the vectors of w over their lengths, whose inverses are at most 1 / EPSILON."""
    cdef Py_ssize_t i, k
    for i in range(size):
        for k in range(length):
            unit[i * length + k] = w[i * across + k * along]
        inverse[i] = <real>(1 / libc.sqrt(whole_dot(unit + i * length, unit + i * length, length)))
        inverse[i] = <real>(1 / EPSILON) if inverse[i] > <real>(1 / EPSILON) else inverse[i]
        for k in range(length):
            unit[i * length + k] = unit[i * length + k] * inverse[i]


cdef double orthogonal_penalty(
        const real* w, real* g, Py_ssize_t rows, Py_ssize_t columns, const double* p, real* workspace) noexcept nogil:
    """p: factor, axis that a vector runs along. factor * the mean of |u_i . u_j| over pairs of unit vectors.

    Its gradient by u_i is the mean of sign(u_i . u_j) u_j; by w_i, the part of that across u_i, over the length of w_i.
    A vector shorter than EPSILON counts as w_i / EPSILON, as in Keras.
    """
    cdef bint upright = p[1] == 0
    cdef Py_ssize_t size = columns if upright else rows, length = rows if upright else columns
    cdef Py_ssize_t along = columns if upright else 1, across = 1 if upright else columns
    cdef Py_ssize_t i, j, k
    cdef real* unit = workspace
    cdef real* slope = workspace + size * length
    cdef real* inverse = workspace + 2 * size * length
    cdef real product, sign, within
    cdef double total = 0, scale = p[0] / (0.5 * size * (size - 1)) if size > 1 else 0
    unit_rows(w, unit, inverse, size, length, along, across)
    for i in range(size * length):
        slope[i] = 0
    for i in range(size):
        for j in range(i):
            product = sums.dot(unit + i * length, unit + j * length, length)
            total += maths.absolute(product)
            sign = <real>1 if product > 0 else (<real>-1 if product < 0 else product)
            for k in range(length):
                slope[i * length + k] = slope[i * length + k] + sign * unit[j * length + k]
                slope[j * length + k] = slope[j * length + k] + sign * unit[i * length + k]
    for i in range(size):
        within = sums.dot(unit + i * length, slope + i * length, length)
        within = within if inverse[i] < <real>(1 / EPSILON) else <real>0
        inverse[i] = <real>scale * inverse[i]
        for k in range(length):
            g[i * across + k * along] = g[i * across + k * along] + inverse[i] * (
                slope[i * length + k] - within * unit[i * length + k])
    return scale * total


cdef void non_negative(
        real* w, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t first, Py_ssize_t last,
        const double* p) noexcept nogil:
    """max(w, 0)."""
    cdef Py_ssize_t row, i
    for row in range(rows):
        for i in range(row * columns + first, row * columns + last):
            w[i] = maths.ramp(w[i])


cdef inline double scale_of(double square, const double* p) noexcept nogil:
    """What a vector with this sum of squares is multiplied by. p: axis, least and largest length, rate."""
    cdef double length = libc.sqrt(square)
    cdef double wanted = p[1] if length < p[1] else (p[2] if length > p[2] else length)
    return (p[3] * wanted + (1 - p[3]) * length) / (EPSILON + length)


cdef inline void scale_vectors(
        real* w, Py_ssize_t length, Py_ssize_t along, Py_ssize_t across, Py_ssize_t count,
        const double* p) noexcept nogil:
    """The first `count` vectors, at most LANES of them: side by side, so that they fill vector registers."""
    cdef double squares[LANES]
    cdef real scales[LANES]
    cdef Py_ssize_t k, lane
    cdef double x
    cdef bint tiny = False
    for lane in range(count):
        squares[lane] = 0
    for k in range(length):
        for lane in range(count):
            x = w[k * along + lane * across]
            squares[lane] = maths.multiply_add(x, x, squares[lane])
    for lane in range(count):
        squares[lane] = scale_of(squares[lane], p)
        scales[lane] = <real>squares[lane]
        tiny |= 0 < squares[lane] < 1.2e-38
    if real is float:
        if tiny:                        # less than float32 holds, though w times it is not
            for k in range(length):
                for lane in range(count):
                    w[k * along + lane * across] = <float>(w[k * along + lane * across] * squares[lane])
            return
    for k in range(length):
        for lane in range(count):
            w[k * along + lane * across] = w[k * along + lane * across] * scales[lane]


cdef void norm_range(
        real* w, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t first, Py_ssize_t last,
        const double* p) noexcept nogil:
    """p: axis, least and largest length, rate. Vectors of another length go there, by the share that rate is.

    Lengths are float64 sums: a column of float32 runs over any number of rows.
    """
    cdef Py_ssize_t i = first
    while i < last:
        if p[0] == 0:
            scale_vectors(w + i, rows, columns, 1, min(last - i, <Py_ssize_t>LANES), p)
        else:
            scale_vectors(w + i * columns, columns, 1, columns, min(last - i, <Py_ssize_t>LANES), p)
        i += LANES


make_matrix_penalty(made, "orthogonal", orthogonal_penalty[float], checked(orthogonal_penalty[double]))
make_constraint(made, "non_neg", non_negative[float], wide(non_negative[double]))
make_constraint(made, "norm_between", norm_range[float], wide(norm_range[double]))
