"""Functions of one number that are no activations: what arithmetic on symbolic tensors and ``fastnn.ops`` are made of.

Arguments and rules as in activations.pxi. p: the function's number, then its own two.
"""

cimport libc.math as libc

cimport fastnn.kernels.maths as maths
from fastnn.kernels.types cimport checked, make_activation, real, wide


cdef enum Function:
    # In the order of FUNCTIONS in fastnn/layers/operation.py.
    AFFINE, ABS, SQUARE, SQRT, RECIPROCAL, LOG, LOG1P, EXPM1, SIN, COS, POWER, SIGN, FLOOR, CEIL, ROUND, ERF, STOP


cdef inline real value_of(Function which, real z, real a, real b) noexcept nogil:
    if which == AFFINE:
        return a * z + b
    elif which == ABS:
        return maths.absolute(z)
    elif which == SQUARE:
        return z * z
    elif which == SQRT:
        return maths.square_root(z)
    elif which == RECIPROCAL:
        return a / z
    elif which == LOG:
        return <real>libc.log(z)
    elif which == LOG1P:
        return <real>libc.log1p(z)
    elif which == EXPM1:
        return <real>libc.expm1(z)
    elif which == SIN:
        return <real>libc.sin(z)
    elif which == COS:
        return <real>libc.cos(z)
    elif which == POWER:
        return <real>libc.pow(z, a)
    elif which == SIGN:
        return <real>((z > 0) - (z < 0)) if z == z else z
    elif which == FLOOR:
        return <real>libc.floor(z)
    elif which == CEIL:
        return <real>libc.ceil(z)
    elif which == ROUND:
        return <real>libc.rint(z)
    elif which == ERF:
        return <real>libc.erf(z)
    else:
        return z


cdef inline real slope_of(Function which, real z, real f, real a) noexcept nogil:
    """The slope at z, where the value is f."""
    if which == AFFINE:
        return a
    elif which == ABS:
        return <real>((z > 0) - (z < 0)) if z == z else z
    elif which == SQUARE:
        return z + z
    elif which == SQRT:
        return <real>0.5 / f
    elif which == RECIPROCAL:
        return -f / z
    elif which == LOG:
        return <real>1 / z
    elif which == LOG1P:
        return <real>1 / (<real>1 + z)
    elif which == EXPM1:
        return f + <real>1
    elif which == SIN:
        return <real>libc.cos(z)
    elif which == COS:
        return <real>-libc.sin(z)
    elif which == POWER:
        return a * <real>libc.pow(z, a - 1) if a != 0 else <real>0
    elif which == ERF:
        return <real>(1.1283791670955126 * libc.exp(-<double>z * z))
    else:
        return <real>0


cdef inline void function_values(Function which, const real* z, real* f, const double* p, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real>p[1], b = <real>p[2]
    for i in range(n):
        f[i] = value_of(which, z[i], a, b)


cdef inline void function_slopes(
        Function which, const real* z, const real* f, real* d, const double* p, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real>p[1]
    for i in range(n):
        d[i] = d[i] * slope_of(which, z[i], f[i], a)


cdef void function_forward(
        const real* z, real* a, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t n = rows * units
    cdef int which = <int>p[0]
    if which == AFFINE:
        function_values(AFFINE, z, a, p, n)
    elif which == ABS:
        function_values(ABS, z, a, p, n)
    elif which == SQUARE:
        function_values(SQUARE, z, a, p, n)
    elif which == SQRT:
        function_values(SQRT, z, a, p, n)
    elif which == RECIPROCAL:
        function_values(RECIPROCAL, z, a, p, n)
    else:                               # a call for each number costs more than the choice
        function_values(<Function>which, z, a, p, n)


cdef void function_backward(
        const real* z, const real* a, real* d, const double* p, Py_ssize_t rows, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t n = rows * units, i
    cdef int which = <int>p[0]
    if which == STOP or SIGN <= which <= ROUND:
        for i in range(n):
            d[i] = 0
    elif which == AFFINE:
        function_slopes(AFFINE, z, a, d, p, n)
    elif which == SQUARE:
        function_slopes(SQUARE, z, a, d, p, n)
    elif which == SQRT:
        function_slopes(SQRT, z, a, d, p, n)
    else:
        function_slopes(<Function>which, z, a, d, p, n)


make_activation(
    made, "function", function_forward[float], function_backward[float], wide(function_forward[double]),
    checked(function_backward[double]))
