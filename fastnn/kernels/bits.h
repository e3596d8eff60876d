/* A float seen as the integer that stores it, and back. memcpy is the one way that C allows; compilers turn it
   into no instruction at all, and vectorise it. */
#ifndef FASTNN_BITS_H
#define FASTNN_BITS_H
#include <stdint.h>
#include <string.h>

static inline int32_t bits_of(float x) { int32_t i; memcpy(&i, &x, sizeof i); return i; }
static inline float float_of(int32_t i) { float x; memcpy(&x, &i, sizeof x); return x; }

#endif
