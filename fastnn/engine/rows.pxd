"""A page of rows as it was given, and its rows as ops read them.

A row is float32, or whole numbers of one or two bytes, which are made float32 as a batch is collected; or, where all
that read it look up ids, whole numbers of any size, which they read as int32. Rows of a sparse page are read as they
are by ops that can; for others a batch of them is made dense.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memset

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_GetBuffer

from fastnn.kernels.types cimport Entries, first_entry


cdef extern from "rows.h" nogil:
    void row_of_floats(const char* x, int kind, float* a, Py_ssize_t n)
    void row_of_ids(const char* x, int kind, int32_t* a, Py_ssize_t n)
    bint columns_fit(const int32_t* columns, Py_ssize_t n, Py_ssize_t inputs)


cdef enum:
    FLOAT32 = 0
    INT32 = 4
    SPARSE = 64


cdef struct Rows:
    # A page of rows, and the batch of them that is being worked on.
    const char* x
    int kind                            # FLOAT32, SPARSE, or the bytes of a whole number, negative where it has no sign
    Py_ssize_t row_bytes                # of x
    const int32_t* columns              # of a sparse page: x holds the numbers that are there, row by row
    const int64_t* ends                 # where a row of it begins, and the next one
    const float* y                      # all targets side by side
    const float* weight                 # or NULL
    const uint32_t* order               # or NULL
    Py_ssize_t weights                  # numbers in a row of weight: 1, or one for each line of each output
    Py_ssize_t count
    Py_ssize_t start                    # of the batch
    Py_ssize_t stop                     # of the run


cdef struct Input:
    # One of a network's inputs.
    Py_ssize_t start                    # in a row of x
    Py_ssize_t width
    bint ids                            # all that read it look up ids
    bint sparse                         # all that read it read sparse rows, in this run
    Py_ssize_t at                       # in a row of those that are made dense in this run


cdef inline bint take_rows(Rows* rows, object x, Py_ssize_t inputs, bint ids, tuple shape=None) noexcept:
    """Whether the engine reads an array where it lies, as rows of `inputs` numbers. ids: whether as ids throughout.

    shape: that a row must have, None for one axis.
    """
    cdef Py_buffer view
    cdef int size, axis
    cdef bint fits
    try:
        PyObject_GetBuffer(x, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except (BufferError, TypeError, ValueError):
        return False
    size = <int>view.itemsize
    fits = view.ndim == (2 if shape is None else 1 + len(shape)) and view.format[1] == 0
    for axis in range(1, view.ndim if fits else 0):
        fits = fits and view.shape[axis] == (inputs if shape is None else <Py_ssize_t>shape[axis - 1])
    if view.format[0] == b"f":
        rows.kind = FLOAT32
    elif view.format[0] in b"bhilq":
        rows.kind = size
        fits = fits and (ids or size <= 2)
    else:
        rows.kind = -size
        fits = fits and view.format[0] in b"BH?"
    rows.x, rows.row_bytes = <const char*>view.buf, size * inputs
    rows.count = rows.stop = view.shape[0] if fits else 0
    PyBuffer_Release(&view)
    return fits


cdef inline const void* part_of_rows(object array, char kind, Py_ssize_t size, Py_ssize_t* count) except? NULL:
    """Where one of the arrays of sparse rows begins, and its length, -1 where it is not of that kind and size."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    count[0] = -1
    if view.ndim == 1 and view.itemsize == size and (view.format[0] == b"f") == kind and view.format[1] == 0 \
            and <size_t>view.buf % size == 0:
        count[0] = view.shape[0]
    PyBuffer_Release(&view)
    return view.buf


cdef inline int take_sparse(Rows* rows, x, Py_ssize_t inputs) except -1:
    """The same of sparse rows, as ``fastnn.data.SparseRows`` has them; ValueError where they are not that."""
    cdef Py_ssize_t i, n, size, count
    cdef bint fits
    rows.x, rows.kind, rows.row_bytes = <const char*>part_of_rows(x.data, True, 4, &count), SPARSE, 0
    rows.columns = <const int32_t*>part_of_rows(x.indices, False, 4, &size)
    rows.ends = <const int64_t*>part_of_rows(x.indptr, False, 8, &n)
    fits = n > 0 and size >= 0 and count == size and x.shape[1] == inputs and rows.ends[0] >= 0 \
        and rows.ends[n - 1] <= size
    for i in range(n - 1):
        fits = fits and rows.ends[i] <= rows.ends[i + 1]
    if not fits or not columns_fit(rows.columns + rows.ends[0], rows.ends[n - 1] - rows.ends[0], inputs):
        raise ValueError(f"these are no sparse rows of {inputs} columns: see fastnn.data.SparseRows")
    rows.count = rows.stop = n - 1
    return 0


cdef inline void find_rows(const Rows* rows, const Input* given, const float** addresses, float* space,
                           Py_ssize_t inputs, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    """Addresses of one input's numbers in rows r0:r1 of the batch that begins at `start`.

    What is not read where it lies is put into `space`, (batch, inputs), first.
    """
    cdef Py_ssize_t i, n = rows.row_bytes
    cdef const uint32_t* order = rows.order
    cdef const char* x
    cdef float* to
    if rows.kind == FLOAT32 or (rows.kind == INT32 and given.ids):
        x = rows.x + given.start * <Py_ssize_t>sizeof(float)
        if order != NULL:
            for i in range(r0, r1):
                addresses[i] = <const float*>(x + order[start + i] * n)
        else:
            for i in range(r0, r1):
                addresses[i] = <const float*>(x + (start + i) * n)
        return
    x = rows.x + given.start * (n // inputs)
    for i in range(r0, r1):
        to = space + i * inputs + given.start
        addresses[i] = to
        if given.ids:
            row_of_ids(x + (order[start + i] if order != NULL else start + i) * n, rows.kind, <int32_t*>to, given.width)
        else:
            row_of_floats(x + (order[start + i] if order != NULL else start + i) * n, rows.kind, to, given.width)


cdef inline void find_entries(const Rows* rows, const Input* given, const float** addresses, Entries* entries,
                              float* space, Py_ssize_t inputs, Py_ssize_t width, Py_ssize_t start, Py_ssize_t r0,
                              Py_ssize_t r1) noexcept nogil:
    """The same of a sparse page: addresses of `entries`; or of dense rows, which are put into `space`, (batch, width).
    """
    cdef Py_ssize_t i, j, n, row, first
    cdef Entries* found
    cdef float* to
    for i in range(r0, r1):
        row = rows.order[start + i] if rows.order != NULL else start + i
        found = entries + i
        first, n = rows.ends[row], rows.ends[row + 1] - rows.ends[row]
        if given.width < inputs:
            j = first_entry(rows.columns + first, n, given.start)
            n = first_entry(rows.columns + first, n, given.start + given.width) - j
            first += j
        found.values, found.columns = <const float*>rows.x + first, rows.columns + first
        found.count, found.start = n, given.start
        addresses[i] = <const float*>found
        if not given.sparse:
            to = space + i * width + given.at
            memset(to, 0, given.width * sizeof(float))
            for j in range(n):
                to[found.columns[j] - given.start] = found.values[j]
            addresses[i] = to
