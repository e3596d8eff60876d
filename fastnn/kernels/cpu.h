/* Which of the instruction sets that were compiled the processor has and the operating system keeps registers for.
   FASTNN_BASELINE_ONLY: the build compiled no other (setup.py). */
#ifndef FASTNN_CPU_H
#define FASTNN_CPU_H

#if defined(__clang__)                  /* which says that it is gcc too */
#define FASTNN_COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define FASTNN_COMPILER "gcc " __VERSION__
#elif defined(_MSC_VER)
#define FASTNN_TEXT_OF(x) #x
#define FASTNN_TEXT(x) FASTNN_TEXT_OF(x)
#define FASTNN_COMPILER "MSVC " FASTNN_TEXT(_MSC_VER)
#else
#define FASTNN_COMPILER "another compiler"
#endif

/* An instruction of three vectors by its number: assemblers know some only of a compiler that was told so. */
#define FASTNN_BY_NUMBER(code, sum, x, w)                                                                            \
    __asm__(".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n\t"      \
            ".set .Lfastnn_v\\n, \\n\n\t.endr\n\t"                                                                \
            ".inst " #code " | .Lfastnn_%2 << 16 | .Lfastnn_%1 << 5 | .Lfastnn_%0"                                   \
            : "+w"(sum) : "w"(x), "w"(w))

#if defined(FASTNN_BASELINE_ONLY) || !(defined(__x86_64__) || defined(_M_X64))
static int cpu_has_avx2(void) { return 0; }
static int cpu_has_avx512(void) { return 0; }
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
static int cpu_has_dot(int wide) { (void)wide; return (int)(getauxval(AT_HWCAP) >> 20 & 1); }
static int cpu_has_bfloat16(void) { return (int)(getauxval(AT_HWCAP2) >> 14 & 1); }
#elif defined(__ARM_FEATURE_DOTPROD)
static int cpu_has_dot(int wide) { (void)wide; return 1; }
#else
static int cpu_has_dot(int wide) { (void)wide; return 0; }
#endif
#if defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
static int cpu_has_bfloat16(void) {
    int has = 0;
    size_t size = sizeof has;
    return !sysctlbyname("hw.optional.arm.FEAT_BF16", &has, &size, NULL, 0) && has;
}
#elif !(defined(__aarch64__) && defined(__linux__))
static int cpu_has_bfloat16(void) { return 0; }
#endif
#else
#if defined(_MSC_VER)
#include <intrin.h>
#define FASTNN_CPUID(leaf, part, of) __cpuidex((int *)(of), leaf, part)
#define FASTNN_XGETBV() ((unsigned int)_xgetbv(0))
#else
#include <cpuid.h>
#define FASTNN_CPUID(leaf, part, of) __cpuid_count(leaf, part, (of)[0], (of)[1], (of)[2], (of)[3])
static unsigned int xgetbv0(void) {
    unsigned int low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
#define FASTNN_XGETBV() xgetbv0()
#endif
/* Asked of the processor itself: clang's support library would bring a hundred kilobytes along. */
static int cpu_has(unsigned int bits, unsigned int registers) {
    unsigned int leaf[4];
    FASTNN_CPUID(0, 0, leaf);
    if (leaf[0] < 7) return 0;
    FASTNN_CPUID(1, 0, leaf);
    if ((leaf[2] & 0x18001000) != 0x18001000) return 0;           /* FMA, OSXSAVE, AVX */
    if ((FASTNN_XGETBV() & registers) != registers) return 0;     /* those that the system saves */
    FASTNN_CPUID(7, 0, leaf);
    return (leaf[1] & bits) == bits;
}
static int cpu_has_avx2(void) { return cpu_has(0x20, 0x6); }                      /* AVX2; XMM and YMM */
static int cpu_has_avx512(void) {
#if defined(__APPLE__)                  /* saves the rest from its first use on, and does not say so before */
    return cpu_has(0xC0030020, 0x6);
#else
    return cpu_has(0xC0030020, 0xE6);                             /* AVX2, F, DQ, BW, VL; the masks and ZMM too */
#endif
}
/* Bytes by bytes in one instruction (VNNI): on the registers of AVX-512, or on those of AVX2. One of the two sets runs. */
static int cpu_has_dot(int wide) {
    unsigned int leaf[4];
    FASTNN_CPUID(7, 0, leaf);
    if (wide) return leaf[2] >> 11 & 1;
    if (leaf[0] < 1) return 0;
    FASTNN_CPUID(7, 1, leaf);
    return leaf[0] >> 4 & 1;
}
/* Products of bfloat16, on the registers of AVX-512: asked by code that runs with these alone. */
static int cpu_has_bfloat16(void) {
    unsigned int leaf[4];
    FASTNN_CPUID(7, 0, leaf);
    if (leaf[0] < 1) return 0;
    FASTNN_CPUID(7, 1, leaf);
    return leaf[0] >> 5 & 1;
}
#endif

#endif
