# The Arrow C stream interface, read: batches of columns, and their numbers as rows of float32. Needs no pyarrow.
#
# The three structures are those of https://arrow.apache.org/docs/format/CStreamInterface.html and CDataInterface.html.

cdef struct ArrowSchema:
    const char* format
    const char* name
    const char* metadata
    int64_t flags
    int64_t n_children
    ArrowSchema** children
    ArrowSchema* dictionary
    void (*release)(ArrowSchema*) noexcept nogil
    void* private_data

cdef struct ArrowArray:
    int64_t length
    int64_t null_count
    int64_t offset
    int64_t n_buffers
    int64_t n_children
    const void** buffers
    ArrowArray** children
    ArrowArray* dictionary
    void (*release)(ArrowArray*) noexcept nogil
    void* private_data

cdef struct ArrowArrayStream:
    int (*get_schema)(ArrowArrayStream*, ArrowSchema*) noexcept nogil
    int (*get_next)(ArrowArrayStream*, ArrowArray*) noexcept nogil
    const char* (*get_last_error)(ArrowArrayStream*) noexcept nogil
    void (*release)(ArrowArrayStream*) noexcept nogil
    void* private_data

ctypedef fused number:
    int8_t
    uint8_t
    int16_t
    uint16_t
    int32_t
    uint32_t
    int64_t
    uint64_t
    float
    double

# Rows of all columns that are written before the next ones: so few that they stay in the nearest cache.
cdef enum:
    TILE = 128

# A column of a batch: the letter of its format; the bits of the values that are there, NULL where all are; the values;
# how many come before the batch's first; what a decimal's 1 is; whether NULL is filled. Python packs it.
cdef struct Field:
    int64_t kind
    const uint8_t* valid
    const void* values
    int64_t offset
    double unit
    int64_t fill


class StreamError(Exception):
    """What the producer of a stream says."""


cdef inline bint bit(const uint8_t* bits, int64_t i) noexcept nogil:
    return bits[i >> 3] >> (i & 7) & 1


cdef int64_t put(
    const number* values, const Field* field, int64_t first, int64_t n, float* out, int64_t stride, float null
) noexcept nogil:
    """Write n values; gives how many are written: fewer, where the next is none."""
    cdef int64_t i
    values += field.offset + first
    for i in range(n):
        if field.valid != NULL and not bit(field.valid, field.offset + first + i):
            if not field.fill:
                return i
            out[i * stride] = null
            continue
        out[i * stride] = <float>values[i]
        if number is double:
            if isinf(out[i * stride]) and not isinf(values[i]):
                return i
    return n


cdef int64_t put_other(
    const Field* field, int64_t first, int64_t n, float* out, int64_t stride, float null
) noexcept nogil:
    """The same for bits, and for decimals of 128 bits that a double holds exactly before and after the point."""
    cdef int64_t i, at
    cdef int64_t whole[2]
    cdef double value
    for i in range(n):
        at = field.offset + first + i
        if field.valid != NULL and not bit(field.valid, at):
            if not field.fill:
                return i
            value = null
        elif field.kind == c"b":
            value = bit(<const uint8_t*>field.values, at)
        else:
            memcpy(whole, <const char*>field.values + 16 * at, 16)
            if whole[1] != whole[0] >> 63 or not -(1LL << 53) <= whole[0] <= 1LL << 53:
                return i
            value = whole[0] / field.unit
        out[i * stride] = <float>value
    return n


cdef int64_t put_field(
    const Field* field, int64_t first, int64_t n, float* out, int64_t stride, float null
) noexcept nogil:
    if field.kind == c"g":
        return put(<const double*>field.values, field, first, n, out, stride, null)
    if field.kind == c"f":
        return put(<const float*>field.values, field, first, n, out, stride, null)
    if field.kind == c"l":
        return put(<const int64_t*>field.values, field, first, n, out, stride, null)
    if field.kind == c"L":
        return put(<const uint64_t*>field.values, field, first, n, out, stride, null)
    if field.kind == c"i":
        return put(<const int32_t*>field.values, field, first, n, out, stride, null)
    if field.kind == c"I":
        return put(<const uint32_t*>field.values, field, first, n, out, stride, null)
    if field.kind == c"s":
        return put(<const int16_t*>field.values, field, first, n, out, stride, null)
    if field.kind == c"S":
        return put(<const uint16_t*>field.values, field, first, n, out, stride, null)
    if field.kind == c"c":
        return put(<const int8_t*>field.values, field, first, n, out, stride, null)
    if field.kind == c"C":
        return put(<const uint8_t*>field.values, field, first, n, out, stride, null)
    return put_other(field, first, n, out, stride, null)


def transpose(bytes packed, int64_t first, int64_t n, float null, out) -> tuple:
    """Write n rows, from one of the batch on, of columns into `out`, (n, columns) of float32.

    packed: their ``Field``s, one after the other. null: what NULL becomes where a field is filled. Gives None, or the
    row of `out` and the column where the first value lies that is no such number.
    """
    cdef const Field* fields = <const Field*>PyBytes_AS_STRING(packed)
    cdef int64_t width = PyBytes_GET_SIZE(packed) // sizeof(Field), i = 0, j, got, end, row = n, column = -1
    cdef float* rows = <float*>address(out, True)
    with nogil:
        while i < n and row == n:
            end = min(i + TILE, n)
            for j in range(width):
                got = i + put_field(fields + j, first + i, end - i, rows + i * width + j, width, null)
                if got < end and got < row:
                    row, column = got, j
            i = end
    return None if column < 0 else (row, column)


def memory(size_t where, Py_ssize_t size) -> memoryview:
    """The bytes that lie there, as long as the batch is held."""
    return PyMemoryView_FromMemory(<char*>where, size, PyBUF_READ)


cdef bytes metadata(const char* start):
    """What a schema says beside a type, as it lies there: how many pairs, and each text's size before it."""
    cdef const char* end = start
    cdef int32_t count, size
    if start == NULL:
        return b""
    memcpy(&count, start, 4)
    end += 4
    for _ in range(2 * count):
        memcpy(&size, end, 4)
        end += 4 + size
    return start[:end - start]


cdef class Stream:
    """A stream of batches, out of the capsule of ``__arrow_c_stream__``: it is this object's from now on.

    `rows` are those of the batch that is held. StreamError, with the producer's words, where the stream fails.
    """

    cdef ArrowArrayStream stream
    cdef ArrowSchema schema
    cdef ArrowArray batch
    cdef readonly int64_t rows

    def __cinit__(self, capsule):
        cdef ArrowArrayStream* given = <ArrowArrayStream*>PyCapsule_GetPointer(capsule, "arrow_array_stream")
        cdef int code
        if given.release == NULL:
            raise StreamError("it has been read already")
        self.stream = given[0]
        given.release = NULL
        with nogil:
            code = self.stream.get_schema(&self.stream, &self.schema)
        if code:
            self.schema.release = NULL
        self.check(code)

    def __dealloc__(self):
        self.close()
        if self.schema.release != NULL:
            self.schema.release(&self.schema)

    cpdef void close(self) noexcept:
        """Let go of the batch and of the stream, which ends the query; harmless if done."""
        with nogil:
            self.let_go()
            if self.stream.release != NULL:
                self.stream.release(&self.stream)
            self.stream.release = NULL

    cdef void let_go(self) noexcept nogil:
        if self.batch.release != NULL:
            self.batch.release(&self.batch)
        self.batch.release = NULL

    cdef int check(self, int code) except -1:
        cdef const char* words
        if code:
            words = self.stream.get_last_error(&self.stream)
            raise StreamError((words if words != NULL else strerror(code)).decode(errors="replace"))
        return 0

    def columns(self) -> list:
        """Of each column its name, its format, its metadata, and the formats of its places in a dictionary, and of what
        its lists hold, each b"" where there are none.

        The format and the metadata of one with a dictionary are the dictionary's.
        """
        cdef ArrowSchema* each
        cdef ArrowSchema* kind
        cdef int64_t i
        cdef list found = []
        if self.schema.format != b"+s":
            raise StreamError("it is no table but one array")
        for i in range(self.schema.n_children):
            each = self.schema.children[i]
            kind = each if each.dictionary == NULL else each.dictionary
            found.append((
                each.name if each.name != NULL else b"", kind.format, metadata(kind.metadata),
                b"" if each.dictionary == NULL else each.format,
                kind.children[0].format if kind.n_children == 1 and kind.children[0].dictionary == NULL else b"",
            ))
        return found

    def next(self) -> bool:
        """Take the next batch in place of this one; False where there is none."""
        cdef int code
        self.rows = 0
        if self.stream.release == NULL:
            return False
        with nogil:
            self.let_go()
            code = self.stream.get_next(&self.stream, &self.batch)
            if code:
                self.batch.release = NULL
        self.check(code)
        if self.batch.release == NULL:
            return False
        self.rows = self.batch.length
        return True

    def array(self, int64_t place, int part=0) -> tuple:
        """Of a column of the batch, of its dictionary (part 1), of what its lists hold (part 2) or, with place -1, of
        whole rows: how many values there are, how many lie before them, and where the buffers lie, the first of which
        is 0 where no value is NULL.
        """
        cdef ArrowArray* each = &self.batch if place < 0 else self.batch.children[place]
        cdef int64_t i
        if part:
            each = each.dictionary if part == 1 else each.children[0]
        cdef list buffers = [<size_t>each.buffers[i] for i in range(each.n_buffers)]
        if each.null_count == 0 and each.n_buffers:
            buffers[0] = 0
        return each.length, each.offset, buffers
