# Whether a run goes faster with the team or without it, found out by trying.
#
# The size of the work says how many threads could help; whether they do depends on what else wants the processors: at
# every barrier the team waits for its slowest thread, which may not be running at all. A run is therefore cut into
# slices, each with the whole team or with the calling thread alone, and the slower way is tried again from time to
# time: the more seldom, the more often and the more clearly it was. Then one good slice does not make it the faster,
# since beside a busy neighbour the team is fast at times. Runs that are shorter than a slice are one together; one that
# has to wake the team for it does not count, since the team stays awake where calls follow one another closely. The
# result does not depend on the choice, since no bit of it depends on the number of threads.

cdef enum:
    FIRST_PATIENCE = 2                  # slices until the slower way is tried again; 2 or 4 times as many if in vain
    LAST_PATIENCE = 64


cdef struct ThreadTuner:
    int threads                         # and batch: what the times are for
    Py_ssize_t batch
    double cost[2]                      # seconds for a unit of work with the team, and without it; 0 while unknown
    int patience[2]
    int left                            # slices until the next trial
    bint trial                          # this slice is one
    bint alone_now
    bint awake                          # the team, since the run before
    bint going_on                       # the slice
    double length                       # of the slice, in seconds; and what was done in it so far
    double seconds
    double work


cdef inline void tuner_begin(ThreadTuner* tuner, int threads, Py_ssize_t batch) noexcept nogil:
    """A run begins; times of other work do not count."""
    if tuner.threads != threads or tuner.batch != batch:
        tuner.threads, tuner.batch = threads, batch
        tuner.cost[0] = tuner.cost[1] = 0
        tuner.left = tuner.patience[0] = tuner.patience[1] = FIRST_PATIENCE
        tuner.going_on = tuner.awake = False


cdef inline int tuner_choose(ThreadTuner* tuner, double* seconds) noexcept nogil:
    """Threads for the next slice, or for what is left of it, and how long that should take."""
    cdef bint known = tuner.cost[0] > 0 and tuner.cost[1] > 0
    if not tuner.going_on:
        tuner.trial = known and tuner.left == 0
        if known:
            tuner.alone_now = (tuner.cost[1] < tuner.cost[0]) != tuner.trial
        else:
            tuner.alone_now = tuner.cost[0] > 0
        tuner.length = 10e-3 if known and not tuner.trial else 2e-3
        tuner.going_on, tuner.seconds, tuner.work = True, 0, 0
    seconds[0] = tuner.length - tuner.seconds
    return 1 if tuner.alone_now else tuner.threads


cdef inline void tuner_note(ThreadTuner* tuner, double seconds, double work) noexcept nogil:
    """The slice is over, or the run."""
    cdef int way = tuner.alone_now
    cdef double* cost = tuner.cost
    cdef int* patience = tuner.patience
    cdef bint woken = not way and not tuner.awake, known = cost[0] > 0 and cost[1] > 0, better
    tuner.awake = not way
    if work == 0 or (woken and seconds < tuner.length / 2):
        return
    tuner.seconds += seconds
    tuner.work += work
    if tuner.seconds < tuner.length / 2:
        return
    tuner.going_on, seconds = False, tuner.seconds / tuner.work
    better = seconds < cost[1 - way]
    cost[way] = seconds
    if not known:                       # the team goes first, when all memory is new: it may be tried again at once
        tuner.left = 0 if better else FIRST_PATIENCE
        return
    if not better and not tuner.trial and patience[way] == FIRST_PATIENCE:
        patience[way] += 1
        tuner.left = 0                  # a way that was trusted may have been held up: it is tried again at once
        return
    if not better:
        patience[way] = min((4 if seconds > 1.5 * cost[1 - way] else 2) * patience[way], <int>LAST_PATIENCE)
    elif not tuner.trial:
        patience[way] = max(patience[way] - 1, <int>FIRST_PATIENCE)
    if tuner.trial or not better:
        tuner.left = patience[cost[1] >= cost[0]]
    else:
        tuner.left -= tuner.left > 0
