cimport fastnn.kernels.types as types
from fastnn.kernels.kernel cimport Kernel


cdef class MatrixPenaltyKernel(Kernel):
    cdef types.matrix_penalty32 penalty32
    cdef types.matrix_penalty64 penalty64

    @staticmethod
    cdef MatrixPenaltyKernel make(str name, types.matrix_penalty32 penalty32, types.matrix_penalty64 penalty64)


cdef class ConstraintKernel(Kernel):
    cdef types.constraint32 constraint32
    cdef types.constraint64 constraint64

    @staticmethod
    cdef ConstraintKernel make(str name, types.constraint32 constraint32, types.constraint64 constraint64)


cdef Py_ssize_t penalty_workspace(Py_ssize_t rows, Py_ssize_t columns) noexcept nogil
