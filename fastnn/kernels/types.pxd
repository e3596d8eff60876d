# The types that every kernel shares: the fused `real`, and the C signatures of each family's functions.
#
# A signature takes whole rows, so that softmax is no exception among the activations, and returns nothing that Python
# owns, so that it runs without the GIL. The engine works in float32; the float64 form has the same arguments, but for
# what float pointers point at.

from libc.stdint cimport int8_t, int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastnn.kernels.kernel cimport LABELS, make, make_several, PAIRS, WHOLE


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

cdef inline int make_activation(dict made, const char* name, activation_forward32 forward,
                                activation_backward32 backward, void* forward64, void* backward64,
                                bint overwrites=False) except -1:
    # overwrites: a may be where z was, as backward reads a alone
    return make_several(made, name, "activation", overwrites, <void*>forward, forward64, <void*>backward, backward64,
                        NULL, NULL)


# z (raw output), a (activated output: read, or written by a fused loss), y, weight (or NULL), d (or NULL), p,
# rows, units, scale (of d)
ctypedef double (*loss32)(
    const float*, float*, const float*, const float*, float*, const double*,
    Py_ssize_t, Py_ssize_t, double) noexcept nogil

cdef inline int make_loss(dict made, const char* name, loss32 rows, void* rows64, int kind=0) except -1:
    return make(made, name, "loss", kind, <void*>rows, rows64, NULL)


# a (output), y, weight (or NULL), state (added to), p (the metric's numbers, as many as it has), rows, units, targets
ctypedef void (*accumulator32)(
    const float*, const float*, const float*, double*, const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil

# p, units, targets -> doubles of the state
ctypedef Py_ssize_t (*state_size)(const double*, Py_ssize_t, Py_ssize_t) noexcept nogil

cdef inline int make_accumulator(dict made, const char* name, accumulator32 update, void* update64,
                                 state_size size) except -1:
    return make(made, name, "accumulator", 0, <void*>update, update64, <void*>size)


# w, g, slots, n, learning rate, t (steps done, from 1), p
ctypedef void (*step32)(float*, const float*, float* const*, Py_ssize_t, double, double, const double*) noexcept nogil

ctypedef void (*step64)(
    double*, const double*, double* const*, Py_ssize_t, double, double, const double*) noexcept nogil

# p -> how many slots the step then reads
ctypedef int (*slot_count)(const double*) noexcept nogil

cdef inline int make_optimizer(dict made, const char* name, step32 step, void* step64, slot_count slots) except -1:
    return make(made, name, "optimizer", 0, <void*>step, step64, <void*>slots)


# w, g, slots, matrices, rows, columns, whether it is stepped as a matrix, learning rate, t, p, workspace (floats, or
# doubles of the wide form, whose vectors are float32 too)
ctypedef void (*whole_step32)(
    float*, const float*, float* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, bint, double, double, const double*, void*
    ) noexcept nogil

# p, rows, columns -> elements of workspace
ctypedef Py_ssize_t (*workspace_size)(const double*, Py_ssize_t, Py_ssize_t) noexcept nogil

cdef inline int make_whole_optimizer(dict made, const char* name, whole_step32 step, void* step64,
                                     workspace_size size) except -1:
    return make(made, name, "whole_optimizer", 0, <void*>step, step64, <void*>size)


# w, g (added to), n, l1, l2
ctypedef double (*penalty32)(const float*, float*, Py_ssize_t, double, double) noexcept nogil

cdef inline int make_penalty(dict made, const char* name, penalty32 penalty, void* penalty64) except -1:
    return make(made, name, "penalty", 0, <void*>penalty, penalty64, NULL)


# w, g (added to), rows, columns, p, workspace
ctypedef double (*matrix_penalty32)(
    const float*, float*, Py_ssize_t, Py_ssize_t, const double*, float*) noexcept nogil

cdef inline int make_matrix_penalty(dict made, const char* name, matrix_penalty32 penalty, void* penalty64) except -1:
    return make(made, name, "matrix_penalty", 0, <void*>penalty, penalty64, NULL)


# w, rows, columns, first and last vector, p
ctypedef void (*constraint32)(float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*) noexcept nogil

cdef inline int make_constraint(dict made, const char* name, constraint32 constraint, void* constraint64) except -1:
    return make(made, name, "constraint", 0, <void*>constraint, constraint64, NULL)


# x, a (d, d_x), n, first (number of the first element in the batch), number, key
ctypedef void (*noise32)(const float*, float*, Py_ssize_t, uint32_t, double, uint64_t) noexcept nogil

cdef inline int make_noise(dict made, const char* name, noise32 forward, noise32 backward, void* forward64,
                           void* backward64) except -1:
    return make_several(made, name, "noise", 0, <void*>forward, forward64, <void*>backward, backward64, NULL, NULL)


# rows of A, first column of A, B, its stride, bias (or NULL), C, its stride, m, n, k, workspace
ctypedef void (*gemm32)(
    const float* const*, Py_ssize_t, const float*, Py_ssize_t, const float*, float*, Py_ssize_t,
    Py_ssize_t, Py_ssize_t, Py_ssize_t, float*) noexcept nogil

cdef inline int make_gemm(dict made, const char* name, gemm32 rows, void* rows64) except -1:
    return make(made, name, "gemm", 0, <void*>rows, rows64, NULL)


# rows of A, where each segment of a row begins, segments, B, its stride, bias (or NULL), C, its stride, m, n, numbers
# in a segment, workspace
ctypedef void (*segments32)(
    const float* const*, const Py_ssize_t*, Py_ssize_t, const float*, Py_ssize_t, const float*, float*, Py_ssize_t,
    Py_ssize_t, Py_ssize_t, Py_ssize_t, float*) noexcept nogil

cdef inline int make_segments(dict made, const char* name, segments32 rows) except -1:
    return make(made, name, "segments", 0, <void*>rows, NULL, NULL)


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

cdef inline int make_planes(dict made, const char* name, planes_forward32 forward, planes_gradient32 gradient,
                            planes_turn32 turn, int lanes) except -1:
    return make_several(made, name, "planes", lanes, <void*>forward, NULL, <void*>gradient, NULL, <void*>turn, NULL)


# what is done (winograd.h), pixels, lines, numbers from line to line, pixels of a line from there on, numbers of one,
# tiles, how many of a line, numbers from plane to plane, bias (or NULL)
ctypedef void (*winograd_tiles32)(
    int, float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*, Py_ssize_t, Py_ssize_t, const float*
    ) noexcept nogil

# whether gradients go back, W, its lines, numbers of a pixel of it, the four planes of W
ctypedef void (*winograd_kernel32)(bint, float*, Py_ssize_t, Py_ssize_t, float*) noexcept nogil

cdef inline int make_winograd(dict made, const char* name, winograd_tiles32 tiles, winograd_kernel32 weights,
                              bint pays) except -1:
    return make_several(made, name, "winograd", pays, <void*>tiles, NULL, <void*>weights, NULL, NULL, NULL)


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

cdef inline int make_depthwise(dict made, const char* name, depthwise32 row) except -1:
    return make(made, name, "depthwise", 0, <void*>row, NULL, NULL)


cdef inline int make_pool(dict made, const char* name, pool_forward32 forward, pool_backward32 backward,
                          bint largest) except -1:
    return make_several(made, name, "pool", largest, <void*>forward, NULL, <void*>backward, NULL, NULL, NULL)


# D, its stride, rows, columns, out: sums of columns, or D in panels for a packed gemm
ctypedef void (*sum32)(const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*) noexcept nogil

cdef inline int make_sum(dict made, const char* name, sum32 rows, void* rows64) except -1:
    return make(made, name, "sum", 0, <void*>rows, rows64, NULL)


# a, b (or NULL), n, x; what is returned depends on the kernel
ctypedef double (*vector32)(float*, float*, Py_ssize_t, double) noexcept nogil

cdef inline int make_vector(dict made, const char* name, vector32 vector, void* vector64) except -1:
    return make(made, name, "vector", 0, <void*>vector, vector64, NULL)


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

cdef inline int make_affine(dict made, const char* name, affine32 rows, void* rows64) except -1:
    return make(made, name, "affine", 0, <void*>rows, rows64, NULL)


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

cdef inline int make_batch(dict made, const char* name, moments32 moments, batch_backward32 backward, batch_sums32 sums,
                           void* moments64, void* backward64, void* sums64) except -1:
    return make_several(made, name, "batch_normalization", 0, <void*>moments, moments64, <void*>backward, backward64,
                        <void*>sums, sums64)


# mean, variance and shift of each block, blocks, lines of each block but the last, of the last, channels, and the three
# of all of them
ctypedef void (*combine_moments32)(
    const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*, float*, float*) noexcept nogil

cdef inline int make_combine_moments(dict made, const char* name, combine_moments32 combine, void* combine64) except -1:
    return make(made, name, "combine_moments", 0, <void*>combine, combine64, NULL)


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

cdef inline int make_prelu(dict made, const char* name, prelu_forward32 forward, prelu_backward32 backward,
                           prelu_gradient32 gradient, void* forward64, void* backward64, void* gradient64) except -1:
    return make_several(made, name, "prelu", 0, <void*>forward, forward64, <void*>backward, backward64, <void*>gradient,
                        gradient64)


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

cdef inline int make_layer(dict made, const char* name, layer_forward32 forward, layer_backward32 backward,
                           layer_gradient32 gradient, void* forward64, void* backward64, void* gradient64) except -1:
    return make_several(made, name, "layer_normalization", 0, <void*>forward, forward64, <void*>backward, backward64,
                        <void*>gradient, gradient64)


cdef enum Merge:
    ADD, SUBTRACT, MULTIPLY, AVERAGE, MAXIMUM, MINIMUM

# which, rows of each source, sources, r0, r1, n, a
ctypedef void (*merge_forward32)(
    Merge, const float***, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*) noexcept nogil

# which, rows of each source, sources, r0, r1, n, d, d_x of each source (or NULL)
ctypedef void (*merge_backward32)(
    Merge, const float***, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, float**) noexcept nogil

cdef inline int make_merge(dict made, const char* name, Merge which, merge_forward32 forward, merge_backward32 backward,
                           void* forward64, void* backward64) except -1:
    return make_several(made, name, "merge", which, <void*>forward, forward64, <void*>backward, backward64, NULL, NULL)


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

cdef inline int make_dot(dict made, const char* name, dot_forward32 forward, dot_backward32 backward, void* forward64,
                         void* backward64) except -1:
    return make_several(made, name, "dot", 0, <void*>forward, forward64, <void*>backward, backward64, NULL, NULL)


# rows, units, z (gates one behind the other) and its pitch, the state before (of each row), c, its activation, the
# pitch of both, h, its pitch. Backward: z takes the gradient by z, c and h have those by the state, of h's pitch
ctypedef void (*cell32)(
    Py_ssize_t, Py_ssize_t, float*, Py_ssize_t, const float* const*, float*, float*, Py_ssize_t, float*, Py_ssize_t
    ) noexcept nogil

cdef inline int make_cell(dict made, const char* name, cell32 forward, cell32 backward) except -1:
    return make_several(made, name, "cell", 0, <void*>forward, NULL, <void*>backward, NULL, NULL, NULL)


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

cdef inline int make_int8(dict made, const char* name, void* quantize, void* multiply, void* without) except -1:
    return make_several(made, name, "int8", 0, quantize, NULL, multiply, NULL, without, NULL)


# whether they are bfloat16, halves, how many, as floats
ctypedef void (*widen32)(bint, const uint16_t*, Py_ssize_t, float*) noexcept nogil

# whether they are bfloat16, x, a panel (depth, width) of halves, depth, width (64 or 16), columns of it, a bias (or
# NULL), c
ctypedef void (*half_row32)(
    bint, const float*, const uint16_t*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, float*) noexcept nogil

cdef inline int make_half(dict made, const char* name, void* widen, void* row) except -1:
    return make_several(made, name, "half", 0, widen, NULL, row, NULL, NULL, NULL)


cdef extern from "entries.h" nogil:
    ctypedef struct Entries:
        const float* values
        const int32_t* columns
        Py_ssize_t count
        Py_ssize_t start
    ctypedef struct Item:
        int32_t row
        int32_t column
        float value
    Py_ssize_t first_entry(const int32_t* columns, Py_ssize_t n, Py_ssize_t column)

# rows, how many, columns, W, units, bias (or NULL), z
ctypedef void (*sparse_forward32)(
    const Entries* const*, Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, const float*, float*) noexcept nogil

# rows, how many, first row of W and the one after the last, d, units, g from there on
ctypedef void (*sparse_gradient32)(
    const Entries* const*, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, float*) noexcept nogil

# numbers, how many, d, units, g (added to)
ctypedef void (*sparse_items32)(const Item*, Py_ssize_t, const float*, Py_ssize_t, float*) noexcept nogil

cdef inline int make_sparse(dict made, const char* name, void* forward, void* gradient, void* items) except -1:
    return make_several(made, name, "sparse", 0, forward, NULL, gradient, NULL, items, NULL)
