"""Ops that call Python: layers and activations that a user wrote in it.

Such an op takes the GIL for the rows of each call, so that its network runs on one thread. What it hands out are
copies: a function may keep its arguments, and the engine's memory does not outlive a run.
"""

cdef extern from "denormals.h" nogil:
    unsigned long long flush_denormals()
    void restore_denormals(unsigned long long before)


def _size(shape):
    size = 1
    for axis in shape:
        size *= axis
    return size


cdef class PythonOp(Op):
    """a = layer.forward(x, weights, training); the gradients are what layer.backward(x, a, d, weights) gives.

    inputs, output, weights: the shapes of a row of each source, of a row out and of each parameter. title: the layer's
    in errors.
    """

    cdef readonly object layer
    cdef readonly str title
    cdef readonly bint gave_not_finite  # a gradient that is not, for one that is, in the last backward of rows
    cdef tuple input_shapes
    cdef tuple output_shape
    cdef tuple weight_shapes
    cdef object error                   # that a call ended in
    cdef unsigned long long float_state

    def __init__(self, layer, inputs, output, weights=(), title=None):
        self.layer, self.title = layer, title or type(layer).__name__
        self.input_shapes, self.output_shape, self.weight_shapes = tuple(inputs), tuple(output), tuple(weights)
        self.shape([(1, _size(shape)) for shape in self.input_shapes], 1, _size(self.output_shape))
        self.size = sum(_size(shape) for shape in self.weight_shapes)
        self.row_size, self.takes_gil = 1 if self.size else 0, True
        self.float_state = flush_denormals()
        restore_denormals(self.float_state)

    cdef Py_ssize_t state_size(self) noexcept:
        """The gradient by the weights, added up over the chunks of a batch."""
        return self.size

    cdef object explain(self):
        error, self.error = self.error, None
        return error

    # Copies in, copies out.

    cdef object gathered(self, Py_ssize_t source, Py_ssize_t r0, Py_ssize_t r1):
        cdef Py_ssize_t row, n = self.reads[source].width
        rows = np.empty((r1 - r0, *self.input_shapes[source]), np.float32)
        cdef float* to = <float*>address(rows, True)
        for row in range(r0, r1):
            memcpy(to + (row - r0) * n, self.reads[source].rows[row], n * sizeof(float))
        return rows

    cdef object all_gathered(self, Py_ssize_t r0, Py_ssize_t r1):
        xs = tuple(self.gathered(source, r0, r1) for source in range(self.read_count))
        return xs[0] if len(xs) == 1 else xs

    cdef object copy_of(self, const float* numbers, tuple shape):
        array = np.empty(shape, np.float32)
        memcpy(address(array, True), numbers, array.size * sizeof(float))
        return array

    cdef list weights(self):
        cdef Py_ssize_t start = 0
        arrays = []
        for shape in self.weight_shapes:
            array = self.copy_of(self.w + start, shape)
            arrays.append(array)
            start += array.size
        return arrays

    cdef object taken(self, array, tuple shape, str what):
        """`array` as float32. ValueError where it has another shape, TypeError where it holds no numbers."""
        came = type(array).__name__
        try:
            array = as_numbers(array, f"{self.title}.{what}")
        except TypeError:
            raise TypeError(f"{self.title}.{what} must be an array of numbers, got {came}") from None
        if array.shape != shape:
            raise ValueError(f"{self.title}.{what} must have shape {shape}, got {array.shape}")
        return array.astype(np.float32, order="C")

    cdef int forward_python(self, Py_ssize_t r0, Py_ssize_t r1, bint training) except -1:
        a = self.layer.forward(self.all_gathered(r0, r1), self.weights(), training)
        a = self.taken(a, (r1 - r0, *self.output_shape), "forward: the rows given")
        memcpy(self.a + r0 * self.units, address(a), a.size * sizeof(float))
        return 0

    cdef int backward_python(self, Py_ssize_t r0, Py_ssize_t r1) except -1:
        cdef Py_ssize_t source, i, n
        cdef const float* more
        cdef float* total = self.state
        a = self.copy_of(self.a + r0 * self.units, (r1 - r0, *self.output_shape))
        d = self.copy_of(self.d + r0 * self.units, (r1 - r0, *self.output_shape))
        given = self.layer.backward(self.all_gathered(r0, r1), a, d, self.weights())
        if not isinstance(given, tuple) or len(given) != 2:
            raise TypeError(
                f"{self.title}.backward must give (gradient by x, [gradient by each weight]), got "
                f"{type(given).__name__}")
        d_xs, d_weights = given
        if self.read_count == 1:
            d_xs = (d_xs,)
        self.gave_not_finite = r0 > 0 and self.gave_not_finite
        if len(d_xs) != self.read_count or len(d_weights) != len(self.weight_shapes):
            raise ValueError(
                f"{self.title}.backward must give {self.read_count} gradients by x and {len(self.weight_shapes)} by "
                f"weights, got {len(d_xs)} and {len(d_weights)}")
        for source in range(self.read_count):
            n = self.reads[source].width
            if self.reads[source].d == NULL:
                continue
            if d_xs[source] is None:
                memset(self.reads[source].d + r0 * n, 0, (r1 - r0) * n * sizeof(float))
            else:
                d_x = self.taken(d_xs[source], (r1 - r0, *self.input_shapes[source]), "backward: the gradient by x")
                self.gave_not_finite |= not np.isfinite(d_x).all()
                memcpy(self.reads[source].d + r0 * n, address(d_x), (r1 - r0) * n * sizeof(float))
        if r0 == 0:
            memset(self.state, 0, self.size * sizeof(float))
        for shape, d_weight in zip(self.weight_shapes, d_weights, strict=True):
            d_weight = self.taken(d_weight, shape, "backward: the gradient by a weight")
            self.gave_not_finite |= not np.isfinite(d_weight).all()
            more, n = <const float*>address(d_weight), d_weight.size
            for i in range(n):
                total[i] += more[i]
            total += n
        if self.gave_not_finite and not np.isfinite(d).all():
            self.gave_not_finite = False
        return 0

    # A call that fails ends the run; until the team has noticed, the others have nothing to do.

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef unsigned long long state = flush_denormals()
        restore_denormals(self.float_state)
        with gil:
            try:
                if self.error is None:
                    self.forward_python(r0, r1, in_training(step, self.training))
            except BaseException as error:
                self.fail(step, error)
        restore_denormals(state)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef unsigned long long state = flush_denormals()
        restore_denormals(self.float_state)
        with gil:
            try:
                if self.error is None:
                    self.backward_python(r0, r1)
            except BaseException as error:
                self.fail(step, error)
        restore_denormals(state)

    cdef void fail(self, const Step* step, error) noexcept:
        self.error = error
        if step.error != NULL:
            step.error[0] = <int>(self.number + 1)

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        memcpy(self.g + p0, self.state + p0, (p1 - p0) * sizeof(float))


cdef class _ActivationAsLayer:
    """A Python activation with a layer's two methods."""

    cdef object activation

    def __init__(self, activation):
        self.activation = activation

    def forward(self, x, weights, training):
        return self.activation.forward(x)

    def backward(self, x, a, d, weights):
        return self.activation.backward(x, a, d), []


cdef class PythonActivationOp(PythonOp):
    """a = activation.forward(x), for rows of `units` numbers; activation.backward(x, a, d) gives the gradient by x."""

    def __init__(self, Py_ssize_t units, activation, title=None):
        PythonOp.__init__(self, _ActivationAsLayer(activation), ((units,),), (units,), (),
                          title or type(activation).__name__)
