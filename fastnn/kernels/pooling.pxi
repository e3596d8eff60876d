"""The largest and the mean of the cells of each window over a picture, channel by channel.

A NaN in a window is what it gives. Of equal largest ones the first has the slope. The mean is that of the cells inside
the picture.
"""

from libc.string cimport memcpy, memset

from fastnn.kernels.types cimport make_pool, Window


cdef struct Cells:
    # Of one window, inside the picture.
    Py_ssize_t first[3]
    Py_ssize_t end[3]


cdef inline Py_ssize_t cells_of(const Window* w, Py_ssize_t z, Py_ssize_t y, Py_ssize_t x, Cells* cells) noexcept nogil:
    """The cells of a window; gives how many they are."""
    cdef Py_ssize_t count = 1
    cdef Py_ssize_t at[3]
    cdef int axis
    at[0], at[1], at[2] = z, y, x
    for axis in range(3):
        cells.first[axis] = at[axis] * w.stride[axis] - w.before[axis]
        cells.end[axis] = min(cells.first[axis] + w.pool[axis], w.size[axis])
        cells.first[axis] = max(cells.first[axis], 0)
        count *= cells.end[axis] - cells.first[axis]
    return count


cdef void pool_forward(
        bint largest, const float* const* rows, Py_ssize_t r0, Py_ssize_t r1, const Window* w, float* a) noexcept nogil:
    cdef Py_ssize_t row, z, y, x, i, j, k, c, count, n = w.channels
    cdef Cells cells
    cdef const float* cell
    cdef bint begun
    a += r0 * w.given[0] * w.given[1] * w.given[2] * n
    for row in range(r0, r1):
        for z in range(w.given[0]):
            for y in range(w.given[1]):
                for x in range(w.given[2]):
                    count = cells_of(w, z, y, x, &cells)
                    begun = False
                    for i in range(cells.first[0], cells.end[0]):
                        for j in range(cells.first[1], cells.end[1]):
                            cell = rows[row] + ((i * w.size[1] + j) * w.size[2] + cells.first[2]) * n
                            for k in range(cells.first[2], cells.end[2]):
                                if not begun:
                                    memcpy(a, cell, n * sizeof(float))
                                    begun = True
                                elif largest:
                                    for c in range(n):
                                        a[c] = cell[c] if (cell[c] > a[c]) | (cell[c] != cell[c]) else a[c]
                                else:
                                    for c in range(n):
                                        a[c] = a[c] + cell[c]
                                cell += n
                    if not largest:
                        for c in range(n):
                            a[c] = a[c] / <float>count
                    a += n


cdef void pool_backward(
        bint largest, const float* const* rows, Py_ssize_t r0, Py_ssize_t r1, const Window* w, const float* a,
        const float* d, float* d_x, float* left) noexcept nogil:
    """left: of each channel what of the slope no cell has taken yet."""
    cdef Py_ssize_t row, z, y, x, i, j, k, c, at, count, n = w.channels
    cdef Py_ssize_t size = w.size[0] * w.size[1] * w.size[2] * n, given = w.given[0] * w.given[1] * w.given[2] * n
    cdef Cells cells
    cdef const float* cell
    cdef float* d_cell
    cdef bint takes
    a += r0 * given
    d += r0 * given
    d_x += r0 * size
    memset(d_x, 0, (r1 - r0) * size * sizeof(float))
    for row in range(r0, r1):
        for z in range(w.given[0]):
            for y in range(w.given[1]):
                for x in range(w.given[2]):
                    count = cells_of(w, z, y, x, &cells)
                    for c in range(n):
                        left[c] = d[c] if largest else d[c] / <float>count
                    for i in range(cells.first[0], cells.end[0]):
                        for j in range(cells.first[1], cells.end[1]):
                            at = ((i * w.size[1] + j) * w.size[2] + cells.first[2]) * n
                            cell, d_cell = rows[row] + at, d_x + at
                            for k in range(cells.first[2], cells.end[2]):
                                if largest:
                                    for c in range(n):
                                        takes = (cell[c] == a[c]) | ((cell[c] != cell[c]) & (a[c] != a[c]))
                                        d_cell[c] = d_cell[c] + (left[c] if takes else <float>0)
                                        left[c] = <float>0 if takes else left[c]
                                else:
                                    for c in range(n):
                                        d_cell[c] = d_cell[c] + left[c]
                                cell += n
                                d_cell += n
                    a += n
                    d += n
        d_x += size


max_pool = make_pool("max_pool", pool_forward, pool_backward, True)
average_pool = make_pool("average_pool", pool_forward, pool_backward, False)
