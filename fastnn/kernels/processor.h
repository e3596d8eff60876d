/* Where a thread runs. Linux wakes a thread where it last ran or where its waker runs, even if that is one processor for
   both; it then takes milliseconds to part them, in which one of the two waits. */
#ifndef FASTNN_PROCESSOR_H
#define FASTNN_PROCESSOR_H

#if defined(__linux__)
#include <sched.h>

static inline int current_processor(void) { return sched_getcpu(); }

/* Move the calling thread to another of its processors, if it has one; it may come back. */
static inline void leave_processor(int processor) {
    cpu_set_t allowed, others;
    if (processor < 0 || processor >= CPU_SETSIZE || sched_getaffinity(0, sizeof allowed, &allowed)) return;
    others = allowed;
    CPU_CLR(processor, &others);
    if (CPU_COUNT(&others) && !sched_setaffinity(0, sizeof others, &others))
        sched_setaffinity(0, sizeof allowed, &allowed);
}
#else
static inline int current_processor(void) { return -1; }
static inline void leave_processor(int processor) { (void)processor; }
#endif

#endif
