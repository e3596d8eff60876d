"""Gradients of a model's loss, for a training loop of one's own."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._checks import as_flag
from fastnn.layers.places import Place, place_of
from fastnn.models.graph import planned
from fastnn.models.networks import network_of, read_inputs
from fastnn.typing import FloatArray


def by_weights(description: Any, trainer: Any, source: Any) -> tuple[float, list[FloatArray]]:
    """The loss of a source's rows as one batch, and its gradient by each of the weights that learn."""
    network = trainer.ready(source)
    with description.locked():
        loss = network.gradient(source.x, source.y, source.weight, commit=True, noise=network.iterations)
        found = []
        for layer in description.layers():
            place: Place | None = place_of(layer)
            if place is None or not layer.trainable:
                continue
            views = place.views(network.gradients)
            pairs = zip(place.parameters, views, strict=True)
            frozen = layer in description.frozen
            found += [np.zeros_like(v) if frozen else v.copy() for parameter, v in pairs if parameter.trainable]
        return float(loss), found


def by_inputs(description: Any, trainer: Any, source: Any) -> list[FloatArray]:
    """The gradient of the loss of a source's rows, as one batch, by the numbers of each input.

    The engine works it out for nobody but this: a network of its own has an op behind each input that keeps it.
    """
    trainer.ready(source)
    with description.locked():
        plan = planned(description.graph)
        taps = read_inputs(plan)
        network = network_of(description, plan, taps=taps, whole=True)
        network.set_objectives(trainer.objectives.described)
        frozen = description.frozen_ops(description.frozen)
        network.set_variables(description.variables(), [False] * len(taps) + frozen)
        x = np.asarray(source.x, np.float32)  # ids too: the taps read them
        network.gradient(x, source.y, source.weight, noise=description.network.iterations)
        found = {number: network.slopes(place, len(x)) for place, number in enumerate(taps)}
        return [found.get(n, np.zeros((len(x), width), np.float32)) for n, width in enumerate(plan.inputs)]


class Gradients:
    """The part of a model that gives gradients."""

    description: Any
    _compiled: Any
    _batch: Any
    _drawn: Any

    def gradient(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        inputs: bool = False,
        return_loss: bool = False,
    ) -> Any:
        """The gradient of the loss given to ``compile``, of these rows as one batch: an array for each that learns.

        They stand as ``trainable_variables`` does, so ``optimizer.apply_gradients(zip(gradients, variables))`` takes a
        step. Layers do what they do in training, dropout and moving averages included. inputs: gives (gradients, those
        by x) too, as x was given. return_loss: gives (loss, ...) in front. RuntimeError before ``compile``;
        FloatingPointError where the loss or a gradient is not finite.
        """
        trainer = self._compiled("gradient")
        source = self._batch(x, y, sample_weight)
        loss, found = by_weights(self.description, trainer, source)
        given: tuple[Any, ...] = (loss,) if as_flag("return_loss", return_loss) else ()
        given = (*given, found)
        if as_flag("inputs", inputs):
            slopes = by_inputs(self.description, trainer, source)
            rows = [tensor.row for tensor in self._drawn().inputs]
            slopes = [each.reshape(len(each), *row) for each, row in zip(slopes, rows, strict=True)]
            given = (*given, self.description.takes.pack(slopes))
        return given if len(given) > 1 else given[0]

    def input_gradient(self, x: Any, output: Any = None) -> Any:
        """The gradient of one unit of an output by each number of each input, row by row, as x is given: float32.

        Layers do what they do in prediction; no ``compile`` is needed. output: None where the model has one unit, else
        a unit's number; of a model of several outputs an output's name, or (name, unit). Where ids are looked up
        (Embedding) there is no slope by them, and 0 stands for it; the methods of ``fastnn.explain`` go by what is
        looked up. Large inputs go by slices of rows.

        ValueError for an output that is not there, for several units at once, for NaN in x, and for a model that reads
        texts, ids alone, or is stateful; FloatingPointError where the output or a slope is not finite.
        """
        from fastnn.models.asked import output_of, rows_of  # `import fastnn` must stay short
        from fastnn.models.slopes import input_slopes

        rows, chosen = rows_of(self, x, "input_gradient"), output_of(self, output, "input_gradient")
        if chosen.names:
            raise ValueError(
                f"input_gradient: output must be one unit, got {output!r}, which has {chosen.width}; give its number"
            )
        if self.description.reads_ids:
            raise ValueError(
                "input_gradient: the model reads ids, which have no slopes; fastnn.explain.integrated_gradients goes "
                "by what is looked up for them"
            )
        found = input_slopes(self.description, rows, chosen.start, "input_gradient")
        return self.description.takes.pack(found)
