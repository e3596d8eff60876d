"""The kernels that take a parameter as a matrix: a slice of the flat vector would not tell them enough."""

import numpy as np

cimport fastnn.kernels.types as types
from fastnn.kernels.buffers cimport address
from fastnn.kernels.kernel cimport Kernel, Numbers

from fastnn.kernels.kernel import _in_place, _input


cdef Py_ssize_t penalty_workspace(Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    """Elements of workspace that a matrix penalty uses: two copies of the matrix, and a number for each vector."""
    return 2 * rows * columns + max(rows, columns)


cdef class MatrixPenaltyKernel(Kernel):
    """A penalty on a whole matrix: called with (w, g), it adds its gradient to g and gives its value."""

    @staticmethod
    cdef MatrixPenaltyKernel make(
            str name, types.matrix_penalty32 penalty32, types.matrix_penalty64 penalty64):
        cdef MatrixPenaltyKernel kernel = MatrixPenaltyKernel.__new__(MatrixPenaltyKernel)
        kernel.name, kernel.penalty32, kernel.penalty64 = name, penalty32, penalty64
        return kernel

    def __call__(self, w, g, numbers=()):
        """Value of the penalty on w (rows, columns); g, shaped as w, is added to in place."""
        cdef Numbers p = Numbers(numbers)
        cdef Py_ssize_t rows, columns
        w = _matrix(self, _input("w", w))
        g = _in_place("g", g, w.shape, w.dtype)
        rows, columns = w.shape
        workspace = np.empty(penalty_workspace(rows, columns), w.dtype)
        if w.itemsize == 4:
            return self.penalty32(<const float*>address(w), <float*>address(g, True), rows, columns, p.values,
                                  <float*>address(workspace, True))
        return self.penalty64(<const double*>address(w), <double*>address(g, True), rows, columns, p.values,
                              <double*>address(workspace, True))


cdef class ConstraintKernel(Kernel):
    """A constraint: called with w, it puts w where it may be, in place."""

    @staticmethod
    cdef ConstraintKernel make(str name, types.constraint32 constraint32, types.constraint64 constraint64):
        cdef ConstraintKernel kernel = ConstraintKernel.__new__(ConstraintKernel)
        kernel.name, kernel.constraint32, kernel.constraint64 = name, constraint32, constraint64
        return kernel

    def __call__(self, w, numbers=(), first=0, last=None):
        """Constrain w (rows, columns): its columns from first to before last, or rows where numbers name axis 1."""
        cdef Numbers p = Numbers(numbers)
        cdef Py_ssize_t rows, columns, vectors, start, stop
        if getattr(w, "dtype", None) not in (np.float32, np.float64):
            raise TypeError(f"w must be a float32 or float64 array, got {getattr(w, 'dtype', type(w).__name__)}")
        w = _matrix(self, _in_place("w", w, w.shape, w.dtype))
        rows, columns = w.shape
        vectors = columns if p.values[0] == 0 else rows
        start, stop = first, vectors if last is None else last
        if not 0 <= start <= stop <= vectors:
            raise ValueError(
                f"{self.name}: first and last must be in order and from 0 to {vectors}, got {first}, {last}")
        if w.itemsize == 4:
            self.constraint32(<float*>address(w, True), rows, columns, start, stop, p.values)
        else:
            self.constraint64(<double*>address(w, True), rows, columns, start, stop, p.values)


cdef _matrix(Kernel kernel, array):
    """`array`, which must be a matrix."""
    if array.ndim != 2:
        raise ValueError(f"{kernel.name} takes a matrix, got shape {array.shape}")
    return array
