from fastnn.kernels.kernel cimport Kernel

# a (output), y, weight (or NULL), state (added to), p (the metric's numbers, as many as it has), rows, units, targets
ctypedef void (*tally32)(
    const float*, const float*, const float*, double*, const double*,
    Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
ctypedef void (*tally64)(
    const double*, const double*, const double*, double*, const double*,
    Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil

# p, units, targets -> doubles of the state
ctypedef Py_ssize_t (*tally_size)(const double*, Py_ssize_t, Py_ssize_t) noexcept nogil


cdef class TallyKernel(Kernel):
    cdef tally32 update32
    cdef tally64 update64
    cdef tally_size size_of

    @staticmethod
    cdef TallyKernel make(str name, tally32 update32, tally64 update64, tally_size size_of)
