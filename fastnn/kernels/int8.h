/* Products of whole numbers: rows of bytes by columns of int8, summed exactly in int32, and given as floats.

   W lies in panels of PANEL columns, those left over in panels of PIECE: (depth / 4, columns, 4), filled up with zeros,
   so that four steps of k of a column are neighbours. int8_body.h is the product, written once; this page includes it
   for what the processor has: bytes by bytes in one instruction (VNNI, NEON's dot product), int16 by int16 (AVX2), or
   neither. What is a float is worked out in the same order, without a fused multiply-add, everywhere: so a row gives the
   same bits with each of them, and whatever rows are beside it. */
#ifndef FASTNN_INT8_H
#define FASTNN_INT8_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#include "cpu.h"
#include "tile.h"

enum { INT8_PANEL = 64, INT8_PIECE = 16, INT8_ROWS = 6 };

typedef struct {
    const int8_t *panels;
    const float *scales;                /* of each column, up to whole panels */
    const int32_t *sums;                /* of the weights of each column */
    ptrdiff_t depth;                    /* bytes of a row, a multiple of 4 */
    ptrdiff_t columns;
} Int8;

typedef struct {
    float scale;                        /* x is (byte - zero) * scale */
    int32_t zero;
} Int8Row;

/* What an asm takes for read and written: compilers fuse no product from before it with a sum behind it. */
#if defined(__GNUC__) || defined(__clang__)
#define INT8_APART(address) __asm__ volatile("" : : "r"(address) : "memory")
#else
#define INT8_APART(address) (void)(address)
#endif

/* NEON multiplies signed bytes by signed ones: 128 less on both sides. */
#if defined(__aarch64__)
#include <arm_neon.h>
enum { INT8_SHIFT = 128 };
#else
enum { INT8_SHIFT = 0 };
#endif

/* The least and the most of a row and of 0; gives NaN where one of its numbers is not finite, else 0. */
static float int8_range(const float *x, ptrdiff_t n, float *low, float *high) {
    float least = 0, most = 0, odd = 0;
    ptrdiff_t i = 0;
#if defined(__AVX512F__)
    __m512 a = _mm512_setzero_ps(), b = a, c = a, d = a, v, w;
    for (; i + 32 <= n; i += 32) {
        v = _mm512_loadu_ps(x + i);
        w = _mm512_loadu_ps(x + i + 16);
        a = _mm512_min_ps(a, _mm512_min_ps(v, w));
        b = _mm512_max_ps(b, _mm512_max_ps(v, w));
        c = _mm512_fmadd_ps(v, _mm512_setzero_ps(), c);
        d = _mm512_fmadd_ps(w, _mm512_setzero_ps(), d);
    }
    least = _mm512_reduce_min_ps(a);
    most = _mm512_reduce_max_ps(b);
    odd = _mm512_reduce_add_ps(_mm512_add_ps(c, d));
#elif defined(__AVX2__)
    __m256 a = _mm256_setzero_ps(), b = a, c = a, v, w;
    float l[8], h[8], o[8];
    for (; i + 16 <= n; i += 16) {
        v = _mm256_loadu_ps(x + i);
        w = _mm256_loadu_ps(x + i + 8);
        a = _mm256_min_ps(a, _mm256_min_ps(v, w));
        b = _mm256_max_ps(b, _mm256_max_ps(v, w));
        c = _mm256_or_ps(c, _mm256_or_ps(_mm256_sub_ps(v, v), _mm256_sub_ps(w, w)));
    }
    _mm256_storeu_ps(l, a);
    _mm256_storeu_ps(h, b);
    _mm256_storeu_ps(o, c);
    for (int k = 0; k < 8; k++) {
        least = l[k] < least ? l[k] : least;
        most = h[k] > most ? h[k] : most;
        odd += o[k];
    }
#elif defined(__aarch64__)
    float32x4_t a = vdupq_n_f32(0), b = a, c = a, v;
    for (; i + 4 <= n; i += 4) {
        v = vld1q_f32(x + i);
        a = vminq_f32(a, v);
        b = vmaxq_f32(b, v);
        c = vaddq_f32(c, vsubq_f32(v, v));
    }
    least = vminvq_f32(a);
    most = vmaxvq_f32(b);
    odd = vaddvq_f32(c);
#endif
    for (; i < n; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
        odd += x[i] - x[i];
    }
    *low = least;
    *high = most;
    return odd;
}

/* n numbers as bytes, filled up with zeros to `depth`. range: the least and the most of them, NULL where the row says
   it. A row that is not finite gets a scale that is none. */
static void int8_quantize_row(const float *x, ptrdiff_t n, const float *range, uint8_t *out, ptrdiff_t depth,
                              Int8Row *row) {
    float low, high, odd = int8_range(x, n, &low, &high), scale, inverse;
    int32_t zero;
    ptrdiff_t i = 0;
    if (range) {
        low = range[0];
        high = range[1];
    }
    scale = (high - low) / 255.0f;
    if (!(scale >= 1.17549435e-38f && scale <= 3.4e38f)) {
        odd += scale > 1 ? scale - scale : 0;               /* the range is no float */
        low = high = 0;
        scale = 1;
    }
    inverse = 1 / scale;
    zero = (int32_t)lrintf(-low * inverse);
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16) {
        const __m512 v = _mm512_min_ps(_mm512_max_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(low)), _mm512_set1_ps(high));
        const __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(v, _mm512_set1_ps(inverse))),
                                           _mm512_set1_epi32(zero));
        _mm_storeu_si128((__m128i *)(out + i), _mm512_cvtusepi32_epi8(q));
    }
#elif defined(__AVX2__)
    for (; i + 8 <= n; i += 8) {
        const __m256 v = _mm256_min_ps(_mm256_max_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(low)), _mm256_set1_ps(high));
        const __m256i q = _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(v, _mm256_set1_ps(inverse))),
                                           _mm256_set1_epi32(zero));
        const __m128i s = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
        _mm_storel_epi64((__m128i *)(out + i), _mm_packus_epi16(s, s));
    }
#elif defined(__aarch64__)
    for (; i + 8 <= n; i += 8) {
        const float32x4_t l = vdupq_n_f32(low), h = vdupq_n_f32(high);
        const float32x4_t v = vminq_f32(vmaxq_f32(vld1q_f32(x + i), l), h);
        const float32x4_t w = vminq_f32(vmaxq_f32(vld1q_f32(x + i + 4), l), h);
        const int32x4_t q = vaddq_s32(vcvtnq_s32_f32(vmulq_n_f32(v, inverse)), vdupq_n_s32(zero));
        const int32x4_t r = vaddq_s32(vcvtnq_s32_f32(vmulq_n_f32(w, inverse)), vdupq_n_s32(zero));
        const uint8x8_t bytes = vqmovun_s16(vcombine_s16(vqmovn_s32(q), vqmovn_s32(r)));
        vst1_u8(out + i, veor_u8(bytes, vdup_n_u8(INT8_SHIFT)));
    }
#endif
    for (; i < n; i++) {
        const float v = x[i] > low ? (x[i] < high ? x[i] : high) : low;
        int32_t q = (int32_t)lrintf(v * inverse) + zero;
        q = q < 0 ? 0 : q > 255 ? 255 : q;
        out[i] = (uint8_t)(q ^ INT8_SHIFT);
    }
    memset(out + n, 0, depth - n);
    row->scale = scale + odd;
    row->zero = zero - INT8_SHIFT;
}

/* c = init + (sums - zero * sums of weights) * scales */
FASTNN_INLINE void int8_finish(const int32_t *sums, const Int8Row *row, const Int8 *w, ptrdiff_t first, ptrdiff_t n,
                               const float *init, float *c) {
    float product[INT8_PANEL];
    const uint32_t zero = (uint32_t)row->zero;
    const float scale = row->scale, *scales = w->scales + first;
    const int32_t *of_w = w->sums + first;
    ptrdiff_t j;
    const ptrdiff_t whole = (n + INT8_PIECE - 1) / INT8_PIECE * INT8_PIECE;
    for (j = 0; j < whole; j++)
        product[j] = (float)(int32_t)((uint32_t)sums[j] - zero * (uint32_t)of_w[j]) * (scale * scales[j]);
    INT8_APART(product);
    if (init)
        for (j = 0; j < n; j++) c[j] = init[j] + product[j];
    else
        memcpy(c, product, n * sizeof(float));
}

#if defined(__GNUC__) || defined(__clang__)
#define INT8_TARGET(set) __attribute__((target(set)))
#else
#define INT8_TARGET(set)
#endif

#if !defined(__AVX2__)
/* Numbers one by one. */
#if defined(__aarch64__)
typedef int8_t Int8Byte;
#else
typedef uint8_t Int8Byte;
#endif
typedef struct {
    int32_t of[16];
} Int8Sums;
FASTNN_INLINE Int8Sums int8_dot(Int8Sums sums, const uint8_t *bytes, const int8_t *w) {
    const Int8Byte *x = (const Int8Byte *)bytes;
    for (int j = 0; j < 16; j++)
        sums.of[j] += x[0] * w[4 * j] + x[1] * w[4 * j + 1] + x[2] * w[4 * j + 2] + x[3] * w[4 * j + 3];
    return sums;
}
static const Int8Sums int8_none;
#define NAME(name) int8_plain_##name
#define TARGET
#define LANES 16
#define VECTOR Int8Sums
#define ZERO int8_none
#define SPREAD const uint8_t *
#define SPREAD_OF(p) (p)
#define DOT(sum, x, w) int8_dot(sum, x, w)
#define GIVE(out, sum) memcpy(out, &(sum), sizeof(Int8Sums))
#define FEW_VECTORS 1
#define MANY_VECTORS 1
#define MANY_ROWS 1
#include "int8_body.h"
#endif

#if (defined(__x86_64__) || defined(_M_X64)) && !defined(__AVX2__)
/* Two columns: each has two sums, of int16 by int16, which SSE2 multiplies already. */
#include <emmintrin.h>
static inline __m128i int8_four(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, 4);
    return _mm_unpacklo_epi8(_mm_set1_epi32(four), _mm_setzero_si128());
}
static inline __m128i int8_madd(__m128i sum, __m128i x, const int8_t *p) {
    const __m128i w = _mm_loadl_epi64((const __m128i *)p);
    return _mm_add_epi32(sum, _mm_madd_epi16(x, _mm_srai_epi16(_mm_unpacklo_epi8(w, w), 8)));
}
#define NAME(name) int8_vector_##name
#define TARGET
#define LANES 2
#define VECTOR __m128i
#define ZERO _mm_setzero_si128()
#define SPREAD __m128i
#define SPREAD_OF(p) int8_four(p)
#define DOT(sum, x, w) int8_madd(sum, x, w)
#define GIVE(out, sum)                                                                      \
    _mm_storel_epi64((__m128i *)(out), _mm_shuffle_epi32(_mm_add_epi32(sum, _mm_srli_epi64(sum, 32)), 0xD8))
#define FEW_VECTORS 8
#define MANY_VECTORS 4
#define MANY_ROWS 2
#include "int8_body.h"
#endif

#if defined(__aarch64__)
#define LANES 4
#define VECTOR int32x4_t
#define ZERO vdupq_n_s32(0)
#define SPREAD int8x16_t
#define SPREAD_OF(p) vreinterpretq_s8_s32(vld1q_dup_s32((const int32_t *)(p)))
#define GIVE(out, sum) vst1q_s32(out, sum)
#define FEW_VECTORS 8
#define MANY_VECTORS 4
#define MANY_ROWS 4
#define TARGET
static inline int32x4_t int8_sdot(int32x4_t sum, int8x16_t x, int8x16_t w) {
    FASTNN_BY_NUMBER(0x4E809400, sum, x, w);
    return sum;
}
#define NAME(name) int8_dot_##name
#define DOT(sum, x, w) int8_sdot(sum, x, vld1q_s8(w))
#define KEEP
#include "int8_body.h"
#undef NAME
#undef DOT
/* Products of two bytes in int16, added up four by four. */
static inline int32x4_t int8_wide(int32x4_t sum, int8x16_t x, int8x16_t w) {
    const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(w)), high = vmull_high_s8(x, w);
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
}
#define NAME(name) int8_vector_##name
#define DOT(sum, x, w) int8_wide(sum, x, vld1q_s8(w))
#undef KEEP
#include "int8_body.h"
#endif

#if defined(__AVX2__)
/* Four columns: each has two sums, of int16 by int16. */
static inline void int8_pairs(int32_t *out, __m256i sum) {
#if defined(__GNUC__)
    __asm__("" : "+x"(sum));            /* or GCC keeps both halves beside it all along */
#endif
    _mm_storeu_si128((__m128i *)out, _mm_hadd_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1)));
}
#define NAME(name) int8_vector_##name
#define TARGET
#define LANES 4
#define VECTOR __m256i
#define ZERO _mm256_setzero_si256()
#define SPREAD __m256i
#define SPREAD_OF(p) _mm256_cvtepu8_epi16(_mm_castps_si128(_mm_broadcast_ss((const float *)(p))))
#define DOT(sum, x, w) \
    _mm256_add_epi32(sum, _mm256_madd_epi16(x, _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w)))))
#define GIVE(out, sum) int8_pairs(out, sum)
#define FEW_VECTORS 8
#define MANY_VECTORS 4
#define MANY_ROWS 4
#include "int8_body.h"

#if defined(__AVX512F__)
#define NAME(name) int8_dot_##name
#define TARGET INT8_TARGET("avx512vnni")
#define LANES 16
#define VECTOR __m512i
#define ZERO _mm512_setzero_si512()
#define SPREAD __m512i
#define SPREAD_OF(p) _mm512_set1_epi32(int8_quad(p))
#define DOT(sum, x, w) _mm512_dpbusd_epi32(sum, x, _mm512_loadu_si512(w))
#define GIVE(out, sum) _mm512_storeu_si512(out, sum)
#define FEW_VECTORS 4
#define MANY_VECTORS 4
#define MANY_ROWS 6
#else
#define NAME(name) int8_dot_##name
#define TARGET INT8_TARGET("avxvnni")
#define LANES 8
#define VECTOR __m256i
#define ZERO _mm256_setzero_si256()
#define SPREAD __m256i
#define SPREAD_OF(p) _mm256_set1_epi32(int8_quad(p))
#define DOT(sum, x, w) _mm256_dpbusd_avx_epi32(sum, x, _mm256_loadu_si256((const __m256i *)(w)))
#define GIVE(out, sum) _mm256_storeu_si256((__m256i *)(out), sum)
#define FEW_VECTORS 8
#define MANY_VECTORS 4
#define MANY_ROWS 2
#endif
static inline int32_t int8_quad(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, 4);
    return four;
}
#include "int8_body.h"
#endif

typedef void (*Int8Multiply)(const uint8_t *x, ptrdiff_t stride, const Int8Row *rows, ptrdiff_t m, const Int8 *w,
                             const float *init, ptrdiff_t init_stride, float *c, ptrdiff_t c_stride);

/* The best that runs here, or what serves where the processor has no such instruction. */
static Int8Multiply int8_best(int without) {
#if defined(__AVX512F__)
    return cpu_has_dot(1) && !without ? int8_dot_multiply : int8_vector_multiply;
#elif defined(__AVX2__) || defined(__aarch64__)
    return cpu_has_dot(0) && !without ? int8_dot_multiply : int8_vector_multiply;
#elif defined(__x86_64__) || defined(_M_X64)
    return without ? int8_plain_multiply : int8_vector_multiply;
#else
    return int8_plain_multiply;
#endif
}

#endif
