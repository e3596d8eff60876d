# The lock of a flat vector of weights: one thread at a time runs on them, reads or writes them.

cdef double LOOK = 0.05                 # seconds between looks for Ctrl-C
cdef unsigned long long made = 0


cdef class Lock:
    """`with lock:` holds it; the thread that does may take it again.

    Threads have it in the order in which they asked: one that trains in a loop does not keep the others out. Who waits
    does so without the GIL, and answers Ctrl-C. All of it is under the GIL, so it needs no lock of its own. In a child
    process, no thread but the one that forked has it.
    """

    def __cinit__(self):
        global made
        made += 1
        self.number, self.forks, self.waiting = made, forks(), []

    cdef int acquire(self) except -1:
        cdef unsigned long me = PyThread_get_thread_ident()
        if self.forks != forks():
            self.forks, self.waiting, self.asked = forks(), [], 0
            if self.owner != me:
                self.owner = self.depth = self.runs = 0
        if self.owner == me:
            self.depth += 1
            return 0
        if self.owner != 0:
            self.wait(me)
            return 0
        self.owner, self.depth = me, 1
        return 0

    cdef int release(self) except -1:
        self.depth -= 1
        if self.depth:
            return 0
        self.owner = 0
        if self.waiting:
            mine, thread = self.waiting.pop(0)
            self.asked -= 1
            self.owner, self.depth = thread, 1
            mine.release()
        return 0

    cdef int wait(self, unsigned long me) except -1:
        """Until the thread that releases the lock gives it to this one."""
        mine = allocate_lock()
        mine.acquire()
        ticket = (mine, me)
        self.waiting.append(ticket)
        self.asked += 1
        try:
            while not mine.acquire(True, LOOK):
                PyErr_CheckSignals()
        except BaseException:
            if ticket in self.waiting:
                self.waiting.remove(ticket)
                self.asked -= 1
            else:                       # it has been given meanwhile
                self.release()
            raise
        return 0

    def __enter__(self):
        self.acquire()

    def __exit__(self, kind, error, trace):
        self.release()


cdef class Held:
    """`with Held(find):` holds all locks that find() gives, in the order of their numbers.

    What find() goes by may change while this thread waits; then it asks again.
    """

    cdef object find
    cdef list locks

    def __init__(self, find):
        self.find = find

    cdef list found(self):
        locks = self.find()
        return list(locks) if len(locks) < 2 else sorted(set(locks), key=_number)

    def __enter__(self):
        cdef list held, wanted = self.found()
        while True:
            held = []
            try:
                for lock in wanted:
                    (<Lock?>lock).acquire()
                    held.append(lock)
                wanted = self.found()
            except BaseException:
                _release(held)
                raise
            if wanted == held:
                self.locks = held
                return self
            _release(held)

    def __exit__(self, kind, error, trace):
        held, self.locks = self.locks, None
        _release(held)

    def is_current(self):
        """Whether these are the locks still that find() gives."""
        return self.found() == self.locks

    def assign(self, targets, arrays):
        """Copy arrays into weights of the same shapes: all of them, even where Ctrl-C comes meanwhile."""
        for lock in self.locks:
            (<Lock?>lock).writes += 1
        for target, array in zip(targets, arrays, strict=True):
            target[...] = array


def _number(Lock lock not None):
    return lock.number


cdef int _release(list held) except -1:
    for lock in reversed(held):
        (<Lock?>lock).release()
    return 0
