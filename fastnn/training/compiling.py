"""Objectives that are compiled once, for all models that have the same."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

from fastnn.training.objectives import CompiledObjectives, Objective
from fastnn.typing import Shape


def compiled(
    objectives: Sequence[Objective], shapes: Sequence[Shape], activations: Sequence[str]
) -> CompiledObjectives:
    """`CompiledObjectives` of these; those of another model where nothing in them is a model's own, as metrics are."""
    given = tuple(objectives), tuple(shapes), tuple(activations)
    own = (type(each.loss).__module__.startswith("fastnn.") and each.loss.compiled for each in objectives)
    if all(own) and not any(each.metrics or each.weighted_metrics for each in objectives):
        with suppress(TypeError):  # of a loss with a list
            return _compiled(*given)
    return CompiledObjectives(*given)


_compiled = lru_cache(64)(CompiledObjectives)
