# The families of kernels that only layers use: their C signatures and their classes.

from libc.stdint cimport uint32_t, uint64_t

from fastnn.kernels.kernel cimport Kernel


# x, a (d, d_x), n, first (number of the first element in the batch), number, key
ctypedef void (*noise32)(const float*, float*, Py_ssize_t, uint32_t, double, uint64_t) noexcept nogil
ctypedef void (*noise64)(const double*, double*, Py_ssize_t, uint32_t, double, uint64_t) noexcept nogil


# The numbers of a column, in an array of addresses: those that are NULL take no part.
cdef enum:
    MEAN, VARIANCE, SHIFT, GAMMA, BETA, COLUMNS

# What the variance stands for: 1 / sqrt(variance + epsilon), 1 / max(sqrt(variance), epsilon), max(...).
cdef enum Root:
    ADDED, FLOORED, INVERSE

# root, rows of x, r0, r1, repeats, channels, numbers, epsilon, slope, a
ctypedef void (*affine32)(
    Root, const float* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float* const*, double, bint,
    float*) noexcept nogil
ctypedef void (*affine64)(
    Root, const double* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double* const*, double, bint,
    double*) noexcept nogil

# rows of x, rows, repeats, channels, c0, c1, mean, variance, shift
ctypedef void (*moments32)(
    const float* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*, float*, float*
    ) noexcept nogil
ctypedef void (*moments64)(
    const double* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*, double*, double*
    ) noexcept nogil

# rows of x, d, rows, repeats, channels, c0, c1, numbers, epsilon, sum of d, sum of d * normalised x
ctypedef void (*batch_sums32)(
    const float* const*, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
    const float* const*, double, float*, float*) noexcept nogil
ctypedef void (*batch_sums64)(
    const double* const*, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
    const double* const*, double, double*, double*) noexcept nogil

# rows of x, d, rows, r0, r1, repeats, channels, numbers, epsilon, the two sums, d_x
ctypedef void (*batch_backward32)(
    const float* const*, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
    const float* const*, double, const float*, const float*, float*) noexcept nogil
ctypedef void (*batch_backward64)(
    const double* const*, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
    const double* const*, double, const double*, const double*, double*) noexcept nogil

# rows of x, r0, r1, repeats, channels, alpha, a
ctypedef void (*prelu_forward32)(
    const float* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, float*) noexcept nogil
ctypedef void (*prelu_forward64)(
    const double* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, double*) noexcept nogil

# rows of x, d, r0, r1, repeats, channels, alpha, d_x
ctypedef void (*prelu_backward32)(
    const float* const*, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, float*
    ) noexcept nogil
ctypedef void (*prelu_backward64)(
    const double* const*, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, double*
    ) noexcept nogil

# rows of x, d, rows, repeats, channels, c0, c1, g
ctypedef void (*prelu_gradient32)(
    const float* const*, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*
    ) noexcept nogil
ctypedef void (*prelu_gradient64)(
    const double* const*, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*
    ) noexcept nogil

# rows of x, r0, r1, groups, features, gamma, beta, epsilon, centred, kept, a
ctypedef void (*layer_forward32)(
    const float* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, const float*, double, bint,
    float*, float*) noexcept nogil
ctypedef void (*layer_forward64)(
    const double* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, const double*, double, bint,
    double*, double*) noexcept nogil

# d, r0, r1, groups, features, gamma, centred, kept, d_x
ctypedef void (*layer_backward32)(
    const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, bint, const float*, float*
    ) noexcept nogil
ctypedef void (*layer_backward64)(
    const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, bint, const double*, double*
    ) noexcept nogil

# d, rows, groups, features, kept, c0, c1, gradients by gamma and by beta (either may be NULL)
ctypedef void (*layer_gradient32)(
    const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t, float*, float*
    ) noexcept nogil
ctypedef void (*layer_gradient64)(
    const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, Py_ssize_t, Py_ssize_t, double*, double*
    ) noexcept nogil


cdef enum Merge:
    ADD, SUBTRACT, MULTIPLY, AVERAGE, MAXIMUM, MINIMUM

# which, rows of each source, sources, r0, r1, n, a
ctypedef void (*merge_forward32)(
    Merge, const float***, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*) noexcept nogil
ctypedef void (*merge_forward64)(
    Merge, const double***, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*) noexcept nogil

# which, rows of each source, sources, r0, r1, n, d, d_x of each source (or NULL)
ctypedef void (*merge_backward32)(
    Merge, const float***, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, float**) noexcept nogil
ctypedef void (*merge_backward64)(
    Merge, const double***, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, double**) noexcept nogil


cdef struct Axes:
    # Two rows as vectors along the axis that a dot product sums over.
    Py_ssize_t depth                    # numbers in a vector
    Py_ssize_t left                     # vectors in a row of the one source
    Py_ssize_t left_inner               # what lies between two numbers of such a vector
    Py_ssize_t right                    # the same of the other
    Py_ssize_t right_inner
    bint normalize                      # unit vectors

# rows of x, rows of y, r0, r1, axes, kept, a
ctypedef void (*dot_forward32)(
    const float* const*, const float* const*, Py_ssize_t, Py_ssize_t, const Axes*, float*, float*) noexcept nogil
ctypedef void (*dot_forward64)(
    const double* const*, const double* const*, Py_ssize_t, Py_ssize_t, const Axes*, double*, double*) noexcept nogil

# rows of x, rows of y, r0, r1, axes, kept, a, d, d_x, d_y (either may be NULL)
ctypedef void (*dot_backward32)(
    const float* const*, const float* const*, Py_ssize_t, Py_ssize_t, const Axes*, const float*, const float*,
    const float*, float*, float*) noexcept nogil
ctypedef void (*dot_backward64)(
    const double* const*, const double* const*, Py_ssize_t, Py_ssize_t, const Axes*, const double*, const double*,
    const double*, double*, double*) noexcept nogil


cdef class NoiseKernel(Kernel):
    cdef noise32 forward32
    cdef noise32 backward32
    cdef noise64 forward64
    cdef noise64 backward64

    @staticmethod
    cdef NoiseKernel make(str name, noise32 forward32, noise32 backward32, noise64 forward64, noise64 backward64)


cdef class AffineKernel(Kernel):
    cdef affine32 rows32
    cdef affine64 rows64

    @staticmethod
    cdef AffineKernel make(str name, affine32 rows32, affine64 rows64)


cdef class BatchKernel(Kernel):
    cdef moments32 moments_32
    cdef batch_sums32 sums32
    cdef batch_backward32 backward32
    cdef moments64 moments_64
    cdef batch_sums64 sums64
    cdef batch_backward64 backward64

    @staticmethod
    cdef BatchKernel make(str name, moments32 moments_32, batch_sums32 sums32, batch_backward32 backward32,
                          moments64 moments_64, batch_sums64 sums64, batch_backward64 backward64)


cdef class PReLUKernel(Kernel):
    cdef prelu_forward32 forward32
    cdef prelu_backward32 backward32
    cdef prelu_gradient32 gradient32
    cdef prelu_forward64 forward64
    cdef prelu_backward64 backward64
    cdef prelu_gradient64 gradient64

    @staticmethod
    cdef PReLUKernel make(str name, prelu_forward32 forward32, prelu_backward32 backward32, prelu_gradient32 gradient32,
                          prelu_forward64 forward64, prelu_backward64 backward64, prelu_gradient64 gradient64)


cdef class LayerKernel(Kernel):
    cdef layer_forward32 forward32
    cdef layer_backward32 backward32
    cdef layer_gradient32 gradient32
    cdef layer_forward64 forward64
    cdef layer_backward64 backward64
    cdef layer_gradient64 gradient64

    @staticmethod
    cdef LayerKernel make(str name, layer_forward32 forward32, layer_backward32 backward32, layer_gradient32 gradient32,
                          layer_forward64 forward64, layer_backward64 backward64, layer_gradient64 gradient64)


cdef class MergeKernel(Kernel):
    cdef Merge which
    cdef merge_forward32 forward32
    cdef merge_backward32 backward32
    cdef merge_forward64 forward64
    cdef merge_backward64 backward64

    @staticmethod
    cdef MergeKernel make(str name, Merge which, merge_forward32 forward32, merge_backward32 backward32,
                          merge_forward64 forward64, merge_backward64 backward64)


cdef class DotKernel(Kernel):
    cdef dot_forward32 forward32
    cdef dot_backward32 backward32
    cdef dot_forward64 forward64
    cdef dot_backward64 backward64

    @staticmethod
    cdef DotKernel make(str name, dot_forward32 forward32, dot_backward32 backward32,
                        dot_forward64 forward64, dot_backward64 backward64)
