"""Symbolic tensors: what layers are called on, to say how they are connected before there are any rows."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple, Never

from fastnn._checks import as_flag, shown
from fastnn._names import users_line
from fastnn.layers.masks import masks_of, masks_read
from fastnn.typing import Shape

# What operators on tensors do, by the operator's name; fastnn.layers.arithmetic enters them.
OPERATORS: dict[str, Callable[..., Any]] = {}

TRACE: ContextVar[Any] = ContextVar("trace", default=None)  # what a `call` that is being traced notes

MAX_LAYERS = 1000  # calls in a model, those inside of its models included; a file that names more is not believed


class SymbolicError(TypeError):
    """A symbolic tensor was asked for numbers."""


class Node:
    """One call of a layer or a model: what it read, and the shapes of one row of what it gives."""

    __slots__ = (
        "__weakref__",
        "batch",
        "given",
        "given_masks",
        "graph",
        "inputs",
        "layer",
        "makes",
        "masks",
        "outputs",
        "rows",
        "same",
        "training",
        "values",
    )

    def __init__(
        self,
        layer: Any,
        inputs: tuple[Tensor, ...],
        rows: tuple[Shape, ...],
        outputs: Structure,
        graph: Any = None,
        training: bool | None = None,
        makes: Callable[..., tuple[Any, ...]] | None = None,
        same: bool = False,
        given: tuple[tuple[Any, ...], dict[str, Any]] | None = None,
        masks: Mapping[int, int] | None = None,
    ) -> None:
        self.layer = layer
        self.inputs = inputs
        self.rows = rows
        self.outputs = outputs
        self.training = training  # whether it is as in training in each run, or in none; None: as the run says
        self.graph = graph  # of a model or a layer of layers, as it was when it was called; None for one with ops
        self.makes = makes  # its ops, where the layer is no more than the weights that they have
        self.given = given  # all that a call of the user's own was given; None where that is `inputs`
        # Whether it gives the same for all rows, as weights, constants and what is made of them do.
        self.same: bool = same or (bool(inputs) and all(tensor.node.same for tensor in inputs))
        # The size of batches, where an Input was given one: shapes tell it, and nothing holds to it.
        self.batch: int | None = next((x.node.batch for x in inputs if x.node.batch is not None), None)
        self.given_masks = masks or {}  # which of `inputs` is the mask of a value, where that was given one
        self.values = inputs[: len(inputs) - len(self.given_masks)]
        self.masks: tuple[Shape | None, ...] = masks_of(self, masks_read(self))  # of what it gives

    def ops(self) -> tuple[Any, ...]:
        """The ops that the call becomes."""
        rows = [tensor.row for tensor in self.values]
        ops: tuple[Any, ...] = self.layer.ops(*rows) if self.makes is None else self.makes(*rows)
        return ops

    def tensors(self) -> list[Tensor]:
        """What the call gives."""
        return [Tensor(self, place) for place in range(len(self.rows))]

    @property
    def size(self) -> int:
        """How many layers it stands for."""
        return 1 if self.graph is None else int(self.graph.size)

    def copy(self, inputs: tuple[Tensor, ...]) -> Node:
        """The same call on other tensors of the same shapes."""
        given = None if self.given is None else replaced(self.given, dict(zip(self.inputs, inputs, strict=True)))
        options = self.training, self.makes, self.same, given, self.given_masks
        return Node(self.layer, inputs, self.rows, self.outputs, self.graph, *options)

    def arguments(self, tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the layer is called with to do the same with other tensors in the place of `inputs`."""
        args, kwargs = self.given or ((self.inputs[0] if len(self.inputs) == 1 else list(self.inputs),), {})
        args, kwargs = replaced((args, kwargs), dict(zip(self.inputs, tensors, strict=True)))
        return args, kwargs if self.training is None else {**kwargs, "training": self.training}


class Operators:
    """What has Python's operators: tensors, and weights in a ``call``."""

    __slots__ = ()

    tensor: Callable[[], Any]  # of a weight, it as a tensor


def _operator(name: str, turned: bool) -> Any:
    def operator(self: Any, *other: Any) -> Any:
        return OPERATORS[name](*other, self) if turned else OPERATORS[name](self, *other)

    return operator


for _name in ("add", "sub", "mul", "truediv", "pow", "matmul"):
    for _turned in (False, True):
        setattr(Operators, f"__{'r' if _turned else ''}{_name}__", _operator(_name, _turned))
for _name in ("neg", "pos", "abs", "getitem"):
    setattr(Operators, f"__{_name}__", _operator(_name, False))


class Tensor(Operators):
    """A value in a model that is being described: ``Input((4,))``, ``Dense(8)(x)``. It has a shape and no numbers."""

    __slots__ = ("node", "place")
    sparse = ragged = False

    def __init__(self, node: Node, place: int = 0) -> None:
        self.node = node
        self.place = place

    @property
    def row(self) -> Shape:
        """Shape of one row."""
        return self.node.rows[self.place]

    @property
    def mask_row(self) -> Shape | None:
        """The shape of one row of its mask; None where it has none."""
        return self.node.masks[self.place]

    _keras_mask = property(lambda self: OPERATORS["mask"](self))  # by the name that Keras's programs know

    @property
    def dtype(self) -> str:
        """What it holds: "float32", or in a model's front "int64" or "string"."""
        if self.node.graph is not None:
            return str(self.node.graph.outputs[self.place].dtype)
        return str(self.node.layer.output_dtype)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """(None, ...): the None stands for any number of rows, and so does a batch_size that an Input was given.

        Of what is the same for all rows, one row's.
        """
        return self.row if self.node.same else (self.node.batch, *self.row)

    @property
    def ndim(self) -> int:
        """How many axes ``shape`` has."""
        return len(self.shape)

    @property
    def name(self) -> str:
        """The name of the layer that gives it."""
        return called(self.node.layer)

    def __repr__(self) -> str:
        return f"<Tensor of {self.name!r}, shape {self.shape}>"

    def __array__(self, *_: object, **__: object) -> Any:
        raise SymbolicError(f"{self!r} has no numbers; make a Model(inputs, outputs) and call its predict")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **_: Any) -> Any:
        operator = OPERATORS.get(f"numpy.{ufunc.__name__}")
        if operator is None or method != "__call__":
            raise SymbolicError(
                f"numpy.{ufunc.__name__} cannot take {self!r}, which has no numbers yet; write "
                f"fastnn.ops.{ufunc.__name__}, where there is one{users_line()}"
            )
        return operator(*inputs)

    def _refuse(self, what: str, advice: str) -> Never:
        raise SymbolicError(
            f"{self!r} stands for numbers that come later, so it cannot be {what}; {advice}{users_line()}"
        )

    def __bool__(self) -> bool:
        self._refuse(
            "asked whether it is true: call runs once, on no rows, and what it makes is compiled",
            "put both ways into the model, and multiply or take ops.maximum, ops.minimum, ops.relu or ops.clip",
        )

    def __len__(self) -> int:
        self._refuse("counted", "the sizes of its axes are in its shape, and the rows are any number")

    def __iter__(self) -> Any:
        self._refuse("gone through", "take its parts: t[:, 0], t[:, 1:]; a layer of one output gives one tensor")

    def __float__(self) -> float:
        self._refuse("made a number", "leave it a tensor, or call the model's predict")

    __int__ = __index__ = __float__

    def __hash__(self) -> int:
        return hash((id(self.node), self.place))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Tensor):
            return self.node is other.node and self.place == other.place
        if isinstance(other, (int, float)):
            self._compared(other)
        return False

    def _compared(self, other: object) -> Never:
        self._refuse(
            "compared with numbers: an engine of float32 has no tensors of True and False",
            "write it with ops.relu, ops.clip, ops.sign, ops.maximum or ops.minimum",
        )

    __lt__ = __le__ = __gt__ = __ge__ = _compared

    def numpy(self) -> Any:
        """TypeError: a symbolic tensor has no numbers."""
        self.__array__()


def mapped(given: Any, change: Callable[[Any], Any]) -> Any:
    """Arguments, each changed, in lists, tuples and dicts however deep."""
    if isinstance(given, dict):
        return {key: mapped(value, change) for key, value in given.items()}
    if isinstance(given, (list, tuple)):
        parts = [mapped(value, change) for value in given]
        return type(given)(*parts) if hasattr(given, "_fields") else type(given)(parts)
    return change(given)


def replaced(given: Any, known: Mapping[Tensor, Any]) -> Any:
    """Arguments with others in the places of their tensors."""
    return mapped(given, lambda each: known[each] if isinstance(each, Tensor) else each)


class Training:
    """`training` while a call is traced: both ways are traced where the call asks which it is."""

    def __init__(self, value: bool) -> None:
        self.value, self.asked = value, False

    def __bool__(self) -> bool:
        self.asked = True
        return self.value

    def __eq__(self, other: object) -> bool:
        return bool(self) == other

    __hash__ = None  # type: ignore[assignment]


def check_training(value: Any) -> bool | None:
    """`training` of a call on tensors: None where it says nothing, or is that of a call that is traced."""
    return None if value is None or isinstance(value, Training) else as_flag("training", value)


class Structure(NamedTuple):
    """How several values are given: one alone, a list or tuple of them, or a dict."""

    kind: str  # "one", "list", "tuple" or "dict"
    names: tuple[str, ...]

    def pack(self, values: Sequence[Any]) -> Any:
        """The values, in their order, as the structure has them."""
        if self.kind == "dict":
            return dict(zip(self.names, values, strict=True))
        return values[0] if self.kind == "one" else tuple(values) if self.kind == "tuple" else list(values)

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
    """Tensors given alone, as a list, a tuple or a dict: (they, the kind of structure, a dict's keys)."""
    if isinstance(given, Tensor):
        return [given], "one", ()
    keys: tuple[str, ...] = ()
    if isinstance(given, Mapping):
        keys, kind, tensors = tuple(given), "dict", list(given.values())
    else:
        kind = "tuple" if isinstance(given, tuple) else "list"
        tensors = list(given) if isinstance(given, (list, tuple)) else [given]
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


def snake_case(name: str) -> str:
    """A class's name as that of a layer: "PReLU" gives "p_re_l_u"."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


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


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names of outputs; the second that a layer gives has a number."""
    return tuple(name + (f"_{i}" if (i := names[:place].count(name)) else "") for place, name in enumerate(names))
