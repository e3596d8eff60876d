"""A model as a file: the weights as tensors, all else as one JSON text in the metadata.

Data only: a layer, loss or optimizer is named by its entry in the tables, and a file that names another is refused. A
Python function or class of the user's own is named too, and taken from the ``custom_objects`` that loading is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from os import PathLike
from typing import Any

import numpy as np

from fastnn._checks import as_flag, check_count, check_path, shown
from fastnn._remote import exists
from fastnn._table import own_objects, plain, unplain
from fastnn.config import loadable
from fastnn.layers.tensor import MAX_LAYERS
from fastnn.optimizers import OPTIMIZERS
from fastnn.serialization import sharing
from fastnn.store import document, packing, quantized, tables
from fastnn.store.architecture import Kinds, check_counts, chosen, describe, make, restore
from fastnn.store.document import Document
from fastnn.store.text import check_form
from fastnn.store.versions import MODEL, WEIGHTS, renamed, upgraded

COMPILED = ("loss", "loss_weights", "metrics", "weighted_metrics")  # what a trainer was given
FORM = {"seed": int, "columns": [str], "layers": [object]}
# What a model notes of the columns that it prepares itself, where it does.
_NOTES = {"classes": [str | int | float], "ignored": [str], "optional": [str], "preparation": [[str]], "columns": dict}
_NOTES |= {"history": dict, "reference": {"features": [{"name": str, "counts": [int]}]}}
TRAINING = {
    "optimizer": dict,
    "loss": str | list | dict,
    "loss_weights": float | list | dict | None,
    "metrics": list | dict | None,
    "weighted_metrics": list | dict | None,
    "iterations": int,
    "slots": list | None,
    "frozen": [int],
}
MAX_THRESHOLDS = 2**18  # of all metrics together
MAX_GATHERED = 2**28  # numbers that they add up

Arrays = dict[str, Any]
Path = str | bytes | PathLike[Any]


def save(
    model: Any, path: Path, overwrite: bool, compression: packing.Given = None, optimizer: bool | None = None
) -> None:
    """See ``Model.save``; the model is built."""
    how = packing.chosen(compression)
    _check_free(path, overwrite)
    _write(model, path, how, optimizer)


def packed(model: Any, compression: packing.Given = None, optimizer: bool | None = None) -> bytes:
    """A model, which need not be built, as the bytes of its file; ``load`` reads them from a BytesIO."""
    file = BytesIO()
    _write(model, file, packing.chosen(compression), optimizer)
    return file.getvalue()


def _write(
    model: Any, path: Path | BytesIO, how: packing.Compression | None = None, optimizer: bool | None = None
) -> None:
    built = model.description
    optimizer = how is None if optimizer is None else as_flag("save: include_optimizer", optimizer)
    network = built.network
    arrays = {} if network is None else built.arrays()
    seed = 0 if built.secret else (built.seed or 0) if network is None else network.seed
    description = {**describe(model, arrays), "seed": seed, "columns": list(built.columns)}
    if built.notes:
        description["notes"] = built.notes
    if few := quantized.put(built, arrays):
        description["quantized"] = few
    trainer = built.trainer
    if trainer is not None:
        steps, slots = (0, {}) if network is None or not optimizer else trainer.vectors()
        description["training"] = training = {
            "optimizer": OPTIMIZERS.config(trainer.optimizer),
            **{name: plain(getattr(trainer, name, None)) for name in COMPILED},
            "iterations": steps,
            "huge_gradient": optimizer and trainer.huge_gradient,
            **({} if built.matmul_precision is None else {"matmul_precision": built.matmul_precision}),
            "slots": list(slots),
            "frozen": [number for number, layer in enumerate(built.layers()) if layer in built.frozen],
        }
        _check_work(training)
        for slot, flat in slots.items():
            for name, array in built.arrays(flat, f"optimizer/{slot}/").items():
                if name in arrays:
                    raise ValueError(f"two arrays would be called {name!r} in the file; rename a model or layer")
                arrays[name] = array
    document.write(path, MODEL, arrays, description, how, lambda: _learnt(built))


def save_weights(built: Any, path: Path, overwrite: bool, compression: packing.Given = None) -> None:
    """See ``Model.save_weights``; built: the description of a built model."""
    how = packing.chosen(compression)
    _check_free(path, overwrite)
    quantized.refuse(built, "save_weights")
    document.write(path, WEIGHTS, built.arrays(), None, how, lambda: _learnt(built))


def _learnt(built: Any) -> set[str]:
    """The names of the arrays that training found. Others, such as means of columns, are exact numbers."""
    if built.network is None:
        return set()
    paths = built.paths()
    return {
        f"{paths[layer]}/{each.name}" for layer, own in built.parameters().items() for each in own if each.trainable
    }


def load_weights(built: Any, path: Path, skip_mismatch: bool = False) -> None:
    """See ``Model.load_weights``; built: the description of a built model."""
    quantized.refuse(built, "load_weights")
    with document.reading(path, "no file of weights", "does not fit this model", WEIGHTS, MODEL) as file:
        wanted = built.arrays()
        if skip_mismatch:
            wanted = {name: view for name, view in wanted.items() if _fits(name, view, file)}
        _check(wanted, file)
        extra = sorted(
            name for name in file.shapes.keys() - wanted.keys() if not name.startswith(("optimizer/", tables.PREFIX))
        )
        if not skip_mismatch:
            _check_used(extra)
        arrays = file.arrays()
        with built.locked() as held:
            _fill({name: view for name, view in built.arrays().items() if name in wanted}, arrays, held)


def load(path: Path | BytesIO, kinds: Kinds, custom: Mapping[str, Any] | None, compiled: bool = True) -> Any:
    """See ``fastnn.models.load_model``; kinds: the classes of models by the names that a file has for them.

    A file in memory may be of a model that was not built.
    """
    own_objects(custom)
    wrong = "does not describe a model that fastnn can make"
    with document.reading(path, "not a fastnn model", wrong, MODEL) as file:
        described = upgraded(file.described, file.version)
        check_form(described, FORM)
        check_counts(described)
        if file.version < 3:
            file.shapes = renamed(file.shapes)
        arrays = None
        if named := tables.names(described):
            arrays = file.arrays()  # of the sizes that the file has proved
            file.shapes = {name: entry for name, entry in file.shapes.items() if name not in named}
        with sharing():  # also where a class of the user's own loads a file while one is loaded
            model = restore(described, kinds, custom, arrays)
        built = model.description
        if built.graph is None and not isinstance(path, BytesIO):
            raise ValueError("the model has no input shape")
        few = quantized.names(described.get("quantized", {}))
        if described.get("quantized") and built.graph is not None:
            arrays = file.arrays() if arrays is None and few else arrays
            quantized.take(built, described["quantized"], arrays or {})
            file.shapes = {name: entry for name, entry in file.shapes.items() if name not in few}
        weights = {} if built.graph is None else _check_weights(built, file)
        training, slots = described.get("training") if compiled else None, {}
        if training is None:
            unused = sorted(file.shapes.keys() - weights.keys())
            _check_used([name for name in unused if compiled or not name.startswith("optimizer/")])
        else:
            optimizer, given = _units(training, custom)
            model.compile(optimizer, **given)
            built.matmul_precision = loadable(training.get("matmul_precision"))  # of the network to be
            slots = _slots(built.trainer, training, weights, file)
            layers = built.layers()
            built.frozen = frozenset(chosen(layers, number, "layer") for number in training["frozen"])
        built.notes = described.get("notes", {})
        check_form(built.notes, {name: form for name, form in _NOTES.items() if name in built.notes})
        built.seed = check_count("seed", described["seed"], 0, 2**64 - 1) or None
        built.columns = tuple(described["columns"])
        # Only now is any memory taken for weights: the file has proved that it holds them.
        make(model)
        if built.graph is None:
            return model
        arrays = file.arrays() if arrays is None else arrays
        arrays = renamed(arrays) if file.version < 3 else arrays
        vectors = {slot: np.zeros(built.network.parameters.size, dtype) for slot, dtype in slots.items()}
        with built.locked() as held:
            _fill(built.arrays(), arrays, held)
            for slot, flat in vectors.items():
                _fill(built.arrays(flat, f"optimizer/{slot}/"), arrays, held)
        if training is not None:
            built.trainer.go_on(training["iterations"], vectors, training.get("huge_gradient") is True)
        return model


def _check_weights(built: Any, file: Document) -> dict[str, Any]:
    """The shapes of the weights by name. ValueError where the file has not all of them."""
    paths, shapes = built.paths(), {}
    for layer, own in built.parameters().items():
        for parameter in own:
            name = f"{paths[layer]}/{parameter.name}"
            _check_shape(name, parameter.shape, np.float32, file)
            shapes[name] = parameter.shape
    return shapes


def _units(training: Any, custom: Mapping[str, Any] | None) -> tuple[Any, dict[str, Any]]:
    """What ``compile`` was given: the optimizer, and the rest by the names of its arguments."""
    check_form(training, TRAINING)
    if training["slots"] is not None:
        check_form(training["slots"], [str])
    _check_work(training)
    from fastnn.losses import LOSSES  # a model that is not compiled needs neither
    from fastnn.metrics import METRICS

    families = (LOSSES.family, METRICS.family)
    given = {name: unplain(training[name], custom, families) for name in COMPILED if training[name] is not None}
    return OPTIMIZERS.from_config(training["optimizer"], custom), given


def _slots(trainer: Any, training: Any, weights: dict[str, Any], file: Document) -> dict[str, Any]:
    """The type of each of the optimizer's vectors, of which the file has a part beside each of the weights."""
    full_batch = trainer.optimizer.full_batch
    own = trainer.slot_names() if check_count("iterations", training["iterations"], 0) else ()
    names = own if training["slots"] is None else training["slots"]  # of an older file, which lists none
    if not full_batch and {*names} != {*own}:
        raise ValueError(f"its optimizer keeps {shown(sorted(names))}, not {sorted(own)}")
    if len(names) * len(weights) + len(weights) != len(file.shapes) or len(names) > MAX_LAYERS:
        expected = {f"optimizer/{name}/{each}" for name in names[:MAX_LAYERS] for each in weights} | weights.keys()
        _check_used(sorted(file.shapes.keys() - expected))
        raise ValueError(f"expected {len(names):,} vectors of the optimizer beside {len(weights):,} arrays of weights")
    dtype = np.float64 if full_batch else np.float32
    for name in names:
        for each, shape in weights.items():
            _check_shape(f"optimizer/{name}/{each}", shape, dtype, file)
    return dict.fromkeys(names, dtype)


def _check_work(training: Any) -> None:
    """ValueError where what was compiled has so much to add up that to make it would take long."""
    count = thresholds = gathered = 0
    for each in _leaves([training[name] for name in COMPILED]):
        count += 1
        if isinstance(each, dict):
            thresholds += _whole(each.get("num_thresholds"))
            gathered += _whole(each.get("num_classes")) ** 2
    for what, number, most in (
        ("losses and metrics", count, 5 * MAX_LAYERS),
        ("thresholds of metrics", thresholds, MAX_THRESHOLDS),
        ("numbers that metrics add up", gathered, MAX_GATHERED),
    ):
        if number > most:
            raise ValueError(f"a file holds at most {most:,} {what}, got {number:,}")


def _whole(value: object) -> int:
    return value if type(value) is int else 0


def _leaves(value: Any) -> Iterator[Any]:
    """The units, and whatever else is neither a list nor an object of named ones."""
    named = isinstance(value, dict) and not ("class" in value or "function" in value)
    if not named and not isinstance(value, list):
        yield value
        return
    for each in value.values() if named else value:
        yield from _leaves(each)


def _check(wanted: Arrays, file: Document) -> None:
    for name, view in wanted.items():
        _check_shape(name, view.shape, view.dtype, file)


def _fits(name: str, view: Any, file: Document) -> bool:
    found = file.shapes.get(name)
    return found is not None and found.shape == view.shape and found.dtype == view.dtype


def _check_shape(name: str, shape: Any, dtype: Any, file: Document) -> None:
    found = file.shapes.get(name)
    if found is None or found.shape != shape or found.dtype != dtype:
        came = f"{found.dtype} {found.shape}" if found else "nothing"
        raise ValueError(f"weights {name!r:.200} must be {np.dtype(dtype)} {shape}, got {came}")


def _check_used(unused: list[str]) -> None:
    if unused:
        more = f" and {len(unused) - 5:,} more" if len(unused) > 5 else ""
        raise ValueError(f"unexpected weights {', '.join(f'{name:.80}' for name in unused[:5])}{more}")


def _fill(wanted: Arrays, arrays: Arrays, held: Any) -> None:
    """Copy named arrays into views, whose locks are held."""
    held.assign(wanted.values(), [arrays[name] for name in wanted])


def _check_free(path: Path, overwrite: bool) -> None:
    name = check_path("filepath", path)
    if not as_flag("overwrite", overwrite) and exists(name):
        raise FileExistsError(f"{name} exists; pass overwrite=True or another name")
