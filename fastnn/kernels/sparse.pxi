"""Products of sparse rows (sparse.h)."""

from fastnn.kernels.types cimport make_sparse


cdef extern from "sparse.h" nogil:
    void* sparse_forward
    void* sparse_gradient
    void* sparse_items


make_sparse(made, "sparse", &sparse_forward, &sparse_gradient, &sparse_items)
