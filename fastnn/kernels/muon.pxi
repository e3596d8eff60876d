"""Muon: a step by a product of matrices, see optimizers_whole.pxi."""

cimport libc.math as libc
cimport fastnn.kernels.maths as maths
cimport fastnn.kernels.sums as sums
from fastnn.kernels.kernel cimport workspace_elements
from fastnn.kernels.types cimport make_whole_optimizer, real, whole_step32, wide
from fastnn.kernels.wide_step cimport kept, wide_step


cdef inline Py_ssize_t muon_matrices(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t less) noexcept nogil:
    """Elements for the addresses of rows and four matrices; what follows them has the alignment of addresses too."""
    return (2 * rows + 2 * rows * columns + 2 * less * less + 1) // 2 * 2


cdef Py_ssize_t muon_workspace(const double* p, Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    cdef Py_ssize_t less = min(rows, columns), more = max(rows, columns)
    return muon_matrices(rows, columns, less) + workspace_elements(more, more)


cdef inline void muon_rows(
        const real* x, Py_ssize_t rows, Py_ssize_t columns, const real** addresses) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows):
        addresses[i] = x + i * columns


cdef inline void muon_orthogonal(
        real* x, Py_ssize_t rows, Py_ssize_t columns, const double* p, real* space) noexcept nogil:
    """x, nearly its nearest orthogonal matrix: p[5] rounds of a x + (b A + c A^2) x, where A = x xt, or with xt x.

    space: addresses of rows, x itself, another, two matrices as large as A, and a multiply's workspace.
    """
    cdef Py_ssize_t i, less = min(rows, columns), n = rows * columns
    cdef real a = <real>p[2], b = <real>p[3], c = <real>p[4]
    cdef real scale = <real>(1 / (libc.sqrt(sums.whole_dot(x, x, n)) + 1e-7))
    cdef real* y = x + n
    cdef real* gram = y + n
    cdef real* square = gram + less * less
    cdef real* work = space + muon_matrices(rows, columns, less)
    cdef const real** addresses = <const real**>space
    cdef int round
    for i in range(n):
        x[i] = x[i] * scale
    for round in range(<int>p[5]):
        muon_rows(x, rows, columns, addresses)
        if rows <= columns:
            matmul_transposed_b_rows(addresses, 0, x, columns, NULL, gram, less, less, less, columns, work)
        else:
            matmul_transposed_a_rows(addresses, 0, x, columns, NULL, gram, less, less, less, rows, work)
        muon_rows(gram, less, less, addresses)
        matmul_rows(addresses, 0, gram, less, NULL, square, less, less, less, less, work)
        for i in range(less * less):
            square[i] = b * gram[i] + c * square[i]
        if rows <= columns:
            muon_rows(square, less, less, addresses)
            matmul_rows(addresses, 0, x, columns, NULL, y, columns, rows, columns, less, work)
        else:
            muon_rows(x, rows, columns, addresses)
            matmul_rows(addresses, 0, square, less, NULL, y, columns, rows, columns, less, work)
        for i in range(n):
            x[i] = a * x[i] + y[i]


cdef void muon_step(
        float* w, const float* g, float* const* slots, Py_ssize_t matrices, Py_ssize_t rows, Py_ssize_t columns,
        bint matrix, double rate, double t, const double* p, real* space) noexcept nogil:
    """p: momentum, nesterov, a, b, c, ns_steps, rms_rate or 0, adam_lr_ratio, adam_beta_1, adam_beta_2, epsilon.

    slots: momentum, and the velocity of Adam, which steps what is no matrix. Jordan et al. 2024; rms_rate: Liu et al.
    2025, eq. 4.
    """
    cdef Py_ssize_t i, n = matrices * rows * columns
    cdef double adam[4]
    cdef real momentum = <real>p[0], lr
    cdef float* m = slots[0]
    cdef real* x = space + 2 * rows
    if not matrix:
        adam[0], adam[1], adam[2], adam[3] = p[8], p[9], p[10], 0
        if real is float:
            adam_step(w, g, slots, n, rate * p[7], t, adam)
        else:
            wide_step(adam_step[double], w, g, slots, 2, n, rate * p[7], t, adam)
        return
    for i in range(n):
        m[i] = kept(momentum * <real>m[i] + <real>g[i])
        x[i] = momentum * <real>m[i] + <real>g[i] if p[1] != 0 else <real>m[i]
    muon_orthogonal(x, rows, columns, p, space)
    lr = <real>(rate * (libc.sqrt(<double>max(rows, columns)) * p[6] if p[6] > 0 else 1))
    for i in range(n):
        w[i] = kept(<real>w[i] - lr * x[i])


make_whole_optimizer(made, "muon", <whole_step32>muon_step[float], wide(muon_step[double]), muon_workspace)
