"""Weights that a layer of the user's own has by ``add_weight``, and what they are while its ``call`` is traced."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from fastnn import initializers, random, regularizers
from fastnn._checks import as_flag, check_count, shown
from fastnn._names import users_line
from fastnn._numbers import as_numbers, converted
from fastnn.engine.ops import DenseOp, ParameterOp
from fastnn.initializers import Initializer
from fastnn.layers._fields import constraint_of
from fastnn.layers.base import Layer
from fastnn.layers.places import Parameter, place_of
from fastnn.layers.tensor import TRACE, Node, Operators, Structure, Tensor
from fastnn.typing import Array, FloatArray, Shape

__all__ = ["Weight"]


class _First(Initializer):
    """Values that a weight has had before there was a model."""

    def __init__(self, array: FloatArray) -> None:
        self.array = array

    def values(self, shape: Shape, rng: np.random.Generator) -> Any:
        return self.array


class Weight(Operators):
    """A weight of a layer of the user's own, as ``add_weight`` gives it.

    Within ``call`` it goes into arithmetic and ``fastnn.ops`` like a tensor without an axis of rows. At any time
    ``numpy()`` gives a copy of its values, and ``assign(values)`` replaces them.
    """

    __slots__ = (
        "__weakref__",
        "_first",
        "constraint",
        "home",
        "initializer",
        "name",
        "regularizer",
        "shape",
        "trainable",
    )

    dtype = "float32"

    def __init__(
        self,
        name: str,
        shape: Any,
        initializer: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> None:
        sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"add_weight: name must be a text without '/', got {shown(name)}")
        self.name = name
        self.shape: Shape = tuple(check_count("add_weight: shape", size) for size in sizes)
        given = ("zeros" if len(self.shape) < 1 else "glorot_uniform") if initializer is None else initializer
        self.initializer = initializers.get(given)
        self.trainable = as_flag("add_weight: trainable", trainable)
        self.regularizer = regularizers.get(regularizer)
        self.constraint = constraint_of(constraint)
        self.home: Weights | None = None  # what has it in models, since a call was traced
        self._first: FloatArray | None = None

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def path(self) -> str:
        """Its name."""
        return self.name

    def parameter(self) -> Parameter:
        """What a model needs to know of it."""
        first = self.initializer if self._first is None else _First(self._first)
        return Parameter(self.name, self.shape, first, self.regularizer, self.constraint, self.trainable)

    def _held(self) -> tuple[Weights, int] | None:
        """What has it in a model, and its place there; None while there is no model."""
        if self.home is None or place_of(self.home) is None:
            return None
        return self.home, self.home.held.index(self)

    def numpy(self) -> FloatArray:
        """A copy of its values."""
        held = self._held()
        if held is not None:
            return held[0].get_weights()[held[1]]
        if self._first is None:
            values = self.initializer(self.shape, rng=random.generator())
            self._first = np.asarray(values, np.float32).reshape(self.shape)
        return self._first.copy()

    @property
    def value(self) -> FloatArray:
        """A copy of its values."""
        return self.numpy()

    def assign(self, value: Any) -> Weight:
        """Replace its values; ValueError where the shape is another."""
        array = converted(as_numbers(value, f"{self.name}.assign: value"), f"{self.name}.assign: value")
        if array.shape != self.shape:
            raise ValueError(f"{self.name}.assign: value has shape {array.shape}, expected {self.shape}")
        held = self._held()
        if held is None:
            self._first = np.asarray(array, np.float32).copy()
            return self
        arrays: list[Array] = list(held[0].get_weights())
        arrays[held[1]] = array
        held[0].set_weights(arrays)
        return self

    def assign_add(self, value: Any) -> Weight:
        """Add to its values; TypeError within a ``call``, which is run once and not for each batch."""
        self._refuse_counting("assign_add")
        return self.assign(self.numpy() + np.asarray(value))

    def assign_sub(self, value: Any) -> Weight:
        """Take from its values; TypeError within a ``call``, as for `assign_add`."""
        self._refuse_counting("assign_sub")
        return self.assign(self.numpy() - np.asarray(value))

    def _refuse_counting(self, method: str) -> None:
        if TRACE.get() is not None:
            raise TypeError(
                f"{self.name}.{method} in a call would act once, not for each batch: call is run on symbolic tensors, "
                "and then compiled; count batches with a callback that has on_train_batch_end"
            )

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return self.numpy() if dtype is None else self.numpy().astype(dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        if any(isinstance(each, Tensor) for each in inputs):
            return Tensor.__array_ufunc__(self, ufunc, method, *inputs, **named)  # type: ignore[arg-type]
        return getattr(ufunc, method)(*(each.numpy() if isinstance(each, Weight) else each for each in inputs), **named)

    def __repr__(self) -> str:
        return f"<Weight {self.name!r}, shape {self.shape}>"

    # While a call is traced.

    def tensor(self) -> Tensor:
        """It as a tensor of the call that is being traced. RuntimeError outside of one."""
        trace: Trace | None = TRACE.get()
        if trace is None:
            raise RuntimeError(
                f"{self!r} can be part of a model within call alone; its values are in numpy(){users_line()}"
            )
        if self not in trace.tensors:
            home = trace.home(self)
            makes = partial(_values, size=prod(self.shape))
            node = Node(home, (trace.anchor,), (self.shape,), Structure("one", (self.name,)), makes=makes, same=True)
            trace.tensors[self] = node.tensors()[0]
        return trace.tensors[self]


def _values(row: Shape, size: int) -> tuple[Any, ...]:
    return (ParameterOp(prod(row), size),)


def _dense(row: Shape, inputs: int, units: int, use_bias: bool) -> tuple[Any, ...]:
    return (DenseOp(inputs, units, use_bias, lines=prod(row[:-1])),)


class Weights(Layer):
    """One weight, or a kernel with its bias, as what has them in a model: a part of the layer that they belong to."""

    mentions_mask = False

    def __init__(self, *held: Weight) -> None:
        super().__init__()
        self._set("held", held)
        self._set("name", held[0].name)

    held: tuple[Weight, ...]

    def parameters(self, *rows: Shape) -> tuple[Parameter, ...]:
        return tuple(weight.parameter() for weight in self.held)

    def ops(self, *rows: Shape) -> tuple[Any, ...]:
        raise TypeError("weights have no ops of their own; the calls that read them have")


class Trace:
    """What is noted while a ``call`` is traced.

    anchor: a tensor of the call's inputs, which says how many rows there are. homes: what has the weights, by them.
    fuses: whether a product and what is added to it become one op, as in Dense. losses: what ``add_loss`` was given.
    """

    def __init__(self, anchor: Tensor, homes: dict[tuple[Weight, ...], Weights], fuses: bool) -> None:
        self.anchor, self.homes, self.fuses = anchor, homes, fuses
        self.tensors: dict[Weight, Tensor] = {}
        self.losses: list[Any] = []
        self.products: dict[Node, Weight] = {}

    def home(self, *held: Weight) -> Weights:
        """What has these weights together."""
        if held not in self.homes:
            alone = held[0].home if len(held) == 1 else None
            self.homes[held] = alone if alone is not None and alone.held == held else Weights(*held)
        return self.homes[held]

    def product(self, x: Tensor, kernel: Weight, bias: Weight | None = None) -> Tensor:
        """x . kernel, and the bias, along x's last axis."""
        inputs, units = kernel.shape
        if not x.row or x.row[-1] != inputs:
            raise ValueError(f"matmul: x of shape {x.shape} and a weight of shape {kernel.shape} do not go together")
        held = (kernel,) if bias is None else (kernel, bias)
        makes = partial(_dense, inputs=inputs, units=units, use_bias=bias is not None)
        name = Structure("one", (kernel.name,))
        node = Node(self.home(*held), (x,), ((*x.row[:-1], units),), name, makes=makes)
        if bias is None:
            self.products[node] = kernel
        return node.tensors()[0]

    def sum(self, product: Tensor, bias: Any) -> Tensor | None:
        """A product of this call and a bias as one; None where they are not that."""
        kernel = self.products.get(product.node)
        if not self.fuses or kernel is None or not isinstance(bias, Weight) or bias.shape != kernel.shape[1:]:
            return None
        return self.product(product.node.inputs[0], kernel, bias)


def homes_of(nodes: Sequence[Node]) -> dict[Weight, set[Weights]]:
    """What has each weight in these calls; of more than one the weight can be in none."""
    found: dict[Weight, set[Weights]] = {}
    for node in nodes:
        if isinstance(node.layer, Weights):
            for weight in node.layer.held:
                found.setdefault(weight, set()).add(node.layer)
    return found
