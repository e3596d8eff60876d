# Sums, the largest number, and softmax: what works along rows.
#
# A sum runs in LANES partial sums, always the same ones, so that the compiler may use vectors and the result does not
# depend on which it chose, nor on where the numbers lie.

from libc.stdint cimport int32_t

cimport fastnn.kernels.maths as maths
from fastnn.kernels.types cimport real

cdef extern from "bits.h" nogil:
    void together "FASTNN_TOGETHER"(...)

cdef enum:
    LANES = 16
    BLOCK = 16                          # lines that are summed up together
    CHUNK = 256                         # elements whose values a loss holds before it adds them up


cdef inline real folded(real* lanes) noexcept nogil:
    """Sum of LANES numbers, in halves: of eight additions only three wait for each other."""
    cdef real half[8]
    cdef real quarter[4]
    cdef int lane
    together(lanes, LANES)
    for lane in range(8):
        half[lane] = lanes[lane] + lanes[lane + 8]
    for lane in range(4):
        quarter[lane] = half[lane] + half[lane + 4]
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3])


cdef enum Term:
    NUMBER, ABSOLUTE, PRODUCT


cdef inline real term(Term which, const real* a, const real* b, Py_ssize_t i) noexcept nogil:
    if which == NUMBER:
        return a[i]
    elif which == ABSOLUTE:
        return maths.absolute(a[i])
    else:
        return a[i] * b[i]


cdef inline real sum_of_terms(Term which, const real* a, const real* b, Py_ssize_t n) noexcept nogil:
    cdef real lanes[LANES]
    cdef Py_ssize_t i = 0
    cdef int lane
    cdef real total = 0
    if n >= LANES:
        for lane in range(LANES):
            lanes[lane] = 0
        while i + LANES <= n:
            for lane in range(LANES):
                lanes[lane] += term(which, a, b, i + lane)
            i += LANES
        total = folded(lanes)
    while i < n:
        total += term(which, a, b, i)
        i += 1
    return total


cdef inline real dot(const real* a, const real* b, Py_ssize_t n) noexcept nogil:
    """Sum of a[i] * b[i]."""
    return sum_of_terms(PRODUCT, a, b, n)


cdef inline real sum_of(const real* a, Py_ssize_t n) noexcept nogil:
    """Sum of a[i]."""
    return sum_of_terms(NUMBER, a, a, n)


# A float32 sum of products is right as long as the products are far from the ends of float32's range; where they are
# not, which is seldom, it is added up again in double, which holds all of them.

cdef inline bint is_held(real total) noexcept nogil:
    """Whether a sum of products, or a mean of them, has lost nothing to overflow or underflow."""
    if real is float:
        return 1e-25 < maths.absolute(total) < 1e30
    else:
        return True


cdef inline double wide_dot(const real* a, const real* b, Py_ssize_t n) noexcept nogil:
    """Sum of a[i] * b[i] in double."""
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(n):
        total += <double>a[i] * b[i]
    return total


cdef inline double whole_dot(const real* a, const real* b, Py_ssize_t n) noexcept nogil:
    """Sum of a[i] * b[i], whatever their size."""
    cdef real total = dot(a, b, n)
    return total if is_held(total) else wide_dot(a, b, n)


cdef inline double whole_sum(const real* a, Py_ssize_t n) noexcept nogil:
    """Sum of a[i], though it may be larger than float32 holds."""
    cdef real total = sum_of(a, n)
    cdef double wide = 0
    cdef Py_ssize_t i
    if total - total == 0:
        return total
    for i in range(n):
        wide += a[i]
    return wide


cdef inline real sum_of_absolutes(const real* a, Py_ssize_t n) noexcept nogil:
    """Sum of |a[i]|."""
    return sum_of_terms(ABSOLUTE, a, a, n)


cdef inline int32_t ordered(int32_t i) noexcept nogil:
    """Whole numbers in the order of the floats that i are the bits of, NaNs at both ends; twice gives i again."""
    return i ^ ((i >> 31) & 0x7fffffff)


cdef inline real largest(const real* a, Py_ssize_t n) noexcept nogil:
    """Largest a[i], n >= 1. Where there are NaNs it is any a[i]."""
    cdef Py_ssize_t i
    cdef int32_t most = -2147483648
    cdef real top
    if real is float:
        # The largest whole number may be looked for in any order, so the compiler makes it vectors.
        if n >= LANES:
            for i in range(n):
                most = max(most, ordered(maths.bits_of(a[i])))
            return maths.float_of(ordered(most))
    top = a[0]
    for i in range(1, n):
        top = a[i] if a[i] > top else top
    return top


cdef inline real softmax_exp(real x) noexcept nogil:
    """2^64 e^x for any x <= 0."""
    cdef real e
    if real is float:
        e = maths.shifted_exp32(x)
        return <float>0 if x < <float>-104.0 else e
    else:
        return maths.shifted_exp(x)


cdef inline Py_ssize_t softmax_rows(
        const real* z, real* a, real* tops, real* totals, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """a = softmax(z) for the first of the rows, at most LANES of them; returns how many.

    tops[row] is the row's largest z, totals[row] the sum of 2^64 e^(z - top). Narrow rows go together, so that their
    e^z fill vectors; wide ones one by one, so that they stay in L1.
    """
    cdef Py_ssize_t row, i
    cdef Py_ssize_t taken = min(rows, <Py_ssize_t>(LANES if n < 128 else 1))
    cdef real top, scale
    for row in range(taken):
        top = largest(z + row * n, n) if n else 0
        tops[row] = top
        for i in range(row * n, (row + 1) * n):
            a[i] = z[i] - top
    for i in range(taken * n):
        a[i] = softmax_exp(a[i])
    for row in range(taken):
        totals[row] = sum_of(a + row * n, n)
        scale = <real>1 / totals[row]
        for i in range(row * n, (row + 1) * n):
            a[i] = a[i] * scale
    return taken


cdef inline void add_logs(real* tops, const real* totals, Py_ssize_t rows) noexcept nogil:
    """Make what softmax_rows leaves the logarithms of the sums of e^z of the rows."""
    cdef Py_ssize_t row
    for row in range(rows):
        tops[row] = tops[row] + maths.log(totals[row] * <real>(1 / maths.SHIFTED))
