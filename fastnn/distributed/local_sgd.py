"""Ranks that train each on its own rows, and meet now and then."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn._checks import LONGEST, as_number, check_count, check_flag, shown
from fastnn.callbacks.base import Logs, TrainerCallback

from .communicator import Communicator, gather_objects


class LocalSGD(TrainerCallback):
    """Each rank fits on rows of its own; after every so many of its steps all weights become the mean of all ranks'.

        model.fit(x[rank::size], y[rank::size], epochs=10, callbacks=[LocalSGD(comm, steps=32)])

    w = sum_r n_r w_r / sum_r n_r, in float64 and in the order of ranks; n_r: the steps of rank r since the last time.
    steps: None for once an epoch, which any number of rows on any rank suits: one that has done its epoch waits there
    until all have. All begin with the weights of rank 0 and end with one set of weights; where one is told to stop, all
    do. With as many ranks, rows and seeds the bits are the same again; with another number of ranks they are others.

    average_slots: whether the optimizer's moments are averaged too; else each rank keeps its own. For slow links, what
    goes is what the weights have changed by since the last time, c_r, with what was not sent then added to it (error
    feedback), w = w_0 + sum_r n_r c_r / sum_r n_r, and moments stay: top_k: of these numbers only that share, the
    largest, such as 0.01; dtype: "float16" for half the bytes, for the rest waits as error. With steps=1 and SGD that
    is the compression of gradients.

    It is worth its noise where a step takes less than its exchange: more steps mean fewer bytes, and worse weights for
    the same rows where ranks' rows differ much (docs/scale-out.md has figures). Logs and what other callbacks see are
    of the rank's own rows; metrics of the whole are an ``evaluate``.

    Source: McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data"; Basu et
    al. 2019, "Qsparse-local-SGD". ValueError where ranks' models or arguments differ, and for what is out of range.
    """

    last = True  # what others do to the weights, and whether they stop, comes first

    def __init__(
        self,
        comm: Communicator,
        steps: int | None = None,
        *,
        top_k: float | None = None,
        dtype: str = "float32",
        average_slots: bool = True,
    ) -> None:
        self.comm, self.average_slots, self.dtype = comm, average_slots, dtype
        self.steps = None if steps is None else check_count("LocalSGD: steps", steps)
        check_flag(self, "average_slots")
        self.top_k = None if top_k is None else as_number("LocalSGD: top_k", top_k)
        if self.top_k is not None and not 0 < self.top_k <= 1:
            raise ValueError(f"LocalSGD: top_k must be a share above 0 and at most 1, got {shown(top_k)}")
        if dtype not in ("float16", "float32"):
            raise ValueError(f'LocalSGD: dtype must be "float32" or "float16", got {shown(dtype)}')
        self._by_change = top_k is not None or dtype == "float16"
        self._before = 0  # steps of the network until the last mean
        self._done = False  # whether the epoch has had its last one
        self._alike = True  # where ranks differ, each finds it
        self._anchor = self._error = np.empty(0, np.float32)

    def fit_begins(self, fit: Any) -> None:
        built, comm = self.model.description, self.comm
        self._network = fit.trainer.configured()
        told = (self._network.parameters.size, self.steps, self.top_k, self.dtype, self.average_slots)
        for rank, other in enumerate(gather_objects(comm, told)):
            if other != told:
                self._alike = False
                raise ValueError(
                    f"LocalSGD: rank {rank} has {other} for (weights, steps, top_k, dtype, average_slots), and rank "
                    f"{comm.rank} {told}; make the same model and callback on each"
                )
        self._slots = [] if fit.trainer.full_batch is not None else list(self._network.slots)
        with built.locked() as held:
            targets = [self._network.parameters, *self._slots]
            arrays = [np.array(target) for target in targets]
            for array in arrays:
                comm.bcast(array)
            held.assign(targets, arrays)
            self._network.iterations = comm.bcast_object(self._network.iterations)
        self._before = self._network.iterations
        self._anchor, self._error = arrays[0], np.zeros_like(arrays[0])

    def ahead(self) -> int:
        if self.steps is None:
            return LONGEST
        if self._network.iterations - self._before >= self.steps:
            self._meet(False)
        return self.steps - int(self._network.iterations - self._before)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._done = False

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._end_epoch()  # so that a validation is of the mean

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._end_epoch()
        if any(gather_objects(self.comm, bool(self.model.stop_training))):
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        with self.model.description.locked() as held:
            weights = np.array(self._network.parameters)  # the best ones, say, of rank 0
            self.comm.bcast(weights)
            held.assign([self._network.parameters], [weights])

    def on_train_interrupt(self, error: BaseException, logs: Logs | None = None) -> None:
        if self.comm.size > 1 and self._alike:  # the others would wait for ever
            self.comm.abort(f"{type(error).__name__}: {error}")

    def _end_epoch(self) -> None:
        while not self._done:
            self._done = self._meet(True)

    def _meet(self, ends: bool) -> bool:
        """Take the mean; gives whether all ranks have ended their epoch."""
        comm = self.comm
        steps = self._network.iterations - self._before
        told = np.empty(2 * comm.size, np.int64)
        comm.allgatherv(np.array([steps, ends], np.int64), told, [2] * comm.size)
        if not told[::2].any():  # an epoch ends where they have just met
            return bool(told[1::2].all())
        shares = told[::2] / told[::2].sum()
        with self.model.description.locked() as held:
            targets = [self._network.parameters]
            if self._by_change:
                arrays = [self._by_changes(targets[0], shares)]
            else:
                targets += self._slots if self.average_slots else []
                arrays = [self._mean(target, shares) for target in targets]
            held.assign(targets, arrays)
            self._network.apply_constraints()
        self._before = self._network.iterations
        return bool(told[1::2].all())

    def _mean(self, own: Any, shares: Any) -> Any:
        found = np.zeros(own.size)
        for share, array in zip(shares, self._gathered(np.array(own)), strict=True):
            found += share * array
        return found

    def _by_changes(self, own: Any, shares: Any) -> Any:
        """The mean by what the ranks' weights have changed by, as far as that is sent."""
        change = own - self._anchor + self._error
        count = own.size if self.top_k is None else max(1, int(np.ceil(self.top_k * own.size)))
        places = np.arange(own.size, dtype=np.uint32)
        if count < own.size:
            places = np.sort(np.argpartition(np.abs(change), own.size - count)[-count:]).astype(np.uint32)
        most = float(np.finfo(self.dtype).max)
        values = np.clip(change[places], -most, most).astype(self.dtype)
        if not shares[self.comm.rank]:  # nobody would count it
            values[...] = 0
        self._error = change
        self._error[places] -= values
        found = self._anchor.astype(np.float64)
        sparse = [places] if count < own.size else []
        parts = [self._gathered(part) for part in (*sparse, values)]
        for rank, share in enumerate(shares):
            where = parts[0][rank] if sparse else slice(None)
            found[where] += share * parts[-1][rank]
        self._anchor = found.astype(np.float32)
        return self._anchor

    def _gathered(self, own: Any) -> Any:
        everyone = np.empty(self.comm.size * own.size, own.dtype)
        self.comm.allgatherv(own, everyone, [own.size] * self.comm.size)
        return everyone.reshape(self.comm.size, -1)
