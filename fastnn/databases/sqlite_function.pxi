"""A network as a function of SQL, called by SQLite itself: as a loadable extension, or by Python's create_function.

An extension has no SQLite of its own and is linked to none: it is given a table of the functions of the one that loads
it, `sqlite3_api_routines` in sqlite3ext.h, whose order is fixed.
"""

cdef extern from *:
    """
    static int (*fastnn_entry)(void*, char**, void**) = 0;
    #if defined(_WIN32)
    __declspec(dllexport)
    #else
    __attribute__((visibility("default")))
    #endif
    int sqlite3_extension_init(void* database, char** message, void** routines) {
        return fastnn_entry ? fastnn_entry(database, message, routines) : 1;
    }
    """
    int (*entry "fastnn_entry")(void*, char**, void**) noexcept


cdef extern from "Python.h":
    bint Py_IsInitialized() nogil


# Places in the table of routines.
cdef enum:
    RESULT_DOUBLE = 79
    RESULT_ERROR = 80
    RESULT_INT64 = 83
    RESULT_NULL = 84
    USER_DATA = 101
    VALUE_DOUBLE = 105
    VALUE_INT64 = 107
    VALUE_TEXT = 109
    VALUE_TYPE = 113
    CREATE_FUNCTION = 162           # _v2, with a destructor

cdef enum:
    ERROR = 1                       # SQLITE_ERROR
    FLAGS = 0x801                   # SQLITE_UTF8 | SQLITE_DETERMINISTIC

ctypedef void (*Call)(void*, int, void**) noexcept
ctypedef void (*End)(void*) noexcept
ctypedef int (*CreateFunction)(void*, const char*, int, int, void*, Call, void*, void*, End) noexcept
ctypedef void* (*UserData)(void*) noexcept
ctypedef int (*ValueType)(void*) noexcept
ctypedef int64_t (*ValueInt)(void*) noexcept
ctypedef const char* (*ValueText)(void*) noexcept
ctypedef double (*ValueDouble)(void*) noexcept
ctypedef void (*ResultNull)(void*) noexcept
ctypedef void (*ResultInt)(void*, int64_t) noexcept
ctypedef void (*ResultDouble)(void*, double) noexcept
ctypedef void (*ResultError)(void*, const char*, int) noexcept

cdef void** routines = NULL         # of the SQLite that has loaded this
cdef Function awaited = None        # what the next entry makes a function of

KINDS = "values", "binary", "classes"


cdef class Function:
    """What is called for each row: numbers in their order, a number or None out.

    predict: float32 (1, inputs) -> float32 (1, units). kind, probability: which number of the units it gives.
    """
    cdef object predict, x
    cdef bytes name
    cdef float* row
    cdef int inputs, kind
    cdef bint probability, is_whole
    cdef double number

    def __init__(self, str name, predict, int inputs, str kind, bint probability):
        self.name, self.predict, self.inputs = name.encode(), predict, inputs
        self.kind, self.probability = KINDS.index(kind), probability
        self.x = np.zeros((1, inputs), np.float32)
        self.row = <float*>address(self.x, True)

    cdef int takes(self, int place, double number) except -1:
        if fabs(number) > FLT_MAX and isfinite(number):
            raise self.wrong(place, number)
        self.row[place] = <float>number
        return 0

    cdef object wrong(self, int place, value):
        return ValueError("%s: argument %d is %r, where a number within float32's range is expected" % (
            self.name.decode(), place + 1, value))

    cdef int work_out(self) except -1:
        """`number`, for the row that is there."""
        cdef Py_ssize_t i, best = 0
        output = self.predict(self.x)
        cdef const float* out = <const float*>address(output)
        for i in range(output.size):
            if not isfinite(out[i]) or (self.kind and not 0 <= out[i] <= 1):
                raise ValueError("%s: the model gives %g, where %s expected; check the arguments and last activation"
                                 % (self.name.decode(), out[i],
                                    "probabilities, from 0 to 1, are" if self.kind else "a finite number is"))
            if out[i] > out[best]:
                best = i
        self.is_whole = self.kind and not self.probability
        self.number = out[best]
        if self.kind == 1:
            best = self.number > 0.5
            if not best:
                self.number = 1 - self.number
        if self.is_whole:
            self.number = best
        return 0

    def __call__(self, *values):
        cdef int place = 0
        if None in values:
            return None
        for value in values:
            if not isinstance(value, (int, float)):
                raise self.wrong(place, value)
            self.takes(place, value)
            place += 1
        return self.found()

    cdef object found(self):
        self.work_out()
        return int(self.number) if self.is_whole else self.number

    def of(self, x):
        """The same for a row of the network's own."""
        self.x[...] = x
        return self.found()

    def load_into(self, connection):
        """Have SQLite call it without Python: `connection` may load extensions. Its errors are sqlite3's own."""
        global awaited
        awaited = self
        try:
            connection.load_extension(__file__)
        finally:
            awaited = None


cdef int begin(void* database, char** message, void** table) noexcept with gil:
    """The entry of the extension."""
    global routines
    if awaited is None or (routines != NULL and routines != table):     # somebody else's call; a second SQLite
        return ERROR
    routines = table
    Py_INCREF(awaited)
    # Where it fails it has called `end`.
    return (<CreateFunction>routines[CREATE_FUNCTION])(
        database, awaited.name, awaited.inputs, FLAGS, <void*>awaited, call, NULL, NULL, end)


cdef void end(void* function) noexcept:
    """SQLite needs it no more: the connection is closed, or has another function of that name."""
    if Py_IsInitialized():
        drop(function)


cdef void drop(void* function) noexcept with gil:
    Py_DECREF(<object><PyObject*>function)


cdef object short(void* value):
    """The beginning of a text or a blob."""
    cdef const char* text = (<ValueText>routines[VALUE_TEXT])(value)
    return b"" if text == NULL else (<bytes>text)[:32].decode("utf-8", "replace")


cdef void call(void* context, int count, void** values) noexcept with gil:
    cdef Function function = <Function>(<UserData>routines[USER_DATA])(context)
    cdef int place, kind
    try:
        for place in range(count):
            kind = (<ValueType>routines[VALUE_TYPE])(values[place])
            if kind == NULL_VALUE:
                (<ResultNull>routines[RESULT_NULL])(context)
                return
            if kind == INTEGER:
                function.takes(place, <double>(<ValueInt>routines[VALUE_INT64])(values[place]))
            elif kind == FLOAT:
                function.takes(place, (<ValueDouble>routines[VALUE_DOUBLE])(values[place]))
            else:
                raise function.wrong(place, short(values[place]))
        function.work_out()
    except BaseException as error:      # an interruption too: the statement ends by it
        text = (str(error) or type(error).__name__).encode("utf-8", "replace")
        (<ResultError>routines[RESULT_ERROR])(context, text, -1)
        return
    if function.is_whole:
        (<ResultInt>routines[RESULT_INT64])(context, <int64_t>function.number)
    else:
        (<ResultDouble>routines[RESULT_DOUBLE])(context, function.number)


entry = begin
