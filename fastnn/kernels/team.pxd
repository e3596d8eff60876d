# A job runs once on each member: job(argument, member, members).
ctypedef void (*Job)(void*, int, int) noexcept nogil

cdef int recruit(int wanted) except -1
cdef void dismiss(int members) noexcept nogil
cdef void run(Job work, void* argument, int members) noexcept nogil
cdef void barrier(int member, int members) noexcept nogil
cdef int forks() noexcept nogil
