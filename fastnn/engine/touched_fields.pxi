# What a SparseLearning holds: network.pxd includes it.

cdef struct Table:
    # A variable that is `sparse`.
    Variable* variable
    Py_ssize_t op                       # the first of those that have it
    Py_ssize_t depth
    Py_ssize_t touches                  # rows of it, at most, of a row of the network
    Py_ssize_t first_block              # of its own
    Py_ssize_t block_stop
    Touched* lists                      # of each thread: of the batch, and of an op where that adds to others'


cdef class SparseLearning(Learning):
    cdef Table* tables
    cdef list lists                     # the memory of all
    cdef Py_ssize_t listed_rows         # of a batch, and threads, that there is room for
    cdef int listed_threads
    cdef Py_ssize_t touches             # numbers of tables, at most, that a row of the network touches
    cdef types.vector32 sum_of_squares

    cdef int clear_tables(self) except -1
    cdef int find_tables(self) except -1
    cdef int choose_blocks(self, bint sparse) except -1
    cdef object table_not_finite(self)
    cdef int reserve_lists(self, Py_ssize_t rows, int threads) except -1

    @cython.final
    cdef void find_touched(self, const Step* step, int thread, int threads) noexcept nogil

    @cython.final
    cdef void square_touched(self, int thread, int threads) noexcept nogil
