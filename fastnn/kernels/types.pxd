# The types that every kernel shares: the fused `real`, and one C signature for each family.
#
# A signature takes whole rows, so that softmax is no exception among the activations, and returns nothing
# that Python owns, so that it runs without the GIL.

from libc.stdint cimport uint32_t, uint64_t


ctypedef fused real:
    float
    double

# x, a, n
ctypedef void (*elementwise32)(const float*, float*, Py_ssize_t) noexcept nogil
ctypedef void (*elementwise64)(const double*, double*, Py_ssize_t) noexcept nogil

# z, a, p (the unit's numbers), rows, units
ctypedef void (*activation_forward32)(const float*, float*, const double*, Py_ssize_t, Py_ssize_t) noexcept nogil
ctypedef void (*activation_forward64)(const double*, double*, const double*, Py_ssize_t, Py_ssize_t) noexcept nogil

# z, a, d (dL/da in, dL/dz out), p, rows, units
ctypedef void (*activation_backward32)(
    const float*, const float*, float*, const double*, Py_ssize_t, Py_ssize_t) noexcept nogil
ctypedef void (*activation_backward64)(
    const double*, const double*, double*, const double*, Py_ssize_t, Py_ssize_t) noexcept nogil

# z (raw output), a (activated output: read, or written by a fused loss), y, weight (or NULL), d (or NULL), p,
# rows, units, scale (of d)
ctypedef double (*loss32)(
    const float*, float*, const float*, const float*, float*, const double*,
    Py_ssize_t, Py_ssize_t, double) noexcept nogil
ctypedef double (*loss64)(
    const double*, double*, const double*, const double*, double*, const double*,
    Py_ssize_t, Py_ssize_t, double) noexcept nogil

# w, g, slots, n, learning rate, t (steps done, from 1), p
ctypedef void (*step32)(float*, const float*, float* const*, Py_ssize_t, double, double, const double*) noexcept nogil
ctypedef void (*step64)(
    double*, const double*, double* const*, Py_ssize_t, double, double, const double*) noexcept nogil

# p -> how many slots the step then reads
ctypedef int (*slot_count)(const double*) noexcept nogil

# w, g (added to), n, l1, l2
ctypedef double (*penalty32)(const float*, float*, Py_ssize_t, double, double) noexcept nogil
ctypedef double (*penalty64)(const double*, double*, Py_ssize_t, double, double) noexcept nogil

# w, g (added to), rows, columns, p, workspace
ctypedef double (*matrix_penalty32)(
    const float*, float*, Py_ssize_t, Py_ssize_t, const double*, float*) noexcept nogil
ctypedef double (*matrix_penalty64)(
    const double*, double*, Py_ssize_t, Py_ssize_t, const double*, double*) noexcept nogil

# w, rows, columns, first and last vector, p
ctypedef void (*constraint32)(
    float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*) noexcept nogil
ctypedef void (*constraint64)(
    double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*) noexcept nogil

# x, a, n, first (number of the first element in the batch), rate, key
ctypedef void (*dropout32)(const float*, float*, Py_ssize_t, uint32_t, double, uint64_t) noexcept nogil
ctypedef void (*dropout64)(const double*, double*, Py_ssize_t, uint32_t, double, uint64_t) noexcept nogil

# rows of A, first column of A, B, its stride, bias (or NULL), C, its stride, m, n, k, workspace
ctypedef void (*matmul32)(
    const float* const*, Py_ssize_t, const float*, Py_ssize_t, const float*, float*, Py_ssize_t,
    Py_ssize_t, Py_ssize_t, Py_ssize_t, float*) noexcept nogil
ctypedef void (*matmul64)(
    const double* const*, Py_ssize_t, const double*, Py_ssize_t, const double*, double*, Py_ssize_t,
    Py_ssize_t, Py_ssize_t, Py_ssize_t, double*) noexcept nogil

# D, its stride, rows, columns, out
ctypedef void (*sum32)(const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*) noexcept nogil
ctypedef void (*sum64)(const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*) noexcept nogil

# a, b (or NULL), n, x; what is returned depends on the kernel
ctypedef double (*vector32)(float*, float*, Py_ssize_t, double) noexcept nogil
ctypedef double (*vector64)(double*, double*, Py_ssize_t, double) noexcept nogil
