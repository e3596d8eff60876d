"""What a layer is: a declaration of sizes, names and defaults. Its arithmetic is an op of the engine."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from fastnn._table import Table, check_count, field_values
from fastnn.initializers import Initializer
from fastnn.regularizers import Regularizer
from fastnn.typing import Array, FloatArray, Shape

if TYPE_CHECKING:
    from fastnn.models import Model


class Parameter(NamedTuple):
    """An array of weights that a layer has, in the order in which its op keeps them."""

    name: str
    shape: Shape
    initializer: Initializer
    regularizer: Regularizer | None = None
    constraint: Any = None
    trainable: bool = True


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer: a shape of one row in, a shape of one row out. It holds no arrays; the model that it is in does."""

    table_name: ClassVar[str]

    def output_shape(self, *input_shapes: Shape) -> Shape:
        """Shape of one row out for one row in of each source. ValueError where the layer cannot take it."""
        (shape,) = input_shapes
        return shape

    def parameters(self, *input_shapes: Shape) -> tuple[Parameter, ...]:
        """The layer's weights for rows of `input_shape`."""
        return ()

    def op(self, input_shape: Shape) -> Any:
        """The op that the layer becomes; None where rows pass through unchanged."""
        return next(iter(self.ops(input_shape)), None)

    def ops(self, *input_shapes: Shape) -> tuple[Any, ...]:
        """The ops that the layer becomes: the first reads the layer's sources, each other the one before.

        () passes rows through. At most one op has parameters, which are `parameters` in their order.
        """
        from fastnn.layers.python import python_ops

        return python_ops(self, *input_shapes)

    def config(self) -> dict[str, Any]:
        """The layer as JSON: its class and its fields."""
        return {"class": self.table_name, **{name: _plain(value) for name, value in field_values(self).items()}}

    # The weights, through the model that holds them.

    def _set(self, name: str, value: object) -> None:
        """Set a field while the layer is made, or what a model notes on it."""
        object.__setattr__(self, name, value)

    def _join(self, model: Model, index: int, name: str) -> None:
        self._set("_place", (weakref.ref(model), index))
        self._set("_own_name", self._given_name())
        self._set("name", name)

    def _given_name(self) -> str | None:
        """The name that the layer was made with; the one that a model gave it is that model's."""
        name: str | None = getattr(self, "_own_name" if hasattr(self, "_own_name") else "name", None)
        return name

    def _model_and_index(self) -> tuple[Model, int]:
        reference, index = getattr(self, "_place", (lambda: None, 0))
        model = reference()
        if model is None:
            raise RuntimeError(
                f"layer {(getattr(self, 'name', None) or self.table_name)!r} has no weights yet; "
                "add it to a model, and build that (an input shape, build() or fit())"
            )
        return model, index

    def get_weights(self) -> list[FloatArray]:
        """Copies of the layer's weights (a Dense layer's kernel and bias)."""
        model, index = self._model_and_index()
        return [array.copy() for array in model._layer_weights(index)]

    def set_weights(self, weights: Sequence[Array]) -> None:
        """Replace the layer's weights; as many arrays as ``get_weights`` gives, of the same shapes."""
        model, index = self._model_and_index()
        model._replace(model._layer_weights(index), weights)

    def count_params(self) -> int:
        """How many numbers the layer's weights hold."""
        return sum(array.size for array in self.get_weights())


LAYERS: Table[Layer] = Table("layer", Layer)


def _plain(value: Any) -> Any:
    """A field's value as JSON: units of the tables become their configurations."""
    if hasattr(value, "table_name"):
        return {"class": value.table_name, **field_values(value)}
    return list(value) if isinstance(value, tuple) else value


def check_shape(owner: object, name: str, shape: object) -> Shape:
    """`shape` as a tuple of whole numbers of at least 1; a single number is a shape of one axis."""
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    if not sizes:
        raise ValueError(f"{type(owner).__name__}: {name} must have at least one axis, got {shape!r}")
    return tuple(check_count(f"{type(owner).__name__}: {name}", size) for size in sizes)
