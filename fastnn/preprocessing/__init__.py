"""Where Keras's older scripts look for what ``fastnn.utils`` has."""

from fastnn import _names
from fastnn.preprocessing import sequence as sequence
from fastnn.utils import (
    image_dataset_from_directory,
    text_dataset_from_directory,
    timeseries_dataset_from_array,
)

__all__ = [
    "image_dataset_from_directory",
    "sequence",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
]

_names.offer(globals())
