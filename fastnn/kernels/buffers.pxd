# The address of a NumPy array's elements, by the buffer protocol: no NumPy header, no NumPy ABI to match.

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer


cdef inline void* address(object array, bint writable=False) except? NULL:
    """Where a C-contiguous array's elements start. The caller keeps the array alive; NumPy does not move it."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS | (PyBUF_WRITABLE if writable else 0))
    cdef void* start = view.buf
    PyBuffer_Release(&view)
    return start
