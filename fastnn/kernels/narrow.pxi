"""Products of few rows, columns or steps of k, and which of them goes which way, for gemm.pxi."""


cdef inline void narrow(
        const real* const* a, const real* b, Py_ssize_t b_stride, const real* bias, real* c, Py_ssize_t c_stride,
        Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, real* workspace) noexcept nogil:
    """A.B by vectors along k; B has one column, or no others than these."""
    cdef const real* turned = b
    cdef Py_ssize_t i
    if real is float:
        if 3 < n and m <= FLAT_ROWS and k >= (m - 1) * FLAT_DEPTH:
            flat_rows(<int>n, a, b, bias, c, c_stride, m, k)
            return
    if n > 1:
        turned_panel_of(b, n, <int>k, n, workspace)
        turned = workspace
    elif b_stride > 1:
        for i in range(k):
            workspace[i] = b[i * b_stride]
        turned = workspace
    dots(a, turned, bias, c, c_stride, m, n, k)


cdef inline bint is_shallow(Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    return 0 < k <= SHALLOW and 0 < n <= SHALLOW_COLUMNS


cdef inline void shallow(
        const float* const* a, Py_ssize_t first, const float* b, Py_ssize_t b_stride, const float* init,
        Py_ssize_t init_stride, float* c, Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    cdef Py_ssize_t done = 0
    if n == 1 and init_stride == 0 and first == 0 and k < NARROW:
        done = shallow_column(<int>k, a, b, init[0] if init != NULL else 0, c, c_stride, m)
    shallow_rows(<int>k, a + done, first, b, b_stride, init, init_stride, c + done * c_stride, c_stride, m - done,
                 <int>n)


cdef inline bint along_rows(
        Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, Py_ssize_t columns, bint far, int lanes) noexcept nogil:
    """Whether the last columns of At.B, fewer than lanes, are better taken with vectors along A's rows."""
    if is_shallow(n, k) and n <= 16 and k * (16 - columns) < 16 * columns - 24:
        return False                    # to turn the result costs more
    if n <= NARROW:
        return True
    return not far and (columns <= NARROW or columns <= 3 * NARROW // 2 and m >= 3 * lanes) and (
        4 * columns * ((m + lanes - 1) // lanes) <= 3 * m)


cdef inline void few_rows(
        const real* const* a, Py_ssize_t first, const real* b, Py_ssize_t b_stride, real* c, Py_ssize_t c_stride,
        int m, Py_ssize_t n, Py_ssize_t k, real* workspace) noexcept nogil:
    """A.Bt where A has no more rows than a tile has columns, as (B.At)t: A is turned, which is less than turning B."""
    cdef const real* rows[TILE_ROWS]
    cdef real tile[TILE_ROWS * TILE_VECTORS * 16]
    cdef Py_ssize_t i, j = 0, at
    cdef int height, row
    for i in range(m):
        for at in range(k):
            workspace[at * m + i] = a[i][first + at]
    at = 0
    while j < n:
        height = tile_height(n - j, ADDRESSED_ROWS)
        for row in range(height):
            rows[row] = b + (j + row) * b_stride
        if real is float:
            tile_rows_float(height, m, rows, &at, 1, workspace, m, NULL, 0, tile, m, k)
        else:
            tile_rows_double(height, m, rows, &at, 1, workspace, m, NULL, 0, tile, m, k)
        for i in range(m):
            for row in range(height):
                c[i * c_stride + j + row] = tile[row * m + i]
        j += height


cdef inline void dots(
        const real* const* a, const real* b, const real* bias, real* c, Py_ssize_t c_stride, Py_ssize_t m,
        Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    """A.Bt by vectors along k: some columns at a time, of as many rows as stay near."""
    cdef Py_ssize_t i = 0, j, rows
    cdef const real* init = NULL
    cdef int columns
    while i < m:
        rows = m - i if n <= DOTS_COLUMNS else min(<Py_ssize_t>DOTS_ROWS, m - i)
        j = 0
        while j < n:
            columns = <int>even_share(n - j, DOTS_COLUMNS)
            if bias != NULL:
                init = bias + j
            if real is float:
                narrow_rows_float(columns, a + i, b + j * k, init, c + i * c_stride + j, c_stride, rows, k)
            else:
                narrow_rows_double(columns, a + i, b + j * k, init, c + i * c_stride + j, c_stride, rows, k)
            j += columns
        i += rows
