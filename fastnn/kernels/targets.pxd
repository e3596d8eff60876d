# What losses and metrics share: the weight of a row, its label, and the slopes of a row that counts for nothing.

from fastnn.kernels.types cimport real


cdef inline double weight_of(const real* weight, Py_ssize_t row) noexcept nogil:
    return 1.0 if weight == NULL else weight[row]


cdef inline void clear(real* d, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t j
    if d != NULL:
        for j in range(units):
            d[j] = 0


cdef inline Py_ssize_t class_of(real label, Py_ssize_t units) noexcept nogil:
    """The class that a label names, or -1."""
    if not (label >= 0 and label < units):
        return -1
    cdef Py_ssize_t number = <Py_ssize_t>label
    return number if number == label else -1
