"""What happens to a slice of the flat vectors before and after the optimizer's step: one pass each, elementwise.

add           a += b
take_mean     b = (a + b) * x, a = 0: the mean of gradients that were added up in a
clip          a kept within -x .. x
scale         a *= x
decay         a -= x * a
average       a = x * a + (1 - x) * b, a moving average of b
squares       the sum of a^2
largest       the largest |a|; infinity or NaN where there is one

The last compares numbers without their signs as the integers that store them, whose order is the same, with NaN at its
end: a NaN cannot get lost, and a look at a whole gradient costs one instruction for each vector.
"""

from libc.stdint cimport int32_t

cimport fastnn.kernels.maths as maths
cimport fastnn.kernels.sums as sums
from fastnn.kernels.types cimport checked, make_vector, real


cdef double add_vector(real* a, real* b, Py_ssize_t n, double x) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        a[i] = a[i] + b[i]
    return 0


cdef double take_mean_vector(real* a, real* b, Py_ssize_t n, double x) noexcept nogil:
    cdef Py_ssize_t i
    cdef real factor = <real>x
    for i in range(n):
        b[i] = (a[i] + b[i]) * factor
        a[i] = 0
    return 0


cdef double clip_vector(real* a, real* b, Py_ssize_t n, double x) noexcept nogil:
    cdef Py_ssize_t i
    cdef real high = <real>x, low = <real>(-x), value
    for i in range(n):
        value = high if a[i] > high else a[i]
        a[i] = low if value < low else value
    return 0


cdef double scale_vector(real* a, real* b, Py_ssize_t n, double x) noexcept nogil:
    cdef Py_ssize_t i
    cdef real factor = <real>x
    if real is float:
        if x < 1.2e-38:                 # less than float32 holds, though a * x is not
            for i in range(n):
                a[i] = <float>(a[i] * x)
            return 0
    for i in range(n):
        a[i] = a[i] * factor
    return 0


cdef double decay_vector(real* a, real* b, Py_ssize_t n, double x) noexcept nogil:
    cdef Py_ssize_t i
    cdef real factor = <real>x
    for i in range(n):
        a[i] = a[i] - factor * a[i]
    return 0


cdef double average_vector(real* a, real* b, Py_ssize_t n, double x) noexcept nogil:
    cdef Py_ssize_t i
    cdef real keep = <real>x, fresh = <real>(1 - x)
    for i in range(n):
        a[i] = maths.multiply_add(keep, a[i], fresh * b[i])
    return 0


cdef double squares_vector(real* a, real* b, Py_ssize_t n, double x) noexcept nogil:
    return sums.whole_dot(a, a if b == NULL else b, n)


cdef double largest_vector(real* a, real* b, Py_ssize_t n, double x) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef int lane
    cdef int32_t bits, most = 0
    cdef int32_t lanes[32]              # several vectors, so that the loop's own instructions are few
    cdef double found = 0
    if real is float:
        for lane in range(32):
            lanes[lane] = 0
        while i + 32 <= n:
            for lane in range(32):
                bits = maths.bits_of(a[i + lane]) & 0x7FFFFFFF
                lanes[lane] = bits if bits > lanes[lane] else lanes[lane]
            i += 32
        if i + 16 <= n:                 # as small networks' gradients have
            for lane in range(16):
                bits = maths.bits_of(a[i + lane]) & 0x7FFFFFFF
                lanes[lane] = bits if bits > lanes[lane] else lanes[lane]
            i += 16
        for lane in range(32):
            most = lanes[lane] if lanes[lane] > most else most
        while i < n:
            bits = maths.bits_of(a[i]) & 0x7FFFFFFF
            most = bits if bits > most else most
            i += 1
        return maths.float_of(most)
    else:
        for i in range(n):
            if not maths.absolute(a[i]) <= found:
                found = maths.absolute(a[i])
                if found != found:
                    return found
        return found


make_vector(made, "add", add_vector[float], checked(add_vector[double]))
make_vector(made, "take_mean", take_mean_vector[float], checked(take_mean_vector[double]))
make_vector(made, "clip", clip_vector[float], checked(clip_vector[double]))
make_vector(made, "scale", scale_vector[float], checked(scale_vector[double]))
make_vector(made, "decay", decay_vector[float], checked(decay_vector[double]))
make_vector(made, "average", average_vector[float], checked(average_vector[double]))
make_vector(made, "squares", squares_vector[float], checked(squares_vector[double]))
make_vector(made, "largest", largest_vector[float], checked(largest_vector[double]))
