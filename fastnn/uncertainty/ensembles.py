"""Many networks that differ by chance: their mean is better than one, and where they differ nobody knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import as_flag, check_count
from fastnn.data import Source
from fastnn.model_selection.fits import Fits
from fastnn.model_selection.folds import Fold, Folds, Rows, count_of
from fastnn.model_selection.validation import jobs_of, seed_of, seeds_of
from fastnn.models import Model
from fastnn.models.description import note_alike

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray


class Ensemble:
    """Fits `count` networks at once, one on each thread, each with random numbers of its own.

    build: a function that gives a new compiled model. bootstrap: each learns from as many rows, drawn with
    replacement; else all from the same rows. random_state: what they hang on, the n-th on its number alone; None: on
    ``set_random_seed``. n_jobs: as in ``cross_validate``. Source: Lakshminarayanan, Pritzel and Blundell 2017.

    models_: the networks; model_: one model that gives the mean of their outputs, to save and to write predictions by.
    """

    models_: list[Any]
    model_: Any

    def __init__(
        self,
        build: Callable[..., Any],
        count: int = 5,
        *,
        bootstrap: bool = False,
        n_jobs: int | None = None,
        random_state: int | None = None,
    ) -> None:
        self.build, self.count = build, check_count("Ensemble: count", count)
        self.bootstrap, self.n_jobs = as_flag("Ensemble: bootstrap", bootstrap), n_jobs
        self.random_state = random_state

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        callbacks: Any = None,
        verbose: int | str = 0,
        backup_dir: str | os.PathLike[str] | None = None,
        **fit: Any,
    ) -> Ensemble:
        """Fit all. fit: epochs, batch_size and what else ``Model.fit`` takes; the others as in ``cross_validate``."""
        rows, root = Rows(x, y, sample_weight), seed_of(self.random_state, None)
        if self.bootstrap and isinstance(x, Source):
            raise TypeError("Ensemble: bootstrap draws rows by their numbers, which a dataset's have not; give arrays")

        def member(seed: int) -> Callable[[], Fold]:
            def made() -> Fold:
                chosen = rows
                if self.bootstrap:
                    total = count_of(rows)
                    chosen = rows.take(np.random.default_rng(seed).integers(total, size=total))
                return Fold(chosen, rows)

            return made

        folds = Folds([member(seed) for seed in seeds_of(root, self.count)])
        fits = Fits(
            self.build,
            folds,
            fit=fit,
            callbacks=callbacks,
            keep_models=True,
            scores=False,
            n_jobs=self.n_jobs,
            verbose=verbose,
            backup_dir=backup_dir,
        )
        results = fits.run(jobs_of([{}], folds, root))
        self.models_ = [result["estimator"] for result in results]
        self.history_ = [result["history"] for result in results]
        self.model_ = _mean_of(self.models_)
        return self

    def members(self, x: Any) -> NDArray[np.float32]:
        """(count, rows, units): what each network gives. RuntimeError before `fit`."""
        if not hasattr(self, "models_"):
            raise RuntimeError("Ensemble has no networks yet; call fit(x, y)")
        return np.stack([model.predict(x) for model in self.models_])

    def predict(self, x: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(mean, standard deviation) over the networks, each (rows, units)."""
        found = self.members(x)
        return found.mean(axis=0), found.std(axis=0)


def _mean_of(models: list[Any]) -> Any:
    """One model of them all."""
    from fastnn.layers import Average, Input

    if len(models) == 1:
        return models[0]
    first = models[0]
    inputs = [Input(tensor.row, name=tensor.name) for tensor in first.inputs]
    given = inputs if len(inputs) > 1 else inputs[0]
    outputs = []
    for number, model in enumerate(models):
        model.name = f"{first.name}_{number}" if number else first.name
        outputs.append(model(given))
    mean = Model(inputs if len(inputs) > 1 else inputs[0], Average()(outputs))
    note_alike(mean.description, first.description)
    return mean
