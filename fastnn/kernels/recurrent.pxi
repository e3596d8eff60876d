"""A step of an LSTM and of a GRU behind its products: gates and state, with tanh and sigmoid, and their slopes.

Gates of a row lie one behind the other, `units` numbers each: the products on the way in, then what the activations
make of them, and on the way back the gradient by the products.

lstm    i, f, g, o              c' = f c + i g, h' = o tanh(c')                 Hochreiter and Schmidhuber 1997
gru     z, r, u, n              n = tanh(n + r u), h' = z h + (1 - z) n         Cho et al. 2014, reset after the product
"""

cimport fastnn.kernels.maths as maths
from fastnn.kernels.types cimport make_cell


cdef extern from *:
    """
    #define FASTNN_LN2_ALONE 0.693147182f
    typedef float *__restrict fastnn_apart;
    typedef const float *__restrict fastnn_apart_const;
    """
    const float LN2_ALONE "FASTNN_LN2_ALONE"         # without a low part, which fused multiply-adds need not
    ctypedef float* apart "fastnn_apart"                # which no other pointer of the call leads to
    ctypedef const float* apart_const "fastnn_apart_const"


# Beyond these sigmoid is 0 or 1 and tanh -1 or 1, but for e^-86. Variables: clips by constants become branches.
cdef float FAR = 86, FAR_OF_TANH = 15


# What the steps of a recurrence wait for is multiplications, and how long a chain of them is. So these two are shorter
# than those of maths.pxd: tanh at most 2.9 ulp; sigmoid 2.2 for |x| <= 5, 3.8 for |x| <= 20, 5.5 far out, and without
# fused multiply-adds 19 and 69, where it is next to nothing.
cdef inline float gate_exp(float x, float times, float* scale) noexcept nogil:
    """(e^y - scale) / scale, where scale = 2^n is near e^y, y = times x, for |y| < 87; relative error of the polynomial
    1.4e-8. times: 1 or -2, as a constant."""
    cdef float n = maths.multiply_add(x, times * maths.LOG2E, maths.ROUND + <float>127)
    cdef float r, square, low
    scale[0] = maths.power_of_two(maths.bits_of(n))
    n = n - (maths.ROUND + <float>127)
    r = maths.multiply_add(n, -LN2_ALONE, times * x)
    square = r * r
    low = maths.multiply_add(<float>1.66665420e-1, r, <float>4.99999970e-1)
    n = maths.multiply_add(<float>8.36665183e-3, r, <float>4.16672044e-2)
    n = maths.multiply_add(maths.multiply_add(<float>1.38824969e-3, square, n), square, low)
    return maths.multiply_add(n, square, r)


cdef inline float gate_sigmoid(float x) noexcept nogil:
    cdef float scale
    cdef float t = gate_exp(maths.clipped(-x, -FAR, FAR), 1, &scale)
    return <float>1 / maths.multiply_add(scale, t, scale + <float>1)


cdef inline float gate_tanh(float x) noexcept nogil:
    cdef float scale
    cdef float t = gate_exp(maths.clipped(x, -FAR_OF_TANH, FAR_OF_TANH), -2, &scale)
    return maths.multiply_add(-scale, t, <float>1 - scale) / maths.multiply_add(scale, t, scale + <float>1)


cdef void lstm_row(Py_ssize_t n, apart i, apart f, apart g, apart o, apart_const before, apart c, apart squashed,
                   apart h) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        i[j] = gate_sigmoid(i[j])
        f[j] = gate_sigmoid(f[j])
        g[j] = gate_tanh(g[j])
        o[j] = gate_sigmoid(o[j])
        c[j] = maths.multiply_add(f[j], before[j], i[j] * g[j])
    for j in range(n):
        squashed[j] = gate_tanh(c[j])
        h[j] = o[j] * squashed[j]


cdef void gru_row(Py_ssize_t n, apart z, apart r, apart_const u, apart state, apart_const before, apart h
                  ) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        z[j] = gate_sigmoid(z[j])
        r[j] = gate_sigmoid(r[j])
    for j in range(n):
        state[j] = gate_tanh(maths.multiply_add(r[j], u[j], state[j]))
        h[j] = maths.multiply_add(z[j], before[j], (<float>1 - z[j]) * state[j])


cdef void lstm_slopes(Py_ssize_t n, apart i, apart f, apart g, apart o, apart_const before, apart c,
                      apart_const squashed, apart_const h) noexcept nogil:
    cdef Py_ssize_t j
    cdef float d, d_o
    for j in range(n):
        d_o = h[j] * squashed[j]
        d = maths.multiply_add(h[j] * o[j], <float>1 - squashed[j] * squashed[j], c[j])
        c[j] = d * f[j]
        o[j] = d_o * (o[j] * (<float>1 - o[j]))
        f[j] = d * before[j] * (f[j] * (<float>1 - f[j]))
        d_o = d * g[j] * (i[j] * (<float>1 - i[j]))
        g[j] = d * i[j] * (<float>1 - g[j] * g[j])
        i[j] = d_o


cdef void gru_slopes(Py_ssize_t n, apart z, apart r, apart u, apart state, apart_const before, apart h
                     ) noexcept nogil:
    cdef Py_ssize_t j
    cdef float d, d_z
    for j in range(n):
        d = h[j] * (<float>1 - z[j]) * (<float>1 - state[j] * state[j])
        d_z = h[j] * (before[j] - state[j]) * (z[j] * (<float>1 - z[j]))
        h[j] = h[j] * z[j]
        z[j] = d_z
        d_z = d * u[j] * (r[j] * (<float>1 - r[j]))
        u[j] = d * r[j]
        r[j] = d_z
        state[j] = d


cdef void lstm_forward(
        Py_ssize_t rows, Py_ssize_t units, float* z, Py_ssize_t z_pitch, const float* const* before, float* c,
        float* squashed, Py_ssize_t c_pitch, float* h, Py_ssize_t h_pitch) noexcept nogil:
    cdef Py_ssize_t row
    for row in range(rows):
        lstm_row(units, z, z + units, z + 2 * units, z + 3 * units, before[row], c + row * c_pitch,
                 squashed + row * c_pitch, h + row * h_pitch)
        z += z_pitch


cdef void lstm_backward(
        Py_ssize_t rows, Py_ssize_t units, float* z, Py_ssize_t z_pitch, const float* const* before, float* c,
        float* squashed, Py_ssize_t c_pitch, float* h, Py_ssize_t h_pitch) noexcept nogil:
    cdef Py_ssize_t row
    for row in range(rows):
        lstm_slopes(units, z, z + units, z + 2 * units, z + 3 * units, before[row], c + row * h_pitch,
                    squashed + row * c_pitch, h + row * h_pitch)
        z += z_pitch


cdef void gru_forward(
        Py_ssize_t rows, Py_ssize_t units, float* z, Py_ssize_t z_pitch, const float* const* before, float* c,
        float* squashed, Py_ssize_t c_pitch, float* h, Py_ssize_t h_pitch) noexcept nogil:
    cdef Py_ssize_t row
    for row in range(rows):
        gru_row(units, z, z + units, z + 2 * units, z + 3 * units, before[row], h + row * h_pitch)
        z += z_pitch


cdef void gru_backward(
        Py_ssize_t rows, Py_ssize_t units, float* z, Py_ssize_t z_pitch, const float* const* before, float* c,
        float* squashed, Py_ssize_t c_pitch, float* h, Py_ssize_t h_pitch) noexcept nogil:
    cdef Py_ssize_t row
    for row in range(rows):
        gru_slopes(units, z, z + units, z + 2 * units, z + 3 * units, before[row], h + row * h_pitch)
        z += z_pitch


make_cell(made, "lstm_cell", lstm_forward, lstm_backward)
make_cell(made, "gru_cell", gru_forward, gru_backward)
