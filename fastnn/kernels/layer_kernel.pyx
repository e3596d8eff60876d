"""The families of kernels that only layers use, with doors to call them by from Python, as in kernel.pyx.

The doors take C-contiguous float32 or float64 arrays of rows, (rows, columns), and give new arrays. They are for tests
and for curious users; the engine goes past them.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc

import numpy as np

from fastnn.kernels.buffers cimport address
from fastnn.kernels.kernel cimport Kernel

from fastnn.kernels.kernel import _input, _output


cdef enum:
    MAX_SOURCES = 16                    # that the door of a merge takes


cdef class Addresses:
    """The addresses of an array's rows."""

    cdef void** rows
    cdef object array

    def __cinit__(self, array):
        cdef Py_ssize_t row, width = array.shape[1] * array.itemsize
        cdef char* start = <char*>address(array)
        self.array = array
        self.rows = <void**>malloc(max(1, array.shape[0]) * sizeof(void*))
        if self.rows == NULL:
            raise MemoryError("no memory for the addresses of rows")
        for row in range(array.shape[0]):
            self.rows[row] = start + row * width

    def __dealloc__(self):
        free(self.rows)


def _matrix(name, array, like=None, shape=None):
    array = _input(name, array, like, shape)
    if array.ndim != 2:
        raise ValueError(f"{name} must have shape (rows, columns), got {array.shape}")
    return array


def _lines(x, repeats):
    """Columns of a line, where a row is `repeats` lines."""
    if repeats < 1 or x.shape[1] < repeats or x.shape[1] % repeats:
        raise ValueError(f"rows of {x.shape[1]} numbers cannot be {repeats} equal parts")
    return x.shape[1] // repeats


cdef void* _or_null(object array) except? NULL:
    return NULL if array is None else address(array)


def _column(name, array, like, channels):
    return None if array is None else _input(name, array, like, (channels,))


cdef class NoiseKernel(Kernel):
    """Noise by a counter-based random number for each element: `forward(x, number, key)`, `backward(d, number, key)`.

    number: the standard deviation, or the rate. Element i of the array is element first + i of the batch.
    """

    @staticmethod
    cdef NoiseKernel make(str name, noise32 forward32, noise32 backward32, noise64 forward64, noise64 backward64):
        cdef NoiseKernel kernel = NoiseKernel.__new__(NoiseKernel)
        kernel.name, kernel.forward32, kernel.backward32 = name, forward32, backward32
        kernel.forward64, kernel.backward64 = forward64, backward64
        return kernel

    def forward(self, x, double number, uint64_t key, unsigned int first=0, out=None):
        """x with noise."""
        x = _input("x", x)
        a = _output("out", out, x.shape, x.dtype)
        if x.itemsize == 4:
            self.forward32(<const float*>address(x), <float*>address(a, True), x.size, first, number, key)
        else:
            self.forward64(<const double*>address(x), <double*>address(a, True), x.size, first, number, key)
        return a

    def backward(self, d, double number, uint64_t key, unsigned int first=0, out=None):
        """The gradient by x, from that by what `forward` gave."""
        d = _input("d", d)
        d_x = _output("out", out, d.shape, d.dtype)
        if d.itemsize == 4:
            self.backward32(<const float*>address(d), <float*>address(d_x, True), d.size, first, number, key)
        else:
            self.backward64(<const double*>address(d), <double*>address(d_x, True), d.size, first, number, key)
        return d_x


cdef class AffineKernel(Kernel):
    """((x - shift) - mean) * gamma * root(variance) + beta for each column; each number may be left out.

    root: "added" 1 / sqrt(variance + epsilon), "floored" 1 / max(sqrt(variance), epsilon), "inverse" that max itself.
    """

    @staticmethod
    cdef AffineKernel make(str name, affine32 rows32, affine64 rows64):
        cdef AffineKernel kernel = AffineKernel.__new__(AffineKernel)
        kernel.name, kernel.rows32, kernel.rows64 = name, rows32, rows64
        return kernel

    def __call__(self, x, mean=None, variance=None, shift=None, gamma=None, beta=None, str root="added",
                 double epsilon=0, Py_ssize_t repeats=1, bint slope=False, out=None):
        """slope: x is a gradient by the result, and the gradient by x is given."""
        cdef const void* numbers[COLUMNS]
        cdef Root kind = {"added": ADDED, "floored": FLOORED, "inverse": INVERSE}[root]
        cdef int i
        x = _matrix("x", x)
        cdef Py_ssize_t channels = _lines(x, repeats)
        names = ("mean", "variance", "shift", "gamma", "beta")
        given = [_column(name, array, x, channels)
                 for name, array in zip(names, (mean, variance, shift, gamma, beta), strict=True)]
        for i in range(COLUMNS):
            numbers[i] = _or_null(given[i])
        a = _output("out", out, x.shape, x.dtype)
        cdef Addresses rows = Addresses(x)
        if x.itemsize == 4:
            self.rows32(kind, <const float* const*>rows.rows, 0, x.shape[0], repeats, channels,
                        <const float* const*>numbers, epsilon, slope, <float*>address(a, True))
        else:
            self.rows64(kind, <const double* const*>rows.rows, 0, x.shape[0], repeats, channels,
                        <const double* const*>numbers, epsilon, slope, <double*>address(a, True))
        return a


cdef class BatchKernel(Kernel):
    """What normalisation over a batch needs beside `affine`: `moments(x)` and `backward(x, d)`."""

    @staticmethod
    cdef BatchKernel make(str name, moments32 moments_32, batch_sums32 sums32, batch_backward32 backward32,
                          moments64 moments_64, batch_sums64 sums64, batch_backward64 backward64):
        cdef BatchKernel kernel = BatchKernel.__new__(BatchKernel)
        kernel.name, kernel.moments_32, kernel.sums32, kernel.backward32 = name, moments_32, sums32, backward32
        kernel.moments_64, kernel.sums64, kernel.backward64 = moments_64, sums64, backward64
        return kernel

    def moments(self, x, Py_ssize_t repeats=1):
        """(mean of x - shift, biased variance, shift) of each column, over all lines of all rows; at least one row."""
        x = _matrix("x", x)
        cdef Py_ssize_t channels = _lines(x, repeats)
        if not len(x):
            raise ValueError("no rows have no mean")
        mean, variance, shift = (np.empty(channels, x.dtype) for _ in range(3))
        cdef Addresses rows = Addresses(x)
        if x.itemsize == 4:
            self.moments_32(<const float* const*>rows.rows, x.shape[0], repeats, channels, 0, channels,
                            <float*>address(mean), <float*>address(variance), <float*>address(shift))
        else:
            self.moments_64(<const double* const*>rows.rows, x.shape[0], repeats, channels, 0, channels,
                            <double*>address(mean), <double*>address(variance), <double*>address(shift))
        return mean, variance, shift

    def backward(self, x, d, gamma=None, double epsilon=1e-3, Py_ssize_t repeats=1):
        """(gradient by x, by gamma, by beta), from that by the normalised rows."""
        cdef const void* numbers[COLUMNS]
        mean, variance, shift = self.moments(x, repeats)
        x = _matrix("x", x)
        d = _matrix("d", d, x, x.shape)
        cdef Py_ssize_t channels = _lines(x, repeats)
        gamma = _column("gamma", gamma, x, channels)
        numbers[MEAN], numbers[VARIANCE], numbers[SHIFT] = address(mean), address(variance), address(shift)
        numbers[GAMMA], numbers[BETA] = _or_null(gamma), NULL
        d_gamma, d_beta, d_x = np.empty_like(mean), np.empty_like(mean), np.empty_like(x)
        cdef Addresses rows = Addresses(x)
        if x.itemsize == 4:
            self.sums32(<const float* const*>rows.rows, <const float*>address(d), x.shape[0], repeats, channels, 0,
                        channels, <const float* const*>numbers, epsilon, <float*>address(d_beta),
                        <float*>address(d_gamma))
            self.backward32(<const float* const*>rows.rows, <const float*>address(d), x.shape[0], 0, x.shape[0],
                            repeats, channels, <const float* const*>numbers, epsilon, <const float*>address(d_beta),
                            <const float*>address(d_gamma), <float*>address(d_x))
        else:
            self.sums64(<const double* const*>rows.rows, <const double*>address(d), x.shape[0], repeats, channels, 0,
                        channels, <const double* const*>numbers, epsilon, <double*>address(d_beta),
                        <double*>address(d_gamma))
            self.backward64(<const double* const*>rows.rows, <const double*>address(d), x.shape[0], 0, x.shape[0],
                            repeats, channels, <const double* const*>numbers, epsilon, <const double*>address(d_beta),
                            <const double*>address(d_gamma), <double*>address(d_x))
        return d_x, d_gamma, d_beta


cdef class PReLUKernel(Kernel):
    """x where x > 0, else alpha * x, with an alpha for each column."""

    @staticmethod
    cdef PReLUKernel make(str name, prelu_forward32 forward32, prelu_backward32 backward32, prelu_gradient32 gradient32,
                          prelu_forward64 forward64, prelu_backward64 backward64, prelu_gradient64 gradient64):
        cdef PReLUKernel kernel = PReLUKernel.__new__(PReLUKernel)
        kernel.name, kernel.forward32, kernel.backward32, kernel.gradient32 = name, forward32, backward32, gradient32
        kernel.forward64, kernel.backward64, kernel.gradient64 = forward64, backward64, gradient64
        return kernel

    def forward(self, x, alpha, Py_ssize_t repeats=1, out=None):
        """x where it is above 0, else alpha * x."""
        x = _matrix("x", x)
        alpha = _input("alpha", alpha, x, (_lines(x, repeats),))
        a = _output("out", out, x.shape, x.dtype)
        cdef Addresses rows = Addresses(x)
        if x.itemsize == 4:
            self.forward32(<const float* const*>rows.rows, 0, x.shape[0], repeats, alpha.size,
                           <const float*>address(alpha), <float*>address(a, True))
        else:
            self.forward64(<const double* const*>rows.rows, 0, x.shape[0], repeats, alpha.size,
                           <const double*>address(alpha), <double*>address(a, True))
        return a

    def backward(self, x, alpha, d, Py_ssize_t repeats=1):
        """(gradient by x, by alpha)."""
        x = _matrix("x", x)
        alpha = _input("alpha", alpha, x, (_lines(x, repeats),))
        d = _matrix("d", d, x, x.shape)
        d_x, d_alpha = np.empty_like(x), np.empty_like(alpha)
        cdef Addresses rows = Addresses(x)
        if x.itemsize == 4:
            self.backward32(<const float* const*>rows.rows, <const float*>address(d), 0, x.shape[0], repeats,
                            alpha.size, <const float*>address(alpha), <float*>address(d_x))
            self.gradient32(<const float* const*>rows.rows, <const float*>address(d), x.shape[0], repeats, alpha.size,
                            0, alpha.size, <float*>address(d_alpha))
        else:
            self.backward64(<const double* const*>rows.rows, <const double*>address(d), 0, x.shape[0], repeats,
                            alpha.size, <const double*>address(alpha), <double*>address(d_x))
            self.gradient64(<const double* const*>rows.rows, <const double*>address(d), x.shape[0], repeats,
                            alpha.size, 0, alpha.size, <double*>address(d_alpha))
        return d_x, d_alpha


cdef class LayerKernel(Kernel):
    """Normalisation of each row, or of each of its `groups` equal parts."""

    @staticmethod
    cdef LayerKernel make(str name, layer_forward32 forward32, layer_backward32 backward32, layer_gradient32 gradient32,
                          layer_forward64 forward64, layer_backward64 backward64, layer_gradient64 gradient64):
        cdef LayerKernel kernel = LayerKernel.__new__(LayerKernel)
        kernel.name, kernel.forward32, kernel.backward32, kernel.gradient32 = name, forward32, backward32, gradient32
        kernel.forward64, kernel.backward64, kernel.gradient64 = forward64, backward64, gradient64
        return kernel

    def forward(self, x, gamma=None, beta=None, double epsilon=1e-3, bint centred=True, Py_ssize_t groups=1, out=None):
        """The normalised rows."""
        x = _matrix("x", x)
        return self._forward(x, gamma, beta, epsilon, centred, groups, out)[0]

    def _forward(self, x, gamma, beta, double epsilon, bint centred, Py_ssize_t groups, out):
        cdef Py_ssize_t n = _lines(x, groups)
        gamma, beta = _column("gamma", gamma, x, n), _column("beta", beta, x, n)
        a = _output("out", out, x.shape, x.dtype)
        kept = np.empty((x.shape[0], x.shape[1] + groups), x.dtype)
        cdef Addresses rows = Addresses(x)
        if x.itemsize == 4:
            self.forward32(<const float* const*>rows.rows, 0, x.shape[0], groups, n, <const float*>_or_null(gamma),
                           <const float*>_or_null(beta), epsilon, centred, <float*>address(kept),
                           <float*>address(a, True))
        else:
            self.forward64(<const double* const*>rows.rows, 0, x.shape[0], groups, n, <const double*>_or_null(gamma),
                           <const double*>_or_null(beta), epsilon, centred, <double*>address(kept),
                           <double*>address(a, True))
        return a, kept

    def backward(self, x, d, gamma=None, double epsilon=1e-3, bint centred=True, Py_ssize_t groups=1):
        """(gradient by x, by gamma, by beta)."""
        x = _matrix("x", x)
        d = _matrix("d", d, x, x.shape)
        cdef Py_ssize_t n = _lines(x, groups)
        gamma = _column("gamma", gamma, x, n)
        kept = self._forward(x, gamma, None, epsilon, centred, groups, None)[1]
        d_x, d_gamma, d_beta = np.empty_like(x), np.empty(n, x.dtype), np.empty(n, x.dtype)
        if x.itemsize == 4:
            self.backward32(<const float*>address(d), 0, x.shape[0], groups, n, <const float*>_or_null(gamma), centred,
                            <const float*>address(kept), <float*>address(d_x))
            self.gradient32(<const float*>address(d), x.shape[0], groups, n, <const float*>address(kept), 0, n,
                            <float*>address(d_gamma), <float*>address(d_beta))
        else:
            self.backward64(<const double*>address(d), 0, x.shape[0], groups, n, <const double*>_or_null(gamma),
                            centred, <const double*>address(kept), <double*>address(d_x))
            self.gradient64(<const double*>address(d), x.shape[0], groups, n, <const double*>address(kept), 0, n,
                            <double*>address(d_gamma), <double*>address(d_beta))
        return d_x, d_gamma, d_beta


cdef class MergeKernel(Kernel):
    """Element by element, of several arrays of one shape."""

    @staticmethod
    cdef MergeKernel make(str name, Merge which, merge_forward32 forward32, merge_backward32 backward32,
                          merge_forward64 forward64, merge_backward64 backward64):
        cdef MergeKernel kernel = MergeKernel.__new__(MergeKernel)
        kernel.name, kernel.which, kernel.forward32, kernel.backward32 = name, which, forward32, backward32
        kernel.forward64, kernel.backward64 = forward64, backward64
        return kernel

    def _sources(self, xs):
        if not 1 <= len(xs) <= MAX_SOURCES or self.which == SUBTRACT and len(xs) != 2:
            raise ValueError(f"{self.name} cannot take {len(xs)} arrays")
        first = _matrix("xs[0]", xs[0])
        return [first, *(_matrix(f"xs[{k}]", x, first, first.shape) for k, x in enumerate(xs[1:], 1))]

    def forward(self, xs, out=None):
        """The merged rows."""
        cdef const void** rows[MAX_SOURCES]
        cdef int k
        xs = self._sources(xs)
        held = [Addresses(x) for x in xs]
        for k in range(len(xs)):
            rows[k] = <const void**>(<Addresses>held[k]).rows
        a = _output("out", out, xs[0].shape, xs[0].dtype)
        if a.itemsize == 4:
            self.forward32(self.which, <const float***>rows, len(xs), 0, a.shape[0], a.shape[1],
                           <float*>address(a, True))
        else:
            self.forward64(self.which, <const double***>rows, len(xs), 0, a.shape[0], a.shape[1],
                           <double*>address(a, True))
        return a

    def backward(self, xs, d):
        """The gradients by each of the arrays."""
        cdef const void** rows[MAX_SOURCES]
        cdef void* slopes[MAX_SOURCES]
        cdef int k
        xs = self._sources(xs)
        d = _matrix("d", d, xs[0], xs[0].shape)
        held = [Addresses(x) for x in xs]
        d_xs = [np.empty_like(x) for x in xs]
        for k in range(len(xs)):
            rows[k], slopes[k] = <const void**>(<Addresses>held[k]).rows, address(d_xs[k])
        if d.itemsize == 4:
            self.backward32(self.which, <const float***>rows, len(xs), 0, d.shape[0], d.shape[1],
                            <const float*>address(d), <float**>slopes)
        else:
            self.backward64(self.which, <const double***>rows, len(xs), 0, d.shape[0], d.shape[1],
                            <const double*>address(d), <double**>slopes)
        return d_xs


cdef class DotKernel(Kernel):
    """Dot products of the rows of two arrays, (rows, ...), along an axis of each; axis 0 is that of the rows."""

    @staticmethod
    cdef DotKernel make(str name, dot_forward32 forward32, dot_backward32 backward32,
                        dot_forward64 forward64, dot_backward64 backward64):
        cdef DotKernel kernel = DotKernel.__new__(DotKernel)
        kernel.name, kernel.forward32, kernel.backward32 = name, forward32, backward32
        kernel.forward64, kernel.backward64 = forward64, backward64
        return kernel

    def __call__(self, x, y, axes=(1, 1), bint normalize=False, d=None):
        """The products, (rows, left, right); where d of that shape is given, the gradients by x and by y."""
        cdef Axes sizes
        x = _input("x", x)
        y = _input("y", y, x)
        sizes.depth, sizes.normalize = x.shape[axes[0]], normalize
        if len(x) != len(y) or sizes.depth != y.shape[axes[1]]:
            raise ValueError(f"dot: shapes {x.shape} and {y.shape} do not fit along axes {axes}")
        sizes.left, sizes.right = x[:1].size // sizes.depth, y[:1].size // sizes.depth
        sizes.left_inner = int(np.prod(x.shape[axes[0] + 1:]))
        sizes.right_inner = int(np.prod(y.shape[axes[1] + 1:]))
        a = np.empty((len(x), sizes.left, sizes.right), x.dtype)
        kept = np.empty((len(x), sizes.left + sizes.right), x.dtype)
        cdef Addresses left = Addresses(x.reshape(len(x), -1)), right = Addresses(y.reshape(len(y), -1))
        if x.itemsize == 4:
            self.forward32(<const float* const*>left.rows, <const float* const*>right.rows, 0, len(x), &sizes,
                           <float*>address(kept), <float*>address(a))
        else:
            self.forward64(<const double* const*>left.rows, <const double* const*>right.rows, 0, len(x), &sizes,
                           <double*>address(kept), <double*>address(a))
        if d is None:
            return a
        d = _input("d", d, x, a.shape)
        d_x, d_y = np.empty_like(x), np.empty_like(y)
        if x.itemsize == 4:
            self.backward32(<const float* const*>left.rows, <const float* const*>right.rows, 0, len(x), &sizes,
                            <const float*>address(kept), <const float*>address(a), <const float*>address(d),
                            <float*>address(d_x), <float*>address(d_y))
        else:
            self.backward64(<const double* const*>left.rows, <const double* const*>right.rows, 0, len(x), &sizes,
                            <const double*>address(kept), <const double*>address(a), <const double*>address(d),
                            <double*>address(d_x), <double*>address(d_y))
        return d_x, d_y
