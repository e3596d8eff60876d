from libc.stdint cimport uint64_t

cimport fastnn.kernels.types as types


cdef class Kernel:
    cdef readonly str name


cdef class MathKernel(Kernel):
    cdef types.elementwise32 values32
    cdef types.elementwise64 values64

    @staticmethod
    cdef MathKernel make(str name, types.elementwise32 values32, types.elementwise64 values64)


cdef class ActivationKernel(Kernel):
    cdef types.activation_forward32 forward32
    cdef types.activation_backward32 backward32
    cdef types.activation_forward64 forward64
    cdef types.activation_backward64 backward64

    @staticmethod
    cdef ActivationKernel make(
        str name, types.activation_forward32 forward32, types.activation_backward32 backward32,
        types.activation_forward64 forward64, types.activation_backward64 backward64)


cdef class LossKernel(Kernel):
    cdef readonly bint labels
    cdef readonly bint pairs
    cdef readonly bint whole
    cdef types.loss32 rows32
    cdef types.loss64 rows64

    @staticmethod
    cdef LossKernel make(
        str name, types.loss32 rows32, types.loss64 rows64, bint labels=*, bint pairs=*, bint whole=*)
    cpdef Py_ssize_t targets(self, Py_ssize_t units) except -1
    cdef _targets_of(self, y, z, Py_ssize_t rows, Py_ssize_t units)


cdef class PenaltyKernel(Kernel):
    cdef types.penalty32 penalty32
    cdef types.penalty64 penalty64

    @staticmethod
    cdef PenaltyKernel make(str name, types.penalty32 penalty32, types.penalty64 penalty64)


cdef class OptimizerKernel(Kernel):
    cdef types.step32 step32
    cdef types.step64 step64
    cdef types.slot_count slots

    @staticmethod
    cdef OptimizerKernel make(str name, types.step32 step32, types.step64 step64, types.slot_count slots)


cdef class DropoutKernel(Kernel):
    cdef types.dropout32 apply32
    cdef types.dropout64 apply64

    @staticmethod
    cdef DropoutKernel make(str name, types.dropout32 apply32, types.dropout64 apply64)


cdef class MatmulKernel(Kernel):
    cdef types.matmul32 rows32
    cdef types.matmul64 rows64
    cdef bint a_turned
    cdef bint b_turned

    @staticmethod
    cdef MatmulKernel make(
        str name, types.matmul32 rows32, types.matmul64 rows64, bint a_turned, bint b_turned)


cdef class SumKernel(Kernel):
    cdef types.sum32 sum32
    cdef types.sum64 sum64

    @staticmethod
    cdef SumKernel make(str name, types.sum32 sum32, types.sum64 sum64)


cdef class VectorKernel(Kernel):
    cdef types.vector32 vector32
    cdef types.vector64 vector64
    cdef readonly bint pairs            # it reads b

    @staticmethod
    cdef VectorKernel make(str name, types.vector32 vector32, types.vector64 vector64, bint pairs=*)


cdef Py_ssize_t workspace_elements(Py_ssize_t n, Py_ssize_t k) noexcept nogil

cdef enum:
    MAX_NUMBERS = 8                     # the most numbers that a unit hands to its kernel
    # Of the weight gradient, measured on widths of 512 to 4096 with 1 MiB of L2. Steps of k in one go, so that a panel
    # of B stays near; columns of A that are copied together, and from how many columns of B on that pays.
    PACK_DEPTH = 512
    PACK_A_ROWS = 384
    PACK_A_COLUMNS = 512

cdef class Numbers:
    cdef double values[MAX_NUMBERS]
