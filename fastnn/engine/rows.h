/* A row of whole numbers as floats, which hold those of two bytes exactly, and as ids of four bytes. */
#ifndef FASTNN_ROWS_H
#define FASTNN_ROWS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) && !defined(__clang__)
#define FASTNN_VECTORIZED __attribute__((optimize("O2", "tree-vectorize", "vect-cost-model=dynamic")))
#else
#define FASTNN_VECTORIZED
#endif

#define FASTNN_CASE(size, type) \
    case size: \
        for (i = 0; i < n; i++) a[i] = ((const type *)x)[i]; \
        break;

/* kind: bytes of a number, negative where it has no sign. */
FASTNN_VECTORIZED static void row_of_floats(const char *x, int kind, float *a, ptrdiff_t n) {
    ptrdiff_t i;
    switch (kind) {
        FASTNN_CASE(-1, uint8_t)
        FASTNN_CASE(1, int8_t)
        FASTNN_CASE(-2, uint16_t)
        FASTNN_CASE(2, int16_t)
    }
}

/* What four bytes do not hold is beyond any table: INT32_MAX, or -1. */
static void row_of_ids(const char *x, int kind, int32_t *a, ptrdiff_t n) {
    ptrdiff_t i;
    int64_t id;
    switch (kind) {
        FASTNN_CASE(-1, uint8_t)
        FASTNN_CASE(1, int8_t)
        FASTNN_CASE(-2, uint16_t)
        FASTNN_CASE(2, int16_t)
        FASTNN_CASE(4, int32_t)
        default:
            for (i = 0; i < n; i++) {
                id = ((const int64_t *)x)[i];
                a[i] = id < 0 ? -1 : id > INT32_MAX ? INT32_MAX : (int32_t)id;
            }
    }
}

/* Whether n columns are all below `inputs`, none negative. */
FASTNN_VECTORIZED static int columns_fit(const int32_t *columns, ptrdiff_t n, ptrdiff_t inputs) {
    uint32_t most = 0;
    ptrdiff_t i;
    for (i = 0; i < n; i++) most = (uint32_t)columns[i] > most ? (uint32_t)columns[i] : most;
    return n == 0 || most < (size_t)inputs;
}

#undef FASTNN_CASE
#endif
