# What a Lock and an Arena hold: network.pxd includes it.

cdef class Lock:
    cdef readonly unsigned long long number     # in the order in which locks were made
    cdef public int runs                        # networks that run in the thread that holds it
    cdef readonly long long writes              # of weights, by others than the networks
    cdef unsigned long owner                    # that thread, 0 for none
    cdef int depth                              # how often it has taken it
    cdef int forks                              # before it was last taken
    cdef int asked                              # how many wait; without the GIL too
    cdef list waiting                           # (a lock of Python's that is held, the thread) in their order

    cdef int acquire(self) except -1
    cdef int release(self) except -1
    cdef int wait(self, unsigned long me) except -1


cdef struct Segment:
    # Ops first:last that a thread takes its rows through together, so many rows at a time.
    Py_ssize_t first
    Py_ssize_t last
    Py_ssize_t rows
    bint whole                          # the first is a whole-batch op: all threads wait for one another before it


cdef class Arena:
    cdef readonly tuple ops
    cdef readonly tuple sources         # of each op: i for op i's output, -1 - k for input k
    cdef readonly tuple input_widths
    cdef readonly tuple outputs         # places of the ops whose outputs the network gives
    cdef readonly tuple added_places    # of the ops whose outputs add something to the loss
    cdef readonly tuple masks           # of each output: the place of its mask, or None
    cdef readonly object parameters
    cdef readonly Py_ssize_t inputs     # numbers in a row of all inputs
    cdef readonly Py_ssize_t units      # numbers in a row of all outputs
    cdef public uint64_t seed           # of dropout's random numbers
    cdef str precision                  # of products: "float32", "bfloat16", or None: the process's
    cdef bint rounds                    # products to bfloat16, as things are
    cdef int precision_seen             # which change of the process's precision the ops have followed

    cdef Py_ssize_t count
    cdef void** op_list                 # the ops again, for code without the GIL
    cdef float* w
    cdef double row_work                # operations of a row's way forward through all ops
    cdef Py_ssize_t row_units           # numbers in a row of all ops' outputs
    cdef Py_ssize_t row_multiplies      # multiplications of a number by a parameter on that way
    # Rows of a block, which is one thread's, and whose losses are added up together: fewer where a row is much work, so
    # that a small batch has enough blocks for all threads. A power of two.
    cdef readonly Py_ssize_t block_rows
    cdef int block_shift
    cdef Segment* segments
    cdef Py_ssize_t segment_count
    cdef Py_ssize_t most_rows           # that a thread takes through all segments in a prediction
    cdef readonly Py_ssize_t glance     # rows between two looks at the clock
    cdef bint random                    # the rows of some op depend on chance
    cdef readonly bint draws            # in each run, not in training alone
    cdef uint64_t drawn                 # how many runs without training have drawn
    cdef readonly Py_ssize_t fixed_rows  # that every batch has, since some op keeps their states; 0: any number
    cdef readonly bint takes_gil        # some op, loss or metric runs Python
    cdef int threads                    # of the team, in the run that holds the lock
    cdef ThreadTuner fit_tuner
    cdef ThreadTuner forward_tuner
    cdef ThreadTuner column_tuner
    cdef Py_ssize_t scratch_size        # floats of one thread
    cdef int scratches                  # threads that there is scratch for
    cdef bint lean                      # not for all ops: for those that did not read sparse rows yet
    cdef object scratch_array
    cdef float* scratch

    cdef object arena                   # the activations
    cdef Py_ssize_t capacity            # rows that it has room for
    cdef Py_ssize_t gradient_capacity   # rows whose gradients it has room for
    cdef int thread_capacity            # threads whose states it has room for
    cdef const float** addresses        # of rows: each input's, each op's output, and of edges that read other slices
    cdef Py_ssize_t input_count
    cdef Input* given                   # each input
    cdef readonly bint all_ids          # all that read the inputs look up ids
    cdef bint whole                     # ids are int32 in this run
    cdef object collected_array
    cdef float* collected               # (capacity, inputs): rows that are not read where they lie
    cdef Py_ssize_t collected_size
    cdef bint sparse_page               # of this run
    cdef bint expands                   # it is made dense in this run, whatever reads it
    cdef Py_ssize_t collected_width     # numbers in a row of those; fewer than inputs, of a sparse page
    cdef types.Entries* entries               # of each input, (entry_rows,)
    cdef Py_ssize_t entry_rows
    cdef const float* zeros             # a row of them

    # An op's place among the sources of all ops is an edge.
    cdef list edges                     # (op, place among its sources) in the order of the ops
    cdef list readers                   # of each op: the edges, or ~output, ~(outputs + added), that take its output
    cdef list wants                     # of each op: whether a gradient by its output is needed
    cdef bint* wanted                   # the same
    cdef float** extra_d                # an op with n readers has n - 1 gradients beside d, to be added to it
    cdef Py_ssize_t* extra_starts       # of each op, in extra_d; and the end
    cdef Py_ssize_t* output_places
    cdef Py_ssize_t output_count
    cdef float** output_d               # where the gradient by each output and added loss goes, NULL where nobody asks
    cdef types.vector32 add

    cdef readonly Lock lock             # of the parameters, which other networks may share
    cdef bint running                   # in the thread that holds it
    cdef bint linked                    # to other processes, in this run
    cdef bint flushes                   # denormals, while it runs
    cdef unsigned long long float_state  # of that thread, from before
    cdef object pending
    cdef object progress
    cdef double next_tick
    cdef bint rewritten                 # others have written weights meanwhile: the batch begins anew
    cdef int error                      # 1 + number of an op that could not go on

    @cython.final
    cdef inline Py_ssize_t blocks_in(self, Py_ssize_t rows) noexcept nogil:
        return (rows + self.block_rows - 1) >> self.block_shift

    cdef int take_precision(self) except -1
    cdef int find_parameters(self, parameters, starts) except -1
    cdef int find_edges(self) except -1
    cdef int find_block_rows(self) except -1
    cdef int find_segments(self) except -1
    cdef int ask_for_gradients(self, frozen) except -1
    cdef Py_ssize_t extra_space(self, Py_ssize_t rows)
    cdef float* take_extra(self, float* space, Py_ssize_t rows)
    cdef object row_floats(self, bint gradients)
    cdef int reserve(self, Py_ssize_t rows, bint gradients) except -1
    cdef int reserve_scratch(self, int threads) except -1
    cdef int reserve_rows(self, const Rows* rows) except -1
    cdef int reserve_sparse(self, const Rows* rows) except -1
    cdef void end_sparse(self) noexcept
    cdef float* reserve_op(self, Op op, float* space, Py_ssize_t rows, Py_ssize_t gradient_rows)
    cdef const float** place_rows(self, Py_ssize_t rows, const float** addresses) except NULL
    cdef int place_gradients(self) except -1
    cdef int enter(self) except -1
    cdef int leave(self) except -1
    cdef bint tick(self, Py_ssize_t done, double loss) noexcept nogil
