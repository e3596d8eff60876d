"""Monte-Carlo dropout: what a network says when it drops units in prediction too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import random
from fastnn._checks import check_count
from fastnn.models import check_model, clone_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 1024  # rows at a time, whatever is asked for: their random numbers hang on it


class MonteCarloDropout:
    """Predicts many times with dropout and noise at work, and says how far the predictions scatter.

    model: fitted, with Dropout or noise in it; it stays as it is. BatchNormalization goes by its moving averages.
    Source: Gal and Ghahramani 2016.
    """

    def __init__(self, model: Any) -> None:
        from fastnn.layers import BatchNormalization

        check_model("MonteCarloDropout", model)

        def called(layer: Any, inputs: Any) -> Any:
            return layer(inputs, training=False) if isinstance(layer, BatchNormalization) else layer(inputs)

        self.model = model
        self._copy = clone_model(model, call_function=called)

    def samples(self, x: Any, count: int = 50, random_state: int | None = None) -> NDArray[np.float32]:
        """(count, rows, units): the predictions. random_state: a whole number; None takes one from the source of all.

        ValueError where nothing in the model draws random numbers.
        """
        number = check_count("count", count)
        seed = int(random.generator().integers(2**32)) if random_state is None else random_state
        draws = np.random.SeedSequence(check_count("random_state", seed, 0)).generate_state(number, np.uint64)
        rows = np.asarray(x)
        if not len(rows):
            raise ValueError("MonteCarloDropout: x has no rows")
        self._copy.set_weights(self.model.get_weights())
        parts = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        found = np.stack([self._once(parts, int(draw)) for draw in draws])
        if number > 1 and (found[0] == found[1]).all():
            raise ValueError("MonteCarloDropout: the model has no dropout or noise at work, so all samples are alike")
        return found

    def _once(self, parts: list[Any], draw: int) -> Any:
        numbered = enumerate(parts)
        return np.concatenate([self._copy.predict_in_training(part, (draw ^ place) or 1) for place, part in numbered])

    def predict(
        self, x: Any, count: int = 50, random_state: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(mean, standard deviation) over the samples, each (rows, units)."""
        found = self.samples(x, count, random_state)
        return found.mean(axis=0), found.std(axis=0)
