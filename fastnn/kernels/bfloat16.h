/* Products whose inputs are rounded to bfloat16, to the nearest and ties to even, and whose sums are float32.

   bfloat16_body.h is written once, for what the processor has (AVX-512's VDPBF16PS, aarch64's BFDOT) and, with
   FASTNN_CHECKED alone, for what tests compare that with: numbers one by one. Two steps of k are taken at a time. On x86,
   and elsewhere in tests, the second of a pair is first, each a multiply-add, whose product is exact; numbers too small for
   a normal float are 0 (Intel 64 and IA-32 Architectures Software Developer's Manual, VDPBF16PS, VCVTNE2PS2BF16). On aarch64
   the two products are added, then their sum to what is there, each sum rounded to odd (Arm Architecture Reference Manual,
   BFDOT, BFDotAdd, as it is without FPCR.EBF); numbers too small are 0 as well. An element is one chain in the order of k,
   whatever stands beside it; an odd k, and each odd segment of a row, is filled up with a zero. */
#ifndef FASTNN_BFLOAT16_H
#define FASTNN_BFLOAT16_H

#include <stdint.h>
#include <string.h>
#include "cpu.h"
#include "tile.h"

/* Pairs of k in one go, rows of A that are rounded together, whole tiles, and panels of B, for which a page is met once:
   so many as stay in the second cache. */
enum { BF_DEPTH = 256, BF_ROWS = 264, BF_TALL = 12, BF_WIDE = 32, BF_PIECES = 64, BF_PANELS_AT_ONCE = 4, BF_PITCH = BF_DEPTH + 16 };
/* What a product is told of its operands: both as they lie; A turned; B turned; B in panels. */
enum { BF_ROWS_OF_A, BF_TURNED_A, BF_TURNED_B, BF_PANELS };

/* Some steps of k: where in a row of A, which row of B, how many, and how many pairs are before them. */
typedef struct {
    ptrdiff_t a, b, n, at;
} Piece;

/* The bits of a float whose lower half is 0: of the nearest one. */
FASTNN_INLINE uint32_t bfloat16_bits(uint32_t bits) {
    const uint32_t magnitude = bits & 0x7FFFFFFF, near = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000;
    const uint32_t finite = magnitude < 0x00800000 ? bits & 0x80000000 : near;
    return magnitude > 0x7F800000 ? (bits | 0x400000) & 0xFFFF0000 : finite;
}

/* `lines` of n numbers, so far apart, rounded, as floats one behind the other. */
static void bfloat16_round(const float *x, ptrdiff_t stride, ptrdiff_t lines, ptrdiff_t n, float *out) {
    ptrdiff_t i;
    for (; lines > 0; lines--, x += stride, out += n)
        for (i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, x + i, 4);
            bits = bfloat16_bits(bits);
            memcpy(out + i, &bits, 4);
        }
}

#if defined(FASTNN_CHECKED) || defined(__aarch64__)
FASTNN_INLINE void bfloat16_pair(const float *first, const float *second, float *out) {
    uint32_t bits[2] = {0, 0};
    memcpy(bits, first, 4);
    if (second) memcpy(bits + 1, second, 4);
    bits[0] = bfloat16_bits(bits[0]) >> 16 | bfloat16_bits(bits[1]);
    memcpy(out, bits, 4);
}

static void plain_along(const float *x, ptrdiff_t n, float *out) {
    for (; n > 1; n -= 2, x += 2) bfloat16_pair(x, x + 1, out++);
    if (n) bfloat16_pair(x, NULL, out);
}

static void plain_across(const float *x, const float *below, ptrdiff_t n, float *out) {
    ptrdiff_t i;
    for (i = 0; below && i < n && i < 16; i++) bfloat16_pair(x + i, below + i, out + i);
    for (; i < n && i < 16; i++) bfloat16_pair(x + i, NULL, out + i);
}
#endif

#if defined(__AVX512F__) && defined(FASTNN_VECTOR_BYTES) && (defined(__clang__) || __GNUC__ >= 10)
#define BF_TARGET __attribute__((target("avx512bf16")))
#define BF_FETCH(address) __builtin_prefetch(address)
#define NAME(name) bfloat16_##name

FASTNN_INLINE __mmask16 bfloat16_mask(ptrdiff_t n) { return (__mmask16)(n > 15 ? 0xFFFF : n > 0 ? (1u << n) - 1 : 0); }

/* n numbers as pairs, filled up with zeros; 16 pairs at a time are written. */
FASTNN_INLINE BF_TARGET void bfloat16_along(const float *x, ptrdiff_t n, float *out) {
    for (; n >= 32; n -= 32, x += 32, out += 16)
        _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x)));
    if (n > 0)
        _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(
            _mm512_maskz_loadu_ps(bfloat16_mask(n - 16), x + 16), _mm512_maskz_loadu_ps(bfloat16_mask(n), x)));
}

/* Up to 16 pairs of a number of one row and of the one below it, or 0. */
FASTNN_INLINE BF_TARGET void bfloat16_across(const float *x, const float *below, ptrdiff_t n, float *out) {
    const __m512i order = _mm512_add_epi32(_mm512_set1_epi32(0x100000), _mm512_mullo_epi32(
        _mm512_set1_epi32(0x10001), _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)));
    const __mmask16 mask = bfloat16_mask(n);
    const __m512 second = below ? _mm512_maskz_loadu_ps(mask, below) : _mm512_setzero_ps();
    _mm512_mask_storeu_epi32(out, mask, _mm512_permutexvar_epi16(
        order, (__m512i)_mm512_cvtne2ps_pbh(second, _mm512_maskz_loadu_ps(mask, x))));
}

/* A tile of C, up to `height` rows, of which `rows` are there. A's pairs: `apart` from row to row, `along` from one to the
   next; three rows of B's are reached from one register. */
FASTNN_INLINE BF_TARGET void bfloat16_tile(
    int height, int vectors, int rows, int columns, const float *a, ptrdiff_t apart, ptrdiff_t along, const float *b,
    const float *init, ptrdiff_t init_stride, float *c, ptrdiff_t c_stride, ptrdiff_t depth) {
    const __mmask16 part = bfloat16_mask(columns - 16 * (vectors - 1));
    const ptrdiff_t stride = columns;
    const float *base[BF_TALL / 4] = {a, a + 4 * apart, a + 8 * apart};
    __m512 acc[BF_TALL][2], panel[2];
    ptrdiff_t k;
    int i, v;
    FASTNN_UNROLL
    for (i = 0; i < height; i++) {
        FASTNN_UNROLL
        for (v = 0; v < vectors; v++)
            acc[i][v] = init && i < rows ? _mm512_maskz_loadu_ps(v < vectors - 1 ? 0xFFFF : part,
                                                                 init + i * init_stride + 16 * v)
                                         : _mm512_setzero_ps();
    }
    for (k = 0; k < depth; k++, b += stride) {
        FASTNN_UNROLL
        for (v = 0; v < vectors; v++) panel[v] = _mm512_maskz_loadu_ps(v < vectors - 1 ? 0xFFFF : part, b + 16 * v);
        FASTNN_UNROLL
        for (i = 0; i < height; i++) {
            FASTNN_UNROLL
            for (v = 0; v < vectors; v++)   /* which compilers make two instructions of; 0.8 of the time for one vector */
                __asm__("vdpbf16ps %2%{1to16%}, %1, %0"
                        : "+v"(acc[i][v]) : "v"(panel[v]), "m"(base[i / 4][i % 4 * apart]));
        }
        FASTNN_UNROLL
        for (i = 0; 4 * i < height; i++) base[i] += along;
    }
    FASTNN_UNROLL
    for (i = 0; i < height; i++) {
        FASTNN_UNROLL
        for (v = 0; v < vectors; v++)
            if (i < rows)
                _mm512_mask_storeu_ps(c + i * c_stride + 16 * v, v < vectors - 1 ? 0xFFFF : part, acc[i][v]);
    }
}

#define BF_CASE(height)                                                                                              \
    if (columns > 16)                                                                                                \
        bfloat16_tile(height, 2, rows, columns, a, apart, along, b, init, init_stride, c, c_stride, depth);          \
    else                                                                                                             \
        bfloat16_tile(height, 1, rows, columns, a, apart, along, b, init, init_stride, c, c_stride, depth)

/* Rows that are not there are worked out with the others: of what lies in the workspace. */
static BF_TARGET void bfloat16_tiles(
    int rows, int columns, const float *a, ptrdiff_t apart, ptrdiff_t along, const float *b, const float *init,
    ptrdiff_t init_stride, float *c, ptrdiff_t c_stride, ptrdiff_t depth) {
    if (rows > 8) BF_CASE(12);
    else if (rows > 4) BF_CASE(8);
    else if (rows > 1) BF_CASE(4);
    else BF_CASE(1);
}
#include "bfloat16_body.h"
#undef NAME
#undef BF_TARGET
#undef BF_FETCH
#define BF_HERE
#elif defined(__aarch64__) && defined(FASTNN_VECTOR_BYTES)
#define BF_TARGET
#define BF_FETCH(address) __builtin_prefetch(address)
#define NAME(name) bfloat16_##name
#define bfloat16_along plain_along
#define bfloat16_across plain_across

/* bfdot sum.4s, x.8h, pair.2h[0] */
FASTNN_INLINE vector_float bfloat16_dot(vector_float sum, vector_float x, float pair) {
    FASTNN_BY_NUMBER(0x4F40F000, sum, x, pair);
    return sum;
}

/* A whole tile of C, of whose last vector `part` columns of B are there, or 0 for all. */
FASTNN_INLINE void bfloat16_tile(
    int height, int vectors, int part, const float *a, ptrdiff_t apart, ptrdiff_t along, const float *b, ptrdiff_t b_stride,
    const float *init, ptrdiff_t init_stride, float *c, ptrdiff_t c_stride, ptrdiff_t depth) {
    vector_float acc[BF_TALL][2], panel[2];
    int i, v;
    FASTNN_UNROLL
    for (i = 0; i < height; i++) {
        FASTNN_UNROLL
        for (v = 0; v < vectors; v++) acc[i][v] = load_float(init + i * init_stride + 4 * v);
    }
    for (; depth > 0; depth--, a += along, b += b_stride) {
        panel[0] = vectors == 1 && part ? load_part_float(b, part) : load_float(b);
        if (vectors == 2) panel[1] = part ? load_part_float(b + 4, part) : load_float(b + 4);
        FASTNN_UNROLL
        for (i = 0; i < height; i++) {
            const float pair = a[i * apart];
            FASTNN_UNROLL
            for (v = 0; v < vectors; v++) acc[i][v] = bfloat16_dot(acc[i][v], panel[v], pair);
        }
    }
    FASTNN_UNROLL
    for (i = 0; i < height; i++) {
        FASTNN_UNROLL
        for (v = 0; v < vectors; v++) store_float(c + i * c_stride + 4 * v, acc[i][v]);
    }
}

#define BF_CASE(height)                                                                                                  \
    if (left > 4) bfloat16_tile(height, 2, part, a, apart, along, b, columns, from, from_stride, to, to_stride, depth);  \
    else bfloat16_tile(height, 1, part, a, apart, along, b, columns, from, from_stride, to, to_stride, depth)

/* Tiles that stand over the edge of C are worked out beside it, with what lies in the workspace for rows. */
static void bfloat16_tiles(
    int rows, int columns, const float *a, ptrdiff_t apart, ptrdiff_t along, const float *b, const float *init,
    ptrdiff_t init_stride, float *c, ptrdiff_t c_stride, ptrdiff_t depth) {
    const int height = rows > 4 ? BF_TALL : rows > 1 ? 4 : 1;
    int left, i;
    for (left = columns; left > 0; left -= 8, b += 8, c += 8, init = init ? init + 8 : NULL) {
        float beside[8 * BF_TALL] = {0};
        const int width = left < 8 ? left : 8, part = width % 4, over = part || rows < height;
        const ptrdiff_t from_stride = over || !init ? 8 : init_stride, to_stride = over ? 8 : c_stride;
        const float *from = over || !init ? beside : init;
        float *to = over ? beside : c;
        for (i = 0; over && init && i < rows; i++) memcpy(beside + 8 * i, init + i * init_stride, width * sizeof(float));
        if (height == 12) BF_CASE(12);
        else if (height == 4) BF_CASE(4);
        else BF_CASE(1);
        for (i = 0; over && i < rows; i++) memcpy(c + i * c_stride, beside + 8 * i, width * sizeof(float));
    }
}
#include "bfloat16_body.h"
#undef NAME
#undef BF_TARGET
#undef BF_FETCH
#define BF_HERE
#endif

#ifdef FASTNN_CHECKED
#define BF_TARGET
#define BF_FETCH(address)
#define NAME(name) emulated_##name
#define emulated_along plain_along
#define emulated_across plain_across

static float emulated_part(const float *pair, int second) {
    uint32_t bits;
    float part;
    memcpy(&bits, pair, 4);
    bits = second ? bits & 0xFFFF0000 : bits << 16;
    memcpy(&part, &bits, 4);
    return part;
}

#if defined(__aarch64__)
/* a + b, rounded to odd: to the odd one of its two neighbours, first among doubles, where it is none itself. */
static float emulated_sum(double a, double b) {
    const double sum = a + b, back = sum - a, lost = (a - (sum - back)) + (b - back);
    uint64_t bits;
    uint32_t out;
    float given;
    int exponent;
    memcpy(&bits, &sum, 8);
    if (sum - sum != 0) return (float)sum;
    if (lost != 0 && !(bits & 1)) bits += (lost > 0) == (sum > 0) ? 1 : -1;
    exponent = (int)(bits >> 52 & 0x7FF) - 1023;
    out = (uint32_t)(bits >> 63) << 31;
    if (exponent > 127) out |= 0x7F800000;
    else if (exponent >= -126)
        out |= (uint32_t)(exponent + 127) << 23 | (uint32_t)(bits >> 29 & 0x7FFFFF) | ((bits & 0x1FFFFFFF) != 0);
    memcpy(&given, &out, 4);
    return given;
}

static float emulated_dot(float sum, const float *x, const float *y) {
    const float first = emulated_sum((double)emulated_part(x, 0) * emulated_part(y, 0), 0);
    const float second = emulated_sum((double)emulated_part(x, 1) * emulated_part(y, 1), 0);
    return emulated_sum(emulated_sum(sum, 0), emulated_sum(first, second));
}
#else
static float emulated_dot(float sum, const float *x, const float *y) {
    sum += emulated_part(x, 1) * emulated_part(y, 1);
    return sum + emulated_part(x, 0) * emulated_part(y, 0);
}
#endif

static void emulated_tiles(
    int rows, int columns, const float *a, ptrdiff_t apart, ptrdiff_t along, const float *b, const float *init,
    ptrdiff_t init_stride, float *c, ptrdiff_t c_stride, ptrdiff_t depth) {
    int i, j;
    ptrdiff_t k;
    for (i = 0; i < rows; i++)
        for (j = 0; j < columns; j++) {
            float sum = init ? init[i * init_stride + j] : 0;
            for (k = 0; k < depth; k++) sum = emulated_dot(sum, a + i * apart + k * along, b + k * columns + j);
            c[i * c_stride + j] = sum;
        }
}
#include "bfloat16_body.h"
#undef NAME
#undef BF_TARGET
#endif

/* The functions of bfloat16_body.h; NULL where this processor has none. */
static void *bfloat16_function(int emulated, int number) {
#ifdef FASTNN_CHECKED
    if (emulated) return emulated_functions[number];
#endif
#ifdef BF_HERE
    if (!emulated && cpu_has_bfloat16()) return bfloat16_functions[number];
#endif
    (void)number;
    (void)emulated;
    return NULL;
}

#endif
