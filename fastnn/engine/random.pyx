"""Random orders of rows."""

from libc.stdint cimport uint32_t, uint64_t

import numpy as np

from fastnn.kernels.buffers cimport address


cdef object empty = np.empty
cdef object uint32 = np.dtype(np.uint32)


def permutation(Py_ssize_t n, uint64_t seed):
    """The numbers 0 to n - 1 in random order, as uint32: a function of `seed` alone. n below 2**32.

    Fisher and Yates's shuffle; place j is drawn as the whole part of (j + 1) times a fraction of 53 random bits.
    """
    if n >= 2**32:
        raise ValueError(f"at most {2**32 - 1} rows can be shuffled at once, got {n}; pass shuffle=False")
    order = empty(n, uint32)
    cdef uint32_t* rows = <uint32_t*>address(order, True)
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(n):
            rows[i] = <uint32_t>i
        for i in range(n - 1, 0, -1):
            j = <Py_ssize_t>(<double>(mix64(seed + <uint64_t>i) >> 11) * (1.0 / 9007199254740992.0) * <double>(i + 1))
            rows[i], rows[j] = rows[j], rows[i]
    return order
