/* Windows of a picture, channels side by side in a vector; included by pooling.pxi.

   A window is planes x lines x cells of n numbers each; cells follow one another, lines and planes lie so far apart. */
#ifndef FASTNN_POOLING_H
#define FASTNN_POOLING_H

#include "tile.h"

typedef struct { ptrdiff_t planes, lines, cells, plane, line; } fastnn_box;

#ifdef FASTNN_VECTOR_BYTES
typedef __typeof__((vector_float){0} == (vector_float){0}) mask_float;
#define FASTNN_CHOOSE(mask, a, b) ((vector_float)(((mask) & (mask_float)(a)) | (~(mask) & (mask_float)(b))))
#else
#define FASTNN_CHOOSE(mask, a, b) ((mask) ? (a) : (b))
#endif

#define EACH_CELL(box, n, i, j, k, at)                                                                     \
    for (i = 0; i < (box)->planes; i++)                                                                    \
        for (j = 0; j < (box)->lines; j++)                                                                 \
            for (k = 0, at = i * (box)->plane + j * (box)->line; k < (box)->cells; k++, at += (n))

/* part, and which of the two is asked for, are constants. */
FASTNN_INLINE void pool_part(int largest, int part, const float *x, const fastnn_box *box, ptrdiff_t n, float *a) {
    vector_float best = part ? load_part_float(x, part) : load_float(x);
    ptrdiff_t i, j, k, at;
    if (!largest) best = zero_float();
    EACH_CELL(box, n, i, j, k, at) {
        const vector_float cell = part ? load_part_float(x + at, part) : load_float(x + at);
        if (largest) best = FASTNN_CHOOSE((cell > best) | (cell != cell), cell, best);
        else best += cell;
    }
    if (!largest) best /= (float)(box->planes * box->lines * box->cells);
    if (part) store_part_float(a, best, part);
    else store_float(a, best);
}

/* d_x += the slopes: d at the first cell that a came from, or a share for each. */
FASTNN_INLINE void unpool_part(int largest, int part, const float *x, const fastnn_box *box, ptrdiff_t n,
                               const float *a, const float *d, float *d_x) {
    const vector_float best = part ? load_part_float(a, part) : load_float(a), none = zero_float();
    vector_float left = part ? load_part_float(d, part) : load_float(d);
    ptrdiff_t i, j, k, at;
    if (!largest) left /= (float)(box->planes * box->lines * box->cells);
    EACH_CELL(box, n, i, j, k, at) {
        vector_float to = part ? load_part_float(d_x + at, part) : load_float(d_x + at);
        if (largest) {
            const vector_float cell = part ? load_part_float(x + at, part) : load_float(x + at);
            to += FASTNN_CHOOSE((cell == best) | ((cell != cell) & (best != best)), left, none);
            left = FASTNN_CHOOSE((cell == best) | ((cell != cell) & (best != best)), none, left);
        } else to += left;
        if (part) store_part_float(d_x + at, to, part);
        else store_float(d_x + at, to);
    }
}

FASTNN_INLINE void pool_channels(int largest, const float *x, const fastnn_box *box, ptrdiff_t n, float *a) {
    ptrdiff_t c = 0;
    for (; c + LANES_float <= n; c += LANES_float) pool_part(largest, 0, x + c, box, n, a + c);
    if (c < n) pool_part(largest, (int)(n - c), x + c, box, n, a + c);
}

FASTNN_INLINE void unpool_channels(int largest, const float *x, const fastnn_box *box, ptrdiff_t n, const float *a,
                                   const float *d, float *d_x) {
    ptrdiff_t c = 0;
    for (; c + LANES_float <= n; c += LANES_float) unpool_part(largest, 0, x + c, box, n, a + c, d + c, d_x + c);
    if (c < n) unpool_part(largest, (int)(n - c), x + c, box, n, a + c, d + c, d_x + c);
}

static void pool_window(int largest, const float *x, const fastnn_box *box, ptrdiff_t n, float *a) {
    if (largest) pool_channels(1, x, box, n, a);
    else pool_channels(0, x, box, n, a);
}

static void unpool_window(int largest, const float *x, const fastnn_box *box, ptrdiff_t n, const float *a,
                          const float *d, float *d_x) {
    if (largest) unpool_channels(1, x, box, n, a, d, d_x);
    else unpool_channels(0, x, box, n, a, d, d_x);
}

#endif
