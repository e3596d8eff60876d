"""Panels of B and strips of A, copied so as to lie together, and products in blocks of them, for gemm.pxi."""


cdef inline void panel_of(
        const real* b, Py_ssize_t b_stride, int columns, Py_ssize_t depth, real* workspace) noexcept nogil:
    if real is float:
        copy_panel_float(b, b_stride, columns, depth, workspace)
    else:
        copy_panel_double(b, b_stride, columns, depth, workspace)


cdef inline void turned_panel_of(
        const real* b, Py_ssize_t b_stride, int columns, Py_ssize_t depth, real* workspace) noexcept nogil:
    """Rows of B as the columns of a panel."""
    if real is float:
        turn_float(b, b_stride, columns, depth, workspace)
    else:
        turn_double(b, b_stride, columns, depth, workspace)


cdef inline void strips_of(
        const real* const* a, Py_ssize_t first, Py_ssize_t m, Py_ssize_t depth, real* out) noexcept nogil:
    if real is float:
        copy_strips_float(a, first, m, depth, out)
    else:
        copy_strips_double(a, first, m, depth, out)


cdef inline void turned_strips(
        const real* const* a, Py_ssize_t first, Py_ssize_t m, Py_ssize_t depth, real* out) noexcept nogil:
    """What strips_of gives, of m rows of A in place of columns."""
    cdef Py_ssize_t i = 0, row, at, rows, stride
    while i < m:
        rows = min(m - i, <Py_ssize_t>TILE_ROWS)
        stride = a[i + 1] - a[i] if rows == TILE_ROWS else 0
        for row in range(1, rows):
            if a[i + row] - a[i + row - 1] != stride:
                stride = 0
        if stride:
            turned_panel_of(a[i] + first, stride, TILE_ROWS, depth, out + i * depth)
        else:                           # rows of a shuffled batch, or fewer than a strip has
            for row in range(rows):
                for at in range(depth):
                    out[i * depth + at * TILE_ROWS + row] = a[i + row][first + at]
        i += TILE_ROWS


cdef inline void panel_part(
        const real* b, Py_ssize_t b_stride, bint by_rows, int columns, Py_ssize_t start, Py_ssize_t stop,
        real* panel) noexcept nogil:
    """Steps start:stop of a panel: its columns are B's, or B's rows."""
    if by_rows:
        turned_panel_of(b + start, b_stride, columns, stop - start, panel + start * columns)
    else:
        panel_of(b + start * b_stride, b_stride, columns, stop - start, panel + start * columns)


cdef void in_blocks(
        const real* const* a, Py_ssize_t first, bint a_by_rows, const real* b, Py_ssize_t b_stride, bint b_by_rows,
        const real* bias, Py_ssize_t bias_stride, real* c, Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t n,
        Py_ssize_t k, real* workspace) noexcept nogil:
    """Any of the three where both are large: strips of A are copied, which many panels of B read, and these too.

    The next panel is copied part by part between the tiles of this one, and fetched before: where its lines lie a power
    of two apart they would push one another out if they came all at once.
    """
    cdef int width = TILE_VECTORS * lanes(workspace)
    cdef real* panel = workspace
    cdef real* following = panel + width * PACK_DEPTH
    cdef real* strips = following + width * PACK_DEPTH
    cdef const real** addresses = <const real**>(strips + PACK_A_ROWS * PACK_DEPTH)
    cdef Py_ssize_t start = 0, depth, i0, i1, i, j, copied, stop, ahead, near = 1 if b_by_rows else b_stride
    cdef const real* init = bias
    cdef const real* next_b
    cdef real* tile
    cdef int rows, columns, more
    cdef Py_ssize_t block_rows = (even_share(m, PACK_A_ROWS) + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS  # whole strips
    while start < k:
        depth = min(<Py_ssize_t>PACK_DEPTH, k - start)
        for i in range(depth):
            addresses[i] = strips + i * TILE_ROWS
        i0 = 0
        while i0 < m:
            i1 = min(m, i0 + block_rows)
            if a_by_rows:
                turned_strips(a + i0, first + start, i1 - i0, depth, strips)
            else:
                strips_of(a + start, first + i0, i1 - i0, depth, strips)
            columns = <int>min(<Py_ssize_t>width, n)
            panel_part(b + start * near, b_stride, b_by_rows, columns, 0, depth, panel)
            j = 0
            while j < n:
                more = <int>min(<Py_ssize_t>width, n - j - columns)
                next_b = b + start * near + (j + columns) * (b_stride if b_by_rows else 1)
                copied, i = 0, i0
                while i < i1:
                    rows = <int>min(<Py_ssize_t>TILE_ROWS, i1 - i)
                    if more:
                        stop = depth if i + rows == i1 else depth * (i + rows - i0) // (i1 - i0) // 16 * 16
                        if stop > copied:
                            panel_part(next_b, b_stride, b_by_rows, more, copied, stop, following)
                        copied = stop
                        ahead = min(depth - stop, min(<Py_ssize_t>AHEAD, depth * TILE_ROWS // (i1 - i0) + 16))
                        fetch_rows(next_b + stop * near, b_stride * <Py_ssize_t>sizeof(real),
                                   more if b_by_rows else ahead,
                                   (ahead if b_by_rows else more) * <Py_ssize_t>sizeof(real))
                    tile = c + i * c_stride + j
                    if start:
                        init, bias_stride = tile, c_stride
                    elif bias != NULL:
                        init = bias + i * bias_stride + j
                    if real is float:
                        tile_columns_float(rows, columns, addresses, (i - i0) * depth, panel, columns, init,
                                           bias_stride, tile, c_stride, depth)
                    else:
                        tile_columns_double(rows, columns, addresses, (i - i0) * depth, panel, columns, init,
                                            bias_stride, tile, c_stride, depth)
                    i += rows
                j += columns
                columns = more
                panel, following = following, panel
            i0 = i1
        start += depth
