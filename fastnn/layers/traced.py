"""What layers and models with a ``call`` of the user's own have in common: it is traced, and they have weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from fastnn._checks import shown
from fastnn._dtypes import dtype_name
from fastnn._names import users_line
from fastnn._table import plain
from fastnn.layers.graph import AddedLoss, Graph, calls
from fastnn.layers.tensor import OPERATORS, TRACE, Tensor, Training, called, mapped
from fastnn.layers.tracing import ASKED, arguments_of, both_ways
from fastnn.layers.weight import Trace, Weight, homes_of
from fastnn.serialization import serialize_keras_object


class Traced:
    """What has a ``call``, which is run on symbolic tensors to draw its graph, and never on rows."""

    trainable: bool
    call: Any

    def _begin_traced(self, given: Sequence[Any], named: Mapping[str, Any]) -> None:
        """What it has before its ``__init__``. given, named: the arguments that it is made with."""
        vars(self).update(_given=(given, named), _homes={}, _own=[], _fuses=True)

    # What a subclass writes calls of.

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: Any = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Weight:
        """A weight: an array of this shape that begins with the initializer's values.

        shape: () by default, one number. initializer: a name or an object; "glorot_uniform" by default, "zeros" of a
        single number. trainable: whether it learns. dtype: float32. regularizer, constraint: a name, an object or None.
        """
        own: list[Weight] = vars(self)["_own"]
        if isinstance(shape, str):  # as Keras 2 had it: name first
            shape, name = (), shape
        if dtype_name(dtype) not in (None, "float32"):
            raise ValueError(f"add_weight: weights are float32, got dtype {shown(dtype)}")
        taken = {weight.name for weight in own}
        if name is None:
            name = next(each for number in range(len(taken) + 1) if (each := _numbered(number)) not in taken)
        if name in taken:
            raise ValueError(f"add_weight: {called(self)!r} has a weight {name!r} already; give this one another name")
        weight = Weight(name, () if shape is None else shape, initializer, trainable, regularizer, constraint)
        own.append(weight)
        return weight

    def add_loss(self, loss: Any) -> None:
        """Add to the model's loss what tensors of this ``call`` give: ``ops.mean(t)`` of all rows, or a sum.

        A tensor stands for the sum of its numbers over all rows of the batch, as in Keras.
        """
        trace = TRACE.get()
        if trace is None:
            raise ValueError(
                "add_loss() can only be called from inside call(self, ...) of a layer or model of your own, on what "
                f"tensors give there{users_line()}"
            )
        for each in loss if isinstance(loss, (list, tuple)) else [loss]:
            tensor, how = getattr(each, "tensor", each), getattr(each, "how", "sum")
            if isinstance(each, Weight) or (isinstance(tensor, Tensor) and tensor.node.same):
                tensor, how = each.tensor() if isinstance(each, Weight) else tensor, "mean"
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"add_loss takes symbolic tensors, such as ops.mean(ops.square(t)), got {shown(each)}{users_line()}"
                )
            trace.losses.append(AddedLoss(tensor, 1.0, how == "mean"))

    # Tracing.

    def _takes(self) -> int:
        """How many tensors ``call`` must be given one by one; 2 where it takes any number."""
        code = type(self).call.__code__
        parameters = inspect.signature(type(self).call).parameters
        names = [name for name in code.co_varnames[1 : code.co_argcount] if name not in ASKED]
        needed = sum(parameters[name].default is inspect.Parameter.empty for name in names)
        return 2 if self._takes_any() else needed

    def _takes_at_most(self) -> int:
        """How many arguments ``call`` may be given one by one."""
        code = type(self).call.__code__
        return sum(name not in ASKED for name in code.co_varnames[1 : code.co_argcount])

    def _takes_any(self) -> bool:
        return bool(type(self).call.__code__.co_flags & inspect.CO_VARARGS)

    def _trace(
        self, inputs: Sequence[Tensor], given: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[Graph, str, tuple[str, ...]]:
        """The graph that ``call`` draws, the kind of what it gives, and a dict's keys.

        A weight is in one place: where a kernel and its bias are used apart as well, they are no one op.
        """
        state = vars(self)
        graph, kind, keys = self._draw_call(inputs, given, named)
        homes = homes_of(list(calls(graph)))
        if state["_fuses"] and any(len(found) > 1 for found in homes.values()):
            state["_fuses"] = False
            state["_homes"].clear()
            graph, kind, keys = self._draw_call(inputs, given, named)
            homes = homes_of(list(calls(graph)))
        for weight, found in homes.items():
            if len(found) > 1 or weight.home not in (None, *found):
                raise ValueError(
                    f"{type(self).__name__}.call used its weight {weight.name!r} otherwise than before: a bias that is "
                    "added to ops.matmul(x, kernel) once, is added to it always"
                )
            (weight.home,) = found
        return graph, kind, keys

    def _draw_call(
        self, inputs: Sequence[Tensor], given: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[Graph, str, tuple[str, ...]]:
        """The graph that ``call`` draws, the kind of what it gives, and a dict's keys."""
        trace = Trace(inputs[0], vars(self)["_homes"], vars(self)["_fuses"])
        before = TRACE.set(trace)
        try:
            flag = Training(True)
            asks = arguments_of(type(self).call)
            options: dict[str, Any] = {"training": flag} if "training" in asks else {}
            mask = OPERATORS["mask"](inputs[0])
            if mask is not None and "mask" in asks:
                options["mask"] = mask
            tensors, kind, keys = self._given_by(self.call(*given, **named, **options))
            if flag.asked:
                added = list(trace.losses)
                options["training"] = Training(False)
                others, *_ = self._given_by(self.call(*given, **named, **options))
                trace.losses[:] = added
                tensors = both_ways(tensors, others)
        finally:
            TRACE.reset(before)
        return Graph(inputs, tuple(tensors), added=trace.losses, masks=self._masks_given(given, mask)), kind, keys

    def _masks_given(self, given: Sequence[Any], mask: Tensor | None) -> list[Tensor | None]:
        """What a ``compute_mask`` of the user's own gives; none where there is none."""
        compute: Any = getattr(type(self), "compute_mask", None)
        if compute is None or compute.__module__.startswith("fastnn."):
            return []
        masks = compute(self, given[0] if len(given) == 1 else list(given), mask)
        found = list(masks) if isinstance(masks, (list, tuple)) else [masks]
        for each in found:
            if not isinstance(each, (Tensor, type(None))):
                raise TypeError(
                    f"{type(self).__name__}.compute_mask must give a symbolic tensor or None, got {shown(each)}; "
                    "ops.not_equal(x, number) makes one"
                )
        return found

    def _given_by(self, given: Any) -> tuple[list[Tensor], str, tuple[str, ...]]:
        """The tensors that ``call`` gave, their kind, and a dict's keys."""
        keys = tuple(given) if isinstance(given, Mapping) else ()
        several = isinstance(given, (list, tuple, Mapping))
        parts = list(given.values() if keys else given) if several else [given]
        tensors = [part.tensor() if isinstance(part, Weight) else part for part in parts]
        for tensor in tensors or [given]:
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"{type(self).__name__}.call must give one symbolic tensor, got {shown(tensor)}; a list or dict of "
                    "tensors may be given too"
                )
        kind = "tuple" if isinstance(given, tuple) else "list"
        return tensors, "dict" if keys else kind if several else "one", keys

    # As JSON.

    def arguments(self) -> dict[str, Any]:
        """The arguments that it was made with, as JSON. TypeError where one of them cannot be described."""
        given, named = vars(self)["_given"]
        init = type(self).__init__
        bound = dict(inspect.signature(init).bind(self, *given, **named).arguments)
        bound.pop(next(iter(bound)))
        for name, parameter in inspect.signature(init).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                bound |= bound.pop(name, {})
        described = {name: plain(mapped(value, _made)) for name, value in bound.items()}
        for name, value in described.items():
            if not _is_json(value):
                raise TypeError(
                    f"{type(self).__name__} was made with what cannot be described, {name}={shown(value)}; write "
                    "get_config(self), which gives super().get_config() and its arguments"
                )
        return described


def _made(value: Any) -> Any:
    """A layer or a model as Keras describes it, by which ``from_config`` makes it again."""
    known = getattr(value, "table_family", None) in ("layer", "model") and not isinstance(value, type)
    return serialize_keras_object(value) if known else value


def _is_json(value: Any) -> bool:
    if isinstance(value, (list, dict)):
        return all(map(_is_json, value.values() if isinstance(value, dict) else value))
    return isinstance(value, (str, int, float, bool, type(None)))


def _numbered(number: int) -> str:
    return f"weight_{number}" if number else "weight"


def made_from(cls: Any, config: dict[str, Any]) -> Any:
    """An object of a user's class from a file's configuration, and what of it the class does not take."""
    known, apart = arguments_of(cls.__init__), {}
    if "**" not in known:
        apart = {key: config.pop(key) for key in ("name", "trainable", "dtype") if key in config and key not in known}
    return cls.from_config(config), apart
