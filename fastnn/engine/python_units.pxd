from fastnn.engine.learning cimport Variable
from fastnn.engine.stepping cimport Stepping


cdef class PythonUnits(Stepping):
    cdef list python_penalties          # (number of the variable, function of its weights)
    cdef list python_constraints
    cdef bint has_python_penalties
    cdef bint has_python_constraints

    cdef object weights_of_variable(self, const Variable* variable)
    cdef int copy_given(self, float* to, given, const Variable* variable, unit, str what) except -1
    cdef int ask_penalties(self) noexcept
    cdef int ask_constraints(self) noexcept
