"""The engine's choice between the team of threads and the calling one, with seconds that a test makes up."""

from fastnn.engine.thread_tuner cimport ThreadTuner, tuner_begin, tuner_choose, tuner_note


cdef class Tuner:
    cdef ThreadTuner tuner

    def begin(self, int threads, Py_ssize_t batch):
        tuner_begin(&self.tuner, threads, batch)

    def choose(self):
        """The threads of the next slice, and the seconds that it should take."""
        cdef double seconds
        cdef int threads = tuner_choose(&self.tuner, &seconds)
        return threads, seconds

    def note(self, double seconds, double work):
        tuner_note(&self.tuner, seconds, work)
