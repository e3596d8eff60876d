"""What ``compile`` is given, sorted by the model's outputs; and what a network is told of it once it is built."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isfinite, prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnn import _names, losses
from fastnn._checks import as_list, as_number, shown
from fastnn.data.arrays import target_forms
from fastnn.engine import description
from fastnn.layers.graph import Graph, calls
from fastnn.losses import Loss
from fastnn.losses.base import check_axis
from fastnn.typing import Shape

if TYPE_CHECKING:
    from fastnn.data import Source
    from fastnn.metrics import Metric
    from fastnn.training.accumulator import MetricAccumulator

Logs = dict[str, Any]
NO_LOSS = "a loss is needed to train"
OWN = ("loss", "learning_rate", "seconds", "epoch")  # what logs and their readers call by these names


class Objective(NamedTuple):
    """What one output is trained for, and what is measured of it."""

    output: str  # its name, "" where the model has one output alone
    loss: Loss
    importance: float  # what its loss counts in the sum
    metrics: tuple[Any, ...]  # names or objects
    weighted_metrics: tuple[Any, ...]  # the same, by the sample weights
    trained: bool = True  # whether there is a loss; one that counts nothing stands for none
    by_shape: bool = False  # whether the loss is to be chosen by the shape of y


class Output(NamedTuple):
    """An objective beside the shape of its output: lines of `shape[-1]` numbers, as many as the other axes make."""

    objective: Objective
    shape: Shape  # of a row
    targets: int  # columns of y that go with a line
    measured: tuple[Any, ...] = ()  # its metrics

    @property
    def lines(self) -> int:
        """Lines in a row; the loss has a value for each."""
        return prod(self.shape[:-1])

    @property
    def target_shape(self) -> Shape:
        """The shape of a row of y."""
        return (*self.shape[:-1], self.targets)


def objectives_of(
    model: Any, loss: Any, loss_weights: Any = None, metrics: Any = None, weighted_metrics: Any = None
) -> list[Objective]:
    """The objective of each output of a model.

    loss: one for all outputs, or a list or dict of one for each; None for an output that nothing is learnt from; of one
    output "crossentropy", which is chosen by the shape of y. loss_weights: a number, or a list or dict of them.
    metrics, weighted_metrics: a list; for several outputs a list with a metric, a list of them or None for each, or a
    dict, which may leave outputs out. ValueError, TypeError for what does not go with the outputs.
    """
    if not hasattr(model, "output_names"):
        raise TypeError(f"model must be a fastnn.models.Model, got {shown(model)}")
    names: Sequence[str] = model.output_names
    one = len(names) == 1
    chosen = [_alone(each) for each in _each(names, loss, "loss")]
    trained = [each is not None for each in chosen]
    if not any(trained):
        raise ValueError(f"{NO_LOSS}, and no output has one; name one, such as 'mean_squared_error'")
    found = [_loss_of(each, one) for each in chosen]
    if loss_weights is not None and not one and not isinstance(loss_weights, (list, tuple, Mapping)):
        raise TypeError(
            f"loss_weights must be a list or dict with a number for each of {len(names)} outputs, got "
            f"{shown(loss_weights)}"
        )
    importance = [
        _weight(each) if learnt else 0.0
        for each, learnt in zip(_each(names, loss_weights, "loss_weights"), trained, strict=True)
    ]
    plain, weighted = (
        [_checked(each) for each in _metrics_of(names, given, what)]
        for given, what in ((metrics, "metrics"), (weighted_metrics, "weighted_metrics"))
    )
    outputs = [""] if one else list(names)
    by_shape = [_goes_by_shape(each) for each in chosen]
    each = zip(outputs, found, importance, plain, weighted, trained, by_shape, strict=True)
    return [Objective(*parts) for parts in each]


def _alone(loss: Any) -> Any:
    """The loss of a list of one."""
    return loss[0] if isinstance(loss, (list, tuple)) and len(loss) == 1 else loss


def _goes_by_shape(loss: Any) -> bool:
    return isinstance(loss, str) and loss.lower() in ("crossentropy", "ce")


def _loss_of(given: Any, one: bool) -> Loss:
    if given is None:
        return losses.MeanSquaredError()
    if not _goes_by_shape(given):
        return losses.as_loss(given)
    if not one:
        raise ValueError(
            f"loss {given!r} is chosen by the shape of y, and this model has several outputs; name the loss of each: "
            "binary_crossentropy, categorical_crossentropy or, for class numbers, sparse_categorical_crossentropy"
        )
    return losses.CategoricalCrossentropy()  # until there is a y


def settled(objectives: list[Objective], source: Source, shape: Shape) -> list[Objective]:
    """The objectives, with the cross-entropy that goes with a source's y and an output whose rows have this shape."""
    if not objectives[0].by_shape or not source.targets:
        return objectives
    by_number = source.targets == prod(shape[:-1])
    kind = "binary" if shape[-1] == 1 else "sparse_categorical" if by_number else "categorical"
    return [objectives[0]._replace(loss=losses.as_loss(f"{kind}_crossentropy"), by_shape=False)]


def with_loss(model: Any, loss: Any, loss_weights: Any) -> tuple[Any, Any]:
    """loss and loss_weights; where there is no loss, as layers may add all that there is, one that counts nothing."""
    if loss is not None or not hasattr(model, "output_names"):  # which `objectives_of` says
        return loss, loss_weights
    count = len(model.output_names)
    return ("mean_squared_error", 0.0) if count == 1 else (["mean_squared_error"] * count, [0.0] * count)


def _adds_losses(graph: Graph) -> bool:
    """Whether a layer's ``add_loss`` or a penalty on what it gives is part of the loss."""
    nodes = list(calls(graph))
    graphs = [graph, *(node.graph for node in nodes if node.graph is not None)]
    return any(each.added for each in graphs) or any(
        getattr(node.layer, "activity_regularizer", None) is not None for node in nodes
    )


def outputs_of(objectives: Sequence[Objective], shapes: Sequence[Shape]) -> list[Output]:
    """The outputs, by the shapes of their rows. ValueError where a loss takes no such output."""
    for objective, shape in zip(objectives, shapes, strict=True):
        check_axis(objective.loss, len(shape) + 1)
    return [
        Output(objective, shape, objective.loss.targets(shape[-1]))
        for objective, shape in zip(objectives, shapes, strict=True)
    ]


class CompiledObjectives:
    """The objectives of a built model, resolved: "accuracy" is a metric now, and a loss has its kernel.

    shapes: of a row of each output. activations: the name of the activation that each ends in, where its loss may take
    the activation's place.

    Attributes: `outputs`; `described`, the objectives as the engine takes them; `metrics` of all outputs and `names`,
    what they are called in logs; `losses`, what the outputs' own losses are called, () for a single output.
    """

    def __init__(self, objectives: Sequence[Objective], shapes: Sequence[Shape], activations: Sequence[str]) -> None:
        self.outputs = outputs_of(objectives, shapes)
        self.metrics: list[Metric] = []
        self.described = []
        names = []
        for number, (output, activation) in enumerate(zip(self.outputs, activations, strict=True)):
            objective = output.objective
            plain, weighted = (
                [_resolved(metric, output) for metric in each]
                for each in (objective.metrics, objective.weighted_metrics)
            )
            described = [_metric(metric, False) for _, metric in plain] + [
                _metric(metric, True) for _, metric in weighted
            ]
            output = output._replace(measured=tuple(metric for _, metric in (*plain, *weighted)))
            self.outputs[number] = output
            self.described.append(_described(output, activation, described, _bounds(output)))
            self.metrics += output.measured
            names.append(([name for name, _ in plain], [name for name, _ in weighted]))
        self.names = log_names(objectives, names)
        self.losses = loss_names(objectives)
        self._counts = any(objective.importance for objective in objectives)
        self._learnt = [place for place, objective in enumerate(objectives) if objective.trained]
        self.gathers = bool(self.names or self.losses)  # more than the loss
        self._compiled = [metric.compiled for metric in self.metrics]
        self._python = [metric for metric in self.metrics if not metric.compiled]
        self._targets = sum(prod(output.target_shape) for output in self.outputs)
        self._target_forms = (None, *target_forms(self.outputs[0].target_shape))
        self._weight_forms = ((), *target_forms((*self.outputs[0].shape[:-1], 1)))

    def begin(self) -> None:
        """Metrics in Python start afresh; the engine adds up all others."""
        for metric in self._python:
            metric.reset_state()

    def logs(self, epoch: MetricAccumulator, penalty: float = 0.0) -> Logs:
        """What logs say of what an epoch has added up: metrics, the outputs' losses, the loss."""
        rows = epoch.rows or 1  # none where the very first batch ended the epoch
        if not self.gathers:
            return {"loss": epoch.loss / rows + penalty}
        found: Logs = {}
        for place, (name, metric, compiled) in enumerate(zip(self.names, self.metrics, self._compiled, strict=True)):
            value = metric.reported(epoch.states[place]) if epoch.states and compiled else metric.result()
            found[name] = value if type(value) is float else _number(value)
        for place, name in zip(self._learnt, self.losses, strict=False):
            found[name] = epoch.losses[place] / rows
        found["loss"] = epoch.loss / rows + penalty
        return found

    def check(self, source: Source, what: str) -> None:
        """ValueError, which begins with `what`, unless the source's targets and weights go with the outputs."""
        if source.targets == 0:
            raise ValueError(f"{what} without targets: pass y, or name the target column")
        several = len(self.outputs) > 1  # which a source has joined by their shapes
        if source.targets != self._targets or not (several or source.target_shape in self._target_forms):
            raise ValueError(f"{what}: {self._mismatch(source)}")
        if not (several or source.weight_shape in self._weight_forms):
            shape = self.outputs[0].shape
            raise ValueError(
                f"{what}: sample_weight has rows of shape {source.weight_shape}, but {self._name()} with outputs of "
                f"shape {shape} takes one number for each row, or rows of shape {shape[:-1] or (1,)}"
            )

    def check_loss(self, graph: Graph) -> None:
        """ValueError where no output has a loss that counts, and no layer of the model adds one."""
        if not self._counts and not _adds_losses(graph):
            raise ValueError(f"{NO_LOSS}; name one in compile, such as 'mean_squared_error'")

    def check_class_weight(self) -> None:
        """ValueError where a row of y has more than one class."""
        for output in self.outputs:
            if output.lines > 1:
                raise ValueError(
                    f"class_weight goes with one class for each row, and rows of the output have the shape "
                    f"{output.shape}; pass sample_weight of shape (rows, {', '.join(map(str, output.shape[:-1]))})"
                )

    def _name(self) -> str:
        return type(self.outputs[0].objective.loss).__name__ if len(self.outputs) == 1 else "the model"

    def _mismatch(self, source: Source) -> str:
        """What is wrong with the shape of y."""
        units = sum(prod(output.shape) for output in self.outputs)
        targets, hint = self._targets, ""
        if any(output.objective.loss.labels for output in self.outputs) and targets < source.targets == units:
            hint = "; for one-hot targets use categorical_crossentropy"
        elif source.targets < targets == units and source.targets == sum(output.lines for output in self.outputs):
            hint = "; for class numbers use sparse_categorical_crossentropy"
        if len(source.target_shape or ()) < 2 and all(output.lines == 1 for output in self.outputs):
            return (
                f"y has {source.targets} column(s), but {self._name()} with {units} output(s) expects {targets}{hint}"
            )
        wanted = " and ".join(str(output.target_shape) for output in self.outputs)
        shapes = " and ".join(str(output.shape) for output in self.outputs)
        came = source.target_shape or (source.targets,)
        return f"y has rows of shape {came}, but {self._name()} with outputs of shape {shapes} expects {wanted}{hint}"


def log_names(objectives: Sequence[Objective], resolved: Sequence[tuple[Sequence[str], Sequence[str]]]) -> list[str]:
    """What the metrics are called in logs, output by output, those by weight last in each.

    resolved: for each output the names of its metrics and of its weighted metrics. As in Keras an output's name stands
    before them where there are several, a second "mae" is "mae_1", and one by weight beside it "weighted_mae". So is
    one that is called as something else in the logs: "loss", a loss of an output, a figure of the validation.
    """
    wanted: list[str] = []
    for objective, (plain, weighted) in zip(objectives, resolved, strict=True):
        before = f"{objective.output}_" if objective.output else ""
        own = [before + name for name in plain]
        own += [f"{before}weighted_{name}" if name in plain else before + name for name in weighted]
        wanted += own
    found: list[str] = []
    for name in wanted:
        number, given = 0, name
        while _is_taken(given, {*OWN, *loss_names(objectives), *found}, wanted):
            number += 1
            given = f"{name}_{number}"
        found.append(given)
    return found


def _is_taken(name: str, taken: Collection[str], wanted: Sequence[str]) -> bool:
    """Whether a name in logs stands for something else, or its figure of the validation would."""
    measured = name.removeprefix("val_")
    return name in taken or f"val_{name}" in taken or (measured != name and (measured in taken or measured in wanted))


def _number(value: Any) -> Any:
    """An array of one number, and a variable, as that number."""
    value = value.numpy() if hasattr(value, "assign") else value
    return value.item() if isinstance(value, (np.ndarray, np.generic)) and value.size == 1 else value


def loss_names(objectives: Sequence[Objective]) -> list[str]:
    """What the outputs' own losses are called in logs; none where there is one, which is the loss."""
    names = [f"{objective.output}_loss" for objective in objectives if objective.trained]
    return names if len(names) > 1 else []


def _metric(metric: Metric, weighted: bool) -> description.Metric:
    if not metric.compiled:
        return description.Metric(metric, (), weighted)
    numbers = getattr(metric, "accumulator_numbers", metric.numbers)()
    return description.Metric(metric.kernel, numbers, weighted, metric.logits)


def _resolved(metric: Any, output: Output) -> tuple[str, Metric]:
    from fastnn.metrics import resolve  # with them, `import fastnn` would take half as long again

    name, found = resolve(metric, output.targets, output.shape[-1], output.objective.loss)
    check_axis(found, len(output.shape) + 1)
    return name, found


def _bounds(output: Output) -> tuple[float, float, bool] | None:
    """(low, high, whole) of the targets that the loss and the metrics have a meaning for; None for any."""
    loss, units, takes = output.objective.loss, output.shape[-1], losses.Targets()
    for each in (loss, *output.measured):
        if (
            each.reads_targets and not each.leaves_out
            if each is not loss
            else loss.compiled and loss.mask(np.zeros((1, 1))) is None
        ):
            takes = takes.within(each.takes, units)
    return (*takes.bounds(units), takes.whole) if takes.limited else None


def _described(
    output: Output, activation: str, metrics: Sequence[description.Metric], bounds: tuple[float, float, bool] | None
) -> description.Objective:
    loss, importance = output.objective.loss, output.objective.importance
    kernel, fused = loss.kernel_for(activation) if loss.compiled else (loss, False)
    numbers = loss.numbers() if loss.compiled else ()
    logits = loss.compiled and loss.logits
    return description.Objective(
        kernel, output.targets, numbers, fused, logits, loss.reduction, importance, metrics, output.shape, bounds
    )


def _each(names: Sequence[str], given: Any, what: str) -> list[Any]:
    """One for each output, from one for all, a list or a dict."""
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(
                f"{what}: there is no output {shown(unknown[0])}{_names.hint(unknown[0], names)}; there are "
                f"{', '.join(map(repr, names))}"
            )
        return [given.get(name) for name in names]
    if isinstance(given, (list, tuple)) and len(names) > 1:
        if len(given) != len(names):
            raise ValueError(
                f"{what} must have one entry for each of {len(names)} outputs ({', '.join(names)}), got {len(given)}"
            )
        return list(given)
    return [given] * len(names)


def _metrics_of(names: Sequence[str], given: Any, what: str) -> list[Any]:
    if given is None or (isinstance(given, (list, tuple)) and not given):
        return [None] * len(names)
    if isinstance(given, (str, type)) or not isinstance(given, Iterable) or getattr(given, "shape", None) == ():
        raise TypeError(f"{what} must be a list of names or objects, got {shown(given)}; write [{shown(given)}]")
    if len(names) == 1 and not isinstance(given, Mapping):
        return [as_list(what, given, "names or objects")]
    return _each(names, given, what)


def _checked(given: Any) -> tuple[Any, ...]:
    """The metrics of one output, each known."""
    metrics = tuple(given) if isinstance(given, (list, tuple)) else () if given is None else (given,)
    for metric in metrics:
        if not (isinstance(metric, str) and metric.lower() in ("accuracy", "acc", "crossentropy", "ce")):
            from fastnn.metrics import as_metric  # with them, `import fastnn` would take half as long again

            as_metric(metric)
    return metrics


def _weight(value: Any) -> float:
    if value is None:
        return 1.0
    number = as_number("a weight in loss_weights", value)
    if not isfinite(number):
        raise ValueError(f"a weight in loss_weights must be finite, got {shown(value)}")
    return number
