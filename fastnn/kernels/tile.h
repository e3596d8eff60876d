/* The micro-kernel of matrix multiply: one tile of C, held in vector registers while k runs.

   Included by gemm.pyx. tile_body.h is the code, written once over REAL; this page picks the vector width from the
   flags that the compiler was given and includes it for float and for double.

   A is given by its rows' addresses, so that the rows of a shuffled batch are read where they lie.
     tile_rows:     C[i][j]  = init + sum over k of A[i][k]         * B[k][j]
     tile_columns:  C[i][j]  = init + sum over k of A[k][first + i] * B[k][j]
     tile_turned:   C[j][i]  =        sum over k of A[i][k]         * B[k][j]
   Each element is one chain of additions in the order of k, whatever tile it falls in: its bits do not depend on the
   shape of the rest. */
#ifndef FASTNN_TILE_H
#define FASTNN_TILE_H

#include <stddef.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define FASTNN_INLINE static inline __attribute__((always_inline))
#define FASTNN_UNROLL _Pragma("GCC unroll 16")
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
enum { TILE_ROWS = FASTNN_TILE_ROWS, TILE_VECTORS = 2, ROW_VECTORS = 8 };

#define REAL float
#define NAME(name) name##_float
#include "tile_body.h"
#undef REAL
#undef NAME
#define REAL double
#define NAME(name) name##_double
#include "tile_body.h"
#undef REAL
#undef NAME

#endif
