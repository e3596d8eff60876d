/* What threads say to each other: whole numbers that change at once, and a pause while one waits for them. */
#ifndef FASTNN_ATOMICS_H
#define FASTNN_ATOMICS_H

#if defined(_MSC_VER)
#include <windows.h>
#include <intrin.h>
static inline int atomic_read(int *p) { return (int)InterlockedCompareExchange((volatile LONG *)p, 0, 0); }
static inline int atomic_swap(int *p, int value) { return (int)InterlockedExchange((volatile LONG *)p, value); }
static inline int atomic_add(int *p, int value) { return (int)InterlockedExchangeAdd((volatile LONG *)p, value); }
#else
static inline int atomic_read(int *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static inline int atomic_swap(int *p, int value) { return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST); }
static inline int atomic_add(int *p, int value) { return __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST); }
#endif

static inline void pause_briefly(void) {
#if defined(_MSC_VER)
    YieldProcessor();
#elif defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");                /* about as long as x86's pause; yield is a no-op on most cores */
#endif
}

#endif
