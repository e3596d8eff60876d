# Whether a run goes faster with the team or without it, found out by trying.
#
# The size of the work says how many threads could help; whether they do depends on what else wants the processors: at
# every barrier the team waits for its slowest thread, which may not be running at all. A run is therefore cut into
# slices, each with the whole team or with the calling thread alone, and the slower way is tried again from time to
# time. The result does not depend on the choice, since no bit of it depends on the number of threads.

cdef enum:
    FIRST_PATIENCE = 2                  # slices until the slower way is tried again; twice as many each time in vain
    LAST_PATIENCE = 64


cdef struct ThreadTuner:
    int threads                         # and batch: what the times are for
    Py_ssize_t batch
    double together                     # seconds a row with the team, 0 while unknown
    double alone                        # and without it
    int patience
    int left                            # slices until the next trial
    bint trial                          # this slice is one
    bint alone_now


cdef inline void tuner_begin(ThreadTuner* tuner, int threads, Py_ssize_t batch) noexcept nogil:
    """A run begins; times of other work do not count."""
    if tuner.threads != threads or tuner.batch != batch:
        tuner.threads, tuner.batch = threads, batch
        tuner.together = tuner.alone = 0
        tuner.left = tuner.patience = FIRST_PATIENCE


cdef inline int tuner_choose(ThreadTuner* tuner, double* seconds) noexcept nogil:
    """Threads for the next slice, and how long it should take."""
    cdef bint known = tuner.together > 0 and tuner.alone > 0
    tuner.trial = known and tuner.left == 0
    if known:
        tuner.alone_now = (tuner.alone < tuner.together) != tuner.trial
    else:
        tuner.alone_now = tuner.together > 0
    seconds[0] = 10e-3 if known and not tuner.trial else 2e-3
    return 1 if tuner.alone_now else tuner.threads


cdef inline void tuner_note(ThreadTuner* tuner, double seconds, Py_ssize_t rows) noexcept nogil:
    """The slice is over."""
    cdef bint alone_was_faster = tuner.alone < tuner.together
    if rows == 0:
        return
    if tuner.alone_now:
        if tuner.alone == 0 and seconds / rows < tuner.together:
            tuner.left = 0              # the team went first, when all memory was new: it is tried again at once
        tuner.alone = seconds / rows
    else:
        tuner.together = seconds / rows
    if not tuner.trial:
        tuner.left -= tuner.left > 0
    else:
        if (tuner.alone < tuner.together) != alone_was_faster:
            tuner.patience = FIRST_PATIENCE
        elif tuner.patience < LAST_PATIENCE:
            tuner.patience *= 2
        tuner.left = tuner.patience
