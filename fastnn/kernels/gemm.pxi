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

from fastnn.kernels.kernel cimport DOTS_DEPTH, MOST_DOTS, PACK_A_COLUMNS, PACK_A_ROWS, PACK_DEPTH
from fastnn.kernels.types cimport checked, make_gemm, make_segments, make_sum, real, wide


cdef extern from "tile.h" nogil:
    enum:
        TILE_ROWS
        ADDRESSED_ROWS
        TILE_VECTORS
        COPIES_PANELS
        ROW_MASKED
        NARROW
        DOTS_COLUMNS
        SHALLOW
        SHALLOW_COLUMNS
        FLAT_ROWS
        FLAT_DEPTH
        STREAM_BYTES
        FETCHES_PANELS
        FETCH_ROWS
        FETCH_BYTES
        PANEL_DEPTH
        LANES_float
        LANES_double
    bint is_narrow(Py_ssize_t columns, Py_ssize_t depth)
    int dot_columns(Py_ssize_t columns, Py_ssize_t stride, Py_ssize_t depth)
    void fetch_rows(const void* b, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t bytes)
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
    void copying_rows_float(const float* const* a, const Py_ssize_t* firsts, Py_ssize_t segments, const float* b,
                            Py_ssize_t b_stride, const float* init, Py_ssize_t init_stride, float* c,
                            Py_ssize_t c_stride, Py_ssize_t depth, float* copy)
    void fetching_rows_float(const float* const* a, const Py_ssize_t* firsts, const float* b, Py_ssize_t b_stride,
                             const float* init, Py_ssize_t init_stride, float* c, Py_ssize_t c_stride,
                             Py_ssize_t depth, float* copy)
    void copying_columns_float(const float* const* a, Py_ssize_t first, const float* b, Py_ssize_t b_stride,
                               const float* init, float* c, Py_ssize_t c_stride, Py_ssize_t depth, float* copy)
    void tile_one_row_float(const float* const* a, const Py_ssize_t* firsts, Py_ssize_t segments, const float* b,
                            Py_ssize_t b_stride, const float* init, float* c, Py_ssize_t depth, int columns)
    void tile_one_row_double(const double* const* a, const Py_ssize_t* firsts, Py_ssize_t segments, const double* b,
                             Py_ssize_t b_stride, const double* init, double* c, Py_ssize_t depth, int columns)
    void stream_row_float(const float* a, const float* b, Py_ssize_t b_stride, const float* init, float* c,
                          Py_ssize_t k, Py_ssize_t n)
    void narrow_rows_float(int columns, const float* const* a, const float* b, const float* init, float* c,
                           Py_ssize_t c_stride, Py_ssize_t rows, Py_ssize_t depth)
    void narrow_rows_double(int columns, const double* const* a, const double* b, const double* init, double* c,
                            Py_ssize_t c_stride, Py_ssize_t rows, Py_ssize_t depth)
    void narrow_columns_float(int columns, const float* const* a, Py_ssize_t first, const float* b,
                              Py_ssize_t b_stride, int more, float* c, Py_ssize_t c_stride, Py_ssize_t m,
                              Py_ssize_t depth)
    void narrow_columns_double(int columns, const double* const* a, Py_ssize_t first, const double* b,
                               Py_ssize_t b_stride, int more, double* c, Py_ssize_t c_stride, Py_ssize_t m,
                               Py_ssize_t depth)
    void shallow_rows(int depth, const float* const* a, Py_ssize_t first, const float* b, Py_ssize_t b_stride,
                      const float* init, Py_ssize_t init_stride, float* c, Py_ssize_t c_stride, Py_ssize_t rows,
                      int columns)
    void shallow_columns(int depth, const float* const* a, Py_ssize_t first, const float* b, Py_ssize_t b_stride,
                         const float* init, Py_ssize_t init_stride, float* c, Py_ssize_t c_stride, Py_ssize_t rows,
                         int columns)
    Py_ssize_t shallow_column(int depth, const float* const* a, const float* b, float init, float* c,
                              Py_ssize_t c_stride, Py_ssize_t rows)
    void flat_rows(int columns, const float* const* a, const float* b, const float* init, float* c,
                   Py_ssize_t c_stride, Py_ssize_t rows, Py_ssize_t depth)
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
    PACK_ROWS = 24
    PACK_BYTES = 4194304
    PACK_BYTES_TRANSPOSED = 1048576
    # Up to so many steps and bytes of A, the second cache keeps it, and the weight gradient reads it in place.
    NEAR_STEPS = 256
    NEAR_BYTES = 196608
    # With AVX2 the first tile leaves a panel of B for the others, of a B of so many bytes: half of a small first cache.
    COPY_BYTES = 16384
    # A product of few rows is worked out the other way round from so many rows and steps of k on, and where C has so
    # many times as many columns: with fewer the tiles that must be turned back cost more. Measured with AVX-512.
    FEW_ROWS = 16
    FEW_DEPTH = 256
    FEW_TIMES = 6
    # Rows of A that stay near while B goes past them.
    DOTS_ROWS = 16
    # Steps of k in one go where B is that large but few rows use it: it then comes from memory row after row. For a
    # handful of rows, which wait for it most, half as many, and each tile has the next steps' part of B fetched.
    STREAM_DEPTH = 16
    HANDFUL = 4
    # Up to so many rows panels that are fetched are no slower than blocks that are copied.
    STREAM_ROWS = 192
    # Steps of k that are fetched ahead of what is copied, at most.
    AHEAD = 128
    # What of B is fetched while some of it is read.
    NOTHING = 0
    NEXT_STEPS = 1
    NEXT_PANEL = 2


cdef inline int lanes(real* hint) noexcept nogil:
    if real is float:
        return LANES_float
    else:
        return LANES_double


cdef inline Py_ssize_t even_share(Py_ssize_t count, Py_ssize_t most) noexcept nogil:
    """The first of as few even shares of `count` as have at most `most`, so that no thin one is left for the end."""
    cdef Py_ssize_t shares = (count + most - 1) // most
    return (count + shares - 1) // shares


cdef inline int tile_height(Py_ssize_t rows, Py_ssize_t most) noexcept nogil:
    """Rows of the next tile; of tall ones there are those of an even number of rows alone."""
    cdef Py_ssize_t height
    if rows <= most:
        return <int>rows
    height = even_share(rows, most)
    return <int>(height + (height % 2 if height > 6 else 0))


cdef inline bint copies(
        real* workspace, Py_ssize_t depth, Py_ssize_t b_stride, Py_ssize_t rows, int columns) noexcept nogil:
    """Whether the first tile of a panel of B leaves it in the workspace for the others."""
    return (COPIES_PANELS and sizeof(real) == 4 and rows >= 2 * TILE_ROWS and columns == TILE_VECTORS * LANES_float
            and b_stride > columns and depth * b_stride * <Py_ssize_t>sizeof(real) >= COPY_BYTES)


cdef void matmul_rows(
        const real* const* a, Py_ssize_t first, const real* b, Py_ssize_t b_stride, const real* bias, real* c,
        Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, real* workspace) noexcept nogil:
    """Where `bias` is C, the product is added."""
    # B comes from memory or the third cache: to one row in lines, to few in panels while the next ones are fetched.
    cdef Py_ssize_t size = k * b_stride * <Py_ssize_t>sizeof(real)
    cdef bint far = size >= PACK_BYTES
    cdef bint streams = FETCHES_PANELS and sizeof(real) == 4 and m >= FETCH_ROWS and size >= FETCH_BYTES and (
        m <= STREAM_ROWS or n < PACK_A_COLUMNS or not far)
    cdef bint pack = far and m >= PACK_ROWS and not streams
    cdef int fetches = NEXT_PANEL if streams else NOTHING
    cdef Py_ssize_t start = 0, offset, depth, step = k, init_stride = c_stride if bias == c else 0
    cdef Py_ssize_t j
    cdef const real* init = bias
    cdef int last = dot_columns(n, b_stride, k) if bias != c and first == 0 else 0
    if last:
        n -= last
        narrow(a, b + n, b_stride, bias + n if bias != NULL else NULL, c + n, c_stride, m, last, k, workspace)
        if n == 0:
            return
    if real is float:
        if is_shallow(n, k):
            shallow(a, first, b, b_stride, bias, init_stride, c, c_stride, m, n, k)
            return
    if pack and n >= PACK_A_COLUMNS:
        in_blocks(a, first, True, b, b_stride, False, bias, init_stride, c, c_stride, m, n, k, workspace)
        return
    if far and m == 1 and sizeof(real) == 4:
        j = n - n % <Py_ssize_t>(STREAM_BYTES // sizeof(real))
        if real is float:
            stream_row_float(a[0] + first, b, b_stride, bias, c, k, j)
        b, c, init, n = b + j, c + j, bias + j if bias != NULL else NULL, n - j
        if n == 0:
            return
    elif streams or far and not pack:   # some rows of B at a time
        step = even_share(k, PANEL_DEPTH) if streams else STREAM_DEPTH // 2 if m <= HANDFUL else STREAM_DEPTH
    while True:
        depth = min(step, k - start)
        offset = first + start
        if 1 < m <= HANDFUL:
            fetches = NEXT_STEPS if start + 2 * step <= k else NOTHING
        matmul_depth(a, &offset, 1, b + start * b_stride, b_stride, init, init_stride, c, c_stride, m, n, depth,
                     pack, fetches, workspace)
        start += depth
        if start >= k:
            return
        init, init_stride = c, c_stride


cdef void matmul_depth(
        const real* const* a, const Py_ssize_t* firsts, Py_ssize_t segments, const real* b, Py_ssize_t b_stride,
        const real* init, Py_ssize_t init_stride, real* c, Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t n,
        Py_ssize_t k, bint pack, int fetches, real* workspace) noexcept nogil:
    """C = init + A.B, for k columns of A from each of `firsts` on, one segment behind the other.

    fetches: NEXT_STEPS where as many rows of B follow in the next call.
    """
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
        if fetches == NEXT_STEPS:
            fetch_rows(panel + k * b_stride, b_stride * sizeof(real), k, columns * sizeof(real))
        i = 0
        if fetches == NEXT_PANEL and columns == width:
            if real is float:
                fetching_rows_float(a, firsts, panel, b_stride, init + j if init != NULL else NULL, init_stride, c + j,
                                    c_stride, k, workspace)
            i = FETCH_ROWS
        elif not pack and copies(workspace, segments * k, b_stride, m, columns):
            if real is float:
                copying_rows_float(a, firsts, segments, panel, b_stride, init + j if init != NULL else NULL,
                                   init_stride, c + j, c_stride, k, workspace)
            i = TILE_ROWS
        elif pack:
            panel_of(panel, b_stride, columns, segments * k, workspace)
        if pack or i and COPIES_PANELS:
            panel, stride = workspace, columns
        while i < m:
            rows = tile_height(m - i, ADDRESSED_ROWS)
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
    matmul_depth(a, firsts, segments, b, b_stride, bias, 0, c, c_stride, m, n, k, pack, NOTHING, workspace)


cdef void matmul_transposed_a_rows(
        const real* const* a, Py_ssize_t first, const real* b, Py_ssize_t b_stride, const real* bias, real* c,
        Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, real* workspace) noexcept nogil:
    """`a` holds k row addresses; the m columns start at `first`. Where `bias` is C, the product is added."""
    cdef int width = TILE_VECTORS * lanes(workspace)
    cdef bint far = k * b_stride * <Py_ssize_t>sizeof(real) >= PACK_BYTES_TRANSPOSED
    cdef bint pack = far and m >= PACK_ROWS
    # Strips of A that are read again for many panels of B are copied, so that a step of k does not cost a new page;
    # but not where all of them stay near.
    cdef bint pack_a = n >= PACK_A_COLUMNS and (k > NEAR_STEPS or k * m * <Py_ssize_t>sizeof(real) > NEAR_BYTES) and (
        far and m >= TILE_ROWS or copies(workspace, k, b_stride, m, width))
    cdef Py_ssize_t i, j, stride, start = 0, depth, offset
    cdef int rows, columns
    cdef const real* panel
    cdef const real* init
    cdef const real* row
    cdef real* tile
    if m == 1 and n > NARROW:           # A's column as a row
        init = bias
        while True:
            depth = min(<Py_ssize_t>PACK_DEPTH, k - start)
            for i in range(depth):
                workspace[i] = a[start + i][first]
            row, offset = workspace, 0
            if start:
                init = c
            matmul_depth(&row, &offset, 1, b + start * b_stride, b_stride, init, 0, c, c_stride, 1, n,
                         depth, False, NOTHING, workspace)
            start += depth
            if start >= k:
                return
    # What whole vectors of columns leave, where lanes along A's rows take fewer steps.
    i = n if n <= NARROW else n % lanes(workspace) if ROW_MASKED else 0
    while i and along_rows(m, n, k, i, far, lanes(workspace)):
        columns = <int>(i if i <= NARROW else i // 2)
        n -= columns
        i -= columns
        if real is float:
            narrow_columns_float(columns, a, first, b + n, b_stride, bias != NULL, c + n, c_stride, m, k)
        else:
            narrow_columns_double(columns, a, first, b + n, b_stride, bias != NULL, c + n, c_stride, m, k)
        if n == 0:
            return
    if real is float:
        if is_shallow(n, k) and n <= 16:
            shallow_columns(<int>k, a, first, b, b_stride, bias, c_stride, c, c_stride, m, <int>n)
            return
    if pack_a:
        in_blocks(a, first, False, b, b_stride, False, bias, c_stride, c, c_stride, m, n, k, workspace)
        return
    while True:
        depth = min(<Py_ssize_t>PACK_DEPTH, k - start)
        j = 0
        while j < n:
            columns = <int>min(<Py_ssize_t>width, n - j)
            panel = b + start * b_stride + j
            stride = b_stride
            i = 0
            if not pack and copies(workspace, depth, b_stride, m, columns):
                tile = c + j
                if real is float:
                    copying_columns_float(a + start, first, panel, b_stride, tile if start or bias != NULL else NULL,
                                          tile, c_stride, depth, workspace)
                i = TILE_ROWS
            elif pack:
                panel_of(panel, b_stride, columns, depth, workspace)
            if pack or i:
                panel, stride = workspace, columns
            while i < m:
                rows = tile_height(m - i, TILE_ROWS)
                tile = c + i * c_stride + j
                init = tile if start or bias != NULL else NULL
                if real is float:
                    tile_columns_float(rows, columns, a + start, first + i, panel, stride, init, c_stride, tile,
                                       c_stride, depth)
                else:
                    tile_columns_double(rows, columns, a + start, first + i, panel, stride, init, c_stride, tile,
                                        c_stride, depth)
                i += rows
            j += columns
        start += depth
        if start >= k:
            return


cdef void matmul_transposed_b_rows(
        const real* const* a, Py_ssize_t first, const real* b, Py_ssize_t b_stride, const real* bias, real* c,
        Py_ssize_t c_stride, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, real* workspace) noexcept nogil:
    """`bias` is not used."""
    cdef int width = TILE_VECTORS * lanes(workspace)
    cdef Py_ssize_t i, j = 0
    cdef int rows, columns
    if n <= MOST_DOTS and (k >= DOTS_DEPTH or is_narrow(n, k)) and b_stride == k and first == 0:
        dots(a, b, <const real*>NULL, c, c_stride, m, n, k)
        return
    if FEW_ROWS <= m <= width and k >= FEW_DEPTH and n >= FEW_TIMES * m:
        few_rows(a, first, b, b_stride, c, c_stride, <int>m, n, k, workspace)
        return
    if n * b_stride * <Py_ssize_t>sizeof(real) >= PACK_BYTES and m >= PACK_ROWS and n >= PACK_A_COLUMNS:
        in_blocks(a, first, True, b, b_stride, True, NULL, 0, c, c_stride, m, n, k, workspace)
        return
    while j < n:
        columns = <int>min(<Py_ssize_t>width, n - j)
        turned_panel_of(b + j * b_stride, b_stride, columns, k, workspace)
        i = 0
        if real is float:
            if is_shallow(n, k):
                shallow(a, first, workspace, columns, NULL, 0, c, c_stride, m, n, k)
                return
        while i < m:
            rows = tile_height(m - i, ADDRESSED_ROWS)
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
            rows = tile_height(m - i, ADDRESSED_ROWS)
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
