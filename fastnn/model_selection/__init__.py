"""Cross-validation and search for settings: many small networks at once, each with the bits that it has alone."""

from __future__ import annotations

from fastnn import _names
from fastnn.model_selection.curves import learning_curve, validation_curve
from fastnn.model_selection.scores import Scores
from fastnn.model_selection.searching import Search, search
from fastnn.model_selection.space import Float, Int
from fastnn.model_selection.validation import cross_validate

__all__ = ["Float", "Int", "Scores", "Search", "cross_validate", "learning_curve", "search", "validation_curve"]

_names.offer(globals())
