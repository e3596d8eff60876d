"""Weights by other names: ``load_state_dict``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np

from fastnn import layers as L
from fastnn._checks import shown
from fastnn._numbers import as_numbers
from fastnn.exchange.torch_weights import known, taken
from fastnn.layers.base import Layer, parts_of
from fastnn.layers.places import place_of
from fastnn.models import Model
from fastnn.store import safetensors
from fastnn.typing import Array

STEP = re.compile(r"(.*?)(?:^|\.)(weight|bias)_(ih|hh)(_l\d+(?:_reverse)?)")
Groups = dict[str, dict[str, Array]]


def load_state_dict(model: Any, state: Any, map: Mapping[str, str] | None = None) -> None:
    """Give a built model the weights of a state_dict, or of a file "x.safetensors".

    state: a dict of arrays or tensors by names, such as ``module.state_dict()``, or what ``to_jax`` gave. Names of a
    fastnn model ("dense/kernel") go to the arrays of that name; those that do not learn may be missing. Others are
    taken module by module ("features.0.weight" and "features.0.bias" together), in PyTorch's form (a Linear's kernel
    turned, gates in its order) or fastnn's: to the layers in their order where each fits, or to the only layer each
    fits.
    map: where that is not clear, names of modules or arrays in `state` -> the model's layers ("features.0": "conv2d"),
    which alone are then loaded.

    ValueError, which says what there is on both sides, where they do not go together, and nothing is changed then.
    A pickle is not read, as reading one runs code: load it with ``torch.load(path, weights_only=True)`` and give what
    that gives.
    """
    if not isinstance(model, Model):
        raise TypeError(f"load_state_dict: model must be a fastnn model, got a {type(model).__name__}")
    if not model.built:
        raise ValueError("load_state_dict: the model is not built, so it has no weights; build it, or give input_shape")
    given = _arrays(state)
    layers = _layers(model)
    if map is None and given and set(given) <= set(model.description.arrays()):
        found = _by_name(model.description, given)
    else:
        groups, leaves = _groups(given), [layer for layer in model.description.layers() if layer.weights]
        found = _by_map(groups, layers, map, given) if map is not None else _by_order(groups, layers, leaves)
    for layer, arrays in found.items():  # all of which are known to fit
        layer.set_weights(arrays)


def _arrays(state: Any) -> dict[str, Array]:
    """The arrays of a state by their names."""
    if isinstance(state, (str, PathLike)):
        path = str(fspath(state))
        if not path.endswith(".safetensors"):
            raise ValueError(
                f"load_state_dict reads files that end in .safetensors, got {path!r}; a pickle (.pt, .pth, .bin) runs "
                "code when it is read: give the dict that torch.load(path, weights_only=True) gives"
            )
        state = safetensors.read(path)[0]
    if not isinstance(state, Mapping):
        raise TypeError(f"load_state_dict: state must be a dict of arrays or the path of a file, got {shown(state)}")
    found = {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise TypeError(f"load_state_dict: names must be texts, got {shown(name)}")
        if hasattr(value, "detach"):  # a tensor of PyTorch, bfloat16 too
            value = value.detach().cpu().float().numpy()
        found[name] = as_numbers(value, f"state[{name!r}]").astype(np.float32)
    return found


def _layers(model: Any) -> dict[str, Any]:
    """What has weights, by the way to it: layers, and attention with its projections as one."""
    found: dict[str, Any] = {}
    seen: set[Any] = set()

    def gather(member: Any, path: str) -> None:
        parts = parts_of(member)
        whole = isinstance(member, L.MultiHeadAttention) or (isinstance(member, Layer) and not parts)
        if member in seen:
            return
        seen.add(member)
        if whole:
            if member.weights:
                found[path] = member
            return
        for name, part in parts:
            gather(part, f"{path}/{name}".strip("/") if name else path)

    gather(model, "")
    return found


def _by_name(description: Any, given: Mapping[str, Array]) -> dict[Any, list[Array]]:
    """By fastnn's names, all of which are the model's."""
    paths, found, missing = description.paths(), {}, []
    for layer in description.layers():
        place = place_of(layer)
        arrays = []
        for parameter, old in zip(place.parameters, layer.get_weights(), strict=True) if place is not None else ():
            name = f"{paths[layer]}/{parameter.name}"
            if name not in given and layer.trainable and parameter.trainable:
                missing.append(name)
            arrays.append(given.get(name, old))
        if arrays:
            found[layer] = _checked(paths[layer], layer, arrays)
    if missing:
        raise ValueError(f"load_state_dict: missing {', '.join(missing)}; give map, to load some of the layers alone")
    return found


def _checked(path: str, layer: Any, arrays: list[Array]) -> list[Array]:
    for array, variable in zip(arrays, layer.weights, strict=True):
        if array.shape != tuple(variable.shape):
            raise ValueError(f"{path}/{variable.name} has shape {tuple(variable.shape)}, got {array.shape}")
    return arrays


def _groups(given: Mapping[str, Array]) -> Groups:
    """Arrays by modules, in their order; those of a recurrent one by its layers and ways too."""
    found: Groups = {}
    attention = {name.rpartition(".")[0] for name in given if name.endswith(("in_proj_weight", "q_proj_weight"))}
    for name, array in given.items():
        step = STEP.fullmatch(name)
        prefix, _, last = name.replace("/", ".").rpartition(".")
        if step is not None:
            prefix, last = step[1] + step[4], f"{step[2]}_{step[3]}"
        elif prefix.endswith("out_proj") and prefix.rpartition(".")[0] in attention:
            prefix, last = prefix.rpartition(".")[0], f"out_proj.{last}"
        if last != "num_batches_tracked":
            found.setdefault(prefix, {})[last] = array
    return found


def _fitted(layer: Any, group: Mapping[str, Array]) -> list[Array]:
    """The layer's arrays of a group's. ValueError where they do not fit."""
    names = [each.name for each in layer.weights]
    if set(names) == set(group) and not isinstance(layer, L.MultiHeadAttention):
        return _checked(layer.name or "", layer, [group[name] for name in names])
    if not known(layer):
        raise ValueError(f"{type(layer).__name__} has no form in PyTorch, and the names are not {', '.join(names)}")
    return taken(layer, group)


def _try(layer: Any, group: Mapping[str, Array]) -> list[Array] | None:
    try:
        return _fitted(layer, group)
    except ValueError:
        return None


def _by_order(groups: Groups, layers: Mapping[str, Any], leaves: Sequence[Any]) -> dict[Any, list[Array]]:
    for own in (list(layers.values()), leaves):  # attention as one, or by its projections
        if len(groups) != len(own):
            continue
        pairs = zip(own, groups.values(), strict=True)
        found = {layer: arrays for layer, group in pairs if (arrays := _try(layer, group)) is not None}
        if len(found) == len(own):
            return found
        fits = {layer: [name for name, group in groups.items() if _try(layer, group)] for layer in own}
        if len({names[0] for names in fits.values() if len(names) == 1}) == len(own):
            return {layer: _fitted(layer, groups[names[0]]) for layer, names in fits.items()}
    raise ValueError(
        "load_state_dict cannot tell which module is which layer; give map={module: layer}. The state has "
        f"{_listed(groups)}; the model has "
        + "; ".join(f"{path} {[tuple(each.shape) for each in layer.weights]}" for path, layer in layers.items())
    )


def _listed(groups: Groups) -> str:
    return (
        "; ".join(f"{name} {[array.shape for array in group.values()]}" for name, group in groups.items()) or "nothing"
    )


def _by_map(
    groups: Groups, layers: Mapping[str, Any], map: Mapping[str, str], given: Mapping[str, Array]
) -> dict[Any, list[Array]]:
    if not isinstance(map, Mapping):
        raise TypeError(f"load_state_dict: map must be a dict of names, got {shown(map)}")
    found: dict[Any, list[Array]] = {}
    chosen: dict[str, str] = {}
    for name, path in map.items():
        if name in given and path not in layers:  # arrays by their names: the modules that they are of
            name = next(prefix for prefix in groups if name.replace("/", ".").startswith(prefix))
            path = str(path).rpartition("/")[0]
        if name not in groups or path not in layers or chosen.setdefault(path, name) != name:
            raise ValueError(
                f"load_state_dict: map has {shown(name)}: {shown(path)}; expected a module of the state, "
                f"{', '.join(groups)}, and one layer of the model each, {', '.join(layers)}"
            )
    for path, name in chosen.items():
        try:
            found[layers[path]] = _fitted(layers[path], groups[name])
        except ValueError as error:
            raise ValueError(f"load_state_dict: {name!r} does not go into {path!r}: {error}") from None
    return found
