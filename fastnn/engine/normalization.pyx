"""Ops that have numbers for each column, or normalise.

A row of `units` numbers is some lines of `channels` columns, one after the other: a column's numbers are in each line.
"""

from libc.string cimport memcpy, memset

import numpy as np

from fastnn.engine.ops cimport Op, Step
from fastnn.kernels.buffers cimport address
from fastnn.kernels.kernel cimport BACKWARD, FORWARD, float32_of, GRADIENT, MOMENTS, SUMS
from fastnn.kernels.types cimport (
    ADDED, affine32, batch_backward32, batch_sums32, BETA, COLUMNS, FLOORED, GAMMA, INVERSE, layer_backward32,
    layer_forward32, layer_gradient32, MEAN, moments32, prelu_backward32, prelu_forward32, prelu_gradient32, Root,
    SHIFT, VARIANCE,
)

from fastnn import kernels


cdef Py_ssize_t _lines(Py_ssize_t units, Py_ssize_t channels) except -1:
    if units < 1 or channels < 1 or units % channels:
        raise ValueError(f"rows of {units} numbers are no lines of {channels} columns")
    return units // channels


cdef class BatchNormalizationOp(Op):
    """a = (x - mean) / sqrt(variance + epsilon) * gamma + beta, for each column.

    In training the moments are those of the batch; otherwise, and where the op is frozen, the moving averages of them.
    Parameters: gamma if scale, beta if center, moving mean, moving variance, (channels,) each.
    """

    cdef readonly Py_ssize_t channels
    cdef readonly double momentum
    cdef readonly double epsilon
    cdef readonly bint center
    cdef readonly bint scale
    cdef Py_ssize_t repeats
    cdef affine32 affine
    cdef moments32 moments
    cdef batch_sums32 sums
    cdef batch_backward32 slopes

    def __init__(self, Py_ssize_t units, Py_ssize_t channels, double momentum=0.99, double epsilon=1e-3,
                 bint center=True, bint scale=True):
        self.repeats, self.channels = _lines(units, channels), channels
        self.widths, self.inputs, self.units = (units,), units, units
        self.momentum, self.epsilon, self.center, self.scale = momentum, epsilon, center, scale
        self.size, self.granule = (2 + center + scale) * channels, 1
        self.shares, self.settles = channels, True
        self.affine = <affine32>float32_of(kernels.affine, "affine")
        self.moments = <moments32>float32_of(kernels.batch_normalization, "batch_normalization", MOMENTS)
        self.slopes = <batch_backward32>float32_of(kernels.batch_normalization, "batch_normalization", BACKWARD)
        self.sums = <batch_sums32>float32_of(kernels.batch_normalization, "batch_normalization", SUMS)

    cdef Py_ssize_t holds(self) noexcept:
        """The batch's mean, variance and shift; the sums of d and of d times normalised x."""
        return 5 * self.channels

    cdef void find(self, const Step* step, const float** numbers) noexcept nogil:
        """Where the numbers of the columns are, in this step."""
        cdef Py_ssize_t n = self.channels
        cdef float* moving = self.w + (self.scale + self.center) * n
        cdef bint batch = step.training and not self.frozen
        numbers[MEAN] = self.held if batch else moving
        numbers[VARIANCE] = self.held + n if batch else moving + n
        numbers[SHIFT] = self.held + 2 * n if batch else NULL
        numbers[GAMMA] = self.w if self.scale else NULL
        numbers[BETA] = self.w + self.scale * n if self.center else NULL

    cdef void before_forward(self, const Step* step, Py_ssize_t s0, Py_ssize_t s1) noexcept nogil:
        cdef Py_ssize_t n = self.channels
        if not self.frozen:
            self.moments(self.x, step.rows, self.repeats, n, s0, s1, self.held, self.held + n, self.held + 2 * n)

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* numbers[COLUMNS]
        self.find(step, numbers)
        self.affine(ADDED, self.x, r0, r1, self.repeats, self.channels, numbers, self.epsilon, False, self.a)

    cdef void before_backward(self, const Step* step, Py_ssize_t s0, Py_ssize_t s1) noexcept nogil:
        cdef const float* numbers[COLUMNS]
        cdef Py_ssize_t n = self.channels
        if not self.frozen:
            self.find(step, numbers)
            self.sums(self.x, self.d, step.rows, self.repeats, n, s0, s1, numbers, self.epsilon, self.held + 3 * n,
                      self.held + 4 * n)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* numbers[COLUMNS]
        cdef Py_ssize_t n = self.channels
        if self.d_x == NULL:
            return
        self.find(step, numbers)
        if self.frozen:
            self.affine(ADDED, self.d_rows, r0, r1, self.repeats, n, numbers, self.epsilon, True, self.d_x)
        else:
            self.slopes(self.x, self.d, step.rows, r0, r1, self.repeats, n, numbers, self.epsilon, self.held + 3 * n,
                        self.held + 4 * n, self.d_x)

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        # gamma's is the second sum, beta's the first.
        cdef Py_ssize_t n = self.channels, p
        for p in range(p0, p1):
            self.g[p] = self.held[4 * n + p] if p < self.scale * n else self.held[3 * n + p - self.scale * n]

    cdef void settle(self, const Step* step) noexcept nogil:
        cdef Py_ssize_t n = self.channels, j
        cdef float* moving = self.w + (self.scale + self.center) * n
        cdef float old = <float>self.momentum, new = <float>(1 - self.momentum)
        if self.frozen:
            return
        for j in range(n):
            moving[j] = moving[j] * old + (self.held[j] + self.held[2 * n + j]) * new
            moving[n + j] = moving[n + j] * old + self.held[n + j] * new


cdef class LayerNormalizationOp(Op):
    """a = (x - mean) / sqrt(variance + epsilon) * gamma + beta, over each line of each row by itself.

    centred=False leaves the mean out of both. Parameters: gamma if scale, beta if center, (channels,) each.
    """

    cdef readonly Py_ssize_t channels
    cdef readonly double epsilon
    cdef readonly bint center
    cdef readonly bint scale
    cdef readonly bint centred
    cdef Py_ssize_t groups
    cdef layer_forward32 rows
    cdef layer_backward32 slopes
    cdef layer_gradient32 sums

    def __init__(self, Py_ssize_t units, Py_ssize_t channels, double epsilon=1e-3, bint center=True, bint scale=True,
                 bint centred=True):
        self.groups, self.channels = _lines(units, channels), channels
        self.widths, self.inputs, self.units = (units,), units, units
        self.epsilon, self.center, self.scale, self.centred = epsilon, center, scale, centred
        self.size, self.granule = (center + scale) * channels, 1
        self.rows = <layer_forward32>float32_of(kernels.layer_normalization, "layer_normalization", FORWARD)
        self.slopes = <layer_backward32>float32_of(kernels.layer_normalization, "layer_normalization", BACKWARD)
        self.sums = <layer_gradient32>float32_of(kernels.layer_normalization, "layer_normalization", GRADIENT)

    cdef Py_ssize_t keeps(self) noexcept:
        """The normalised row, and 1 / the deviation of each line."""
        return self.units + self.groups

    cdef const float* gamma(self) noexcept nogil:
        return self.w if self.scale else NULL

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* beta = self.w + self.scale * self.channels if self.center else NULL
        self.rows(self.x, r0, r1, self.groups, self.channels, self.gamma(), beta, self.epsilon, self.centred, self.z,
                  self.a)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        if self.d_x != NULL:
            self.slopes(self.d, r0, r1, self.groups, self.channels, self.gamma(), self.centred, self.z, self.d_x)

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        cdef Py_ssize_t n = self.channels, end = self.scale * n
        if p0 < end:
            self.sums(self.d, step.rows, self.groups, n, self.z, p0, min(p1, end), self.g, NULL)
        if p1 > end:
            self.sums(self.d, step.rows, self.groups, n, self.z, max(p0 - end, 0), p1 - end, NULL, self.g + end)


cdef class AffineOp(Op):
    """a = x * scale + offset for each column, with fixed numbers."""

    cdef readonly Py_ssize_t channels
    cdef Py_ssize_t repeats
    cdef Root root
    cdef double epsilon
    cdef affine32 affine
    cdef const float* numbers[COLUMNS]
    cdef tuple arrays                   # that the numbers are in

    def __init__(self, Py_ssize_t units, scale, offset):
        self.arrange(units, len(scale))
        self.arrays = np.array(scale, np.float32), np.array(offset, np.float32)
        self.numbers[GAMMA] = <const float*>address(self.arrays[0])
        self.numbers[BETA] = <const float*>address(self.arrays[1])

    cdef int arrange(self, Py_ssize_t units, Py_ssize_t channels) except -1:
        self.repeats, self.channels = _lines(units, channels), channels
        self.widths, self.inputs, self.units = (units,), units, units
        self.affine = <affine32>float32_of(kernels.affine, "affine")
        return 0

    cdef void find(self, const float** numbers) noexcept nogil:
        memcpy(numbers, self.numbers, sizeof(self.numbers))

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* numbers[COLUMNS]
        self.find(numbers)
        self.affine(self.root, self.x, r0, r1, self.repeats, self.channels, numbers, self.epsilon, False, self.a)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef const float* numbers[COLUMNS]
        if self.d_x != NULL:
            self.find(numbers)
            self.affine(self.root, self.d_rows, r0, r1, self.repeats, self.channels, numbers, self.epsilon, True,
                        self.d_x)


cdef class StandardizeOp(AffineOp):
    """a = (x - mean) / max(sqrt(variance), epsilon) for each column; inverse: a = x * max(...) + mean.

    mean and variance are fixed where they are given; else they are the first parameters, (channels,) each, and `more`
    parameters follow that the op does not read. None of them learns.
    """

    cdef readonly bint inverse

    def __init__(self, Py_ssize_t units, Py_ssize_t channels, double epsilon, bint inverse=False, mean=None,
                 variance=None, Py_ssize_t more=0):
        self.arrange(units, channels)
        self.inverse, self.epsilon, self.root = inverse, epsilon, INVERSE if inverse else FLOORED
        if mean is None:
            self.size, self.granule = 2 * channels + more, 1
        else:
            self.arrays = np.array(mean, np.float32), np.array(variance, np.float32)
            self.numbers[MEAN] = <const float*>address(self.arrays[0])
            self.numbers[VARIANCE] = <const float*>address(self.arrays[1])

    cdef void find(self, const float** numbers) noexcept nogil:
        cdef const float* mean
        cdef const float* variance
        if self.size:
            mean, variance = self.w, self.w + self.channels
        else:
            mean, variance = self.numbers[MEAN], self.numbers[VARIANCE]
        memset(numbers, 0, sizeof(self.numbers))
        numbers[BETA if self.inverse else MEAN] = mean
        numbers[VARIANCE] = variance


cdef class PReLUOp(Op):
    """a = x where x > 0, else alpha * x. Parameters: alpha, (channels,)."""

    cdef readonly Py_ssize_t channels
    cdef Py_ssize_t repeats
    cdef prelu_forward32 rows
    cdef prelu_backward32 slopes
    cdef prelu_gradient32 sums

    def __init__(self, Py_ssize_t units, Py_ssize_t channels):
        self.repeats, self.channels = _lines(units, channels), channels
        self.widths, self.inputs, self.units = (units,), units, units
        self.size, self.granule = channels, 1
        self.rows = <prelu_forward32>float32_of(kernels.prelu, "prelu", FORWARD)
        self.slopes = <prelu_backward32>float32_of(kernels.prelu, "prelu", BACKWARD)
        self.sums = <prelu_gradient32>float32_of(kernels.prelu, "prelu", GRADIENT)

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        self.rows(self.x, r0, r1, self.repeats, self.channels, self.w, self.a)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        if self.d_x != NULL:
            self.slopes(self.x, self.d, r0, r1, self.repeats, self.channels, self.w, self.d_x)

    cdef void gradient(self, const Step* step, Py_ssize_t p0, Py_ssize_t p1) noexcept nogil:
        self.sums(self.x, self.d, step.rows, self.repeats, self.channels, p0, p1, self.g)
