# A NumPy array's elements, by the buffer protocol: no NumPy header, no NumPy ABI to match.

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_Clear


cdef extern from "Python.h":
    # Without `try`, which notes what error is being handled: 5 % of a small product's call.
    int get_buffer "PyObject_GetBuffer"(object array, Py_buffer* view, int flags) noexcept


cdef inline void* address(object array, bint writable=False) except? NULL:
    """Where a C-contiguous array's elements start. The caller keeps the array alive; NumPy does not move it."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS | (PyBUF_WRITABLE if writable else 0))
    cdef void* start = view.buf
    PyBuffer_Release(&view)
    return start


cdef inline bint take(object array, bint writable, Py_buffer* view) noexcept:
    """Whether an array can be worked on as it lies: float32 or float64 of this machine, C-contiguous, aligned.

    If so, the caller releases the view.
    """
    if get_buffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0)):
        PyErr_Clear()
        return False
    if (view.format[0] == b"f" or view.format[0] == b"d") and view.format[1] == 0:
        return True
    PyBuffer_Release(view)
    return False


cdef inline const float* floats_of(str name, array, Py_ssize_t rows, Py_ssize_t columns) except? NULL:
    """The numbers of a C-contiguous float32 array, (rows, columns), or (rows,) where columns is negative."""
    cdef Py_buffer view
    cdef bint fits = take(array, False, &view)
    if fits:
        fits = (view.itemsize == sizeof(float) and view.ndim == (1 if columns < 0 else 2) and view.shape[0] == rows
                and (columns < 0 or view.shape[1] == columns))
        PyBuffer_Release(&view)
    if not fits:
        shape = f"({rows}, {columns})" if columns >= 0 else f"({rows},)"
        came = f"{array.dtype} {array.shape}" if hasattr(array, "dtype") else type(array).__name__
        raise ValueError(f"{name} must be a C-contiguous float32 array of shape {shape}, got {came}")
    return <const float*>view.buf
