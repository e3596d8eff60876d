"""Initialisers: the weights that training starts from.

An initialiser is called with a shape, ``HeNormal()((784, 32))``; unless it has a seed of its own or is given a
generator, it draws from the one that ``fastnn.set_random_seed`` sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy import ndarray as _Array

from fastnn import _names
from fastnn._config import serialize as _serialize
from fastnn._table import refuse_other as _refuse_other
from fastnn.initializers.base import *
from fastnn.initializers.drawn import *
from fastnn.initializers.known import *

# Keras's lower-case spellings.
zeros, ones, constant, identity = Zeros, Ones, Constant, Identity
random_normal, truncated_normal, random_uniform = RandomNormal, TruncatedNormal, RandomUniform
glorot_normal, glorot_uniform, he_normal, he_uniform = GlorotNormal, GlorotUniform, HeNormal, HeUniform
lecun_normal, lecun_uniform = LecunNormal, LecunUniform
variance_scaling, orthogonal = VarianceScaling, Orthogonal
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal


def get(identifier: Any) -> Any:
    """An initialiser from its name, class, instance or configuration, or from an array of the values; a function of
    (shape, dtype), and None, stay as they are. ValueError for an unknown name.
    """
    if identifier is None or _refuse_other(INITIALIZERS, identifier):
        return identifier
    if isinstance(identifier, dict):
        return INITIALIZERS.from_config(identifier)
    return Constant(identifier) if isinstance(identifier, _Array) else INITIALIZERS.get(identifier)


def serialize(initializer: Any) -> Any:
    """A initialiser as Keras writes it down: its class, its configuration; a function by its name."""
    return _serialize(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The initialiser that ``serialize`` wrote down, or that a name stands for; custom_objects has others by name."""
    return INITIALIZERS.deserialize(config, custom_objects)


__all__ = _names.offer(globals())
