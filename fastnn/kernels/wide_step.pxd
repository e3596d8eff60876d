# An optimizer's step for gradients whose squares are no float32, or whose sums might become none.

from fastnn.kernels.types cimport real, step32, step64

cdef enum:
    CHUNK = 64                          # parameters that are taken at a time
    MOST = 8                            # slots, at most

cdef extern from *:
    """
    #define FASTNN_WIDE_FROM 1e15           /* the squares of smaller ones never add up to more than float32 holds */
    #define FASTNN_FLOAT_MAX 3.402823466385288598e38
    """
    const double WIDE_FROM "FASTNN_WIDE_FROM"
    const double FLOAT_MAX "FASTNN_FLOAT_MAX"


cdef inline float finite(double x) noexcept nogil:
    """The float32 of x, where that is infinite the largest that there is."""
    return <float>(FLOAT_MAX if x > FLOAT_MAX else (-FLOAT_MAX if x < -FLOAT_MAX else x))


cdef inline void wide_step(step64 step, float* w, const float* g, float* const* slots, int slot_count, Py_ssize_t n,
                           double rate, double t, const double* p) noexcept nogil:
    """The step of the float64 kernel, of which weights and slots are kept within float32's range."""
    cdef double wide_w[CHUNK]
    cdef double wide_g[CHUNK]
    cdef double wide_slots[MOST][CHUNK]
    cdef double* addresses[MOST]
    cdef Py_ssize_t start = 0, i, m
    cdef int slot
    while start < n:
        m = min(n - start, <Py_ssize_t>CHUNK)
        for i in range(m):
            wide_w[i], wide_g[i] = w[start + i], g[start + i]
        for slot in range(slot_count):
            addresses[slot] = wide_slots[slot]
            for i in range(m):
                wide_slots[slot][i] = slots[slot][start + i]
        step(wide_w, wide_g, addresses, m, rate, t, p)
        for i in range(m):
            w[start + i] = finite(wide_w[i])
        for slot in range(slot_count):
            for i in range(m):
                slots[slot][start + i] = finite(wide_slots[slot][i])
        start += m


cdef inline void take_step(step32 step, step64 wide, bint huge, float* w, const float* g, float* const* slots,
                           int slot_count, Py_ssize_t n, double rate, double t, const double* p) noexcept nogil:
    """The float32 step, or where a gradient was huge the other: from then on, for a slot remembers it."""
    if huge:
        wide_step(wide, w, g, slots, slot_count, n, rate, t, p)
    else:
        step(w, g, slots, n, rate, t, p)


cdef inline float kept(real x) noexcept nogil:
    """x as a slot or a weight holds it."""
    if real is float:
        return x
    else:
        return finite(x)
