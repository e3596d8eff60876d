# A job runs once on each member: job(argument, member, members).
ctypedef void (*Job)(void*, int, int) noexcept nogil

cdef int recruit(int wanted) except -1
cdef void dismiss(int members) noexcept nogil
cdef void run(Job work, void* argument, int members) noexcept nogil
cdef void barrier(int member, int members) noexcept nogil
cdef int forks() noexcept nogil


cdef inline Py_ssize_t share_begin(Py_ssize_t n, Py_ssize_t grain, int member, int members) noexcept nogil:
    """Where a member's share of n things begins, in whole grains; the next member's is its end."""
    return min(n, (n + grain - 1) // grain * member // members * grain)
