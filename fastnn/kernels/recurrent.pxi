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
    typedef float *__restrict fastnn_apart;
    typedef const float *__restrict fastnn_apart_const;
    """
    ctypedef float* apart "fastnn_apart"                # which no other pointer of the call leads to
    ctypedef const float* apart_const "fastnn_apart_const"


cdef void sigmoids(Py_ssize_t n, apart x) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        x[j] = maths.sigmoid(x[j])


cdef void tanhs(Py_ssize_t n, apart x) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        x[j] = maths.tanh(x[j])


cdef void lstm_row(Py_ssize_t n, apart_const i, apart_const f, apart_const g, apart_const o, apart_const before,
                   apart c, apart squashed, apart h) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        squashed[j] = c[j] = maths.multiply_add(f[j], before[j], i[j] * g[j])
    tanhs(n, squashed)
    for j in range(n):
        h[j] = o[j] * squashed[j]


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


cdef void gru_row(Py_ssize_t n, apart_const z, apart_const r, apart_const u, apart state, apart_const before, apart h
                  ) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        state[j] = maths.multiply_add(r[j], u[j], state[j])
    tanhs(n, state)
    for j in range(n):
        h[j] = maths.multiply_add(z[j], before[j], (<float>1 - z[j]) * state[j])


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
        sigmoids(2 * units, z)
        tanhs(units, z + 2 * units)
        sigmoids(units, z + 3 * units)
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
        sigmoids(2 * units, z)
        gru_row(units, z, z + units, z + 2 * units, z + 3 * units, before[row], h + row * h_pitch)
        z += z_pitch


cdef void gru_backward(
        Py_ssize_t rows, Py_ssize_t units, float* z, Py_ssize_t z_pitch, const float* const* before, float* c,
        float* squashed, Py_ssize_t c_pitch, float* h, Py_ssize_t h_pitch) noexcept nogil:
    cdef Py_ssize_t row
    for row in range(rows):
        gru_slopes(units, z, z + units, z + 2 * units, z + 3 * units, before[row], h + row * h_pitch)
        z += z_pitch


lstm_cell = make_cell("lstm_cell", lstm_forward, lstm_backward)
gru_cell = make_cell("gru_cell", gru_forward, gru_backward)
