"""What meets each window over a picture channel by channel (pooling.h): its largest cell, their mean, a kernel's sum.

A NaN in a window is what it gives. Of equal largest ones the first has the slope. The mean is that of the cells inside
the picture.
"""

from libc.string cimport memset

from fastnn.kernels.types cimport make_depthwise, make_pool, Window


cdef extern from "pooling.h" nogil:
    ctypedef struct fastnn_box:
        Py_ssize_t planes
        Py_ssize_t lines
        Py_ssize_t cells
        Py_ssize_t plane
        Py_ssize_t line
        Py_ssize_t cell
    void depth_window(int what, const float* x, const fastnn_box* box, Py_ssize_t n, const float* w, const float* d,
                      float* out)
    void pool_windows(bint largest, bint alone, const float* x, const fastnn_box* box, Py_ssize_t step,
                      Py_ssize_t windows, Py_ssize_t n, float* a, const float* d, float* d_x)


cdef inline Py_ssize_t cells_of(const Window* w, int axis, Py_ssize_t at, Py_ssize_t* count) noexcept nogil:
    """The first cell of a window along an axis, inside the picture, and how many there are."""
    cdef Py_ssize_t first = at * w.stride[axis] - w.before[axis]
    cdef Py_ssize_t end = min(first + w.pool[axis], w.size[axis])
    first = max(first, 0)
    count[0] = end - first
    return first


cdef inline bint stand_alone(const Window* w) noexcept nogil:
    """No cell is in two windows."""
    return w.stride[0] >= w.pool[0] and w.stride[1] >= w.pool[1] and w.stride[2] >= w.pool[2]


cdef inline bint cover(const Window* w) noexcept nogil:
    """Each cell is in one window."""
    cdef int axis
    for axis in range(3):
        if w.stride[axis] != w.pool[axis] or w.given[axis] * w.pool[axis] != w.size[axis] or w.before[axis]:
            return False
    return True


cdef void pool(bint largest, const float* x, const Window* w, float* a, const float* d, float* d_x) noexcept nogil:
    """Each window of a row: its number to a; or with d its slopes to d_x, which has those of the row's cells."""
    cdef Py_ssize_t z, y, at, n = w.channels, plane, line, begin, step, some
    cdef bint alone = stand_alone(w)
    cdef fastnn_box box
    box.cell, box.line, step = n, w.size[2] * n, w.stride[2] * n
    box.plane = w.size[1] * box.line
    for z in range(w.given[0]):
        plane = cells_of(w, 0, z, &box.planes) * box.plane
        for y in range(w.given[1]):
            line = plane + cells_of(w, 1, y, &box.lines) * box.line
            at = 0
            while at < w.given[2]:
                begin = line + cells_of(w, 2, at, &box.cells) * n
                some = 1
                if box.cells == w.pool[2]:
                    some = (w.size[2] + w.before[2] - w.pool[2]) // w.stride[2] + 1 - at
                pool_windows(largest, alone, x + begin, &box, step, some, n, a, d, d_x + begin if d != NULL else d_x)
                at += some
                a += some * n
                if d != NULL:
                    d += some * n


cdef void pool_forward(
        bint largest, const float* const* rows, Py_ssize_t r0, Py_ssize_t r1, const Window* w, float* a) noexcept nogil:
    cdef Py_ssize_t row, given = w.given[0] * w.given[1] * w.given[2] * w.channels
    for row in range(r0, r1):
        pool(largest, rows[row], w, a + row * given, NULL, NULL)


cdef void pool_backward(
        bint largest, const float* const* rows, Py_ssize_t r0, Py_ssize_t r1, const Window* w, const float* a,
        const float* d, float* d_x) noexcept nogil:
    cdef Py_ssize_t size = w.size[0] * w.size[1] * w.size[2] * w.channels, row
    cdef Py_ssize_t given = w.given[0] * w.given[1] * w.given[2] * w.channels
    if not cover(w):
        memset(d_x + r0 * size, 0, (r1 - r0) * size * sizeof(float))
    for row in range(r0, r1):
        pool(largest, rows[row], w, <float*>a + row * given, d + row * given, d_x + row * size)


cdef void depthwise_row(int what, const float* x, const Window* window, const float* w, const float* d, float* out
                        ) noexcept nogil:
    """A kernel with one weight for each cell and channel on a row: see depth_part. d: the bias, or NULL, forward."""
    cdef Py_ssize_t z, y, at, n = window.channels, line, begin
    cdef fastnn_box box
    box.planes, box.lines, box.cells = window.pool[0], window.pool[1], window.pool[2]
    line = window.size[2] * n
    box.plane, box.line, box.cell = window.gap[0] * window.size[1] * line, window.gap[1] * line, window.gap[2] * n
    for z in range(window.given[0]):
        for y in range(window.given[1]):
            begin = (z * window.stride[0] * window.size[1] + y * window.stride[1]) * line
            for at in range(window.given[2]):
                depth_window(what, x + begin if what != 1 else x, &box, n, w, d, out + begin if what == 1 else out)
                begin += window.stride[2] * n
                if what == 0:
                    out += n
                else:
                    d += n


make_depthwise(made, "depthwise", depthwise_row)
make_pool(made, "max_pool", pool_forward, pool_backward, True)
make_pool(made, "average_pool", pool_forward, pool_backward, False)
