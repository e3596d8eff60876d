"""The forms in which databases send rows, read as rows of float32: streams of Arrow's, documents of BSON."""

from cpython.buffer cimport PyBUF_READ
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport floor, isinf
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memcmp, memcpy, strerror

from decimal import Decimal

import numpy as np

from fastnn.kernels.buffers cimport address

include "arrow.pxi"
include "bson_rows.pxi"
