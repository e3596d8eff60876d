"""Matrix multiply, in the three forms that a dense layer needs.

matmul              C = A.B + bias    forward            (m, k) . (k, n)
matmul_segments     the same, where a row of A is several pieces that lie apart: convolution
matmul_transposed_a C = At.B          weight gradient    (k, m) . (k, n), m may be a range of A's columns
matmul_transposed_b C = A.Bt          input gradient     (m, k) . (n, k)
matmul_packed       C = A.B           B in panels, which many products read: a recurrence's
column_sums         sums of columns   bias gradient

Matrices are row-major. A comes as the addresses of its rows, so that a batch of shuffled rows is read where it lies.
C is cut into tiles that fit the vector registers (tile.h); these loops choose the tiles and, where reading B in place
would touch a new page at every step of k, copy a panel of it into `workspace` first.

workspace: as many elements as `workspace_elements` of kernel.pxd says.
"""

from fastnn.kernels.kernel cimport PACK_A_COLUMNS, PACK_A_ROWS, PACK_DEPTH
from fastnn.kernels.types cimport checked, make_gemm, make_segments, make_sum, real, wide


cdef extern from "tile.h" nogil:
    enum:
        TILE_ROWS
        TILE_VECTORS
        ROW_MASKED
        NARROW
        LANES_float
        LANES_double
    void tile_rows_float(int rows, int columns, const float* const* a, const Py_ssize_t* firsts, Py_ssize_t segments,
                         const float* b, Py_ssize_t b_stride, const float* init, Py_ssize_t init_stride, float* c,
                         Py_ssize_t c_stride, Py_ssize_t depth)
    void tile_rows_double(int rows, int columns, const double* const* a, const Py_ssize_t* firsts, Py_ssize_t segments,
                          const double* b, Py_ssize_t b_stride, const double* init, Py_ssize_t init_stride, double* c,
                          Py_ssize_t c_stride, Py_ssize_t depth)
    void tile_columns_float(int rows, int columns, const float* const* a, Py_ssize_t first, const float* b,
                            Py_ssize_t b_stride, const float* init, Py_ssize_t init_stride, float* c,
                            Py_ssize_t c_stride, Py_ssize_t depth)
    void tile_columns_double(int rows, int columns, const double* const* a, Py_ssize_t first, const double* b,
                             Py_ssize_t b_stride, const double* init, Py_ssize_t init_stride, double* c,
                             Py_ssize_t c_stride, Py_ssize_t depth)
    void tile_one_row_float(const float* const* a, const Py_ssize_t* firsts, Py_ssize_t segments, const float* b,
                            Py_ssize_t b_stride, const float* init, float* c, Py_ssize_t depth, int columns)
    void tile_one_row_double(const double* const* a, const Py_ssize_t* firsts, Py_ssize_t segments, const double* b,
                             Py_ssize_t b_stride, const double* init, double* c, Py_ssize_t depth, int columns)
    void narrow_rows_float(int columns, const float* const* a, const float* b, const float* init, float* c,
                           Py_ssize_t c_stride, Py_ssize_t rows, Py_ssize_t depth)
    void narrow_rows_double(int columns, const double* const* a, const double* b, const double* init, double* c,
                            Py_ssize_t c_stride, Py_ssize_t rows, Py_ssize_t depth)
    void narrow_columns_float(int columns, const float* const* a, Py_ssize_t first, const float* b, int more, float* c,
                              Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t depth)
    void narrow_columns_double(int columns, const double* const* a, Py_ssize_t first, const double* b, int more,
                               double* c, Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t depth)
    void copy_panel_float(const float* b, Py_ssize_t stride, int columns, Py_ssize_t depth, float* out)
    void copy_panel_double(const double* b, Py_ssize_t stride, int columns, Py_ssize_t depth, double* out)
    void copy_strips_float(const float* const* a, Py_ssize_t first, Py_ssize_t m, Py_ssize_t depth, float* out)
    void copy_strips_double(const double* const* a, Py_ssize_t first, Py_ssize_t m, Py_ssize_t depth, double* out)
    void turn_float(const float* b, Py_ssize_t stride, int columns, Py_ssize_t depth, float* out)
    void turn_double(const double* b, Py_ssize_t stride, int columns, Py_ssize_t depth, double* out)
    void sum_rows_float(const float* d, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t columns, float* out)
    void sum_rows_double(const double* d, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t columns, double* out)


cdef enum:
    # Copying a panel of B costs one pass over it. From this many rows of C on, and above this size of B (bytes), where
    # reading it in place misses too often, that pays: measured with AVX2 and AVX-512 on widths of 300 to 4096.
    PACK_ROWS = 48
    PACK_BYTES = 4194304
    PACK_BYTES_TRANSPOSED = 1048576
    # A product of few rows is worked out the other way round from so many rows and steps of k on, and where C has so
    # many times as many columns: with fewer the tiles that must be turned back cost more. Measured with AVX-512.
    FEW_ROWS = 16
    FEW_DEPTH = 256
    FEW_TIMES = 6
    # Steps of k in one go where B is that large but few rows use it: it then comes from memory row after row.
    STREAM_DEPTH = 32


cdef inline int lanes(real* hint) noexcept nogil:
    if real is float:
        return LANES_float
    else:
        return LANES_double


cdef inline int tile_height(Py_ssize_t rows) noexcept nogil:
    """Rows of the next tile: `rows` shared out evenly, so that no thin tile is left for the end."""
    cdef Py_ssize_t tiles
    if rows <= TILE_ROWS:
        return <int>rows
    tiles = (rows + TILE_ROWS - 1) // TILE_ROWS
    return <int>((rows + tiles - 1) // tiles)


cdef inline const real* panel_of(
        const real* b, Py_ssize_t b_stride, int columns, Py_ssize_t depth, real* workspace) noexcept nogil:
    if real is float:
        copy_panel_float(b, b_stride, columns, depth, workspace)
    else:
        copy_panel_double(b, b_stride, columns, depth, workspace)
    return workspace


cdef inline void narrow(
        const real* const* a, const real* b, const real* bias, real* c, Py_ssize_t c_stride, Py_ssize_t m,
        Py_ssize_t n, Py_ssize_t k, real* workspace) noexcept nogil:
    cdef const real* turned = b
    cdef Py_ssize_t i, j
    if n > 1:
        turned = workspace
        for i in range(k):
            for j in range(n):
                workspace[j * k + i] = b[i * n + j]
    if real is float:
        narrow_rows_float(<int>n, a, turned, bias, c, c_stride, m, k)
    else:
        narrow_rows_double(<int>n, a, turned, bias, c, c_stride, m, k)


cdef void matmul_rows(
        const real* const* a, Py_ssize_t first, const real* b, Py_ssize_t b_stride, const real* bias, real* c,
        Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, real* workspace) noexcept nogil:
    """Where `bias` is C, the product is added."""
    cdef bint far = k * b_stride * <Py_ssize_t>sizeof(real) >= PACK_BYTES
    cdef bint pack = far and m >= PACK_ROWS
    cdef Py_ssize_t start = 0, offset, depth, step = k, init_stride = c_stride if bias == c else 0
    cdef const real* init = bias
    if n <= NARROW and b_stride == n and bias != c and first == 0:
        narrow(a, b, bias, c, c_stride, m, n, k, workspace)
        return
    if far and not pack:                # B comes from memory: in order, some rows at a time
        step = STREAM_DEPTH
    while True:
        depth = min(step, k - start)
        offset = first + start
        matmul_depth(a, &offset, 1, b + start * b_stride, b_stride, init, init_stride, c, c_stride, m, n, depth,
                     pack, workspace)
        start += depth
        if start >= k:
            return
        init, init_stride = c, c_stride


cdef inline void matmul_depth(
        const real* const* a, const Py_ssize_t* firsts, Py_ssize_t segments, const real* b, Py_ssize_t b_stride,
        const real* init, Py_ssize_t init_stride, real* c, Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t n,
        Py_ssize_t k, bint pack, real* workspace) noexcept nogil:
    """C = init + A.B, for k columns of A from each of `firsts` on, one segment behind the other."""
    cdef int width = TILE_VECTORS * lanes(workspace)
    cdef Py_ssize_t i, j = 0, stride
    cdef int rows, columns
    cdef const real* panel
    cdef const real* from_
    if m == 1:
        while n - j > width if ROW_MASKED else n - j >= 2 * width:
            columns = <int>min(n - j, <Py_ssize_t>4 * width)
            if not ROW_MASKED:
                columns = 4 * width if n - j >= 4 * width else 2 * width
            from_ = init + j if init != NULL else NULL
            if real is float:
                tile_one_row_float(a, firsts, segments, b + j, b_stride, from_, c + j, k, columns)
            else:
                tile_one_row_double(a, firsts, segments, b + j, b_stride, from_, c + j, k, columns)
            j += columns
    while j < n:
        columns = <int>min(<Py_ssize_t>width, n - j)
        panel = b + j
        stride = b_stride
        if pack:
            panel = panel_of(panel, b_stride, columns, segments * k, workspace)
            stride = columns
        i = 0
        while i < m:
            rows = tile_height(m - i)
            from_ = init + i * init_stride + j if init != NULL else NULL
            if real is float:
                tile_rows_float(rows, columns, a + i, firsts, segments, panel, stride, from_, init_stride,
                                c + i * c_stride + j, c_stride, k)
            else:
                tile_rows_double(rows, columns, a + i, firsts, segments, panel, stride, from_, init_stride,
                                 c + i * c_stride + j, c_stride, k)
            i += rows
        j += columns


cdef void matmul_segments_rows(
        const float* const* a, const Py_ssize_t* firsts, Py_ssize_t segments, const float* b, Py_ssize_t b_stride,
        const float* bias, float* c, Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
        float* workspace) noexcept nogil:
    """C = A.B + bias, where a row of A is `segments` pieces of k numbers: a convolution's patches, read in place."""
    cdef bint pack = m >= PACK_ROWS and segments * k * b_stride * <Py_ssize_t>sizeof(float) >= PACK_BYTES
    matmul_depth(a, firsts, segments, b, b_stride, bias, 0, c, c_stride, m, n, k, pack, workspace)


cdef inline void strips_of(
        const real* const* a, Py_ssize_t first, Py_ssize_t m, Py_ssize_t depth, real* out) noexcept nogil:
    if real is float:
        copy_strips_float(a, first, m, depth, out)
    else:
        copy_strips_double(a, first, m, depth, out)


cdef void matmul_transposed_a_rows(
        const real* const* a, Py_ssize_t first, const real* b, Py_ssize_t b_stride, const real* bias, real* c,
        Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, real* workspace) noexcept nogil:
    """`a` holds k row addresses; the m columns start at `first`. Where `bias` is C, the product is added."""
    cdef int width = TILE_VECTORS * lanes(workspace)
    cdef bint far = k * b_stride * <Py_ssize_t>sizeof(real) >= PACK_BYTES_TRANSPOSED
    cdef bint pack = far and m >= PACK_ROWS
    # Strips of A that are read again for many panels of B are copied, so that a step of k does not cost a new page.
    cdef bint pack_a = far and m >= TILE_ROWS and n >= PACK_A_COLUMNS
    cdef Py_ssize_t i, j, i0, i1, stride, start = 0, depth, block, offset, step
    cdef int rows, columns
    cdef real* strips
    cdef const real** addresses
    cdef const real* const* rows_of_a
    cdef const real* panel
    cdef const real* init
    cdef real* tile
    if n <= NARROW and b_stride == n:
        if real is float:
            narrow_columns_float(<int>n, a, first, b, bias != NULL, c, c_stride, m, k)
        else:
            narrow_columns_double(<int>n, a, first, b, bias != NULL, c, c_stride, m, k)
        return
    block = PACK_A_ROWS if pack_a else m
    strips = workspace + width * PACK_DEPTH
    addresses = <const real**>(strips + PACK_A_ROWS * PACK_DEPTH)
    while True:
        depth = min(<Py_ssize_t>PACK_DEPTH, k - start)
        i0 = 0
        while i0 < m:
            i1 = min(m, i0 + block)
            rows_of_a, offset, step = a + start, first + i0, 1
            if pack_a:
                strips_of(a + start, first + i0, i1 - i0, depth, strips)
                for i in range(depth):
                    addresses[i] = strips + i * TILE_ROWS
                rows_of_a, offset, step = addresses, 0, depth
            j = 0
            while j < n:
                columns = <int>min(<Py_ssize_t>width, n - j)
                panel = b + start * b_stride + j
                stride = b_stride
                if pack:
                    panel = panel_of(panel, b_stride, columns, depth, workspace)
                    stride = columns
                i = i0
                while i < i1:
                    rows = <int>min(<Py_ssize_t>TILE_ROWS, i1 - i) if pack_a else tile_height(i1 - i)
                    tile = c + i * c_stride + j
                    init = tile if start or bias != NULL else NULL
                    if real is float:
                        tile_columns_float(rows, columns, rows_of_a, offset + (i - i0) * step, panel, stride, init,
                                           c_stride, tile, c_stride, depth)
                    else:
                        tile_columns_double(rows, columns, rows_of_a, offset + (i - i0) * step, panel, stride, init,
                                            c_stride, tile, c_stride, depth)
                    i += rows
                j += columns
            i0 = i1
        start += depth
        if start >= k:
            return


cdef inline const real* turned_panel_of(
        const real* b, Py_ssize_t b_stride, int columns, Py_ssize_t depth, real* workspace) noexcept nogil:
    """Rows of B as the columns of a panel."""
    if real is float:
        turn_float(b, b_stride, columns, depth, workspace)
    else:
        turn_double(b, b_stride, columns, depth, workspace)
    return workspace


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
        height = tile_height(n - j)
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


cdef void matmul_transposed_b_rows(
        const real* const* a, Py_ssize_t first, const real* b, Py_ssize_t b_stride, const real* bias, real* c,
        Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, real* workspace) noexcept nogil:
    """`bias` is not used."""
    cdef int width = TILE_VECTORS * lanes(workspace)
    cdef Py_ssize_t i, j = 0
    cdef int rows, columns
    if FEW_ROWS <= m <= width and k >= FEW_DEPTH and n >= FEW_TIMES * m:
        few_rows(a, first, b, b_stride, c, c_stride, <int>m, n, k, workspace)
        return
    while j < n:
        columns = <int>min(<Py_ssize_t>width, n - j)
        turned_panel_of(b + j * b_stride, b_stride, columns, k, workspace)
        i = 0
        while i < m:
            rows = tile_height(m - i)
            if real is float:
                tile_rows_float(
                    rows, columns, a + i, &first, 1, workspace, columns, NULL, 0, c + i * c_stride + j, c_stride, k)
            else:
                tile_rows_double(
                    rows, columns, a + i, &first, 1, workspace, columns, NULL, 0, c + i * c_stride + j, c_stride, k)
            i += rows
        j += columns


cdef void pack_rows(
        const float* b, Py_ssize_t b_stride, Py_ssize_t k, Py_ssize_t n, float* out) noexcept nogil:
    """B as panels, one behind the other."""
    cdef Py_ssize_t j = 0
    cdef int columns
    while j < n:
        columns = <int>min(<Py_ssize_t>(TILE_VECTORS * LANES_float), n - j)
        panel_of(b + j, b_stride, columns, k, out + j * k)
        j += columns


cdef void pack_turned_rows(
        const float* b, Py_ssize_t b_stride, Py_ssize_t n, Py_ssize_t k, float* out) noexcept nogil:
    """The same of Bt: n rows of k numbers as n columns."""
    cdef Py_ssize_t j = 0
    cdef int columns
    while j < n:
        columns = <int>min(<Py_ssize_t>(TILE_VECTORS * LANES_float), n - j)
        turned_panel_of(b + j * b_stride, b_stride, columns, k, out + j * k)
        j += columns


cdef void turn_rows(
        const float* b, Py_ssize_t b_stride, Py_ssize_t n, Py_ssize_t k, float* out) noexcept nogil:
    """Bt: n rows of k numbers as columns."""
    turn_float(b, b_stride, <int>n, k, out)


cdef void matmul_packed_rows(
        const float* const* a, Py_ssize_t first, const float* b, Py_ssize_t b_stride, const float* bias, float* c,
        Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, float* workspace) noexcept nogil:
    """`b_stride` and `workspace` are not used. Where `bias` is C, the product is added."""
    cdef Py_ssize_t i, j = 0, init_stride = c_stride if bias == c else 0
    cdef int rows, columns
    while j < n:
        columns = <int>min(<Py_ssize_t>(TILE_VECTORS * LANES_float), n - j)
        i = 0
        while i < m:
            rows = tile_height(m - i)
            tile_rows_float(rows, columns, a + i, &first, 1, b + j * k, columns,
                            bias + i * init_stride + j if bias != NULL else NULL, init_stride,
                            c + i * c_stride + j, c_stride, k)
            i += rows
        j += columns


cdef void column_sums_rows(
        const real* d, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t columns, real* out) noexcept nogil:
    if real is float:
        sum_rows_float(d, stride, rows, columns, out)
    else:
        sum_rows_double(d, stride, rows, columns, out)


make_segments(made, "gemm_segments", matmul_segments_rows)
make_gemm(made, "gemm", matmul_rows[float], wide(matmul_rows[double]))
make_gemm(made, "gemm_transposed_a", matmul_transposed_a_rows[float], wide(matmul_transposed_a_rows[double]))
make_gemm(made, "gemm_transposed_b", matmul_transposed_b_rows[float], wide(matmul_transposed_b_rows[double]))
make_sum(made, "column_sums", column_sums_rows[float], checked(column_sums_rows[double]))
make_gemm(made, "gemm_packed", matmul_packed_rows, NULL)
make_sum(made, "pack", pack_rows, NULL)
make_sum(made, "pack_turned", pack_turned_rows, NULL)
make_sum(made, "turn", turn_rows, NULL)
