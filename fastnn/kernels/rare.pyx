"""The kernels that few networks have, or that take little of any: with AVX-512 those of AVX2 serve (setup.py)."""

# An element must be part of its loop, or the loop is no vector instructions: here `inline` is an order.
cdef extern from *:
    """
    #undef CYTHON_INLINE
    #ifdef _MSC_VER
    #define CYTHON_INLINE __forceinline
    #else
    #define CYTHON_INLINE inline __attribute__((always_inline))
    #endif
    """

# Probabilities are kept this far from 0 and 1 before a logarithm: Keras's epsilon. A variable: clips by a constant
# become branches, which are slower.
cdef double EPSILON = 1e-7

include "activations_piecewise.pxi"
include "functions.pxi"
include "losses_by_row.pxi"
include "losses_elementwise.pxi"
include "losses_others.pxi"
include "matrices.pxi"
include "metrics.pxi"
include "optimizers_more.pxi"
include "optimizers_whole.pxi"
include "rows.pxi"
