# BSON documents as MongoDB sends them: fields as float32 numbers, strictly, and without a dict for each document.
#
# Source of the format: https://bsonspec.org/spec.html, and its "BSON Binary Subtype 9 - Vector"; of a decimal: IEEE
# 754-2008, 3.5.2, with a whole number for the coefficient.

cdef enum:
    DOUBLE = 0x01
    STRING = 0x02
    DOCUMENT = 0x03
    ARRAY = 0x04
    BINARY = 0x05
    UNDEFINED = 0x06
    BOOL = 0x08
    BSON_NULL = 0x0A
    REGEX = 0x0B
    POINTER = 0x0C
    CODE = 0x0F
    INT32 = 0x10
    INT64 = 0x12
    DECIMAL128 = 0x13
    VECTOR = 9              # a subtype of BINARY, and its kinds
    INT8 = 0x03
    FLOAT32 = 0x27
    STOP = -1
    BROKEN = -2

# The bytes of a value by its kind; "l" where they begin with a length, "x" where it is otherwise.
cdef const char* SIZES = b"x\x08llll\x00\x0c\x01\x08\x00xllll\x04\x08\x08\x10"

cdef double[16] TENS
cdef int _i
for _i in range(16):
    TENS[_i] = 10.0 ** _i

# A name within a document.
cdef struct Node:
    const char* name
    Py_ssize_t size
    int first               # of the names within it, which follow one another
    int count
    int slot                # of its number, -1 for none
    int other               # of its value as it is, -1 for none
    int index               # its name as a place in an array, -1 for none
    int length              # of the vector that it must be, -1 where it need not be one
    int next                # of the names within it the one that is likely next: documents are alike


cdef class BSONRows:
    """What is wanted of each document.

    nodes: tuples (name, first, count, slot, other, index, length) as above, of which the first is the document itself.
    width, features, others: numbers in a row, those of them that are no targets, and values that stay what they are.
    null: the number that stands for null and for what is missing, or None.
    """

    cdef Node* nodes
    cdef object names           # which the nodes point into
    cdef Py_ssize_t* seen       # of each number, the last row that has it
    cdef Py_ssize_t* places     # of the others in each row: start and end of the element, 0 where it is missing
    cdef int width, features, others, found, bad
    cdef bint fills
    cdef float null
    cdef const unsigned char* data
    cdef float* out             # of the row
    cdef Py_ssize_t row
    cdef readonly object stopped    # (place of a number, the document) that does not have that number

    def __init__(self, nodes, int width, int features, int others, null):
        cdef Node* node
        cdef bytes name
        cdef int i
        self.width, self.features, self.others = width, features, others
        self.fills = null is not None
        self.null = null if self.fills else 0
        self.names = [each[0].encode() for each in nodes]
        self.nodes = <Node*>calloc(len(nodes), sizeof(Node))
        self.seen = <Py_ssize_t*>calloc(width + 1, sizeof(Py_ssize_t))
        if self.nodes == NULL or self.seen == NULL:
            raise MemoryError
        for i in range(<int>len(nodes)):
            node, each, name = &self.nodes[i], nodes[i], self.names[i]
            node.name, node.size = <const char*>name, len(name)
            node.first, node.count, node.slot = each[1], each[2], each[3]
            node.other, node.index, node.length = each[4], each[5], each[6]

    def __dealloc__(self):
        free(self.nodes)
        free(self.seen)
        free(self.places)

    def read(self, bytes batch):
        """The documents of a batch: (numbers, others) as ``reader.Block`` has them, up to that which `stopped` has.

        An element of the others is BSON's bytes, without its name; None where it is missing. ValueError for no BSON.
        """
        cdef Py_ssize_t size = len(batch), at = 0, rows = 0, done = 0, step = 0
        cdef int code = 0, i
        self.data = <const unsigned char*><const char*>batch
        while at < size:
            step = self.length(at, size)
            if step < 0:
                raise broken()
            at += step
            rows += 1
        numbers = np.empty((rows, self.width), np.float32)
        self.out = <float*>address(numbers, True) if self.width else NULL
        free(self.places)
        self.places = <Py_ssize_t*>calloc(2 * rows * self.others + 1, sizeof(Py_ssize_t))
        if self.places == NULL:
            raise MemoryError
        for i in range(self.width):
            self.seen[i] = -1
        with nogil:
            at = 0
            while done < rows:
                self.row, self.found = done, 0
                step = self.length(at, size)
                code = self.walk(at, size, self.nodes)
                if code == 0 and self.found < self.width:
                    code = self.fill()
                if code:
                    break
                at += step
                self.out += self.width
                done += 1
        if code == BROKEN:
            raise broken()
        if code == STOP:
            self.stopped = self.bad, batch[at:at + step]
        columns = []
        for i in range(self.others):
            column = np.empty(done, object)
            for at in range(done):
                step = 2 * (at * self.others + i)
                if self.places[step]:
                    kind, _, value = batch[self.places[step]:self.places[step + 1]].partition(b"\0")
                    column[at] = kind[:1] + value
            columns.append(column)
        return numbers[:done], columns

    cdef Py_ssize_t length(self, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
        """Of the document that begins here; -1 where none does."""
        if end - at < 5:
            return -1
        cdef Py_ssize_t size = int32(self.data + at)
        return size if 5 <= size <= end - at and self.data[at + size - 1] == 0 else -1

    cdef int walk(self, Py_ssize_t at, Py_ssize_t end, Node* parent) noexcept nogil:
        """Take what is wanted of the document, or array, that begins here."""
        cdef Py_ssize_t size = self.length(at, end), value, after, elements = 0
        cdef const unsigned char* stop
        cdef Node* node
        cdef int code
        if size < 0:
            return BROKEN
        end = at + size - 1
        at += 4
        while at < end:
            stop = <const unsigned char*>memchr(self.data + at + 1, 0, end - at - 1)
            if stop == NULL:
                return BROKEN
            value = stop - self.data + 1
            after = self.after(self.data[at], value, end)
            if after < 0:
                return BROKEN
            node = self.find(parent, <const char*>self.data + at + 1, value - at - 2)
            if node != NULL:
                if node.other >= 0:
                    self.places[2 * (self.row * self.others + node.other)] = at
                    self.places[2 * (self.row * self.others + node.other) + 1] = after
                code = self.take(node, self.data[at], value, after)
                if code:
                    return code
            elements += 1
            at = after
        return self.stop(parent) if parent.length >= 0 and elements != parent.length else 0

    cdef Node* find(self, Node* parent, const char* name, Py_ssize_t size) noexcept nogil:
        cdef int _i, place = parent.next
        cdef Node* node
        for _i in range(parent.count):
            node = &self.nodes[parent.first + place]
            place = place + 1 if place + 1 < parent.count else 0
            if node.size == size and memcmp(node.name, name, size) == 0:
                parent.next = place
                return node
        return NULL

    cdef Py_ssize_t after(self, int kind, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
        """Where the value of this kind ends that begins here; -1 where it does not end before `end`."""
        cdef Py_ssize_t size = 0
        cdef int _i
        cdef const unsigned char* stop
        if kind == REGEX:                       # two texts
            for _i in range(2):
                stop = <const unsigned char*>memchr(self.data + at + size, 0, end - at - size)
                if stop == NULL:
                    return -1
                size = stop - self.data + 1 - at
        elif kind == 0x7F or kind == 0xFF:      # the greatest and the least of all values
            return at
        elif kind == 0 or kind > DECIMAL128:
            return -1
        else:
            size = SIZES[kind]
        if size == c"l":
            if end - at < 4:
                return -1
            size = int32(self.data + at)
            if size < (5 if kind == DOCUMENT or kind == ARRAY else 0 if kind == BINARY else 1):
                return -1
            # A document's length counts itself; a text's does not, nor a binary's its subtype.
            if kind == BINARY:
                size += 5
            elif kind == POINTER:
                size += 16
            elif kind != DOCUMENT and kind != ARRAY and kind != CODE:
                size += 4
        return at + size if size <= end - at else -1

    cdef int take(self, Node* node, int kind, Py_ssize_t at, Py_ssize_t after) noexcept nogil:
        if kind == BSON_NULL or kind == UNDEFINED:
            return 0                            # as if it were missing
        if node.slot >= 0 and not self.number(node.slot, kind, at):
            return self.stop(node)
        if node.count == 0:
            return 0
        if kind == DOCUMENT and node.length < 0:
            return self.walk(at, after, node)
        if self.nodes[node.first].index >= 0:
            if kind == ARRAY:
                return self.walk(at, after, node)
            if kind == BINARY:
                return self.vector(node, at, after)
        # What is no document has no fields, so that they are missing; an array may have documents with them.
        return self.stop(node) if node.length >= 0 or kind == ARRAY else 0

    cdef int vector(self, Node* node, Py_ssize_t at, Py_ssize_t after) noexcept nogil:
        """Take elements of a vector: length, subtype, kind, bits that are left over, elements."""
        cdef int i, kind = self.data[at + 5] if after - at >= 7 and self.data[at + 4] == VECTOR else 0
        cdef int wide = 4 if kind == FLOAT32 else 1
        cdef Py_ssize_t elements = (after - at - 7) // wide
        cdef Node* element
        cdef float kept
        if ((kind != INT8 and kind != FLOAT32) or elements * wide != after - at - 7
                or (node.length >= 0 and elements != node.length)):
            return self.stop(node)
        for i in range(node.count):
            element = &self.nodes[node.first + i]
            if element.slot >= 0 and 0 <= element.index < elements:
                if kind == INT8:
                    kept = <signed char>self.data[at + 7 + element.index]
                else:
                    memcpy(&kept, self.data + at + 7 + 4 * element.index, 4)
                self.keep(element.slot, kept)
        return 0

    cdef void keep(self, int slot, float kept) noexcept nogil:
        self.out[slot] = kept
        if self.seen[slot] != self.row:         # as a name that comes twice has been
            self.seen[slot] = self.row
            self.found += 1

    cdef bint number(self, int slot, int kind, Py_ssize_t at) noexcept nogil:
        """Keep a number; false for what is none, and for a whole number in a target that float32 would round."""
        cdef double number
        cdef float kept
        cdef int64_t whole = 0
        cdef bint exact = slot >= self.features and kind != DOUBLE
        if kind == DOUBLE:
            memcpy(&number, self.data + at, 8)
        elif kind == INT32 or kind == INT64:
            if kind == INT32:
                whole = int32(self.data + at)
            else:
                memcpy(&whole, self.data + at, 8)
            number = <double>whole
        elif kind == BOOL:
            number = self.data[at] != 0
        elif kind != DECIMAL128:
            return False
        elif not decimal(self.data + at, &number):
            with gil:
                return self.long_decimal(slot, (<const char*>self.data + at)[:16])
        kept = <float>number
        if isinf(kept) and not isinf(number):
            return False
        if exact and not -16777216 <= number <= 16777216 and number == floor(number) and (
                kept != number or (kind == INT64 and (kept >= 9223372036854775808.0 or <int64_t>kept != whole))):
            return False
        self.keep(slot, kept)
        return True

    cdef bint long_decimal(self, int slot, bytes content):
        number = decimal_of(content, slot >= self.features)
        if number is None:
            return False
        self.keep(slot, <float><double>number)
        return True

    cdef int fill(self) noexcept nogil:
        """Fill what is missing in the row."""
        cdef int slot
        for slot in range(self.width):
            if self.seen[slot] != self.row:
                if not self.fills or slot >= self.features:
                    self.bad = slot
                    return STOP
                self.out[slot] = self.null
        return 0

    cdef int stop(self, Node* node) noexcept nogil:
        """What is said of a value: its number, or the first that it should have had within it, is not there."""
        while node.slot < 0 and node.count:
            node = &self.nodes[node.first]
        self.bad = node.slot
        return STOP if node.slot >= 0 else 0    # what is wanted as it is need be no number


cdef inline int32_t int32(const unsigned char* at) noexcept nogil:
    cdef int32_t value
    memcpy(&value, at, 4)
    return value


cdef bint decimal(const unsigned char* at, double* number) noexcept nogil:
    """Work out a decimal whose digits and power of ten float64 holds, for the nearest float64; false for others."""
    cdef uint64_t low, high
    memcpy(&low, at, 8)
    memcpy(&high, at + 8, 8)
    cdef int exponent = <int>(high >> 49 & 0x3FFF) - 6176
    if low >> 53 or high << 15 or exponent > 0 or exponent < -15 or (high >> 61 & 3) == 3:
        return False
    number[0] = <double>low / TENS[-exponent] * (-1 if high >> 63 else 1)
    return True


cdef object broken():
    return ValueError("MongoDB has sent a document that is no BSON; does something between change what it sends?")
