"""Dropout and Gaussian noise, from random numbers that are a function of (key, element) and of nothing else.

Element e of a batch is kept when hash(e, key) >= rate * 2^32. So the same mask comes whatever the order and the
thread in which elements are visited, the backward pass asks again and stores nothing, and a resumed run continues.
A normal number is the hash put through the inverse of the normal distribution.

dropout             x / (1 - rate) where kept, else 0                   Srivastava et al. 2014
alpha_dropout       scale * (x where kept, else SELU's limit) + level   Klambauer et al. 2017, section 3
gaussian_noise      x + deviation * N
gaussian_dropout    x * (1 + deviation * N)                             Srivastava et al. 2014, section 10
normal_pairs        x + deviation * N, in half the time: two N of a place and its partner, half of n further on

The hash is two rounds of the 32-bit mixer "lowbias32" (C. Wellons, "Prospecting for Hash Functions", 2018), one for
each half of the 64-bit key. The key is mixed first: two keys with one upper half would have one mask in two orders.
"""

from libc.math cimport sqrt
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.string cimport memcpy

cimport fastnn.kernels.maths as maths
from fastnn.kernels.types cimport checked, make_noise, real


cdef inline uint32_t mix(uint32_t h) noexcept nogil:
    h = h ^ (h >> 16)
    h = h * <uint32_t>0x7feb352d
    h = h ^ (h >> 15)
    h = h * <uint32_t>0x846ca68b
    return h ^ (h >> 16)


cdef struct Key:
    # The two halves of a 64-bit key, mixed.
    uint32_t low
    uint32_t high


cdef inline Key halves_of(uint64_t key) noexcept nogil:
    cdef Key halves
    halves.low, halves.high = <uint32_t>key, <uint32_t>(key >> 32)
    halves.high = halves.high ^ mix(halves.low + <uint32_t>0x9e3779b9)
    halves.low = halves.low ^ mix(halves.high)
    return halves


cdef inline uint32_t random_bits(uint32_t element, Key key) noexcept nogil:
    return mix(mix(element ^ key.low) ^ key.high)


cdef inline float normal_of(uint32_t h) noexcept nogil:
    """The normal number whose place in the distribution is h / 2^32; error at most 2e-6, and none beyond 6.4.

    z = (1 - 2p) times a polynomial in w = -log(4 p (1 - p)), or in sqrt(w) far out (after Giles 2011; the coefficients
    were fitted here, relative errors 2.7e-7 and 4.1e-7). p is the tail on h's side, so that it keeps its digits.
    """
    cdef uint32_t above = h >> 31
    cdef float p = (<float><int>(h ^ (<uint32_t>0 - above)) + <float>0.5) * <float>2.3283064365386963e-10
    cdef float w = -maths.log32(<float>4 * p * (<float>1 - p))
    cdef float near = w - <float>2.5
    cdef float far = maths.square_root(w if w > 0 else <float>0) - <float>3
    cdef float q = <float>4.46372525e-7, t = <float>-2.39559555e-4
    q = q * near - <float>4.50551943e-6
    q = q * near - <float>5.79006837e-6
    q = q * near + <float>3.07359558e-4
    q = q * near - <float>1.77431684e-3
    q = q * near - <float>5.90612181e-3
    q = q * near + <float>3.48803639e-1
    q = q * near + <float>2.12331319
    t = t * far + <float>1.63690175e-3
    t = t * far - <float>4.74963989e-3
    t = t * far + <float>8.19561444e-3
    t = t * far - <float>1.09351892e-2
    t = t * far + <float>1.33383591e-2
    t = t * far + <float>1.41659510
    t = t * far + <float>4.00643492
    q = (<float>1 - <float>2 * p) * (q if w < <float>5 else t)
    return q if above else -q


cdef void dropout_apply(
        const real* x, real* a, Py_ssize_t n, uint32_t first, double rate, uint64_t key) noexcept nogil:
    """a = x / (1 - rate) where kept, else 0; the same call on gradients is its backward."""
    cdef Py_ssize_t i
    cdef Key halves = halves_of(key)
    cdef uint32_t threshold = <uint32_t>(rate * 4294967296.0)
    cdef real scale = <real>(1 / (1 - rate))
    for i in range(n):
        a[i] = x[i] * scale if random_bits(first + <uint32_t>i, halves) >= threshold else 0


# What SELU comes to far below 0: -scale * alpha.
cdef double SELU_LIMIT = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717


cdef inline double alpha_scale(double rate) noexcept nogil:
    """What brings the variance back to that of x."""
    return 1 / sqrt((1 - rate) * (1 + rate * SELU_LIMIT * SELU_LIMIT))


cdef void alpha_dropout_forward(
        const real* x, real* a, Py_ssize_t n, uint32_t first, double rate, uint64_t key) noexcept nogil:
    cdef Py_ssize_t i
    cdef Key halves = halves_of(key)
    cdef uint32_t threshold = <uint32_t>(rate * 4294967296.0)
    cdef real scale = <real>alpha_scale(rate)
    cdef real level = <real>(-alpha_scale(rate) * SELU_LIMIT * rate)
    for i in range(n):
        a[i] = maths.multiply_add(
            scale, x[i] if random_bits(first + <uint32_t>i, halves) >= threshold else <real>SELU_LIMIT, level)


cdef void alpha_dropout_backward(
        const real* d, real* d_x, Py_ssize_t n, uint32_t first, double rate, uint64_t key) noexcept nogil:
    cdef Py_ssize_t i
    cdef Key halves = halves_of(key)
    cdef uint32_t threshold = <uint32_t>(rate * 4294967296.0)
    cdef real scale = <real>alpha_scale(rate)
    for i in range(n):
        d_x[i] = d[i] * scale if random_bits(first + <uint32_t>i, halves) >= threshold else 0


cdef void gaussian_noise_forward(
        const real* x, real* a, Py_ssize_t n, uint32_t first, double deviation, uint64_t key) noexcept nogil:
    cdef Py_ssize_t i
    cdef Key halves = halves_of(key)
    for i in range(n):
        a[i] = maths.multiply_add(<real>deviation, <real>normal_of(random_bits(first + <uint32_t>i, halves)), x[i])


cdef void gaussian_noise_backward(
        const real* d, real* d_x, Py_ssize_t n, uint32_t first, double deviation, uint64_t key) noexcept nogil:
    memcpy(d_x, d, n * sizeof(real))


cdef void gaussian_dropout_apply(
        const real* x, real* a, Py_ssize_t n, uint32_t first, double deviation, uint64_t key) noexcept nogil:
    """a = x * (1 + deviation * N); the same call on gradients is its backward."""
    cdef Py_ssize_t i
    cdef Key halves = halves_of(key)
    for i in range(n):
        a[i] = x[i] * maths.multiply_add(
            <real>deviation, <real>normal_of(random_bits(first + <uint32_t>i, halves)), <real>1)


cdef inline float polar(uint32_t h, float factor, float* other) noexcept nogil:
    """Two independent normal numbers of one hash (Box and Muller 1958); factor: -2 deviation^2. None beyond 6.7.

    Their radius comes of h, their angle of its place in a good lattice (L'Ecuyer 1999): an eighth of a circle either
    way, which two bits turn to any quarter. log p as in `maths.log32`, for p from 2^-32 to 1; errors at most 2e-6
    of the radius.
    """
    cdef uint32_t angle = h * <uint32_t>29943829
    cdef int32_t i = maths.bits_of(<float><int>(h >> 1) + <float>0.5) - 0x3f3504f3
    cdef float f = maths.float_of((i & 0x7fffff) + 0x3f3504f3) - <float>1
    cdef float q = <float>-1.046856466e-1, t = <float><int>(angle << 2) * <float>3.6572952e-10, u = t * t, s, c
    q = q * f + <float>1.617227874e-1
    q = q * f - <float>1.710905041e-1
    q = q * f + <float>1.990467165e-1
    q = q * f - <float>2.498376421e-1
    q = q * f + <float>3.333487480e-1
    q = (q * f - <float>0.5) * (f * f) + f + <float>((i >> 23) - 31) * <float>6.9314718e-1
    q = maths.square_root(q * factor)
    s = q * t * ((<float>8.15157e-3 * u - <float>1.6662476e-1) * u + <float>9.9999857e-1)
    c = ((<float>-1.35858e-3 * u + <float>4.165502e-2) * u - <float>4.9999857e-1) * u + <float>9.9999997e-1
    c = maths.float_of(maths.bits_of(q * c) ^ <int>((angle << 1) & <uint32_t>0x80000000))
    other[0] = c if angle >> 31 else s
    return s if angle >> 31 else c


cdef void normal_pairs_apply(
        const real* x, real* a, Py_ssize_t n, uint32_t first, double deviation, uint64_t key) noexcept nogil:
    cdef Py_ssize_t i, half = n // 2
    cdef Key halves = halves_of(key)
    cdef float other, factor = <float>(-2 * deviation * deviation)
    for i in range(half):
        a[i] = x[i] + polar(random_bits(first + <uint32_t>i, halves), factor, &other)
        a[half + i] = x[half + i] + other
    if n % 2:
        a[n - 1] = x[n - 1] + polar(random_bits(first + <uint32_t>(n - 1), halves), factor, &other)


make_noise(
    made, "dropout", dropout_apply[float], dropout_apply[float], checked(dropout_apply[double]),
    checked(dropout_apply[double]))
make_noise(
    made, "alpha_dropout", alpha_dropout_forward[float], alpha_dropout_backward[float],
    checked(alpha_dropout_forward[double]), checked(alpha_dropout_backward[double]))
make_noise(
    made, "gaussian_noise", gaussian_noise_forward[float], gaussian_noise_backward[float],
    checked(gaussian_noise_forward[double]), checked(gaussian_noise_backward[double]))
make_noise(
    made, "gaussian_dropout", gaussian_dropout_apply[float], gaussian_dropout_apply[float],
    checked(gaussian_dropout_apply[double]), checked(gaussian_dropout_apply[double]))
make_noise(
    made, "normal_pairs", normal_pairs_apply[float], normal_pairs_apply[float], checked(normal_pairs_apply[double]),
    checked(normal_pairs_apply[double]))
