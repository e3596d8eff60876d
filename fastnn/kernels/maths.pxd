# exp, expm1, log, tanh and their kin for one number.
#
# float32: polynomials without a branch, so that a loop over them becomes vector instructions.
# float64: the C library's; it serves gradient tests, where right matters and speed does not.
#
# (a) A selection is written so that a NaN fails the test and passes through: `c if x > c else x`, never the
#     other way round. `capped` is cheaper, and loses it: for where it comes back by another way.
# (b) Adding and subtracting ROUND leaves the nearest whole number n in the low bits (Cody and Waite 1980). With
#     ROUND + 127 they hold n + 127, which 23 places further up is 2^n.
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
    float multiply_add_float(float a, float b, float c)
    double multiply_add_double(double a, double b, double c)


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


cdef extern from *:
    """
    #define FASTNN_SHIFTED 18446744073709551616.0   /* 2^64 */
    """
    const double SHIFTED "FASTNN_SHIFTED"


cdef inline float power_of_two(int32_t exponent) noexcept nogil:
    """2^(n - 127), n the low bits of `exponent`. Any is allowed: what is out of range is not used."""
    return float_of(<int32_t>(<uint32_t>exponent << 23))


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
    # Two halves of the power: 2^128 and 2^-150 are not floats, their roots are.
    cdef float n = x * LOG2E + (ROUND + <float>254)
    cdef uint32_t both = <uint32_t>bits_of(n)
    cdef float half = power_of_two(<int32_t>(both >> 1)), rest = power_of_two(<int32_t>(both - (both >> 1)))
    cdef float r
    n = n - (ROUND + <float>254)
    r = expm1_reduced((x - n * LN2_HIGH) - n * LN2_LOW)
    r = (half + half * r) * rest        # as a multiply-add: the bits of (1 + r) half, an addition less
    r = <float>0 if x < <float>-104.0 else r
    return <float>libc.INFINITY if x > <float>89.0 else r


cdef inline float shifted_exp32(float x) noexcept nogil:
    """2^64 e^x for -120 <= x <= 0: the factor keeps it from being subnormal before it has to be."""
    cdef float n = x * LOG2E + (ROUND + <float>191)
    cdef float power = power_of_two(bits_of(n))
    n = n - (ROUND + <float>191)
    return power + power * expm1_reduced((x - n * LN2_HIGH) - n * LN2_LOW)


cdef inline float scaled_expm1(float x, float times, float* scale) noexcept nogil:
    """scale * (e^r - 1), where y = times x = n ln(2) + r and scale = 2^n, for -80 <= y <= 0: e^y - 1 but for scale - 1.

    times: 1 or -2, as a constant.
    """
    cdef float n = x * (times * LOG2E) + (ROUND + <float>127)
    scale[0] = power_of_two(bits_of(n))
    n = n - (ROUND + <float>127)
    return scale[0] * expm1_reduced((x * times - n * LN2_HIGH) - n * LN2_LOW)


cdef inline float expm1_negative32(float x) noexcept nogil:
    """e^x - 1 for x <= 0; at most 0.88 ulp."""
    cdef float scale
    cdef float t = scaled_expm1(x, 1, &scale)
    t = t + (scale - <float>1)
    return <float>-1 if x < <float>-30.0 else t


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
    cdef float y = libc.fabsf(x)
    cdef float t = scaled_expm1(y, -2, &scale)
    t = (t + (scale - <float>1)) / (t + (scale + <float>1))
    return libc.copysignf(<float>-1 if y > <float>15.0 else t, x)


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


cdef inline real capped(real y, double most) noexcept nogil:
    """The smaller of y >= 0 and `most`, and `most` where y is NaN: such floats are in the order of their bits."""
    cdef float limit
    if real is float:
        limit = <float>most
        return float_of(min(bits_of(y), bits_of(limit)))
    else:
        return y if y < most else most


cdef inline real far(real x) noexcept nogil:
    """|x|, but no further out than where e^-|x| is 0."""
    if real is float:
        return capped(libc.fabsf(x), 104.0)
    else:
        return capped(libc.fabs(x), 746.0)


cdef inline real ramp(real x) noexcept nogil:
    """max(x, 0)."""
    return <real>0 if x < 0 else x


cdef inline real clipped(real x, real low, real high) noexcept nogil:
    """x, but at least low and at most high; NaN stays NaN."""
    cdef real raised = low if x < low else x
    return high if raised > high else raised


cdef inline real shifted_exp(real x) noexcept nogil:
    if real is float:
        return shifted_exp32(x)
    else:
        return libc.exp(x) * SHIFTED


cdef inline real exp_far(real y) noexcept nogil:
    """e^-y for 0 <= y <= 120."""
    return shifted_exp(-y) * <real>(1 / SHIFTED)


cdef inline real sigmoid_tail(real y) noexcept nogil:
    """sigmoid(-y) = e / (1 + e), e = exp(-y), for 0 <= y <= 120."""
    cdef real e = shifted_exp(-y)
    return e / (<real>SHIFTED + e)


cdef inline real multiply_add(real a, real b, real c) noexcept nogil:
    """a * b + c, for a sum of two products: its bits do not depend on which loop works it out (bits.h)."""
    if real is float:
        return multiply_add_float(a, b, c)
    else:
        return multiply_add_double(a, b, c)


cdef inline real sigmoid(real x) noexcept nogil:
    """1 / (1 + e^-x), from e^-|x| so that neither tail loses its digits; at most 2.41 ulp."""
    cdef real e = shifted_exp(-far(x))
    cdef real value = (e if x < 0 else <real>SHIFTED) / (<real>SHIFTED + e)
    return value if x == x else <real>libc.NAN


cdef inline real softplus_tail(real y) noexcept nogil:
    """log(1 + e^-y) for 0 <= y <= 120; relative error of the polynomial 5.1e-9."""
    cdef real u, q
    if real is double:
        return libc.log1p(libc.exp(-y))
    else:
        u = exp_far(y)
        q = <float>-3.31846718e-3
        q = q * u + <float>2.02045627e-2
        q = q * u - <float>5.76644056e-2
        q = q * u + <float>1.06805511e-1
        q = q * u - <float>1.53553948e-1
        q = q * u + <float>1.96953997e-1
        q = q * u - <float>2.49585867e-1
        q = q * u + <float>3.33305120e-1
        q = q * u - <float>4.99999315e-1
        return u + u * u * q


cdef inline real softplus(real x) noexcept nogil:
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|); at most 2.6 ulp."""
    return ramp(x) + softplus_tail(far(x))


cdef inline real normal_density(real y) noexcept nogil:
    """e^(-y^2 / 2) for 0 <= y <= 15."""
    return exp_far(<real>0.5 * y * y)


cdef inline real normal_tail(real y, real density) noexcept nogil:
    """P(N > y) for 0 <= y <= 15, given density = e^(-y^2 / 2).

    float32: relative error of the polynomial 2e-7. With normal_density(y) at most 68 ulp (4.1e-6), far out, where
    the rounding of y * y tells.
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
