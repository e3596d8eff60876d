/* Seconds on a clock that never goes back. */
#ifndef FASTNN_CLOCK_H
#define FASTNN_CLOCK_H

#include <stddef.h>

#ifdef _WIN32
#include <windows.h>
static inline double seconds_now(void) { return (double)GetTickCount64() * 1e-3; }
#else
#include <time.h>
static inline double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
#endif

/* Bring n bytes that will be read soon into the cache. */
static inline void prefetch(const void *start, ptrdiff_t n) {
#if defined(__GNUC__) || defined(__clang__)
    const char *p = (const char *)start;
    ptrdiff_t i;
    for (i = 0; i < n; i += 64) __builtin_prefetch(p + i, 0, 2);
#else
    (void)start, (void)n;
#endif
}

#endif
