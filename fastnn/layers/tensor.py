"""Symbolic tensors: what layers are called on, to say how they are connected before there are any rows."""

from __future__ import annotations

import weakref
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

from fastnn._checks import shown
from fastnn.typing import Shape

MAX_LAYERS = 1000  # calls in a model, those inside of its models included; a file that names more is not believed


class Node:
    """One call of a layer or a model: what it read, and the shapes of one row of what it gives."""

    __slots__ = ("__weakref__", "graph", "inputs", "layer", "outputs", "rows", "training")

    def __init__(
        self,
        layer: Any,
        inputs: tuple[Tensor, ...],
        rows: tuple[Shape, ...],
        outputs: Structure,
        graph: Any = None,
        training: bool | None = None,
    ) -> None:
        self.layer = layer
        self.inputs = inputs
        self.rows = rows
        self.outputs = outputs
        self.training = training  # whether it is as in training in each run, or in none; None: as the run says
        self.graph = graph  # of a model or a layer of layers, as it was when it was called; None for one with ops

    def tensors(self) -> list[Tensor]:
        """What the call gives."""
        return [Tensor(self, place) for place in range(len(self.rows))]

    @property
    def size(self) -> int:
        """How many layers it stands for."""
        return 1 if self.graph is None else int(self.graph.size)

    def copy(self, inputs: tuple[Tensor, ...]) -> Node:
        """The same call on other tensors of the same shapes."""
        return Node(self.layer, inputs, self.rows, self.outputs, self.graph, self.training)


class Tensor:
    """A value in a model that is being described: ``Input((4,))``, ``Dense(8)(x)``. It has a shape and no numbers."""

    __slots__ = ("node", "place")

    def __init__(self, node: Node, place: int = 0) -> None:
        self.node = node
        self.place = place

    @property
    def row(self) -> Shape:
        """Shape of one row."""
        return self.node.rows[self.place]

    @property
    def dtype(self) -> str:
        """What it holds: "float32", or in a model's front "int64" or "string"."""
        if self.node.graph is not None:
            return str(self.node.graph.outputs[self.place].dtype)
        return str(self.node.layer.output_dtype)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """(None, ...): the None stands for any number of rows."""
        return (None, *self.row)

    @property
    def name(self) -> str:
        """The name of the layer that gives it."""
        return called(self.node.layer)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tensor) and self.node is other.node and self.place == other.place

    def __hash__(self) -> int:
        return hash((id(self.node), self.place))

    def __repr__(self) -> str:
        return f"<Tensor of {self.name!r}, shape {self.shape}>"

    def __array__(self, *_: object, **__: object) -> Any:
        raise TypeError(f"{self!r} has no numbers; make a Model(inputs, outputs) and call its predict")


class Structure(NamedTuple):
    """How several values are given: one alone, a list of them, or a dict."""

    kind: str  # "one", "list" or "dict"
    names: tuple[str, ...]

    def pack(self, values: Sequence[Any]) -> Any:
        """The values, in their order, as the structure has them."""
        if self.kind == "dict":
            return dict(zip(self.names, values, strict=True))
        return values[0] if self.kind == "one" else list(values)

    def unpack(self, given: Any, what: str) -> list[Any]:
        """The values in their order; a dict goes by name. ValueError where another number of them comes."""
        if isinstance(given, Mapping):
            if set(given) != set(self.names):
                raise ValueError(
                    f"{what}: expected a dict with {', '.join(map(repr, self.names))}, "
                    f"got {', '.join(map(repr, given)) or 'an empty one'}"
                )
            return [given[name] for name in self.names]
        alone = len(self.names) == 1 and not (isinstance(given, (list, tuple)) and len(given) == 1)
        if self.kind == "one" or alone:
            return [given]
        if not isinstance(given, (list, tuple)) or len(given) != len(self.names):
            came = f"{len(given)}" if isinstance(given, (list, tuple)) else type(given).__name__
            raise ValueError(
                f"{what}: expected a list of {len(self.names)} or a dict, for {', '.join(map(repr, self.names))}; "
                f"got {came}"
            )
        return list(given)


def flattened(given: Any, what: str) -> tuple[list[Tensor], str, tuple[str, ...]]:
    """Tensors given alone, as a list or as a dict: (they, the kind of structure, a dict's keys)."""
    if isinstance(given, Tensor):
        return [given], "one", ()
    keys: tuple[str, ...] = ()
    if isinstance(given, Mapping):
        keys, kind, tensors = tuple(given), "dict", list(given.values())
    else:
        kind, tensors = "list", list(given) if isinstance(given, (list, tuple)) else [given]
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{what} must be symbolic tensors, such as Input(...) gives, got {shown(tensor)}")
    if not tensors:
        raise ValueError(f"{what} must be at least one symbolic tensor, got none")
    for key in keys:
        if not isinstance(key, str):
            raise TypeError(f"{what}: the keys of a dict must be texts, got {shown(key)}")
    return tensors, kind, keys


def is_symbolic(given: Any) -> bool:
    """Whether a layer that is called on `given` is being described rather than asked."""
    if isinstance(given, dict):
        given = list(given.values())
    return isinstance(given, Tensor) or (isinstance(given, (list, tuple)) and any(isinstance(t, Tensor) for t in given))


def has_automatic_name(member: Any) -> bool:
    """Whether the name of a layer or model was made up, and so may differ from model to model."""
    return getattr(member, "name", None) is None or bool(vars(member).get("_automatic"))


def set_automatic_name(member: Any, automatic: bool = True) -> None:
    """Note whether the name of a layer or model was made up."""
    vars(member)["_automatic"] = automatic


def called(layer: Any) -> str:
    """What a layer or model is called in messages."""
    name = getattr(layer, "name", None)
    return name if isinstance(name, str) and name else str(layer.table_name)


def named(member: Any, taken: Container[str], numbers: dict[str, int] | None = None) -> str:
    """The name of a layer or model in a model whose other members' names are `taken`.

    A name that was given must be free. One that is made up stays with the member; where another member has the same,
    it goes by the next number in this model. numbers: by what a member is, the number up to which all are taken;
    kept from one member of a model to the next, so that many of a kind are not counted again for each.
    """
    given = getattr(member, "name", None)
    if given is not None and not has_automatic_name(member):
        if not isinstance(given, str) or "/" in given:
            raise ValueError(f"{type(member).__name__}: name must be a text without '/', got {shown(given)}")
        if given in taken:
            raise ValueError(
                f"the model has a layer called {given!r} already; give this one another name: all layers of a model "
                "should have unique names"
            )
        return given
    numbers = {} if numbers is None else numbers
    kind, name = member.table_name, given or member.table_name
    while name in taken:
        numbers[kind] = number = numbers.get(kind, 0) + 1
        name = f"{kind}_{number}"
    if given is None:
        object.__setattr__(member, "name", name)
        set_automatic_name(member)
    return str(name)


def names_of(members: Sequence[Any]) -> list[str]:
    """The names of layers and models beside each other: those that were given, and others for the rest."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    made_up = [has_automatic_name(each) for each in members]
    for place in sorted(range(len(members)), key=made_up.__getitem__):
        names[place] = named(members[place], taken, numbers)
        taken.add(names[place])
    return [names[place] for place in range(len(members))]


class Connected:
    """What can be called on tensors: layers and models."""

    def _note(self, node: Node) -> Node:
        """Remember a call, for `input` and `output`, as long as what it gave is alive."""
        calls: list[weakref.ref[Node]] = vars(self).setdefault("_calls", [])
        if len(calls) & (len(calls) - 1) == 0:  # each time that they have doubled
            calls[:] = [call for call in calls if call() is not None]
        calls.append(weakref.ref(node))
        return node

    def _only_call(self, asked: str) -> Node:
        calls: list[weakref.ref[Node]] = vars(self).get("_calls", [])
        nodes = [node for call in calls if (node := call()) is not None]
        if not nodes:
            raise RuntimeError(f"{called(self)!r} has no {asked} yet; call it on a tensor, or build its model")
        if len(nodes) > 1:
            raise ValueError(
                f"{called(self)!r} was called {len(nodes)} times, so {asked} is ambiguous; keep the tensors that the "
                "calls gave"
            )
        return nodes[0]

    @property
    def input(self) -> Any:
        """The tensor, or list of tensors, that the layer was called on. ValueError where it was called twice."""
        tensors = self._only_call("input").inputs
        return tensors[0] if len(tensors) == 1 else list(tensors)

    @property
    def output(self) -> Any:
        """The tensor that the layer gave. ValueError where it was called twice."""
        node = self._only_call("output")
        return node.outputs.pack(node.tensors())
