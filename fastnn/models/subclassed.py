"""Models of the user's own: a subclass of ``Model`` with a ``call``, which is traced once there are rows.

class Classifier(Model):
    def __init__(self):
        super().__init__()
        self.hidden = Dense(64, "relu")
        self.dropout = Dropout(0.5)
        self.out = Dense(10, "softmax")

    def call(self, inputs, training=False):
        return self.out(self.dropout(self.hidden(inputs), training=training))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn._checks import as_arguments, as_flag, shown
from fastnn._dtypes import dtype_name
from fastnn._table import note_own, plain
from fastnn.data import ArraySource, Source
from fastnn.layers.base import check_shape, mode_of
from fastnn.layers.core import InputLayer
from fastnn.layers.operation import Operation
from fastnn.layers.tensor import Node, Structure, Tensor, distinct, names_of, replaced, snake_case
from fastnn.layers.traced import Traced, made_from
from fastnn.layers.tracing import arguments_of, layers_of, shapes_of, tensors_in
from fastnn.layers.weight import Weights
from fastnn.models.built import ADOPT, KINDS, NotBuiltError
from fastnn.models.model import Model
from fastnn.object_registration import get_registered_name
from fastnn.typing import Shape


class Subclassed(Traced, Model):
    """What a class with ``call`` is derived from in place of Model: a model whose graph is drawn by that."""

    table_name = "subclassed"

    def __new__(cls, *given: Any, **named: Any) -> Any:
        self = super().__new__(cls)
        self._begin_traced(given, named)
        vars(self).update(_compile=None, _trainable=True)
        return self

    def __init__(self, *given: Any, name: str | None = None, **named: Any) -> None:
        if given or "inputs" in named:
            Model.__init__(self, *given, name=name, **named)  # type: ignore[misc]
            return
        self._begin_alone(name)
        trainable, dtype = named.pop("trainable", True), named.pop("dtype", None)
        if named or dtype_name(dtype) not in (None, "float32"):
            wrong = next(iter(named), "dtype")
            raise TypeError(f"{type(self).__name__}: Model.__init__ takes name and trainable, got {wrong!r}")
        vars(self)["_trainable"] = bool(trainable)

    def _begin_alone(self, name: str | None) -> None:
        self._begin(name)

    def _begin(self, name: str | None) -> None:
        if type(self).table_name == "subclassed":
            type(self).table_name = snake_case(type(self).__name__)
        super()._begin(name)
        self.description.kind = "subclassed"

    @property
    def trainable(self) -> bool:
        """Whether any layer learns; to set it sets it for all of them, those too that are made later."""
        return bool(Model.trainable.fget(self)) if self.built else vars(self)["_trainable"]  # type: ignore[attr-defined]

    @trainable.setter
    def trainable(self, value: bool) -> None:
        vars(self)["_trainable"] = as_flag("trainable", value)
        for member in [*self.description.layers(), *self.description.members, *layers_of(self)]:
            member.trainable = value

    # Building.

    def build(self, input_shape: Any = None) -> None:
        """Draw the graph and make the weights for rows of this shape: (None, 4), or a list or dict of such shapes.

        A subclass may make its layers here; its graph is drawn then when there are rows.
        """
        if input_shape is None:
            raise ValueError(f"model {self.name!r}: build needs the shape of the rows, such as (None, 4)")
        self._draw(_inputs_for(input_shape))

    def _draw(self, given: Any) -> None:
        """The graph for inputs like these, and the weights. Once; another shape later is refused as rows are."""
        if self.description.graph is not None:
            return
        before = self.description.saved()
        try:
            self.draw(given)
            self.description.make()
            if vars(self)["_compile"] is not None:
                arguments, named = vars(self)["_compile"]
                if self.optimizer is not None:
                    arguments = (self.optimizer, *arguments[1:])
                    named = {name: value for name, value in named.items() if name != "optimizer"}
                self.compile(*arguments, **named)
                vars(self)["_compile"] = None
        except BaseException:
            self.description.restore(before)
            raise

    def draw(self, given: Any) -> None:
        """The graph for inputs like these, without weights."""
        if type(self).build is not Subclassed.build and not vars(self).get("_built_own"):
            vars(self)["_built_own"] = True
            self.build(shapes_of([given])[0])
        tensors = tensors_in(given)
        several = isinstance(given, (list, tuple)) and self._takes() > 1
        graph, kind, keys = self._trace(tensors, tuple(given) if several else (given,), {})
        description = self.description
        own = layers_of(self)
        members = list(graph.members)
        order = sorted(graph.named, key=lambda member: own.index(member) if member in own else len(own))
        names = dict(zip(order, names_of(order), strict=True))
        description.graph, description.members = graph, members
        description.names = [names[member] for member in members]
        kind_of_inputs = "one" if isinstance(given, Tensor) else "dict" if isinstance(given, dict) else "list"
        taken = tuple(given) if isinstance(given, dict) else tuple(names[tensor.node.layer] for tensor in tensors)
        description.takes = Structure(kind_of_inputs, taken)
        description.gives = Structure(kind, distinct(keys or tuple(names[t.node.layer] for t in graph.outputs)))
        if not vars(self)["_trainable"]:
            self.trainable = False

    def _see(self, x: Any) -> None:
        """Draw the graph for rows like those of `x`, where that was not done yet."""
        if self.description.graph is not None:
            return
        if isinstance(x, Mapping) and not hasattr(x, "tocsr"):
            self._draw({key: _input(_row_of(value), str(key)) for key, value in x.items()})
        elif isinstance(x, (list, tuple)) and x and all(hasattr(each, "shape") for each in x):
            self._draw([_input(_row_of(each)) for each in x])
        else:
            source = x if isinstance(x, Source) else super()._source(x, None, None)
            self._draw(_input(source.input_shape))

    def _take_rows(self, shape: Shape) -> None:
        self._draw(_input(shape))

    def _built(self, action: str) -> Any:
        if self.description.network is None:
            raise NotBuiltError(
                f"{action} needs the model's weights, and there are none yet; call build(input_shape), such as "
                "model.build((None, 4)), or fit() first"
            )
        return self.description.network

    def _symbolic(self, inputs: Any, training: Any = None) -> Any:
        tensors = tensors_in(inputs)
        if self.description.graph is None:
            copies = {tensor: InputLayer(tensor.row, dtype=tensor.dtype).tensor() for tensor in tensors}
            self._draw(replaced(inputs, copies))
        graph = self._drawn()
        if isinstance(inputs, dict):
            tensors = self.description.takes.unpack(inputs, f"model {self.name!r}: inputs")
        came, expected = ([tensor.row for tensor in each] for each in (tensors, graph.inputs))
        if came != expected:
            raise ValueError(f"model {self.name!r} expects rows of {shown(expected)}, got {shown(came)}")
        node = Node(
            self,
            tuple(tensors),
            tuple(tensor.row for tensor in graph.outputs),
            self.description.gives,
            graph,
            mode_of(self, training),
        )
        return self.description.gives.pack(self._note(node).tensors())

    # Training, which begins with a look at the rows.

    def compile(self, *arguments: Any, **named: Any) -> None:
        """As ``Model.compile``; before there is a graph, what is compiled then."""
        if self.description.graph is None:
            vars(self)["_compile"] = (arguments, named)
            loss = arguments[1] if len(arguments) > 1 else named.get("loss")
            if loss is None or isinstance(loss, (list, tuple, Mapping)):
                return  # which outputs there are is not known yet
        Model.compile(self, *arguments, **named)

    def _compiled(self, action: str) -> Any:
        if vars(self)["_compile"] is not None and self.description.trainer is None:
            raise RuntimeError(f"{action}: the model's outputs are not known before it is built; call build(...) first")
        return super()._compiled(action)

    def fit(self, x: Any = None, *more: Any, **named: Any) -> Any:
        """As ``Model.fit``."""
        self._see(x)
        return Model.fit(self, x, *more, **named)

    def evaluate(self, x: Any = None, *more: Any, **named: Any) -> Any:
        """As ``Model.evaluate``."""
        self._see(x)
        return Model.evaluate(self, x, *more, **named)

    def predict(self, x: Any, *more: Any, **named: Any) -> Any:
        """As ``Model.predict``."""
        self._see(x)
        return Model.predict(self, x, *more, **named)

    def train_on_batch(self, x: Any, *more: Any, **named: Any) -> Any:
        """As ``Model.train_on_batch``."""
        self._see(x)
        return Model.train_on_batch(self, x, *more, **named)

    def gradient(self, x: Any, *more: Any, **named: Any) -> Any:
        """As ``Model.gradient``."""
        self._see(x)
        return Model.gradient(self, x, *more, **named)

    def test_on_batch(self, x: Any, *more: Any, **named: Any) -> Any:
        """As ``Model.test_on_batch``."""
        self._see(x)
        return Model.test_on_batch(self, x, *more, **named)

    @property
    def layers(self) -> list[Any]:
        """The layers and models that are its attributes, in their order, then others that its ``call`` has made."""
        own = layers_of(self)
        rest = [each for each in self.description.members if not isinstance(each, (InputLayer, Operation, Weights))]
        return list(dict.fromkeys([*own, *rest]))

    @layers.setter
    def layers(self, given: Any) -> None:
        Model.layers.fset(self, given)  # type: ignore[attr-defined]

    # As JSON.

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` makes the model of again; a subclass adds its own arguments to it.

        Where a subclass has no get_config, it is the arguments that the model was made with. TypeError where one of
        them cannot be described.
        """
        if type(self).get_config is not Subclassed.get_config:
            return {"name": self.name, "trainable": True, "dtype": "float32"}
        return {"name": self.name, **self.arguments()} if _takes_name(type(self)) else self.arguments()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The model that ``get_config`` described; it is built by its rows, or by ``build``."""
        return cls(**as_arguments(cls.__name__, config))

    def described(self) -> dict[str, Any]:
        """The model for a file: its class, what ``get_config`` gives, and the shapes of its rows."""
        graph = self.description.graph
        rows = [] if graph is None else [list(tensor.row) for tensor in graph.inputs]
        takes = self.description.takes
        return {
            "class": note_own(get_registered_name(type(self)), type(self)),
            "config": plain(self.get_config()),
            "inputs": [takes.kind, list(takes.names), rows],
        }

    @classmethod
    def from_file(cls, name: str, config: dict[str, Any], inputs: Any) -> Any:
        """The model that ``described`` gave, drawn but without weights."""
        model, _ = made_from(cls, config)
        model.name = name
        kind, names, rows = inputs
        if rows:
            given = [
                _input(tuple(row), each if kind == "dict" else None) for row, each in zip(rows, names, strict=True)
            ]
            model.draw(dict(zip(names, given, strict=True)) if kind == "dict" else given[0] if kind == "one" else given)
        return model


def _takes_name(cls: Any) -> bool:
    return bool({"name", "**"} & set(arguments_of(cls.__init__)))


def _input(row: Shape, name: str | None = None) -> Tensor:
    return InputLayer(row, name=name).tensor()


def _row_of(x: Any) -> Shape:
    """The shape of a row of an array."""
    return ArraySource(x).input_shape


def _inputs_for(shape: Any, name: str | None = None) -> Any:
    """Inputs for a shape, or a list or dict of shapes."""
    if isinstance(shape, Mapping):
        return {key: _inputs_for(each, str(key)) for key, each in shape.items()}
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if sizes and all(isinstance(each, (tuple, list)) for each in sizes):
        return [_inputs_for(each) for each in sizes]
    if sizes and sizes[0] is None:
        sizes = sizes[1:]
    return _input(check_shape("build", "input_shape", sizes) if sizes else (), name)


KINDS["subclassed"] = Subclassed


def adopt(cls: Any) -> None:
    """Have a class with ``call`` be derived from Subclassed. TypeError for one whose methods would not be called."""
    for name in ("train_step", "test_step", "predict_step", "compute_loss"):
        if name in vars(cls):
            raise TypeError(
                f"{cls.__name__}.{name} would never be called: steps are compiled; write what is added to the loss "
                "with add_loss or as a Loss, or a loop of your own with model.gradient(x, y) and "
                "optimizer.apply_gradients(...): see docs/writing-your-own.md"
            )
    if "call" in vars(cls) and not issubclass(cls, Subclassed):
        bases = tuple(Subclassed if base is Model else base for base in cls.__bases__)
        cls.__bases__ = bases if bases != cls.__bases__ else (Subclassed, *bases)


ADOPT.append(adopt)
