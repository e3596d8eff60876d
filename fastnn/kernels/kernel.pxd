cdef enum:
    MAX_NUMBERS = 12                    # the most numbers that a unit hands to its kernel
    FUNCTIONS = 3                       # the most that a kernel has
    # Of products whose B is large, measured on widths of 512 to 4096 with 1 MiB of L2. Steps of k in one go, so that a
    # panel of B stays near; rows of C, a multiple of a tile's, for which strips of A are copied together, and from how
    # many columns of B on that pays.
    PACK_DEPTH = 512
    PACK_A_ROWS = 516
    PACK_A_COLUMNS = 512
    # A.Bt of up to so many columns, and of so many steps of k, lays vectors along k: B need not be turned.
    MOST_DOTS = 192
    DOTS_DEPTH = 256
    # Multiplications and additions that take as long as a number of a large matrix to read.
    READ_WORK = 8

# The places of a kernel's functions. Of batch normalisation they are moments, backward and sums.
cdef enum:
    FORWARD, BACKWARD, GRADIENT
    MOMENTS = 0, SUMS = 2

# What a loss may be beside the usual: see the attributes of a Kernel.
cdef enum:
    LABELS = 1
    PAIRS = 2
    WHOLE = 4


cdef class Kernel:
    cdef readonly str name
    cdef readonly str signature         # the family, which says what its functions take (types.pxd)
    cdef void* float32[FUNCTIONS]
    cdef void* float64[FUNCTIONS]       # of the baseline's kernel of this name; NULL until it is asked for
    cdef void* size                     # an optimizer's slot_count, an accumulator's state_size
    # A merge; whether pooling takes the largest; lanes of planes; whether tiles pay; whether a may be where z was.
    cdef readonly int variant
    cdef readonly bint labels           # of a loss: y holds one class number for each row
    cdef readonly bint pairs            # two outputs go with one target
    cdef readonly bint whole            # the value belongs to all rows of a batch together: a call must have them all


cdef void* float32_of(Kernel kernel, str signature, int place=*) except NULL
cdef void* float64_of(Kernel kernel, str signature, int place=*) except NULL

# A kernel of one function, or of several, under its name in a dict. With their addresses as they are, and texts of C,
# they are called 300 times in half the code that objects would take.
cdef int make(dict made, const char* name, const char* signature, int kind, void* function, void* function64,
              void* size) except -1
cdef int make_several(dict made, const char* name, const char* signature, int variant, void* first, void* first64,
                      void* second, void* second64, void* third, void* third64) except -1


cdef inline Py_ssize_t workspace_elements(Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    """Elements of workspace that a multiply of n columns and depth k may use, with any instruction set."""
    cdef Py_ssize_t panel = 32 * max(k, <Py_ssize_t>PACK_DEPTH)
    cdef Py_ssize_t strips = PACK_A_ROWS * PACK_DEPTH + PACK_DEPTH * sizeof(void*) // sizeof(float)
    return max(panel, 2 * 32 * <Py_ssize_t>PACK_DEPTH + strips) if n >= PACK_A_COLUMNS else panel


cdef inline Py_ssize_t penalty_workspace(Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    """Elements of workspace that a matrix penalty uses: two copies of the matrix, and a number for each vector."""
    return 2 * rows * columns + max(rows, columns)


cdef list doubles(values)


cdef class Numbers:
    cdef double values[MAX_NUMBERS]
