"""Activations: for each one its forward and its backward loop, over whole rows.

forward:   z (rows, units) -> a (rows, units)
backward:  d enters as dL/da and leaves as dL/dz, given z and a
p:         the unit's own numbers (a slope, an alpha), in the order of its dataclass's fields

z, a and d are three buffers that do not overlap. NaN in gives NaN out; infinities give the limit of the formula.
The float64 formula of each stands beside its declaration in fastnn/activations.py.
"""

cimport fastnn.kernels.maths as maths
from fastnn.kernels.kernel cimport ActivationKernel
from fastnn.kernels.types cimport real


cdef inline real clamp(real x, double low, double high) noexcept nogil:
    cdef real lower = <real>low
    cdef real upper = <real>high
    x = lower if x < lower else x
    return upper if x > upper else x


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
    cdef real below = alpha * maths.expm1_negative(<real>0 if z > 0 else z)
    return scale * (z if z > 0 else below)


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


# gelu: beyond |z| = 15 the normal tail is below the smallest float, and inf * 0 must not become NaN.
cdef void gelu_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real x, y, tail
    if p[0] != 0:
        for i in range(rows * units):
            x = clamp(z[i], -15, 15)
            tail = maths.sigmoid(<real>1.5957691216057308 * (x + <real>0.044715 * x * x * x))
            a[i] = (x if z[i] < 0 else z[i]) * tail
    else:
        for i in range(rows * units):
            x = clamp(z[i], -15, 15)
            y = maths.absolute(x)
            tail = maths.normal_tail(y, maths.exp(<real>-0.5 * y * y))
            a[i] = x * tail if z[i] < 0 else z[i] * (<real>1 - tail)


cdef void gelu_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real x, y, tail, density, slope
    if p[0] != 0:
        for i in range(rows * units):
            x = clamp(z[i], -15, 15)
            tail = maths.sigmoid(<real>1.5957691216057308 * (x + <real>0.044715 * x * x * x))
            slope = <real>1.5957691216057308 * (<real>1 + <real>0.134145 * x * x)
            d[i] = d[i] * (tail + x * tail * (<real>1 - tail) * slope)
    else:
        for i in range(rows * units):
            x = clamp(z[i], -15, 15)
            y = maths.absolute(x)
            density = maths.exp(<real>-0.5 * y * y)
            tail = maths.normal_tail(y, density)
            d[i] = d[i] * ((tail if x < 0 else <real>1 - tail) + x * density * <real>0.39894228040143267794)


cdef void silu_forward(const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real x
    # Below -746 (float32: -104) e^x is 0 and x * 0 is the limit; -inf * 0 would be NaN.
    for i in range(rows * units):
        x = <real>-746 if z[i] < -746 else z[i]
        a[i] = x * maths.sigmoid(x)


cdef void silu_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t i
    cdef real x, s
    for i in range(rows * units):
        x = clamp(z[i], -746, 746)
        s = maths.sigmoid(x)
        d[i] = d[i] * (s + x * s * (<real>1 - s))


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
    cdef Py_ssize_t row
    for row in range(rows):
        maths.softmax_row(z + row * units, a + row * units, units)


cdef void softmax_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t row, j
    cdef const real* a_row
    cdef real* d_row
    cdef real dot
    for row in range(rows):
        a_row = a + row * units
        d_row = d + row * units
        dot = maths.dot(a_row, d_row, units)
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
