"""The smooth activations: for each one its forward and its backward loop, over whole rows.

forward:   z (rows, units) -> a (rows, units)
backward:  d enters as dL/da and leaves as dL/dz, given z and a
p:         the unit's own numbers (a slope, an alpha), in the order of its dataclass's fields

z, a and d are three buffers that do not overlap; of a kernel that overwrites, whose backward reads a alone, z may be a.
A NaN in z gives NaN in a, one in d gives NaN out; infinities give the limit of the formula.
Lines with kinks are in activations_piecewise.pxi, what works along rows in activations_rows.pxi. The float64 formula of
each stands beside its declaration in fastnn/activations/.
"""

cimport fastnn.kernels.maths as maths
from fastnn.kernels.types cimport checked, make_activation, real, wide


cdef inline real elu_value(real z, real scale, real alpha) noexcept nogil:
    cdef real below = alpha * maths.expm1_negative(-maths.absolute(z))
    return scale * (below if z <= 0 else z)


cdef void elu_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real alpha = <real>p[0]
    for i in range(rows * units):
        a[i] = elu_value(z[i], <real>1, alpha)


cdef void elu_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real alpha = <real>p[0]
    for i in range(rows * units):
        d[i] = d[i] * (<real>1 if z[i] > 0 else a[i] + alpha)


# Klambauer et al. 2017, section 2: the fixed point at mean 0, variance 1.
cdef double SELU_SCALE = 1.0507009873554804934193349852946
cdef double SELU_ALPHA = 1.6732632423543772848170429916717


cdef void selu_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real scale = <real>SELU_SCALE
    cdef real alpha = <real>SELU_ALPHA
    for i in range(rows * units):
        a[i] = elu_value(z[i], scale, alpha)


cdef void selu_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real scale = <real>SELU_SCALE
    cdef real below = <real>(SELU_SCALE * SELU_ALPHA)
    for i in range(rows * units):
        d[i] = d[i] * (scale if z[i] > 0 else a[i] + below)


cdef void celu_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real alpha = <real>p[0], steepness = <real>(1 / p[0]), below
    for i in range(rows * units):
        below = alpha * maths.expm1_negative(-maths.absolute(z[i]) * steepness)
        a[i] = below if z[i] <= 0 else z[i]


cdef void celu_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real steepness = <real>(1 / p[0])
    for i in range(rows * units):
        d[i] = d[i] * (<real>1 if z[i] > 0 else a[i] * steepness + <real>1)


cdef void exponential_forward(
        const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        a[i] = maths.exp(z[i])


cdef void exponential_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        d[i] = d[i] * a[i]


# gelu and silu are z * P(z) with P(-z) = 1 - P(z), and so max(z, 0) - |z| P(-|z|): no infinity meets a product with 0.
# Their slope at |z| is 1 less the slope at -|z|. mish is z * P(z) too, but P has two tails that differ.


cdef inline real gelu_reach(real z) noexcept nogil:
    """|z|, but no further out than 15, where the normal tail is below the smallest float."""
    return maths.capped(maths.absolute(z), 15)


cdef inline real gelu_tail(real y) noexcept nogil:
    """The approximation by tanh of P(N > y): sigmoid(-2 sqrt(2 / pi) (y + 0.044715 y^3))."""
    return maths.sigmoid_tail(maths.far(<real>1.5957691216057308 * (y + <real>0.044715 * y * y * y)))


cdef void gelu_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real y
    if p[0] != 0:
        for i in range(rows * units):
            y = gelu_reach(z[i])
            a[i] = maths.ramp(z[i]) - y * gelu_tail(y)
    else:
        for i in range(rows * units):
            y = gelu_reach(z[i])
            a[i] = maths.ramp(z[i]) - y * maths.normal_tail(y, maths.normal_density(y))


cdef void gelu_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real y, tail, density, slope
    if p[0] != 0:
        for i in range(rows * units):
            y = gelu_reach(z[i])
            tail = gelu_tail(y)
            slope = <real>1.5957691216057308 * (<real>1 + <real>0.134145 * y * y)
            slope = tail - y * (tail * (<real>1 - tail)) * slope
            d[i] = d[i] * (slope if z[i] < 0 else <real>1 - slope)
    else:
        for i in range(rows * units):
            y = gelu_reach(z[i])
            density = maths.normal_density(y)
            slope = maths.multiply_add(-y * density, <real>0.39894228040143267794, maths.normal_tail(y, density))
            d[i] = d[i] * (slope if z[i] < 0 else <real>1 - slope)


cdef void silu_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real y
    for i in range(rows * units):
        y = maths.far(z[i])
        a[i] = maths.ramp(z[i]) - y * maths.sigmoid_tail(y)


cdef void silu_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real y, tail, slope
    for i in range(rows * units):
        y = maths.far(z[i])
        tail = maths.sigmoid_tail(y)
        slope = tail - y * (tail * (<real>1 - tail))
        d[i] = d[i] * (slope if z[i] < 0 else <real>1 - slope)


cdef inline real mish_tail(real z, real u) noexcept nogil:
    """tanh(log(1 + e^z)) where z < 0, else 1 less that; u = e^-|z|."""
    cdef real below = u * (u + <real>2)
    cdef real above = <real>2 * u * u
    cdef real rest = <real>2 if z < 0 else <real>1 + <real>2 * u
    above = below if z < 0 else above
    return above / (above + rest)


cdef void mish_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real y
    for i in range(rows * units):
        y = maths.far(z[i])
        a[i] = maths.ramp(z[i]) - y * mish_tail(z[i], maths.exp_far(y))


cdef void mish_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real y, u, tail, bend, slope
    for i in range(rows * units):
        y = maths.far(z[i])
        u = maths.exp_far(y)
        tail = mish_tail(z[i], u)
        # The slope of tanh(softplus(z)) is (1 - tanh^2) sigmoid(z).
        bend = (<real>1 - tail * tail) * u if z[i] < 0 else tail * (<real>2 - tail)
        slope = tail - y * bend / (<real>1 + u)
        d[i] = d[i] * (slope if z[i] < 0 else <real>1 - slope)


cdef void softplus_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        a[i] = maths.softplus(z[i])


cdef void softplus_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        d[i] = d[i] * maths.sigmoid(z[i])


cdef void log_sigmoid_forward(
        const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        a[i] = -maths.softplus(-z[i])


cdef void log_sigmoid_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        d[i] = d[i] * maths.sigmoid(-z[i])


cdef inline real squareplus_root(real y, real b) noexcept nogil:
    """sqrt(y^2 + b) for y >= 0; where the square might overflow, b is nothing beside it."""
    cdef real edge = <real>1e18 if real is float else <real>1e150
    return y if y > edge else maths.square_root(y * y + b)


cdef void squareplus_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real b = <real>p[0], y, above
    for i in range(rows * units):
        y = maths.absolute(z[i])
        above = <real>0.5 * y + <real>0.5 * squareplus_root(y, b)
        a[i] = <real>0.25 * b / above if z[i] < 0 else above


cdef void squareplus_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real b = <real>p[0], y, root, below
    for i in range(rows * units):
        y = maths.absolute(z[i])
        root = squareplus_root(y, b)
        below = <real>0.5 * b / (root * (y + root))
        d[i] = d[i] * (below if z[i] < 0 else <real>1 - below)


cdef void softsign_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real x
    for i in range(rows * units):
        x = maths.clipped(z[i], <real>-1e30, <real>1e30)                # an infinity over an infinity would be NaN
        a[i] = x / (<real>1 + maths.absolute(x))


cdef void softsign_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real share
    for i in range(rows * units):
        share = <real>1 / (<real>1 + maths.absolute(z[i]))
        d[i] = d[i] * (share * share)


cdef inline void tanh_each(const real* z, real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = maths.tanh(z[i])


cdef void tanh_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    if z == a:                          # by one name, so that a compiler sees that it may work on vectors
        tanh_each(a, a, rows * units)
    else:
        tanh_each(z, a, rows * units)


cdef void tanh_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        d[i] = d[i] * (<real>1 - a[i] * a[i])


cdef inline real tanh_shrink_value(real z) noexcept nogil:
    """z - tanh(z). Near 0, where that cancels, float32 takes z^3 / (3 + w + w / (5 + w / (7 + ...))), w = z^2.

    Source: Lambert's continued fraction of tanh. Cut after 11, its relative error at 1.5 is 5.0e-8.
    """
    cdef real w, top, bottom
    cdef real far = z - maths.tanh(z)
    if real is double:
        return far
    else:
        w = z * z
        top = w * (<real>693 + <real>18 * w)
        bottom = <real>3465 + w * (<real>189 + w)
        return z * (w * bottom / (bottom * (<real>3 + w) + top)) if maths.absolute(z) < <float>1.5 else far


cdef void tanh_shrink_forward(
        const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        a[i] = tanh_shrink_value(z[i])


cdef void tanh_shrink_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real t
    for i in range(rows * units):
        t = maths.tanh(z[i])
        d[i] = d[i] * (t * t)


cdef inline void sigmoid_each(const real* z, real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = maths.sigmoid(z[i])


cdef void sigmoid_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    if z == a:                          # by one name, so that a compiler sees that it may work on vectors
        sigmoid_each(a, a, rows * units)
    else:
        sigmoid_each(z, a, rows * units)


cdef void sigmoid_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        d[i] = d[i] * (a[i] * (<real>1 - a[i]))


make_activation(
    made, "elu", elu_forward[float], elu_backward[float], wide(elu_forward[double]), checked(elu_backward[double]))
make_activation(
    made, "selu", selu_forward[float], selu_backward[float], wide(selu_forward[double]), checked(selu_backward[double]))
make_activation(
    made, "celu", celu_forward[float], celu_backward[float], wide(celu_forward[double]), checked(celu_backward[double]))
make_activation(
    made, "exponential", exponential_forward[float], exponential_backward[float], wide(exponential_forward[double]),
    checked(exponential_backward[double]))
make_activation(
    made, "gelu", gelu_forward[float], gelu_backward[float], wide(gelu_forward[double]), checked(gelu_backward[double]))
make_activation(
    made, "silu", silu_forward[float], silu_backward[float], wide(silu_forward[double]), checked(silu_backward[double]))
make_activation(
    made, "mish", mish_forward[float], mish_backward[float], wide(mish_forward[double]), checked(mish_backward[double]))
make_activation(
    made, "softplus", softplus_forward[float], softplus_backward[float], wide(softplus_forward[double]),
    checked(softplus_backward[double]))
make_activation(
    made, "log_sigmoid", log_sigmoid_forward[float], log_sigmoid_backward[float], wide(log_sigmoid_forward[double]),
    checked(log_sigmoid_backward[double]))
make_activation(
    made, "squareplus", squareplus_forward[float], squareplus_backward[float], wide(squareplus_forward[double]),
    checked(squareplus_backward[double]))
make_activation(
    made, "softsign", softsign_forward[float], softsign_backward[float], wide(softsign_forward[double]),
    checked(softsign_backward[double]))
make_activation(
    made, "tanh", tanh_forward[float], tanh_backward[float], wide(tanh_forward[double]), checked(tanh_backward[double]),
    True)
make_activation(
    made, "tanh_shrink", tanh_shrink_forward[float], tanh_shrink_backward[float], wide(tanh_shrink_forward[double]),
    checked(tanh_shrink_backward[double]))
make_activation(
    made, "sigmoid", sigmoid_forward[float], sigmoid_backward[float], wide(sigmoid_forward[double]),
    checked(sigmoid_backward[double]), True)
