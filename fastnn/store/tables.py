"""The tables of layers in a file: vocabularies and bin boundaries, as arrays beside the weights.

A layer's description names its arrays, which the file has as "tables/<number of the layer>/<name>". A text is its
bytes, all of them in one array, and where each ends in another. So a table takes as much memory as the file has for
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PREFIX = "tables/"


def put_apart(layers: Sequence[Any], configs: Sequence[dict[str, Any]], arrays: dict[str, Any]) -> None:
    """Move the layers' tables out of their descriptions, into arrays."""
    for number, (layer, config) in enumerate(zip(layers, configs, strict=True)):
        table = layer.arrays() if hasattr(layer, "take_arrays") else {}
        if table:
            config.update({name: None for name in table if name in config}, tables=sorted(table))
            arrays.update({f"{PREFIX}{number}/{name}": array for name, array in table.items()})


def names(described: Mapping[str, Any]) -> set[str]:
    """The names that the tables of a description have in its file."""
    return {
        f"{PREFIX}{number}/{name}"
        for number, config in enumerate(described["layers"])
        if isinstance(config, dict) and isinstance(config.get("tables"), list)
        for name in config["tables"]
    }


def put_back(layer: Any, number: int, names: Any, arrays: Mapping[str, Any] | None) -> None:
    """Give a layer that was described without its table the arrays of those names. ValueError where they are none."""
    if not isinstance(names, list) or not hasattr(layer, "take_arrays"):
        raise ValueError(f"layer {number} has no tables {names!r:.80}")
    found = {}
    for name in names:
        key = f"{PREFIX}{number}/{name}"
        if arrays is None or key not in arrays:
            raise ValueError(f"expected the table {key!r:.80}, and there is none")
        found[name] = arrays[key]
    layer.take_arrays(found)
