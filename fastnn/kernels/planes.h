/* Convolution where a pixel's filters fill no vector: pixels side by side in one. Included by planes.pxi.

   A picture lies as planes, one behind the other: of each channel, all pixels. A tap of the kernel then meets pixels
   side by side, so many numbers from where it meets the first. Lines of pixels are not cut: what a vector has of a
   line's end and the next one's beginning is worked out like the rest, and left out. */
#ifndef FASTNN_PLANES_H
#define FASTNN_PLANES_H

#include "tile.h"

/* Not for the baseline beside other sets: its vectors of four are full anyway, and few run it. */
#if defined(FASTNN_VECTOR_BYTES) && (FASTNN_VECTOR_BYTES > 16 || defined(FASTNN_BASELINE_ONLY))
/* Keeps gcc from reading it again for each product: of 32 registers it thinks there are too few. */
#if defined(__AVX512F__) && defined(FASTNN_VECTOR_BYTES)
#define FASTNN_HOLD(vector) __asm__("" : "+v"(vector))
#else
#define FASTNN_HOLD(vector)
#endif

/* Accumulators and operands fill the registers: filters x vectors of pixels, and filters x taps. */
enum {
    PLANE_LANES = LANES_float,
    PLANE_FILTERS = FASTNN_TILE_ROWS > 6 ? 6 : 3,
    PLANE_VECTORS = 3,
    PLANE_TAPS = 4,
    PLANE_PIXELS = PLANE_VECTORS * LANES_float
};

/* out[f][j] = bias[f] + sum over k of w[k][f] * x[taps[k] + j], for filters f and PLANE_PIXELS pixels j; floors: what is
   below 0 becomes 0. */
FASTNN_INLINE void planes_tile(int filters, const float *x, const ptrdiff_t *taps, ptrdiff_t depth, const float *w,
                               ptrdiff_t width, const float *bias, int floors, float *out, ptrdiff_t pitch) {
    typedef __typeof__((vector_float){0} < (vector_float){0}) mask;
    vector_float acc[PLANE_FILTERS][PLANE_VECTORS];
    ptrdiff_t k;
    int f, v;
    FASTNN_UNROLL
    for (f = 0; f < filters; f++) {
        FASTNN_UNROLL
        for (v = 0; v < PLANE_VECTORS; v++) acc[f][v] = zero_float() + (bias ? bias[f] : 0);
    }
    for (k = 0; k < depth; k++, w += width) {
        const float *from = x + taps[k];
        vector_float pixels[PLANE_VECTORS];
        FASTNN_UNROLL
        for (v = 0; v < PLANE_VECTORS; v++) pixels[v] = load_float(from + v * LANES_float);
        FASTNN_UNROLL
        for (f = 0; f < filters; f++) {
            const float weight = w[f];
            FASTNN_UNROLL
            for (v = 0; v < PLANE_VECTORS; v++) acc[f][v] += pixels[v] * weight;
        }
    }
    FASTNN_UNROLL
    for (f = 0; f < filters; f++) {
        FASTNN_UNROLL
        for (v = 0; v < PLANE_VECTORS; v++) {
            const vector_float z = acc[f][v];
            const mask kept = floors ? ~(z < zero_float()) : ~(mask)zero_float();
            store_float(out + f * pitch + v * LANES_float, (vector_float)((mask)z & kept));
        }
    }
}

/* sums[k][f] += d[f][j] * x[taps[k] + j], lane by lane, for filters f and up to PLANE_TAPS taps k. */
FASTNN_INLINE void planes_sums(int filters, const float *x, const ptrdiff_t *taps, ptrdiff_t some, const float *d,
                               ptrdiff_t n, float *sums, ptrdiff_t width) {
    vector_float acc[PLANE_TAPS][PLANE_FILTERS];
    const float *from[PLANE_TAPS];
    ptrdiff_t j;
    int k, f;
    FASTNN_UNROLL
    for (k = 0; k < PLANE_TAPS; k++) {
        from[k] = x + taps[k < some ? k : 0];
        FASTNN_UNROLL
        for (f = 0; f < filters; f++) acc[k][f] = load_float(sums + ((k < some ? k : 0) * width + f) * LANES_float);
    }
    for (j = 0; j < n; j += LANES_float) {
        vector_float slope[PLANE_FILTERS];
        FASTNN_UNROLL
        for (f = 0; f < filters; f++) {
            slope[f] = load_float(d + f * n + j);
            FASTNN_HOLD(slope[f]);
        }
        FASTNN_UNROLL
        for (k = 0; k < PLANE_TAPS; k++) {
            vector_float pixels = load_float(from[k] + j);
            FASTNN_HOLD(pixels);
            FASTNN_UNROLL
            for (f = 0; f < filters; f++) acc[k][f] += pixels * slope[f];
        }
    }
    FASTNN_UNROLL
    for (k = 0; k < PLANE_TAPS; k++) {
        FASTNN_UNROLL
        for (f = 0; f < filters; f++)
            if (k < some) store_float(sums + (k * width + f) * LANES_float, acc[k][f]);
    }
}

/* Filters of the next tile. */
#define PLANE_CASES(left)                                       \
    if (FASTNN_TILE_ROWS > 6 && left >= 6) PLANE_CASE(6);       \
    else if (left >= 3) PLANE_CASE(3);                          \
    else if (left == 2) PLANE_CASE(2);                          \
    else PLANE_CASE(1)

static void planes_forward(const float *x, const ptrdiff_t *taps, ptrdiff_t depth, const float *w, ptrdiff_t width,
                           const float *bias, int floors, float *out, ptrdiff_t n) {
    ptrdiff_t j, f;
    int some;
    for (j = 0; j < n; j += PLANE_PIXELS)
        for (f = 0; f < width; f += some) {
#define PLANE_CASE(F) \
    planes_tile(some = F, x + j, taps, depth, w + f, width, bias ? bias + f : bias, floors, out + f * n + j, n)
            PLANE_CASES(width - f);
#undef PLANE_CASE
        }
}

static void planes_gradient(const float *x, const ptrdiff_t *taps, ptrdiff_t depth, const float *d, ptrdiff_t width,
                            ptrdiff_t n, float *sums) {
    ptrdiff_t k, f;
    int some;
    for (k = 0; k < depth; k += PLANE_TAPS)
        for (f = 0; f < width; f += some) {
#define PLANE_CASE(F) \
    planes_sums(some = F, x, taps + k, depth - k, d + f * n, n, sums + (k * width + f) * LANES_float, width)
            PLANE_CASES(width - f);
#undef PLANE_CASE
        }
}

#ifdef FASTNN_QUADS
/* Four pixels of `some` channels, which lie `from_pitch` apart, to planes; or the other way. some: 1, 2 or 4. */
FASTNN_INLINE void turn_few(int to_planes, int some, const float *from, ptrdiff_t from_pitch, float *to,
                            ptrdiff_t to_pitch) {
    const int rows = to_planes ? some : 4, columns = to_planes ? 4 : some, given = to_planes ? 4 : some;
    quad r[4], out[4];
    int i;
    FASTNN_UNROLL
    for (i = 0; i < 4; i++) r[i] = *(const quad *)(from + (i < given ? i : 0) * from_pitch);
    {
        const quad a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
        const quad c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
        const quad e = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
        const quad g = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
        if (columns <= 2) {
            out[0] = a;
            out[1] = __builtin_shufflevector(a, a, 2, 3, 0, 1);
            out[2] = e;
            out[3] = __builtin_shufflevector(e, e, 2, 3, 0, 1);
        } else {
            out[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
            out[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
            out[2] = __builtin_shufflevector(e, g, 0, 1, 4, 5);
            out[3] = __builtin_shufflevector(e, g, 2, 3, 6, 7);
        }
    }
    FASTNN_UNROLL
    for (i = 0; i < rows; i++, to += to_pitch) {
        if (columns == 4) *(quad *)to = out[i];
        else if (columns == 2) memcpy(to, &out[i], 8);
        else *to = out[i][0];
    }
}
#endif

/* planes[c][j] = x[j][c], or the other way, for lines of n pixels, so many numbers apart in planes. */
FASTNN_INLINE void turn_pixels(int to_planes, float *x, ptrdiff_t channels, ptrdiff_t lines, ptrdiff_t n, float *planes,
                               ptrdiff_t line, ptrdiff_t plane) {
    ptrdiff_t j, c;
    for (; lines > 0; lines--, planes += line, x += n * channels) {
        j = 0;
#ifdef FASTNN_QUADS
#define TURN_FEW(some)                                                                              \
    if (to_planes) turn_few(1, some, x + j * channels + c, channels, planes + c * plane + j, plane); \
    else turn_few(0, some, planes + c * plane + j, plane, x + j * channels + c, channels)
        /* Behind the last pixel there may be nothing to read. */
        for (; j + 4 < n + (lines > 1); j += 4) {
            for (c = 0; c + 4 <= channels; c += 4) { TURN_FEW(4); }
            if (c + 2 <= channels) {
                TURN_FEW(2);
                c += 2;
            }
            if (c < channels) { TURN_FEW(1); }
        }
#undef TURN_FEW
#endif
        for (; j < n; j++)
            for (c = 0; c < channels; c++) {
                if (to_planes) planes[c * plane + j] = x[j * channels + c];
                else x[j * channels + c] = planes[c * plane + j];
            }
    }
}

static void turn_planes(int to_planes, float *x, ptrdiff_t channels, ptrdiff_t lines, ptrdiff_t n, float *planes,
                        ptrdiff_t line, ptrdiff_t plane) {
    if (channels == 1)
        for (; lines > 0; lines--, x += n, planes += line)
            memcpy(to_planes ? planes : x, to_planes ? x : planes, (size_t)n * sizeof(float));
    else if (to_planes) turn_pixels(1, x, channels, lines, n, planes, line, plane);
    else turn_pixels(0, x, channels, lines, n, planes, line, plane);
}

/* Lanes of each sum, in halves. */
static void planes_total(const float *sums, ptrdiff_t n, float *out) {
    ptrdiff_t i;
    int lane, half;
    for (i = 0; i < n; i++, sums += LANES_float) {
        float lanes[LANES_float];
        memcpy(lanes, sums, sizeof lanes);
        for (half = LANES_float / 2; half > 0; half /= 2)
            for (lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
        out[i] = lanes[0];
    }
}

#else
enum { PLANE_LANES = 0 };
#define planes_forward(...) ((void)0)
#define planes_gradient(...) ((void)0)
#define planes_total(...) ((void)0)
#define turn_planes(...) ((void)0)
#endif
#endif
