"""Where Keras's older scripts look for what ``fastnn.utils`` has."""

from fastnn import _names
from fastnn.preprocessing import sequence as sequence
from fastnn.utils import timeseries_dataset_from_array

__all__ = ["sequence", "timeseries_dataset_from_array"]

_names.offer(globals())
