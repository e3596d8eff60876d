"""The kernels that gain from vectors alone, for each instruction set (setup.py)."""

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

include "activations.pxi"
include "activations_rows.pxi"
include "losses.pxi"
include "pooling.pxi"
include "recurrent.pxi"
include "winograd.pxi"
