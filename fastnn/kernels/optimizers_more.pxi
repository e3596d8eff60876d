"""More optimizers: see optimizers.pxi."""

cimport libc.math as libc

cimport fastnn.kernels.maths as maths
from fastnn.kernels.types cimport make_optimizer, real, wide


cdef inline real sign(real x) noexcept nogil:
    """1, 0 or -1; NaN stays NaN."""
    return <real>1 if x > 0 else (<real>-1 if x < 0 else x)


cdef int one_slot(const double* p) noexcept nogil:
    return 1


cdef int two_slots(const double* p) noexcept nogil:
    return 2


cdef void adamax_step(
        real* w, const real* g, real* const* slots, Py_ssize_t n, double rate, double t,
        const double* p) noexcept nogil:
    """p: beta_1, beta_2, epsilon. slots: m, and u, the norm. A NaN gradient stays in m."""
    cdef Py_ssize_t i
    cdef real fresh = <real>(1 - p[0]), beta_2 = <real>p[1], epsilon = <real>p[2]
    cdef real lr = <real>(rate / (1 - libc.pow(p[0], t)))
    cdef real* m = slots[0]
    cdef real* u = slots[1]
    cdef real kept, size
    for i in range(n):
        m[i] = m[i] + fresh * (g[i] - m[i])
        kept = beta_2 * u[i]
        size = maths.absolute(g[i])
        u[i] = kept if kept > size else size
        w[i] = w[i] - lr * m[i] / (u[i] + epsilon)


cdef enum:
    WARM = 1024                         # 0.96^i / 2 is less than half an ulp of 1 from i = 900 on

cdef double[WARM] warmth                # warmth[t] = product over i = 1..t of 1 - 0.96^i / 2


cdef void fill_warmth() noexcept nogil:
    cdef int i
    warmth[0] = 1
    for i in range(1, WARM):
        warmth[i] = warmth[i - 1] * (1 - 0.5 * libc.pow(0.96, i))


fill_warmth()


cdef inline double momenta(double beta, double t) noexcept nogil:
    """Product of Nadam's first t momentum factors, beta * (1 - 0.96^i / 2)."""
    return libc.pow(beta, t) * warmth[<int>min(t, <double>(WARM - 1))]


cdef void nadam_step(
        real* w, const real* g, real* const* slots, Py_ssize_t n, double rate, double t,
        const double* p) noexcept nogil:
    """p: beta_1, beta_2, epsilon. slots: m, v. Dozat 2016, algorithm 8, with the momentum schedule of its section 3."""
    cdef Py_ssize_t i
    cdef real fresh_m = <real>(1 - p[0]), fresh_v = <real>(1 - p[1]), epsilon = <real>p[2]
    cdef double now = p[0] * (1 - 0.5 * libc.pow(0.96, t)), then = p[0] * (1 - 0.5 * libc.pow(0.96, t + 1))
    cdef real lr_m = <real>(rate * then / (1 - momenta(p[0], t + 1)))
    cdef real lr_g = <real>(rate * (1 - now) / (1 - momenta(p[0], t)))
    cdef real correction = <real>(1 / (1 - libc.pow(p[1], t)))
    cdef real* m = slots[0]
    cdef real* v = slots[1]
    for i in range(n):
        m[i] = m[i] + fresh_m * (g[i] - m[i])
        v[i] = v[i] + fresh_v * (g[i] * g[i] - v[i])
        w[i] = w[i] - maths.multiply_add(lr_m, m[i], lr_g * g[i]) / (maths.square_root(correction * v[i]) + epsilon)


cdef void schedule_free_adamw_step(
        real* w, const real* g, real* const* slots, Py_ssize_t n, double rate, double t,
        const double* p) noexcept nogil:
    """p: beta_1, beta_2, epsilon, warmup_steps. slots: z, which the gradients move, and v. Defazio et al. 2024.

    w is (1 - beta_1) z + beta_1 x, where x is the mean of all z so far; it is written here without x, which would have
    to be worked out of w and z by a division. z begins where the weights are.
    """
    cdef Py_ssize_t i
    cdef real lr = <real>(rate * min(t / p[3], 1.0) if p[3] > 0 else rate)
    cdef real fresh = <real>(1 - p[1]), epsilon = <real>p[2], correction = <real>(1 / (1 - libc.pow(p[1], t)))
    cdef real share = <real>(1 / t), weight = <real>(1 - p[0] + p[0] / t)
    cdef real* z = slots[0]
    cdef real* v = slots[1]
    cdef real move
    if t == 1:
        for i in range(n):
            z[i] = w[i]
    for i in range(n):
        v[i] = v[i] + fresh * (g[i] * g[i] - v[i])
        move = -lr * g[i] / (maths.square_root(correction * v[i]) + epsilon)
        w[i] = w[i] + maths.multiply_add(weight, move, share * (z[i] - w[i]))
        z[i] = z[i] + move


cdef void adagrad_step(
        real* w, const real* g, real* const* slots, Py_ssize_t n, double rate, double t,
        const double* p) noexcept nogil:
    """p: epsilon. slots: the sum of squared gradients."""
    cdef Py_ssize_t i
    cdef real lr = <real>rate, epsilon = <real>p[0]
    cdef real* total = slots[0]
    for i in range(n):
        total[i] = total[i] + g[i] * g[i]
        w[i] = w[i] - lr * g[i] / maths.square_root(total[i] + epsilon)


cdef void adadelta_step(
        real* w, const real* g, real* const* slots, Py_ssize_t n, double rate, double t,
        const double* p) noexcept nogil:
    """p: rho, epsilon. slots: averages of the squared gradients and of the squared steps."""
    cdef Py_ssize_t i
    cdef real lr = <real>rate, rho = <real>p[0], fresh = <real>(1 - p[0]), epsilon = <real>p[1]
    cdef real* gradients = slots[0]
    cdef real* steps = slots[1]
    cdef real step
    for i in range(n):
        gradients[i] = maths.multiply_add(fresh * g[i], g[i], rho * gradients[i])
        step = maths.square_root(steps[i] + epsilon) * g[i] / maths.square_root(gradients[i] + epsilon)
        steps[i] = maths.multiply_add(fresh * step, step, rho * steps[i])
        w[i] = w[i] - lr * step


cdef void lion_step(
        real* w, const real* g, real* const* slots, Py_ssize_t n, double rate, double t,
        const double* p) noexcept nogil:
    """p: beta_1, beta_2. slots: momentum."""
    cdef Py_ssize_t i
    cdef real lr = <real>rate, beta_1 = <real>p[0], beta_2 = <real>p[1]
    cdef real fresh_1 = <real>(1 - p[0]), fresh_2 = <real>(1 - p[1])
    cdef real* m = slots[0]
    for i in range(n):
        w[i] = w[i] - lr * sign(maths.multiply_add(beta_1, m[i], fresh_1 * g[i]))
        m[i] = maths.multiply_add(beta_2, m[i], fresh_2 * g[i])


cdef inline real raised(real x, real power, bint rooted) noexcept nogil:
    """x^power for x >= 0, and 0 for 0; rooted: the power is 1/2."""
    if rooted:
        return maths.square_root(x)
    cdef real y = maths.exp(power * maths.log(x))
    return x if x == 0 else y


cdef inline void ftrl_loop(
        real* w, const real* g, real* total, real* linear, Py_ssize_t n, real lr, real power, bint rooted,
        real l1, real l2, real shrinkage) noexcept nogil:
    cdef Py_ssize_t i
    cdef real square, before, after, growth, line, kept, left
    for i in range(n):
        square = g[i] * g[i]
        before = raised(total[i], power, rooted) / lr
        total[i] = maths.multiply_add(g[i], g[i], total[i])
        after = raised(total[i], power, rooted) / lr
        # After a small gradient the two roots are alike, and their difference nothing but what they were rounded by.
        growth = square / (after + before) / (lr * lr) if rooted else after - before
        growth = growth if total[i] > 0 else 0
        line = linear[i] + maths.multiply_add(-growth, w[i], maths.multiply_add(shrinkage, w[i], g[i]))
        linear[i] = line
        kept = line if line < l1 else l1
        kept = kept if kept > -l1 else -l1
        left = kept - line
        # A weight that never had a gradient has 0 / 0 here: it is 0, as all are that l1 holds.
        w[i] = left if left == 0 else left / (after + l2)


cdef void ftrl_step(
        real* w, const real* g, real* const* slots, Py_ssize_t n, double rate, double t,
        const double* p) noexcept nogil:
    """p: learning_rate_power, l1, l2, l2_shrinkage, beta. slots: the sum of squared gradients, and linear."""
    cdef double l2 = 2 * p[2] + p[4] / rate
    if p[0] == -0.5:
        ftrl_loop(w, g, slots[0], slots[1], n, <real>rate, <real>0.5, True, <real>p[1], <real>l2, <real>(2 * p[3]))
    else:
        ftrl_loop(w, g, slots[0], slots[1], n, <real>rate, <real>-p[0], False, <real>p[1], <real>l2, <real>(2 * p[3]))


cdef void rprop_step(
        real* w, const real* g, real* const* slots, Py_ssize_t n, double rate, double t,
        const double* p) noexcept nogil:
    """p: the factors that shrink and grow a step, the least and the largest step. slots: last gradient, steps.

    The rate was what the steps started at. After a change of sign the weight stays, and the gradient is forgotten.
    """
    cdef Py_ssize_t i
    cdef real shrink = <real>p[0], grow = <real>p[1], least = <real>p[2], most = <real>p[3]
    cdef real* last = slots[0]
    cdef real* steps = slots[1]
    cdef real turn, factor, step, slope
    for i in range(n):
        turn = sign(g[i]) * sign(last[i])
        factor = grow if turn > 0 else <real>1
        factor = shrink if turn < 0 else factor
        step = steps[i] * factor
        step = step if step > least else least
        step = step if step < most else most
        slope = <real>0 if turn < 0 else g[i]
        steps[i] = step
        last[i] = slope
        w[i] = w[i] - sign(slope) * step


make_optimizer(made, "adamax", adamax_step[float], wide(adamax_step[double]), two_slots)
make_optimizer(made, "nadam", nadam_step[float], wide(nadam_step[double]), two_slots)
make_optimizer(
    made, "schedule_free_adamw", schedule_free_adamw_step[float], wide(schedule_free_adamw_step[double]), two_slots)
make_optimizer(made, "adagrad", adagrad_step[float], wide(adagrad_step[double]), one_slot)
make_optimizer(made, "adadelta", adadelta_step[float], wide(adadelta_step[double]), two_slots)
make_optimizer(made, "lion", lion_step[float], wide(lion_step[double]), one_slot)
make_optimizer(made, "ftrl", ftrl_step[float], wide(ftrl_step[double]), two_slots)
make_optimizer(made, "rprop", rprop_step[float], wide(rprop_step[double]), two_slots)
