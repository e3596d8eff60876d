from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

cimport fastnn.kernels.types as types
from fastnn.kernels.kernel cimport Kernel, Numbers


cdef enum:
    LINE = 16                           # floats in a cache line


cdef inline Py_ssize_t padded(Py_ssize_t n) noexcept nogil:
    """n floats as whole cache lines."""
    return (n + LINE - 1) // LINE * LINE


cdef enum:
    ADDRESSES = 512                     # lines whose addresses are written at a time
    ADDRESS_SPACE = 1024                # floats of a thread's scratch that they take, 8 bytes each
    BLOCK_ROWS = 16                     # rows that go together, of most networks: see `block_rows` of an Arena
    # Operations, or what takes as long: of an optimizer's step for a parameter, of an activation or loss for a number.
    STEP_WORK = 32
    UNIT_WORK = 64
    TOGETHER_AS_BYTES = 48              # rows that are prepared for few bits at a time: whole tiles of all kernels
    ROUNDED_SPACE = 107856              # floats that products of rounded numbers work in (kernels/bfloat16.h)
    MOST_DEPTH = 65536                  # whose sums of bytes times int8 are below 2 ** 31


cdef struct Step:
    # What the ops of one batch need to know of it; each thread of the team has its own.
    Py_ssize_t rows                     # that lie in the ops' memory: the batch's, or those of a part of it
    Py_ssize_t first                    # row of the batch where that part begins
    Py_ssize_t batch                    # rows of the batch
    bint training
    long long number                    # of the optimizer's step, from 1
    uint64_t key                        # of this step's random numbers
    int thread                          # its number in the team
    float* scratch                      # of this thread, for one op at a time
    double penalty                      # what the weights' penalties count in this batch, times as given
    bint late                           # a gradient is left to be made with its step: see `find_late`
    bint linked                         # the other rows of the batch are other processes'
    int* error                          # 1 + number of an op that cannot go on, 0 while all is well


cdef struct Read:
    # What an op reads by one of its edges: rows of `lines` lines of `width` numbers.
    const float** rows                  # addresses of the rows
    Py_ssize_t lines
    Py_ssize_t width
    float* d                            # where the gradient by them goes, one block; NULL where nobody asks
    bint whole                          # they are int32 in this run, not float32: of an op that `reads_ids`
    bint sparse                         # the addresses are those of Entries in this run: of an op that `reads_sparse`


cdef inline Py_ssize_t lines_of(const Read* read, Py_ssize_t line, Py_ssize_t end, const float** space,
                                const float* const** addresses) noexcept nogil:
    """Addresses of the lines from number `line` on, up to `end`, and how many they are.

    Where a row is one line, the table of rows is itself the answer; else at most ADDRESSES of them go to `space`.
    """
    cdef Py_ssize_t n, row, k
    if read.lines == 1:
        addresses[0] = read.rows + line
        return end - line
    addresses[0] = space
    n = min(end - line, <Py_ssize_t>ADDRESSES)
    row, k = line // read.lines, line % read.lines
    for line in range(n):
        space[line] = read.rows[row] + k * read.width
        k += 1
        if k == read.lines:
            row, k = row + 1, 0
    return n


cdef inline Py_ssize_t lines_of_block(const float* block, Py_ssize_t width, Py_ssize_t line, Py_ssize_t end,
                                      const float** addresses) noexcept nogil:
    """The same of lines that lie one behind the other."""
    cdef Py_ssize_t n = min(end - line, <Py_ssize_t>ADDRESSES), i
    for i in range(n):
        addresses[i] = block + (line + i) * width
    return n


cdef inline bint in_training(const Step* step, int training) noexcept nogil:
    """Whether an op with that `training` works as in training, in this step."""
    return step.training if training == 0 else training > 0


cdef enum Before:
    # When the processes of a job give one another what an op reads of rows that are not theirs.
    BEFORE_FORWARD                      # `whole_forward`
    BEFORE_BACKWARD                     # `whole_backward`
    BEFORE_GRADIENT


cdef enum:
    MOST_SHARED = 8


cdef struct Shared:
    # Such numbers: of each of the op's rows, or of each block of rows.
    float* at                           # NULL for what source number `size` gives
    Py_ssize_t size
    bint blocks


cdef enum:
    BUCKETS = 64                        # of a table's rows by their hashes, which threads share


cdef struct Touched:
    # Rows of a table that a batch touches, in the order in which they are met, and the sums of their gradients.
    Py_ssize_t count
    int32_t* rows
    float* sums                         # (count, depth)
    int32_t* places                     # by hash: 1 + the place in `rows` of a row that has it, or had none free before
    int shift                           # from a hash to where it is looked for
    uint32_t first                      # of the buckets, whose rows are noted, and the end
    uint32_t last


cdef inline uint32_t hash_of(Py_ssize_t row) noexcept nogil:
    return <uint32_t>row * <uint32_t>2654435769


cdef inline float* touched_row(Touched* to, Py_ssize_t row, Py_ssize_t depth) noexcept nogil:
    """Where the gradients of a row are added up."""
    cdef uint32_t at = hash_of(row) >> to.shift, mask = <uint32_t>0xFFFFFFFF >> to.shift
    while to.places[at]:
        if to.rows[to.places[at] - 1] == row:
            return to.sums + (to.places[at] - 1) * depth
        at = (at + 1) & mask
    to.rows[to.count] = <int32_t>row
    to.count += 1
    to.places[at] = <int32_t>to.count
    memset(to.sums + (to.count - 1) * depth, 0, depth * sizeof(float))
    return to.sums + (to.count - 1) * depth


cdef class Op:
    cdef readonly Py_ssize_t read_count
    cdef readonly Py_ssize_t inputs     # numbers in a row of all that it reads
    cdef readonly Py_ssize_t lines      # in a row that it gives
    cdef readonly Py_ssize_t width      # numbers in a line
    cdef readonly Py_ssize_t units      # numbers in a row: lines times width
    cdef readonly Py_ssize_t size       # parameters
    cdef readonly Py_ssize_t row_size   # parameters come in whole multiples of this
    cdef readonly bint whole_batch      # it must see all rows of the batch before any goes on
    cdef readonly bint takes_gil        # it runs Python: its network works on one thread
    cdef readonly bint random           # its rows depend on chance while training
    cdef readonly bint reads_ids        # it takes int32 as well: see `whole` of Read
    cdef readonly bint reads_sparse     # it takes rows of Entries as well: see `sparse` of Read
    cdef readonly bint commits          # it has something to do once a batch is accepted
    cdef readonly Py_ssize_t held_rows  # whose states it keeps from batch to batch, in runs that do not train too, or 0
    cdef bint scatters                  # its gradient goes through the batch, however few parameters it is for
    cdef readonly bint knows_rows       # it has `row_squares`
    cdef readonly bint forward_only     # its weights are quantised: it has no gradients
    cdef types.vector32 dot             # of such an op
    cdef readonly bint steady           # what it gives has no slope: no gradient goes through it
    cdef readonly Py_ssize_t start      # where the parameters begin in the flat vector
    cdef readonly bint frozen           # the parameters do not learn
    cdef public Py_ssize_t slices       # rows of the op in a row of the network
    cdef public bint tapped             # the gradient by what it gives is asked for: see `slopes` of Arena
    cdef bint rounds                    # products of numbers rounded to bfloat16
    cdef bint shares_columns            # it has `forward_columns`, and columns enough for threads
    cdef public int training            # it works as in training: 1 in each run, -1 in none, 0 as the run says
    cdef Py_ssize_t number              # place in the network
    cdef Py_ssize_t block_rows          # rows of the op in a block of the network's

    # Set by the network; the buffers have room for the largest batch.
    cdef Read* reads
    cdef float* z                       # what `saved` asked for, (batch, saved)
    cdef float* state                   # what `state_size` asked for, of each thread
    cdef Py_ssize_t state_stride        # from one thread's to the next
    cdef float* parts                   # what `partials` asked for, of each block of rows; NULL where nobody learns
    cdef float* a                       # rows given, (batch, lines, width)
    cdef float* d                       # gradient by a; backward turns it into the gradient by z
    cdef float* w
    cdef float* g

    cdef int shape(self, sources, Py_ssize_t lines, Py_ssize_t width) except -1
    cdef Py_ssize_t saved(self) noexcept
    cdef Py_ssize_t state_size(self) noexcept
    cdef Py_ssize_t scratch_size(self) noexcept
    cdef Py_ssize_t partials(self) noexcept
    cdef double work_of_row(self) noexcept
    cdef double work_of_gradient(self) noexcept
    cdef int placed(self, Py_ssize_t rows) except -1
    cdef int shared(self, Before when, Shared* to) noexcept
    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil
    cdef void forward_columns(self, const Step* step, Py_ssize_t rows, Py_ssize_t c0, Py_ssize_t c1) noexcept nogil
    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil
    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil
    cdef void blocks_forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil
    cdef void whole_forward(self, const Step* step) noexcept nogil
    cdef void blocks_backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil
    cdef void whole_backward(self, const Step* step) noexcept nogil
    cdef void touch(self, const Step* step, Touched* to) noexcept nogil
    cdef void* product_kernel(self, str name, str signature=*) except NULL
    cdef Py_ssize_t workspace_for(self, Py_ssize_t n, Py_ssize_t k) noexcept nogil
    cdef int take_products(self) except -1
    cdef int round_products(self, bint rounds) except -1
    cdef int know_rows(self) except -1
    cdef void row_squares(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1, double* squares) noexcept nogil
    cdef void commit(self, const Step* step) noexcept nogil
    cdef object explain(self)
    cdef double gradient_bound(self, const Step* step) noexcept nogil
    cdef int reserve_late(self, int threads, Py_ssize_t items) except -1
    cdef Py_ssize_t begin_late(self, const Step* step, Py_ssize_t first, Py_ssize_t last) noexcept nogil
    cdef void late_gradient(self, const Step* step, Py_ssize_t part, Py_ssize_t rows, float* g) noexcept nogil


cdef class Activated(Op):
    cdef readonly Kernel kernel
    cdef Numbers numbers
    cdef bint raw                       # the loss applies the activation: leave it out
    cdef bint fused                     # the loss of this output applies the activation in a run that needs the loss
    cdef bint in_place                  # the activation works where z lies
    cdef bint by_number                 # there, and on each number by itself
    cdef bint of_lines                  # the activation of a number depends on those beside it
    cdef types.activation_forward32 activation_forward
    cdef types.activation_backward32 activation_backward

    cdef int only_forward(self) except -1
    cdef void find_place(self) noexcept
    cdef Py_ssize_t numbers_in(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil
    cdef void activate(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil
    cdef void deactivate(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil


cdef class FewBits:
    cdef readonly object packed
    cdef object arrays
    cdef Py_ssize_t depth
    cdef Py_ssize_t columns
    cdef Py_ssize_t stride              # bytes of a row that is prepared
    cdef Py_ssize_t item                # of one of its numbers
    cdef Py_ssize_t workspace           # floats
    cdef bint is_int8
    cdef types.Int8 w
    cdef float range[2]
    cdef bint fixed
    cdef bint brain
    cdef const uint16_t* halves
    cdef types.quantize32 quantize
    cdef types.int8_multiply32 multiply_rows
    cdef types.widen32 widen
    cdef types.half_row32 one_row
    cdef types.gemm32 matmul

    cdef Py_ssize_t space(self) noexcept nogil
    cdef void prepare(self, const float* x, Py_ssize_t n, void* out, Py_ssize_t size, types.Int8Row* row
                      ) noexcept nogil
    cdef void product(self, const void* x, const types.Int8Row* rows, Py_ssize_t m, const float* init, float* c,
                      Py_ssize_t c_stride, float* workspace) noexcept nogil
    cdef void multiply(self, const float* const* x, Py_ssize_t first, Py_ssize_t m, const float* init, float* c,
                       Py_ssize_t c_stride, float* space) noexcept nogil


cdef class DenseOp(Activated):
    cdef readonly bint use_bias
    cdef FewBits quantized              # in place of W, or None
    cdef types.gemm32 matmul
    cdef types.gemm32 matmul_transposed_a
    cdef types.gemm32 matmul_transposed_b
    cdef types.sum32 column_sums
    cdef types.vector32 largest
    cdef types.sparse_forward32 multiply_sparse
    cdef types.sparse_gradient32 gradient_of_sparse
    cdef types.sparse_items32 gradient_of_items
    cdef types.Item* items              # of each thread: a batch's numbers, by the part of W that they are for
    cdef Py_ssize_t* item_ends          # of each thread: where those of a part end, from the one before its first on
    cdef Py_ssize_t most_items          # that a thread has room for
    cdef int most_threads

    cdef int part_shift(self) noexcept nogil
    cdef Py_ssize_t ends_of_thread(self) noexcept nogil


cdef class ActivationOp(Activated):
    pass
