"""Files of other libraries: which module of ``fastnn.exchange`` knows each.

Named, and imported when used: ``fastnn.exchange`` reads and makes models, so models cannot import it.
"""

from __future__ import annotations

from importlib import import_module
from os import PathLike, fspath
from typing import Any

from fastnn import _names
from fastnn._checks import shown

# What ``Model.export`` writes: a module's function export(model, filepath, **options).
EXPORTS = {
    "onnx": "fastnn.exchange.onnx_export",
    "c": "fastnn.exchange.c_export",
    "sql": "fastnn.exchange.sql_export",
}
# What ``save`` and ``load_model``, ``save_weights`` and ``load_weights`` go to by a path's ending: a module's functions
# of these names.
MODELS = {".keras": "fastnn.exchange.keras_file"}
WEIGHTS = {".weights.h5": "fastnn.exchange.keras_weights", ".keras": "fastnn.exchange.keras_weights"}


def export(model: Any, filepath: Any, format: Any, options: dict[str, Any]) -> Any:
    """See ``Model.export``."""
    if not isinstance(format, str) or format not in EXPORTS:
        raise ValueError(
            f"export: Unrecognized format={shown(format)}{_names.hint(format, EXPORTS)}: fastnn writes "
            f"{', '.join(map(repr, EXPORTS))}; model.save(filepath) writes a file that fastnn itself loads"
        )
    from inspect import signature

    write = import_module(EXPORTS[format]).export
    try:
        signature(write).bind(model, filepath, **options)
    except TypeError as error:
        takes = ", ".join(name for name in signature(write).parameters if name not in ("model", "filepath"))
        raise TypeError(f"export: of format={format!r}: {error}; it takes {takes or 'no options'}") from None
    return write(model, filepath, **options)


def of_model(path: Any, compression: Any = None) -> Any:
    """The module for a model's file of that name; None where it is fastnn's own. ValueError where it takes no
    compression."""
    return _by_ending(path, MODELS, compression)


def of_weights(path: Any, compression: Any = None) -> Any:
    """The module for a file of weights of that name; None where it is fastnn's own. Errors as of `of_model`."""
    return _by_ending(path, WEIGHTS, compression)


def _by_ending(path: Any, modules: dict[str, str], compression: Any) -> Any:
    if not isinstance(path, (str, PathLike)) or not isinstance(name := fspath(path), str):
        return None
    for ending, home in modules.items():
        if name.lower().endswith(ending):
            if compression:
                raise ValueError(f"compression is of fastnn's own files, got the name {shown(name)}; leave one out")
            return import_module(home)
    return None
