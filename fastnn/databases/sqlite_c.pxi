"""SQLite's C interface, of the copy that Python's sqlite3 has loaded: a query's rows as numbers, without the GIL.

There is no other copy in the process: two of them drop each other's locks (https://sqlite.org/howtocorrupt.html, 2.2).
`use` is given the addresses of the functions below (by sqlite_native.py); before, nothing here may be called.
Source of all meanings: https://sqlite.org/c3ref/intro.html.
"""

# Values of https://sqlite.org/c3ref/c_abort.html, c_blob.html, c_open_autoproxy.html: they do not change.
cdef enum:
    ROW = 100
    DONE = 101
    INTEGER = 1
    FLOAT = 2
    TEXT = 3
    BLOB = 4
    NULL_VALUE = 5
    OPEN = 0x1 | 0x40 | 0x8000            # SQLITE_OPEN_READONLY | URI | NOMUTEX

cdef void* TRANSIENT = <void*>-1

# Texts and blobs that are remembered from one read to the next, so that those that come again are made once.
cdef Py_ssize_t REMEMBERED = 2**14

ctypedef void sqlite3
ctypedef void sqlite3_stmt
ctypedef void sqlite3_value

cdef struct Functions:
    int (*open_v2)(const char*, sqlite3**, int, const char*) noexcept nogil
    int (*close_v2)(sqlite3*) noexcept nogil
    int (*busy_timeout)(sqlite3*, int) noexcept nogil
    void (*interrupt)(sqlite3*) noexcept nogil
    const char* (*errmsg)(sqlite3*) noexcept nogil
    int (*prepare_v2)(sqlite3*, const char*, int, sqlite3_stmt**, const char**) noexcept nogil
    int (*finalize)(sqlite3_stmt*) noexcept nogil
    int (*reset)(sqlite3_stmt*) noexcept nogil
    int (*step)(sqlite3_stmt*) noexcept nogil
    int (*column_count)(sqlite3_stmt*) noexcept nogil
    const char* (*column_name)(sqlite3_stmt*, int) noexcept nogil
    sqlite3_value* (*column_value)(sqlite3_stmt*, int) noexcept nogil
    int (*value_type)(sqlite3_value*) noexcept nogil
    double (*value_double)(sqlite3_value*) noexcept nogil
    int64_t (*value_int64)(sqlite3_value*) noexcept nogil
    const void* (*value_blob)(sqlite3_value*) noexcept nogil
    const char* (*value_text)(sqlite3_value*) noexcept nogil
    int (*value_bytes)(sqlite3_value*) noexcept nogil
    int (*bind_parameter_index)(sqlite3_stmt*, const char*) noexcept nogil
    int (*bind_parameter_count)(sqlite3_stmt*) noexcept nogil
    int (*bind_null)(sqlite3_stmt*, int) noexcept nogil
    int (*bind_int64)(sqlite3_stmt*, int, int64_t) noexcept nogil
    int (*bind_double)(sqlite3_stmt*, int, double) noexcept nogil
    int (*bind_text)(sqlite3_stmt*, int, const char*, int, void*) noexcept nogil
    int (*bind_blob)(sqlite3_stmt*, int, const char*, int, void*) noexcept nogil

# In the order of the struct.
NAMES = (
    "open_v2", "close_v2", "busy_timeout", "interrupt", "errmsg", "prepare_v2", "finalize", "reset", "step",
    "column_count", "column_name", "column_value", "value_type", "value_double", "value_int64", "value_blob",
    "value_text", "value_bytes", "bind_parameter_index", "bind_parameter_count", "bind_null", "bind_int64",
    "bind_double", "bind_text", "bind_blob",
)

cdef Functions sqlite


def use(list addresses):
    """Take SQLite's functions: their addresses, in the order of NAMES."""
    cdef Py_ssize_t i
    cdef size_t each
    for i in range(len(NAMES)):
        each = addresses[i]
        (<void**>&sqlite)[i] = <void*>each


class SQLiteError(Exception):
    """What SQLite says went wrong."""


cdef class Connection:
    """A connection of its own to a database file, for reading. uri: as SQLite takes it, "file:...?mode=ro".

    timeout: seconds to wait for a lock. One thread at a time may use it; `interrupt` alone is for any.
    """

    cdef sqlite3* db

    def __init__(self, str uri, double timeout=5):
        cdef bytes name = uri.encode()
        cdef const char* path = name
        cdef int code
        with nogil:
            code = sqlite.open_v2(path, &self.db, OPEN, NULL)
        if code:
            raise self.error()
        sqlite.busy_timeout(self.db, <int>(timeout * 1000))

    def __dealloc__(self):
        if self.db != NULL:
            sqlite.close_v2(self.db)

    def close(self):
        """Let the database go: when the last statement is closed too."""
        if self.db != NULL:
            sqlite.close_v2(self.db)
            self.db = NULL

    cdef object error(self):
        return SQLiteError(sqlite.errmsg(self.db).decode("utf-8", "replace"))

    def interrupt(self):
        """Have what runs on it end with an error."""
        if self.db != NULL:
            sqlite.interrupt(self.db)

    def value(self, str sql):
        """The whole number that a statement gives in its first row, None without one."""
        cdef Statement statement = Statement(self, sql, ())
        cdef int code
        with nogil:
            code = sqlite.step(statement.statement)
        if code != ROW and code != DONE:
            raise self.error()
        return sqlite.value_int64(sqlite.column_value(statement.statement, 0)) if code == ROW else None


# Where a column's values go.
cdef struct Take:
    int column
    int place                           # among the numbers of a row, or among the others
    bint other
    bint exact                          # a target, whose whole numbers must not be rounded


# A value of another column: of a text or a blob the number of its entry among those that were met.
cdef union Content:
    int64_t integer
    double real

cdef struct Value:
    Content content
    int kind


cdef class Statement:
    """A query, compiled, with its parameters bound: a sequence, or a mapping by name, of None, int, float, str, bytes.

    `columns` are the names of its result.
    """

    cdef readonly Connection connection
    cdef readonly tuple columns
    cdef sqlite3_stmt* statement
    cdef Take* takes
    cdef int taken, width, others
    cdef bint fills, reading
    cdef double null
    # The row at which reading stopped, since a value there is no number: its take, and what came.
    cdef readonly object stopped
    # Texts and blobs that were met, and Python's objects of them by the places of their entries.
    cdef Tokens met_texts, met_blobs
    cdef list texts, blobs
    cdef Value* values
    cdef Py_ssize_t values_room

    def __init__(self, Connection connection not None, str sql not None, params):
        cdef bytes text = sql.encode()
        cdef const char* start = text
        cdef int size = <int>len(text), code, i
        self.connection = connection
        with nogil:
            code = sqlite.prepare_v2(connection.db, start, size, &self.statement, NULL)
        if code:
            raise connection.error()
        self.columns = tuple([
            sqlite.column_name(self.statement, i).decode("utf-8", "replace")
            for i in range(sqlite.column_count(self.statement))
        ])
        if isinstance(params, dict):
            for name, value in params.items():
                for sign in ":@$":
                    i = sqlite.bind_parameter_index(self.statement, (sign + name).encode())
                    if i:
                        self.bind(i, value)
        else:
            for i, value in enumerate(params, 1):
                self.bind(i, value)

    def close(self):
        """End the query, and its connection; where a thread reads at that moment, once it has ended too."""
        if self.reading:
            self.connection.interrupt()
            return
        if self.statement != NULL:
            sqlite.finalize(self.statement)
            self.statement = NULL
        self.connection.close()

    def __dealloc__(self):
        if self.statement != NULL:
            sqlite.finalize(self.statement)
        free(self.takes)
        free(self.values)

    cpdef bind(self, int number, value):
        """Bind a value to a parameter, counted from 1; the query starts anew."""
        cdef int code
        sqlite.reset(self.statement)
        if value is None:
            code = sqlite.bind_null(self.statement, number)
        elif isinstance(value, int):
            code = sqlite.bind_int64(self.statement, number, value)
        elif isinstance(value, float):
            code = sqlite.bind_double(self.statement, number, value)
        elif isinstance(value, str):
            value = value.encode()
            code = sqlite.bind_text(self.statement, number, value, <int>len(value), TRANSIENT)
        else:
            value = bytes(value)
            code = sqlite.bind_blob(self.statement, number, value, <int>len(value), TRANSIENT)
        if code:
            raise self.connection.error()

    def take(self, numbers, targets, others, null):
        """Say what `read` gives: the places of columns, and the number that stands for NULL, or None."""
        cdef int i
        places = [*numbers, *targets, *others]
        self.width, self.others, self.taken = <int>(len(numbers) + len(targets)), <int>len(others), <int>len(places)
        self.takes = <Take*>malloc((self.taken + 1) * sizeof(Take))
        if self.takes == NULL:
            raise MemoryError
        # In the order of the result: SQLite finds a value by going through those before it.
        for i, at in enumerate(sorted(range(len(places)), key=places.__getitem__)):
            self.takes[i].column = places[at]
            self.takes[i].other = at >= self.width
            self.takes[i].place = <int>(at - self.width if at >= self.width else at)
            self.takes[i].exact = len(numbers) <= at < self.width
        self.fills = null is not None
        self.null = null if self.fills else 0
        self.met_texts, self.met_blobs, self.texts, self.blobs = Tokens(), Tokens(), [], []

    def read(self, Py_ssize_t rows):
        """The next rows, at most so many: (numbers, others) as ``reader.Block`` has them; fewer at the end.

        Fewer too before a value that does not become a number: then `stopped` is (place of the column, value).
        """
        numbers = np.empty((rows, self.width), np.float32)
        cdef float* out = <float*>address(numbers, True) if self.width else NULL
        cdef Py_ssize_t done, row
        cdef int place
        cdef PyObject** objects
        if rows * self.others > self.values_room:
            free(self.values)
            self.values_room = 0
            self.values = <Value*>malloc(rows * self.others * sizeof(Value))
            if self.values == NULL:
                raise MemoryError
            self.values_room = rows * self.others
        if self.met_texts.count + self.met_blobs.count > REMEMBERED:
            self.met_texts.clear()
            self.met_blobs.clear()
            self.texts, self.blobs = [], []
        self.reading = True
        with nogil:
            done = self.fill(out, rows)
        self.reading = False
        if done == -1:
            raise MemoryError
        if done == -2:
            raise self.connection.error()
        self.meet()
        columns = []
        for place in range(self.others):
            column = np.empty(done, object)
            objects = <PyObject**>address(column, True)
            for row in range(done):
                content = self.value(&self.values[place * rows + row])
                Py_INCREF(content)
                Py_XDECREF(objects[row])
                objects[row] = <PyObject*>content
            columns.append(column)
        return numbers[:done], columns

    cdef object value(self, Value* value):
        if value.kind == NULL_VALUE:
            return None
        if value.kind == INTEGER:
            return value.content.integer
        if value.kind == FLOAT:
            return value.content.real
        return self.texts[value.content.integer] if value.kind == TEXT else self.blobs[value.content.integer]

    cdef int meet(self) except -1:
        """Make Python's objects of the texts and blobs that were met anew; a text that is no UTF-8 is a Text."""
        cdef Py_ssize_t i
        cdef const char* start
        for i in range(len(self.texts), self.met_texts.count):
            start, size = self.met_texts.bytes_ + self.met_texts.entries[i].start, self.met_texts.entries[i].size
            try:
                content = PyUnicode_DecodeUTF8(start, size, NULL)
            except UnicodeDecodeError:
                content = Text(PyBytes_FromStringAndSize(start, size))
            self.texts.append(content)
        for i in range(len(self.blobs), self.met_blobs.count):
            start, size = self.met_blobs.bytes_ + self.met_blobs.entries[i].start, self.met_blobs.entries[i].size
            self.blobs.append(PyBytes_FromStringAndSize(start, size))
        return 0

    cdef Py_ssize_t fill(self, float* out, Py_ssize_t rows) noexcept nogil:
        """How many rows were read; -1 without memory, -2 where SQLite failed."""
        cdef Py_ssize_t row
        cdef int i, code, kind
        cdef Take* take
        cdef sqlite3_value* value
        cdef double number
        cdef float kept
        cdef int64_t whole
        for row in range(rows):
            code = sqlite.step(self.statement)
            if code == DONE:
                return row
            if code != ROW:
                return -2
            for i in range(self.taken):
                take = &self.takes[i]
                value = sqlite.column_value(self.statement, take.column)
                kind = sqlite.value_type(value)
                if take.other:
                    if self.keep(&self.values[take.place * rows + row], kind, value) < 0:
                        return -1
                    continue
                if kind == FLOAT:
                    number = sqlite.value_double(value)
                    kept = <float>number
                    if isinf(kept) and not isinf(number):
                        return self.stop(take, kind, value, row)
                elif kind == INTEGER:
                    whole = sqlite.value_int64(value)
                    kept = <float><double>whole
                    if take.exact and not (-16777216 <= whole <= 16777216) and not is_exactly(kept, whole):
                        return self.stop(take, kind, value, row)
                elif kind == NULL_VALUE and self.fills and not take.exact:
                    kept = <float>self.null
                else:
                    return self.stop(take, kind, value, row)
                out[row * self.width + take.place] = kept
        return rows

    cdef Py_ssize_t stop(self, Take* take, int kind, sqlite3_value* value, Py_ssize_t row) noexcept nogil:
        with gil:
            self.stopped = take.place, found(kind, value)
        return row

    cdef int keep(self, Value* to, int kind, sqlite3_value* value) noexcept nogil:
        """Keep a value that stays what it is; -1 without memory."""
        to.kind = kind
        if kind == INTEGER:
            to.content.integer = sqlite.value_int64(value)
        elif kind == FLOAT:
            to.content.real = sqlite.value_double(value)
        elif kind != NULL_VALUE:
            if kind == TEXT:
                start = sqlite.value_text(value)
                to.content.integer = place_in(self.met_texts, start, sqlite.value_bytes(value))
            else:
                start = <const char*>sqlite.value_blob(value)
                to.content.integer = place_in(self.met_blobs, start, sqlite.value_bytes(value))
            return -1 if to.content.integer < 0 else 0
        return 0


cdef inline int64_t place_in(Tokens met, const char* start, Py_ssize_t size) noexcept nogil:
    """The place of a text or blob among those that were met; -1 without memory."""
    cdef Entry* entry = met.place(start, size, True)
    return -1 if entry == NULL else entry - met.entries


cdef inline bint is_exactly(float kept, int64_t whole) noexcept nogil:
    return -9223372036854775808.0 <= kept < 9223372036854775808.0 and <int64_t>kept == whole


cdef object found(int kind, sqlite3_value* value):
    """A value as Python's; a text as bytes, since it need not be UTF-8."""
    if kind == NULL_VALUE:
        return None
    if kind == INTEGER:
        return sqlite.value_int64(value)
    if kind == FLOAT:
        return sqlite.value_double(value)
    start = sqlite.value_text(value) if kind == TEXT else <const char*>sqlite.value_blob(value)
    content = PyBytes_FromStringAndSize(start, sqlite.value_bytes(value))
    return Text(content) if kind == TEXT else content
