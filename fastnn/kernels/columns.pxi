"""What a number for each column does to rows: normalisation over a batch, by fixed moments, rescaling, PReLU.

x comes as the addresses of its rows, d and what is given as one block of rows. A row is `repeats` lines of `channels`
columns, one after the other, as the rows (t, f) of a sequence are: a column's numbers are in all lines of all rows.

moments               x -> mean, biased variance and shift of columns c0:c1; the mean is that of x - shift
combine_moments       the three of some blocks of rows -> those of all of them
affine                a = ((x - shift) - mean) * gamma * root + beta, or that times the slope of it
batch_sums            sums over all lines of d and of d * (x - mean), for columns c0:c1
batch_backward        gradient by x of the normalisation over a batch
prelu                 x where x > 0, else alpha * x

(a) The shift is the column's first number. Where the mean is large beside the deviation, x - shift is exact (Sterbenz
    1974) and small, and a float32 mean of it loses nothing that x has.
(b) Moments are those of BLOCK lines at a time, in two passes while the lines are in L1, put together as Chan, Golub
    and LeVeque (1983) do. So memory is read once, and the error does not grow with the number of rows.
(c) A column's sums run in the order of the lines, in blocks of BLOCK of them, whichever columns are worked on together.
"""

cimport fastnn.kernels.maths as maths
from fastnn.kernels.sums cimport BLOCK, LANES
from fastnn.kernels.types cimport (
    ADDED, BETA, checked, FOUND, GAMMA, INVERSE, make_affine, make_batch, make_combine_moments, make_prelu, MEAN, real,
    Root, SHIFT, VARIANCE,
)

cdef enum:
    STRIP = 128                         # columns whose constants are worked out together


cdef struct Place:
    # A line: row, and line of the row.
    Py_ssize_t row
    Py_ssize_t repeat


cdef inline int next_lines(const real* const* x, Py_ssize_t rows, Py_ssize_t repeats, Py_ssize_t channels,
                           Place* place, const real** lines) noexcept nogil:
    """The addresses of the next lines, at most BLOCK of them; gives how many."""
    cdef int n = 0
    while n < BLOCK and place.row < rows:
        lines[n] = x[place.row] + place.repeat * channels
        n += 1
        place.repeat += 1
        if place.repeat == repeats:
            place.row, place.repeat = place.row + 1, 0
    return n


cdef inline void block_moments(const real* const* lines, int n, Py_ssize_t j, int lanes, real part, real weight,
                               real* mean, real* variance, const real* shift) noexcept nogil:
    """Put the n lines' moments of columns j:j + lanes with those of the lines before."""
    cdef real sums[LANES]
    cdef real squares[LANES]
    cdef real t
    cdef int i, lane
    for lane in range(lanes):
        sums[lane] = squares[lane] = 0
    for i in range(n):
        for lane in range(lanes):
            sums[lane] += lines[i][j + lane] - shift[j + lane]
    for lane in range(lanes):
        sums[lane] = sums[lane] / <real>n
    for i in range(n):
        for lane in range(lanes):
            t = (lines[i][j + lane] - shift[j + lane]) - sums[lane]
            squares[lane] = maths.multiply_add(t, t, squares[lane])
    for lane in range(lanes):
        t = sums[lane] - mean[j + lane]
        mean[j + lane] = maths.multiply_add(t, part, mean[j + lane])
        variance[j + lane] = maths.multiply_add(t * t, weight, variance[j + lane] + squares[lane])


cdef void moments_columns(const real* const* x, Py_ssize_t rows, Py_ssize_t repeats, Py_ssize_t channels,
                          Py_ssize_t c0, Py_ssize_t c1, real* mean, real* variance, real* shift) noexcept nogil:
    cdef Place place = Place(0, 0)
    cdef const real* lines[BLOCK]
    cdef Py_ssize_t j, done = 0
    cdef int n
    cdef real part, weight
    for j in range(c0, c1):
        mean[j] = variance[j] = 0
        shift[j] = x[0][j]
    while True:
        n = next_lines(x, rows, repeats, channels, &place, lines)
        if n == 0:
            break
        part = <real>(<double>n / <double>(done + n))
        weight = <real>(<double>n * <double>done / <double>(done + n))
        j = c0
        while j + LANES <= c1:
            block_moments(lines, n, j, LANES, part, weight, mean, variance, shift)
            j += LANES
        if j < c1:
            block_moments(lines, n, j, <int>(c1 - j), part, weight, mean, variance, shift)
        done += n
    for j in range(c0, c1):
        variance[j] = variance[j] / <real>done


cdef void combine_moments_columns(const real* parts, Py_ssize_t blocks, Py_ssize_t lines, Py_ssize_t last,
                                  Py_ssize_t channels, real* mean, real* variance, real* shift) noexcept nogil:
    """Put the moments of blocks of lines together, in their order; each has a shift of its own."""
    cdef Py_ssize_t block, j, n, done = 0
    cdef const real* part
    cdef real t, share, weight, count
    for block in range(blocks):
        part = parts + 3 * block * channels
        n = lines if block + 1 < blocks else last
        count = <real>n
        if block == 0:
            for j in range(channels):
                mean[j], variance[j], shift[j] = part[j], part[channels + j] * count, part[2 * channels + j]
        else:
            share = <real>(<double>n / <double>(done + n))
            weight = <real>(<double>n * <double>done / <double>(done + n))
            for j in range(channels):
                t = ((part[2 * channels + j] - shift[j]) + part[j]) - mean[j]
                mean[j] = maths.multiply_add(t, share, mean[j])
                variance[j] = maths.multiply_add(
                    t * t, weight, maths.multiply_add(part[channels + j], count, variance[j]))
        done += n
    for j in range(channels):
        variance[j] = variance[j] / <real>done


cdef inline real root_of(Root root, real variance, real epsilon) noexcept nogil:
    """What a column is multiplied by on account of its variance."""
    cdef real deviation
    if root == FOUND:
        return variance
    if root == ADDED:
        return <real>1 / maths.square_root(variance + epsilon)
    deviation = maths.square_root(variance)
    deviation = epsilon if deviation < epsilon else deviation
    return deviation if root == INVERSE else <real>1 / deviation


cdef void affine_rows(Root root, const real* const* x, Py_ssize_t r0, Py_ssize_t r1, Py_ssize_t repeats,
                      Py_ssize_t channels, const real* const* numbers, double epsilon, bint slope, real* out
                      ) noexcept nogil:
    cdef real shift[STRIP]
    cdef real mean[STRIP]
    cdef real factor[STRIP]
    cdef real offset[STRIP]
    cdef Py_ssize_t j = 0, i, n, row, repeat
    cdef const real* line
    cdef real* to
    while j < channels:
        n = min(<Py_ssize_t>STRIP, channels - j)
        for i in range(n):
            shift[i] = numbers[SHIFT][j + i] if numbers[SHIFT] != NULL else 0
            mean[i] = numbers[MEAN][j + i] if numbers[MEAN] != NULL else 0
            factor[i] = numbers[GAMMA][j + i] if numbers[GAMMA] != NULL else 1
            offset[i] = numbers[BETA][j + i] if numbers[BETA] != NULL else 0
        if numbers[VARIANCE] != NULL:
            for i in range(n):
                factor[i] = factor[i] * root_of(root, numbers[VARIANCE][j + i], <real>epsilon)
        for row in range(r0, r1):
            for repeat in range(repeats):
                line = x[row] + repeat * channels + j
                to = out + (row * repeats + repeat) * channels + j
                if slope:
                    for i in range(n):
                        to[i] = line[i] * factor[i]
                else:
                    for i in range(n):
                        to[i] = maths.multiply_add((line[i] - shift[i]) - mean[i], factor[i], offset[i])
        j += n


cdef inline void block_sums(const real* const* lines, const real* d, Py_ssize_t stride, int n, Py_ssize_t j, int lanes,
                            const real* const* numbers, real* sum_d, real* sum_dx) noexcept nogil:
    cdef real sums[LANES]
    cdef real products[LANES]
    cdef int i, lane
    cdef const real* mean = numbers[MEAN]
    cdef const real* shift = numbers[SHIFT]
    for lane in range(lanes):
        sums[lane] = products[lane] = 0
    for i in range(n):
        for lane in range(lanes):
            sums[lane] += d[i * stride + j + lane]
            products[lane] = maths.multiply_add(
                d[i * stride + j + lane], (lines[i][j + lane] - shift[j + lane]) - mean[j + lane], products[lane])
    for lane in range(lanes):
        sum_d[j + lane] += sums[lane]
        sum_dx[j + lane] += products[lane]


cdef void batch_sums_columns(const real* const* x, const real* d, Py_ssize_t rows, Py_ssize_t repeats,
                             Py_ssize_t channels, Py_ssize_t c0, Py_ssize_t c1, const real* const* numbers,
                             real* sum_d, real* sum_dx) noexcept nogil:
    cdef Place place = Place(0, 0)
    cdef const real* lines[BLOCK]
    cdef Py_ssize_t j
    cdef int n
    for j in range(c0, c1):
        sum_d[j] = sum_dx[j] = 0
    while True:
        n = next_lines(x, rows, repeats, channels, &place, lines)
        if n == 0:
            break
        j = c0
        while j + LANES <= c1:
            block_sums(lines, d, channels, n, j, LANES, numbers, sum_d, sum_dx)
            j += LANES
        if j < c1:
            block_sums(lines, d, channels, n, j, <int>(c1 - j), numbers, sum_d, sum_dx)
        d += n * channels


cdef void batch_backward_rows(const real* const* x, const real* d, Py_ssize_t rows, Py_ssize_t r0, Py_ssize_t r1,
                              Py_ssize_t repeats, Py_ssize_t channels, const real* const* numbers,
                              const real* sum_d, const real* along, real* d_x) noexcept nogil:
    """d_x = gamma / deviation * (d - mean of d - normalised x * mean of (d * normalised x)).

    along: the sum of d * normalised x. In place of the variance comes 1 / the deviation.
    """
    cdef real level[STRIP]
    cdef real slope[STRIP]
    cdef real factor[STRIP]
    cdef real shift[STRIP]
    cdef real mean[STRIP]
    cdef Py_ssize_t j = 0, i, n, row, repeat
    cdef const real* line
    cdef const real* from_d
    cdef real* to
    cdef real root, count = <real>(rows * repeats)
    while j < channels:
        n = min(<Py_ssize_t>STRIP, channels - j)
        for i in range(n):
            root = numbers[VARIANCE][j + i]
            factor[i] = root * (numbers[GAMMA][j + i] if numbers[GAMMA] != NULL else 1)
            level[i] = sum_d[j + i] / count
            slope[i] = -root * (along[j + i] / count)
            shift[i], mean[i] = numbers[SHIFT][j + i], numbers[MEAN][j + i]
        for row in range(r0, r1):
            for repeat in range(repeats):
                line = x[row] + repeat * channels + j
                from_d = d + (row * repeats + repeat) * channels + j
                to = d_x + (row * repeats + repeat) * channels + j
                for i in range(n):
                    to[i] = factor[i] * maths.multiply_add(
                        (line[i] - shift[i]) - mean[i], slope[i], from_d[i] - level[i])
        j += n


cdef void prelu_forward(const real* const* x, Py_ssize_t r0, Py_ssize_t r1, Py_ssize_t repeats, Py_ssize_t channels,
                        const real* alpha, real* a) noexcept nogil:
    cdef Py_ssize_t row, repeat, i
    cdef const real* line
    cdef real* to
    for row in range(r0, r1):
        for repeat in range(repeats):
            line = x[row] + repeat * channels
            to = a + (row * repeats + repeat) * channels
            for i in range(channels):
                to[i] = line[i] * (<real>1 if line[i] > 0 else alpha[i])


cdef void prelu_backward(const real* const* x, const real* d, Py_ssize_t r0, Py_ssize_t r1, Py_ssize_t repeats,
                         Py_ssize_t channels, const real* alpha, real* d_x) noexcept nogil:
    cdef Py_ssize_t row, repeat, i
    cdef const real* line
    cdef const real* from_d
    cdef real* to
    for row in range(r0, r1):
        for repeat in range(repeats):
            line = x[row] + repeat * channels
            from_d = d + (row * repeats + repeat) * channels
            to = d_x + (row * repeats + repeat) * channels
            for i in range(channels):
                to[i] = from_d[i] * (<real>1 if line[i] > 0 else alpha[i])


cdef inline void block_slopes(const real* const* lines, const real* d, Py_ssize_t stride, int n, Py_ssize_t j,
                              int lanes, real* g) noexcept nogil:
    cdef real sums[LANES]
    cdef int i, lane
    cdef real x
    for lane in range(lanes):
        sums[lane] = 0
    for i in range(n):
        for lane in range(lanes):
            x = lines[i][j + lane]
            sums[lane] = maths.multiply_add(d[i * stride + j + lane], <real>0 if x > 0 else x, sums[lane])
    for lane in range(lanes):
        g[j + lane] += sums[lane]


cdef void prelu_gradient(const real* const* x, const real* d, Py_ssize_t rows, Py_ssize_t repeats,
                         Py_ssize_t channels, Py_ssize_t c0, Py_ssize_t c1, real* g) noexcept nogil:
    """g = sum over all lines of d * min(x, 0)."""
    cdef Place place = Place(0, 0)
    cdef const real* lines[BLOCK]
    cdef Py_ssize_t j
    cdef int n
    for j in range(c0, c1):
        g[j] = 0
    while True:
        n = next_lines(x, rows, repeats, channels, &place, lines)
        if n == 0:
            break
        j = c0
        while j + LANES <= c1:
            block_slopes(lines, d, channels, n, j, LANES, g)
            j += LANES
        if j < c1:
            block_slopes(lines, d, channels, n, j, <int>(c1 - j), g)
        d += n * channels


make_affine(made, "affine", affine_rows[float], checked(affine_rows[double]))
make_batch(
    made, "batch_normalization", moments_columns[float], batch_backward_rows[float], batch_sums_columns[float],
    checked(moments_columns[double]), checked(batch_backward_rows[double]), checked(batch_sums_columns[double]))
make_combine_moments(made, "combine_moments", combine_moments_columns[float], checked(combine_moments_columns[double]))
make_prelu(
    made, "prelu", prelu_forward[float], prelu_backward[float], prelu_gradient[float], checked(prelu_forward[double]),
    checked(prelu_backward[double]), checked(prelu_gradient[double]))
