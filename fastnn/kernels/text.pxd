# A table of tokens, for other modules that look texts up as they lie in memory.

from libc.stdint cimport int64_t, uint64_t


cdef struct Entry:
    uint64_t key       # the token's hash
    Py_ssize_t start   # of its bytes
    Py_ssize_t size
    int64_t number
    int64_t rows       # that had it
    int64_t last       # of those rows


cdef class Tokens:
    cdef readonly bint lower, strip
    cdef readonly object split
    cdef tuple widths
    cdef bint plain                  # a text is a token as it is
    cdef Entry* entries
    cdef Py_ssize_t count, entries_room
    cdef int64_t* slots              # places of entries by their hash, -1 for none
    cdef Py_ssize_t mask             # one less than the slots: a power of two
    cdef char* bytes_                # of all tokens
    cdef Py_ssize_t used, bytes_room
    cdef char* row                   # the tokens of a row, a space behind each
    cdef Py_ssize_t row_room
    cdef Py_ssize_t* ends            # of each token of the row: where it begins, and where it ends
    cdef Py_ssize_t ends_room
    cdef int64_t documents

    cdef void clear(self) noexcept nogil
    cdef bint rehash(self, Py_ssize_t size) noexcept nogil
    cdef Entry* place(self, const char* s, Py_ssize_t n, bint add) noexcept nogil
    cdef Entry* added(self, const char* s, Py_ssize_t n) except NULL
    cdef Entry* whole(self, object row, bint add, Py_ssize_t* kind) except? NULL
    cdef Py_ssize_t cut(self, object row) except -1
    cdef Py_ssize_t cut_text(self, object text, Py_ssize_t n, Py_ssize_t* end) except -1
    cdef (Py_ssize_t, Py_ssize_t) token(self, Py_ssize_t n, Py_ssize_t start, Py_ssize_t end) noexcept
    cdef void note(self, Entry* entry) noexcept
