/* See tile.h, which includes this page once with REAL float and once with REAL double. */

#ifdef FASTNN_VECTOR_BYTES
typedef REAL NAME(vector) __attribute__((vector_size(FASTNN_VECTOR_BYTES)));
typedef REAL NAME(loose) __attribute__((vector_size(FASTNN_VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
#else
typedef REAL NAME(vector);
typedef REAL NAME(loose);
#endif

enum { NAME(LANES) = sizeof(NAME(vector)) / sizeof(REAL) };

FASTNN_INLINE NAME(vector) NAME(load)(const REAL *p) { return *(const NAME(loose) *)p; }
FASTNN_INLINE void NAME(store)(REAL *p, NAME(vector) v) { *(NAME(loose) *)p = v; }

#if FASTNN_VECTOR_BYTES == 32
FASTNN_INLINE __m256i NAME(lane_mask)(int n) {
    static const int mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(mask + 8 - n * (int)(sizeof(REAL) / 4)));
}
#endif

FASTNN_INLINE NAME(vector) NAME(zero)(void) {
    NAME(vector) v;
    memset(&v, 0, sizeof v);
    return v;
}

/* The first n lanes; what lies behind them in memory is neither read nor written. */
FASTNN_INLINE NAME(vector) NAME(load_part)(const REAL *p, int n) {
#if FASTNN_VECTOR_BYTES == 64
    return sizeof(REAL) == 4 ? (NAME(vector))_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p)
                             : (NAME(vector))_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#elif FASTNN_VECTOR_BYTES == 32
    return sizeof(REAL) == 4 ? (NAME(vector))_mm256_maskload_ps((const float *)p, NAME(lane_mask)(n))
                             : (NAME(vector))_mm256_maskload_pd((const double *)p, NAME(lane_mask)(n));
#elif defined(FASTNN_VECTOR_BYTES)
    NAME(vector) v = NAME(zero)();
    int lane;
    FASTNN_UNROLL
    for (lane = 0; lane < NAME(LANES) - 1; lane++)           /* a call of memcpy would empty the registers */
        if (lane < n) v[lane] = p[lane];
#if defined(__aarch64__)
    __asm__("" : "+w"(v));          /* or GCC works lane by lane where it sees the zeros, and fuses less */
#endif
    return v;
#else
    return *p;
#endif
}

FASTNN_INLINE void NAME(store_part)(REAL *p, NAME(vector) v, int n) {
#if FASTNN_VECTOR_BYTES == 64
    if (sizeof(REAL) == 4) _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
    else _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
#elif FASTNN_VECTOR_BYTES == 32
    if (sizeof(REAL) == 4) _mm256_maskstore_ps((float *)p, NAME(lane_mask)(n), (__m256)v);
    else _mm256_maskstore_pd((double *)p, NAME(lane_mask)(n), (__m256d)v);
#elif defined(FASTNN_VECTOR_BYTES)
    int lane;
    FASTNN_UNROLL
    for (lane = 0; lane < NAME(LANES) - 1; lane++)
        if (lane < n) p[lane] = v[lane];
#else
    *p = v;
#endif
}

/* rows, vectors, part and columns are constants wherever this is called: the loops over them vanish and acc stays in
   registers. part: lanes of the last vector that exist, 0 for all. copy: where B's columns go as a panel, or NULL. fetch:
   whether as many columns that follow are fetched. */
FASTNN_INLINE void NAME(copying_tile)(
    int rows, int vectors, int part, int by_column,
    const REAL *const *a, const ptrdiff_t *firsts, ptrdiff_t segments, const REAL *b, ptrdiff_t b_stride,
    const REAL *init, ptrdiff_t init_stride, REAL *c, ptrdiff_t c_stride, ptrdiff_t depth, REAL *copy, int fetch) {
    NAME(vector) acc[TILE_ROWS][ROW_VECTORS];
    const REAL *row[TILE_ROWS];
    ptrdiff_t k, segment;
    int i, v;

    FASTNN_UNROLL
    for (i = 0; i < rows; i++) {
        FASTNN_UNROLL
        for (v = 0; v < vectors; v++) {
            const REAL *from = init + i * init_stride + v * NAME(LANES);
            if (!init) acc[i][v] = NAME(zero)();
            else if (part && v == vectors - 1) acc[i][v] = NAME(load_part)(from, part);
            else acc[i][v] = NAME(load)(from);
        }
    }
    if (depth >= FAR_DEPTH) {
        FASTNN_UNROLL
        for (i = 0; i < rows; i++) {
            FASTNN_UNROLL
            for (v = 0; v < vectors; v++) FASTNN_FETCH(c + (rows + i) * c_stride + v * NAME(LANES));
        }
    }
    for (segment = 0; segment < segments; segment++) {
        if (!by_column) {
            FASTNN_UNROLL
            for (i = 0; i < rows; i++) row[i] = a[i] + firsts[segment];
        }
        for (k = 0; k < depth; k++) {
            NAME(vector) panel[ROW_VECTORS];
            const REAL *column = by_column ? a[k] + *firsts : NULL;
            FASTNN_OPAQUE(column);
            FASTNN_UNROLL
            for (v = 0; v < vectors; v++)
                panel[v] = part && v == vectors - 1 ? NAME(load_part)(b + v * NAME(LANES), part)
                                                    : NAME(load)(b + v * NAME(LANES));
            if (fetch) {
                FASTNN_UNROLL
                for (v = 2 * vectors; v > vectors; v -= (int)(64 / sizeof(NAME(vector))))
                    FASTNN_SOON(b + v * NAME(LANES) - 1);           /* with the last number of each line all of it comes */
            }
            b += b_stride;
            if (copy) {
                if (!by_column && !fetch) FASTNN_AHEAD(b + COPY_AHEAD * b_stride);   /* W comes from the third cache */
                FASTNN_UNROLL
                for (v = 0; v < vectors; v++, copy += NAME(LANES)) NAME(store)(copy, panel[v]);
            }
            FASTNN_UNROLL
            for (i = 0; i < rows; i++) {
                const REAL scalar = by_column ? column[i] : row[i][k];
                FASTNN_UNROLL
                for (v = 0; v < vectors; v++) acc[i][v] += panel[v] * scalar;
            }
        }
    }
    FASTNN_UNROLL
    for (i = 0; i < rows; i++) {
        FASTNN_UNROLL
        for (v = 0; v < vectors; v++) {
            REAL *to = c + i * c_stride + v * NAME(LANES);
            if (part && v == vectors - 1) NAME(store_part)(to, acc[i][v], part);
            else NAME(store)(to, acc[i][v]);
        }
    }
}

FASTNN_INLINE void NAME(tile)(
    int rows, int vectors, int part, int by_column,
    const REAL *const *a, const ptrdiff_t *firsts, ptrdiff_t segments, const REAL *b, ptrdiff_t b_stride,
    const REAL *init, ptrdiff_t init_stride, REAL *c, ptrdiff_t c_stride, ptrdiff_t depth) {
    NAME(copying_tile)(rows, vectors, part, by_column, a, firsts, segments, b, b_stride, init, init_stride, c, c_stride,
                       depth, NULL, 0);
}

#if !defined(FASTNN_FEW_TILES) && FASTNN_VECTOR_BYTES == 32
/* A whole tile that leaves the panel of B behind: multiply-adds hide its stores. */
static void NAME(copying_rows)(const REAL *const *a, const ptrdiff_t *firsts, ptrdiff_t segments, const REAL *b,
                               ptrdiff_t b_stride, const REAL *init, ptrdiff_t init_stride, REAL *c, ptrdiff_t c_stride,
                               ptrdiff_t depth, REAL *copy) {
    NAME(copying_tile)(TILE_ROWS, TILE_VECTORS, 0, 0, a, firsts, segments, b, b_stride, init, init_stride, c, c_stride,
                       depth, copy, 0);
}

static void NAME(copying_columns)(const REAL *const *a, ptrdiff_t first, const REAL *b, ptrdiff_t b_stride,
                                  const REAL *init, REAL *c, ptrdiff_t c_stride, ptrdiff_t depth, REAL *copy) {
    NAME(copying_tile)(TILE_ROWS, TILE_VECTORS, 0, 1, a, &first, 1, b, b_stride, init, c_stride, c, c_stride, depth,
                       copy, 0);
}
#endif

#if !defined(FASTNN_FEW_TILES) && FASTNN_VECTOR_BYTES >= 32
/* A tile of fewer rows where B comes from further away: the next panel is fetched meanwhile. */
static void NAME(fetching_rows)(const REAL *const *a, const ptrdiff_t *firsts, const REAL *b, ptrdiff_t b_stride,
                                const REAL *init, ptrdiff_t init_stride, REAL *c, ptrdiff_t c_stride, ptrdiff_t depth,
                                REAL *copy) {
    NAME(copying_tile)(FETCH_ROWS, TILE_VECTORS, 0, 0, a, firsts, 1, b, b_stride, init, init_stride, c, c_stride, depth,
                       COPIES_PANELS ? copy : NULL, 1);
}
#endif

/* Of few heights, others are two tiles. */
#define TILE_OF(R, vectors, part, by_column) \
    NAME(tile)(R, vectors, part, by_column, a, firsts, segments, b, b_stride, init, init_stride, c, c_stride, depth)

#define TILE_CASE(R, by_column)                                                      \
    case R:                                                                          \
        if (columns == 2 * NAME(LANES)) TILE_OF(R, 2, 0, by_column);                 \
        else if (columns > NAME(LANES)) TILE_OF(R, 2, columns - NAME(LANES), by_column); \
        else if (!ROW_MASKED && columns == NAME(LANES)) TILE_OF(R, 1, 0, by_column); \
        else TILE_OF(R, 1, columns, by_column);                                      \
        break;

#if FASTNN_TILE_ROWS > 6
#define TILE_TALL_CASES(by_column) TILE_CASE(8, by_column) TILE_CASE(10, by_column)
#else
#define TILE_TALL_CASES(by_column)
#endif

#ifdef FASTNN_FEW_TILES
#define TILE_CASES(by_column) TILE_CASE(1, by_column) TILE_CASE(4, by_column)
#define TILE_TOP (rows > 4 ? 4 : 1)
#else
#define TILE_TOP ((rows + 1) / 2)
#define TILE_CASES(by_column)                                                        \
    TILE_CASE(1, by_column) TILE_CASE(2, by_column) TILE_CASE(3, by_column)          \
    TILE_CASE(4, by_column) TILE_CASE(5, by_column) TILE_CASE(6, by_column)          \
    TILE_TALL_CASES(by_column)
#endif

/* rows: 1 .. ADDRESSED_ROWS; columns: 1 .. TILE_VECTORS * LANES. */
static void NAME(tile_rows)(int rows, int columns, const REAL *const *a, const ptrdiff_t *firsts, ptrdiff_t segments,
                            const REAL *b, ptrdiff_t b_stride, const REAL *init, ptrdiff_t init_stride, REAL *c,
                            ptrdiff_t c_stride, ptrdiff_t depth) {
    switch (rows) {
        TILE_CASES(0)
#if FASTNN_ADDRESSED_ROWS >= 12
        TILE_CASE(12, 0)
#endif
#if defined(FASTNN_FEW_TILES) || FASTNN_TILE_ROWS > 6
        default: {
            const int top = TILE_TOP;
            NAME(tile_rows)(top, columns, a, firsts, segments, b, b_stride, init, init_stride, c, c_stride, depth);
            NAME(tile_rows)(rows - top, columns, a + top, firsts, segments, b, b_stride,
                            init ? init + top * init_stride : NULL, init_stride, c + top * c_stride, c_stride, depth);
        }
#endif
    }
}

/* rows: 1 .. TILE_ROWS; columns: as above. */
static void NAME(tile_columns)(int rows, int columns, const REAL *const *a, ptrdiff_t first, const REAL *b,
                               ptrdiff_t b_stride, const REAL *init, ptrdiff_t init_stride, REAL *c,
                               ptrdiff_t c_stride, ptrdiff_t depth) {
    const ptrdiff_t *const firsts = &first;
    enum { segments = 1 };
    switch (rows) {
        TILE_CASES(1)
#if FASTNN_TILE_ROWS >= 12
        TILE_CASE(12, 1)
#endif
#if defined(FASTNN_FEW_TILES) || FASTNN_TILE_ROWS > 6
        default: {
            const int top = TILE_TOP;
            NAME(tile_columns)(top, columns, a, first, b, b_stride, init, init_stride, c, c_stride, depth);
            NAME(tile_columns)(rows - top, columns, a, first + top, b, b_stride,
                               init ? init + top * init_stride : NULL, init_stride, c + top * c_stride, c_stride, depth);
        }
#endif
    }
}

/* One row and up to ROW_VECTORS vectors: many chains, so that one row does not wait for each addition. Whole vectors, 4 or
   8; or where masks cost little as many columns as there are. Of many steps a masked tile takes 0.9 of the time. */
#if FASTNN_VECTOR_BYTES == 64
FASTNN_INLINE void NAME(tile_masked)(int vectors, int columns, const REAL *const *a, const ptrdiff_t *firsts,
                                     ptrdiff_t segments, const REAL *b, ptrdiff_t b_stride, const REAL *init, REAL *c,
                                     ptrdiff_t depth) {
    NAME(vector) acc[ROW_VECTORS];
    int left[ROW_VECTORS], v;
    ptrdiff_t k, segment;
    FASTNN_UNROLL
    for (v = 0; v < vectors; v++) {
        left[v] = columns - v * NAME(LANES);
        left[v] = left[v] < 0 ? 0 : left[v] > NAME(LANES) ? NAME(LANES) : left[v];
        acc[v] = init ? NAME(load_part)(init + v * NAME(LANES), left[v]) : NAME(zero)();
    }
    for (segment = 0; segment < segments; segment++)
        for (k = 0; k < depth; k++, b += b_stride) {
            const REAL scalar = a[0][firsts[segment] + k];
            FASTNN_UNROLL
            for (v = 0; v < vectors; v++) {
                const REAL *from = b + v * NAME(LANES);
                acc[v] += (2 * v < vectors ? NAME(load)(from) : NAME(load_part)(from, left[v])) * scalar;
            }
        }
    FASTNN_UNROLL
    for (v = 0; v < vectors; v++) NAME(store_part)(c + v * NAME(LANES), acc[v], left[v]);
}
#define TILE_ONE_ROW(vectors)                                                                                   \
    if (columns < vectors * NAME(LANES) || depth > FAR_DEPTH)                                                   \
        NAME(tile_masked)(vectors, columns, a, firsts, segments, b, b_stride, init, c, depth);                  \
    else NAME(tile)(1, vectors, 0, 0, a, firsts, segments, b, b_stride, init, 0, c, 0, depth)
#else
#define TILE_ONE_ROW(vectors) NAME(tile)(1, vectors, 0, 0, a, firsts, segments, b, b_stride, init, 0, c, 0, depth)
#endif

static void NAME(tile_one_row)(const REAL *const *a, const ptrdiff_t *firsts, ptrdiff_t segments, const REAL *b,
                               ptrdiff_t b_stride, const REAL *init, REAL *c, ptrdiff_t depth, int columns) {
    if (columns > 4 * NAME(LANES)) {
        TILE_ONE_ROW(8);
    } else {
        TILE_ONE_ROW(4);
    }
}
#undef TILE_ONE_ROW

#ifndef FASTNN_FEW_TILES
/* Whole STREAM_BYTES of columns of one row, of a B that comes from far away: some rows of it at a time, from their first
   column to the last, while others are fetched. Few lines of each row at a time, or the processor's own fetching stops. */
static void NAME(stream_row)(const REAL *a, const REAL *b, ptrdiff_t b_stride, const REAL *init, REAL *c, ptrdiff_t k,
                             ptrdiff_t n) {
    enum { VECTORS = STREAM_BYTES / sizeof(NAME(vector)), COLUMNS = VECTORS * NAME(LANES) };
    for (; k > 0; k -= STREAM_STEPS, a += STREAM_STEPS, b += STREAM_STEPS * b_stride, init = c) {
        const ptrdiff_t steps = k < STREAM_STEPS ? k : STREAM_STEPS;
        ptrdiff_t j, step;
        for (j = 0; j + COLUMNS <= n; j += COLUMNS) {
            NAME(vector) acc[VECTORS];
            const REAL *from = b + j;
            int v;
            FASTNN_UNROLL
            for (v = 0; v < VECTORS; v++) acc[v] = init ? NAME(load)(init + j + v * NAME(LANES)) : NAME(zero)();
            for (step = 0; step < steps; step++, from += b_stride) {
                FASTNN_UNROLL
                for (v = 0; v < VECTORS; v++) {
                    const REAL *at = from + v * NAME(LANES);
                    if (v * sizeof(NAME(vector)) % 64 == 0) FASTNN_SOON(at + STREAM_AHEAD * b_stride);
                    acc[v] += NAME(load)(at) * a[step];
                }
            }
            FASTNN_UNROLL
            for (v = 0; v < VECTORS; v++) NAME(store)(c + j + v * NAME(LANES), acc[v]);
        }
    }
}
#endif

/* out[k][j] = b[k][j] for a panel's columns j. */
static void NAME(copy_panel)(const REAL *b, ptrdiff_t stride, int columns, ptrdiff_t depth, REAL *out) {
    ptrdiff_t k;
    if (columns == 2 * NAME(LANES)) {
        for (k = 0; k < depth; k++, b += stride, out += columns) {
            NAME(store)(out, NAME(load)(b));
            NAME(store)(out + NAME(LANES), NAME(load)(b + NAME(LANES)));
        }
    } else
        for (k = 0; k < depth; k++) memcpy(out + k * columns, b + k * stride, (size_t)columns * sizeof(REAL));
}

/* Columns first .. first + m of A in strips of TILE_ROWS columns, each strip step of k by step of k. */
static void NAME(copy_strips)(const REAL *const *a, ptrdiff_t first, ptrdiff_t m, ptrdiff_t depth, REAL *out) {
    ptrdiff_t i, k;
    for (k = 0; k < depth; k++) {
        const REAL *from = a[k] + first;
        REAL *to = out + k * TILE_ROWS;
        for (i = 0; i + TILE_ROWS <= m; i += TILE_ROWS) memcpy(to + i * depth, from + i, TILE_ROWS * sizeof(REAL));
        if (i < m) memcpy(to + i * depth, from + i, (size_t)(m - i) * sizeof(REAL));
    }
}

/* out[i] = the sum of acc[i]'s lanes, in halves: of many vectors side by side where they can be shuffled. out has room for a
   multiple of as many as a vector has lanes. */
FASTNN_INLINE void NAME(sum_lanes)(NAME(vector) *acc, int count, REAL *out) {
    int i = 0, lane, half;
#ifdef FASTNN_QUADS
    enum { MOST = sizeof(whole) / sizeof(float) };
    FASTNN_UNROLL
    for (i = 0; sizeof(REAL) == sizeof(float) && i < count; i += MOST) {
        whole parts[MOST], sums;
        int at, some = count - i < MOST ? count - i : MOST;
        FASTNN_UNROLL
        for (at = 0; at < some; at++) memcpy(parts + at, acc + i + at, sizeof *parts);
        sums = sum_vectors(parts, some);
        memcpy(out + i, &sums, sizeof sums);
    }
#endif
    FASTNN_UNROLL
    for (; i < count; i++) {
        REAL lanes[NAME(LANES)];
        memcpy(lanes, acc + i, sizeof lanes);
        FASTNN_UNROLL
        for (half = NAME(LANES) / 2; half > 0; half /= 2)
            for (lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
        out[i] = lanes[0];
    }
}

/* A B of few columns fills a part of a vector, so these two lay their vectors along A's rows instead.
   C[i][j] = init + sum over k of A[i][k] * B[j][k], B turned: lane by lane, then the lanes in halves; the order is this
   one's own, and the same for every row. rows, up to 4, and columns are constants. */
FASTNN_INLINE void NAME(dots)(int rows, int columns, const REAL *const *a, const REAL *b, const REAL *init, REAL *c,
                              ptrdiff_t c_stride, ptrdiff_t depth) {
    NAME(vector) acc[4 * NARROW];
    REAL sums[4 * NARROW + NAME(LANES)];
    ptrdiff_t k;
    int i, j;
    FASTNN_UNROLL
    for (i = 0; i < rows; i++) {
        FASTNN_UNROLL
        for (j = 0; j < columns; j++) acc[i * columns + j] = NAME(zero)();
    }
    for (k = 0; k < depth; k += NAME(LANES)) {
        const int part = depth - k < NAME(LANES) ? (int)(depth - k) : 0;
        NAME(vector) panel[NARROW];
        FASTNN_UNROLL
        for (j = 0; j < columns; j++)
            panel[j] = part ? NAME(load_part)(b + j * depth + k, part) : NAME(load)(b + j * depth + k);
        FASTNN_UNROLL
        for (i = 0; i < rows; i++) {
            const NAME(vector) row = part ? NAME(load_part)(a[i] + k, part) : NAME(load)(a[i] + k);
            FASTNN_UNROLL
            for (j = 0; j < columns; j++) acc[i * columns + j] += row * panel[j];
        }
    }
    NAME(sum_lanes)(acc, rows * columns, sums);
#ifdef FASTNN_QUADS
    if (sizeof(REAL) == sizeof(float) && rows == 4 && columns == 1 && c_stride == 1) {
        quad four;
        memcpy(&four, sums, sizeof four);
        *(quad *)c = four + (init ? (float)*init : 0.0f);
        return;
    }
#endif
    FASTNN_UNROLL
    for (i = 0; i < rows; i++) {
        FASTNN_UNROLL
        for (j = 0; j < columns; j++) c[i * c_stride + j] = sums[i * columns + j] + (init ? init[j] : 0);
    }
}

/* C[first + i][j] = (with `more`: C +) sum over k of A[k][first + i] * B[k][j], in the order of k; vectors, part and
   columns are constants. */
FASTNN_INLINE void NAME(weighted)(int vectors, int part, int columns, const REAL *const *a, ptrdiff_t first,
                                  const REAL *b, ptrdiff_t b_stride, int more, REAL *c, ptrdiff_t c_stride,
                                  ptrdiff_t depth) {
    NAME(vector) acc[NARROW][4];
    REAL turned[NARROW][4 * NAME(LANES)];
    ptrdiff_t k;
    int j, v, i;
    FASTNN_UNROLL
    for (j = 0; j < columns; j++) {
        FASTNN_UNROLL
        for (v = 0; v < vectors; v++) acc[j][v] = NAME(zero)();
    }
    if (more) {
        for (i = 0; i < (part ? part : vectors * NAME(LANES)); i++) {
            FASTNN_UNROLL
            for (j = 0; j < columns; j++) turned[j][i] = c[i * c_stride + j];
        }
        FASTNN_UNROLL
        for (j = 0; j < columns; j++) {
            FASTNN_UNROLL
            for (v = 0; v < vectors; v++)
                acc[j][v] = part ? NAME(load_part)(turned[j], part) : NAME(load)(turned[j] + v * NAME(LANES));
        }
    }
    for (k = 0; k < depth; k++, b += b_stride) {
        FASTNN_UNROLL
        for (v = 0; v < vectors; v++) {
            const REAL *from = a[k] + first + v * NAME(LANES);
            const NAME(vector) row = part ? NAME(load_part)(from, part) : NAME(load)(from);
            FASTNN_UNROLL
            for (j = 0; j < columns; j++) acc[j][v] += row * b[j];
        }
    }
    if (columns == 1 && c_stride == 1) {
        FASTNN_UNROLL
        for (v = 0; v < vectors; v++) {
            if (part) NAME(store_part)(c, acc[0][v], part);
            else NAME(store)(c + v * NAME(LANES), acc[0][v]);
        }
        return;
    }
    FASTNN_UNROLL
    for (j = 0; j < columns; j++) {
        FASTNN_UNROLL
        for (v = 0; v < vectors; v++) NAME(store)(turned[j] + v * NAME(LANES), acc[j][v]);
    }
    for (i = 0; i < (part ? part : vectors * NAME(LANES)); i++) {
        FASTNN_UNROLL
        for (j = 0; j < columns; j++) c[i * c_stride + j] = turned[j][i];
    }
}

#define NARROW_KERNELS(N)                                                                                          \
    static void NAME(dots##N)(const REAL *const *a, const REAL *b, const REAL *init, REAL *c, ptrdiff_t c_stride,  \
                              ptrdiff_t rows, ptrdiff_t depth) {                                                   \
        ptrdiff_t i = 0;                                                                                           \
        for (; i + 4 <= rows; i += 4) NAME(dots)(4, N, a + i, b, init, c + i * c_stride, c_stride, depth);         \
        if (ROW_MASKED && i + 2 <= rows) {                                                                         \
            NAME(dots)(2, N, a + i, b, init, c + i * c_stride, c_stride, depth);                                   \
            i += 2;                                                                                                \
        }                                                                                                          \
        for (; i < rows; i++) NAME(dots)(1, N, a + i, b, init, c + i * c_stride, c_stride, depth);                 \
    }                                                                                                              \
    static void NAME(weighted##N)(const REAL *const *a, ptrdiff_t first, const REAL *b, ptrdiff_t b_stride,        \
                                  int more, REAL *c, ptrdiff_t c_stride, ptrdiff_t m, ptrdiff_t depth) {           \
        enum { L = NAME(LANES), V = N > 4 ? 2 : 4 };                                                               \
        ptrdiff_t i = 0;                                                                                           \
        for (; i + V * L <= m; i += V * L)                                                                         \
            NAME(weighted)(V, 0, N, a, first + i, b, b_stride, more, c + i * c_stride, c_stride, depth);           \
        for (; i + L <= m; i += L)                                                                                 \
            NAME(weighted)(1, 0, N, a, first + i, b, b_stride, more, c + i * c_stride, c_stride, depth);           \
        if (i < m)                                                                                                 \
            NAME(weighted)(1, (int)(m - i), N, a, first + i, b, b_stride, more, c + i * c_stride, c_stride, depth); \
    }
NARROW_KERNELS(1)
NARROW_KERNELS(2)
NARROW_KERNELS(3)
NARROW_KERNELS(4)
#if FASTNN_VECTOR_BYTES == 64
NARROW_KERNELS(5)
NARROW_KERNELS(6)
NARROW_KERNELS(7)
NARROW_KERNELS(8)
#define DOTS_CASES N(1, dots) N(2, dots) N(3, dots) N(4, dots) N(5, dots) N(6, dots)
#define NARROW_CASES(kernel) N(1, kernel) N(2, kernel) N(3, kernel) N(4, kernel) N(5, kernel) N(6, kernel) N(7, kernel) N(8, kernel)
#else
#define DOTS_CASES NARROW_CASES(dots)
#define NARROW_CASES(kernel) N(1, kernel) N(2, kernel) N(3, kernel) N(4, kernel)
#endif
#undef NARROW_KERNELS

/* The two by their number of columns, 1 .. DOTS_COLUMNS and 1 .. NARROW. */
static void NAME(narrow_rows)(int columns, const REAL *const *a, const REAL *b, const REAL *init, REAL *c,
                              ptrdiff_t c_stride, ptrdiff_t rows, ptrdiff_t depth) {
#define N(n, kernel) case n: NAME(kernel##n)(a, b, init, c, c_stride, rows, depth); break;
    switch (columns) { DOTS_CASES }
#undef N
#undef DOTS_CASES
}

static void NAME(narrow_columns)(int columns, const REAL *const *a, ptrdiff_t first, const REAL *b, ptrdiff_t b_stride,
                                 int more, REAL *c, ptrdiff_t c_stride, ptrdiff_t m, ptrdiff_t depth) {
#define N(n, kernel) case n: NAME(kernel##n)(a, first, b, b_stride, more, c, c_stride, m, depth); break;
    switch (columns) { NARROW_CASES(weighted) }
#undef N
#undef NARROW_CASES
}

/* out[j] = sum over rows of d[row][j], in the order of the rows; columns: 1 .. TILE_VECTORS * LANES. */
FASTNN_INLINE void NAME(sum_part)(const REAL *d, ptrdiff_t stride, ptrdiff_t rows, int part, REAL *out) {
    NAME(vector) acc = NAME(zero)();
    for (; rows > 0; rows--, d += stride) acc += part ? NAME(load_part)(d, part) : NAME(load)(d);
    if (part) NAME(store_part)(out, acc, part);
    else NAME(store)(out, acc);
}

static void NAME(sum_rows)(const REAL *d, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, REAL *out) {
    ptrdiff_t j = 0, row;
    if (columns == 1) {
        REAL sum = 0;
        for (row = 0; row < rows; row++) sum += d[row * stride];
        *out = sum;
        return;
    }
    for (; j + 4 * NAME(LANES) <= columns; j += 4 * NAME(LANES)) {      /* four sums do not wait for one another */
        NAME(vector) acc[4];
        int v;
        FASTNN_UNROLL
        for (v = 0; v < 4; v++) acc[v] = NAME(zero)();
        for (row = 0; row < rows; row++) {
            FASTNN_UNROLL
            for (v = 0; v < 4; v++) acc[v] += NAME(load)(d + row * stride + j + v * NAME(LANES));
        }
        FASTNN_UNROLL
        for (v = 0; v < 4; v++) NAME(store)(out + j + v * NAME(LANES), acc[v]);
    }
    for (; j + NAME(LANES) <= columns; j += NAME(LANES)) NAME(sum_part)(d + j, stride, rows, 0, out + j);
    if (j < columns) NAME(sum_part)(d + j, stride, rows, (int)(columns - j), out + j);
}

#undef TILE_OF
#undef TILE_CASE
#undef TILE_CASES
#undef TILE_TALL_CASES
#undef TILE_TOP
