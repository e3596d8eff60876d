"""Activations: the function that a layer applies to its output.

Each has its formula here, in float64 NumPy (``reference``), and its kernel in ``fastnn/kernels/``. An activation is
callable on arrays, as Keras's functions are: ``fastnn.activations.relu([-1.0, 2.0], max_value=6)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn import _names, object_registration
from fastnn._checks import shown as _shown
from fastnn._config import serialize as _serialize
from fastnn._table import own_objects as _own_objects, refuse_other as _refuse_other
from fastnn.activations.base import *
from fastnn.activations.custom import *
from fastnn.activations.gated import *
from fastnn.activations.piecewise import *
from fastnn.activations.rows import *
from fastnn.activations.smooth import *

linear, relu, leaky_relu, relu6, threshold = Linear(), ReLU(), LeakyReLU(), ReLU6(), Threshold()
hard_sigmoid, hard_silu, hard_tanh, hard_shrink = HardSigmoid(), HardSiLU(), HardTanh(), HardShrink()
soft_shrink, sparse_plus, sparse_sigmoid = SoftShrink(), SparsePlus(), SparseSigmoid()
celu, elu, selu, exponential, gelu, silu, mish = CELU(), ELU(), SELU(), Exponential(), GELU(), SiLU(), Mish()
sigmoid, log_sigmoid, softplus, squareplus, softsign = Sigmoid(), LogSigmoid(), Softplus(), Squareplus(), Softsign()
tanh, tanh_shrink = Tanh(), TanhShrink()
softmax, log_softmax, sparsemax = Softmax(), LogSoftmax(), Sparsemax()
swish, hard_swish = silu, hard_silu
glu = GLU()


def get(identifier: Any, custom_objects: Mapping[str, Any] | None = None) -> Activation:
    """An activation from its name, class, instance, configuration, or from a Python function; None is linear.

    A function becomes a ``Custom``; of a layer that is no more than an activation, such as LeakyReLU(), it is that one.
    custom_objects: name -> function or Custom, for names that are not in the table.
    ValueError for an unknown name.
    """
    own = _own_objects(custom_objects)
    if identifier is None:
        return linear
    of_layer = getattr(identifier, "as_activation", None)
    if of_layer is not None and not isinstance(identifier, type):
        identifier = of_layer() or identifier
    if isinstance(identifier, dict):
        if identifier.get("class_name") == "function":
            return get(identifier.get("config"), custom_objects)
        if identifier.get("class") != Custom.table_name:
            return ACTIVATIONS.from_config(identifier, own)
        name = identifier.get("name")
        if not isinstance(name, str) or not callable(object_registration.own_function(name, ACTIVATIONS.aliases, own)):
            raise ValueError(
                f"activation {_shown(name)} is a Python function, which is not saved with a model; "
                f"pass custom_objects={{{_shown(name)}: the function}}"
            )
        identifier = name
    found = object_registration.own_function(identifier, ACTIVATIONS.aliases, own)
    if _refuse_other(ACTIVATIONS, found):
        return Custom(found, name=identifier if isinstance(identifier, str) else None)
    return ACTIVATIONS.get(found)


def serialize(activation: Any) -> Any:
    """An activation as Keras writes it down: by its name, or with fields other than its own by these too."""
    made = get(activation)
    if isinstance(made, Custom):
        return _serialize(made.function)
    known = ACTIVATIONS.units.get(made.table_name)
    return made.table_name if known is type(made) and made == known() else _serialize(made)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Activation:
    """The activation that ``serialize`` wrote down, or that a name stands for; custom_objects has others by name."""
    return get(config, custom_objects)


__all__ = _names.offer(globals())
