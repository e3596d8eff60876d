"""The ops of most layers: modules of their own would be 10 kB of a wheel each."""

from libc.math cimport cos, floor, sin, sqrt
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cimport fastnn.kernels.types as types
from fastnn.engine.arena cimport padded
from fastnn.engine.ops cimport (
    Activated, ADDRESS_SPACE, ADDRESSES, DenseOp, in_training, lines_of, lines_of_block, Op, Step, UNIT_WORK,
)
from fastnn.kernels.mix cimport mix64
from fastnn.kernels.buffers cimport address
from fastnn.kernels.kernel cimport BACKWARD, float32_of, FORWARD, GRADIENT, Kernel, Numbers, workspace_elements
from fastnn.kernels.types cimport (
    Axes, dot_backward32, dot_forward32, Merge, merge_backward32, merge_forward32, noise32, SUBTRACT, sum32,
)

from math import prod

import numpy as np

from fastnn import kernels

include "merging.pxi"
include "patches.pxi"
include "planes.pxi"
include "winograd.pxi"
include "convolution.pxi"
include "windows.pxi"
include "noise.pxi"
include "masks.pxi"
include "pictures.pxi"
include "states.pxi"
include "recurrent.pxi"
include "gated.pxi"
include "spectral.pxi"
include "attention.pxi"
