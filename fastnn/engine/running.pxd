cimport cython
from fastnn.engine.ops cimport Step
from fastnn.engine.python_units cimport PythonUnits
from fastnn.engine.rows cimport Rows
from fastnn.engine.thread_tuner cimport ThreadTuner
from fastnn.kernels.team cimport Job
from libc.stdint cimport uint64_t


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
    bint by_thread                      # `batch` are rows of each thread
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


cdef class Runner(PythonUnits):
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
    cdef void commit(self, const Step* step, bint states_alone) noexcept nogil

    @cython.final
    cdef void forward_segments(self, const Step* step, Py_ssize_t r0, Py_ssize_t stop) noexcept nogil

    @cython.final
    cdef void blocks_of(self, const Step* step, Py_ssize_t number, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void copy_out(self, float* out, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil

    @cython.final
    cdef void look_up(self, Run* job) noexcept nogil
