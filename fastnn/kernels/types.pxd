# The types that every kernel shares: the fused `real`, and the C signatures of each family's functions.
#
# A signature takes whole rows, so that softmax is no exception among the activations, and returns nothing that Python
# owns, so that it runs without the GIL. The engine works in float32; the float64 form has the same arguments, but for
# what float pointers point at.

from libc.stdint cimport int8_t, int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastnn.kernels.kernel cimport Kernel, make


ctypedef fused real:
    float
    double


# The float64 form of a function for its kernel: an address in the baseline's modules, NULL in those of other sets. Of
# what runs in networks alone, which are float32, it is there to be checked, and in no wheel.
cdef extern from *:
    """
    #ifdef FASTNN_FLOAT64
    #define FASTNN_WIDE(function) ((void*)(function))
    #else
    #define FASTNN_WIDE(function) (0 ? (void*)(function) : (void*)0)    /* used for the compiler, and left out */
    #endif
    #ifdef FASTNN_CHECKED
    #define FASTNN_CHECK FASTNN_WIDE
    #else
    #define FASTNN_CHECK(function) (0 ? (void*)(function) : (void*)0)
    #endif
    """
    void* wide "FASTNN_WIDE"(...)
    void* checked "FASTNN_CHECK"(...)


# z, a, p (the unit's numbers), rows, units
ctypedef void (*activation_forward32)(const float*, float*, const double*, Py_ssize_t, Py_ssize_t) noexcept nogil

# z, a, d (dL/da in, dL/dz out), p, rows, units
ctypedef void (*activation_backward32)(
    const float*, const float*, float*, const double*, Py_ssize_t, Py_ssize_t) noexcept nogil

cdef inline Kernel make_activation(str name, activation_forward32 forward, activation_backward32 backward,
                                   void* forward64, void* backward64):
    return make(name, "activation", <void*>forward, forward64, <void*>backward, backward64)


# z (raw output), a (activated output: read, or written by a fused loss), y, weight (or NULL), d (or NULL), p,
# rows, units, scale (of d)
ctypedef double (*loss32)(
    const float*, float*, const float*, const float*, float*, const double*,
    Py_ssize_t, Py_ssize_t, double) noexcept nogil

# What a loss may be beside the usual: see the attributes of a Kernel.
cdef enum:
    LABELS = 1
    PAIRS = 2
    WHOLE = 4

cdef inline Kernel make_loss(str name, loss32 rows, void* rows64, int kind=0):
    cdef Kernel kernel = make(name, "loss", <void*>rows, rows64)
    kernel.labels, kernel.pairs, kernel.whole = (kind & LABELS) != 0, (kind & PAIRS) != 0, (kind & WHOLE) != 0
    return kernel


# a (output), y, weight (or NULL), state (added to), p (the metric's numbers, as many as it has), rows, units, targets
ctypedef void (*accumulator32)(
    const float*, const float*, const float*, double*, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil

# p, units, targets -> doubles of the state
ctypedef Py_ssize_t (*state_size)(const double*, Py_ssize_t, Py_ssize_t) noexcept nogil

cdef inline Kernel make_accumulator(str name, accumulator32 update, void* update64, state_size size):
    cdef Kernel kernel = make(name, "accumulator", <void*>update, update64)
    kernel.size = <void*>size
    return kernel


# w, g, slots, n, learning rate, t (steps done, from 1), p
ctypedef void (*step32)(float*, const float*, float* const*, Py_ssize_t, double, double, const double*) noexcept nogil

ctypedef void (*step64)(
    double*, const double*, double* const*, Py_ssize_t, double, double, const double*) noexcept nogil

# p -> how many slots the step then reads
ctypedef int (*slot_count)(const double*) noexcept nogil

cdef inline Kernel make_optimizer(str name, step32 step, void* step64, slot_count slots):
    cdef Kernel kernel = make(name, "optimizer", <void*>step, step64)
    kernel.size = <void*>slots
    return kernel


# w, g, slots, matrices, rows, columns, whether it is stepped as a matrix, learning rate, t, p, workspace (floats, or
# doubles of the wide form, whose vectors are float32 too)
ctypedef void (*whole_step32)(
    float*, const float*, float* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, bint, double, double, const double*, void*
    ) noexcept nogil

# p, rows, columns -> elements of workspace
ctypedef Py_ssize_t (*workspace_size)(const double*, Py_ssize_t, Py_ssize_t) noexcept nogil

cdef inline Kernel make_whole_optimizer(str name, whole_step32 step, void* step64, workspace_size size):
    cdef Kernel kernel = make(name, "whole_optimizer", <void*>step, step64)
    kernel.size = <void*>size
    return kernel


# w, g (added to), n, l1, l2
ctypedef double (*penalty32)(const float*, float*, Py_ssize_t, double, double) noexcept nogil

cdef inline Kernel make_penalty(str name, penalty32 penalty, void* penalty64):
    return make(name, "penalty", <void*>penalty, penalty64)


# w, g (added to), rows, columns, p, workspace
ctypedef double (*matrix_penalty32)(
    const float*, float*, Py_ssize_t, Py_ssize_t, const double*, float*) noexcept nogil

cdef inline Kernel make_matrix_penalty(str name, matrix_penalty32 penalty, void* penalty64):
    return make(name, "matrix_penalty", <void*>penalty, penalty64)


# w, rows, columns, first and last vector, p
ctypedef void (*constraint32)(float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*) noexcept nogil

cdef inline Kernel make_constraint(str name, constraint32 constraint, void* constraint64):
    return make(name, "constraint", <void*>constraint, constraint64)


# x, a (d, d_x), n, first (number of the first element in the batch), number, key
ctypedef void (*noise32)(const float*, float*, Py_ssize_t, uint32_t, double, uint64_t) noexcept nogil

cdef inline Kernel make_noise(str name, noise32 forward, noise32 backward, void* forward64, void* backward64):
    return make(name, "noise", <void*>forward, forward64, <void*>backward, backward64)


# rows of A, first column of A, B, its stride, bias (or NULL), C, its stride, m, n, k, workspace
ctypedef void (*gemm32)(
    const float* const*, Py_ssize_t, const float*, Py_ssize_t, const float*, float*, Py_ssize_t,
    Py_ssize_t, Py_ssize_t, Py_ssize_t, float*) noexcept nogil

cdef inline Kernel make_gemm(str name, gemm32 rows, void* rows64):
    return make(name, "gemm", <void*>rows, rows64)


# rows of A, where each segment of a row begins, segments, B, its stride, bias (or NULL), C, its stride, m, n, numbers
# in a segment, workspace
ctypedef void (*segments32)(
    const float* const*, const Py_ssize_t*, Py_ssize_t, const float*, Py_ssize_t, const float*, float*, Py_ssize_t,
    Py_ssize_t, Py_ssize_t, Py_ssize_t, float*) noexcept nogil

cdef inline Kernel make_segments(str name, segments32 rows):
    return make(name, "segments", <void*>rows, NULL)


# planes of x, taps, how many, W, filters, bias (or NULL), whether what is below 0 becomes 0, planes given, numbers of
# each: whole groups of 3 vectors
ctypedef void (*planes_forward32)(
    const float*, const Py_ssize_t*, Py_ssize_t, const float*, Py_ssize_t, const float*, bint, float*, Py_ssize_t
    ) noexcept nogil

# planes of x, taps, how many, planes of d, filters, sums of each lane (added to), g, numbers of each plane; without x
# the sums' lanes are added up, into g
ctypedef void (*planes_gradient32)(
    const float*, const Py_ssize_t*, Py_ssize_t, const float*, Py_ssize_t, float*, float*, Py_ssize_t) noexcept nogil

# to planes or from them, pixels, channels, lines, pixels of a line, planes, from line to line and from plane to plane
ctypedef void (*planes_turn32)(
    bint, float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*, Py_ssize_t, Py_ssize_t) noexcept nogil

cdef inline Kernel make_planes(str name, planes_forward32 forward, planes_gradient32 gradient, planes_turn32 turn,
                               int lanes):
    cdef Kernel kernel = make(name, "planes", <void*>forward, NULL, <void*>gradient, NULL, <void*>turn, NULL)
    kernel.variant = lanes
    return kernel


# what is done (winograd.h), pixels, lines, numbers from line to line, pixels of a line from there on, numbers of one,
# tiles, how many of a line, numbers from plane to plane, bias (or NULL)
ctypedef void (*winograd_tiles32)(
    int, float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*, Py_ssize_t, Py_ssize_t, const float*
    ) noexcept nogil

# whether gradients go back, W, its lines, numbers of a pixel of it, the four planes of W
ctypedef void (*winograd_kernel32)(bint, float*, Py_ssize_t, Py_ssize_t, float*) noexcept nogil

cdef inline Kernel make_winograd(str name, winograd_tiles32 tiles, winograd_kernel32 weights, bint pays):
    cdef Kernel kernel = make(name, "winograd", <void*>tiles, NULL, <void*>weights, NULL)
    kernel.variant = pays
    return kernel


cdef struct Window:
    # Windows over a picture of three axes; what a window has outside of the picture does not count.
    Py_ssize_t size[3]                  # of the picture
    Py_ssize_t given[3]                 # windows
    Py_ssize_t pool[3]                  # cells of a window
    Py_ssize_t stride[3]
    Py_ssize_t before[3]                # cells of the first window that lie before the picture
    Py_ssize_t gap[3]                   # from one cell to the next, of a kernel
    Py_ssize_t channels

# largest or mean, rows of x, r0, r1, window, a
ctypedef void (*pool_forward32)(
    bint, const float* const*, Py_ssize_t, Py_ssize_t, const Window*, float*) noexcept nogil

# largest or mean, rows of x, r0, r1, window, a, d, d_x
ctypedef void (*pool_backward32)(
    bint, const float* const*, Py_ssize_t, Py_ssize_t, const Window*, const float*, const float*, float*
    ) noexcept nogil

# forward (0), gradient by x (1), by w (2); a row of x, window, w, bias (or NULL) or d, what is given or added to
ctypedef void (*depthwise32)(int, const float*, const Window*, const float*, const float*, float*) noexcept nogil

cdef inline Kernel make_depthwise(str name, depthwise32 row):
    return make(name, "depthwise", <void*>row, NULL)


cdef inline Kernel make_pool(str name, pool_forward32 forward, pool_backward32 backward, bint largest):
    cdef Kernel kernel = make(name, "pool", <void*>forward, NULL, <void*>backward, NULL)
    kernel.variant = largest
    return kernel


# D, its stride, rows, columns, out: sums of columns, or D in panels for a packed gemm
ctypedef void (*sum32)(const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*) noexcept nogil

cdef inline Kernel make_sum(str name, sum32 rows, void* rows64):
    return make(name, "sum", <void*>rows, rows64)


# a, b (or NULL), n, x; what is returned depends on the kernel
ctypedef double (*vector32)(float*, float*, Py_ssize_t, double) noexcept nogil

cdef inline Kernel make_vector(str name, vector32 vector, void* vector64):
    return make(name, "vector", <void*>vector, vector64)


# The numbers of a column, in an array of addresses: those that are NULL take no part.
cdef enum:
    MEAN, VARIANCE, SHIFT, GAMMA, BETA, COLUMNS

# What the variance stands for: 1 / sqrt(variance + epsilon), 1 / max(sqrt(variance), epsilon), max(...), or itself: it
# is one of these already.
cdef enum Root:
    ADDED, FLOORED, INVERSE, FOUND

# root, rows of x, r0, r1, repeats, channels, numbers, epsilon, slope, a
ctypedef void (*affine32)(
    Root, const float* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float* const*, double, bint,
    float*) noexcept nogil

cdef inline Kernel make_affine(str name, affine32 rows, void* rows64):
    return make(name, "affine", <void*>rows, rows64)


# rows of x, rows, repeats, channels, c0, c1, mean, variance, shift
ctypedef void (*moments32)(
    const float* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*, float*, float*
    ) noexcept nogil

# rows of x, d, rows, repeats, channels, c0, c1, numbers, sum of d, sum of d * (x - mean)
ctypedef void (*batch_sums32)(
    const float* const*, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
    const float* const*, float*, float*) noexcept nogil

# rows of x, d, rows, r0, r1, repeats, channels, numbers, sum of d, sum of d * normalised x, d_x
ctypedef void (*batch_backward32)(
    const float* const*, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
    const float* const*, const float*, const float*, float*) noexcept nogil

cdef inline Kernel make_batch(str name, moments32 moments, batch_backward32 backward, batch_sums32 sums,
                              void* moments64, void* backward64, void* sums64):
    return make(name, "batch_normalization", <void*>moments, moments64, <void*>backward, backward64, <void*>sums,
                sums64)


# mean, variance and shift of each block, blocks, lines of each block but the last, of the last, channels, and the three
# of all of them
ctypedef void (*combine_moments32)(
    const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*, float*, float*) noexcept nogil

cdef inline Kernel make_combine_moments(str name, combine_moments32 combine, void* combine64):
    return make(name, "combine_moments", <void*>combine, combine64)


# rows of x, r0, r1, repeats, channels, alpha, a
ctypedef void (*prelu_forward32)(
    const float* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, float*) noexcept nogil

# rows of x, d, r0, r1, repeats, channels, alpha, d_x
ctypedef void (*prelu_backward32)(
    const float* const*, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, float*
    ) noexcept nogil

# rows of x, d, rows, repeats, channels, c0, c1, g
ctypedef void (*prelu_gradient32)(
    const float* const*, const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*
    ) noexcept nogil

cdef inline Kernel make_prelu(str name, prelu_forward32 forward, prelu_backward32 backward, prelu_gradient32 gradient,
                              void* forward64, void* backward64, void* gradient64):
    return make(name, "prelu", <void*>forward, forward64, <void*>backward, backward64, <void*>gradient, gradient64)


# rows of x, r0, r1, groups, features, gamma, beta, epsilon, centred, kept, a
ctypedef void (*layer_forward32)(
    const float* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, const float*, double, bint,
    float*, float*) noexcept nogil

# d, r0, r1, groups, features, gamma, centred, kept, d_x
ctypedef void (*layer_backward32)(
    const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, bint, const float*, float*
    ) noexcept nogil

# d, rows, groups, features, kept, c0, c1, gradients by gamma and by beta (either may be NULL)
ctypedef void (*layer_gradient32)(
    const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, Py_ssize_t, float*, float*
    ) noexcept nogil

cdef inline Kernel make_layer(str name, layer_forward32 forward, layer_backward32 backward, layer_gradient32 gradient,
                              void* forward64, void* backward64, void* gradient64):
    return make(name, "layer_normalization", <void*>forward, forward64, <void*>backward, backward64, <void*>gradient,
                gradient64)


cdef enum Merge:
    ADD, SUBTRACT, MULTIPLY, AVERAGE, MAXIMUM, MINIMUM

# which, rows of each source, sources, r0, r1, n, a
ctypedef void (*merge_forward32)(
    Merge, const float***, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*) noexcept nogil

# which, rows of each source, sources, r0, r1, n, d, d_x of each source (or NULL)
ctypedef void (*merge_backward32)(
    Merge, const float***, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, float**) noexcept nogil

cdef inline Kernel make_merge(str name, Merge which, merge_forward32 forward, merge_backward32 backward,
                              void* forward64, void* backward64):
    cdef Kernel kernel = make(name, "merge", <void*>forward, forward64, <void*>backward, backward64)
    kernel.variant = which
    return kernel


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

# rows of x, rows of y, r0, r1, axes, kept, a, d, d_x, d_y (either may be NULL)
ctypedef void (*dot_backward32)(
    const float* const*, const float* const*, Py_ssize_t, Py_ssize_t, const Axes*, const float*, const float*,
    const float*, float*, float*) noexcept nogil

cdef inline Kernel make_dot(str name, dot_forward32 forward, dot_backward32 backward, void* forward64,
                            void* backward64):
    return make(name, "dot", <void*>forward, forward64, <void*>backward, backward64)


# rows, units, z (gates one behind the other) and its pitch, the state before (of each row), c, its activation, the
# pitch of both, h, its pitch. Backward: z takes the gradient by z, c and h have those by the state, of h's pitch
ctypedef void (*cell32)(
    Py_ssize_t, Py_ssize_t, float*, Py_ssize_t, const float* const*, float*, float*, Py_ssize_t, float*, Py_ssize_t
    ) noexcept nogil

cdef inline Kernel make_cell(str name, cell32 forward, cell32 backward):
    return make(name, "cell", <void*>forward, NULL, <void*>backward, NULL)


cdef struct Int8:
    # int8 weights, as int8.h has them too.
    const int8_t* panels                # (depth / 4, 64 columns or 16, 4), one behind the other
    const float* scales
    const int32_t* sums
    Py_ssize_t depth
    Py_ssize_t columns

cdef struct Int8Row:
    # A byte of a row stands for (byte - zero) * scale.
    float scale
    int32_t zero

# x, n, its least and most number (or NULL), bytes, how many, what they stand for
ctypedef void (*quantize32)(
    const float*, Py_ssize_t, const float*, uint8_t*, Py_ssize_t, Int8Row*) noexcept nogil

# rows of bytes, their stride, what they stand for, m, weights, C or a bias (or NULL), its stride, C, its stride
ctypedef void (*int8_multiply32)(
    const uint8_t*, Py_ssize_t, const Int8Row*, Py_ssize_t, const Int8*, const float*, Py_ssize_t, float*, Py_ssize_t
    ) noexcept nogil

cdef inline Kernel make_int8(str name, void* quantize, void* multiply, void* without):
    return make(name, "int8", quantize, NULL, multiply, NULL, without, NULL)


# whether they are bfloat16, halves, how many, as floats
ctypedef void (*widen32)(bint, const uint16_t*, Py_ssize_t, float*) noexcept nogil

# whether they are bfloat16, x, a panel (depth, width) of halves, depth, width (64 or 16), columns of it, a bias (or
# NULL), c
ctypedef void (*half_row32)(
    bint, const float*, const uint16_t*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, float*) noexcept nogil

cdef inline Kernel make_half(str name, void* widen, void* row):
    return make(name, "half", widen, NULL, row, NULL)
