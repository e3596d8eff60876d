"""What a model is, for all that read it: its summary, its files and its training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy, deepcopy
from math import prod
from typing import Any

import numpy as np

from fastnn import random, regularizers
from fastnn._numbers import EXACT
from fastnn.activations import RowActivation
from fastnn.data.arrays import input_forms
from fastnn.data.several import Several
from fastnn.data.source import Source, check_names
from fastnn.engine.description import Variable
from fastnn.engine.network import Held, Network
from fastnn.engine.ops import StridedCopyOp
from fastnn.layers import Layer, Parameter
from fastnn.layers.base import leaves_of, parts_of
from fastnn.layers.graph import Graph, calls, leaves
from fastnn.layers.places import Place, locked, place_of, placed, pruned, set_place
from fastnn.layers.quantized import kept
from fastnn.layers.tensor import Structure
from fastnn.models import weights
from fastnn.models.front import Front
from fastnn.models.graph import Plan, planned
from fastnn.typing import FloatArray, Shape

PREPARED = ("classes", "ignored", "optional")  # what a model notes of the columns that it prepares itself: `Several`
MOST_CHARACTERS = 4096  # of the way to a layer, by names


class Description:
    """A model's members and their graph, and the network that they become.

    kind: "functional" or "sequential". members, names: the layers and the models among them, inputs included, and what
    each is called in this model. graph: the calls, None while the input shape is unknown. takes, gives: how inputs and
    outputs are given. store, plan, network: the weights, the ops and what runs them, None before the model is built.
    trainer: what ``compile`` made; frozen: the layers that did not learn then. seed: of dropout and noise.
    columns: what the columns were called that the model was fitted on, () where nobody gave them names.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.members: list[Any] = []
        self.names: list[str] = []
        self.graph: Graph | None = None
        self.takes = self.gives = Structure("one", ("",))
        self.store: weights.Store | None = None
        self.plan: Plan | None = None
        self.network: Any = None
        self.trainer: Any = None
        self.frozen: frozenset[Layer] = frozenset()
        self.seed: int | None = None
        self.secret = False  # the seed, which noise that protects rows hangs on: it stays out of files
        self.compiled_with: tuple[Any, ...] = ()  # as `compile` was given it
        self.matmul_precision: str | None = None  # as `compile` was given it
        self.steps_per_execution = 1  # batches between two hooks of batches
        self.last_logs: dict[str, Any] = {}  # of the last evaluation, if there was no fit since
        self.notes: dict[str, Any] = {}  # what a file of the model holds beside it
        self.columns: tuple[str, ...] = ()
        self.is_plain = False  # one input and one output, of one axis each
        self.only_rows: tuple[Shape, Shape] | None = None  # of what has one input and one output

    def saved(self) -> Description:
        """A copy to `restore` from: its lists do not change with this one's."""
        other = copy(self)
        other.members, other.names = list(self.members), list(self.names)
        return other

    def restore(self, other: Description) -> None:
        """Undo what failed half-way since `other` was ``saved``."""
        self._leave()
        vars(self).update(vars(other))
        if self.network is not None:
            self.network.left = False

    def forget(self) -> None:
        """There is no graph and no network any more; the layers keep their weights."""
        self._leave()
        self.graph = self.store = self.plan = self.network = None

    def _leave(self) -> None:
        """Have functions that predict with the network say that it is the model's no more."""
        if self.network is not None:
            self.network.left = True

    def layers(self) -> list[Layer]:
        """All layers, those of the models inside included, each once."""
        if self.graph is not None:
            return leaves(self.graph)
        return list(dict.fromkeys(layer for member in self.members for layer in leaves_of(member)))

    def parameters(self) -> Mapping[Layer, tuple[Parameter, ...]]:
        """What each layer that has float32 weights needs in this graph, whether or not there are any yet."""
        assert self.graph is not None
        found: dict[Layer, tuple[Parameter, ...]] = {}
        for node in calls(self.graph):
            if node.graph is None and node.layer not in found:
                found[node.layer] = kept(node.layer, node.layer.parameters(*(tensor.row for tensor in node.values)))
        return found

    # The network.

    def make(self) -> None:
        """The network, on a store that holds the weights of all layers: those that have none begin here."""
        assert self.graph is not None
        while True:
            with locked(leaves(self.graph)) as held, weights.lock:
                if held.is_current():  # another thread may have given layers their places while this one waited
                    self._make()
                    return

    def _make(self) -> None:
        assert self.graph is not None
        plan = planned(self.graph)
        rng = random.generator()
        if self.seed is None:
            self.seed = int(rng.integers(2**63))
        store, places, models = weights.gathered(plan.parameters, rng)
        if models:
            weights.check_idle(place.store for layer in places if (place := place_of(layer)) is not None)
        with store.lock:  # nobody else knows a new one yet
            self._run_on(store, plan, places)
            weights.commit(places)
            for layer in leaves(self.graph):
                if place_of(layer) is None:
                    set_place(layer, Place(store, 0, ()))
            for model in models:
                if model is not self:
                    model.move_to(store, places)

    def _run_on(self, store: weights.Store, plan: Plan, places: Mapping[Any, Place]) -> None:
        assert self.graph is not None
        pairs = zip(plan.layers, plan.starts, strict=True)
        starts = [places[layer].start + start if layer in places else 0 for layer, start in pairs]
        network = Network(
            plan.ops,
            plan.sources,
            plan.inputs,
            plan.outputs,
            store.flat,
            starts,
            store.lock,
            added=plan.added,
            masks=plan.masks,
        )
        assert self.seed is not None
        network.seed, network.matmul_precision = self.seed, self.matmul_precision
        if self.store is not None:
            self.store.models.discard(self)
        self._leave()
        self.store, self.plan, self.network = store, plan, network
        tensors = [*self.graph.inputs, *self.graph.outputs]
        self.only_rows = None
        if len(tensors) == 2 and self.gives.kind == "one" and plan.front is None:
            self.only_rows = tensors[0].row, tensors[1].row
        self.is_plain = self.only_rows is not None and all(len(row) == 1 for row in self.only_rows)
        store.models.add(self)

    def move_to(self, store: weights.Store, places: Mapping[Any, Place]) -> None:
        """Another model has brought the layers into a new store: go on there, the optimizer's state included."""
        assert self.graph is not None
        before, trainer = self.network, self.trainer
        steps, slots = (0, {}) if trainer is None else trainer.vectors()
        huge = trainer is not None and trainer.huge_gradient
        self._run_on(store, planned(self.graph), places)
        if steps:
            moved = {name: np.zeros(store.flat.size, old.dtype) for name, old in slots.items()}
            for name, old in slots.items():
                for a, b in zip(before.ops, self.network.ops, strict=True):
                    moved[name][b.start : b.start + b.size] = old[a.start : a.start + a.size]
            trainer.go_on(steps, moved, huge)

    @property
    def front(self) -> Front | None:
        """What makes the engine's rows of the columns that the model reads, where it is not they."""
        return None if self.plan is None else self.plan.front

    def reads(self) -> Several:
        """What the inputs are called, their shapes, and what is to be known of a query's columns beside them."""
        assert self.graph is not None
        prepared = {name: self.notes[name] for name in PREPARED if name in self.notes}
        rows = [tensor.row for tensor in self.graph.inputs]
        return Several(self.takes.names, rows, front=self.front, ids=self.reads_ids, **prepared)

    @property
    def reads_ids(self) -> bool:
        """Whether whole numbers of any size reach the layers that look them up: nothing else reads the inputs."""
        return self.network is not None and self.network.all_ids and self.front is None

    def may_round(self, x: Any) -> bool:
        """Whether ids would be rounded if they were read before there is a network, which says who reads them."""
        is_whole = getattr(getattr(x, "dtype", None), "kind", "") in ("i", "u")
        return is_whole and any((getattr(layer, "input_dim", None) or 0) > EXACT for layer in self.layers())

    # The outputs.

    def last_layer(self, output: int = 0) -> Layer | None:
        """The layer whose op gives an output; None where an output has an op of its own."""
        assert self.plan is not None
        return self.plan.layers[self.plan.outputs[output]]

    def last_activation(self, output: int = 0) -> str:
        """Name of the activation that an output ends in."""
        assert self.plan is not None
        assert self.graph is not None
        op = self.plan.ops[self.plan.outputs[output]]
        layer = self.last_layer(output)
        activation = None if hasattr(type(layer), "forward") else getattr(layer, "activation", None)
        if activation is None or not activation.compiled or isinstance(op, StridedCopyOp):
            return "linear"
        if isinstance(activation, RowActivation) and op.width != self.graph.outputs[output].row[-1]:
            return "linear"  # it runs along other axes
        return str(activation.table_name)

    def ending(self, output: int) -> str | None:
        """The last activation, None where it is not known what the last layer gives."""
        layer = self.last_layer(output)
        activation = None if hasattr(type(layer), "forward") else getattr(layer, "activation", None)
        return self.last_activation(output) if activation is not None and activation.compiled else None

    def fusible(self, output: int) -> str:
        """The last activation, where the loss may take its place: nothing else reads the output."""
        assert self.plan is not None
        place = self.plan.outputs[output]
        read = any(place in sources for sources in self.plan.sources)
        read |= any(place == each.op for each in self.plan.added)
        return "linear" if read else self.last_activation(output)

    def output_shapes(self) -> list[Shape]:
        """The shape of a row of each output."""
        assert self.graph is not None
        return [tensor.row for tensor in self.graph.outputs]

    # The rows.

    def check_source(self, source: Source, what: str) -> None:
        """ValueError where a source's rows, which `what` names, are not what the model reads."""
        check_names(self.columns, source.names, what)
        self.check_rows(source.input_shape, what)

    def learns_from(self, source: Source) -> None:
        """Keep what predictions for other rows need to know of those that the model is fitted on."""
        self.columns = self.columns or source.names
        if source.rules:
            self.notes["columns"] = dict(source.rules)
        if source.sequence is not None:
            self.notes["sequence"] = list(source.sequence)

    def check_rows(self, shape: Shape, what: str) -> None:
        """ValueError where rows of that shape, which `what` names, are not what the model reads."""
        assert self.graph is not None
        rows = [tensor.row for tensor in self.graph.inputs]
        expected = (rows[0] or (1,)) if len(rows) == 1 else (sum(map(prod, rows)),)
        if self.front is not None:
            expected = (self.front.width,)
        if shape != expected and (len(rows) > 1 or self.front is not None or shape not in input_forms(expected)):
            layer, name = self._reader()
            raise ValueError(
                f"{type(layer).__name__} {name!r} expects {_described(expected)}, got {_described(shape)} in {what}; "
                "check the columns of the data, or input_shape"
            )

    def _reader(self) -> tuple[Any, str]:
        """The layer that reads the rows, and its name."""
        return self.members[0], self.names[0]

    # The weights.

    def variables(self) -> list[Variable]:
        """The parameters that learn."""
        assert self.plan is not None
        found, paths = [], self.paths()
        for layer in self.plan.parameters:
            place = placed(layer)
            for parameter in place.parameters:
                if parameter.trainable and layer not in self.frozen:
                    own = {"path": f"{paths[layer]}/{parameter.name}", "mask": pruned(layer).get(parameter.name)}
                    own["sparse"] = vars(layer).get("sparse_updates")
                    found.append(_variable(parameter, place.start + parameter.offset, own))
        return found

    def frozen_ops(self, frozen: frozenset[Layer]) -> list[bool]:
        """For each op whether its parameters do not learn, where these layers do not."""
        assert self.plan is not None
        return [
            layer in frozen or (layer is not None and op.size > 0 and not op.commits and not _learns(layer))
            for op, layer in zip(self.plan.ops, self.plan.layers, strict=True)
        ]

    def locked(self) -> Held:
        """`with description.locked(): ...` holds the lock that all who run on the weights, read or write them take."""
        return Held(lambda: () if self.store is None else (self.store.lock,))

    def views(self) -> list[FloatArray]:
        """The weights, layer by layer; views, not copies. The lock is held while they are in use."""
        places = [place for layer in self.layers() if (place := place_of(layer)) is not None]
        return [view for place in places for view in place.views(place.store.flat)]

    def paths(self) -> dict[Layer, str]:
        """What each layer that has ops is called from here: the way to it, by the names of what it is in."""
        found: dict[Layer, str] = {}
        for member, name in zip(self.members, self.names, strict=True):
            _find_paths(member, name, found)
        return found

    def arrays(self, flat: Any = None, prefix: str = "") -> dict[str, Any]:
        """The weights, or another flat vector, as views by name: "dense/kernel", "encoder/dense/kernel", ..."""
        paths = self.paths()
        return {
            f"{prefix}{paths[layer]}/{parameter.name}": view
            for layer in self.layers()
            if (place := place_of(layer)) is not None
            for parameter, view in zip(
                place.parameters, place.views(place.store.flat if flat is None else flat), strict=True
            )
        }


def note_alike(made: Description, fitted: Description) -> None:
    """Note of a model that is made of a fitted one what that knows of the data."""
    made.columns, made.notes = fitted.columns, deepcopy(fitted.notes)


def take_precision(model: Description, precision: str | None) -> None:
    """Round the inputs of products as said from the next run on; None: as ``fastnn.set_matmul_precision`` says."""
    model.matmul_precision = precision
    if model.network is not None:
        model.network.matmul_precision = precision


def untrainable(layers: Iterable[Layer]) -> frozenset[Layer]:
    """Those that have ``trainable`` False now."""
    return frozenset(layer for layer in layers if not layer.trainable)


def _find_paths(member: Any, path: str, found: dict[Layer, str]) -> None:
    """Enter the way to each layer of a member that is not in `found` yet."""
    if len(path) > MOST_CHARACTERS:
        raise ValueError(
            f"the name of a layer, those of the models around it included, has at most {MOST_CHARACTERS:,} characters, "
            f"got {path:.80}..."
        )
    parts = parts_of(member)
    if isinstance(member, Layer) and not parts:
        found.setdefault(member, path)
    for name, part in parts:
        _find_paths(part, f"{path}/{name}" if name else path, found)


def _described(shape: Shape) -> str:
    return f"{shape[0]} features" if len(shape) == 1 else f"rows of shape {shape}"


def _learns(layer: Layer) -> bool:
    """Whether any of the layer's parameters is for training."""
    place = place_of(layer)
    return place is not None and any(parameter.trainable for parameter in place.parameters)


def _variable(parameter: Parameter, start: int, own: Mapping[str, Any]) -> Variable:
    """A parameter from `start` on in the flat vector, as the engine is told of it. own: what its layer says of it."""
    rows, columns = parameter.shape if len(parameter.shape) == 2 else (parameter.size, 1)
    shape, limit, penalty = parameter.shape, parameter.constraint, parameter.regularizer
    found = Variable(start, rows, columns, shape=shape, **own)
    if getattr(limit, "compiled", False):
        found = found._replace(constraint=(limit.kernel, limit.numbers()))
    elif limit is not None:
        from fastnn import constraints

        found = found._replace(python_constraint=lambda w: constraints.applied(limit, w.reshape(shape)))
    if penalty is None:
        return found
    if not getattr(penalty, "compiled", False):
        regularizers.check_slopes(penalty, parameter.size, f"{parameter.name!r}")
        return found._replace(python_penalty=lambda w: regularizers.value_and_slopes(penalty, w.reshape(shape)))
    if penalty.whole:
        return found._replace(penalty=(penalty.kernel, penalty.numbers()))
    l1, l2 = penalty.numbers()
    return found._replace(l1=l1, l2=l2)
