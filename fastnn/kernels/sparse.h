/* Products of sparse rows, by the operations of tile.h on what is there: the same bits as with the zeros.

   A number of z is one chain of multiply-adds in the order of the columns, of a narrow W as many chains as a vector has
   lanes, as `dots` of tile_body.h has them; a number of g is one chain in the order of the rows. A zero
   would add 0 * w. */
#ifndef FASTNN_SPARSE_H
#define FASTNN_SPARSE_H

#include <stdint.h>
#include "entries.h"
#include "tile.h"

FASTNN_INLINE void sparse_part(int vectors, int part, const Entries *row, const float *w, ptrdiff_t units,
                               const float *bias, float *z) {
    vector_float acc[4];
    ptrdiff_t i;
    int v;
    FASTNN_UNROLL
    for (v = 0; v < vectors; v++)
        acc[v] = !bias ? zero_float() : part ? load_part_float(bias, part) : load_float(bias + v * LANES_float);
    for (i = 0; i < row->count; i++) {
        const float *from = w + (row->columns[i] - row->start) * units;
        const float scalar = row->values[i];
        FASTNN_UNROLL
        for (v = 0; v < vectors; v++)
            acc[v] += (part ? load_part_float(from, part) : load_float(from + v * LANES_float)) * scalar;
    }
    FASTNN_UNROLL
    for (v = 0; v < vectors; v++) {
        if (part) store_part_float(z, acc[v], part);
        else store_float(z + v * LANES_float, acc[v]);
    }
}

static void sparse_narrow(const Entries *row, const float *w, ptrdiff_t stride, int units, const float *bias, float *z) {
    float lanes[MOST_TURNED][LANES_float] = {{0}};
    ptrdiff_t i;
    int j, lane, half;
    for (i = 0; i < row->count; i++) {
        const ptrdiff_t k = row->columns[i] - row->start;
        for (j = 0; j < units; j++) lanes[j][k % LANES_float] += row->values[i] * w[k * stride + j];
    }
    for (j = 0; j < units; j++) {
        for (half = LANES_float / 2; half > 0; half /= 2)
            for (lane = 0; lane < half; lane++) lanes[j][lane] += lanes[j][lane + half];
        z[j] = lanes[j][0] + (bias ? bias[j] : 0);
    }
}

/* z = x.W + bias of n rows of `depth` columns. */
static void sparse_forward(const Entries *const *rows, ptrdiff_t n, ptrdiff_t depth, const float *w, ptrdiff_t units,
                           const float *bias, float *z) {
    const int last = dot_columns(units, units, depth);
    const ptrdiff_t stride = units;
    ptrdiff_t j;
    units -= last;
    for (; n > 0; n--, rows++, z += stride) {
        if (last) sparse_narrow(*rows, w + units, stride, last, bias ? bias + units : NULL, z + units);
        for (j = 0; j + 4 * LANES_float <= units; j += 4 * LANES_float)
            sparse_part(4, 0, *rows, w + j, stride, bias ? bias + j : NULL, z + j);
        for (; j + LANES_float <= units; j += LANES_float)
            sparse_part(1, 0, *rows, w + j, stride, bias ? bias + j : NULL, z + j);
        if (j < units) sparse_part(1, (int)(units - j), *rows, w + j, stride, bias ? bias + j : NULL, z + j);
    }
}

FASTNN_INLINE void sparse_add(float *g, const float *d, float scalar, ptrdiff_t units) {
    ptrdiff_t j = 0;
    for (; j + LANES_float <= units; j += LANES_float) store_float(g + j, load_float(g + j) + load_float(d + j) * scalar);
    if (j < units) {
        const int part = (int)(units - j);
        store_part_float(g + j, load_part_float(g + j, part) + load_part_float(d + j, part) * scalar, part);
    }
}

/* g = rows first .. stop - 1 of xt.d over n rows. */
static void sparse_gradient(const Entries *const *rows, ptrdiff_t n, ptrdiff_t first, ptrdiff_t stop, const float *d,
                            ptrdiff_t units, float *g) {
    ptrdiff_t i;
    memset(g, 0, (size_t)((stop - first) * units) * sizeof *g);
    for (; n > 0; n--, rows++, d += units) {
        const Entries *row = *rows;
        for (i = first_entry(row->columns, row->count, row->start + first);
             i < row->count && row->columns[i] - row->start < stop; i++)
            sparse_add(g + (row->columns[i] - row->start - first) * units, d, row->values[i], units);
    }
}

/* The same of n numbers in the order of their rows, all of them in the columns of g. */
static void sparse_items(const Item *items, ptrdiff_t n, const float *d, ptrdiff_t units, float *g) {
    for (; n > 0; n--, items++)
        sparse_add(g + items->column * units, d + items->row * units, items->value, units);
}

#endif
