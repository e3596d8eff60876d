"""A fit of several ranks that ends as one process alone does: what they tell one another beside the engine's numbers.

All ranks run the same fit. What belongs to it alone, the callbacks, runs on rank 0, which tells the others what they
have changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from fastnn import random
from fastnn._checks import LONGEST, shown
from fastnn.callbacks.base import HOOKS, CallbackList, check_hooks
from fastnn.callbacks.history import History
from fastnn.distributed.machines import Shared
from fastnn.distributed.meeting import (
    check,
    check_facts,
    facts_of,
    fingerprint,
    met,
    packed,
    shared_rows,
    unpacked,
)
from fastnn.distributed.reading import Together, alone
from fastnn.layers.tensor import called

if TYPE_CHECKING:
    from fastnn.distributed.communicator import Communicator

ENDS = "has ended"
LOOK = 0.1  # seconds between two looks of callbacks at the clock
# Callbacks that do not read the optimizer's vectors, which are else brought together before each hook.
LIGHT = {"CSVLogger", "EarlyStopping", "History", "LearningRateScheduler", "ReduceLROnPlateau", "TerminateOnNaN"}


def run(model: Any, communicator: Communicator, call: str, arguments: Mapping[str, Any]) -> Any:
    """``Model.fit`` or ``Model.evaluate`` with these arguments, by all ranks together.

    TypeError for what is no communicator.
    """
    check(communicator, model)
    trainer = model.description.trainer
    if communicator.size == 1 or trainer is None:
        return getattr(model, call)(**arguments)
    arguments = shared_rows(communicator, dict(arguments))
    link = trainer.link = Link(communicator, trainer)
    link.fits = call == "fit"
    try:
        with Together(communicator, [arguments["x"], arguments.get("validation_data")], link.met):
            return getattr(model, call)(**{**arguments, **({"verbose": 0} if link.rank else {})})
    except BaseException as error:
        link.fails(error)
        raise
    finally:
        trainer.link = None
        link.close()


class Link:
    """A rank's way to the others, for its trainer and for its network."""

    def __init__(self, communicator: Communicator, trainer: Any) -> None:
        self.communicator, self.rank, self.size = communicator, communicator.rank, communicator.size
        self.trainer, self.model = trainer, trainer.model
        self.network: Any = None  # once all ranks are known to be alike
        self.fits = True
        self.ended = False  # all ranks know of the error that ends the fit
        self._writes = 0  # of weights, that the others know of
        self._batch_size, self._trained = 1, False
        self._threads = Shared()

    # For the network: see its set_link.

    def gather(self, send: Any, receive: Any, counts: Sequence[int]) -> None:
        self.ended = False
        self.communicator.allgatherv(send, receive, counts)

    def agreed(self, error: BaseException | None) -> BaseException | None:
        return self.met(error, ENDS)[0]

    def met(self, error: BaseException | None, doing: str, what: Any = None) -> tuple[BaseException | None, list[Any]]:
        """See ``meeting.met``."""
        found, told = met(self.communicator, error, doing, what)
        self.ended = found is not None or doing == ENDS
        return found, told

    # For the trainer.

    def open(self, source: Any, validation: Any, *, batch_size: int, **how: Any) -> None:
        """Compare what the ranks are about to do, and begin with what rank 0 has. ValueError where they differ."""
        network, built = self.model.description.network, self.model.description
        if network.takes_gil:
            found = [called(layer) for op, layer in zip(network.ops, built.plan.layers, strict=True) if op.takes_gil]
            raise ValueError(
                "a fit of several ranks runs compiled code alone, and "
                f"{found[0] if found else 'a loss, metric, regularizer or constraint of this model'} is Python, which "
                "may look at all rows; take one of fastnn's own, or fit on one rank"
            )
        losses = [
            (
                getattr(each.loss, "name", ""),
                each.numbers,
                each.reduction,
                [found.kernel.name for found in each.metrics],
            )
            for each in self.trainer.objectives.described
        ]
        facts = {
            **facts_of(self.model, losses),
            "optimizer": shown(self.trainer.optimizer),
            "data": fingerprint(source),
            "validation data": None if validation is None else fingerprint(validation),
            "batch_size": batch_size,
            **how,
        }
        error, told = self.met(None, "is about to begin", (facts, self._threads.place))
        if error is not None:
            raise error
        self.ended = True
        check_facts([others for others, _ in told])
        self.ended = False
        self._threads.take([place for _, place in told])
        self.network, self._batch_size = network, batch_size
        network.set_link(self, batch_size)
        generator = random.generator().bit_generator
        generator.state = self.communicator.bcast_object(generator.state)
        self._give_all()

    def _give_all(self) -> None:
        """Have all ranks go on with the weights and the optimizer of rank 0."""
        network, full_batch = self.network, self.trainer.full_batch
        numbers = (network.iterations, network.huge, network.seed, full_batch and full_batch.state)
        network.iterations, network.huge, network.seed, state = self.communicator.bcast_object(numbers)
        with self.model.description.locked():
            for vector in (network.parameters, *network.slots):
                self.communicator.bcast(vector)
        if full_batch is not None:
            full_batch.state = state
            full_batch.forget()
        self._writes = network.lock.writes

    def gather_slots(self) -> None:
        """Have all ranks know all of the optimizer's vectors, of which each has made a part."""
        ended = self.ended
        self.network.gather_slots()
        self.ended = ended

    def callbacks(self, given: CallbackList) -> CallbackList:
        return RankCallbacks(given, self)

    @contextlib.contextmanager
    def alone(self, look: bool) -> Iterator[None]:
        """What runs within is this rank's own affair. look: see whether it trains, which the lock does not count."""
        network = self.network
        before = [vector.copy() for vector in (network.parameters, *network.slots)] if look else []
        network.set_link(None)
        try:
            with alone():
                yield
        finally:
            network.set_link(self, self._batch_size)
            after = zip(before, (network.parameters, *network.slots), strict=False)
            self._trained = any(old.tobytes() != new.tobytes() for old, new in after)

    def tell(self, error: BaseException | None, logs: Any = None, value: Any = None, *, slots: bool = True) -> Any:
        """What rank 0 has to say after its callbacks ran: `error` is raised everywhere, `value` is given.

        slots: whether it knows all of the optimizer's vectors.
        """
        model, optimizer, network = self.model, self.trainer.optimizer, self.network
        mine = None
        if self.rank == 0:
            if error is None and model.description.network is not network:
                error = RuntimeError("a callback has given the model's layers to another model in the midst of a fit")
            written = self._trained or network.lock.writes != self._writes
            mine = (
                packed(error),
                value,
                logs,
                (model.stop_training, model.stop_evaluating),
                _fields(optimizer),
                written,
            )
        failed, value, added, stops, fields, written = self.communicator.bcast_object(mine)
        self.ended = failed is not None
        if failed is not None:
            raise error if error is not None else unpacked(failed, 0)
        if self.rank:
            model.stop_training, model.stop_evaluating = stops
            if isinstance(logs, dict):
                logs.update(added)
            for name, each in _fields(optimizer).items():
                if each != fields[name]:
                    setattr(optimizer, name, fields[name])
        if written:
            if not slots:
                self.gather_slots()
            self._give_all()
        return value

    def fails(self, error: BaseException) -> None:
        """End the job where this rank alone has an error; give all of them that of the first."""
        if self.ended:
            return
        if self.network is None:
            found = self.agreed(error)
            assert found is not None
            if found is not error:
                raise found from None
            return
        self.communicator.abort(f"{type(error).__name__}: {error}")

    def interrupted(self, error: BaseException) -> None:
        """The same within the fit, whose callbacks look once more at what has been reached."""
        self.fails(error)
        if self.network is not None:
            self.gather_slots()

    def close(self) -> None:
        self._threads.leave()
        if self.network is not None:
            self.network.set_link(None)


class RankCallbacks(CallbackList):
    """The callbacks of rank 0, whose hooks all ranks call; of the others only a History runs."""

    def __init__(self, given: CallbackList, link: Link) -> None:
        own = given.callbacks if link.rank == 0 else [each for each in given.callbacks if isinstance(each, History)]
        super().__init__(own, model=link.model)
        self.link, self._most, self._looked, self._heavy = link, 1, 0.0, False
        self._together(lambda: check_hooks(self.callbacks))
        real = CallbackList.hooks, CallbackList.trainer_hooks
        names = {name for name in HOOKS if real[0](self, name)} | {n for n in ("pauses", "ahead") if real[1](self, n)}
        heavy = any(type(each).__name__ not in LIGHT for each in own)
        self._names, self._heavy = link.communicator.bcast_object((names, heavy))

    def _together(self, run: Callable[[], Any], logs: Any = None, slots: bool = True) -> Any:
        """Run something on rank 0, and have the others follow."""
        error = value = None
        if self.link.rank == 0:
            try:
                with self.link.alone(slots and self._heavy):
                    value = run()
            except BaseException as found:
                error = found
        return self.link.tell(error, logs, value, slots=slots)

    def _hook(self, name: str, *given: Any) -> None:
        def run() -> None:
            for each in CallbackList.hooks(self, name):
                each(*given)

        if self._heavy:
            self.link.gather_slots()
        self._together(run, given[-1], self._heavy)
        if self.link.rank:
            run()

    def hooks(self, name: str) -> list[Any]:
        return [partial(self._hook, name)] if name in self._names else []

    def trainer_hooks(self, name: str) -> list[Any]:
        if name in ("checks", "fit_begins", "accepts"):
            return [partial(self._trainer_hook, name)]
        if name in ("pauses", "ahead"):
            return [self._ahead] if name == "ahead" and self._names & {"pauses", "ahead"} else []
        return super().trainer_hooks(name)

    def _trainer_hook(self, name: str, *given: Any) -> Any:
        found = self._together(lambda: any(hook(*given) for hook in CallbackList.trainer_hooks(self, name)))
        if name == "accepts" and not found:  # all ranks raise the error
            self.link.ended = True
        if name == "fit_begins":  # a backup may have set where it goes on
            fit = given[0]
            place = fit.epoch, fit.rate, fit.accumulator, fit.epochs.state(fit.accumulator.batches == 0)
            fit.epoch, fit.rate, fit.accumulator, feed = self.link.communicator.bcast_object(place)
            if self.link.rank:
                fit.epochs.number = fit.epoch
                with alone():  # as rank 0 has
                    fit.epochs.restore(feed, self.params["epochs"])
        return found

    def _ahead(self) -> int:
        """How many batches may run until a callback wants to look again."""

        def run() -> int:
            pauses, now = CallbackList.trainer_hooks(self, "pauses"), perf_counter()
            if self._looked:
                for hook in pauses:
                    hook()
                if now - self._looked < LOOK / 2:
                    self._most *= 2
                elif now - self._looked > LOOK:
                    self._most = max(1, self._most // 2)
            self._looked = now
            own: list[Any] = [hook() for hook in CallbackList.trainer_hooks(self, "ahead")]
            return int(min([self._most if pauses else LONGEST, *own]))

        found: int = self._together(run)
        return found

    def on_train_begin(self, logs: Any = None) -> None:
        self._together(lambda: CallbackList.on_train_begin(self, logs))
        if self.link.rank:
            super().on_train_begin(logs)


def _fields(optimizer: Any) -> dict[str, Any]:
    """An optimizer's plain fields."""
    found = {name: value for name, value in vars(optimizer).items() if not name.startswith("_")}
    plain = {name: float(value) if isinstance(value, float) else value for name, value in found.items()}
    return {name: value for name, value in plain.items() if isinstance(value, (bool, int, float, str, type(None)))}
