"""Models: a graph of layers, compiled into a network, with Keras's methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from io import BytesIO
from os import PathLike
from typing import Any, BinaryIO

from fastnn import _names
from fastnn._checks import as_flag, shown
from fastnn._families import OTHERS
from fastnn._table import gathering
from fastnn.data import ArraySource
from fastnn.layers import LAYERS, Input, Layer
from fastnn.layers.tensor import flattened, has_automatic_name, mapped, set_automatic_name
from fastnn.models import copies as _copies  # noqa: F401 - models and layers are copied as it says
from fastnn.models.built import KINDS, Built
from fastnn.models.configs import cloned
from fastnn.models.model import Model
from fastnn.models.sequential import Sequential
from fastnn.models.subclassed import Subclassed
from fastnn.models.surface import Surface
from fastnn.typing import Shape

__all__ = ["Functional", "Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]


Functional = Model  # what Keras calls a model of inputs and outputs


class _Models:
    """A model as a field of a layer, for `plain` and `unplain`."""

    @staticmethod
    def config(model: Model) -> dict[str, Any]:
        from fastnn.store import architecture

        return architecture.describe(model)

    @staticmethod
    def from_config(config: Mapping[str, Any], custom: Mapping[str, Any] | None = None) -> Any:
        from fastnn.store import architecture

        return architecture.restore(config, KINDS, custom)


OTHERS[Model.table_family] = _Models


def load_model(
    filepath: str | PathLike[str] | BinaryIO,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Model:
    """The model that ``save`` wrote, compiled as it was. Runs no code from the file.

    filepath: a path, or a file that is open for bytes, which is read to its end.
    custom_objects: name -> the Python function or class that the file names, where the model uses any of the user's
    own; those of a ``custom_object_scope``, and what is registered, are known without it. compile: False leaves out
    loss, metrics and the optimizer's state. safe_mode: True; nothing but data is ever loaded.

    FileNotFoundError; ValueError where the file is damaged, truncated or not a fastnn model, or names a function or
    class that is not known, and for a safe_mode of False.
    """
    from fastnn.store import formats, model_file

    if not as_flag("safe_mode", safe_mode):
        raise ValueError("safe_mode=False asks to run code from a file, which fastnn never does; leave it out")
    if other := formats.of_model(filepath):
        return other.load(filepath, custom_objects, as_flag("compile", compile))  # type: ignore[no-any-return]
    given = BytesIO(filepath.read()) if hasattr(filepath, "read") else filepath
    model: Model = model_file.load(given, KINDS, custom_objects, as_flag("compile", compile))
    if "feature_space" in model.description.notes:
        from fastnn.models.feature_space import FeatureSpace

        return FeatureSpace.from_model(model)  # type: ignore[return-value]
    return model


def save_model(model: Model, filepath: str | PathLike[str], overwrite: bool = True, **how: Any) -> None:
    """Write a model to one file, as its method ``save`` does; ``load_model`` reads it. TypeError for what is none.

    how: ``compression`` and ``include_optimizer`` of ``save``.
    """
    check_model("save_model", model)
    model.save(filepath, overwrite, **how)


def check_model(call: str, model: object) -> None:
    """TypeError for what is no model."""
    if not isinstance(model, Model):
        raise TypeError(f"{call}: model must be a fastnn.models.Model, got {shown(model)}")


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[[Any], Any] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
) -> Model:
    """A model of the same layers and connections, with weights of its own, new ones; compiled as the model is.

    clone_function: gives, for each layer, the one that takes its place; without it copies do. recursive: also for the
    layers of models inside, which are copied whole otherwise. input_tensors: what the clone reads, in place of new
    inputs. call_function(layer, inputs): what a call of a layer gives. TypeError for what is no model.
    """
    check_model("clone_model", model)
    for name, function in (("clone_function", clone_function), ("call_function", call_function)):
        if function is not None and not callable(function):
            raise TypeError(f"clone_model: {name} must be a function of a layer, got {shown(function)}")
    within = as_flag("clone_model: recursive", recursive)
    inputs = None
    if input_tensors is not None:
        inputs, _, keys = flattened(input_tensors, "clone_model: input_tensors")
        takes = model.description.takes
        if (takes.kind == "dict" or keys) and tuple(keys) != takes.names:
            raise ValueError(
                "clone_model: `input_tensors` must have the same structure as model.input, "
                f"{shown(list(takes.names))}, got {shown(input_tensors)}"
            )
    if inputs is None and clone_function is None and call_function is None:
        copy: Model = _copied(model)
    else:
        copy = _cloned(model, inputs, clone_function, call_function, within)
    if model.compiled:
        optimizer, *others = model.description.compiled_with
        precision = model.description.matmul_precision
        copy.compile(deepcopy(optimizer), *others, matmul_precision=precision)  # type: ignore[misc]
    return copy


def _copied(member: Any) -> Any:
    """A copy of a layer or a model, with new weights."""
    from fastnn.store import architecture

    if isinstance(member, Model):
        with gathering() as own:
            described = architecture.describe(member)
        return architecture.build(described, KINDS, own)
    with gathering() as own:
        config = LAYERS.config(member) | member.config()
    copy = LAYERS.from_config(config, own)
    set_automatic_name(copy, has_automatic_name(member))
    return copy


def _cloned(model: Model, inputs: Any, clone: Any, call: Any, recursive: bool) -> Model:
    def of(member: Any) -> Any:
        if isinstance(member, Model):
            return _cloned(member, None, clone, call, True) if recursive and clone else _copied(member)
        made = _copied(member) if clone is None else clone(member)
        if not isinstance(made, (Layer, Model)):
            raise TypeError(f"clone_model: clone_function must give a layer for each layer, got {shown(made)}")
        return made

    copy: Model = cloned(model, Model, Sequential, of, inputs, call)
    return copy


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """The model that ``to_json`` described, with new weights. ValueError where the text describes none."""
    import json

    try:
        described = json.loads(json_string)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"model_from_json: expected a text of to_json, got {shown(json_string)}") from error
    own = isinstance(described, dict) and "models" in described  # as fastnn wrote it before
    if own or not isinstance(described, dict) or "class_name" not in described:
        from fastnn.store import architecture

        return architecture.build(described, KINDS, custom_objects)  # type: ignore[no-any-return]
    model: Model = Model.from_config(described.get("config"), custom_objects)  # type: ignore[arg-type]
    return model


def _alone(layer: Any, rows: Sequence[Shape], batch: int | None = None) -> Model:
    # A model of one layer, which has its weights afterwards.
    inputs = [Input(row, batch) for row in rows]
    given = layer(inputs if len(inputs) > 1 else inputs[0])
    if isinstance(given, tuple):  # of a cell: what it gives, and a list of its states
        given = tuple(one for each in given for one in (each if isinstance(each, list) else [each]))
    return Model(inputs, given)


def _applied_to(layer: Any, given: Any, named: dict[str, Any], training: bool) -> Any:
    # What a layer makes of all that its call is given, arrays among it.
    arrays: list[Any] = []
    inputs: list[Any] = []

    def drawn(each: Any) -> Any:
        if not getattr(each, "ndim", 0):
            return each
        arrays.append(each)
        inputs.append(Input(ArraySource(each).input_shape, len(each) if getattr(layer, "stateful", False) else None))
        return inputs[-1]

    args, kwargs = mapped((given, named), drawn)
    if not arrays:
        raise TypeError(
            f"layer {layer.name!r}: expected arrays or symbolic tensors, got {shown((*given, *named.values()))}"
        )
    return _run(layer, Model(inputs, layer(*args, **kwargs)), arrays, training)


def _applied(layer: Any, x: Any, training: bool = False) -> Any:
    # What a layer makes of arrays. A list of arrays is one for each source.
    several = isinstance(x, (list, tuple)) and len(x) > 0 and all(hasattr(each, "ndim") for each in x)
    arrays = list(x) if several else [x]
    batch = len(arrays[0]) if getattr(layer, "stateful", False) else None
    return _run(layer, _alone(layer, _rows_read(layer, arrays), batch), x, training)


def _run(layer: Any, model: Model, x: Any, training: bool) -> Any:
    # What a model that calls the layer makes of arrays.
    if training and (layer.trainable or not layer.whole_batch):  # such a layer goes by its averages where it is frozen
        vars(layer)["_draws"] = number = vars(layer).get("_draws", 0) + 1  # of a layer with a seed of its own
        found = model.predict_in_training(x, number)
    else:
        found = model(x)
    vars(layer)["_added"] = vars(model).get("_added", ())
    return found


def _rows_read(layer: Any, arrays: Sequence[Any]) -> list[Shape]:
    """The shape of a row of each array. Of a vector it is (), where the layer takes such, else (1,)."""
    rows = [ArraySource(each).input_shape for each in arrays]
    numbers = [() if getattr(each, "ndim", 0) == 1 else row for each, row in zip(arrays, rows, strict=True)]
    if numbers == rows or layer.made_of_layers or hasattr(layer, "forward"):
        return rows
    try:
        layer.output_shape(*numbers)
        sizes = [[weight.shape for weight in layer.parameters(*each)] for each in (numbers, rows)]
    except (IndexError, TypeError, ValueError):  # it needs an axis, or another number of arrays
        return rows
    return numbers if sizes[0] == sizes[1] else rows


Layer.on_arrays, Layer.alone = _applied, _alone
Layer.on_arguments = _applied_to

_names.offer(globals())
# Not predict, which says so itself: a prediction of one row takes a microsecond.
for _cls in (Built, Surface, Model, Sequential, Subclassed):
    _names.explain(_cls, *(name for name in vars(_cls) if not name.startswith("_") and name != "predict"))
