"""A tally: what a metric gathers over batches where a mean over the rows does not do, in a state of doubles."""

import numpy as np

from fastnn.kernels.buffers cimport address

from fastnn.kernels.kernel import _in_place, _input


cdef class TallyKernel(Kernel):
    """A tally of (y, output): called with a batch, it adds it to the state; `size` says how long that is."""

    @staticmethod
    cdef TallyKernel make(str name, tally32 update32, tally64 update64, tally_size size_of):
        cdef TallyKernel kernel = TallyKernel.__new__(TallyKernel)
        kernel.name, kernel.update32, kernel.update64, kernel.size_of = name, update32, update64, size_of
        return kernel

    def size(self, Py_ssize_t units, Py_ssize_t targets, numbers):
        """Doubles of the state for outputs of `units` columns and targets of `targets`."""
        p = np.array(numbers, float)
        return self.size_of(<const double*>address(p), units, targets)

    def __call__(self, y, output, state, numbers, weight=None):
        """Add a batch to state, in place. y (rows, targets), output (rows, units), weight (rows,); state float64."""
        a = _input("output", output)
        y = _input("y", y, a)
        if a.ndim != 2 or y.ndim != 2 or len(y) != len(a):
            raise ValueError(f"{self.name} takes y and output of as many rows, got shapes {y.shape} and {a.shape}")
        cdef Py_ssize_t rows = a.shape[0], units = a.shape[1], targets = y.shape[1]
        p = np.array(numbers, float)
        cdef const double* values = <const double*>address(p)
        _in_place("state", state, (self.size_of(values, units, targets),), np.dtype(float))
        weight = None if weight is None else _input("weight", weight, a, (rows,))
        if a.itemsize == 4:
            self.update32(
                <const float*>address(a), <const float*>address(y),
                <const float*>address(weight) if weight is not None else NULL, <double*>address(state, True), values,
                rows, units, targets)
        else:
            self.update64(
                <const double*>address(a), <const double*>address(y),
                <const double*>address(weight) if weight is not None else NULL, <double*>address(state, True), values,
                rows, units, targets)
