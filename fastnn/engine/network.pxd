cimport cython
cimport fastnn.kernels.types as types
from fastnn.engine.lines cimport Bounds
from fastnn.engine.ops cimport Before, Op, Step, Touched
from fastnn.engine.rows cimport Input, Rows
from fastnn.engine.thread_tuner cimport ThreadTuner
from fastnn.kernels.kernel cimport Kernel, MAX_NUMBERS, Numbers
from fastnn.kernels.team cimport Job
from libc.stdint cimport uint8_t, uint32_t, uint64_t


include "arena_fields.pxi"
include "objectives_fields.pxi"


cdef struct AddedLoss:
    # What an op's output adds to the loss: numbers of its rows, each weighed, or a function of all of them.
    void* op
    void* python                        # the function, or NULL
    double total_weight                 # of the sum, of that of magnitudes, of that of squares
    double l1
    double l2
    bint mean                           # divided by the rows of the batch
    Py_ssize_t units                    # in a row
    double total                        # of the run's rows
    double total_before                 # the same before the batch that is under way


cdef class AddedLosses(Objectives):
    cdef readonly tuple added           # as they were described
    cdef AddedLoss* added_losses
    cdef Py_ssize_t added_count
    cdef bint adds_by_batch             # what some of them add hangs on how rows are cut into batches
    cdef double* added_parts            # sums of blocks of rows, of each
    cdef types.penalty32 penalty

    @cython.final
    cdef void add_to_losses(self, Py_ssize_t k, Py_ssize_t count, Py_ssize_t r0, Py_ssize_t r1,
                            bint slopes) noexcept nogil

    @cython.final
    cdef void ask_function(self, Py_ssize_t k, Py_ssize_t count, bint slopes) noexcept nogil

    @cython.final
    cdef double sum_of_added(self, Py_ssize_t k, Py_ssize_t count, double total=*) noexcept nogil


cdef enum:
    GROUP = 16384                       # parameters whose gradient is made in one go, to stay in cache
    SCATTERED = 1048576                 # the same of an op that `scatters`


cdef enum Barrier:
    # Where the threads of the team wait for one another; what each must have done before is
    ROWS                                # its rows, forward and back
    SUMS                                # its share of a whole-batch op or loss
    PENALTIES                           # its penalties of whole matrices
    GRADIENTS                           # the gradients of its parameters, and their check
    SQUARES                             # the squares of these, for clipping by a norm
    STEPS                               # its gradients clipped, where a step takes whole variables
    WEIGHTS                             # its steps, where constraints follow
    PARAMETERS                          # all that changes its parameters


cdef struct Variable:
    # A parameter that learns, start:stop of the flat vector.
    Py_ssize_t start
    Py_ssize_t stop
    Py_ssize_t first_block
    Py_ssize_t block_stop
    double l1
    double l2
    bint decays
    bint sparse                         # the rows alone step that a batch touches
    double decay                        # of its own, or -1
    Py_ssize_t columns                  # as a matrix
    Py_ssize_t rows                     # its last two axes, as a step of the whole reads it: a vector is one row
    Py_ssize_t row_size
    bint matrix                         # which of its two ways an optimizer takes
    types.matrix_penalty32 penalty      # or NULL
    double penalty_numbers[MAX_NUMBERS]
    float* slopes                       # of that penalty, and its workspace; of one in Python; or NULL
    double value
    types.constraint32 constraint       # or NULL
    double constraint_numbers[MAX_NUMBERS]
    const uint8_t* mask                 # 0 where a number stays 0, else 1; or NULL


cdef struct Block:
    # Parameters p0:p1 of an op, as the team shares them out; no more than one variable's.
    Py_ssize_t op
    Py_ssize_t p0
    Py_ssize_t p1
    Py_ssize_t start                    # where p0 lies in the flat vector
    Py_ssize_t before                   # parameters of all blocks before it
    double work_before                  # operations of their gradients, for each row
    Py_ssize_t variable
    bint joined                         # it follows the block before it without a gap but padding
    Py_ssize_t padding                  # numbers behind it that belong to nobody: a step over them is no harm


cdef struct Piece:
    # Blocks of one op that follow one another, and after the last of those without a gap but padding: all of them.
    void* op
    Py_ssize_t p0
    Py_ssize_t p1
    Py_ssize_t start                    # where those without a gap begin in the flat vector, and how many they are
    Py_ssize_t n


cdef types.vector32 vector_of(Kernel kernel) except NULL


cdef class Learning(AddedLosses):
    cdef readonly object gradients
    cdef public long long iterations    # batches that were accepted
    cdef public object owned_by         # the trainer that set the objectives and the optimizer last
    cdef float* g
    cdef readonly Py_ssize_t part_rows  # of a batch, that go forward, back and into the gradients together; 0: all
    cdef bint apart                     # all ops have a gradient beside `gradients`, to be added
    cdef bint by_rows                   # each row is a part of the batch, and its whole gradient is clipped
    cdef list shared_gradients          # those, and of ops that share their parameters with one before them
    cdef void** next_shared             # of each op: the next one that has the same parameters, or NULL

    cdef Variable* variables
    cdef Py_ssize_t variable_count
    cdef Py_ssize_t* given_order        # of the variables as they were given: their numbers in `variables`
    cdef Block* blocks
    cdef Py_ssize_t block_count
    cdef Piece* pieces                  # of the blocks; NULL unless a network is small, with a gradient for each op
    cdef Py_ssize_t piece_count
    cdef Py_ssize_t own_first           # of the blocks, those that this process has: all, unless it is linked to others
    cdef Py_ssize_t own_stop
    cdef Py_ssize_t table_count         # variables that are `sparse`
    cdef bint sparse                    # in this run, in which these have no blocks
    cdef Py_ssize_t learnt              # parameters of all blocks
    cdef double gradient_work           # operations of all their gradients, for each row
    cdef public double penalty_rows     # rows of a batch, or their weights, for which penalties count as given, or 0
    cdef bint has_penalties
    cdef bint has_matrix_penalties
    cdef bint has_constraints
    cdef list kept_matrices             # slopes of matrix penalties
    cdef double* penalty_parts          # of each block
    cdef double* squares                # of each block's gradient
    cdef types.penalty32 penalty
    cdef Py_ssize_t late_variable       # whose gradient may be made with its steps, in this run, or -1; and its op
    cdef Py_ssize_t late_op
    cdef int not_finite                 # whether a gradient of the last batch is not

    cdef public int huge                # whether a gradient was, since the optimizer was set
    cdef types.vector32 largest

    cdef Barrier delayed_barrier        # of a test: a thread that is late after one of the barriers, by so many seconds
    cdef int delayed_thread
    cdef readonly int delays             # how often it was
    cdef double delay

    cdef int find_part_rows(self) except -1
    cdef int set_gradients_apart(self) except -1
    cdef int find_shared(self) except -1
    cdef int add_variable(self, Variable* variable, description) except -1
    cdef double work_of(self, Op op) noexcept
    cdef int cut_into_blocks(self, variables) except -1
    cdef int find_pieces(self) except -1
    cdef int clear_variables(self) except -1
    cdef void wait_for_all(self, Barrier number, int thread, int threads) noexcept nogil

    @cython.final
    cdef inline void wait(self, Barrier number, int thread, int threads) noexcept nogil:
        """Wait until all threads are at this barrier."""
        if threads > 1 or self.linked:
            self.wait_for_all(number, thread, threads)

    @cython.final
    cdef inline bint is_late(self, const Step* step, Py_ssize_t block) noexcept nogil:
        return step.late and self.blocks[block].variable == self.late_variable

    cdef Py_ssize_t first_block(self, Py_ssize_t rows, int thread, int threads) noexcept nogil

    @cython.final
    cdef double work_before(self, Py_ssize_t block, Py_ssize_t rows) noexcept nogil

    @cython.final
    cdef Py_ssize_t group_size(self, Py_ssize_t op, Py_ssize_t rows) noexcept nogil

    @cython.final
    cdef void find_gradients(self, const Step* step, Py_ssize_t block, Py_ssize_t stop, int thread,
                             int threads) noexcept nogil

    @cython.final
    cdef Py_ssize_t find_gradient(self, const Step* step, Py_ssize_t block, Py_ssize_t stop) noexcept nogil

    @cython.final
    cdef void own_gradient(self, const Step* step, Py_ssize_t n, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil

    @cython.final
    cdef void add_shared_gradients(self, const Step* step, Py_ssize_t n, Py_ssize_t p0, Py_ssize_t p1,
                                   float* g) noexcept nogil
    cdef double penalise(self, Py_ssize_t block, double scale) noexcept nogil
    cdef void penalise_matrices(self, int thread, int threads) noexcept nogil
    cdef void constrain(self, int thread, int threads) noexcept nogil
    cdef void hide(self, const Variable* variable, Py_ssize_t first, Py_ssize_t stop) noexcept nogil
    cdef double sum_of_penalties(self) noexcept nogil
    cdef double over_blocks(self, const double* parts, const Variable* variable) noexcept nogil


include "touched_fields.pxi"


cdef enum:
    CLIPPED = 16                        # rows whose gradients' norms are found together
    MAX_SLOTS = 6                       # an optimizer's four, the gradients' sum, the weights' average


cdef class Stepping(SparseLearning):
    cdef readonly list slots
    cdef bint has_optimizer
    cdef types.step32 optimizer
    cdef types.step64 wide_optimizer    # takes its place once a gradient was huge
    cdef types.whole_step32 whole_step  # of an optimizer that takes whole variables, in place of these two
    cdef types.whole_step32 wide_whole_step
    cdef types.workspace_size workspace
    cdef bint decays_apart              # some variables have a weight decay of their own
    cdef Numbers optimizer_numbers
    cdef float* slot_list[MAX_SLOTS]
    cdef int slot_count                 # the optimizer's own
    cdef float* sum_of_gradients        # NULL without accumulation
    cdef float* average                 # of the weights, or NULL
    cdef long long accumulation         # batches whose gradients make one step
    cdef double weight_decay
    cdef double clip_value              # these three: 0 for no clipping
    cdef double clip_norm
    cdef double clip_global_norm
    cdef double row_clip                # of each row's gradient, 0 for none; and the noise, times that
    cdef double row_noise
    cdef types.noise32 noise
    cdef double average_momentum
    cdef long long overwrite            # steps after which the average replaces the weights, 0 for never
    cdef types.vector32 take_mean
    cdef types.vector32 clip
    cdef types.vector32 scale
    cdef types.vector32 decay
    cdef types.vector32 take_average

    cdef int find_workspace(self) except -1
    cdef int find_late(self, const Rows* rows, Py_ssize_t batch) except -1

    @cython.final
    cdef void step_late(self, const Step* step, double rate, Py_ssize_t block, Py_ssize_t stop) noexcept nogil
    cdef void take_steps(self, const Step* step, double rate, Py_ssize_t first, Py_ssize_t stop, int thread,
                         int threads) noexcept nogil

    @cython.final
    cdef void clip_rows(self, const Step* step, Py_ssize_t r0, Py_ssize_t stop) noexcept nogil

    cdef bint knows_rows(self) noexcept

    @cython.final
    cdef void clip_row(self, const Step* step, Py_ssize_t first, Py_ssize_t stop, int thread,
                       int threads) noexcept nogil

    @cython.final
    cdef void add_noise(self, const Step* step, Py_ssize_t first, Py_ssize_t stop) noexcept nogil

    @cython.final
    cdef void accumulate(self, Py_ssize_t first, Py_ssize_t stop, bint last) noexcept nogil

    @cython.final
    cdef double factor(self, const Variable* variable, double of_all) noexcept nogil

    @cython.final
    cdef double decay_of(self, const Variable* variable) noexcept nogil

    @cython.final
    cdef void shrink(self, Py_ssize_t block, Py_ssize_t stop, double rate, double of_all) noexcept nogil

    @cython.final
    cdef void follow(self, const Step* step, Py_ssize_t start, Py_ssize_t n) noexcept nogil

    @cython.final
    cdef void step_touched(self, const Step* step, double rate, double of_all, int thread) noexcept nogil

    @cython.final
    cdef void update_rows(self, const Step* step, double rate, Py_ssize_t start, Py_ssize_t n,
                          Py_ssize_t depth) noexcept nogil

    @cython.final
    cdef double number_of(self, const Step* step) noexcept nogil

    @cython.final
    cdef void update_whole(self, const Step* step, double rate, int thread, int threads) noexcept nogil

    @cython.final
    cdef void update(self, const Step* step, double rate, Py_ssize_t start, Py_ssize_t n, float* g) noexcept nogil


cdef class PythonUnits(Stepping):
    cdef list python_penalties          # (number of the variable, function of its weights)
    cdef list python_constraints
    cdef bint has_python_penalties
    cdef bint has_python_constraints

    cdef object weights_of_variable(self, const Variable* variable)
    cdef int copy_given(self, float* to, given, const Variable* variable, unit, str what) except -1
    cdef int ask_penalties(self) noexcept
    cdef int ask_constraints(self) noexcept


# How a run ended.
cdef enum Outcome:
    DONE
    PAUSED                              # a slice of it is over
    STOPPED                             # an exception waits in self.pending
    NOT_FINITE                          # the loss of a batch, or its gradient, is NaN or infinite
    FAILED                              # an op could not go on


cdef struct Run:
    # A job for the team: a page of rows to fit, to evaluate or to predict.
    void* network
    Rows rows
    Py_ssize_t batch                    # rows of a batch; 0: as many as go through the ops together
    Py_ssize_t part                     # rows of a fit's batch that lie in memory at once
    Py_ssize_t within                   # row of the batch where those that are under way begin
    bint by_thread                      # `batch` are rows of each thread
    bint by_columns                     # threads share columns: see ColumnRunner
    double weight                       # of a row beside those of other runs, for the thread tuner
    double learning_rate
    const double* rates                 # a learning rate for each batch, or NULL
    bint trains                         # it is a fit's
    bint update                         # new weights, not the gradient alone
    bint commit                         # the ops that follow something take note of each batch
    uint64_t noise                      # number of the noise of a run without updates
    bint in_training                    # it predicts what training would: one batch, on one thread
    float* mean                         # of such a run: its batches' mean gradient, NULL where there is one batch
    Py_ssize_t first                    # row of the first batch
    float* out                          # of a prediction
    double loss                         # sum over the rows
    double slice_end                    # the time at which to pause
    Py_ssize_t glance                   # rows after which to look at the clock
    Py_ssize_t looked                   # the row at which it was looked at
    int restarts                        # because the weights were written meanwhile
    int outcome                         # an Outcome; a thread may set it while others look


cdef void fit_thread(void* argument, int thread, int threads) noexcept nogil
cdef void forward_thread(void* argument, int thread, int threads) noexcept nogil


include "linking_fields.pxi"


cdef void columns_thread(void* argument, int thread, int threads) noexcept nogil


cdef class ColumnRunner(Linked):
    cdef double work_in_columns(self, Py_ssize_t rows) noexcept

    cdef void forward_by_columns(self, Run* job, int thread, int threads) noexcept nogil


cdef class Runner(ColumnRunner):
    cdef Step new_step(self, bint training, int thread) noexcept nogil
    cdef bint begins_anew(self, Run* job) noexcept nogil
    cdef void run_in_slices(self, Job work, Run* job, ThreadTuner* tuner) noexcept nogil
    cdef void fit_rows(self, Run* job, int thread, int threads) noexcept nogil
    cdef void forward_rows(self, Run* job, int thread, int threads) noexcept nogil

    @cython.final
    cdef void average_gradients(self, const Run* job, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t block,
                                Py_ssize_t stop) noexcept nogil

    @cython.final
    cdef void forward(self, const Step* step, Py_ssize_t first, Py_ssize_t last, Py_ssize_t r0,
                      Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void gather(self, Py_ssize_t i, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void backward(self, const Step* step, Py_ssize_t first, Py_ssize_t last, Py_ssize_t r0,
                       Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef bint goes_on(self, Run* job) noexcept nogil

    @cython.final
    cdef void rows_phase(self, Run* job, const Step* step, Py_ssize_t r0, Py_ssize_t stop, int thread,
                         int threads) noexcept nogil

    @cython.final
    cdef void segment_phase(self, Run* job, const Step* step, Py_ssize_t number, bint forwards, bint backwards,
                            Py_ssize_t r0, Py_ssize_t stop, int thread) noexcept nogil

    @cython.final
    cdef bint is_plain(self, const Run* job, int threads) noexcept nogil

    @cython.final
    cdef void plain_gradients(self, const Step* step) noexcept nogil

    @cython.final
    cdef void plain_steps(self, const Step* step, double rate) noexcept nogil

    @cython.final
    cdef void commit(self, const Step* step, bint states_alone) noexcept nogil

    @cython.final
    cdef void forward_segments(self, const Step* step, Py_ssize_t r0, Py_ssize_t stop) noexcept nogil

    @cython.final
    cdef void blocks_of(self, const Step* step, Py_ssize_t number, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void copy_out(self, float* out, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void look_up(self, Run* job) noexcept nogil


cdef struct Passes:
    # Epochs of a fit that follow one another in one call.
    Py_ssize_t count
    Py_ssize_t steps                    # of an epoch
    const uint64_t* draws               # what each one's order is drawn from, or NULL
    uint32_t* order
    double* logs                        # a row for each epoch
    Py_ssize_t numbers                  # in a row


cdef class PassRunner(Runner):
    cdef readonly Py_ssize_t epochs_done
    cdef readonly object epoch_logs
    cdef public bint left               # the model has another network now

    cdef object begin_passes(self, Passes* passes, Run* job, Py_ssize_t count, draws)
    cdef void run_passes(self, const Passes* passes, Run* job) noexcept nogil
