"""Dropout, from random numbers that are a function of (key, element) and of nothing else.

Element e of a batch is kept when hash(e, key) >= rate * 2^32. So the same mask comes whatever the order and the
thread in which elements are visited, the backward pass asks again and stores nothing, and a resumed run continues.
The hash is two rounds of the 32-bit mixer "lowbias32" (C. Wellons, "Prospecting for Hash Functions", 2018), one for
each half of the 64-bit key. The key is mixed first: two keys with one upper half would have one mask in two orders.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastnn.kernels.kernel cimport DropoutKernel
from fastnn.kernels.types cimport real


cdef inline uint32_t mix(uint32_t h) noexcept nogil:
    h = h ^ (h >> 16)
    h = h * <uint32_t>0x7feb352d
    h = h ^ (h >> 15)
    h = h * <uint32_t>0x846ca68b
    return h ^ (h >> 16)


cdef void dropout_apply(
        const real* x, real* a, Py_ssize_t n, uint32_t first, double rate, uint64_t key) noexcept nogil:
    """a = x / (1 - rate) where kept, else 0; the same call on gradients is its backward."""
    cdef Py_ssize_t i
    cdef uint32_t low = <uint32_t>key, high = <uint32_t>(key >> 32), h
    high = high ^ mix(low + <uint32_t>0x9e3779b9)
    low = low ^ mix(high)
    cdef uint32_t threshold = <uint32_t>(rate * 4294967296.0)
    cdef real scale = <real>(1 / (1 - rate))
    for i in range(n):
        h = mix(mix((first + <uint32_t>i) ^ low) ^ high)
        a[i] = x[i] * scale if h >= threshold else 0


dropout = DropoutKernel.make("dropout", dropout_apply[float], dropout_apply[double])
