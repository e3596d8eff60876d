/* Numbers too small for a normal float are taken as 0 while a network runs: many processors take ten times as long or
   more for them, and a moment that decays towards 0 passes through them. The setting belongs to the thread, and is put
   back before anybody else's code runs. */
#ifndef FASTNN_DENORMALS_H
#define FASTNN_DENORMALS_H

#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
static inline unsigned long long flush_denormals(void) {
    const unsigned int before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);            /* flush results to zero, take operands as zero */
    return before;
}
static inline void restore_denormals(unsigned long long before) { _mm_setcsr((unsigned int)before); }
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
static inline unsigned long long flush_denormals(void) {
    unsigned long long before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (1ull << 24)));
    return before;
}
static inline void restore_denormals(unsigned long long before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
static inline unsigned long long flush_denormals(void) { return 0; }
static inline void restore_denormals(unsigned long long before) { (void)before; }
#endif

#endif
