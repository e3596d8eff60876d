"""What a model is, whatever is done with it: its graph, names, weights and network."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from fastnn import random
from fastnn.engine.description import Variable
from fastnn.engine.network import Network
from fastnn.layers import Layer, Parameter
from fastnn.layers.base import Place, replace
from fastnn.layers.tensor import Connected, Node, Structure, Tensor, called, flattened
from fastnn.models import weights
from fastnn.models.graph import Graph, Plan, leaves, planned
from fastnn.typing import ArrayLike, FloatArray, Shape


class Built(Connected):
    """A graph of layers, and the network that it becomes."""

    table_name = "functional"
    name: str

    def _begin(self, name: str | None) -> None:
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(f"{type(self).__name__}: name must be a text without '/', got {name!r}")
        self.name = name or self.table_name
        self._automatic = not name
        self._members: list[Any] = []
        self._names: list[str] = []
        self._graph: Graph | None = None
        self._takes = self._gives = Structure("one", ("",))
        self._store: weights.Store | None = None
        self._plan: Plan | None = None
        self._network: Any = None
        self._trainer: Any = None
        self._frozen: frozenset[Layer] = frozenset()  # at the last compile
        self._seed: int | None = None  # of dropout and noise

    # The graph.

    def _symbolic(self, inputs: Any) -> Any:
        """What the model gives for symbolic tensors: its layers, applied to them."""
        tensors, _, keys = flattened(inputs, f"model {self.name!r}: inputs")
        if keys:
            tensors = self._takes.unpack(inputs, f"model {self.name!r}: inputs")
        self._take_rows(tensors[0].row)
        graph = self._drawn()
        expected, came = ([tensor.row for tensor in each] for each in (graph.inputs, tensors))
        if came != expected:
            raise ValueError(
                f"model {self.name!r} expects rows of {_listed(expected)}, got {_listed(came)}; "
                "check what it is called on"
            )
        node = Node(self, tuple(tensors), tuple(tensor.row for tensor in graph.outputs), self._gives, graph)
        return self._gives.pack(self._note(node).tensors())

    def _drawn(self) -> Graph:
        if self._graph is None:
            raise RuntimeError(f"model {self.name!r} has no layers that are connected yet; build it first")
        return self._graph

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors that the model reads."""
        self._built("inputs")
        return list(self._drawn().inputs)

    @property
    def outputs(self) -> list[Tensor]:
        """The tensors that the model gives."""
        self._built("outputs")
        return list(self._drawn().outputs)

    @property
    def input(self) -> Any:
        """The tensor, or the list or dict of tensors, that the model reads."""
        return self._takes.pack(self.inputs)

    @property
    def output(self) -> Any:
        """The tensor, or the list or dict of tensors, that the model gives."""
        return self._gives.pack(self.outputs)

    @property
    def input_names(self) -> list[str]:
        """The names by which x may be given as a dict."""
        return list(self._takes.names)

    @property
    def output_names(self) -> list[str]:
        """The names by which y, losses and metrics may be given as a dict."""
        return list(self._gives.names)

    @property
    def input_shape(self) -> Any:
        """(None, ...): the shape of the rows that the model reads; of several inputs a list or dict."""
        return self._takes.pack([tensor.shape for tensor in self._described("input_shape").inputs])

    @property
    def output_shape(self) -> Any:
        """(None, ...): the shape of what the model gives; of several outputs a list or dict."""
        return self._gives.pack([tensor.shape for tensor in self._described("output_shape").outputs])

    def _described(self, action: str) -> Graph:
        self._built(action)
        return self._drawn()

    @property
    def layers(self) -> list[Any]:
        """The layers, and the models among them, inputs included."""
        return list(self._members)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer of this name, or at this place in ``layers``. ValueError where there is none."""
        if (name is None) == (index is None):
            raise ValueError("get_layer needs a name or an index, and not both")
        found = dict(zip(self._names, self._members, strict=True))
        if name is not None:
            if name not in found:
                raise ValueError(f"model {self.name!r} has no layer {name!r}; it has {', '.join(map(repr, found))}")
            return found[name]
        layers = self.layers
        if not -len(layers) <= index < len(layers):  # type: ignore[operator]
            raise ValueError(f"model {self.name!r} has {len(layers)} layers, got index {index}")
        return layers[index]  # type: ignore[index]

    # The network.

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self._network is not None

    def _take_rows(self, shape: Shape) -> None:
        """Build for rows of this shape, where only that was missing."""

    def _built(self, action: str) -> Any:
        """The network, for what `action` names. RuntimeError while there is none."""
        return self._network

    def _make(self) -> None:
        """The network, on a store that holds the weights of all layers: those that have none begin here."""
        with weights.lock:
            plan = planned(self._drawn())
            rng = random.generator()
            if self._seed is None:
                self._seed = int(rng.integers(2**63))
            store, places, models = weights.gathered(plan.parameters, rng)
            self._run_on(store, plan, places)
            weights.settled(places)
            for layer in leaves(self._drawn()):
                if weights.place_of(layer) is None:
                    layer._set("_place", Place(store, 0, ()))
            for model in models:
                if model is not self:
                    model._move(store, places)

    def _run_on(self, store: weights.Store, plan: Plan, places: Mapping[Any, Place]) -> None:
        starts = [places[layer].start if layer in places else 0 for layer in plan.layers]
        network = Network(plan.ops, plan.sources, plan.inputs, plan.outputs, store.flat, starts)
        assert self._seed is not None
        network.seed = self._seed
        if self._store is not None:
            self._store.models.discard(self)
        self._store, self._plan, self._network = store, plan, network
        store.models.add(self)

    def _move(self, store: weights.Store, places: Mapping[Any, Place]) -> None:
        """Another model has brought the layers into a new store: go on there, the optimizer's state included."""
        before, trainer = self._network, self._trainer
        steps, slots = (0, {}) if trainer is None else trainer.state()
        self._run_on(store, planned(self._drawn()), places)
        if steps:
            moved = {name: np.zeros(store.flat.size, old.dtype) for name, old in slots.items()}
            for name, old in slots.items():
                for a, b in zip(before.ops, self._network.ops, strict=True):
                    moved[name][b.start : b.start + b.size] = old[a.start : a.start + a.size]
            trainer.go_on(steps, moved)

    def _last_layer(self, output: int = 0) -> Layer | None:
        """The layer whose op gives an output; None where an output has an op of its own."""
        assert self._plan is not None
        return self._plan.layers[self._plan.outputs[output]]

    def _layer_of(self, op: int) -> str:
        """The name of the layer that an op belongs to."""
        assert self._plan is not None
        layer = self._plan.layers[op]
        return dict(zip(self._members, self._names, strict=True)).get(layer) or called(layer)

    def _last_activation(self, output: int = 0) -> str:
        """Name of the activation that an output ends in."""
        activation = getattr(self._last_layer(output), "activation", None)
        return "linear" if activation is None else str(activation.table_name)

    def _fusible(self, output: int) -> str:
        """The last activation, where the loss may take its place: where nobody else reads the output."""
        assert self._plan is not None
        place = self._plan.outputs[output]
        read = any(place in sources for sources in self._plan.sources)
        return "linear" if read else self._last_activation(output)

    def _widths(self) -> list[int]:
        """Numbers in a row of each output."""
        assert self._plan is not None
        return [self._plan.ops[place].units for place in self._plan.outputs]

    def _variables(self) -> list[Variable]:
        """The parameters that learn."""
        assert self._plan is not None
        found = []
        for layer in self._plan.parameters:
            place = layer._placed()
            start = place.start
            for parameter in place.parameters:
                if parameter.trainable and layer not in self._frozen:
                    found.append(_variable(parameter, start))
                start += parameter.size
        return found

    def _frozen_ops(self) -> list[bool]:
        """For each op whether its parameters do not learn."""
        assert self._plan is not None
        return [
            layer in self._frozen or (layer is not None and op.size > 0 and not op.commits and not _learns(layer))
            for op, layer in zip(self._plan.ops, self._plan.layers, strict=True)
        ]

    # Weights.

    def _leaves(self) -> list[Layer]:
        """All layers, those of the models inside included, each once."""
        if self._graph is not None:
            return leaves(self._graph)
        found = [[each] if isinstance(each, Layer) else each._leaves() for each in self._members]
        return list(dict.fromkeys(layer for each in found for layer in each))

    @property
    def trainable(self) -> bool:
        """Whether any layer learns; to set it sets it for all of them. It counts from the next ``compile`` on."""
        layers = self._leaves()
        return not layers or any(layer.trainable for layer in layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self._leaves():
            layer._set("trainable", bool(value))

    def _views(self) -> list[FloatArray]:
        self._built("get_weights")
        return [array for layer in self._leaves() for array in layer._views()]

    def get_weights(self) -> list[FloatArray]:
        """Copies of all weights, layer by layer: kernel, bias, kernel, bias, ..."""
        return [array.copy() for array in self._views()]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replace all weights; arrays as ``get_weights`` gives them. ValueError, and no change, where one differs."""
        replace(self._views(), weights)

    @property
    def weights(self) -> list[FloatArray]:
        """Copies of all weights, as ``get_weights`` gives them."""
        return self.get_weights()

    @property
    def trainable_weights(self) -> list[FloatArray]:
        """Copies of the weights that learn."""
        self._built("trainable_weights")
        return [array for layer in self._leaves() for array in layer.trainable_weights]

    @property
    def non_trainable_weights(self) -> list[FloatArray]:
        """Copies of the weights that do not learn."""
        self._built("non_trainable_weights")
        return [array for layer in self._leaves() for array in layer.non_trainable_weights]

    def count_params(self) -> int:
        """How many numbers the weights hold."""
        return sum(array.size for array in self._views())

    def summary(self, print_fn: Callable[[str], object] | None = None) -> None:
        """Print the layers, what they give, how many parameters they have and, in a graph, what they read."""
        from fastnn.models.summary import described

        (print_fn or _write)(described(self))

    # Files.

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            f"model {self.name!r} cannot be pickled or copied: call save() and load_model(), or clone_model() for new "
            "weights"
        )

    def save(self, filepath: str | PathLike[str], overwrite: bool = True) -> None:
        """Write layers, weights, and what ``compile`` was given with the optimizer's state to one file.

        The layout is safetensors: data only, any name. The file is replaced whole or not at all. FileExistsError
        where it exists and overwrite is False; RuntimeError before the model is built.
        """
        from fastnn.store import model_file  # with json, a quarter of what `import fastnn` would cost

        model_file.save(self, filepath, overwrite)

    def save_weights(self, filepath: str | PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone to one file, as ``save`` does it; ``load_weights`` reads them."""
        from fastnn.store import model_file

        model_file.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: str | PathLike[str]) -> None:
        """Take the weights from a file of ``save_weights`` or ``save``, by the layers' names.

        ValueError, and no change, where a name or shape differs or the file is damaged.
        """
        from fastnn.store import model_file

        model_file.load_weights(self, filepath)

    def get_config(self) -> dict[str, Any]:
        """Layers and connections as JSON, without weights; ``from_config`` makes the model again."""
        from fastnn.store import architecture

        return architecture.describe(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The model that ``get_config`` described, with new weights. ValueError where it describes none."""
        from fastnn.store import architecture

        return architecture.build(config, custom_objects)

    def to_json(self) -> str:
        """``get_config`` as a text."""
        import json

        return json.dumps(self.get_config())


def _learns(layer: Layer) -> bool:
    """Whether any of the layer's parameters is for training."""
    return any(parameter.trainable for parameter in layer._placed().parameters)


def _variable(parameter: Parameter, start: int) -> Variable:
    """A parameter from `start` on in the flat vector, as the engine is told of it."""
    rows, columns = parameter.shape if len(parameter.shape) == 2 else (parameter.size, 1)
    limit, penalty = parameter.constraint, parameter.regularizer
    constraint = None if limit is None else (limit.kernel, limit.numbers())
    if penalty is None:
        return Variable(start, rows, columns, constraint=constraint)
    if penalty.whole:
        return Variable(start, rows, columns, penalty=(penalty.kernel, penalty.numbers()), constraint=constraint)
    return Variable(start, rows, columns, *penalty.numbers(), constraint=constraint)


def _listed(shapes: Sequence[Shape]) -> str:
    return "shape " + ", ".join(map(str, shapes))


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
