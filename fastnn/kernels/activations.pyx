"""Activations: for each one its forward and its backward loop, over whole rows.

forward:   z (rows, units) -> a (rows, units)
backward:  d enters as dL/da and leaves as dL/dz, given z and a
p:         the unit's own numbers (a slope, an alpha), in the order of its dataclass's fields

z, a and d are three buffers that do not overlap. A NaN in z gives NaN in a, one in d gives NaN out; infinities give the
limit of the formula.
The float64 formula of each stands beside its declaration in fastnn/activations.py.
"""

cimport fastnn.kernels.maths as maths
cimport fastnn.kernels.sums as sums
from fastnn.kernels.kernel cimport ActivationKernel
from fastnn.kernels.types cimport real


cdef void linear_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        a[i] = z[i]


cdef void linear_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    pass


cdef void relu_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        a[i] = <real>0 if z[i] < 0 else z[i]


cdef void relu_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        d[i] = d[i] if a[i] > 0 else <real>0


cdef void leaky_relu_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real slope = <real>p[0]
    for i in range(rows * units):
        a[i] = z[i] * (<real>1 if z[i] > 0 else slope)


cdef void leaky_relu_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real slope = <real>p[0]
    for i in range(rows * units):
        d[i] = d[i] * (<real>1 if z[i] > 0 else slope)


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


# gelu and silu are z * P(z) with P(-z) = 1 - P(z), and so max(z, 0) - |z| P(-|z|): no infinity meets a product with 0.
# Their slope at |z| is 1 less the slope at -|z|.


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


cdef void softplus_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        a[i] = maths.softplus(z[i])


cdef void softplus_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        d[i] = d[i] * maths.sigmoid(z[i])


cdef void tanh_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        a[i] = maths.tanh(z[i])


cdef void tanh_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        d[i] = d[i] * (<real>1 - a[i] * a[i])


cdef void sigmoid_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        a[i] = maths.sigmoid(z[i])


cdef void sigmoid_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(rows * units):
        d[i] = d[i] * (a[i] * (<real>1 - a[i]))


cdef void softmax_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t row = 0
    cdef real tops[sums.LANES]
    cdef real totals[sums.LANES]
    while row < rows:
        row += sums.softmax_rows(z + row * units, a + row * units, tops, totals, rows - row, units)


cdef void softmax_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t row, j
    cdef const real* a_row
    cdef real* d_row
    cdef real dot
    for row in range(rows):
        a_row = a + row * units
        d_row = d + row * units
        dot = sums.dot(a_row, d_row, units)
        for j in range(units):
            d_row[j] = a_row[j] * (d_row[j] - dot)


linear = ActivationKernel.make("linear", linear_forward[float], linear_backward[float],
                               linear_forward[double], linear_backward[double])
relu = ActivationKernel.make("relu", relu_forward[float], relu_backward[float],
                             relu_forward[double], relu_backward[double])
leaky_relu = ActivationKernel.make("leaky_relu", leaky_relu_forward[float], leaky_relu_backward[float],
                                   leaky_relu_forward[double], leaky_relu_backward[double])
elu = ActivationKernel.make("elu", elu_forward[float], elu_backward[float],
                            elu_forward[double], elu_backward[double])
selu = ActivationKernel.make("selu", selu_forward[float], selu_backward[float],
                             selu_forward[double], selu_backward[double])
gelu = ActivationKernel.make("gelu", gelu_forward[float], gelu_backward[float],
                             gelu_forward[double], gelu_backward[double])
silu = ActivationKernel.make("silu", silu_forward[float], silu_backward[float],
                             silu_forward[double], silu_backward[double])
softplus = ActivationKernel.make("softplus", softplus_forward[float], softplus_backward[float],
                                 softplus_forward[double], softplus_backward[double])
tanh = ActivationKernel.make("tanh", tanh_forward[float], tanh_backward[float],
                             tanh_forward[double], tanh_backward[double])
sigmoid = ActivationKernel.make("sigmoid", sigmoid_forward[float], sigmoid_backward[float],
                                sigmoid_forward[double], sigmoid_backward[double])
softmax = ActivationKernel.make("softmax", softmax_forward[float], softmax_backward[float],
                                softmax_forward[double], softmax_backward[double])
