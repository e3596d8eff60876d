# The losses whose row value is the mean of its elements' values: their formulas stand in fastnn/losses/.
#
# a (n,) output, y (n,) targets, values (n,) and d (n,), of any n elements in a row: elements know no rows, so one loop
# serves a column of rows and a wide row alike. d is NULL where no slopes are asked for.

cimport fastnn.kernels.maths as maths
from fastnn.kernels.types cimport real

cdef enum Element:
    SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, BINARY, SIGMOID_BINARY
    PERCENTAGE_ERROR, LOGARITHMIC_ERROR, LOG_COSH, POISSON, PINBALL, HINGE, SQUARED_HINGE, FOCAL, SIGMOID_FOCAL

# Elements whose values a caller holds before it adds them up.
cdef enum:
    CHUNK = 256

cdef extern from *:
    """
    #define FASTNN_LN2 0.69314718055994530942
    """
    const double LN2 "FASTNN_LN2"


cdef inline void binary_elements(
        const real* a, const real* y, real* d, real* values, Py_ssize_t n,
        real smoothing, real factor, double epsilon) noexcept nogil:
    cdef Py_ssize_t i
    cdef real q, target
    cdef real low = <real>epsilon, high = <real>(1 - epsilon)
    for i in range(n):
        target = y[i] * (<real>1 - smoothing) + <real>0.5 * smoothing
        q = low if a[i] < low else a[i]
        q = high if q > high else q
        values[i] = -maths.multiply_add(target, maths.log(q), (<real>1 - target) * maths.log(<real>1 - q))
        if d != NULL:
            # Outside the clip the value is constant, and so its slope is 0.
            d[i] = factor * (q - target) / (q * (<real>1 - q)) if q == a[i] else 0


cdef inline void sigmoid_binary_elements(
        const real* z, real* a, const real* y, real* d, real* values, Py_ssize_t n,
        real smoothing, real factor) noexcept nogil:
    cdef Py_ssize_t i
    cdef real x, target
    cdef real edge = <real>3e38                                     # an infinite logit times 0 must not be NaN
    for i in range(n):
        target = y[i] * (<real>1 - smoothing) + <real>0.5 * smoothing
        x = maths.absolute(z[i])
        x = edge if x > edge else x
        # softplus(z) - z * target, with the large terms cancelled by hand
        values[i] = x * (target if z[i] < 0 else <real>1 - target) + maths.softplus_tail(maths.far(z[i]))
        a[i] = maths.sigmoid(z[i])
        if d != NULL:
            d[i] = factor * (a[i] - target)


cdef inline real focus(
        real target, real q, real rest, real entropy, real slope_of_q, real slope_of_entropy,
        const real* numbers, real* slope) noexcept nogil:
    """balance * f^gamma * entropy, f = target (1 - q) + (1 - target) q, and its slope; rest = 1 - q.

    numbers: gamma, the weight of a target of 1, and of one of 0.
    """
    cdef real tiny = <real>1e-37                                    # log(0) times 0 must not be NaN
    cdef real opposite = <real>1 - target
    cdef real balance = maths.multiply_add(target, numbers[1], opposite * numbers[2])
    cdef real f = maths.multiply_add(target, rest, opposite * q)
    f = tiny if f < tiny else f
    cdef real power = maths.exp(numbers[0] * maths.log(f)) * balance
    cdef real steepness = numbers[0] * power / f * (opposite - target) * slope_of_q
    slope[0] = maths.multiply_add(steepness, entropy, power * slope_of_entropy)
    return power * entropy


cdef inline void focal_elements(
        const real* a, const real* y, real* d, real* values, Py_ssize_t n,
        const double* p, real factor, double epsilon) noexcept nogil:
    cdef Py_ssize_t i
    cdef real q, rest, target, entropy, slope, smoothing = <real>p[0]
    cdef real low = <real>epsilon, high = <real>(1 - epsilon)
    cdef real[3] numbers = [<real>p[1], <real>p[2], <real>p[3]]
    for i in range(n):
        target = y[i] * (<real>1 - smoothing) + <real>0.5 * smoothing
        q = low if a[i] < low else a[i]
        q = high if q > high else q
        rest = <real>1 - q
        entropy = -maths.multiply_add(target, maths.log(q), (<real>1 - target) * maths.log(rest))
        values[i] = focus(target, q, rest, entropy, <real>1, (q - target) / (q * rest), numbers, &slope)
        if d != NULL:
            d[i] = factor * slope if q == a[i] else 0


cdef inline void sigmoid_focal_elements(
        const real* z, real* a, const real* y, real* d, real* values, Py_ssize_t n,
        const double* p, real factor) noexcept nogil:
    cdef Py_ssize_t i
    cdef real x, rest, target, entropy, slope, smoothing = <real>p[0]
    cdef real edge = <real>3e38                                     # as above
    cdef real[3] numbers = [<real>p[1], <real>p[2], <real>p[3]]
    for i in range(n):
        target = y[i] * (<real>1 - smoothing) + <real>0.5 * smoothing
        x = maths.absolute(z[i])
        x = edge if x > edge else x
        entropy = x * (target if z[i] < 0 else <real>1 - target) + maths.softplus_tail(maths.far(z[i]))
        a[i] = maths.sigmoid(z[i])
        rest = maths.sigmoid(-z[i])
        values[i] = focus(target, a[i], rest, entropy, a[i] * rest, a[i] - target, numbers, &slope)
        if d != NULL:
            d[i] = factor * slope


cdef inline void values_and_slopes(
        Element which, const real* z, real* a, const real* y, real* d, real* values, Py_ssize_t n,
        const double* p, double scale, double epsilon) noexcept nogil:
    """values[i] = the element's value, and unless d is NULL d[i] = scale * its slope. p: the loss's own numbers."""
    cdef Py_ssize_t i
    cdef real error, inside, size, target
    cdef real factor = <real>scale, number = <real>p[0]
    if which == SIGMOID_BINARY:
        sigmoid_binary_elements(z, a, y, d, values, n, number, factor)
    elif which == BINARY:
        binary_elements(a, y, d, values, n, number, factor, epsilon)
    elif which == SQUARED_ERROR:
        factor = 2 * factor
        for i in range(n):
            error = a[i] - y[i]
            values[i] = error * error
            if d != NULL:
                d[i] = factor * error
    elif which == ABSOLUTE_ERROR:
        for i in range(n):
            error = a[i] - y[i]
            values[i] = maths.absolute(error)
            if d != NULL:
                d[i] = factor if error > 0 else (-factor if error < 0 else 0)
    elif which == HUBER:
        for i in range(n):
            error = a[i] - y[i]
            inside = number if error > number else error
            inside = -number if inside < -number else inside
            # 0.5 e^2 inside, delta (|e| - 0.5 delta) outside: the same product
            values[i] = inside * (error - <real>0.5 * inside)
            if d != NULL:
                d[i] = factor * inside
    elif which == PERCENTAGE_ERROR:
        factor = 100 * factor
        for i in range(n):
            error = a[i] - y[i]
            size = maths.absolute(y[i])
            size = <real>epsilon if size < <real>epsilon else size
            values[i] = 100 * (maths.absolute(error) / size)
            if d != NULL:
                d[i] = (factor if error > 0 else (-factor if error < 0 else 0)) / size
    elif which == LOGARITHMIC_ERROR:
        factor = 2 * factor
        for i in range(n):
            inside = <real>epsilon if a[i] < <real>epsilon else a[i]
            target = <real>epsilon if y[i] < <real>epsilon else y[i]
            error = maths.log((inside + <real>1) / (target + <real>1))
            values[i] = error * error
            if d != NULL:
                d[i] = factor * error / (inside + <real>1) if inside == a[i] else 0
    elif which == LOG_COSH:
        for i in range(n):
            error = a[i] - y[i]
            values[i] = maths.absolute(error) + (maths.softplus_tail(maths.far(2 * error)) - <real>LN2)
            if d != NULL:
                d[i] = factor * maths.tanh(error)
    elif which == POISSON:
        for i in range(n):
            inside = a[i] + <real>epsilon
            values[i] = maths.multiply_add(-y[i], maths.log(inside), a[i])
            if d != NULL:
                d[i] = factor * (<real>1 - y[i] / inside)
    elif which == PINBALL:
        for i in range(n):
            error = y[i] - a[i]
            values[i] = (number if error > 0 else number - <real>1) * error
            if d != NULL:
                d[i] = -factor * number if error > 0 else (factor * (<real>1 - number) if error < 0 else 0)
    elif which == HINGE:
        for i in range(n):
            target = <real>-1 if y[i] == 0 else y[i]
            inside = maths.multiply_add(-target, a[i], <real>1)
            values[i] = maths.ramp(inside)
            if d != NULL:
                d[i] = -factor * target if inside > 0 else 0
    elif which == SQUARED_HINGE:
        factor = -2 * factor
        for i in range(n):
            target = <real>-1 if y[i] == 0 else y[i]
            inside = maths.ramp(maths.multiply_add(-target, a[i], <real>1))
            values[i] = inside * inside
            if d != NULL:
                d[i] = factor * target * inside
    elif which == FOCAL:
        focal_elements(a, y, d, values, n, p, factor, epsilon)
    elif which == SIGMOID_FOCAL:
        sigmoid_focal_elements(z, a, y, d, values, n, p, factor)
