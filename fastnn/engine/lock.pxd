cdef class Lock:
    cdef readonly unsigned long long number     # in the order in which locks were made
    cdef public int runs                        # networks that run in the thread that holds it
    cdef long long writes                       # of weights, by others than the networks
    cdef unsigned long owner                    # that thread, 0 for none
    cdef int depth                              # how often it has taken it
    cdef int forks                              # before it was last taken
    cdef list waiting                           # (a lock of Python's that is held, the thread) in their order

    cdef int acquire(self) except -1
    cdef int release(self) except -1
    cdef int wait(self, unsigned long me) except -1
