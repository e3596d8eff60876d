"""Optimizers: one step over a slice of the flat parameter vector, in one pass.

w       (n,) parameters, updated
g       (n,) gradient
slots   pointers to the optimizer's own vectors, each (n,), updated; as many as its configuration needs
rate    learning rate
t       this step's number, counted from 1; what depends on t alone is worked out once, in float64
p       the optimizer's numbers, in the order that its class in fastnn/optimizers/ gives

The formulas are Keras's, to the place of epsilon; Rprop's are PyTorch's. Weight decay, clipping and averages of the
weights belong to no rule: the engine does them around each.
"""

cimport libc.math as libc

cimport fastnn.kernels.maths as maths
from fastnn.kernels.types cimport make_optimizer, real, wide


cdef int sgd_slots(const double* p) noexcept nogil:
    return p[0] != 0


cdef void sgd_step(
        real* w, const real* g, real* const* slots, Py_ssize_t n, double rate, double t,
        const double* p) noexcept nogil:
    """p: momentum, nesterov. velocity = momentum * velocity - rate * g; w += velocity."""
    cdef Py_ssize_t i
    cdef real lr = <real>rate, momentum = <real>p[0]
    cdef real* velocity
    cdef real v
    if momentum == 0:
        for i in range(n):
            w[i] = w[i] - lr * g[i]
        return
    velocity = slots[0]
    if p[1] != 0:
        for i in range(n):
            v = maths.multiply_add(-lr, g[i], momentum * velocity[i])
            velocity[i] = v
            w[i] = w[i] + maths.multiply_add(-lr, g[i], momentum * v)
    else:
        for i in range(n):
            v = maths.multiply_add(-lr, g[i], momentum * velocity[i])
            velocity[i] = v
            w[i] = w[i] + v


cdef int rmsprop_slots(const double* p) noexcept nogil:
    return 1 + (p[1] != 0) + (p[3] != 0)


cdef inline void rmsprop_slices(
        bint moving, bint centered, real* w, const real* g, real* velocity, real* heap, real* average, Py_ssize_t n,
        real lr, real rho, real fresh, real momentum, real epsilon) noexcept nogil:
    """moving, centered: constants where this is called. Asked in the loop, they would become masks, and a masked access
    to an array that is not there is slower than all else."""
    cdef Py_ssize_t i
    cdef real spread, step
    for i in range(n):
        velocity[i] = maths.multiply_add(fresh * g[i], g[i], rho * velocity[i])
        spread = velocity[i]
        if centered:
            average[i] = maths.multiply_add(fresh, g[i], rho * average[i])
            spread = spread - average[i] * average[i]
            # A variance; where the gradient stays the same, rounding alone would take it below 0.
            spread = 0 if spread < 0 else spread
        step = lr * g[i] / maths.square_root(spread + epsilon)
        if moving:
            step = momentum * heap[i] + step
            heap[i] = step
        w[i] = w[i] - step


cdef void rmsprop_step(
        real* w, const real* g, real* const* slots, Py_ssize_t n, double rate, double t,
        const double* p) noexcept nogil:
    """p: rho, momentum, epsilon, centered. slots: velocity, then momentum's and the average gradient where used."""
    cdef real lr = <real>rate, rho = <real>p[0], momentum = <real>p[1], epsilon = <real>p[2]
    cdef real fresh = <real>(1 - p[0])
    if p[1] == 0 and p[3] == 0:
        rmsprop_slices(False, False, w, g, slots[0], NULL, NULL, n, lr, rho, fresh, momentum, epsilon)
    elif p[1] == 0:
        rmsprop_slices(False, True, w, g, slots[0], NULL, slots[1], n, lr, rho, fresh, momentum, epsilon)
    elif p[3] == 0:
        rmsprop_slices(True, False, w, g, slots[0], slots[1], NULL, n, lr, rho, fresh, momentum, epsilon)
    else:
        rmsprop_slices(True, True, w, g, slots[0], slots[1], slots[2], n, lr, rho, fresh, momentum, epsilon)


cdef inline double grown(double beta, double t) noexcept nogil:
    """1 - beta^t, what a moving average has of its numbers after t steps; a power below 2^-54 is not asked for."""
    return 1 if t * (1 - beta) > 38 else 1 - libc.pow(beta, t)


cdef int adam_slots(const double* p) noexcept nogil:
    return 2 + (p[3] != 0)


cdef void adam_step(
        real* w, const real* g, real* const* slots, Py_ssize_t n, double rate, double t,
        const double* p) noexcept nogil:
    """p: beta_1, beta_2, epsilon, amsgrad. slots: m, v, and the largest v where amsgrad asks for it.

    Kingma and Ba 2015, end of section 2: the bias corrections go into the step size, and epsilon stands beside the
    uncorrected sqrt(v).
    """
    cdef Py_ssize_t i
    cdef real fresh_m = <real>(1 - p[0]), fresh_v = <real>(1 - p[1]), epsilon = <real>p[2]
    cdef real lr = <real>(rate * libc.sqrt(grown(p[1], t)) / grown(p[0], t))
    cdef real* m = slots[0]
    cdef real* v = slots[1]
    cdef real* top
    cdef real mean, square
    if p[3] != 0:
        top = slots[2]
        for i in range(n):
            mean = m[i] + fresh_m * (g[i] - m[i])
            square = v[i] + fresh_v * (g[i] * g[i] - v[i])
            m[i] = mean
            v[i] = square
            top[i] = square if square > top[i] else top[i]
            w[i] = w[i] - lr * mean / (maths.square_root(top[i]) + epsilon)
    else:
        for i in range(n):
            mean = m[i] + fresh_m * (g[i] - m[i])
            square = v[i] + fresh_v * (g[i] * g[i] - v[i])
            m[i] = mean
            v[i] = square
            w[i] = w[i] - lr * mean / (maths.square_root(square) + epsilon)


make_optimizer(made, "sgd", sgd_step[float], wide(sgd_step[double]), sgd_slots)
make_optimizer(made, "rmsprop", rmsprop_step[float], wide(rmsprop_step[double]), rmsprop_slots)
make_optimizer(made, "adam", adam_step[float], wide(adam_step[double]), adam_slots)
