/* Floats of 16 bits as float32 ones, and a row by a panel of them: sums as tile.h has them, so that a row alone gives the
   bits that it gives beside others. */
#ifndef FASTNN_HALF_H
#define FASTNN_HALF_H

#include <stdint.h>
#include "tile.h"

/* One float; of float16 those too small for its exponent, infinities and NaN too. */
FASTNN_INLINE float half_one(int brain, uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    if (!brain) {
        const uint32_t magnitude = (uint32_t)(half & 0x7FFF) << 13;
        float small = (float)(half & 0x3FF) * 5.9604644775390625e-8f;
        bits = magnitude + (magnitude >= 0x0F800000 ? 0x70000000 : 0x38000000);
        if (magnitude < 0x00800000) memcpy(&bits, &small, 4);
        bits |= (uint32_t)(half & 0x8000) << 16;
    }
    memcpy(&value, &bits, 4);
    return value;
}

#if defined(__AVX512F__) && defined(FASTNN_VECTOR_BYTES)
#define HALF_LANES 16
#define HALF_TARGET
typedef __m512 Halves;
FASTNN_INLINE Halves half_some(int brain, const uint16_t *p) {
    const __m256i h = _mm256_loadu_si256((const __m256i *)p);
    return brain ? _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)) : _mm512_cvtph_ps(h);
}
#elif defined(__AVX2__) && defined(FASTNN_VECTOR_BYTES)
#define HALF_LANES 8
#define HALF_TARGET __attribute__((target("f16c")))     /* which all processors with AVX2 have */
typedef __m256 Halves;
FASTNN_INLINE HALF_TARGET Halves half_some(int brain, const uint16_t *p) {
    const __m128i h = _mm_loadu_si128((const __m128i *)p);
    return brain ? _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)) : _mm256_cvtph_ps(h);
}
#elif defined(FASTNN_VECTOR_BYTES)
#define HALF_LANES 4
#define HALF_TARGET
typedef vector_float Halves;
FASTNN_INLINE Halves half_some(int brain, const uint16_t *p) {
    Halves v = {half_one(brain, p[0]), half_one(brain, p[1]), half_one(brain, p[2]), half_one(brain, p[3])};
    return v;
}
#else
#define HALF_LANES 1
#define HALF_TARGET
typedef float Halves;
FASTNN_INLINE Halves half_some(int brain, const uint16_t *p) { return half_one(brain, *p); }
#endif

FASTNN_INLINE HALF_TARGET void half_widen_kind(int brain, const uint16_t *halves, ptrdiff_t n, float *out) {
    ptrdiff_t i;
    for (i = 0; i < n; i += HALF_LANES) store_float(out + i, half_some(brain, halves + i));
}

/* n: a multiple of 16. */
static HALF_TARGET void half_widen(int brain, const uint16_t *halves, ptrdiff_t n, float *out) {
    if (brain) half_widen_kind(1, halves, n, out);
    else half_widen_kind(0, halves, n, out);
}

enum { HALF_PANEL = 64, HALF_PIECE = 16, HALF_MOST = HALF_LANES > 4 ? 64 / HALF_LANES : 16 / HALF_LANES };

/* Some vectors of columns: sums that begin with what c has. */
FASTNN_INLINE HALF_TARGET void half_columns(int brain, int vectors, const float *x, const uint16_t *w, ptrdiff_t depth,
                                            ptrdiff_t width, float *c) {
    Halves sums[HALF_MOST];
    ptrdiff_t k;
    int j;
    FASTNN_UNROLL
    for (j = 0; j < vectors; j++) sums[j] = load_float(c + j * HALF_LANES);
    for (k = 0; k < depth; k++, w += width) {
        FASTNN_UNROLL
        for (j = 0; j < vectors; j++) sums[j] += x[k] * half_some(brain, w + j * HALF_LANES);
    }
    FASTNN_UNROLL
    for (j = 0; j < vectors; j++) store_float(c + j * HALF_LANES, sums[j]);
}

FASTNN_INLINE HALF_TARGET void half_panel(int brain, const float *x, const uint16_t *w, ptrdiff_t depth, ptrdiff_t width,
                                          float *sums) {
    const int piece = HALF_PIECE / HALF_LANES;
    ptrdiff_t at;
    if (width == HALF_PANEL)
        for (at = 0; at < width; at += HALF_MOST * HALF_LANES)
            half_columns(brain, HALF_MOST, x, w + at, depth, width, sums + at);
    else
        half_columns(brain, piece, x, w, depth, width, sums);
}

/* c = init + x.W for n columns of a panel of `width`. */
static HALF_TARGET void half_row(int brain, const float *x, const uint16_t *w, ptrdiff_t depth, ptrdiff_t width,
                                 ptrdiff_t n, const float *init, float *c) {
    float sums[HALF_PANEL] = {0};
    if (init) memcpy(sums, init, n * sizeof(float));
    if (brain) half_panel(1, x, w, depth, width, sums);
    else half_panel(0, x, w, depth, width, sums);
    memcpy(c, sums, n * sizeof(float));
}

/* Patches of a picture, one behind the other: segments of so many bytes, which begin so many numbers of `item` bytes
   behind where the patch does. Up to GATHER_SLACK bytes more are read behind a segment and written behind the last. */
enum { GATHER_SLACK = 16 };

static void gather_segments(const char *picture, ptrdiff_t item, const float *const *places, const float *zero,
                            ptrdiff_t n, const ptrdiff_t *firsts, ptrdiff_t segments, ptrdiff_t bytes, char *out,
                            ptrdiff_t stride) {
    ptrdiff_t i, k, at;
    for (i = 0; i < n; i++, out += stride) {
        const char *patch = picture + (places[i] - zero) * item;
        for (k = 0; k < segments; k++)
            for (at = 0; at < bytes; at += GATHER_SLACK)
                memcpy(out + k * bytes + at, patch + firsts[k] * item + at, GATHER_SLACK);
    }
}

#endif
