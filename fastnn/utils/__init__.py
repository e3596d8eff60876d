"""Helpers around models, with Keras's names: arrays and datasets, pictures of a model, a bar, files, own classes."""

from fastnn import _names
from fastnn._progbar import *
from fastnn.backend import (
    clear_session as clear_session,
    disable_interactive_logging as disable_interactive_logging,
    enable_interactive_logging as enable_interactive_logging,
    is_interactive_logging_enabled as is_interactive_logging_enabled,
    is_keras_tensor as is_keras_tensor,
    standardize_dtype as standardize_dtype,
)
from fastnn.models.feature_space import *
from fastnn.object_registration import *
from fastnn.serialization import *
from fastnn.utils.arrays import *
from fastnn.utils.batches import *
from fastnn.utils.datasets import *
from fastnn.utils.directories import *
from fastnn.utils.files import *
from fastnn.utils.graphs import *
from fastnn.utils.maps import *
from fastnn.utils.model_plot import *
from fastnn.utils.seeds import *

__all__ = _names.offer(globals())
