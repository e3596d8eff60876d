/* The micro-kernel of matrix multiply: one tile of C, held in vector registers while k runs.

   Included by gemm.pyx. tile_body.h is the code, written once over REAL; this page picks the vector width from the
   flags that the compiler was given and includes it for float and for double.

   A is given by its rows' addresses, so that the rows of a shuffled batch are read where they lie.
     tile_rows:     C[i][j]  = init + sum over k of A[i][k]         * B[k][j]
   where a row of A may be several segments of `depth` numbers, each beginning at its place of `firsts`.
     tile_columns:  C[i][j]  = init + sum over k of A[k][first + i] * B[k][j]
   Each element is one chain of additions in the order of k, whatever tile it falls in: its bits do not depend on the
   shape of the rest. Only a B of up to NARROW columns has an order of its own, which depends on nothing but k. */
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
#define FASTNN_OPAQUE(address)
#endif

#if defined(__AVX__)
#include <immintrin.h>
#endif

/* A tile's accumulators, TILE_ROWS x TILE_VECTORS, and a step's operands fill the registers: 32 of them on AVX-512
   and aarch64, 16 elsewhere. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define FASTNN_TILE_ROWS 12
#else
#define FASTNN_TILE_ROWS 6
#endif
/* ROW_VECTORS: of the one row of a tile_one_row. FAR_DEPTH: steps of k in which the next tile of C can be fetched. */
enum { TILE_ROWS = FASTNN_TILE_ROWS, TILE_VECTORS = 2, ROW_VECTORS = 8, NARROW = 4, FAR_DEPTH = 128 };
/* Whether the vectors of a tile_one_row may have less than all lanes. */
#if FASTNN_VECTOR_BYTES == 64
enum { ROW_MASKED = 1 };
#else
enum { ROW_MASKED = 0 };
#endif

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
#endif

static void turn_float(const float *b, ptrdiff_t stride, int columns, ptrdiff_t depth, float *out) {
    ptrdiff_t k = 0, at;
    int j;
#ifdef FASTNN_QUADS
    /* A cache line of each row at a time: rows that lie a power of two apart push one another out. */
    for (; k + 16 <= depth; k += 16) {
        for (j = 0; j + 4 <= columns; j += 4) {
            FASTNN_UNROLL
            for (at = k; at < k + 16; at += 4) turn_quad(b + j * stride + at, stride, out + at * columns + j, columns);
        }
        for (; j < columns; j++)
            for (at = k; at < k + 16; at++) out[at * columns + j] = b[j * stride + at];
    }
#endif
    for (; k < depth; k++)
        for (j = 0; j < columns; j++) out[k * columns + j] = b[j * stride + k];
}

#define REAL float
#define NAME(name) name##_float
#include "tile_body.h"
#undef REAL
#undef NAME
/* float64 is for what is called from Python: tiles of few heights do. */
#define FASTNN_FEW_TILES
#define REAL double
#define NAME(name) name##_double
#include "tile_body.h"
#undef FASTNN_FEW_TILES
#undef REAL
#undef NAME

#endif
