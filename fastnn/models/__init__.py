"""Models: a graph of layers, compiled into a network, with Keras's methods."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from fastnn import _names
from fastnn._checks import as_flag, shown
from fastnn._table import OTHERS, gathering
from fastnn.data import ArraySource
from fastnn.layers import Input, Layer
from fastnn.models import copies as _copies  # noqa: F401 - models and layers are copied as it says
from fastnn.models.built import KINDS, Built
from fastnn.models.model import Model
from fastnn.models.sequential import Sequential
from fastnn.models.subclassed import Subclassed

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]


class _Models:
    """A model as a field of a layer, for `plain` and `unplain`."""

    @staticmethod
    def config(model: Model) -> dict[str, Any]:
        return model.get_config()

    @staticmethod
    def from_config(config: Mapping[str, Any], custom: Mapping[str, Any] | None = None) -> Any:
        from fastnn.store import architecture

        return architecture.restore(config, KINDS, custom)


OTHERS[Model.table_family] = _Models


def load_model(
    filepath: str | PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Model:
    """The model that ``save`` wrote, compiled as it was. Runs no code from the file.

    custom_objects: name -> the Python function or class that the file names, where the model uses any of the user's
    own; those of a ``custom_object_scope``, and what is registered, are known without it. compile: False leaves out
    loss, metrics and the optimizer's state. safe_mode: True; nothing but data is ever loaded.

    FileNotFoundError; ValueError where the file is damaged, truncated or not a fastnn model, or names a function or
    class that is not known, and for a safe_mode of False.
    """
    from fastnn.store import model_file

    if not as_flag("safe_mode", safe_mode):
        raise ValueError("safe_mode=False asks to run code from a file, which fastnn never does; leave it out")
    model: Model = model_file.load(filepath, KINDS, custom_objects, as_flag("compile", compile))
    if "feature_space" in model.description.notes:
        from fastnn.models.feature_space import FeatureSpace

        return FeatureSpace.from_model(model)  # type: ignore[return-value]
    return model


def save_model(model: Model, filepath: str | PathLike[str], overwrite: bool = True) -> None:
    """Write a model to one file, as its method ``save`` does; ``load_model`` reads it. TypeError for what is none."""
    check_model("save_model", model)
    model.save(filepath, overwrite)


def check_model(call: str, model: object) -> None:
    """TypeError for what is no model."""
    if not isinstance(model, Model):
        raise TypeError(f"{call}: model must be a fastnn.models.Model, got {shown(model)}")


def clone_model(model: Model) -> Model:
    """A model of the same layers and connections, with weights of its own, new ones. TypeError for what is no model."""
    check_model("clone_model", model)
    with gathering() as own:
        config = model.get_config()
    copy: Model = model.from_config(config, own)
    return copy


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """The model that ``to_json`` described, with new weights. ValueError where the text describes none."""
    import json

    try:
        described = json.loads(json_string)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"model_from_json: expected a text of to_json, got {shown(json_string)}") from error
    model: Model = Model.from_config(described, custom_objects)
    return model


def _applied(layer: Any, x: Any) -> Any:
    # What a layer makes of arrays: a model of that layer alone. A list of arrays is one for each source.
    several = isinstance(x, (list, tuple)) and len(x) > 0 and all(hasattr(each, "ndim") for each in x)
    sources = [Input(ArraySource(each).input_shape) for each in (x if several else [x])]
    model = Model(sources if several else sources[0], layer(sources if several else sources[0]))
    return model.predict(x)


Layer.on_arrays = _applied

_names.offer(globals())
# Not predict, which says so itself: a prediction of one row takes a microsecond.
for _cls in (Built, Model, Sequential, Subclassed):
    _names.explain(_cls, *(name for name in vars(_cls) if not name.startswith("_") and name != "predict"))
