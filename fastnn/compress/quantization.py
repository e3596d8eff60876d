"""Models whose weights are whole numbers, or floats of 16 bits."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from io import BytesIO
from math import prod
from typing import Any, NamedTuple

import numpy as np

from fastnn._checks import shown
from fastnn._table import gathering
from fastnn.layers.places import place_of
from fastnn.layers.quantized import BFloat16, FewBits, Float16, int8_of, quantized_in, rounded
from fastnn.models import asked, check_model
from fastnn.models.built import KINDS
from fastnn.models.graph import planned
from fastnn.models.networks import network_of
from fastnn.store import document, model_file
from fastnn.store.versions import MODEL
from fastnn.typing import Array, FloatArray


def quantize(model: Any, bits: int = 8, rows: Any = None, dtype: str | None = None) -> Any:
    """A model that predicts by whole numbers: int8 weights, times activations as bytes, summed exactly in int32.

        w = q * s, q = round(w / s) in -127 .. 127, s = max |w| / 127 of each output channel
        x = (b - z) * t, b in 0 .. 255, t = (max x - min x) / 255 with 0 among the numbers of x, z the byte of 0

    Of Dense, EinsumDense, Conv1D, Conv2D and Conv3D, SimpleRNN, LSTM and GRU, those within models, attention and other
    layers included. Depthwise and transposed convolutions, Embedding, normalization, biases and kernels of more than
    65,536 rows stay float32.

    rows: what the ranges of x are taken from, as the model reads them; without them each row's own range is taken when
    it is predicted, a picture's as a whole. A state that goes from step to step always has its own.

    bits=16: the same weights as floats of 16 bits, which are widened as they are multiplied: half the memory and files,
    with the bits that float32 weights of these values give, but for Dense layers of few units (up to 12), or one more
    than a multiple of 16, whose float32 sums may have another order. dtype: "float16", for which a weight beyond 65,504
    is a ValueError, or "bfloat16", of float32's range with 8 bits; "float16" unless one is named.

    A row's products by int8 have the same bits whatever rows are beside it, on any number of threads and with each
    instruction set. The model has all that predicts (predict, save, predict_sql, ...); ``compile`` and what learns are
    refused with a RuntimeError. ValueError for a model that is not built, is quantised or has nothing to quantise, and
    for weights that are not finite. Source: Jacob et al. 2018.
    """
    check_model("quantize", model)
    if not isinstance(bits, (int, np.integer)) or isinstance(bits, bool) or bits not in (8, 16):
        raise ValueError(f"quantize: bits must be 8 or 16, got {shown(bits)}")
    kinds = ("int8",) if bits == 8 else ("float16", "bfloat16")
    if dtype is not None and dtype not in kinds:
        raise ValueError(
            f"quantize: dtype with bits={bits} must be {' or '.join(map(repr, kinds))}, got {shown(dtype)}"
        )
    if bits == 16 and rows is not None:
        raise ValueError("quantize: rows are for bits=8; floats of 16 bits need no ranges")
    description = model.description
    found = _quantizable(description, "quantize")
    with description.locked():
        for each in found:
            if not np.isfinite(each.values).all():
                raise ValueError(f"quantize: {each.name} has numbers that are not finite")
        if bits == 16:
            return rebuilt(model, {each.name: _half(each, dtype == "bfloat16") for each in found})
        ranges = {} if rows is None else _ranges(model, rows, found)
        return rebuilt(model, {each.name: int8_of(each.values, each.columns, ranges.get(each.name)) for each in found})


def quantization_aware(model: Any) -> Any:
    """A copy of a model that learns to be quantised: what ``quantize`` makes of it afterwards predicts as it does.

    Its weights stand for int8 after each step, and its layers read what bytes make of their rows, by each row's own
    range; gradients go through both as if nothing had been rounded, and what rounding takes from a weight is kept for
    the next step (straight-through; Bengio et al. 2013, Jacob et al. 2018). The states of recurrent layers stay as they
    are. It is compiled as the model is; a few epochs at a tenth of the learning rate are enough as a rule. Steps run on
    one thread. The weights that ``quantize`` would make int8; ValueError as there.
    """
    check_model("quantization_aware", model)
    found = _quantizable(model.description, "quantization_aware")
    made = rebuilt(model, {}, {each.name: [each.columns] for each in found})
    if model.compiled:
        optimizer, *others = model.description.compiled_with
        made.compile(deepcopy(optimizer), *others, matmul_precision=model.description.matmul_precision)
    with made.description.locked():
        for each in weights_of(made.description):
            if np.isfinite(each.values).all():
                each.values[...] = int8_of(each.values, each.columns).floats()
    return made


class Weights(NamedTuple):
    """Weights that an op can have in fewer bits."""

    name: str  # "dense/kernel"
    op: int  # its place in the plan
    number: int  # among the op's
    values: FloatArray  # a view, in the shape that the layer has them
    columns: int  # of the matrix that the op takes them for


def _quantizable(description: Any, what: str) -> list[Weights]:
    if description.network is None:
        raise ValueError(f"{what}: the model has no weights yet; build it, or fit it")
    if quantized_in(description):
        raise ValueError(f"{what}: the model is quantised already; take the model that it was made of")
    found = weights_of(description)
    if not found:
        raise ValueError(f"{what}: the model has no layer whose weights can be quantised")
    return found


def weights_of(description: Any) -> list[Weights]:
    """The weights of a built model that can be quantised, one entry for each op that reads them."""
    found, paths, plan = [], description.paths(), description.plan
    for place, (op, layer) in enumerate(zip(plan.ops, plan.layers, strict=True)):
        own, start = place_of(layer) if layer is not None else None, plan.starts[place]
        for number, shape in enumerate(op.kernels()):
            assert own is not None
            parameter = next(each for each in own.parameters if each.offset == start)
            view = own.views(own.store.flat)[own.parameters.index(parameter)]
            found.append(Weights(f"{paths[layer]}/{parameter.name}", place, number, view, shape[1]))
            start += prod(shape)
    return found


def _half(weights: Weights, brain: bool) -> FewBits:
    with np.errstate(over="ignore"):
        made = BFloat16(rounded(weights.values)) if brain else Float16(weights.values.astype(np.float16))
    if not np.isfinite(made.floats()).all():
        advice = "" if brain else ', which dtype="bfloat16" has'
        raise ValueError(f"quantize: {weights.name} has numbers beyond {made.kind}'s range{advice}")
    return made


def _ranges(model: Any, rows: Any, found: list[Weights]) -> dict[str, tuple[float, float]]:
    """The least and the most that each kernel's op reads in these rows, and 0."""
    if model.description.front is not None:
        raise ValueError("quantize: rows are for models that read numbers; leave rows out, and each row has its ranges")
    description, plan = model.description, planned(model.description.graph)
    given = asked.rows_of(model, rows, "quantize: rows")
    x = np.concatenate([each.reshape(len(each), -1) for each in given], axis=1).astype(np.float32, copy=False)
    if not len(x):
        raise ValueError("quantize: rows has no row")
    reads = [(each.name, plan.sources[each.op][0]) for each in found if each.number == 0]
    ends = list(dict.fromkeys(source for _, source in reads if source >= 0))
    parts = dict(enumerate(np.split(x, np.cumsum(plan.inputs)[:-1], axis=1)))
    values: dict[int, Array] = {-1 - number: part for number, part in parts.items()}
    if ends:
        outputs = list(dict.fromkeys([*ends, *plan.outputs]))  # the rest of the ops lead there
        network = network_of(description, plan, outputs)
        widths = np.cumsum([plan.ops[place].units * plan.ops[place].slices for place in ends])
        values.update(zip(ends, np.split(network.predict(x), widths, axis=1), strict=False))
    ranges: dict[str, tuple[float, float]] = {}
    for name, source in reads:
        least, most = ranges.get(name, (0.0, 0.0))
        part = values[source]
        if not np.isfinite(part).all():
            raise ValueError(f"quantize: what {name} is multiplied by is not finite for a row of rows")
        ranges[name] = min(least, float(part.min())), max(most, float(part.max()))
    return ranges


def rebuilt(model: Any, kernels: Mapping[str, FewBits], learning: Mapping[str, list[int]] | None = None) -> Any:
    """A copy of a model with these weights in place of its own, by their names; not compiled.

    learning: of weights that are to learn as int8 the columns.
    """
    with gathering() as own:
        file = BytesIO(model_file.packed(model))
    with document.reading(file, "no model", "cannot be copied", MODEL) as opened:
        described, arrays = opened.described, opened.arrays()
    described.pop("training", None)
    arrays = {name: array for name, array in arrays.items() if not name.startswith("optimizer/")}
    for name, each in kernels.items():
        del arrays[name]
        arrays.update({f"{name}{part}": array for part, array in each.arrays().items()})
    described["quantized"] = {name: each.kind for name, each in kernels.items()} | dict(learning or {})
    copy = BytesIO()
    document.write(copy, MODEL, arrays, described)
    made = model_file.load(BytesIO(copy.getvalue()), KINDS, own)
    if type(made) is not type(model):
        made.__class__ = type(model)
    return made
