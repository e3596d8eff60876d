/* Which of the instruction sets that were compiled the processor has and the operating system keeps registers for.
   FASTNN_BASELINE_ONLY: the build compiled no other (setup.py). */
#ifndef FASTNN_CPU_H
#define FASTNN_CPU_H

#if defined(FASTNN_BASELINE_ONLY) || !(defined(__x86_64__) || defined(_M_X64))
static int cpu_has_avx2(void) { return 0; }
static int cpu_has_avx512(void) { return 0; }
#elif defined(__GNUC__) || defined(__clang__)
/* The compiler's support library asks XGETBV whether the system saves the registers. */
static int cpu_has_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static int cpu_has_avx512(void) {
    return cpu_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}
#else
#include <intrin.h>
static int leaf7_has(unsigned int bits, unsigned long long registers) {
    int leaf1[4], leaf7[4];
    __cpuidex(leaf1, 1, 0);
    __cpuidex(leaf7, 7, 0);
    /* FMA, OSXSAVE and AVX; the system saves the registers: XMM and YMM, and for AVX-512 the masks and ZMM too */
    return (leaf1[2] & 0x18001000) == 0x18001000 && (_xgetbv(0) & registers) == registers &&
           ((unsigned int)leaf7[1] & bits) == bits;
}
static int cpu_has_avx2(void) { return leaf7_has(0x20, 0x6); }
static int cpu_has_avx512(void) { return leaf7_has(0xC0030020, 0xE6); }          /* AVX2, F, DQ, BW, VL */
#endif

#endif
