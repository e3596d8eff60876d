# cython: binding=True
"""The team: threads that share a job and wait for one another at barriers. They sleep while there is nothing to do.

A process has one team. A run recruits threads of it, runs jobs on them and dismisses them; a run that finds the team
taken works alone, so two fits at once share the processor instead of fighting over it. The calling thread is number 0.
Threads are started when they are first asked for. They belong to the process that started them: a child after a fork
starts its own.

A waiting thread looks at a number for a while (a barrier among running threads takes about a third of a microsecond)
and then sleeps on its bell, a lock that is held until another thread rings.
"""

from libc.stdlib cimport free, malloc
from libc.string cimport memset

from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_release_lock, PyThread_type_lock, WAIT_LOCK,
)

import os

from fastnn._checks import shown
from fastnn.kernels import cores


cdef extern from "atomics.h" nogil:
    int atomic_read(int* p)
    int atomic_swap(int* p, int value)      # gives what was there
    int atomic_add(int* p, int value)       # likewise
    void pause_briefly()


cdef extern from "processor.h" nogil:
    int current_processor()
    void leave_processor(int processor)
    void keep_off(unsigned long thread, int processor)


cdef extern from "denormals.h" nogil:
    unsigned long long flush_denormals()


cdef extern from "pythread.h" nogil:
    unsigned long PyThread_get_thread_ident()
    int PyThread_acquire_lock_timed(PyThread_type_lock lock, long long microseconds, int interrupted)
    int PY_LOCK_ACQUIRED
    unsigned long PyThread_start_new_thread(void (*function)(void*) noexcept, void* argument)
    unsigned long PYTHREAD_INVALID_THREAD_ID


cdef enum:
    MAX_THREADS = 256
    MAX_PROCESSORS = 1024
    TURN = 5000                         # microseconds that a thread waits for its turn, as long as for the GIL
    SPINS = 2000                        # looks before a thread that has no job sleeps, 20 to 80 us
    BARRIER_SPINS = 10000               # and at a barrier: longer than it takes to wake one


cdef struct Thread:
    PyThread_type_lock bell
    unsigned long ident
    int asleep
    int jobs                            # handed to it so far
    int number
    char apart[128 - 28]                # threads do not share a cache line


cdef struct Team:
    Thread* threads
    int started                         # the caller counts as one
    int taken
    int arrived                         # at the barrier
    int barriers                        # passed so far
    int spins                           # whether its threads look for a while before they sleep
    Job work
    void* argument
    int size                            # threads of the job that runs
    int processor                       # of the caller, which the others keep off; -1: none, -2: not known


cdef Team* team = NULL
cdef int limit = 0                      # threads that a job may use; 0: not decided yet
limit_is_chosen = False                # by the user, so that a fork keeps it
cdef int alone = 0                      # more than 0: each call uses one thread, as so many run side by side
cdef int processors = 0                 # for them
cdef int runs_on[MAX_PROCESSORS]        # how many of them run on each
cdef PyThread_type_lock turn = NULL     # of those that are in Python, and begin and end such calls
cdef unsigned long turn_of = 0          # the thread that has it
cdef unsigned long turn_before = 0      # that had it last, and its processor
cdef int turn_on = -1
cdef int fork_count = 0


cdef int forks() noexcept nogil:
    """How many forks lie between the start of Python and this process: a lock taken before the last may never open."""
    return fork_count


cdef void ring(Thread* thread) noexcept nogil:
    if atomic_swap(&thread.asleep, 0):
        PyThread_release_lock(thread.bell)


cdef void wait_for_change(int* number, int old, Thread* me, int spins) noexcept nogil:
    spins = spins if atomic_read(&team.spins) else 0
    while spins > 0:
        if atomic_read(number) != old:
            return
        pause_briefly()
        spins -= 1
    while atomic_read(number) == old:
        atomic_swap(&me.asleep, 1)
        # A thread that changes the number after this look rings; one that has changed it before may have rung already.
        if atomic_read(number) == old or not atomic_swap(&me.asleep, 0):
            PyThread_acquire_lock(me.bell, WAIT_LOCK)


cdef void barrier(int thread, int threads) noexcept nogil:
    """Wait until every thread of the running job is here; all that was written before is then seen by all."""
    cdef int i, passed
    if threads == 1:
        return
    passed = atomic_read(&team.barriers)
    if atomic_add(&team.arrived, 1) + 1 < threads:
        wait_for_change(&team.barriers, passed, &team.threads[thread], BARRIER_SPINS)
        return
    atomic_swap(&team.arrived, 0)
    atomic_add(&team.barriers, 1)
    for i in range(threads):
        if i != thread:
            ring(&team.threads[i])


cdef void serve(void* argument) noexcept nogil:
    """The life of a thread of the team."""
    cdef Thread* me = <Thread*>argument
    cdef int done = 0
    flush_denormals()
    while True:
        wait_for_change(&me.jobs, done, me, SPINS)
        done += 1
        team.work(team.argument, me.number, team.size)
        barrier(me.number, team.size)


cdef bint begin_turn() noexcept nogil:
    """Wait for the turn, though not for long; gives whether the calling thread has it now, and had it not before.

    Threads that change places in Python at each of their calls take longer than one after the other. Each stays on
    another processor than the thread before it, where there are enough.
    """
    global turn_of, turn_before, turn_on
    cdef unsigned long me = PyThread_get_thread_ident()
    cdef int here
    if turn == NULL or turn_of == me or PyThread_acquire_lock_timed(turn, TURN, 0) != PY_LOCK_ACQUIRED:
        return False
    here = current_processor()
    if me != turn_before and here == turn_on and alone <= processors:
        leave_processor(here)
        here = current_processor()
    turn_of, turn_before, turn_on = me, me, here
    return True


cdef bint end_turn() noexcept nogil:
    """Leave the turn to another thread; gives whether the calling one had it."""
    global turn_of
    if turn_of != PyThread_get_thread_ident():
        return False
    turn_of = 0
    PyThread_release_lock(turn)
    return True


def take_turn() -> bool:
    """Wait until no other thread that does so is in Python, 5 ms at most; whether `leave_turn` is to be called."""
    global turn
    cdef bint found
    if turn == NULL:
        turn = PyThread_allocate_lock()
    with nogil:
        found = begin_turn()
    return found


def leave_turn() -> None:
    """It is another thread's turn. Epochs that run together leave it too, and take it again."""
    end_turn()


cdef void run_alone(Job work, void* argument) noexcept nogil:
    """Run a job on the calling thread, which first leaves a processor that another such job is on, if one is free."""
    cdef int here = current_processor()
    if 0 <= here < MAX_PROCESSORS and atomic_read(&runs_on[here]) > 0 and alone <= processors:
        leave_processor(here)
        here = current_processor()
    if not 0 <= here < MAX_PROCESSORS:
        work(argument, 0, 1)
        return
    atomic_add(&runs_on[here], 1)
    work(argument, 0, 1)
    atomic_add(&runs_on[here], -1)


cdef void run(Job work, void* argument, int threads) noexcept nogil:
    """Run a job on the threads that were recruited; returns when all are done."""
    cdef int i, here
    if threads == 1:
        if alone:
            run_alone(work, argument)
        else:
            work(argument, 0, 1)
        return
    team.work, team.argument, team.size = work, argument, threads
    here = current_processor() if team.spins else -1    # with more threads than processors they share that too
    if team.processor != here:
        team.processor = here
        for i in range(1, team.started):
            keep_off(team.threads[i].ident, here)
    for i in range(1, threads):
        atomic_add(&team.threads[i].jobs, 1)
        ring(&team.threads[i])
    work(argument, 0, threads)
    barrier(0, threads)


cdef int make() except -1:
    """A team of the calling thread alone. The one that a fork left behind is not freed: its locks may be held."""
    global team
    cdef int i
    cdef Team* made = <Team*>malloc(sizeof(Team))
    cdef Thread* threads = <Thread*>malloc(MAX_THREADS * sizeof(Thread))
    if made == NULL or threads == NULL:
        free(made)
        free(threads)
        raise MemoryError("no memory for a team of threads")
    memset(made, 0, sizeof(Team))
    memset(threads, 0, MAX_THREADS * sizeof(Thread))
    made.threads, made.processor = threads, -2
    for i in range(MAX_THREADS):
        threads[i].number = i
    team = made
    return 0


cdef int recruit(int wanted) except -1:
    """Take the team for up to `wanted` threads; gives how many there are with the calling one: 1 where it is taken.

    A caller that gets more than 1 must dismiss them. As many are started as the system allows.
    """
    cdef Thread* thread
    cdef int processors
    if wanted < 2 or alone:
        return 1
    wanted = min(wanted, <int>get_num_threads())
    if wanted < 2:
        return 1
    processors = cores.available()
    if team == NULL:
        make()
    if atomic_swap(&team.taken, 1):
        return 1
    while team.started < wanted:
        thread = &team.threads[team.started]
        thread.bell = PyThread_allocate_lock()
        if thread.bell == NULL:
            break
        PyThread_acquire_lock(thread.bell, NOWAIT_LOCK)
        if team.started:
            thread.ident = PyThread_start_new_thread(serve, thread)
            if thread.ident == PYTHREAD_INVALID_THREAD_ID:
                break
            team.processor = -2
        team.started += 1
    wanted = min(wanted, team.started)
    # A thread that waits for a processor must not keep it from the one that it waits for.
    atomic_swap(&team.spins, wanted <= processors)
    if wanted < 2:
        dismiss(2)
    return max(wanted, 1)


cdef void dismiss(int threads) noexcept nogil:
    """Give back what `recruit` gave."""
    if threads > 1:
        atomic_swap(&team.taken, 0)


def get_num_threads() -> int:
    """Threads that a fit, an evaluation or a prediction may use; small work uses fewer.

    FASTNN_NUM_THREADS where it is set, else the processors that the process may run on: its affinity, and the quota of
    its cgroup. 1 in a worker process of multiprocessing or joblib.
    """
    global limit
    if limit == 0:
        limit = min(cores.default(), MAX_THREADS)
    return limit


def set_num_threads(n) -> None:
    """Use at most n threads, 1 to 256, from the next call on. Results do not depend on it, not in a single bit."""
    global limit_is_chosen
    limit_threads(n)
    limit_is_chosen = True


def each_alone(more: int) -> None:
    """Have calls use one thread each, as `more` threads make them side by side, until it is said with -`more`."""
    global alone, processors
    processors = cores.available()
    alone += more


def limit_threads(n) -> None:
    """set_num_threads, but a process that is forked off decides for itself again."""
    global limit
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"the number of threads must be a whole number, got {shown(n)}")
    if not 1 <= n.__index__() <= MAX_THREADS:
        raise ValueError(f"the number of threads must be from 1 to {MAX_THREADS}, got {shown(n)}")
    limit = n.__index__()


def _after_fork():
    global team, limit, alone, fork_count, turn, turn_of
    team = NULL
    turn = NULL
    turn_of = 0
    alone = 0
    memset(runs_on, 0, sizeof(runs_on))
    fork_count += 1
    cores.available.cache_clear()
    if not limit_is_chosen:
        limit = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
