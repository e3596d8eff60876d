# What losses and metrics share: the weight of a row, its label, and the slopes of rows by their weights.

from fastnn.kernels.types cimport real


cdef inline double weight_of(const real* weight, Py_ssize_t row) noexcept nogil:
    return 1.0 if weight == NULL else weight[row]


cdef inline void clear(real* d, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t j
    if d != NULL:
        for j in range(units):
            d[j] = 0


cdef inline void weigh(
        const real* a, real* d, const real* weight, Py_ssize_t rows, Py_ssize_t units, double scale) noexcept nogil:
    """d = scale * weight * a. Rows of weight 0 become 0, whatever they hold."""
    cdef Py_ssize_t row, i
    cdef real factor
    if weight == NULL:
        factor = <real>scale
        for i in range(rows * units):
            d[i] = factor * a[i]
        return
    for row in range(rows):
        if weight[row] == 0:
            clear(d + row * units, units)
        else:
            factor = <real>(scale * weight[row])
            for i in range(row * units, (row + 1) * units):
                d[i] = factor * a[i]


cdef inline Py_ssize_t class_of(real label, Py_ssize_t units) noexcept nogil:
    """The class that a label names, or -1."""
    if not (label >= 0 and label < units):
        return -1
    cdef Py_ssize_t number = <Py_ssize_t>label
    return number if number == label else -1
