/* See pooling.h, which includes this page for vectors of each size that it uses. */

#ifdef FASTNN_VECTOR_BYTES
typedef __typeof__((NAME(vector)){0} == (NAME(vector)){0}) NAME(mask);
#endif

FASTNN_INLINE NAME(vector) NAME(pool_cell)(int largest, int part, NAME(vector) best, const float *x) {
    const NAME(vector) cell = part ? NAME(load_part)(x, part) : NAME(load)(x);
    return largest ? FASTNN_CHOOSE((cell > best) | (cell != cell), cell, best) : best + cell;
}

/* part, the cells of a window of one line or two of two (else 0), and which of the two is asked for, are constants. */
FASTNN_INLINE void NAME(pool_part)(int largest, int part, int cells, const float *x, const fastnn_box *box,
                                   float *a) {
    NAME(vector) best = part ? NAME(load_part)(x, part) : NAME(load)(x);
    ptrdiff_t i, j, k, at;
    if (!largest) best = NAME(zero)();
    if (cells) {
        FASTNN_UNROLL
        for (k = 0; k < cells; k++) best = NAME(pool_cell)(largest, part, best, x + CELL(box, k));
    } else
        EACH_CELL(box, i, j, k, at) best = NAME(pool_cell)(largest, part, best, x + at);
    if (!largest) best /= (float)(box->planes * box->lines * box->cells);
    if (part) NAME(store_part)(a, best, part);
    else NAME(store)(a, best);
}

/* The slope of a cell, of what is left of its window's; alone: no other window has it, and nothing is read that a
   masked store may just have left near: it would be waited for. The cell that a was copied from has its bits. */
FASTNN_INLINE NAME(vector) NAME(unpool_cell)(int largest, int part, int alone, int cells, const float *x,
                                             NAME(vector) best, NAME(vector) left, float *d_x) {
    static const float zeros[NAME(LANES)] = {0};
    const NAME(vector) none = NAME(zero)();
    NAME(vector) to = left;
    if (largest) {
        const NAME(vector) cell = part ? NAME(load_part)(x, part) : NAME(load)(x);
        to = FASTNN_CHOOSE(FASTNN_SAME(cell, best), left, none);
        left = FASTNN_CHOOSE(FASTNN_SAME(cell, best), none, left);
    }
    if (!cells) to += part ? NAME(load_part)(alone ? zeros : d_x, part) : NAME(load)(alone ? zeros : d_x);
    if (part) NAME(store_part)(d_x, to, part);
    else NAME(store)(d_x, to);
    return left;
}

/* d_x += the slopes: d at the first cell that a came from, or a share for each; alone: d_x = them. */
FASTNN_INLINE void NAME(unpool_part)(int largest, int part, int alone, int cells, const float *x, const fastnn_box *box,
                               const float *a, const float *d, float *d_x) {
    const NAME(vector) best = part ? NAME(load_part)(a, part) : NAME(load)(a);
    NAME(vector) left = part ? NAME(load_part)(d, part) : NAME(load)(d);
    ptrdiff_t i, j, k, at;
    if (!largest) left /= (float)(box->planes * box->lines * box->cells);
    if (cells) {
        FASTNN_UNROLL
        for (k = 0; k < cells; k++)
            left = NAME(unpool_cell)(largest, part, alone, cells, x + CELL(box, k), best, left, d_x + CELL(box, k));
    } else
        EACH_CELL(box, i, j, k, at) left = NAME(unpool_cell)(largest, part, alone, cells, x + at, best, left, d_x + at);
}

/* n channels of a window. */
FASTNN_INLINE void NAME(pool_channels)(int largest, int cells, const float *x, const fastnn_box *box, ptrdiff_t n,
                                       float *a) {
    ptrdiff_t c = 0;
    for (; c + NAME(LANES) <= n; c += NAME(LANES)) NAME(pool_part)(largest, 0, cells, x + c, box, a + c);
    if (c < n) NAME(pool_part)(largest, (int)(n - c), cells, x + c, box, a + c);
}

FASTNN_INLINE void NAME(unpool_channels)(int largest, int alone, int cells, const float *x, const fastnn_box *box,
                                         ptrdiff_t n, const float *a, const float *d, float *d_x) {
    ptrdiff_t c = 0;
    for (; c + NAME(LANES) <= n; c += NAME(LANES))
        NAME(unpool_part)(largest, 0, alone, cells, x + c, box, a + c, d + c, d_x + c);
    if (c < n) NAME(unpool_part)(largest, (int)(n - c), alone, cells, x + c, box, a + c, d + c, d_x + c);
}

/* Windows of the same size that begin `step` numbers apart; with d, their slopes to d_x. */
static void NAME(pool_any)(int largest, int alone, const float *x, const fastnn_box *box, ptrdiff_t step,
                           ptrdiff_t windows, ptrdiff_t n, float *a, const float *d, float *d_x) {
    for (; windows > 0; windows--, x += step, a += n) {
        if (!d) {
            if (largest) NAME(pool_channels)(1, 0, x, box, n, a);
            else NAME(pool_channels)(0, 0, x, box, n, a);
            continue;
        }
        if (largest) NAME(unpool_channels)(1, alone, 0, x, box, n, a, d, d_x);
        else NAME(unpool_channels)(0, alone, 0, x, box, n, a, d, d_x);
        d += n;
        d_x += step;
    }
}

/* The largest of one line or two of two cells, none of which is in another window. */
FASTNN_INLINE void NAME(pool_few)(int cells, const float *x, const fastnn_box *box, ptrdiff_t step, ptrdiff_t windows,
                                  ptrdiff_t n, float *a, const float *d, float *d_x) {
    for (; windows > 0; windows--, x += step, a += n) {
        if (!d) {
            NAME(pool_channels)(1, cells, x, box, n, a);
            continue;
        }
        NAME(unpool_channels)(1, 1, cells, x, box, n, a, d, d_x);
        d += n;
        d_x += step;
    }
}

static void NAME(pool_pairs)(const float *x, const fastnn_box *box, ptrdiff_t step, ptrdiff_t windows, ptrdiff_t n,
                             float *a, const float *d, float *d_x) {
    if (box->lines == 2) NAME(pool_few)(4, x, box, step, windows, n, a, d, d_x);
    else NAME(pool_few)(2, x, box, step, windows, n, a, d, d_x);
}
