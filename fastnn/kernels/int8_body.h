/* The product of int8.h, with what that page says of vectors: LANES columns each, four steps of k of which DOT adds to
   their sums. FEW_VECTORS of one row, or MANY_VECTORS of MANY_ROWS, are held in registers while k runs. */

FASTNN_INLINE TARGET void NAME(tile)(int rows, int vectors, const uint8_t *x, ptrdiff_t stride, const int8_t *w,
                                     int columns, ptrdiff_t depth, int32_t *out) {
    VECTOR sums[MANY_ROWS][FEW_VECTORS];
    ptrdiff_t k;
    int i, j;
    FASTNN_UNROLL
    for (i = 0; i < rows; i++) {
        FASTNN_UNROLL
        for (j = 0; j < vectors; j++) sums[i][j] = ZERO;
    }
    for (k = 0; k < depth; k += 4) {
        FASTNN_UNROLL
        for (i = 0; i < rows; i++) {
            SPREAD four = SPREAD_OF(x + i * stride + k);
            FASTNN_UNROLL
            for (j = 0; j < vectors; j++) sums[i][j] = DOT(sums[i][j], four, w + 4 * LANES * j);
        }
        w += 4 * columns;
    }
    FASTNN_UNROLL
    for (i = 0; i < rows; i++) {
        FASTNN_UNROLL
        for (j = 0; j < vectors; j++) GIVE(out + i * INT8_PANEL + LANES * j, sums[i][j]);
    }
}

/* The columns of a panel, some vectors at a time, or one where it has fewer. */
FASTNN_INLINE TARGET void NAME(strip)(int rows, int vectors, const uint8_t *x, ptrdiff_t stride, const int8_t *w,
                                      int columns, ptrdiff_t depth, int32_t *out) {
    int at;
    if (columns >= vectors * LANES)
        for (at = 0; at < columns; at += vectors * LANES)
            NAME(tile)(rows, vectors, x, stride, w + 4 * at, columns, depth, out + at);
    else
        for (at = 0; at < columns; at += LANES) NAME(tile)(rows, 1, x, stride, w + 4 * at, columns, depth, out + at);
}

static TARGET void NAME(multiply)(const uint8_t *x, ptrdiff_t stride, const Int8Row *rows, ptrdiff_t m, const Int8 *w,
                                  const float *init, ptrdiff_t init_stride, float *c, ptrdiff_t c_stride) {
    const int8_t *panel = w->panels;
    const ptrdiff_t depth = w->depth;
    ptrdiff_t first = 0, i;
    int32_t sums[MANY_ROWS * INT8_PANEL];
    while (first < w->columns) {
        const ptrdiff_t left = w->columns - first;
        const int columns = left > INT8_PANEL - INT8_PIECE ? INT8_PANEL : INT8_PIECE;
        const ptrdiff_t n = left < columns ? left : columns;
        int some, k;
        for (i = 0; i < m; i += some) {
            const uint8_t *row = x + i * stride;
            some = m - i >= MANY_ROWS ? MANY_ROWS : MANY_ROWS > 2 && m - i > 1 ? 2 : 1;
            if (some == MANY_ROWS && MANY_ROWS > 1)
                NAME(strip)(MANY_ROWS, MANY_VECTORS, row, stride, panel, columns, depth, sums);
            else if (some > 1)
                NAME(strip)(2, MANY_VECTORS, row, stride, panel, columns, depth, sums);
            else
                NAME(strip)(1, FEW_VECTORS, row, stride, panel, columns, depth, sums);
            for (k = 0; k < some; k++)
                int8_finish(sums + k * INT8_PANEL, rows + i + k, w, first, n,
                            init ? init + (i + k) * init_stride + first : NULL, c + (i + k) * c_stride + first);
        }
        panel += depth * columns;
        first += columns;
    }
}

#ifndef KEEP
#undef TARGET
#undef VECTOR
#undef SPREAD
#undef LANES
#undef FEW_VECTORS
#undef MANY_VECTORS
#undef MANY_ROWS
#undef ZERO
#undef SPREAD_OF
#undef GIVE
#undef NAME
#undef DOT
#endif
