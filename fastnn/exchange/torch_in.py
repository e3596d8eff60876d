"""PyTorch's modules as models: ``from_torch``."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np

from fastnn import layers as L
from fastnn._checks import shown
from fastnn.exchange.torch_functions import METHODS, OtherLayoutError, Value, WithMore
from fastnn.exchange.torch_layers import FUNCTIONS, MODULES, activation_of
from fastnn.exchange.torch_weights import taken
from fastnn.layers.base import check_shape
from fastnn.models import Model

WAY_OUT = "export it with torch.onnx.export and read the file with fastnn.exchange.from_onnx"


def from_torch(module: Any, input_shape: Any = None, name: str | None = None) -> Model:
    """The model that a module of PyTorch's is, with its weights, which are copied.

    Read are torch.nn's modules, ``nn.Sequential`` and a class with a ``forward`` of its own that ``torch.fx`` can
    trace: one without loops and conditions that hang on the numbers. The model takes rows as the module does, pictures
    as (channels, height, width); rows come first in it, whatever ``batch_first`` says. What a BatchNorm keeps of the
    old moments is 1 less its momentum. PyTorch's running variance is that of a sample (divided by n - 1), so a model
    that is trained further differs a little there.

    input_shape: of one row, a list of them for several inputs; None where the module says it, as one that begins with
    a Linear does. ValueError, with the module's or the function's name and what to do, for what cannot be read;
    ImportError without torch.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError('from_torch needs torch: pip install "fastnn[torch]"') from error
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"from_torch: module must be a torch.nn.Module, got {shown(module)}")
    try:
        return _Reading(torch, module, input_shape, "rows").model(name)
    except OtherLayoutError:  # so the steps come first in what the module reads
        return _Reading(torch, module, input_shape, "steps").model(name)


class _Reading:
    """A module that is being read: its traced graph, and the layers made so far."""

    def __init__(self, torch: Any, module: Any, input_shape: Any, layout: str) -> None:
        self.torch = torch
        alone = type(module).__module__.startswith("torch.nn.") and not isinstance(module, torch.nn.Sequential)
        self.root = torch.nn.Sequential(module) if alone else module  # whose own forward is not to be traced
        try:
            traced = torch.fx.symbolic_trace(self.root)
        except Exception as error:  # whatever the user's forward raises on symbolic values
            raise ValueError(
                f"from_torch: torch.fx cannot trace the forward of {type(module).__name__} ({shown(str(error))}); "
                f"{WAY_OUT}"
            ) from error
        traced.graph.eliminate_dead_code()
        self.nodes = list(traced.graph.nodes)
        self.modules = dict(self.root.named_modules())
        self.values: dict[Any, Any] = {}
        self.layers: dict[Any, Any] = {}  # by the module and what it is made with, so that a shared one stays one
        self.weights: list[tuple[Any, dict[str, Any]]] = []
        self.fused: set[Any] = set()
        self.names: set[str] = set()
        self.made: dict[Any, Any] = {}  # modules in place of functions
        self.input_shape, self.layout = input_shape, layout

    def model(self, name: str | None) -> Model:
        """The model, with its weights."""
        inputs: list[Value] = []
        outputs: Any = None
        for node in self.nodes:
            if node.op == "placeholder":
                self.values[node] = self._input(node, inputs)
            elif node.op == "output":
                outputs = self._given(node.args[0])
                outputs = outputs[0] if isinstance(outputs, WithMore) else outputs
            elif node in self.fused:
                self.values[node] = self.values[node.args[0]]
            else:
                self.values[node] = self._called(node)
        found = outputs if isinstance(outputs, (list, tuple, dict)) else [outputs]
        for each in found.values() if isinstance(found, dict) else found:
            if not isinstance(each, Value):
                raise ValueError(f"from_torch: the module must give tensors, got {shown(each)}")
        tensors = [value.as_rows().tensor for value in inputs]
        one = tensors[0] if len(tensors) == 1 else tensors
        model = Model(one, _tensors(outputs), name)
        try:
            for layer, arrays in self.weights:
                layer.set_weights(taken(layer, arrays))
        except ValueError as error:
            raise ValueError(f"from_torch: {error}; check input_shape") from None
        return model

    # Inputs.

    def _input(self, node: Any, inputs: list[Value]) -> Any:
        if node.args:  # an argument with a default, such as a mask
            return node.args[0]
        count = sum(each.op == "placeholder" and not each.args for each in self.nodes)
        shapes = self._shapes(count, node)
        tensor = L.Input(shapes[len(inputs)], name=None if count == 1 else str(node.target))
        value = Value(tensor, self.layout)
        inputs.append(value)
        return value

    def _shapes(self, count: int, node: Any) -> list[tuple[int, ...]]:
        given = self.input_shape
        if given is None:
            return [self._inferred(node)] * count
        several = isinstance(given, (list, tuple)) and all(isinstance(each, (list, tuple)) for each in given)
        shapes = list(given) if several and len(given) else [given]
        if len(shapes) != count:
            raise ValueError(
                f"from_torch: the module reads {count} tensor(s), and input_shape has {len(shapes)}: {shown(given)}; "
                "give a shape for each, without the axis of the rows"
            )
        return [check_shape("from_torch", "input_shape", each) for each in shapes]

    def _inferred(self, node: Any) -> tuple[int, ...]:
        """The shape of a row, where the first module that has weights says it."""
        while len(node.users) == 1:
            node = next(iter(node.users))
            module: Any = self.modules.get(node.target) if node.op == "call_module" else None
            kind = type(module).__name__
            if kind == "Linear":
                return (module.in_features,)
            if kind == "LayerNorm":
                return tuple(module.normalized_shape)
            if kind not in ("Flatten", "Dropout", "Identity") and activation_of(module) is None:
                break
        raise ValueError(
            "from_torch: input_shape must be given, the shape of one row as the module takes it without the axis of "
            "the rows, such as (3, 32, 32) for pictures, (steps, features) for sequences or (steps,) for an Embedding"
        )

    # Calls.

    def _given(self, arguments: Any) -> Any:
        """A call's arguments with values in the places of nodes."""
        return self.torch.fx.node.map_arg(arguments, lambda node: self.values[node])

    def _called(self, node: Any) -> Any:
        args, kwargs = list(self._given(node.args)), dict(self._given(node.kwargs))
        if node.op == "get_attr":
            return self._constant(node)
        module = self.module_of(node)
        if module is not None:
            if node.op != "call_module":
                args, kwargs = [args[0] if args else kwargs["input"]], {}
            return self._module(module, str(node.target) if node.op == "call_module" else node.name, node, args, kwargs)
        function = METHODS.get(_named(node))
        what = f"the function {_named(node)!r} (node {node.name!r})"
        if function is None:
            raise ValueError(f"from_torch: {what} is not read; {WAY_OUT}")
        return self._tried(lambda: function(*args, **kwargs), what)

    def module_of(self, node: Any) -> Any:
        """The module that a node calls; of a function of torch.nn.functional one that does the same; else None."""
        if node.op == "call_module":
            return self.modules[node.target]
        kind = FUNCTIONS.get(_named(node).replace("_", ""))
        if node.op not in ("call_function", "call_method") or kind is None:
            return None
        if node not in self.made:
            make = getattr(self.torch.nn, kind)
            args, kwargs = list(node.args[1:]), dict(node.kwargs)
            if kind == "Dropout":  # what follows is whether it trains
                args = args[:1]
            elif kind == "Flatten" and not args:
                kwargs.setdefault("start_dim", 0)
            kwargs = {name: each for name, each in kwargs.items() if name in signature(make).parameters}
            what = f"the function {_named(node)!r} (node {node.name!r})"
            self.made[node] = self._tried(lambda: make(*args, **kwargs), what)
        return self.made[node]

    def _constant(self, node: Any) -> Any:
        value: Any = self.root
        for part in str(node.target).split("."):
            value = getattr(value, part)
        if isinstance(value, self.torch.nn.Parameter) and value.requires_grad:
            raise ValueError(
                f"from_torch: the parameter {node.target!r} belongs to no module of torch.nn, so no layer would learn "
                f"it; set its requires_grad to False to have it as a constant, or {WAY_OUT}"
            )
        return value.detach().cpu().numpy() if isinstance(value, self.torch.Tensor) else value

    def _tried(self, make: Callable[[], Any], what: str) -> Any:
        try:
            return make()
        except OtherLayoutError as error:
            raise OtherLayoutError(f"from_torch: {what}: {error}; else {WAY_OUT}") from error
        except (TypeError, IndexError, AttributeError, KeyError) as error:
            raise ValueError(f"from_torch: {what} is called in a way that is not read ({error}); {WAY_OUT}") from error
        except ValueError as error:
            raise ValueError(f"from_torch: {what}: {error}; else {WAY_OUT}") from error

    def _module(self, module: Any, path: str, node: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        kind = type(module).__name__
        make = MODULES.get(kind) if type(module).__module__.startswith("torch.nn.") else None
        if make is None and activation_of(module) is None:
            raise ValueError(f"from_torch: the module {path!r} is a {kind}, which is not read; {WAY_OUT}")
        call = Call(self, module, path, node)
        what = f"the module {path!r} ({kind})"
        return self._tried(lambda: (make or _activated)(call, *args, **kwargs), what)


def _named(node: Any) -> str:
    """What a node calls; the same for relu and relu_, which writes over what it reads."""
    named = node.target if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))
    return str(named).rstrip("_")


def _activated(call: Call, value: Value) -> Value:
    return activation_of(call.module)(value)  # type: ignore[misc]


class Call:
    """A call of a module: what its maker asks of the reading."""

    def __init__(self, reading: _Reading, module: Any, path: str, node: Any) -> None:
        self.reading, self.module, self.path, self.node = reading, module, path, node

    def layer(self, make: Callable[..., Any], part: str = "", **fields: Any) -> Any:
        """The layer that `make` gives for these fields, the same for the same module, with its name and weights.

        part: of the module, where it becomes several layers: "self_attn", or "_l1_reverse" of a recurrent one.
        """
        key = (id(self.module), part, make, *((name, shown(each)) for name, each in fields.items()))
        found = self.reading.layers.get(key)
        if found is not None:
            return found
        inner = self.module
        for step in part.split(".") if part and not part.startswith("_l") else ():
            inner = getattr(inner, step)
        named = f"{self.path}.{part.strip('_')}".strip(".").replace(".", "_")
        while named in self.reading.names:  # "a.b" beside "a_b"
            named += "_"
        arrays = {name: each.detach().cpu().numpy().astype(np.float32) for name, each in inner.state_dict().items()}
        if part.startswith("_l"):
            arrays = {name.removesuffix(part): w for name, w in arrays.items() if name.endswith(part)}
        name = None if named.replace("_", "").isdigit() or self.node.op != "call_module" else named
        learns = [each.requires_grad for each in inner.parameters()]
        if name is not None:
            fields["name"] = name
            self.reading.names.add(name)
        found = make(**fields)
        if learns and not any(learns):
            found.trainable = False
        if arrays:
            self.reading.weights.append((found, arrays))
        self.reading.layers[key] = found
        return found

    def fused(self, value: Value) -> Any:
        """The activation of the only call that reads this one's value, which is then left out; None for none.

        value: with as many axes as what the layer gives.
        """
        users = list(self.node.users)
        calls = [each for each in self.reading.nodes if each.op == "call_module" and each.target == self.node.target]
        if len(users) != 1 or len(calls) > 1:
            return None
        unit = activation_of(self.reading.module_of(users[0]))
        if unit is None or not unit.last_of(value):
            return None
        self.reading.fused.add(users[0])
        return unit.unit


def _tensors(given: Any) -> Any:
    """The tensors of values, along the axes that PyTorch has them on."""
    if isinstance(given, dict):
        return {name: _tensors(each) for name, each in given.items()}
    if isinstance(given, (list, tuple)):
        return [_tensors(each) for each in given]
    return given.as_rows().tensor
