/* The micro-kernel of matrix multiply: one tile of C, held in vector registers while k runs.

   Included by gemm.pyx. tile_body.h is the code, written once over REAL; this page picks the vector width from the
   flags that the compiler was given and includes it for float and for double.

   A is given by its rows' addresses, so that the rows of a shuffled batch are read where they lie.
     tile_rows:     C[i][j]  = init + sum over k of A[i][k]         * B[k][j]
   where a row of A may be several segments of `depth` numbers, each beginning at its place of `firsts`.
     tile_columns:  C[i][j]  = init + sum over k of A[k][first + i] * B[k][j]
   Each element is one chain of additions in the order of k, whatever tile it falls in: its bits do not depend on the
   shape of the rest. Only what `dot_columns` says, and A.Bt of many steps, has an order of its own, lane by lane, which
   depends on nothing but k. */
#ifndef FASTNN_TILE_H
#define FASTNN_TILE_H

#include <stddef.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define FASTNN_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)                  /* which says that it is gcc too, and does not know gcc's pragma */
#define FASTNN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FASTNN_UNROLL _Pragma("GCC unroll 16")
#endif
#define FASTNN_FETCH(address) __builtin_prefetch(address, 1)
#define FASTNN_AHEAD(address) __builtin_prefetch(address)
#define FASTNN_SOON(address) __builtin_prefetch(address, 0, 2)
/* Keeps gcc from holding address + 4, address + 8, ... in registers of their own. */
#define FASTNN_OPAQUE(address) __asm__("" : "+r"(address))
#if defined(__AVX512F__)
#define FASTNN_VECTOR_BYTES 64
#elif defined(__AVX__)
#define FASTNN_VECTOR_BYTES 32
#else
#define FASTNN_VECTOR_BYTES 16
#endif
#else                                   /* a compiler without vector types: a vector of one */
#define FASTNN_INLINE static __forceinline
#define FASTNN_UNROLL
#define FASTNN_FETCH(address) (void)(address)
#define FASTNN_AHEAD(address) (void)(address)
#define FASTNN_SOON(address) (void)(address)
#define FASTNN_OPAQUE(address)
#endif

#if defined(__AVX__)
#include <immintrin.h>
#endif

/* A tile's accumulators, TILE_ROWS x TILE_VECTORS, and a step's operands fill the registers: 32 of them on AVX-512
   and aarch64, 16 elsewhere. ADDRESSED_ROWS: where each row of A has an address of its own, no more of them than the
   general registers hold. */
#if defined(__aarch64__)
#define FASTNN_TILE_ROWS 12
#define FASTNN_ADDRESSED_ROWS 12
#elif defined(__AVX512F__)
#define FASTNN_TILE_ROWS 12
#define FASTNN_ADDRESSED_ROWS 10
#else
#define FASTNN_TILE_ROWS 6
#define FASTNN_ADDRESSED_ROWS 6
#endif
enum { TILE_ROWS = FASTNN_TILE_ROWS, ADDRESSED_ROWS = FASTNN_ADDRESSED_ROWS, TILE_VECTORS = 2 };
/* ROW_VECTORS: of the one row of a tile_one_row. FAR_DEPTH: steps of k in which the next tile of C can be fetched. */
enum { ROW_VECTORS = 8, FAR_DEPTH = 128 };
/* Of one row by a B from far away: bytes of a row of B and rows that are multiplied in one go, and rows from fetching to
   reading. */
#if FASTNN_VECTOR_BYTES >= 32
enum { STREAM_BYTES = 256 };
#else
enum { STREAM_BYTES = 128 };            /* more registers than these there are not */
#endif
enum { STREAM_STEPS = 8, STREAM_AHEAD = 12 };
/* Columns of a B that fills half of a vector at most, and steps of k (for each of them, or at least) from which it pays to
   add up lanes; columns of a wider B that are taken together, and those of a B that is turned for it; steps from which a
   lone last column pays. */
#if FASTNN_VECTOR_BYTES == 64
enum { NARROW = 8, NARROW_DEPTH = 8, DOTS_COLUMNS = 6, MOST_TURNED = 12, LONE_DEPTH = 32 };
#else
enum { NARROW = 4, NARROW_DEPTH = 8, DOTS_COLUMNS = 4, MOST_TURNED = NARROW, LONE_DEPTH = 0 };
#endif
/* Whether vectors along k serve a product of so many columns better than vectors along these: by the multiply-adds of both
   and the sums of lanes. */
FASTNN_INLINE int is_narrow(ptrdiff_t columns, ptrdiff_t depth) {
#if FASTNN_VECTOR_BYTES == 64
    return depth >= NARROW_DEPTH && depth * ((columns + 15) / 16 * 16 + 4 - columns) >= 56 * columns;
#else
    return columns <= NARROW && depth >= columns * NARROW_DEPTH;
#endif
}
/* The last columns of an A.B that go so: all of a narrow B, and one that whole vectors leave. */
FASTNN_INLINE int dot_columns(ptrdiff_t columns, ptrdiff_t stride, ptrdiff_t depth) {
    if (columns <= MOST_TURNED && columns == stride && is_narrow(columns, depth)) return (int)columns;
    return LONE_DEPTH > 0 && columns % 16 == 1 && stride < 8 * 16 && depth >= LONE_DEPTH;
}
/* Whether a product's first tile leaves the panel of B for the others: where tiles are low and a panel is one cache
   line wide, reading B in place costs a tenth; with AVX-512 nothing. COPY_AHEAD: steps of k from fetching to reading. */
#if FASTNN_VECTOR_BYTES == 32
enum { COPIES_PANELS = 1, COPY_AHEAD = 64 };
#else
enum { COPIES_PANELS = 0, COPY_AHEAD = 0 };
#endif
/* While the first tile of a panel of B is worked out the next panel is fetched, PANEL_DEPTH steps of k at most, where B has
   FETCH_BYTES or more. That tile has FETCH_ROWS rows. */
#if FASTNN_VECTOR_BYTES == 64
enum { FETCHES_PANELS = 1, FETCH_ROWS = 6, FETCH_BYTES = 524288, PANEL_DEPTH = 512 };
#elif FASTNN_VECTOR_BYTES == 32
enum { FETCHES_PANELS = 1, FETCH_ROWS = 6, FETCH_BYTES = 4194304, PANEL_DEPTH = 256 };
#else
enum { FETCHES_PANELS = 0, FETCH_ROWS = 1, FETCH_BYTES = 0, PANEL_DEPTH = 1 };
#endif
/* Whether the vectors of a tile_one_row may have less than all lanes. */
#if FASTNN_VECTOR_BYTES == 64
enum { ROW_MASKED = 1 };
#else
enum { ROW_MASKED = 0 };
#endif

/* Bring `bytes` of each of some rows into the second cache: they are copied or multiplied with a little later. */
static void fetch_rows(const void *b, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t bytes) {
    const char *row = b, *line;
    for (; rows > 0; rows--, row += stride)
        for (line = row - (size_t)row % 64; line < row + bytes; line += 64) FASTNN_SOON(line);
}

/* out[k][j] = b[j][k] for columns j and depth k: floats four by four in registers, the rest one by one. */
static void turn_double(const double *b, ptrdiff_t stride, int columns, ptrdiff_t depth, double *out) {
    ptrdiff_t k;
    int j;
    for (k = 0; k < depth; k++)
        for (j = 0; j < columns; j++) out[k * columns + j] = b[j * stride + k];
}

#if defined(FASTNN_VECTOR_BYTES) && (!defined(__GNUC__) || defined(__clang__) || __GNUC__ >= 12)
#define FASTNN_QUADS
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

/* Four columns, four steps of depth. */
FASTNN_INLINE void turn_quad(const float *b, ptrdiff_t stride, float *out, int columns) {
    const quad r0 = *(const quad *)b, r1 = *(const quad *)(b + stride);
    const quad r2 = *(const quad *)(b + 2 * stride), r3 = *(const quad *)(b + 3 * stride);
    const quad a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), c = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
    const quad e = __builtin_shufflevector(r0, r1, 2, 6, 3, 7), g = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
    *(quad *)out = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    *(quad *)(out + columns) = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    *(quad *)(out + 2 * columns) = __builtin_shufflevector(e, g, 0, 1, 4, 5);
    *(quad *)(out + 3 * columns) = __builtin_shufflevector(e, g, 2, 3, 6, 7);
}

#ifdef __AVX__
typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));

FASTNN_INLINE eight two_quads(const float *low, const float *high) {
    return (eight)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
}

/* Eight columns, four steps of depth. */
FASTNN_INLINE void turn_eight(const float *b, ptrdiff_t stride, float *out, int columns) {
    const float *d = b + 4 * stride;
    const eight r0 = two_quads(b, d), r1 = two_quads(b + stride, d + stride);
    const eight r2 = two_quads(b + 2 * stride, d + 2 * stride), r3 = two_quads(b + 3 * stride, d + 3 * stride);
    const eight a = __builtin_shufflevector(r0, r1, 0, 8, 1, 9, 4, 12, 5, 13);
    const eight c = __builtin_shufflevector(r2, r3, 0, 8, 1, 9, 4, 12, 5, 13);
    const eight e = __builtin_shufflevector(r0, r1, 2, 10, 3, 11, 6, 14, 7, 15);
    const eight g = __builtin_shufflevector(r2, r3, 2, 10, 3, 11, 6, 14, 7, 15);
    *(eight *)out = __builtin_shufflevector(a, c, 0, 1, 8, 9, 4, 5, 12, 13);
    *(eight *)(out + columns) = __builtin_shufflevector(a, c, 2, 3, 10, 11, 6, 7, 14, 15);
    *(eight *)(out + 2 * columns) = __builtin_shufflevector(e, g, 0, 1, 8, 9, 4, 5, 12, 13);
    *(eight *)(out + 3 * columns) = __builtin_shufflevector(e, g, 2, 3, 10, 11, 6, 7, 14, 15);
}
#endif

/* What whole lines of whole quads have left: the last quads were partly turned before. */
static void turn_edges(const float *b, ptrdiff_t stride, int columns, ptrdiff_t depth, ptrdiff_t k, float *out) {
    ptrdiff_t at;
    int j;
    if (columns % 4)
        for (at = 0; at < k; at += 4)
            turn_quad(b + (columns - 4) * stride + at, stride, out + (at + 1) * columns - 4, columns);
    for (; k < depth; k += 4) {
        at = k + 4 <= depth ? k : depth - 4;
        for (j = 0; j < columns; j += 4) {
            const int left = j + 4 <= columns ? j : columns - 4;
            turn_quad(b + left * stride + at, stride, out + at * columns + left, columns);
        }
    }
}
#endif

#if FASTNN_VECTOR_BYTES == 64
FASTNN_INLINE __mmask16 first_lanes(ptrdiff_t n) { return (__mmask16)(n >= 16 ? 0xffff : n > 0 ? (1u << n) - 1 : 0); }

/* Of up to three vectors in memory, `count` numbers: those at `step`, `step + depth`, ...; depth: up to 3. */
typedef struct { __m512 v[3]; __m512i at; } Dealt;
FASTNN_INLINE Dealt deal(const float *b, ptrdiff_t count, int depth) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    Dealt d;
    int i;
    d.at = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(depth));
    FASTNN_UNROLL
    for (i = 0; i < 3; i++) d.v[i] = _mm512_maskz_loadu_ps(first_lanes(count - 16 * i), b + 16 * i);
    return d;
}
FASTNN_INLINE __m512 dealt(const Dealt *d, int depth, int step) {
    const __m512i at = _mm512_add_epi32(d->at, _mm512_set1_epi32(step));
    const __m512 two = _mm512_permutex2var_ps(d->v[0], at, d->v[1]);
    if (depth < 3) return depth == 1 ? d->v[0] : two;
    return _mm512_mask_permutexvar_ps(two, _mm512_cmpgt_epi32_mask(at, _mm512_set1_epi32(31)), at, d->v[2]);
}
#endif

static void turn_float(const float *b, ptrdiff_t stride, int columns, ptrdiff_t depth, float *out) {
    ptrdiff_t k = 0, at;
    int j;
#if FASTNN_VECTOR_BYTES == 64
    if (depth < 4 && depth == stride) {
        for (at = 0; at < columns; at += 16) {
            const Dealt d = deal(b + at * depth, (columns - at < 16 ? columns - at : 16) * depth, (int)depth);
            for (k = 0; k < depth; k++)
                _mm512_mask_storeu_ps(out + k * columns + at, first_lanes(columns - at), dealt(&d, (int)depth, (int)k));
        }
        return;
    }
#endif
#ifdef FASTNN_QUADS
    if (columns >= 4 && depth >= 4) {
        /* A cache line of each row at a time: rows that lie a power of two apart push one another out. */
        for (; k + 16 <= depth; k += 16) {
            j = 0;
#ifdef __AVX__
            for (; j + 8 <= columns; j += 8) {
                FASTNN_UNROLL
                for (at = k; at < k + 16; at += 4)
                    turn_eight(b + j * stride + at, stride, out + at * columns + j, columns);
            }
#endif
            for (; j + 4 <= columns; j += 4) {
                FASTNN_UNROLL
                for (at = k; at < k + 16; at += 4) turn_quad(b + j * stride + at, stride, out + at * columns + j, columns);
            }
        }
        turn_edges(b, stride, columns, depth, k, out);
        return;
    }
#endif
    for (; k < depth; k++)
        for (j = 0; j < columns; j++) out[k * columns + j] = b[j * stride + k];
}

#ifdef FASTNN_QUADS
typedef float whole __attribute__((vector_size(FASTNN_VECTOR_BYTES)));
#define PICK __builtin_shufflevector
/* The halves of each run of a's lanes, then those of b's, added: runs of half the length. */
FASTNN_INLINE whole fold_2(whole a, whole b) {
#if FASTNN_VECTOR_BYTES == 64
    return PICK(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
         + PICK(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
#elif FASTNN_VECTOR_BYTES == 32
    return PICK(a, b, 0, 1, 8, 9, 4, 5, 12, 13) + PICK(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
#else
    return PICK(a, b, 0, 1, 4, 5) + PICK(a, b, 2, 3, 6, 7);
#endif
}
FASTNN_INLINE whole fold_1(whole a, whole b) {
#if FASTNN_VECTOR_BYTES == 64
    return PICK(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30)
         + PICK(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
#elif FASTNN_VECTOR_BYTES == 32
    return PICK(a, b, 0, 2, 8, 10, 4, 6, 12, 14) + PICK(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
#else
    return PICK(a, b, 0, 2, 4, 6) + PICK(a, b, 1, 3, 5, 7);
#endif
}
/* The sums of the lanes of up to as many vectors as one has lanes, in halves. */
FASTNN_INLINE whole sum_vectors(whole *v, int count) {
    int i;
#define FOLD(fold)                                                                                        \
    FASTNN_UNROLL                                                                                         \
    for (i = 0; i < count; i += 2) v[i / 2] = fold(v[i], v[i + 1 < count ? i + 1 : i]);                    \
    count = (count + 1) / 2;
#if FASTNN_VECTOR_BYTES == 64
#define FOLD_8(a, b)                                                                                      \
    (PICK(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)                                   \
     + PICK(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
#define FOLD_4(a, b)                                                                                      \
    (PICK(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)                                 \
     + PICK(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31))
    FOLD(FOLD_8) FOLD(FOLD_4) FOLD(fold_2) FOLD(fold_1)
    return PICK(v[0], v[0], 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
#elif FASTNN_VECTOR_BYTES == 32
#define FOLD_4(a, b) (PICK(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + PICK(a, b, 4, 5, 6, 7, 12, 13, 14, 15))
    FOLD(FOLD_4) FOLD(fold_2) FOLD(fold_1)
    return PICK(v[0], v[0], 0, 4, 1, 5, 2, 6, 3, 7);
#else
    FOLD(fold_2) FOLD(fold_1)
    return v[0];
#endif
}
#endif

#if FASTNN_VECTOR_BYTES != 32
#define copying_rows_float(...) (void)0
#define copying_columns_float(...) (void)0
#endif
#if FASTNN_VECTOR_BYTES < 32
#define fetching_rows_float(...) (void)0
#endif
#define REAL float
#define NAME(name) name##_float
#include "tile_body.h"
#undef REAL
#undef NAME
#include "narrow.h"
/* float64 is for what is called from Python: tiles of few heights do. */
#define FASTNN_FEW_TILES
#define REAL double
#define NAME(name) name##_double
#include "tile_body.h"
#undef FASTNN_FEW_TILES
#undef REAL
#undef NAME

#endif
