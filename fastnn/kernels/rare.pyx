"""Kernels that few networks have, or that gain little from wider vectors: AVX2's serve with AVX-512 too (setup.py)."""

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

cdef dict made = {}                     # the kernels, by name
kernels = made

include "activations_piecewise.pxi"
include "columns.pxi"
include "elementwise.pxi"                # before the losses
include "functions.pxi"
include "losses_by_row.pxi"
include "losses_elementwise.pxi"
include "losses_others.pxi"
include "matrices.pxi"
include "metrics.pxi"
include "noise.pxi"
include "optimizers_more.pxi"
include "optimizers_whole.pxi"
include "rows.pxi"
