# Whether a run goes faster with the team or without it, found out by trying.
#
# The size of the work says how many members could help; whether they do depends on who else wants the processors: at
# every barrier the team waits for its slowest member, which may not be running at all. A run is therefore cut into
# slices, each with the whole team or with the caller alone, and the slower way is tried again from time to time. The
# result does not depend on the choice, since no bit of it depends on the number of members.

cdef enum:
    FIRST_PATIENCE = 2                  # slices until the slower way is tried again; twice as many each time in vain
    LAST_PATIENCE = 64


cdef struct Pace:
    int members                         # and batch: what the figures are for
    Py_ssize_t batch
    double together                     # seconds a row with the team, 0 while unknown
    double alone                        # and without it
    int patience
    int left                            # slices until the next trial
    bint trial                          # this slice is one
    bint alone_now


cdef inline void pace_begin(Pace* pace, int members, Py_ssize_t batch) noexcept nogil:
    """A run begins; figures of other work do not count."""
    if pace.members != members or pace.batch != batch:
        pace.members, pace.batch = members, batch
        pace.together = pace.alone = 0
        pace.left = pace.patience = FIRST_PATIENCE


cdef inline int pace_choose(Pace* pace, double* seconds) noexcept nogil:
    """Members for the next slice, and how long it should take."""
    cdef bint known = pace.together > 0 and pace.alone > 0
    pace.trial = known and pace.left == 0
    if known:
        pace.alone_now = (pace.alone < pace.together) != pace.trial
    else:
        pace.alone_now = pace.together > 0
    seconds[0] = 10e-3 if known and not pace.trial else 2e-3
    return 1 if pace.alone_now else pace.members


cdef inline void pace_note(Pace* pace, double seconds, Py_ssize_t rows) noexcept nogil:
    """The slice is over."""
    cdef bint alone_was_faster = pace.alone < pace.together
    if rows == 0:
        return
    if pace.alone_now:
        pace.alone = seconds / rows
    else:
        pace.together = seconds / rows
    if not pace.trial:
        pace.left -= pace.left > 0
    else:
        if (pace.alone < pace.together) != alone_was_faster:
            pace.patience = FIRST_PATIENCE
        elif pace.patience < LAST_PATIENCE:
            pace.patience *= 2
        pace.left = pace.patience
