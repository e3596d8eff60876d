/* Windows of a picture, channels side by side in a vector; included by pooling.pxi.

   A window is planes x lines x cells of n numbers each; cells, lines and planes lie so far apart. */
#ifndef FASTNN_POOLING_H
#define FASTNN_POOLING_H

#include "tile.h"

typedef struct { ptrdiff_t planes, lines, cells, plane, line, cell; } fastnn_box;

#ifdef FASTNN_VECTOR_BYTES
typedef __typeof__((vector_float){0} == (vector_float){0}) mask_float;
#define FASTNN_CHOOSE(mask, a, b) ((vector_float)(((mask) & (mask_float)(a)) | (~(mask) & (mask_float)(b))))
#else
#define FASTNN_CHOOSE(mask, a, b) ((mask) ? (a) : (b))
#endif

#define EACH_CELL(box, i, j, k, at)                                                                        \
    for (i = 0; i < (box)->planes; i++)                                                                    \
        for (j = 0; j < (box)->lines; j++)                                                                 \
            for (k = 0, at = i * (box)->plane + j * (box)->line; k < (box)->cells; k++, at += (box)->cell)

/* part, and which of the two is asked for, are constants. */
FASTNN_INLINE void pool_part(int largest, int part, const float *x, const fastnn_box *box, ptrdiff_t n, float *a) {
    vector_float best = part ? load_part_float(x, part) : load_float(x);
    ptrdiff_t i, j, k, at;
    if (!largest) best = zero_float();
    EACH_CELL(box, i, j, k, at) {
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
    EACH_CELL(box, i, j, k, at) {
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

/* What a kernel of a weight for each cell and channel does: FORWARD out = bias + sum of x * w; BACKWARD out += d * w, the
   slopes of the cells; else out += x * d, those of the weights. */
FASTNN_INLINE void depth_part(int what, int part, const float *x, const fastnn_box *box, ptrdiff_t n, const float *w,
                              const float *d, float *out) {
    vector_float acc = zero_float();
    ptrdiff_t i, j, k, at, tap = 0;
    if (d) acc = part ? load_part_float(d, part) : load_float(d);
    EACH_CELL(box, i, j, k, at) {
        const float *from = what == 1 ? out + at : x + at, *by = what == 2 ? out + tap : w + tap;
        const vector_float cell = part ? load_part_float(from, part) : load_float(from);
        const vector_float weight = part ? load_part_float(by, part) : load_float(by);
        const vector_float sum = what == 0 ? acc + cell * weight : what == 1 ? cell + acc * weight : weight + cell * acc;
        float *to = what == 1 ? out + at : out + tap;
        if (what == 0) acc = sum;
        else if (part) store_part_float(to, sum, part);
        else store_float(to, sum);
        tap += n;
    }
    if (what == 0 && part) store_part_float(out, acc, part);
    else if (what == 0) store_float(out, acc);
}

FASTNN_INLINE void depth_channels(int what, const float *x, const fastnn_box *box, ptrdiff_t n, const float *w,
                                  const float *d, float *out) {
    ptrdiff_t c = 0;
    for (; c + LANES_float <= n; c += LANES_float)
        depth_part(what, 0, x + c, box, n, w + c, d ? d + c : d, out + c);
    if (c < n) depth_part(what, (int)(n - c), x + c, box, n, w + c, d ? d + c : d, out + c);
}

static void depth_window(int what, const float *x, const fastnn_box *box, ptrdiff_t n, const float *w, const float *d,
                         float *out) {
    if (what == 0) depth_channels(0, x, box, n, w, d, out);
    else if (what == 1) depth_channels(1, x, box, n, w, d, out);
    else depth_channels(2, x, box, n, w, d, out);
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
