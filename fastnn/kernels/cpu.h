/* Which instruction sets the processor has and the operating system keeps registers for. */
#ifndef FASTNN_CPU_H
#define FASTNN_CPU_H

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
static int cpu_has_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#elif defined(_M_X64)
#include <intrin.h>
static int cpu_has_avx2(void) {
    int leaf1[4], leaf7[4];
    __cpuidex(leaf1, 1, 0);
    __cpuidex(leaf7, 7, 0);
    /* FMA, OSXSAVE and AVX; the system saves xmm and ymm; AVX2 */
    return (leaf1[2] & 0x18001000) == 0x18001000 && (_xgetbv(0) & 6) == 6 && (leaf7[1] & 0x20);
}
#else
static int cpu_has_avx2(void) { return 0; }
#endif

#endif
