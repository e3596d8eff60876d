from libc.stdint cimport uint32_t, uint64_t


cdef inline uint64_t mix64(uint64_t x) noexcept nogil:
    """A 64-bit mixer (the output function of SplitMix64: Steele, Lea and Flood 2014)."""
    x = x + <uint64_t>0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline void shuffle(uint32_t* rows, Py_ssize_t n, uint64_t seed) noexcept nogil:
    """The numbers 0 to n - 1 in random order, a function of `seed` alone.

    Fisher and Yates's shuffle; place j is drawn as the whole part of (j + 1) times a fraction of 53 random bits.
    """
    cdef Py_ssize_t i, j
    cdef uint64_t drawn
    for i in range(n):
        rows[i] = <uint32_t>i
    for i in range(n - 1, 0, -1):       # in whole numbers: each draw need not wait for the one before it
        drawn = mix64(seed + <uint64_t>i) >> 11
        j = <Py_ssize_t>(((drawn >> 32) * <uint64_t>(i + 1) + ((<uint32_t>drawn * <uint64_t>(i + 1)) >> 32)) >> 21)
        rows[i], rows[j] = rows[j], rows[i]
