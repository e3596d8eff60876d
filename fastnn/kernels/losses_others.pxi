"""More losses whose row value is the mean of its elements' values: see losses_elementwise.pxi."""

cimport fastnn.kernels.maths as maths
from fastnn.kernels.types cimport make_loss, real, wide

cdef double LN2 = 0.69314718055994530942


cdef inline real percentage_error_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real error = a - y, size = maths.absolute(y), most = 100 * factor
    size = <real>EPSILON if size < <real>EPSILON else size
    slope[0] = (most if error > 0 else (-most if error < 0 else 0)) / size
    return 100 * (maths.absolute(error) / size)


cdef inline real logarithmic_error_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real inside = <real>EPSILON if a < <real>EPSILON else a
    cdef real target = <real>EPSILON if y < <real>EPSILON else y
    cdef real error = maths.log((inside + <real>1) / (target + <real>1))
    slope[0] = <real>2 * factor * error / (inside + <real>1) if inside == a else 0
    return error


cdef inline real log_cosh_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real error = a - y
    slope[0] = factor * maths.tanh(error)
    return maths.absolute(error) + (maths.softplus_tail(maths.far(2 * error)) - <real>LN2)


cdef inline real poisson_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real inside = a + <real>EPSILON
    slope[0] = factor * (<real>1 - y / inside)
    return maths.multiply_add(-y, maths.log(inside), a)


cdef inline real pinball_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real error = y - a, quantile = <real>p[0]
    slope[0] = -factor * quantile if error > 0 else (factor * (<real>1 - quantile) if error < 0 else 0)
    return (quantile if error > 0 else quantile - <real>1) * error


cdef inline real hinge_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real target = <real>-1 if y == 0 else y
    cdef real inside = maths.multiply_add(-target, a, <real>1)
    slope[0] = -factor * target if inside > 0 else 0
    return maths.ramp(inside)


cdef inline real squared_hinge_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real target = <real>-1 if y == 0 else y
    cdef real inside = maths.ramp(maths.multiply_add(-target, a, <real>1))
    slope[0] = <real>-2 * factor * target * inside
    return inside


cdef inline real focus(
        real target, real q, real rest, real entropy, real slope_of_q, real slope_of_entropy, const double* p,
        real* slope) noexcept nogil:
    """balance * f^gamma * entropy, f = target (1 - q) + (1 - target) q, and its slope; rest = 1 - q.

    p: the smoothing, gamma, the weight of a target of 1, and of one of 0.
    """
    cdef real tiny = <real>1e-37                                    # log(0) times 0 must not be NaN
    cdef real opposite = <real>1 - target, gamma = <real>p[1]
    cdef real balance = maths.multiply_add(target, <real>p[2], opposite * <real>p[3])
    cdef real f = maths.multiply_add(target, rest, opposite * q)
    f = tiny if f < tiny else f
    cdef real power = maths.exp(gamma * maths.log(f)) * balance
    cdef real steepness = gamma * power / f * (opposite - target) * slope_of_q
    slope[0] = maths.multiply_add(steepness, entropy, power * slope_of_entropy)
    return power * entropy


cdef inline real focal_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real target = smoothed(y, p[0]), low = <real>EPSILON, high = <real>(1 - EPSILON), steep
    cdef real q = low if a < low else a
    q = high if q > high else q
    cdef real rest = <real>1 - q
    cdef real entropy = -maths.multiply_add(target, maths.log(q), (<real>1 - target) * maths.log(rest))
    cdef real value = focus(target, q, rest, entropy, <real>1, (q - target) / (q * rest), p, &steep)
    slope[0] = factor * steep if q == a else 0
    return value


cdef inline real sigmoid_focal_element(real a, real y, const double* p, real factor, real* slope) noexcept nogil:
    cdef real target = smoothed(y, p[0]), q = maths.sigmoid(a), rest = maths.sigmoid(-a), steep
    cdef real value = focus(target, q, rest, softplus_less(a, target), q * rest, q - target, p, &steep)
    slope[0] = factor * steep
    return value


cdef double percentage_error_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(percentage_error_element[real], False, False, z, a, y, weight, d, p, rows, units, scale)


cdef double logarithmic_error_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(logarithmic_error_element[real], False, True, z, a, y, weight, d, p, rows, units, scale)


cdef double log_cosh_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(log_cosh_element[real], False, False, z, a, y, weight, d, p, rows, units, scale)


cdef double poisson_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(poisson_element[real], False, False, z, a, y, weight, d, p, rows, units, scale)


cdef double pinball_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(pinball_element[real], False, False, z, a, y, weight, d, p, rows, units, scale)


cdef double hinge_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(hinge_element[real], False, False, z, a, y, weight, d, p, rows, units, scale)


cdef double squared_hinge_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(squared_hinge_element[real], False, True, z, a, y, weight, d, p, rows, units, scale)


cdef double binary_focal_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(focal_element[real], False, False, z, a, y, weight, d, p, rows, units, scale)


cdef double sigmoid_focal_rows(
        const real* z, real* a, const real* y, const real* weight, real* d, const double* p,
        Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    return elementwise(sigmoid_focal_element[real], True, False, z, a, y, weight, d, p, rows, units, scale)


make_loss(made, "mean_absolute_percentage_error", percentage_error_rows[float], wide(percentage_error_rows[double]))
make_loss(made, "mean_squared_logarithmic_error", logarithmic_error_rows[float], wide(logarithmic_error_rows[double]))
make_loss(made, "log_cosh", log_cosh_rows[float], wide(log_cosh_rows[double]))
make_loss(made, "poisson", poisson_rows[float], wide(poisson_rows[double]))
make_loss(made, "pinball", pinball_rows[float], wide(pinball_rows[double]))
make_loss(made, "hinge", hinge_rows[float], wide(hinge_rows[double]))
make_loss(made, "squared_hinge", squared_hinge_rows[float], wide(squared_hinge_rows[double]))
make_loss(made, "binary_focal_crossentropy", binary_focal_rows[float], wide(binary_focal_rows[double]))
make_loss(made, "sigmoid_binary_focal_crossentropy", sigmoid_focal_rows[float], wide(sigmoid_focal_rows[double]))
