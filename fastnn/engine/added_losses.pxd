cimport cython
cimport fastnn.kernels.types as types
from fastnn.engine.objectives cimport Objectives


cdef struct AddedLoss:
    # What an op's output adds to the loss: numbers of its rows, each weighed, or a function of all of them.
    void* op
    void* python                        # the function, or NULL
    double total_weight                 # of the sum, of that of magnitudes, of that of squares
    double l1
    double l2
    bint mean                           # divided by the rows of the batch
    Py_ssize_t units                    # in a row
    double total                        # of the run's rows


cdef class AddedLosses(Objectives):
    cdef readonly tuple added           # as they were described
    cdef AddedLoss* added_losses
    cdef Py_ssize_t added_count
    cdef bint adds_by_batch             # what some of them add hangs on how rows are cut into batches
    cdef double* added_parts            # sums of blocks of rows, of each
    cdef types.penalty32 penalty

    @cython.final
    cdef void add_to_losses(self, Py_ssize_t k, Py_ssize_t count, Py_ssize_t r0, Py_ssize_t r1,
                            bint slopes) noexcept nogil

    @cython.final
    cdef void ask_function(self, Py_ssize_t k, Py_ssize_t count, bint slopes) noexcept nogil

    @cython.final
    cdef double sum_of_added(self, Py_ssize_t k, Py_ssize_t count, double total=*) noexcept nogil
