"""The hooks, and how a list of callbacks is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastnn import _names
from fastnn._attributes import public_names
from fastnn._checks import LONGEST, as_list, check_count, shown
from fastnn._output import warn
from fastnn.typing import TrainedModel

__all__ = ["Callback", "CallbackList", "LambdaCallback"]

Logs = Mapping[str, Any]
Hook = Callable[..., object]


class Callback:
    """Methods that a fit calls; override those that you want. ``self.model`` is the model, ``self.params`` the fit's.

    Set ``self.model.stop_training = True`` to end the fit after the epoch, or in a hook of a batch after that batch;
    ``stop_evaluating`` ends an evaluation and ``stop_predicting`` a prediction likewise, with what it has so far.
    An epoch is one compiled call, unless some callback overrides a hook of its batches: each batch is a call then.
    A callback that keeps something between epochs gives it to ``get_state``, so that a backup has it.
    """

    model: TrainedModel = None  # type: ignore[assignment]  # before it is set
    params: dict[str, Any] = None  # type: ignore[assignment]
    __dir__ = public_names

    def set_model(self, model: TrainedModel) -> None:
        """Called once, before anything else."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called once, with verbose, epochs, steps (None if unknown) and batch_size; by a fit also with do_validation
        and validation_freq."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch; logs are that epoch's."""

    def on_train_interrupt(self, error: BaseException, logs: Logs | None = None) -> None:
        """In place of ``on_train_end`` where `error` ends the fit, such as KeyboardInterrupt; does the same."""
        self.on_train_end(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before epoch number `epoch`, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch; logs hold its loss and metrics, with val_ the validation's. What is put into them stays in
        the history."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before batch number `batch` of an epoch, counted from 0."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch; logs hold loss and metrics as averages over the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of ``on_train_batch_begin``."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of ``on_train_batch_end``."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before an evaluation, a fit's validation included."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After an evaluation; logs are its loss and metrics."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of an evaluation; logs hold averages so far."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of a prediction; logs["outputs"] is what the model gave."""

    def get_state(self) -> dict[str, Any]:
        """What the next epoch needs to know of those before: numbers, texts, lists, and lists of arrays."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what ``get_state`` gave; called after ``on_train_begin``."""

    def listens(self, hook: str) -> bool:
        """Whether `hook` does anything: whether a class, or the object itself, overrides it."""
        return getattr(getattr(self, hook), "__func__", None) is not getattr(Callback, hook)


class TrainerCallback(Callback):
    """A callback that knows the trainer, whose loop asks it what no other callback is asked."""

    last = False  # whether it is called after all others
    adds: tuple[str, ...] = ()  # names that its on_epoch_end puts into the logs, for those after it

    def joins(self) -> None:
        pass  # Called where the loop of a fit, an evaluation or a prediction is to run it, before any hook.

    def checks(self, fit: Any) -> None:
        pass  # Called before any ``on_train_begin``: raises where the callback could not do what it is for.

    def fit_begins(self, fit: Any) -> None:
        pass  # Called after every ``on_train_begin``; `fit` is where the fit stands (``fastnn.training.loop.FitLoop``).

    def measured(self, rate: float, seconds: float) -> None:
        # Called before any ``on_epoch_end``: the rate of the epoch's last step, and how long training and validation
        # took, which are not in the logs, as they are not in Keras's.
        pass

    def pauses(self) -> None:
        pass  # Called every tenth of a second or so of an epoch, between two batches, where a callback overrides it.

    def between(self) -> None:
        pass  # Called after an epoch, though not after each of those that run together: every 30 ms or so.

    def ahead(self) -> int:
        # Called before an epoch and between two ranges of batches: how many may run until it is called again.
        return LONGEST

    def accepts(self, error: Exception, batch: int) -> bool:
        # Whether a loss that is not finite, as `error` explains it, merely ends the fit.
        return False


class LambdaCallback(Callback):
    """A callback from functions: ``LambdaCallback(on_epoch_end=lambda epoch, logs: print(logs["loss"]))``.

    Any hook of Callback may be named, with its arguments. TypeError for what is nearly one, and for what cannot be
    called with them. What else is named becomes an attribute.
    """

    def __init__(
        self,
        on_epoch_begin: Hook | None = None,
        on_epoch_end: Hook | None = None,
        on_train_begin: Hook | None = None,
        on_train_end: Hook | None = None,
        on_train_batch_begin: Hook | None = None,
        on_train_batch_end: Hook | None = None,
        **hooks: Hook | None,
    ) -> None:
        hooks |= {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, function in hooks.items():
            if name not in HOOKS and (hint := _meant(name)) is not None:
                raise TypeError(f"LambdaCallback has no hook {name!r}{hint}; it has {', '.join(HOOKS)}")
            if name in HOOKS and function is not None:
                check_hook(f"LambdaCallback: {name}", function, HOOKS[name])
            if name not in HOOKS or function is not None:
                setattr(self, name, function)


def _meant(name: str) -> str | None:
    """What is said of a name that is no hook and was likely meant as one; None of any other."""
    hint = _names.hint(name, HOOKS)
    return hint if hint or name.startswith("on_") or hasattr(Callback, name) else None


ADDED: dict[str, type[Callback]] = {}  # what a list adds by its flags: a History, a bar; they enter themselves


class CallbackList(Callback):
    """Several callbacks as one: each hook calls those that override it, in order.

    callbacks: a callback or several. add_history, add_progbar: a History, a ProgbarLogger is among them, whether given
    or not; the History is ``model.history`` then. model, params: given to each with ``set_model`` and ``set_params``.
    """

    _history: Callback | None = None

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: TrainedModel | None = None,
        **params: Any,
    ) -> None:
        self.callbacks = sorted(
            checked(callbacks), key=lambda callback: isinstance(callback, TrainerCallback) and callback.last
        )
        for flag, add in (("add_history", add_history), ("add_progbar", add_progbar)):
            if not isinstance(add, bool):
                raise TypeError(f"CallbackList: {flag} must be True or False, got {shown(add)}; write model=...")
            if add:
                self._add(flag)
        self.params = params
        self._begun: list[Callback] = []
        self._hooks: dict[str, list[Hook]] = {}
        if model is not None:
            self.set_model(model)
        if params:
            self.set_params(params)

    def _add(self, flag: str) -> None:
        """Have a History, or a bar, among the callbacks."""
        kind = ADDED[flag]
        if not any(isinstance(callback, kind) for callback in self.callbacks):
            self.callbacks.append(kind())
        if flag == "add_history":
            self._history = next(callback for callback in self.callbacks if isinstance(callback, kind))

    def append(self, callback: Callback) -> None:
        """One more callback, behind the others."""
        self.callbacks += checked(callback)
        self._hooks = {}

    def set_model(self, model: TrainedModel) -> None:
        self.model = model
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)

    def hooks(self, name: str) -> list[Hook]:
        """The methods called `name` that do something; looked up once."""
        known = self._hooks.get(name)
        if known is None:
            other = name.replace("train_batch", "batch")
            known = self._hooks[name] = [
                getattr(callback, name)
                for callback in self.callbacks
                if callback.listens(name) or (other != name and callback.listens(other))
            ]
        return known

    def trainer_hooks(self, name: str) -> list[Hook]:
        # The methods called `name` of those callbacks that know the trainer and override it; looked up once.
        if name not in self._hooks:
            known = [callback for callback in self.callbacks if isinstance(callback, TrainerCallback)]
            other = getattr(TrainerCallback, name)
            self._hooks[name] = [getattr(each, name) for each in known if getattr(type(each), name) is not other]
        return self._hooks[name]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._begun = []
        for callback in self.callbacks:
            self._begun.append(callback)
            callback.on_train_begin(logs or {})

    def on_train_interrupt(self, error: BaseException, logs: Logs | None = None) -> None:
        """End those that have begun; what they raise is added to `error` as a note."""
        for callback in self._begun:
            try:
                callback.on_train_interrupt(error, logs)
            except Exception as second:
                error.add_note(f"then {type(callback).__name__} failed to end: {type(second).__name__}: {second}")

    def get_state(self) -> dict[str, Any]:
        """The states of those that have one, by class and number."""
        states = {name: callback.get_state() for name, callback in self._named().items()}
        return {name: state for name, state in states.items() if state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Each goes on from its own state; one that is not in `state` starts afresh."""
        for name, callback in self._named().items():
            if name in state:
                callback.set_state(state[name])

    def _named(self) -> dict[str, Callback]:
        names = numbered([type(callback).__name__ for callback in self.callbacks])
        return dict(zip(names, self.callbacks, strict=True))


def _calling_each(name: str) -> Hook:
    numbered = int("epoch" in name or "batch" in name)

    def hook(self: CallbackList, *arguments: Any, **named: Any) -> None:
        given = [*arguments, *named.values(), None]
        for each in self.hooks(name):
            each(*given[:numbered], given[numbered] or {})

    hook.__name__ = name
    hook.__doc__ = getattr(Callback, name).__doc__
    return hook


# The hooks by name, each with the names of what it is given.
HOOKS = {
    name: hook.__code__.co_varnames[1 : hook.__code__.co_argcount]
    for name, hook in vars(Callback).items()
    if name.startswith("on_")
}
for _name in vars(Callback):
    if _name.startswith("on_") and _name not in vars(CallbackList):
        setattr(CallbackList, _name, _calling_each(_name))


def checked_verbose(owner: object, verbose: Any) -> int:
    """verbose: a flag, or a whole number, 0 for nothing. TypeError, ValueError for anything else."""
    if type(verbose).__name__ in ("bool", "bool_"):
        return int(verbose)
    return check_count(f"{type(owner).__name__}: verbose", verbose, 0)


def checked(callbacks: Callback | Iterable[Callback] | None) -> list[Callback]:
    """The callbacks as a list. TypeError for what is none, ValueError for one that is there twice."""
    if callbacks is None:
        return []
    chosen: list[Callback] = []
    several = isinstance(callbacks, Iterable) and not isinstance(callbacks, (Callback, type, str, bytes))
    several = several and getattr(callbacks, "shape", None) != ()  # such an array of NumPy's has no length
    for callback in as_list("callbacks", callbacks, "callbacks") if several else [callbacks]:
        if not isinstance(callback, Callback):
            raise TypeError(
                f"callbacks must be fastnn.callbacks.Callback objects, got {shown(callback)}{_instead(callback)}"
            )
        chosen += callback.callbacks if isinstance(callback, CallbackList) else [callback]
    return chosen


def _instead(given: Any) -> str:
    """What to pass in place of what is no callback."""
    if isinstance(given, type):
        return f", a class; make an object of it: {given.__name__}(...)" if issubclass(given, Callback) else ", a class"
    if "keras" in type(given).__module__.split("."):
        return ", which is Keras's; fastnn has its own in fastnn.callbacks"
    return "; a function may be given to a LambdaCallback" if callable(given) else ""


def check_hooks(callbacks: Iterable[Callback]) -> None:
    """Look at the callbacks of a fit before it begins.

    ValueError for one that is there twice, TypeError for a hook of the user's own that does not take what it is given;
    a warning for a method whose name is nearly that of a hook.
    """
    seen: set[int] = set()
    for callback in callbacks:
        cls = type(callback)
        if id(callback) in seen:
            raise ValueError(f"callbacks has the same {cls.__name__} object twice; make a second one")
        seen.add(id(callback))
        if isinstance(callback, TrainerCallback):
            callback.joins()
        if is_own(callback):
            continue
        for name, takes in HOOKS.items():
            if callback.listens(name):
                check_hook(f"{cls.__name__}.{name}", getattr(callback, name), takes)
        for name in dir(cls):
            if name.startswith("on_") and name not in HOOKS and (hint := _names.hint(name, HOOKS)):
                warn(f"{cls.__name__}.{name} is no hook and is never called{hint}")


def is_own(callback: Callback) -> bool:
    """Whether a callback is fastnn's own and runs nothing of the user's, so that it adds nothing to the logs."""
    home = type(callback).__module__.partition(".")[0]
    return home == __name__.partition(".")[0] and not isinstance(callback, LambdaCallback)


def check_hook(what: str, function: Any, takes: tuple[str, ...]) -> None:
    """TypeError unless a hook can be called with arguments for what it `takes`."""
    if not callable(function):
        raise TypeError(f"{what} must be a function of ({', '.join(takes)}), got {shown(function)}")
    import inspect

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # compiled code does not say
        return
    try:
        signature.bind(*takes)
    except TypeError as error:
        raise TypeError(f"{what} is called with ({', '.join(takes)}), but takes {signature}: {error}") from None


def numbered(names: list[str]) -> list[str]:
    """The names, a second "mae" as "mae_1"."""
    return [name + (f"_{i}" if (i := names[:place].count(name)) else "") for place, name in enumerate(names)]
