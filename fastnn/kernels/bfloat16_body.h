/* The products of bfloat16.h: what is packed when, with `along`, `across` and `tiles` of that page. */

/* Panels of `pitch` numbers: steps 2 k and 2 k + 1 of each of `columns`, behind `at` pairs that are there. */
static BF_TARGET void NAME(panels)(const float *b, ptrdiff_t b_stride, ptrdiff_t columns, ptrdiff_t n, ptrdiff_t at,
                                   float *out, ptrdiff_t pitch) {
    ptrdiff_t k, j;
    for (k = 0; k < n; k += 2, b += 2 * b_stride)
        for (j = 0; j < columns; j += 16) {
            BF_FETCH(b + 8 * b_stride + j);         /* rows lie on pages of their own: 0.97 of the time */
            BF_FETCH(b + 9 * b_stride + j);
            const ptrdiff_t left = columns - j / BF_WIDE * BF_WIDE, width = left < BF_WIDE ? left : BF_WIDE;
            const float *below = k + 1 < n ? b + b_stride + j : NULL;
            float *to = out + j / BF_WIDE * pitch + (at + k / 2) * width + j % BF_WIDE;
            if (columns - j >= 16) NAME(across)(b + j, below, 16, to);
            else NAME(across)(b + j, below, columns - j, to);
        }
}

/* The same of rows of B as columns, by rows of pairs. */
static BF_TARGET void NAME(turned_panel)(const float *b, ptrdiff_t b_stride, int columns, ptrdiff_t n, float *out,
                                         float *rows) {
    int j;
    for (j = 0; j < columns; j++) NAME(along)(b + j * b_stride, n, rows + j * BF_DEPTH);
    turn_float(rows, BF_DEPTH, columns, (n + 1) / 2, out);
}

static BF_TARGET void NAME(multiply)(
    int form, const float *const *a, const ptrdiff_t *firsts, ptrdiff_t segments, const float *b, ptrdiff_t b_stride,
    const float *init, float *c, ptrdiff_t c_stride, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, float *workspace) {
    Piece pieces[BF_PIECES];
    ptrdiff_t segment = 0, done = 0, depth, i0, i, j, s, init_stride = init == c ? c_stride : 0;
    ptrdiff_t block = m, most = segments * ((k + 1) / 2);
    const ptrdiff_t apart = form == BF_TURNED_A ? 1 : BF_PITCH, along = form == BF_TURNED_A ? BF_TALL : 1;
    float *const panel = workspace + (BF_ROWS + BF_TALL) * BF_PITCH;
    enum { PITCH = BF_WIDE * BF_DEPTH, GROUP = BF_WIDE * BF_PANELS_AT_ONCE };
    if (m > BF_ROWS) {                      /* shared out evenly, as the depth is */
        block = (m + BF_ROWS - 1) / BF_ROWS;
        block = ((m + block - 1) / block + BF_TALL - 1) / BF_TALL * BF_TALL;
    }
    if (most > BF_DEPTH) {
        s = (most + BF_DEPTH - 1) / BF_DEPTH;
        most = (most + s - 1) / s;
    }
    do {
        int count = 0, piece;
        depth = 0;
        while (segment < segments && depth < most && count < BF_PIECES) {
            Piece *p = pieces + count++;
            p->a = firsts[segment] + done;
            p->b = segment * k + done;
            p->n = k - done < 2 * (most - depth) ? k - done : 2 * (most - depth);
            p->at = depth;
            depth += (p->n + 1) / 2;
            done += p->n;
            if (done == k) segment++, done = 0;
        }
        for (i0 = 0; i0 < m; i0 += block) {
            const ptrdiff_t end = m - i0 < block ? m - i0 : block;
            if (form == BF_TURNED_A)
                for (s = 0; s < pieces->n; s += 2) {
                    const float *const *row = a + pieces->b + s;
                    const ptrdiff_t at = *firsts + i0;
                    const float *x = row[0] + at, *below = s + 1 < pieces->n ? row[1] + at : x;
                    float *to = workspace + s / 2 * BF_TALL;
                    for (i = 0; i + BF_TALL <= end; i += BF_TALL)
                        NAME(across)(x + i, below == x ? NULL : below + i, BF_TALL, to + i * BF_PITCH);
                    if (i < end) NAME(across)(x + i, below == x ? NULL : below + i, end - i, to + i * BF_PITCH);
                }
            else
                for (piece = 0; piece < count; piece++)
                    for (i = 0; i < end; i++)
                        NAME(along)(a[i0 + i] + pieces[piece].a, pieces[piece].n,
                                    workspace + i * BF_PITCH + pieces[piece].at);
            for (j = 0; j < n; j += BF_WIDE) {
                const int columns = n - j < BF_WIDE ? (int)(n - j) : BF_WIDE;
                const float *packed = panel;
                if (form == BF_PANELS)
                    packed = b + j * ((k + 1) / 2) + pieces->b / 2 * columns;
                else if (form == BF_TURNED_B)
                    NAME(turned_panel)(b + j * b_stride + pieces->b, b_stride, columns, pieces->n, panel, panel + PITCH);
                else {
                    for (piece = 0; piece < (j % GROUP ? 0 : count); piece++)
                        NAME(panels)(b + pieces[piece].b * b_stride + j, b_stride, n - j < GROUP ? n - j : GROUP,
                                     pieces[piece].n, pieces[piece].at, panel, PITCH);
                    packed += j % GROUP / BF_WIDE * PITCH;
                }
                for (i = 0; i < end; i += BF_TALL)
                    NAME(tiles)(end - i < BF_TALL ? (int)(end - i) : BF_TALL, columns, workspace + i * BF_PITCH, apart,
                                along, packed, init ? init + (i0 + i) * init_stride + j : NULL, init_stride,
                                c + (i0 + i) * c_stride + j, c_stride, depth);
            }
        }
        init = c;
        init_stride = c_stride;
    } while (segment < segments);
}

#define BF_GEMM(name, form)                                                                                           \
    static void NAME(name)(const float *const *a, ptrdiff_t first, const float *b, ptrdiff_t b_stride, const float *bias, \
                           float *c, ptrdiff_t c_stride, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, float *workspace) {   \
        NAME(multiply)(form, a, &first, 1, b, b_stride, bias, c, c_stride, m, n, k, workspace);                       \
    }
BF_GEMM(gemm, BF_ROWS_OF_A)
BF_GEMM(transposed_a, BF_TURNED_A)
BF_GEMM(transposed_b, BF_TURNED_B)
BF_GEMM(packed, BF_PANELS)
#undef BF_GEMM

static void NAME(segments)(const float *const *a, const ptrdiff_t *firsts, ptrdiff_t segments, const float *b,
                           ptrdiff_t b_stride, const float *bias, float *c, ptrdiff_t c_stride, ptrdiff_t m, ptrdiff_t n,
                           ptrdiff_t k, float *workspace) {
    NAME(multiply)(BF_ROWS_OF_A, a, firsts, segments, b, b_stride, bias, c, c_stride, m, n, k, workspace);
}

/* B in panels, one behind the other: no more numbers than it has. */
static BF_TARGET void NAME(pack)(const float *b, ptrdiff_t b_stride, ptrdiff_t k, ptrdiff_t n, float *out) {
    NAME(panels)(b, b_stride, n, k, 0, out, BF_WIDE * ((k + 1) / 2));
}

/* The same of Bt: n rows of k numbers as n columns. */
static BF_TARGET void NAME(pack_turned)(const float *b, ptrdiff_t b_stride, ptrdiff_t n, ptrdiff_t k, float *out) {
    float rows[(BF_WIDE + 1) * BF_DEPTH];
    ptrdiff_t j, s;
    for (j = 0; j < n; j += BF_WIDE) {
        const int columns = n - j < BF_WIDE ? (int)(n - j) : BF_WIDE;
        for (s = 0; s < k; s += 2 * BF_DEPTH)
            NAME(turned_panel)(b + j * b_stride + s, b_stride, columns, k - s < 2 * BF_DEPTH ? k - s : 2 * BF_DEPTH,
                               out + j * ((k + 1) / 2) + s / 2 * columns, rows);
    }
}

static void *const NAME(functions)[] = {
    (void *)NAME(gemm), (void *)NAME(transposed_a), (void *)NAME(transposed_b), (void *)NAME(packed),
    (void *)NAME(segments), (void *)NAME(pack), (void *)NAME(pack_turned), (void *)bfloat16_round,
};
