"""Distillation: a small model learns what a large one, or several, predict."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

from fastnn._checks import as_number, check_count, shown
from fastnn.compress import masks
from fastnn.compress.copies import Pairs, alike, rebuilt, take_weights
from fastnn.data.dataset import Dataset
from fastnn.layers import Activation, Identity, Layer, Rescaling, Softmax
from fastnn.layers.graph import calls
from fastnn.layers.tensor import called
from fastnn.losses import BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy
from fastnn.models import Model
from fastnn.typing import Array

__all__ = ["distil"]

LEAST = 1e-7  # probability of which the logarithm is taken


def distil(
    teacher: Any,
    student: Any,
    data: Any,
    temperature: float = 3.0,
    alpha: float = 0.1,
    epochs: int = 10,
    batch_size: int | None = None,
    callbacks: Any = None,
    verbose: int = 0,
) -> Any:
    """Train a student on what its teacher predicts for these rows, and on their labels where there are any; gives it.

    The loss of a student that ends in softmax or sigmoid is alpha * L(y, softmax(z)) + (1 - alpha) * T^2 * L(q,
    softmax(z / T)), where z are its logits, q = softmax(v / T), v the teacher's, T the temperature and L the cross
    entropy; of any other (1 - alpha) times the mean squared error to the teacher's predictions, and alpha times its own
    loss, or the mean squared error, to y. Source: Hinton, Vinyals and Dean 2015.

    teacher: a model, or anything whose ``predict`` gives probabilities, such as an Ensemble. Its predictions are worked
    out once; those of a dataset's rows too, which are kept in memory. student: a model with one output and the same
    inputs, trained in place, with the optimizer it was compiled with, or Adam. data: x, (x, y), (x, y, sample_weight)
    or a dataset of such. temperature: above 0. alpha: 0 to 1. callbacks see a model of two outputs, labels and teacher.

    TypeError, ValueError for what does not go together; RuntimeError for a model without weights.
    """
    masks.check_built("distil", student)
    if isinstance(teacher, Model):
        masks.check_built("distil", teacher)
    elif not callable(getattr(teacher, "predict", None)):
        raise TypeError(f"distil: teacher must be a model, or have predict, got {shown(teacher)}")
    temperature, alpha = as_number("distil: temperature", temperature), as_number("distil: alpha", alpha)
    if not 0 < temperature < float("inf") or not 0 <= alpha <= 1:
        raise ValueError(
            f"distil: temperature must be above 0 and alpha from 0 to 1, got {shown(temperature)} and {shown(alpha)}"
        )
    check_count("distil: epochs", epochs)
    x, y, weight = _parts(data)
    end = _end(student, "student")
    taught = _targets(teacher, x, end, temperature)
    expected = student.output_shape[1:]
    if taught.shape[1:] != expected:
        raise ValueError(f"distil: the teacher gives rows of {taught.shape[1:]}, the student of {expected}")
    copy, pairs = _with_logits(student, end, "student")
    z = copy.outputs[0]
    soft = Identity(name="taught")(z) if end.kind == "linear" else Rescaling(1 / temperature, name="taught")(z)
    hard, metrics = _hard(student, end, y)
    softened = {"softmax": CategoricalCrossentropy(True), "sigmoid": BinaryCrossentropy(True)}.get(end.kind, "mse")
    scale = 1.0 if end.kind == "linear" else temperature**2
    optimizer = deepcopy(student.description.compiled_with[0]) if student.compiled else "adam"
    if y is None:
        learner = Model(copy.input, soft)
        learner.compile(optimizer, softened, loss_weights=scale)
    else:
        learner = Model(copy.input, [z, soft])
        learner.compile(optimizer, [hard, softened], metrics=[metrics, None], loss_weights=[alpha, (1 - alpha) * scale])
    history = learner.fit(
        x, taught if y is None else [y, taught], batch_size, epochs, verbose, callbacks, sample_weight=weight
    )
    take_weights(student, {new: old for old, new in pairs.items()})
    student.history = history
    return student


class End(NamedTuple):
    """How a model ends. kind: "softmax", "sigmoid", else "linear"; layer: which has it, None for one of logits."""

    kind: str
    layer: Layer | None = None


def _end(model: Any, who: str) -> End:
    """ValueError for a model of several outputs, and where something else reads what softmax or sigmoid give."""
    built = model.description
    if len(model.outputs) > 1:
        raise ValueError(
            f"distil: the {who} must have one output, got {len(model.outputs)}; take a Model of one of them"
        )
    kind, layer = built.last_activation(), built.last_layer()
    if kind not in ("softmax", "sigmoid"):
        loss = built.compiled_with[1] if model.compiled else None
        if not getattr(loss, "from_logits", False):
            return End("linear")
        return End("sigmoid" if isinstance(loss, BinaryCrossentropy) else "softmax")
    return End(kind, layer)


def _with_logits(model: Any, end: End, who: str) -> tuple[Any, Pairs]:
    """A copy of a model without softmax or sigmoid at its end, and the layers that go together."""

    def change(layer: Layer) -> list[Layer]:
        if layer is end.layer and isinstance(layer, Softmax):
            return [Activation("linear", name=called(layer))]
        return [alike(layer, {} if end.layer is None else {end.layer: {"activation": "linear"}})]

    copy, pairs = rebuilt(model, change)
    if end.layer is not None:
        built = model.description
        once = sum(node.layer is end.layer for node in calls(built.graph)) == 1
        if not once or built.fusible(0) != end.kind or copy.description.last_activation() != "linear":
            raise ValueError(f"distil: the {who} ends in a {end.kind} that is no layer's of its own; add an Activation")
    take_weights(copy, pairs)
    return copy, pairs


def _targets(teacher: Any, x: Any, end: End, temperature: float) -> Array:
    """What the student's second output is to be."""
    if not isinstance(teacher, Model):
        p = np.asarray(teacher.predict(x), np.float64)
        if end.kind == "linear":
            return p.astype(np.float32)
        p = np.clip(p, LEAST, 1 - LEAST if end.kind == "sigmoid" else 1)
        return _softened(np.log(p) - (np.log1p(-p) if end.kind == "sigmoid" else 0), end.kind, temperature)
    own = _end(teacher, "teacher")
    if end.kind == "linear":
        return np.asarray(teacher.predict(x, verbose=0))
    if own.layer is not None and own.kind != end.kind:
        raise ValueError(f"distil: the teacher ends in {own.kind}, the student in {end.kind}; both must be alike")
    logits = teacher if own.layer is None else _with_logits(teacher, own, "teacher")[0]
    return _softened(np.asarray(logits.predict(x, verbose=0), np.float64), end.kind, temperature)


def _softened(v: Any, kind: str, temperature: float) -> Array:
    """softmax(v / T) or sigmoid(v / T)."""
    v = v / temperature
    if kind == "sigmoid":
        return np.asarray(0.5 + 0.5 * np.tanh(v / 2), np.float32)
    e = np.exp(v - v.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True), np.float32)


def _hard(student: Any, end: End, y: Any) -> tuple[Any, Any]:
    """The loss for labels, of logits where there are such, and the metrics."""
    if end.kind == "sigmoid":
        return BinaryCrossentropy(True), None
    if end.kind == "linear":
        return (student.description.compiled_with[1] if student.compiled else None) or "mse", None
    whole = y is not None and np.shape(y) == (len(y), *student.output_shape[1:])
    return (CategoricalCrossentropy if whole else SparseCategoricalCrossentropy)(True), ["accuracy"]


def _parts(data: Any) -> tuple[Any, Any, Any]:
    """(x, y, weights), of which the last two may be None; those of a dataset one below the other."""
    if isinstance(data, (tuple, list)):
        if not 1 <= len(data) <= 3:
            raise ValueError(f"distil: data must be x, (x, y) or (x, y, sample_weight), got {len(data)} parts")
        x, y, weight = (*data, None, None)[:3]
        return x, y, weight
    if isinstance(data, dict) or hasattr(data, "shape"):
        return data, None, None
    if isinstance(data, Dataset) and data.batch_size is None:
        data = data.batch(1024)
    if data is None or isinstance(data, (str, bytes)) or not hasattr(data, "__iter__"):
        raise TypeError(f"distil: data must be x, (x, y), (x, y, sample_weight) or a dataset, got {shown(data)}")
    batches = [part if isinstance(part, tuple) else (part,) for part in data]
    if not batches:
        raise ValueError("distil: the dataset gave no rows")
    return _parts(_below(batches))


def _below(parts: list[Any]) -> Any:
    """Batches as one: arrays one below the other, in tuples, lists and dicts alike."""
    first = parts[0]
    if isinstance(first, dict):
        return {name: _below([part[name] for part in parts]) for name in first}
    if isinstance(first, (tuple, list)):
        return type(first)([_below([part[place] for part in parts]) for place in range(len(first))])
    return np.concatenate(parts)
