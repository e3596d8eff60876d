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


class End(NamedTuple):
    """How a model ends. kind: "softmax", "sigmoid", else "linear"; layer: which has it, None where it gives logits."""

    kind: str
    layer: Layer | None = None


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
    softmax(z / T)): z are its logits, q = softmax(v / T), v the teacher's, T the temperature, L the cross entropy. Of
    any other it is alpha times its own loss, or the mean squared error, to y, and (1 - alpha) times that error to
    the teacher's predictions. Source: Hinton, Vinyals and Dean 2015.

    teacher: a model, or what has ``predict``, probabilities for a classifier, such as an Ensemble. It predicts once.
    student: of one output; trained in place, by the optimizer that it was compiled with, or Adam. data: x, (x, y), (x,
    y, sample_weight), or a dataset of such, which is kept in memory. temperature: above 0. alpha: 0 to 1. callbacks see
    a model of two outputs, labels and teacher.

    TypeError, ValueError for what does not go together; RuntimeError for a model without weights.
    """
    masks.check_built("distil", student)
    if isinstance(teacher, Model):
        masks.check_built("distil", teacher)
    elif not callable(getattr(teacher, "predict", None)):
        raise TypeError(f"distil: teacher must be a model, or have predict, got {shown(teacher)}")
    temperature, alpha = as_number("distil: temperature", temperature), as_number("distil: alpha", alpha)
    if not 0 < temperature < float("inf") or not 0 <= alpha <= 1:
        raise ValueError(f"distil: temperature must be above 0 and alpha from 0 to 1, got {temperature} and {alpha}")
    check_count("distil: epochs", epochs)
    x, y, weight = _parts(data)
    y = next(iter(y.values())) if isinstance(y, dict) and len(y) == 1 else y
    end = _end(student, "student")
    taught = _targets(teacher, x, end, temperature)
    (expected,) = student.description.output_shapes()
    if taught.shape[1:] != expected:
        raise ValueError(f"distil: the teacher gives rows of {taught.shape[1:]}, the student of {expected}")
    copy, pairs = _with_logits(student, end, "student")
    z = copy.outputs[0]
    own, optimizer = student.description.compiled_with[1::-1] if student.compiled else (None, "adam")
    hard: Any = own or "mse"
    soft: Any = "mse"
    last: Any = Identity(name="taught")
    scale, metrics = 1.0, None
    if end.kind != "linear":
        last, scale = Rescaling(1 / temperature, name="taught"), temperature**2
        hard = soft = BinaryCrossentropy(True) if end.kind == "sigmoid" else CategoricalCrossentropy(True)
        if end.kind == "softmax":
            metrics = ["accuracy"]
            hard = soft if np.shape(y)[1:] == expected else SparseCategoricalCrossentropy(True)
    if y is None:
        learner = Model(copy.input, last(z))
        learner.compile(deepcopy(optimizer), soft, loss_weights=scale)
    else:
        learner = Model(copy.input, [z, last(z)])
        learner.compile(deepcopy(optimizer), [hard, soft], [alpha, (1 - alpha) * scale], [metrics, None])
    targets = taught if y is None else [y, taught]
    student.history = learner.fit(x, targets, batch_size, epochs, verbose, callbacks, sample_weight=weight)
    take_weights(student, {new: old for old, new in pairs.items()})
    return student


def _end(model: Any, who: str) -> End:
    """ValueError for a model of several outputs."""
    built = model.description
    if len(model.outputs) > 1:
        raise ValueError(
            f"distil: the {who} must have one output, got {len(model.outputs)}; take a Model of one of them"
        )
    kind = built.last_activation()
    if kind in ("softmax", "sigmoid"):
        return End(kind, built.last_layer())
    loss = built.compiled_with[1] if model.compiled else None
    if not getattr(loss, "from_logits", False):
        return End("linear")
    return End("sigmoid" if isinstance(loss, BinaryCrossentropy) else "softmax")


def _with_logits(model: Any, end: End, who: str) -> tuple[Any, Pairs]:
    """A copy without softmax or sigmoid at its end, and the layers that go together. ValueError where it has none."""

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
    """What the student is to give."""
    if isinstance(teacher, Model):
        own = _end(teacher, "teacher")
        if own.layer is not None and own.kind != end.kind != "linear":
            raise ValueError(f"distil: the teacher ends in {own.kind}, the student in {end.kind}; both must be alike")
        if own.layer is not None and end.kind != "linear":
            teacher = _with_logits(teacher, own, "teacher")[0]
        (found,) = teacher.description.gives.unpack(teacher.predict(x, verbose=0), "distil: predictions")
        v = np.asarray(found, np.float64)
    else:
        v = np.asarray(teacher.predict(x), np.float64)
        if end.kind != "linear":
            v = np.clip(v, LEAST, 1 - LEAST)
            v = np.log(v) - (np.log1p(-v) if end.kind == "sigmoid" else 0)
    if end.kind == "sigmoid":
        v = 0.5 + 0.5 * np.tanh(v / (2 * temperature))
    elif end.kind == "softmax":
        v = np.exp((v - v.max(axis=-1, keepdims=True)) / temperature)
        v /= v.sum(axis=-1, keepdims=True)
    return v.astype(np.float32)


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
        return [_below([part[place] for part in parts]) for place in range(len(first))]
    return np.concatenate(parts)
