"""Regularisers and constraints that a user wrote in Python, beside those that have kernels.

Like other Python, such a unit takes the GIL, so that its network runs on one thread, and is handed copies.
"""


cdef class PythonUnits(Stepping):
    """A network that learns, with the penalties and constraints of its variables that are Python."""

    def __cinit__(self, *args, **kwargs):
        self.python_penalties, self.python_constraints = [], []

    cdef int add_variable(self, Variable* variable, description) except -1:
        Stepping.add_variable(self, variable, description)
        if description.python_penalty is not None:
            slopes = aligned(variable.stop - variable.start)
            self.kept_matrices.append(slopes)
            variable.slopes = <float*>address(slopes, True)
            self.has_python_penalties = self.has_penalties = self.has_matrix_penalties = self.takes_gil = True
            self.python_penalties.append((variable - self.variables, description.python_penalty))
        if description.python_constraint is not None:
            self.has_python_constraints = self.has_constraints = self.takes_gil = True
            self.python_constraints.append((variable - self.variables, description.python_constraint))
        return 0

    cdef int clear_variables(self) except -1:
        self.python_penalties, self.python_constraints = [], []
        self.has_python_penalties = self.has_python_constraints = False
        return Stepping.clear_variables(self)

    cdef object weights_of_variable(self, const Variable* variable):
        weights = np.empty(variable.stop - variable.start, np.float32)
        memcpy(address(weights, True), self.w + variable.start, weights.nbytes)
        return weights

    cdef int copy_given(self, float* to, given, const Variable* variable, unit, str what) except -1:
        """Copy what a unit gave for a variable; ValueError unless it is a number for each weight."""
        array = np.require(given, np.float32, ["C", "A"])
        if array.size != variable.stop - variable.start:
            raise ValueError(f"{unit} gave {array.size} {what} for {variable.stop - variable.start} weights")
        memcpy(to, address(array), array.nbytes)
        return 0

    cdef void penalise_matrices(self, int thread, int threads) noexcept nogil:
        Stepping.penalise_matrices(self, thread, threads)
        if self.has_python_penalties:
            with gil:
                self.ask_penalties()

    cdef int ask_penalties(self) noexcept:
        cdef Py_ssize_t number
        cdef Variable* variable
        try:
            for number, penalty in self.python_penalties:
                variable = &self.variables[number]
                variable.value, slopes = penalty(self.weights_of_variable(variable))
                self.copy_given(variable.slopes, slopes, variable, penalty, "slopes")
        except BaseException as error:
            self.pending, self.error = error, -1
        return 0

    cdef void constrain(self, int thread, int threads) noexcept nogil:
        Stepping.constrain(self, thread, threads)
        if self.has_python_constraints:
            with gil:
                self.ask_constraints()

    cdef int ask_constraints(self) noexcept:
        cdef Py_ssize_t number
        cdef Variable* variable
        try:
            for number, constraint in self.python_constraints:
                variable = &self.variables[number]
                weights = constraint(self.weights_of_variable(variable))
                self.copy_given(self.w + variable.start, weights, variable, constraint, "numbers")
                if variable.mask != NULL:
                    self.hide(variable, 0, variable.stop - variable.start)
        except BaseException as error:
            self.pending, self.error = error, -1
        return 0
