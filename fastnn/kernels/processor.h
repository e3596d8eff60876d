/* Where a thread runs. Linux wakes a thread where it last ran or where its waker runs, even if that is one processor for
   both; it then takes milliseconds to part them, in which one of the two waits. In a virtual machine it does so often: a
   processor that its host has put to sleep does not count as idle. */
#ifndef FASTNN_PROCESSOR_H
#define FASTNN_PROCESSOR_H

#if defined(__linux__) && !defined(__ANDROID__)
#include <pthread.h>
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

/* Keep a thread off one of the processors that the calling thread may use, if that leaves it any; -1: it may use all. */
static inline void keep_off(unsigned long thread, int processor) {
    cpu_set_t allowed;
    if (processor >= CPU_SETSIZE || sched_getaffinity(0, sizeof allowed, &allowed)) return;
    if (processor >= 0) CPU_CLR(processor, &allowed);
    if (CPU_COUNT(&allowed)) pthread_setaffinity_np((pthread_t)thread, sizeof allowed, &allowed);
}
#else
static inline int current_processor(void) { return -1; }
static inline void leave_processor(int processor) { (void)processor; }
static inline void keep_off(unsigned long thread, int processor) { (void)thread, (void)processor; }
#endif

#endif
