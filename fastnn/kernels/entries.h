/* What there is of a sparse row. */
#ifndef FASTNN_ENTRIES_H
#define FASTNN_ENTRIES_H

#include <stddef.h>
#include <stdint.h>

/* Numbers and their columns, in their order; the first column that may be there is `start`. */
typedef struct {
    const float *values;
    const int32_t *columns;
    ptrdiff_t count, start;
} Entries;

/* One of them, of some row. */
typedef struct {
    int32_t row, column;
    float value;
} Item;

/* The first of n columns in their order that is at least `column`. */
static inline ptrdiff_t first_entry(const int32_t *columns, ptrdiff_t n, ptrdiff_t column) {
    const int32_t *at = columns;
    if (n == 0) return 0;
    for (; n > 1; n -= n / 2) at += at[n / 2 - 1] < column ? n / 2 : 0;
    return at - columns + (*at < column);
}

#endif
