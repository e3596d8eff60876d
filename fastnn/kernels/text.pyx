"""Text: its hashes, and tables of tokens that texts are cut into.

All of it works on the UTF-8 bytes of Python's texts, and holds the GIL.

FarmHash64 is `Fingerprint64` of FarmHash (G. Pike, Google 2014, https://github.com/google/farmhash), written from its
description; TensorFlow, and so Keras, hash texts by it. SipHash-2-4: Aumasson and Bernstein 2012.
"""

from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy

cdef object np
import numpy as np

from fastnn.kernels.buffers cimport address


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef uint64_t K0 = 0xc3a5c85c97cb3127ULL
cdef uint64_t K1 = 0xb492b66fbe98f273ULL
cdef uint64_t K2 = 0x9ae16a3b2f90404fULL


# Hashes.

cdef inline uint64_t fetch64(const uint8_t* p) noexcept nogil:
    """Eight bytes, the lowest first."""
    return (<uint64_t>fetch32(p + 4) << 32) | fetch32(p)


cdef inline uint32_t fetch32(const uint8_t* p) noexcept nogil:
    return p[0] | (<uint32_t>p[1] << 8) | (<uint32_t>p[2] << 16) | (<uint32_t>p[3] << 24)


cdef inline uint64_t right(uint64_t x, int n) noexcept nogil:
    """x with its bits turned round to the right."""
    return (x >> n) | (x << (64 - n))


cdef inline uint64_t mixed(uint64_t x) noexcept nogil:
    return x ^ (x >> 47)


cdef inline uint64_t hash16(uint64_t u, uint64_t v, uint64_t mul) noexcept nogil:
    return mixed((v ^ mixed((u ^ v) * mul)) * mul) * mul


cdef uint64_t farm_short(const uint8_t* s, Py_ssize_t n) noexcept nogil:
    """FarmHash64 of at most 64 bytes."""
    cdef uint64_t mul = K2 + <uint64_t>n * 2, a, b, c, d, y, z
    if n > 16:
        a, b = fetch64(s) * (K1 if n <= 32 else K2), fetch64(s + 8)
        c, d = fetch64(s + n - 8) * mul, fetch64(s + n - 16) * K2
        y = right(a + b, 43) + right(c, 30) + d
        z = hash16(y, a + right(b + K2, 18) + c, mul)
        if n <= 32:
            return z
        c, d = fetch64(s + 16) * mul, fetch64(s + 24)
        y, z = (y + fetch64(s + n - 32)) * mul, (z + fetch64(s + n - 24)) * mul
        return hash16(right(c + d, 43) + right(y, 30) + z, c + right(d + a, 18) + y, mul)
    if n >= 8:
        a, b = fetch64(s) + K2, fetch64(s + n - 8)
        return hash16(right(b, 37) * mul + a, (right(a, 25) + b) * mul, mul)
    if n >= 4:
        return hash16(<uint64_t>n + (<uint64_t>fetch32(s) << 3), fetch32(s + n - 4), mul)
    if n > 0:
        y, z = s[0] + (<uint64_t>s[n >> 1] << 8), <uint64_t>n + (<uint64_t>s[n - 1] << 2)
        return mixed(y * K2 ^ z * K0) * K2
    return K2


cdef inline void weak(const uint8_t* s, uint64_t a, uint64_t b, uint64_t* first, uint64_t* second) noexcept nogil:
    """Take 32 bytes into two numbers."""
    cdef uint64_t x = fetch64(s + 8), y = fetch64(s + 16), z = fetch64(s + 24), c
    a += fetch64(s)
    b = right(b + a + z, 21)
    c = a
    a += x + y
    b += right(a, 44)
    first[0], second[0] = a + z, b + c


cdef uint64_t farm(const uint8_t* s, Py_ssize_t n) noexcept nogil:
    """FarmHash64 of n bytes."""
    if n <= 64:
        return farm_short(s, n)
    cdef uint64_t x = 81 * K2 + fetch64(s), y = 81 * K1 + 113, z = mixed((81 * K1 + 113) * K2 + 113) * K2
    cdef uint64_t v0 = 0, v1 = 0, w0 = 0, w1 = 0, mul = K1
    cdef Py_ssize_t rounds = (n - 1) // 64, i
    for i in range(rounds + 1):
        if i == rounds:  # the last 64 bytes, whatever of them was seen before
            mul = K1 + ((z & 0xff) << 1)
            s += n - rounds * 64 - 64
            w0 += (n - 1) & 63
            v0 += w0
            w0 += v0
        x = right(x + y + v0 + fetch64(s + 8), 37) * mul
        y = right(y + v1 + fetch64(s + 48), 42) * mul
        x ^= w1 if i < rounds else w1 * 9
        y += (v0 if i < rounds else v0 * 9) + fetch64(s + 40)
        z = right(z + w0, 33) * mul
        weak(s, v1 * mul, x + w0, &v0, &v1)
        weak(s + 32, z + w1, y + fetch64(s + 16), &w0, &w1)
        x, z = z, x
        s += 64
    return hash16(hash16(v0, w0, mul) + mixed(y) * K0 + z, hash16(v1, w1, mul) + x, mul)


cdef inline void sip_rounds(uint64_t* v, int rounds) noexcept nogil:
    cdef int _
    for _ in range(rounds):
        v[0] += v[1]
        v[1] = right(v[1], 51) ^ v[0]
        v[2] += v[3]
        v[3] = right(v[3], 48) ^ v[2]
        v[2] += v[1]
        v[0] = right(v[0], 32) + v[3]
        v[1] = right(v[1], 47) ^ v[2]
        v[3] = right(v[3], 43) ^ v[0]
        v[2] = right(v[2], 32)


cdef uint64_t sip(const uint8_t* s, Py_ssize_t n, uint64_t k0, uint64_t k1) noexcept nogil:
    """SipHash-2-4 of n bytes under a key."""
    cdef uint64_t v[4]
    cdef uint64_t word
    cdef Py_ssize_t i, j
    v[0], v[1] = k0 ^ 0x736f6d6570736575ULL, k1 ^ 0x646f72616e646f6dULL
    v[2], v[3] = k0 ^ 0x6c7967656e657261ULL, k1 ^ 0x7465646279746573ULL
    for i in range(0, n + 1, 8):
        if i + 8 <= n:
            word = fetch64(s + i)
        else:
            word = <uint64_t>n << 56
            for j in range(n - i):
                word |= <uint64_t>s[i + j] << (8 * j)
        v[3] ^= word
        sip_rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xff
    sip_rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def hashes(list texts not None, key=None):
    """A hash of each text: FarmHash64, or with a key of two numbers SipHash-2-4."""
    cdef Py_ssize_t i, size, n = PyList_GET_SIZE(texts)
    cdef uint64_t k0 = 0, k1 = 0
    cdef const char* s
    cdef bint keyed = key is not None
    if keyed:
        k0, k1 = key
    found = np.empty(n, np.uint64)
    cdef uint64_t* out = <uint64_t*>address(found, True)
    for i in range(n):
        s = PyUnicode_AsUTF8AndSize(<object>PyList_GET_ITEM(texts, i), &size)
        out[i] = sip(<const uint8_t*>s, size, k0, k1) if keyed else farm(<const uint8_t*>s, size)
    return found


def only_texts(objects not None):
    """Whether an array of objects, along one axis, holds Python's own texts alone."""
    flat = np.ascontiguousarray(objects)
    cdef PyObject** item = <PyObject**>address(flat)
    cdef Py_ssize_t i
    for i in range(len(flat)):
        if item[i] == NULL or not PyUnicode_CheckExact(<object>item[i]):
            return False
    return True


# Tokens.

cdef enum:
    SPACE = 1
    PUNCTUATION = 2

cdef uint8_t KINDS[256]
cdef int code
for code in range(256):
    KINDS[code] = 0
for code in b" \t\n\r\x0b\x0c":
    KINDS[code] = SPACE
for code in b"!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'":
    KINDS[code] = PUNCTUATION


cdef inline bint same(const uint8_t* a, const uint8_t* b, Py_ssize_t n) noexcept nogil:
    """Whether two texts of n bytes are the same. Most are short: a call of memcmp takes longer than to look them up."""
    if n > 16:
        return memcmp(a, b, n) == 0
    if n >= 8:
        return fetch64(a) == fetch64(b) and fetch64(a + n - 8) == fetch64(b + n - 8)
    if n >= 4:
        return fetch32(a) == fetch32(b) and fetch32(a + n - 4) == fetch32(b + n - 4)
    return n == 0 or (a[0] == b[0] and a[n >> 1] == b[n >> 1] and a[n - 1] == b[n - 1])


cdef bint roomy(void** block, Py_ssize_t size) noexcept nogil:
    """Whether there is memory to make a block larger."""
    cdef void* found = realloc(block[0], size)
    if found != NULL:
        block[0] = found
    return found != NULL


cdef class Tokens:
    """Tokens with a number each: a table that texts are looked up in, or that counts what they are made of.

    lower, strip: make letters small, drop punctuation (of ASCII both, as TensorFlow does it). split: "whitespace",
    "character" or None. widths: of n-grams, one width after the other, each of tokens with a space between; 1 is the
    token. A row is a text, or a list of texts one after the other.
    """

    def __cinit__(self, bint lower=False, bint strip=False, split=None, widths=(1,)):
        self.lower, self.strip, self.split, self.widths = lower, strip, split, tuple(widths)
        self.plain = split is None and not lower and not strip and self.widths == (1,)
        if not self.rehash(64):
            raise MemoryError

    def __dealloc__(self):
        free(self.entries)
        free(self.slots)
        free(self.bytes_)
        free(self.row)
        free(self.ends)

    def __len__(self):
        return self.count

    cdef void clear(self) noexcept nogil:
        """Forget all tokens."""
        self.count = self.used = 0
        for i in range(self.mask + 1):
            self.slots[i] = -1

    cdef bint rehash(self, Py_ssize_t size) noexcept nogil:
        """Make so many slots; whether there is memory for them."""
        cdef Py_ssize_t i, at
        if not roomy(<void**>&self.slots, size * sizeof(int64_t)):
            return False
        self.mask = size - 1
        for i in range(size):
            self.slots[i] = -1
        for i in range(self.count):
            at = <Py_ssize_t>(self.entries[i].key & <uint64_t>self.mask)
            while self.slots[at] >= 0:
                at = (at + 1) & self.mask
            self.slots[at] = i
        return True

    cdef Entry* place(self, const char* s, Py_ssize_t n, bint add) noexcept nogil:
        """The entry of a token. Where there is none, NULL, or a new one, and NULL without memory."""
        cdef const uint8_t* text = <const uint8_t*>s
        cdef uint64_t key = farm(text, n)
        cdef Py_ssize_t at = <Py_ssize_t>(key & <uint64_t>self.mask)
        cdef Entry* entry
        while self.slots[at] >= 0:
            entry = self.entries + self.slots[at]
            if entry.key == key and entry.size == n and same(<const uint8_t*>self.bytes_ + entry.start, text, n):
                return entry
            at = (at + 1) & self.mask
        if not add:
            return NULL
        if self.count == self.entries_room:
            if not roomy(<void**>&self.entries, (2 * self.entries_room + 64) * sizeof(Entry)):
                return NULL
            self.entries_room = 2 * self.entries_room + 64
        if self.used + n > self.bytes_room:
            if not roomy(<void**>&self.bytes_, 2 * (self.used + n)):
                return NULL
            self.bytes_room = 2 * (self.used + n)
        if n:
            memcpy(self.bytes_ + self.used, s, n)
        self.entries[self.count] = Entry(key, self.used, n, 0, 0, -1)
        self.used += n
        self.slots[at] = self.count
        self.count += 1
        if 2 * self.count > self.mask and not self.rehash(2 * (self.mask + 1)):
            return NULL
        return self.entries + self.count - 1

    cdef Entry* added(self, const char* s, Py_ssize_t n) except NULL:
        """The entry of a token, a new one where there is none."""
        cdef Entry* entry = self.place(s, n, True)
        if entry == NULL:
            raise MemoryError
        return entry

    def put(self, list tokens not None, int64_t first):
        """Give the tokens numbers from `first` on; one that is there already gets the last."""
        cdef Py_ssize_t i, size
        cdef const char* s
        for i in range(PyList_GET_SIZE(tokens)):
            s = PyUnicode_AsUTF8AndSize(<object>PyList_GET_ITEM(tokens, i), &size)
            self.added(s, size).number = first + i

    cdef Entry* whole(self, object row, bint add, Py_ssize_t* kind) except? NULL:
        """The entry of a row that is one token as it is; kind: -1 then, and 0 for a row that must be cut."""
        cdef Py_ssize_t size
        cdef const char* s
        if not self.plain or isinstance(row, list):
            kind[0] = 0
            return NULL
        s = PyUnicode_AsUTF8AndSize(row, &size)
        kind[0] = -1
        return self.added(s, size) if add else self.place(s, size, False)

    cdef Py_ssize_t cut(self, object row) except -1:
        """Cut a row into tokens; gives how many."""
        cdef Py_ssize_t n = 0, i
        cdef Py_ssize_t end = 0
        if isinstance(row, list):
            for i in range(PyList_GET_SIZE(row)):
                n = self.cut_text(<object>PyList_GET_ITEM(row, i), n, &end)
            return n
        return self.cut_text(row, 0, &end)

    cdef Py_ssize_t cut_text(self, object text, Py_ssize_t n, Py_ssize_t* end) except -1:
        """Append the tokens of a text to the `n` of the row, which end at `end`."""
        cdef Py_ssize_t size, i, start, at = end[0]
        cdef const char* s = PyUnicode_AsUTF8AndSize(text, &size)
        cdef uint8_t c
        cdef int how = 0 if self.split is None else 1 if self.split == "whitespace" else 2
        if at + 2 * size + 1 > self.row_room:
            if not roomy(<void**>&self.row, 2 * (at + 2 * size + 1)):
                raise MemoryError
            self.row_room = 2 * (at + 2 * size + 1)
        if 2 * (n + size + 1) > self.ends_room:
            if not roomy(<void**>&self.ends, 4 * (n + size + 1) * sizeof(Py_ssize_t)):
                raise MemoryError
            self.ends_room = 4 * (n + size + 1)
        start = at
        for i in range(size):
            c = <uint8_t>s[i]
            if self.strip and KINDS[c] == PUNCTUATION:
                continue
            if self.lower and c >= 65 and c <= 90:
                c += 32
            if how == 1 and KINDS[c] == SPACE:
                if at > start:
                    n, at = self.token(n, start, at)
                    start = at
                continue
            if how == 2 and at > start and (c & 0xc0) != 0x80:  # a character begins
                n, at = self.token(n, start, at)
                start = at
            self.row[at] = <char>c
            at += 1
        if at > start or how == 0:
            n, at = self.token(n, start, at)
        end[0] = at
        return n

    cdef (Py_ssize_t, Py_ssize_t) token(self, Py_ssize_t n, Py_ssize_t start, Py_ssize_t end) noexcept:
        """Note token n; gives how many there are, and where the next begins."""
        self.ends[2 * n], self.ends[2 * n + 1] = start, end
        self.row[end] = 32
        return n + 1, end + 1

    def find(self, list rows not None, int64_t unknown=-1):
        """The numbers of all rows' tokens, one row after the other, and where each row ends among them."""
        cdef Py_ssize_t i, j, n, width, total = 0, capacity = PyList_GET_SIZE(rows)
        cdef Entry* entry
        ends = np.empty(PyList_GET_SIZE(rows), np.int64)
        cdef int64_t* ends_of = <int64_t*>address(ends, True)
        numbers = np.empty(capacity, np.int64)
        cdef int64_t* out = <int64_t*>address(numbers, True)
        for i in range(PyList_GET_SIZE(rows)):
            entry = self.whole(<object>PyList_GET_ITEM(rows, i), False, &n)
            if n < 0:
                out[i] = unknown if entry == NULL else entry.number
                ends_of[i] = total = i + 1
                continue
            n = self.cut(<object>PyList_GET_ITEM(rows, i))
            for width in self.widths:
                if total + n > capacity:
                    capacity = 2 * (total + n) + PyList_GET_SIZE(rows)
                    numbers = np.concatenate([numbers[:total], np.empty(capacity - total, np.int64)])
                    out = <int64_t*>address(numbers, True)
                for j in range(n - width + 1):
                    entry = self.place(
                        self.row + self.ends[2 * j], self.ends[2 * (j + width) - 1] - self.ends[2 * j], False)
                    out[total] = unknown if entry == NULL else entry.number
                    total += 1
            ends_of[i] = total
        return numbers[:total], ends

    def add(self, list rows not None):
        """Count the tokens of these rows: how often each comes, as its number, and in how many rows."""
        cdef Py_ssize_t i, j, n, width
        cdef Entry* entry
        for i in range(PyList_GET_SIZE(rows)):
            entry = self.whole(<object>PyList_GET_ITEM(rows, i), True, &n)
            if n < 0:
                self.note(entry)
            else:
                n = self.cut(<object>PyList_GET_ITEM(rows, i))
                for width in self.widths:
                    for j in range(n - width + 1):
                        self.note(self.added(
                            self.row + self.ends[2 * j], self.ends[2 * (j + width) - 1] - self.ends[2 * j]))
            self.documents += 1

    cdef void note(self, Entry* entry) noexcept:
        """Count a token of the row that is being read."""
        entry.number += 1
        if entry.last != self.documents:
            entry.last = self.documents
            entry.rows += 1

    def counted(self):
        """What was counted: the tokens, how often each came, in how many rows, and how many rows there were."""
        cdef Py_ssize_t i
        tokens = [
            self.bytes_[self.entries[i].start:self.entries[i].start + self.entries[i].size].decode()
            for i in range(self.count)
        ]
        times = np.array([self.entries[i].number for i in range(self.count)], np.int64)
        rows = np.array([self.entries[i].rows for i in range(self.count)], np.int64)
        return tokens, times, rows, self.documents
