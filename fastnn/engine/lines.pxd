"""A batch's lines: which targets a loss and the metrics beside it have a meaning for, and which lines are there."""

from libc.math cimport isfinite
from libc.stdint cimport uint32_t


cdef struct Bounds:
    # From low to high, and where whole is set without a fraction; limited says that there are others.
    float low
    float high
    bint whole
    bint limited


cdef inline bint all_finite(const float* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if not isfinite(x[i]):
            return False
    return True


cdef inline Py_ssize_t row_of(const uint32_t* order, Py_ssize_t place) noexcept nogil:
    """The row of the page that stands at a place of its order."""
    return order[place] if order != NULL else place


cdef inline bint all_are_0(const float* weight, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if weight[i] != 0:
            return False
    return True


cdef inline double sum_of(const float* weight, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(n):
        total += weight[i]
    return total


cdef inline Py_ssize_t count_of(const float* mask, Py_ssize_t n) noexcept nogil:
    """How many are not 0."""
    cdef Py_ssize_t i, count = 0
    for i in range(n):
        count += mask[i] != 0
    return count


cdef inline bint all_meant(const Bounds* bounds, const float* y, Py_ssize_t n) noexcept nogil:
    """Whether all of them are within the bounds; NaN never is."""
    cdef Py_ssize_t i
    cdef int bad = 0
    for i in range(n):
        bad |= not (y[i] >= bounds.low and y[i] <= bounds.high)
    if bounds.whole and not bad:        # and low and high are no more than an integer holds
        for i in range(n):
            bad |= y[i] != <float><Py_ssize_t>y[i]
    return bad == 0


cdef inline bint lines_are_meant(const Bounds* bounds, const float* y, const float* weight, bint all_count,
                                 Py_ssize_t lines, Py_ssize_t targets) noexcept nogil:
    """Whether all lines of targets are; but for those that weigh 0, unless all count."""
    cdef Py_ssize_t line
    if all_count:
        return all_meant(bounds, y, lines * targets)
    for line in range(lines):
        if weight[line] != 0 and not all_meant(bounds, y + line * targets, targets):
            return False
    return True


cdef inline void note_present(const Bounds* bounds, const float* y, const float* weight, float* present,
                              bint hidden, Py_ssize_t lines, Py_ssize_t targets) noexcept nogil:
    """1 for each line that a metric can read: all but those that weigh 0 and whose x, which is hidden, or y is none."""
    cdef Py_ssize_t line
    cdef const float* own
    for line in range(lines):
        own = y + line * targets
        present[line] = not (weight[line] == 0 and (
            hidden or not all_finite(own, targets) or (bounds.limited and not all_meant(bounds, own, targets))))
