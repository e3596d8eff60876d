"""What is compiled of databases: the forms in which they send rows, streams of Arrow's and documents of BSON, read as
rows of float32; SQLite's C interface; and a network as a function of SQLite's.
"""

from cpython.buffer cimport PyBUF_READ
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.float cimport FLT_MAX
from libc.math cimport fabs, floor, isfinite, isinf
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memchr, memcmp, memcpy, strerror

cdef object np
import numpy as np

from fastnn.databases.mongo_fields import decimal_of
from fastnn.databases.reader import Text
from fastnn.kernels.buffers cimport address
from fastnn.kernels.text cimport Entry, Tokens

include "arrow.pxi"
include "bson_rows.pxi"
include "sqlite_c.pxi"
include "sqlite_function.pxi"
