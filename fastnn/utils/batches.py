"""Batches by number, from a class of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

__all__ = ["PyDataset", "Sequence"]


class PyDataset:
    """Batches that a subclass makes: ``self[i]`` gives batch i, as (x, y) or (x, y, sample_weight), ``len`` how many.

        class Batches(fastnn.utils.PyDataset):
            def __len__(self):
                return 100

            def __getitem__(self, index):
                return x[index], y[index]

    ``fit`` takes it, and draws the batches' order unless shuffle=False; ``on_epoch_begin`` and ``on_epoch_end`` are
    called around each epoch. Without ``__len__`` batches come until ``__getitem__`` raises IndexError, or
    steps_per_epoch are done. workers, use_multiprocessing, max_queue_size: taken and kept; batches are made in the
    calling thread.
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must have __getitem__(self, index), which gives a batch")

    @property
    def num_batches(self) -> int | None:
        """How many batches an epoch has; None for as many as are asked for."""
        return len(self) if hasattr(self, "__len__") else None

    def __iter__(self) -> Iterator[Any]:
        batches = self.num_batches
        for index in count() if batches is None else range(batches):
            try:
                batch = self[index]
            except IndexError:
                if batches is None:
                    return
                raise
            yield batch

    def on_epoch_begin(self) -> None:
        """Called before each epoch; does nothing."""

    def on_epoch_end(self) -> None:
        """Called after each epoch; does nothing."""


Sequence = PyDataset
