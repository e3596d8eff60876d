"""Where a layer's weights lie, and the weights as variables, which are read and set there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from math import prod
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from fastnn._checks import as_list
from fastnn._names import users_line
from fastnn._numbers import as_numbers, converted
from fastnn.engine.network import Held, Lock
from fastnn.initializers import Initializer
from fastnn.layers.tensor import TRACE, SymbolicError, called
from fastnn.regularizers import Regularizer
from fastnn.typing import Array, ArrayLike, FloatArray, Shape
from fastnn.variables import Variable


class Parameter(NamedTuple):
    """An array of weights that a layer has, in the order in which its op keeps them."""

    name: str
    shape: Shape
    initializer: Initializer
    regularizer: Regularizer | None = None
    constraint: Any = None
    trainable: bool = True
    offset: int = 0  # where it begins in the layer's part of a flat vector; a plan says it

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


class Place(NamedTuple):
    """Where a layer's weights lie: in a store's flat vector, each parameter at its offset from `start` on."""

    store: Any
    start: int
    parameters: tuple[Parameter, ...]

    def views(self, flat: FloatArray) -> list[FloatArray]:
        """The layer's part of a flat vector, as one array for each parameter; views, not copies."""
        places = [(self.start + parameter.offset, parameter) for parameter in self.parameters]
        return [flat[start : start + each.size].reshape(each.shape) for start, each in places]


def place_of(layer: Any) -> Place | None:
    """Where a layer's weights lie, None while it has none."""
    place: Place | None = vars(layer).get("_place")
    return place


def start_of(layer: Any) -> int:
    """Where a layer's weights begin in the vector that the model's layers share; 0 for one that has none."""
    place = place_of(layer) if layer is not None else None
    return 0 if place is None else place.start


def set_place(layer: Any, place: Place | None) -> None:
    """Say where a layer's weights lie from now on."""
    vars(layer)["_place"] = place


def pruned(layer: Any) -> Mapping[str, Array]:
    """By name, what says of each number of a layer's weights whether it may be other than 0: uint8, 0 or 1."""
    found: Mapping[str, Array] = vars(layer).get("_pruned", {})
    return found


def set_pruned(layer: Any, masks: Mapping[str, Array]) -> None:
    """Say so from now on, of a layer that has weights; those who train it are to ask."""
    vars(layer)["_pruned"] = masks
    placed(layer).store.prunings += 1


def placed(layer: Any) -> Place:
    """Where a layer's weights lie. RuntimeError while it has none."""
    place = place_of(layer)
    if place is None:
        raise RuntimeError(
            f"layer {called(layer)!r} has no weights yet; "
            "build it, or add it to a model, and build that (by input_shape, build() or fit())"
        )
    return place


def locked(layers: Iterable[Any]) -> Held:
    """`with locked(layers): ...` holds the locks of the stores that the layers' weights lie in; none of them moves."""
    own = tuple(layers)

    def find() -> list[Lock]:
        return [place.store.lock for layer in own if (place := place_of(layer)) is not None]

    return Held(find)


class LayerVariable(Variable):
    """One array of a layer's weights, as it is at each moment: it follows its layer into the stores of other models."""

    def __init__(self, layer: Any, number: int) -> None:
        self.layer = layer
        self.number = number  # among the layer's parameters

    @property
    def parameter(self) -> Parameter:
        """What the layer says of it."""
        return placed(self.layer).parameters[self.number]

    def numpy(self) -> Array:
        """A copy of its values. TypeError in a `call` that is traced, where they would stay as they are for good."""
        if TRACE.get() is not None:
            raise SymbolicError(
                f"call runs once, on no rows, so {self.path!r} would be taken as it is now, and never learn with its "
                "layer; a kernel that two places use is a weight of your own: self.w = self.add_weight(...), "
                f"ops.matmul(x, self.w) and ops.matmul(h, ops.transpose(self.w)){users_line()}"
            )
        return super().numpy()

    def _locked(self) -> AbstractContextManager[Any]:
        return locked([self.layer])

    def _view(self) -> FloatArray:
        place = placed(self.layer)
        return place.views(place.store.flat)[self.number]

    def _write(self, held: Any, values: Array) -> None:
        held.assign([self._view()], [converted(values, self.path)])

    @property
    def name(self) -> str:
        return self.parameter.name

    @property
    def path(self) -> str:
        return f"{called(self.layer)}/{self.name}"

    @property
    def shape(self) -> Shape:
        return self.parameter.shape

    @property
    def trainable(self) -> bool:
        """Whether it learns; a layer's weights learn together, by the layer's ``trainable``."""
        return bool(self.layer.trainable and self.parameter.trainable)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        raise AttributeError(
            f"{self.path}: a layer's weights learn together; set trainable of the layer {called(self.layer)!r}"
        )

    @property
    def regularizer(self) -> Any:
        """The penalty on it, None for none."""
        return self.parameter.regularizer

    @property
    def constraint(self) -> Any:
        """What keeps it in bounds, None for none."""
        return self.parameter.constraint


def variables_of(layers: Iterable[Any], *which: bool) -> list[Any]:
    """The weights of layers that have them: those that learn, those that do not, or both."""
    found: list[Any] = []
    for layer in layers:
        place = place_of(layer)
        for number, parameter in enumerate(() if place is None else place.parameters):
            if not which or (layer.trainable and parameter.trainable) in which:
                found.append(variable_of(layer, number))
    return found


def variable_of(layer: Any, number: int) -> LayerVariable:
    """The weight of that number; the same object as long as anybody has it, and none that would keep the layer."""
    known: WeakValueDictionary[int, LayerVariable] = vars(layer).setdefault("_variables", WeakValueDictionary())
    found = known.get(number)
    if found is None:
        found = known[number] = LayerVariable(layer, number)
    return found


def replace(held: Held, views: Callable[[], Sequence[FloatArray]], weights: Sequence[ArrayLike]) -> None:
    """Copy arrays over the views, while their locks are held. ValueError, and no change, where a shape differs."""
    named = [(f"weights[{number}]", array) for number, array in enumerate(as_list("weights", weights, "arrays"))]
    new = [converted(as_numbers(array, name), name) for name, array in named]
    with held:
        targets = views()
        if len(new) != len(targets):
            raise ValueError(f"expected {len(targets)} arrays of weights, got {len(new)}")
        for number, (array, target) in enumerate(zip(new, targets, strict=True)):
            if array.shape != target.shape:
                raise ValueError(f"weights[{number}] has shape {array.shape}, expected {target.shape}")
        held.assign(targets, new)
