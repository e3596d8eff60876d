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


cdef extern from "denormals.h" nogil:
    unsigned long long flush_denormals()


cdef extern from "pythread.h" nogil:
    unsigned long PyThread_start_new_thread(void (*function)(void*) noexcept, void* argument)
    unsigned long PYTHREAD_INVALID_THREAD_ID


cdef enum:
    MAX_THREADS = 256
    SPINS = 2000                        # looks before a thread sleeps, 20 to 80 us


cdef struct Thread:
    PyThread_type_lock bell
    int asleep
    int jobs                            # handed to it so far
    int number
    char apart[128 - 24]                # threads do not share a cache line


cdef struct Team:
    Thread* threads
    int started                         # the caller counts as one
    int taken
    int arrived                         # at the barrier
    int barriers                        # passed so far
    int spins
    Job work
    void* argument
    int size                            # threads of the job that runs
    int processor                       # of the caller; -1 where it does not matter


cdef Team* team = NULL
cdef int limit = 0                      # threads that a job may use; 0: not decided yet
cdef bint limit_is_chosen = False       # by the user, so that a fork keeps it
cdef int alone = 0                      # more than 0: each call uses one thread, as many run side by side
cdef int fork_count = 0


cdef int forks() noexcept nogil:
    """How many forks lie between the start of Python and this process: a lock taken before the last may never open."""
    return fork_count


cdef void ring(Thread* thread) noexcept nogil:
    if atomic_swap(&thread.asleep, 0):
        PyThread_release_lock(thread.bell)


cdef void wait_for_change(int* number, int old, Thread* me) noexcept nogil:
    cdef int spins = atomic_read(&team.spins)
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
        wait_for_change(&team.barriers, passed, &team.threads[thread])
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
        wait_for_change(&me.jobs, done, me)
        done += 1
        if team.processor >= 0 and team.processor == current_processor():
            leave_processor(team.processor)
        team.work(team.argument, me.number, team.size)
        barrier(me.number, team.size)


cdef void run(Job work, void* argument, int threads) noexcept nogil:
    """Run a job on the threads that were recruited; returns when all are done."""
    cdef int i
    if threads > 1:
        team.work, team.argument, team.size = work, argument, threads
        # With threads enough for all processors there is nowhere to go.
        team.processor = current_processor() if team.spins else -1
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
    made.threads, made.started = threads, 0
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
        if team.started and PyThread_start_new_thread(serve, thread) == PYTHREAD_INVALID_THREAD_ID:
            break
        team.started += 1
    wanted = min(wanted, team.started)
    # A thread that waits for a processor must not keep it from the one that it waits for.
    atomic_swap(&team.spins, SPINS if wanted <= processors else 0)
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
    """Have calls use one thread each, `more` being 1, until it is said with -1: as many of them run side by side."""
    global alone
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
    global team, limit, alone, fork_count
    team = NULL
    alone = 0
    fork_count += 1
    cores.available.cache_clear()
    if not limit_is_chosen:
        limit = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
