# What a Linked network holds: network.pxd includes it.

cdef enum Kind:
    OF_ROWS
    OF_BLOCKS                           # of rows
    OF_PARAMETERS                       # a number for each block of them
    OF_VECTOR                           # the numbers of these blocks in a flat vector


cdef struct Given:
    # What each process has a part of, and gives the others.
    char* at
    Py_ssize_t size                     # bytes of a row, or of a block
    Kind kind


cdef class Linked(PythonUnits):
    cdef object link                    # to the other processes, or None
    cdef int rank
    cdef int ranks
    cdef Py_ssize_t link_rows           # of a batch, for which the parameters are shared out
    cdef Py_ssize_t* first_blocks       # of each rank's share of the parameters, and the end
    cdef Given* given_list              # what is given at the barriers of the rows
    cdef Py_ssize_t* list_starts        # of each barrier, in that list: see `make_lists`
    cdef Py_ssize_t barrier_number      # of these barriers, which the threads are at
    cdef Py_ssize_t rows_there          # of the batch or its part
    cdef object box                     # what goes from process to process
    cdef bint cut                       # the link is broken
    cdef Run* job

    cdef int find_shares(self) except -1
    cdef Py_ssize_t add_given(self, Py_ssize_t n, void* at, Py_ssize_t size, Kind kind) noexcept
    cdef Py_ssize_t add_shared(self, Py_ssize_t n, Py_ssize_t i, Before when) except -1
    cdef Py_ssize_t add_output(self, Py_ssize_t n, Op op) noexcept
    cdef Py_ssize_t add_masks(self, Py_ssize_t n) noexcept
    cdef int make_lists(self, Run* job) except -1
    cdef Py_ssize_t part_of(self, int rank, const Given* given, Py_ssize_t n, char* box, int way) noexcept nogil
    cdef int give(self, const Given* given, Py_ssize_t n, int status) noexcept with gil
    cdef int give_vector(self, float* vector) noexcept nogil
    cdef void exchange(self, Barrier number) noexcept nogil
    cdef void share_rows(self, Py_ssize_t rows, int thread, int threads, Py_ssize_t* r0, Py_ssize_t* r1) noexcept nogil
    cdef void collect_others(self, const Rows* rows, Py_ssize_t start, Py_ssize_t n, int thread, int threads
                             ) noexcept nogil

    @cython.final
    cdef inline void meet(self, Py_ssize_t number, int thread, int threads) noexcept nogil:
        """Wait at a barrier of the rows: 2 * segment before a whole-batch op on its way, or 1 more on its way back."""
        if threads > 1 or self.linked:
            if thread == 0:
                self.barrier_number = number
            self.wait_for_all(ROWS, thread, threads)
