"""What a network is made of."""

from fastnn import _names
from fastnn.layers.activations import *
from fastnn.layers.base import *
from fastnn.layers.composite import *
from fastnn.layers.core import *
from fastnn.layers.discretization import *
from fastnn.layers.embedding import *
from fastnn.layers.hashing import *
from fastnn.layers.lookup import *
from fastnn.layers.merging import *
from fastnn.layers.noise import *
from fastnn.layers.normalization import *
from fastnn.layers.prelu import *
from fastnn.layers.preprocessing import *
from fastnn.layers.reshaping import *
from fastnn.layers.text_vectorization import *
from fastnn.layers.time_distributed import *

__all__ = _names.offer(globals())
