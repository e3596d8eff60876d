/* Winograd's F(2, 3) along the lines of a picture, for a kernel three pixels wide; included by winograd.pxi.

   Two neighbouring places of a line meet four pixels, which are one tile. In between the products work on four numbers
   of a tile, a plane of tiles for each, with 4 multiplications where there were 6:

     windows   v = x0 - x2, x1 + x2, x2 - x1, x1 - x3           the pixels
     kernel    u = w0, (w0 + w1 + w2) / 2, (w0 - w1 + w2) / 2, w2
     given     y = m0 + m1 + m2, m1 - m2 - m3                   m: products of v and u

   What goes back goes through the same maps, turned. Channels lie side by side in vectors. */
#ifndef FASTNN_WINOGRAD_H
#define FASTNN_WINOGRAD_H

#include "tile.h"

enum { WINDOWS, GIVEN, FLOORED, SLOPES, SPREAD };

/* Not for the baseline beside other sets, which is made small. */
#if defined(FASTNN_VECTOR_BYTES) && (FASTNN_VECTOR_BYTES > 16 || defined(FASTNN_BASELINE_ONLY))
enum { WINOGRAD = 1 };

#define PART_LOAD(p) (part ? load_part_float(p, part) : load_float(p))
#define PART_STORE(p, v)                            \
    do {                                            \
        if (part) store_part_float(p, v, part);     \
        else store_float(p, v);                     \
    } while (0)

/* Some channels of tile t of a line; pixels: how many the line has from x on; n: numbers of a pixel. */
FASTNN_INLINE void winograd_part(int what, int part, float *x, ptrdiff_t pixels, ptrdiff_t n, float *tile,
                                 ptrdiff_t plane, const float *bias, int first, int last) {
    const vector_float none = zero_float();
    vector_float a, b, c, d;
    if (what == WINDOWS) {
        a = PART_LOAD(x);
        b = PART_LOAD(x + n);
        c = PART_LOAD(x + 2 * n);
        d = pixels > 3 ? PART_LOAD(x + 3 * n) : none;
        PART_STORE(tile, a - c);
        PART_STORE(tile + plane, b + c);
        PART_STORE(tile + 2 * plane, c - b);
        PART_STORE(tile + 3 * plane, b - d);
    } else if (what == GIVEN || what == FLOORED) {
        typedef __typeof__(none < none) mask;
        a = PART_LOAD(tile);
        b = PART_LOAD(tile + plane);
        c = PART_LOAD(tile + 2 * plane);
        d = PART_LOAD(tile + 3 * plane);
        a = a + b + c;
        b = b - c - d;
        if (bias) {
            a += PART_LOAD(bias);
            b += PART_LOAD(bias);
        }
        if (what == FLOORED) {
            a = (vector_float)((mask)a & ~(a < none));
            b = (vector_float)((mask)b & ~(b < none));
        }
        PART_STORE(x, a);
        if (pixels > 1) PART_STORE(x + n, b);
    } else if (what == SLOPES) {
        a = PART_LOAD(x);
        b = pixels > 1 ? PART_LOAD(x + n) : none;
        PART_STORE(tile, a);
        PART_STORE(tile + plane, a + b);
        PART_STORE(tile + 2 * plane, a - b);
        PART_STORE(tile + 3 * plane, none - b);
    } else {                    /* two pixels, of this tile the first ones, of that before it the last */
        vector_float even = PART_LOAD(x), odd = pixels > 1 ? PART_LOAD(x + n) : none;
        if (!first) {
            const float *before = tile - n;
            even += PART_LOAD(before + plane) + PART_LOAD(before + 2 * plane) - PART_LOAD(before);
            odd -= PART_LOAD(before + 3 * plane);
        }
        if (!last) {
            even += PART_LOAD(tile);
            odd += PART_LOAD(tile + plane) - PART_LOAD(tile + 2 * plane) + PART_LOAD(tile + 3 * plane);
        }
        PART_STORE(x, even);
        if (pixels > 1) PART_STORE(x + n, odd);
    }
}

FASTNN_INLINE void winograd_line(int what, float *x, ptrdiff_t pixels, ptrdiff_t n, float *tiles, ptrdiff_t count,
                                 ptrdiff_t plane, const float *bias) {
    ptrdiff_t t, c;
    for (t = 0; t < count + (what == SPREAD); t++, x += 2 * n, tiles += n, pixels -= 2) {
        for (c = 0; c + LANES_float <= n; c += LANES_float)
            winograd_part(what, 0, x + c, pixels, n, tiles + c, plane, bias ? bias + c : bias, t == 0, t == count);
        if (c < n)
            winograd_part(what, (int)(n - c), x + c, pixels, n, tiles + c, plane, bias ? bias + c : bias, t == 0,
                          t == count);
    }
}

/* what: from pixels to tiles, or the other way; lines of `count` tiles, whose pixels begin `apart` numbers apart. */
static void winograd_tiles(int what, float *x, ptrdiff_t lines, ptrdiff_t apart, ptrdiff_t pixels, ptrdiff_t n,
                           float *tiles, ptrdiff_t count, ptrdiff_t plane, const float *bias) {
    for (; lines > 0; lines--, x += apart, tiles += count * n) {
        if (what == WINDOWS) winograd_line(WINDOWS, x, pixels, n, tiles, count, plane, bias);
        else if (what == GIVEN) winograd_line(GIVEN, x, pixels, n, tiles, count, plane, bias);
        else if (what == FLOORED) winograd_line(FLOORED, x, pixels, n, tiles, count, plane, bias);
        else if (what == SLOPES) winograd_line(SLOPES, x, pixels, n, tiles, count, plane, bias);
        else winograd_line(SPREAD, x, pixels, n, tiles, count, plane, bias);
    }
}

FASTNN_INLINE void winograd_weights(int back, int part, float *w, ptrdiff_t n, float *u, ptrdiff_t plane) {
    const vector_float half = zero_float() + 0.5f;
    if (!back) {
        const vector_float a = PART_LOAD(w), b = PART_LOAD(w + n) * half, c = PART_LOAD(w + 2 * n);
        const vector_float ends = (a + c) * half;
        PART_STORE(u, a);
        PART_STORE(u + plane, ends + b);
        PART_STORE(u + 2 * plane, ends - b);
        PART_STORE(u + 3 * plane, c);
    } else {
        const vector_float b = PART_LOAD(u + plane), c = PART_LOAD(u + 2 * plane), ends = (b + c) * half;
        PART_STORE(w, PART_LOAD(u) + ends);
        PART_STORE(w + n, (b - c) * half);
        PART_STORE(w + 2 * n, ends + PART_LOAD(u + 3 * plane));
    }
}

/* A kernel of some lines, three times n numbers each, to its four planes; back: gradients the other way. */
static void winograd_kernel(int back, float *w, ptrdiff_t lines, ptrdiff_t n, float *u) {
    const ptrdiff_t plane = lines * n;
    ptrdiff_t i;
    for (; lines > 0; lines--, w += 3 * n, u += n) {
        for (i = 0; i + LANES_float <= n; i += LANES_float) winograd_weights(back, 0, w + i, n, u + i, plane);
        if (i < n) winograd_weights(back, (int)(n - i), w + i, n, u + i, plane);
    }
}

#undef PART_LOAD
#undef PART_STORE

#else
enum { WINOGRAD = 0 };
#define winograd_tiles(...) ((void)0)
#define winograd_kernel(...) ((void)0)
#endif
#endif
