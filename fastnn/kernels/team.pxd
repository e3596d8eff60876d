# A job runs once on each thread: job(argument, thread, threads).
ctypedef void (*Job)(void*, int, int) noexcept nogil

cdef int recruit(int wanted) except -1
cdef void dismiss(int threads) noexcept nogil
cdef void run(Job work, void* argument, int threads) noexcept nogil
cdef void barrier(int thread, int threads) noexcept nogil
cdef int forks() noexcept nogil
cdef bint begin_turn() noexcept nogil
cdef bint end_turn() noexcept nogil


cdef inline Py_ssize_t share_begin(Py_ssize_t n, Py_ssize_t grain, int thread, int threads) noexcept nogil:
    """Where a thread's share of n things begins, in whole grains; the next thread's is its end."""
    return min(n, (n + grain - 1) // grain * thread // threads * grain)
