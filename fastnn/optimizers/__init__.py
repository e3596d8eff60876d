"""Optimizers: how a step turns the gradient into new weights.

Formulas, names and defaults are Keras 3's. Each is one kernel that passes once over the flat parameter vector;
``reference`` is the same step in float64 NumPy. `learning_rate` may be changed between epochs.
"""

from fastnn import _names
from fastnn.optimizers import schedules as schedules
from fastnn.optimizers.adam import *
from fastnn.optimizers.base import *
from fastnn.optimizers.lbfgs import *
from fastnn.optimizers.loss_scale import *
from fastnn.optimizers.momentum import *
from fastnn.optimizers.private import *
from fastnn.optimizers.scaled import *
from fastnn.optimizers.whole import *

__all__ = [*_names.offer(globals()), "schedules"]
