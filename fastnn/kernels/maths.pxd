# exp, expm1, log, tanh and their kin for one number.
#
# float32: polynomials without a branch, so that a loop over them becomes vector instructions.
# float64: the C library's; it serves gradient tests, where right matters and speed does not.
#
# (a) A selection is written so that a NaN fails the test and passes through: `c if x > c else x`, never the
#     other way round.
# (b) Adding and subtracting ROUND leaves the nearest whole number in the low bits (Cody and Waite 1980).
# (c) The coefficients were fitted here by weighted least squares (Lawson's iteration); the largest relative error
#     of each polynomial, before rounding, stands beside it. tests/exhaustive_maths.py measures the whole, over all
#     floats; its result stands in each docstring.
# (d) Write `cimport fastnn.kernels.maths as maths`. In `from fastnn.kernels cimport maths` the build does not see the
#     dependency, and would not compile a module again when this page changes.

cimport libc.math as libc
from libc.stdint cimport int32_t, uint32_t

from fastnn.kernels.types cimport real


cdef extern from "bits.h" nogil:
    int32_t bits_of(float x)
    float float_of(int32_t i)


cdef extern from *:
    """
    #define FASTNN_ROUND 12582912.0f            /* 1.5 * 2^23 */
    #define FASTNN_LOG2E 1.442695041f
    #define FASTNN_LN2_HIGH 0.693145752f        /* few bits, so that n * LN2_HIGH is exact */
    #define FASTNN_LN2_LOW 1.428606820e-06f
    """
    const float ROUND "FASTNN_ROUND"
    const float LOG2E "FASTNN_LOG2E"
    const float LN2_HIGH "FASTNN_LN2_HIGH"
    const float LN2_LOW "FASTNN_LN2_LOW"


cdef inline float power_of_two(int32_t n) noexcept nogil:
    """Any n is allowed: for a NaN the functions below ask for powers that are none, and do not use them."""
    return float_of(<int32_t>(<uint32_t>(n + 127) << 23))


cdef inline float expm1_reduced(float r) noexcept nogil:
    """exp(r) - 1 for |r| <= ln(2) / 2; relative error 2.4e-10."""
    cdef float q = <float>1.99142290e-4
    q = q * r + <float>1.39410503e-3
    q = q * r + <float>8.33327323e-3
    q = q * r + <float>4.16663550e-2
    q = q * r + <float>1.66666672e-1
    q = q * r + <float>0.5
    return r + r * r * q


cdef inline float exp32(float x) noexcept nogil:
    """e^x; at most 0.99 ulp (subnormal results too)."""
    cdef float n
    cdef int32_t power, half
    x = <float>89.0 if x > <float>89.0 else x
    x = <float>-104.0 if x < <float>-104.0 else x
    n = x * LOG2E + ROUND
    power = bits_of(n) - bits_of(ROUND)
    n = n - ROUND
    # Two halves of the power: 2^128 and 2^-150 are not floats, their roots are.
    half = power >> 1
    x = (x - n * LN2_HIGH) - n * LN2_LOW
    return (<float>1 + expm1_reduced(x)) * power_of_two(half) * power_of_two(power - half)


cdef inline float scaled_expm1(float x, float* scale) noexcept nogil:
    """scale * (e^r - 1), where x = n ln(2) + r and scale = 2^n, for x <= 0: all of e^x - 1 but for scale - 1."""
    cdef float n
    x = <float>-30.0 if x < <float>-30.0 else x
    n = x * LOG2E + ROUND
    scale[0] = power_of_two(bits_of(n) - bits_of(ROUND))
    n = n - ROUND
    return scale[0] * expm1_reduced((x - n * LN2_HIGH) - n * LN2_LOW)


cdef inline float expm1_negative32(float x) noexcept nogil:
    """e^x - 1 for x <= 0; at most 0.88 ulp."""
    cdef float scale
    cdef float t = scaled_expm1(x, &scale)
    return t + (scale - <float>1)


cdef inline float log32(float x) noexcept nogil:
    """Natural logarithm; at most 0.88 ulp. log(0) = -inf, log(x < 0) = NaN."""
    cdef bint tiny = x < <float>1.17549435e-38
    cdef float scaled = x * <float>8388608.0 if tiny else x
    cdef int32_t i = <int32_t>(<uint32_t>bits_of(scaled) - <uint32_t>0x3f3504f3)    # the bits of sqrt(1/2)
    cdef float n = <float>(i >> 23) - (<float>23.0 if tiny else <float>0.0)
    cdef float f = float_of((i & 0x7fffff) + 0x3f3504f3) - <float>1
    cdef float q = <float>6.91580474e-2                             # relative error 7.3e-10
    q = q * f - <float>1.17913105e-1
    q = q * f + <float>1.18735868e-1
    q = q * f - <float>1.23841546e-1
    q = q * f + <float>1.42185554e-1
    q = q * f - <float>1.66692570e-1
    q = q * f + <float>2.00022310e-1
    q = q * f - <float>2.49999866e-1
    q = q * f + <float>3.33333105e-1
    cdef float square = f * f
    cdef float low = n * LN2_LOW - <float>0.5 * square
    cdef float result = (square * f * q + low + f) + n * LN2_HIGH
    result = x if x > <float>3.40282347e38 else result              # inf stays inf
    result = -libc.INFINITY if x == 0 else result
    return result if x >= 0 else <float>libc.NAN                    # NaN and negatives


cdef inline float tanh32(float x) noexcept nogil:
    """tanh(x) = (1 - e) / (1 + e), e = exp(-2|x|); at most 1.95 ulp. 1 + e taken from e - 1 would be rounded twice."""
    cdef float scale
    cdef float t = scaled_expm1(<float>-2 * libc.fabsf(x), &scale)
    return libc.copysignf((t + (scale - <float>1)) / (t + (scale + <float>1)), x)


cdef inline real exp(real x) noexcept nogil:
    if real is float:
        return exp32(x)
    else:
        return libc.exp(x)


cdef inline real expm1_negative(real x) noexcept nogil:
    if real is float:
        return expm1_negative32(x)
    else:
        return libc.expm1(x)


cdef inline real log(real x) noexcept nogil:
    if real is float:
        return log32(x)
    else:
        return libc.log(x)


cdef inline real tanh(real x) noexcept nogil:
    if real is float:
        return tanh32(x)
    else:
        return libc.tanh(x)


cdef inline real absolute(real x) noexcept nogil:
    if real is float:
        return libc.fabsf(x)
    else:
        return libc.fabs(x)


cdef inline real square_root(real x) noexcept nogil:
    if real is float:
        return libc.sqrtf(x)
    else:
        return libc.sqrt(x)


cdef inline real sigmoid(real x) noexcept nogil:
    """1 / (1 + e^-x), from e^-|x| so that neither tail loses its digits; at most 2.41 ulp."""
    cdef real e = exp(-absolute(x))
    return (e if x < 0 else <real>1) / (<real>1 + e)


cdef inline real softplus(real x) noexcept nogil:
    """log(1 + e^x) = max(x, 0) + log1p(e^-|x|); log1p by Kahan's u * log(1 + u) / ((1 + u) - 1); at most 2.6 ulp."""
    cdef real u = exp(-absolute(x))
    cdef real w = <real>1 + u
    cdef real divisor = <real>1 if w == 1 else w - <real>1
    cdef real tail = u * ((<real>1 if w == 1 else log(w)) / divisor)
    return (<real>0 if x < 0 else x) + tail


cdef inline real normal_tail(real y, real density) noexcept nogil:
    """P(N > y) for 0 <= y <= 15, given density = exp(-y^2 / 2).

    float32: relative error of the polynomial 2e-7. With exp(-0.5 * y * y) as the density at most 68 ulp (4.1e-6), far
    out, where the rounding of y * y tells.
    """
    cdef real u, q
    if real is double:
        return 0.5 * libc.erfc(y * 0.70710678118654752440)
    else:
        u = <float>1 / (<float>1 + <float>0.27 * y)
        q = <float>2.89955251e-2
        q = q * u - <float>1.26658753e-1
        q = q * u + <float>1.70156300e-1
        q = q * u - <float>6.96508661e-2
        q = q * u + <float>1.08142689e-1
        q = q * u + <float>7.19082728e-2
        q = q * u + <float>1.01848572e-1
        q = q * u + <float>1.07537270e-1
        q = q * u + <float>1.07721001e-1
        return density * (q * u)


# Sums run in LANES partial sums, always the same ones, so that the compiler may use vectors and the result does
# not depend on which it chose.
cdef enum:
    LANES = 16


cdef inline real dot(const real* a, const real* b, Py_ssize_t n) noexcept nogil:
    """Sum of a[i] * b[i]."""
    cdef real lanes[LANES]
    cdef Py_ssize_t i = 0
    cdef int lane
    cdef real total = 0
    if n >= LANES:
        for lane in range(LANES):
            lanes[lane] = 0
        while i + LANES <= n:
            for lane in range(LANES):
                lanes[lane] += a[i + lane] * b[i + lane]
            i += LANES
        for lane in range(LANES):
            total += lanes[lane]
    while i < n:
        total += a[i] * b[i]
        i += 1
    return total


cdef inline real sum_of(const real* a, Py_ssize_t n) noexcept nogil:
    """Sum of a[i]."""
    cdef real lanes[LANES]
    cdef Py_ssize_t i = 0
    cdef int lane
    cdef real total = 0
    if n >= LANES:
        for lane in range(LANES):
            lanes[lane] = 0
        while i + LANES <= n:
            for lane in range(LANES):
                lanes[lane] += a[i + lane]
            i += LANES
        for lane in range(LANES):
            total += lanes[lane]
    while i < n:
        total += a[i]
        i += 1
    return total


cdef inline real sum_of_absolutes(const real* a, Py_ssize_t n) noexcept nogil:
    """Sum of |a[i]|."""
    cdef real lanes[LANES]
    cdef Py_ssize_t i = 0
    cdef int lane
    cdef real total = 0
    if n >= LANES:
        for lane in range(LANES):
            lanes[lane] = 0
        while i + LANES <= n:
            for lane in range(LANES):
                lanes[lane] += absolute(a[i + lane])
            i += LANES
        for lane in range(LANES):
            total += lanes[lane]
    while i < n:
        total += absolute(a[i])
        i += 1
    return total


cdef inline real largest(const real* a, Py_ssize_t n) noexcept nogil:
    """Largest a[i] (n >= 1), NaNs passed over."""
    cdef real lanes[LANES]
    cdef Py_ssize_t i = 0
    cdef int lane
    cdef real top = a[0]
    if n >= LANES:
        for lane in range(LANES):
            lanes[lane] = a[lane]
        i = LANES
        while i + LANES <= n:
            for lane in range(LANES):
                lanes[lane] = a[i + lane] if a[i + lane] > lanes[lane] else lanes[lane]
            i += LANES
        for lane in range(LANES):
            top = lanes[lane] if lanes[lane] > top else top
    while i < n:
        top = a[i] if a[i] > top else top
        i += 1
    return top


cdef inline real softmax_row(const real* z, real* a, Py_ssize_t n) noexcept nogil:
    """a = softmax(z) of one row; returns log of the sum of e^z."""
    cdef Py_ssize_t j
    cdef real top, total, scale
    if n == 0:
        return 0
    top = largest(z, n)
    for j in range(n):
        a[j] = exp(z[j] - top)
    total = sum_of(a, n)
    scale = <real>1 / total
    for j in range(n):
        a[j] = a[j] * scale
    return top + log(total)
