/* Narrow float32 products on AVX-512, where a tile's own costs are more than its arithmetic: of few steps, of one column, of
   few rows. Included by tile.h; each has the bits of the tiles, or of `dots`, that it stands for. */
#ifndef FASTNN_NARROW_H
#define FASTNN_NARROW_H

/* Steps and columns of a B that stays in registers while rows go past; rows that are multiplied by a narrow
   B as it lies, and steps of k for each but the first. */
#if FASTNN_VECTOR_BYTES == 64
enum { SHALLOW = 8, SHALLOW_COLUMNS = 32, FLAT_ROWS = 4, FLAT_DEPTH = 64 };
#else
enum { SHALLOW = 0, SHALLOW_COLUMNS = 0, FLAT_ROWS = 0, FLAT_DEPTH = 0 };
#endif

#if FASTNN_VECTOR_BYTES == 64
FASTNN_INLINE void shallow(int depth, int vectors, int by_column, const float *const *a, ptrdiff_t first, const float *b,
                           ptrdiff_t b_stride, const float *init, ptrdiff_t init_stride, float *c, ptrdiff_t c_stride,
                           ptrdiff_t rows, int columns) {
    const int last = columns - 16 * (vectors - 1);
    vector_float panel[SHALLOW][2];
    const float *row[SHALLOW];
    ptrdiff_t i;
    int k, v;
    FASTNN_UNROLL
    for (k = 0; k < depth; k++) {
        if (vectors > 1) panel[k][0] = load_float(b + k * b_stride);
        panel[k][vectors - 1] = load_part_float(b + k * b_stride + 16 * (vectors - 1), last);
        row[k] = by_column ? a[k] + first : NULL;
    }
    for (i = 0; i < rows; i++, c += c_stride) {
        const float *x = by_column ? NULL : a[i] + first;
        vector_float acc[2] = {zero_float(), zero_float()};
        if (init) {
            if (vectors > 1) acc[0] = load_float(init);
            acc[vectors - 1] = load_part_float(init + 16 * (vectors - 1), last);
            init += init_stride;
        }
        FASTNN_UNROLL
        for (k = 0; k < depth; k++) {
            const float scalar = by_column ? row[k][i] : x[k];
            FASTNN_UNROLL
            for (v = 0; v < vectors; v++) acc[v] += panel[k][v] * scalar;
        }
        if (vectors > 1) store_float(c, acc[0]);
        store_part_float(c + 16 * (vectors - 1), acc[vectors - 1], last);
    }
}
#define SHALLOW_OF(by_column)                                                                                    \
    (int depth, const float *const *a, ptrdiff_t first, const float *b, ptrdiff_t b_stride, const float *init,   \
     ptrdiff_t init_stride, float *c, ptrdiff_t c_stride, ptrdiff_t rows, int columns) {                         \
        switch (depth) {                                                                                         \
            K(1, by_column) K(2, by_column) K(3, by_column) K(4, by_column)                                      \
            K(5, by_column) K(6, by_column) K(7, by_column) K(8, by_column)                                      \
        }                                                                                                        \
    }
#define K(k, by_column)                                                                                          \
    case k:                                                                                                      \
        if (!by_column && columns > 16)                                                                          \
            shallow(k, 2, 0, a, first, b, b_stride, init, init_stride, c, c_stride, rows, columns);              \
        else shallow(k, 1, by_column, a, first, b, b_stride, init, init_stride, c, c_stride, rows, columns);     \
        break;
static void shallow_rows SHALLOW_OF(0)
static void shallow_columns SHALLOW_OF(1)
#undef K

FASTNN_INLINE __m512 together(int depth, const float *a, const float *b, __m512 acc) {
    const Dealt d = deal(a, 16 * depth, depth);
    int k;
    FASTNN_UNROLL
    for (k = 0; k < depth; k++) acc = _mm512_fmadd_ps(dealt(&d, depth, k), _mm512_set1_ps(b[k]), acc);
    return acc;
}

/* C = init + A.b of less than eight steps, of 16 rows at a time, which lie in the lanes; the rows that are done. */
static ptrdiff_t shallow_column(int depth, const float *const *a, const float *b, float init, float *c, ptrdiff_t c_stride,
                                ptrdiff_t rows) {
    ptrdiff_t i;
    int start, j, k;
    const __m512i places = _mm512_mullo_epi64(_mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), _mm512_set1_epi64(4 * depth));
    if (c_stride != 1) return 0;
    for (i = 0; i + 16 <= rows; i += 16) {
        __m512 acc = _mm512_set1_ps(init);
        if (depth < 4) {                /* rows that lie one behind the other */
            const __m512i from = _mm512_add_epi64(_mm512_set1_epi64((long long)a[i]), places);
            const __m512i half = _mm512_add_epi64(from, _mm512_set1_epi64(32 * depth));
            if (!(_mm512_cmpneq_epi64_mask(from, _mm512_loadu_si512(a + i))
                  | _mm512_cmpneq_epi64_mask(half, _mm512_loadu_si512(a + i + 8)))) {
                if (depth == 1) acc = together(1, a[i], b, acc);
                else if (depth == 2) acc = together(2, a[i], b, acc);
                else acc = together(3, a[i], b, acc);
                _mm512_storeu_ps(c + i, acc);
                continue;
            }
        }
        for (start = 0; start < depth; start += 4) {
            const __mmask8 mask = (__mmask8)((1 << (depth - start > 4 ? 4 : depth - start)) - 1);
            __m512 v[4], low[2], high[2], steps[4];
#define QUAD(row) _mm_maskz_loadu_ps(mask, a[i + (row)] + start)
            FASTNN_UNROLL
            for (j = 0; j < 4; j++) {
                v[j] = _mm512_castps128_ps512(QUAD(j));
                v[j] = _mm512_insertf32x4(v[j], QUAD(4 + j), 1);
                v[j] = _mm512_insertf32x4(v[j], QUAD(8 + j), 2);
                v[j] = _mm512_insertf32x4(v[j], QUAD(12 + j), 3);
            }
#undef QUAD
            for (j = 0; j < 2; j++) {
                low[j] = _mm512_unpacklo_ps(v[2 * j], v[2 * j + 1]);
                high[j] = _mm512_unpackhi_ps(v[2 * j], v[2 * j + 1]);
            }
            steps[0] = _mm512_shuffle_ps(low[0], low[1], 0x44);
            steps[1] = _mm512_shuffle_ps(low[0], low[1], 0xee);
            steps[2] = _mm512_shuffle_ps(high[0], high[1], 0x44);
            steps[3] = _mm512_shuffle_ps(high[0], high[1], 0xee);
            FASTNN_UNROLL
            for (k = 0; k < 4; k++)
                if (start + k < depth) acc = _mm512_fmadd_ps(steps[k], _mm512_set1_ps(b[start + k]), acc);
        }
        _mm512_storeu_ps(c + i, acc);
    }
    return i;
}

/* `dots` of few rows by a B that is not turned: of 16 steps and `columns` numbers each, some vectors at a time. */
FASTNN_INLINE void flat(int vectors, const __m512i *step, const float *a, const float *b, __m512 *acc, int columns,
                        ptrdiff_t depth, ptrdiff_t left) {
    __m512 sum[4];
    int v;
    FASTNN_UNROLL
    for (v = 0; v < vectors; v++) sum[v] = _mm512_setzero_ps();
    for (; depth > 0; depth -= 16, a += 16, b += 16 * columns, left -= 16 * columns) {
        const int whole = depth >= 16;
        const __m512 row = whole ? _mm512_loadu_ps(a) : _mm512_maskz_loadu_ps(first_lanes(depth), a);
        FASTNN_UNROLL
        for (v = 0; v < vectors; v++)
            sum[v] = _mm512_fmadd_ps(_mm512_permutexvar_ps(step[v], row),
                                     whole ? _mm512_loadu_ps(b + 16 * v)
                                           : _mm512_maskz_loadu_ps(first_lanes(left - 16 * v), b + 16 * v), sum[v]);
    }
    FASTNN_UNROLL
    for (v = 0; v < vectors; v++) acc[v] = sum[v];
}
static void flat_rows(int columns, const float *const *a, const float *b, const float *init, float *c, ptrdiff_t c_stride,
                      ptrdiff_t rows, ptrdiff_t depth) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i step[MOST_TURNED];
    __m512 acc[MOST_TURNED + 1];
    float *sums = (float *)acc;
    int half, j;
    for (j = 0; j < columns; j++) {     /* places over `columns`, below 256 */
        step[j] = _mm512_add_epi32(lanes, _mm512_set1_epi32(16 * j));
        step[j] = _mm512_srli_epi32(_mm512_mullo_epi32(step[j], _mm512_set1_epi32(65536 / columns + 1)), 16);
    }
    for (; rows > 0; rows--, a++, c += c_stride) {
        for (j = 0; j < columns; j += 4) {
#define F(n) flat(n, step + j, *a, b + 16 * j, acc + j, columns, depth, depth * columns - 16 * j)
            switch (columns - j) {
                case 1: F(1); break;
                case 2: F(2); break;
                case 3: F(3); break;
                default: F(4);
            }
#undef F
        }
        for (half = 8; half > 0; half /= 2)     /* what lies behind is added to what nobody reads */
            for (j = 0; j < half * columns; j += 16)
                store_float(sums + j, load_float(sums + j) + load_float(sums + j + half * columns));
        for (j = 0; j < columns; j++) c[j] = sums[j] + (init ? init[j] : 0);
    }
}
#else
#define shallow_rows(depth, a, ...) (void)(a)
#define shallow_columns(...) (void)0
#define shallow_column(depth, a, b, init, ...) ((void)(init), 0)
#define flat_rows(...) (void)0
#endif
#endif
