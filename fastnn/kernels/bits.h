/* What C says of floats that Cython has no words for. */
#ifndef FASTNN_BITS_H
#define FASTNN_BITS_H
#include <stdint.h>
#include <string.h>

/* A float seen as the integer that stores it, and back. memcpy is the one way that C allows; compilers turn it
   into no instruction at all, and vectorise it. */
static inline int32_t bits_of(float x) { int32_t i; memcpy(&i, &x, sizeof i); return i; }
static inline float float_of(int32_t i) { float x; memcpy(&x, &i, sizeof x); return x; }

/* a * b + c. In a sum of two products a compiler may fuse either, and GCC may fuse another one in the vector loop than
   in the loop over the rest: a number's bits would depend on where it stands. Said like this, there is no choice. */
#if (defined(__GNUC__) || defined(__clang__)) && (defined(__FMA__) || defined(__aarch64__))
static inline float multiply_add_float(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double multiply_add_double(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
static inline float multiply_add_float(float a, float b, float c) { return a * b + c; }
static inline double multiply_add_double(double a, double b, double c) { return a * b + c; }
#endif

/* For before numbers that a loop worked out side by side are added up: clang would look at the first few sums, and work
   out all of it two by two. It keeps whole vectors where they go through memory once. gcc needs no telling. */
#if defined(__clang__)
#define FASTNN_TOGETHER(numbers, count)            \
    do {                                           \
        __typeof__((numbers)[0]) held[count];      \
        memcpy(held, numbers, sizeof held);        \
        __asm__("" : "+m"(held));                  \
        memcpy(numbers, held, sizeof held);        \
    } while (0)
#else
#define FASTNN_TOGETHER(numbers, count) (void)0
#endif

#endif
