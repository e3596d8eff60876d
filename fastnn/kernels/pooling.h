/* Windows of a picture, channels side by side in a vector; included by pooling.pxi.

   A window is planes x lines x cells of n numbers each; cells, lines and planes lie so far apart. */
#ifndef FASTNN_POOLING_H
#define FASTNN_POOLING_H

#include "tile.h"

typedef struct { ptrdiff_t planes, lines, cells, plane, line, cell; } fastnn_box;

/* The baseline beside other sets is made small. */
#if FASTNN_VECTOR_BYTES > 16 || defined(FASTNN_BASELINE_ONLY)
#define FASTNN_SMALL 0
#else
#define FASTNN_SMALL 1
#endif

#define EACH_CELL(box, i, j, k, at)                                                                        \
    for (i = 0; i < (box)->planes; i++)                                                                    \
        for (j = 0; j < (box)->lines; j++)                                                                 \
            for (k = 0, at = i * (box)->plane + j * (box)->line; k < (box)->cells; k++, at += (box)->cell)

/* A cell of a window of one line or two of two, the most usual ones. */
#define CELL(box, k) (((k) >> 1) * (box)->line + ((k) & 1) * (box)->cell)

#ifdef FASTNN_VECTOR_BYTES
#define FASTNN_SAME(a, b) ((NAME(mask))(a) == (NAME(mask))(b))
#define FASTNN_CHOOSE(which, a, b) \
    ((NAME(vector))(((which) & (NAME(mask))(a)) | (~(which) & (NAME(mask))(b))))
#else
#define FASTNN_SAME(a, b) ((a) == (b) || ((a) != (a) && (b) != (b)))
#define FASTNN_CHOOSE(which, a, b) ((which) ? (a) : (b))
#endif

#define REAL float
#define NAME(name) name##_float
#include "pooling_body.h"
#undef NAME
/* Of few channels vectors of 64 bytes would be empty, and their stores reach over lines of the cache. */
#if FASTNN_VECTOR_BYTES == 64
#undef FASTNN_VECTOR_BYTES
#define FASTNN_VECTOR_BYTES 32
#define NAME(name) name##_half
#include "tile_body.h"
#include "pooling_body.h"
#undef NAME
#undef FASTNN_VECTOR_BYTES
#define FASTNN_VECTOR_BYTES 64
#else
#define LANES_half 0
#define pool_pairs_half pool_pairs_float
#endif
#undef REAL

#if FASTNN_VECTOR_BYTES == 64
/* The larger of two, cell by cell; of equal ones the first, and a NaN. */
FASTNN_INLINE __m512 pool_larger(__m512 best, __m512 cell) {
    return _mm512_mask_mov_ps(_mm512_max_ps(cell, best), _mm512_cmp_ps_mask(cell, cell, _CMP_UNORD_Q), cell);
}

/* Two by two cells of n channels, at most half a vector: a line of a window is one vector. Masked stores that reach over
   lines of the cache take long, so what lies behind a window's place is written too, while the next ones follow. */
static void pool_narrow(const float *x, const fastnn_box *box, ptrdiff_t step, ptrdiff_t windows, ptrdiff_t n, float *a) {
    const __mmask16 first = (__mmask16)((1u << n) - 1), both = (__mmask16)((1u << 2 * n) - 1);
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i second = _mm512_add_epi32(lane, _mm512_set1_epi32((int)n));
    for (; windows > 0; windows--, x += step, a += n) {
        const __m512 upper = _mm512_maskz_loadu_ps(both, x), lower = _mm512_maskz_loadu_ps(both, x + box->line);
        const __m512 below = pool_larger(lower, _mm512_permutexvar_ps(second, lower));
        const __m512 best = pool_larger(pool_larger(upper, _mm512_permutexvar_ps(second, upper)), below);
        if (windows * n < 16) _mm512_mask_storeu_ps(a, first, best);
        else _mm512_storeu_ps(a, best);
    }
}
#endif

static void pool_windows(int largest, int alone, const float *x, const fastnn_box *box, ptrdiff_t step,
                         ptrdiff_t windows, ptrdiff_t n, float *a, const float *d, float *d_x) {
    if (FASTNN_SMALL || !largest || !alone || box->planes != 1 || box->lines > 2 || box->cells != 2)
        pool_any_float(largest, alone, x, box, step, windows, n, a, d, d_x);
#if FASTNN_VECTOR_BYTES == 64
    else if (n <= LANES_half && box->lines == 2 && !d) pool_narrow(x, box, step, windows, n, a);
#endif
    else if (n <= LANES_half) pool_pairs_half(x, box, step, windows, n, a, d, d_x);
    else pool_pairs_float(x, box, step, windows, n, a, d, d_x);
}

/* What a kernel of a weight for each cell and channel does: FORWARD out = bias + sum of x * w; BACKWARD out += d * w,
   the slopes of the cells; else out += x * d, those of the weights. */
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

#endif
