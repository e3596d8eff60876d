/* Seconds on a clock that never goes back. */
#ifndef FASTNN_CLOCK_H
#define FASTNN_CLOCK_H

#ifdef _WIN32
#include <windows.h>
static double seconds_now(void) { return (double)GetTickCount64() * 1e-3; }
#else
#include <time.h>
static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
#endif

#endif
