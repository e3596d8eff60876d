"""What an optimizer does outside of ``fit``: steps on gradients that are given, and what it keeps from step to step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fastnn._checks import as_list, check_text, shown
from fastnn._numbers import as_numbers
from fastnn._output import warn
from fastnn.engine.description import Variable
from fastnn.optimizers.steps import FreeSteps, Steps, as_gradient, path_of, set_value, value_of
from fastnn.optimizers.variables import OptimizerVariable
from fastnn.typing import Array


class Applying:
    """The part of an optimizer that takes steps on gradients of one's own: ``apply_gradients(zip(grads, variables))``.

    On the weights of a model that was compiled with it, the steps are those that ``fit`` takes, and go on from them; on
    any other variables it begins afresh.
    """

    learning_rate: Any
    use_ema: bool
    loss_scale_factor: float | None
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    gradient_accumulation_steps: int | None
    full_batch: ClassVar[bool]
    slots: Any
    slots_together: ClassVar[int]

    _steps: Steps | None = None  # on variables of its own
    _trainer: Any = None  # gives the trainer of the model that was last compiled with it
    _excluded: tuple[list[Any], Any] | None = None  # variables that do not decay, and a pattern of names

    # Steps.

    def build(self, variables: Iterable[Any]) -> None:
        """Keep what is needed for steps on these variables, and on no others. TypeError for what is no variable."""
        if self.full_batch:
            raise TypeError(
                f"{type(self).__name__} asks for the loss at points of its own choice, it takes no gradients; use fit"
            )
        if self.built:
            return
        given = self._listed(variables)
        steps = self._compiled_steps()
        if steps is None or any(steps.place_of(each) is None for each in given):
            self._steps = FreeSteps(self, given)

    @staticmethod
    def _listed(variables: Any) -> list[Any]:
        given = _list_of("variables", variables)
        for each in given:
            value_of(each)
        return given

    def _compiled_steps(self) -> Any:
        """Steps on the weights of the model that was compiled with it; None where there is none."""
        trainer = self._trainer() if self._trainer is not None else None
        return None if trainer is None else trainer.steps()

    def current_steps(self) -> Any:
        """What takes its steps on variables of its own, or on a compiled model's weights; None where there are none."""
        return self._steps if self._steps is not None else self._compiled_steps()

    @property
    def built(self) -> bool:
        """Whether it has variables to step on."""
        return self.current_steps() is not None

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> OptimizerVariable:
        """A step on pairs (gradient, variable): ``apply_gradients(zip(gradients, variables))``. See ``apply``."""
        pairs = _list_of("grads_and_vars", grads_and_vars)
        if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
            raise TypeError(f"apply_gradients takes pairs of a gradient and a variable, got {shown(pairs)}")
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return self._iterations

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Any] | None = None) -> None:
        """A step on gradients, one for each variable: those it was built with, where none are given.

        Clipping, weight decay, averages, schedules and gradient_accumulation_steps act as in ``fit``; gradients are
        divided by loss_scale_factor first. None is no gradient: that variable stays as it is, with a warning.
        ValueError for variables that it was not built with, and where there is no gradient at all; FloatingPointError,
        and no change, where a gradient is not finite.
        """
        grads = _list_of("grads", grads)
        if not grads:
            return
        if trainable_variables is not None:
            given = _list_of("trainable_variables", trainable_variables)
            self.build(given)
        steps = self.current_steps()
        if steps is None:
            raise ValueError(f"{type(self).__name__} has no variables yet; call build(variables) first, or pass them")
        places = range(len(steps.variables)) if trainable_variables is None else [steps.place_of(v) for v in given]
        if len(places) != len(grads):
            raise ValueError(f"expected a gradient for each of {len(places)} variables, got {len(grads)}")
        if None in places:
            raise ValueError(
                f"unknown variable {path_of(given[list(places).index(None)])!r}: {type(self).__name__} was built for "
                "others; make a new optimizer for these"
            )
        self._apply(steps, grads, places)

    def _apply(self, steps: Any, grads: Sequence[Any], places: Sequence[Any]) -> None:
        missing = [steps.variables[at].path for at, gradient in zip(places, grads, strict=True) if gradient is None]
        if len(missing) == len(grads):
            raise ValueError("No gradients provided for any variable.")
        if missing:
            warn(f"there is no gradient for {', '.join(missing)}: they stay as they are")
        scale = self.loss_scale_factor
        found = []
        for at, gradient in zip(places, grads, strict=True):
            if gradient is not None:
                array = as_gradient(gradient, tuple(steps.variables[at].shape))
                found.append((at, array if scale is None else array / scale))
        steps.step(found)

    def stateless_apply(
        self, optimizer_variables: Sequence[Any], grads: Sequence[Any], trainable_variables: Sequence[Any]
    ) -> tuple[list[Array], list[Array]]:
        """(new values of the variables, new values of the optimizer's own) of a step from values that are given.

        optimizer_variables: as `variables` has them; what the optimizer keeps, and the variables, stay as they are.
        """
        steps, own = self.current_steps(), self.variables
        if not isinstance(steps, FreeSteps):
            raise ValueError(f"stateless_apply: call build(variables) of {type(self).__name__} first")
        if len(optimizer_variables) != len(own) or len(trainable_variables) != len(steps.given):
            raise ValueError(
                f"stateless_apply takes values of {len(own)} variables of the optimizer and {len(steps.given)} to step "
                f"on, got {len(optimizer_variables)} and {len(trainable_variables)}"
            )
        before = [each.value for each in own], [value_of(each).copy() for each in steps.given]
        try:
            for variable, value in zip(own, optimizer_variables, strict=True):
                variable.assign(value)
            for variable, value in zip(steps.given, trainable_variables, strict=True):
                set_value(variable, as_numbers(value, "trainable_variables"))
            self.apply(grads)
            return [value_of(each).copy() for each in steps.given], [each.value for each in own]
        finally:
            for variable, value in zip(own, before[0], strict=True):
                variable.assign(value)
            for variable, value in zip(steps.given, before[1], strict=True):
                set_value(variable, value)

    def scale_loss(self, loss: Any) -> Any:
        """The loss times loss_scale_factor, by which ``apply`` divides the gradients."""
        return loss if self.loss_scale_factor is None else as_numbers(loss, "loss") * self.loss_scale_factor

    def finalize_variable_values(self, var_list: Iterable[Any]) -> None:
        """With use_ema, give the variables the averages of their values."""
        if not self.use_ema:
            return
        averages = self._model_variables_moving_average
        given = self._listed(var_list)
        if len(given) != len(averages):
            raise ValueError(f"there are averages of {len(averages)} variables, got {len(given)}")
        for variable, average in zip(given, averages, strict=True):
            set_value(variable, average.value)

    # Weight decay.

    def exclude_from_weight_decay(
        self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Variables that weight_decay does not shrink: these, and those in whose names one of var_names is found.

        var_names: regular expressions, looked for in "kernel", "bias", ... ValueError where steps have been taken.
        """
        if self._steps is not None:
            raise ValueError("exclude_from_weight_decay must be called before the optimizer is built")
        given = [var_names] if isinstance(var_names, str) else _list_of("var_names", var_names or [])
        names = [check_text("var_names", each) for each in given]
        try:
            pattern = re.compile("|".join(names)) if names else None
        except re.error as error:
            raise ValueError(f"var_names must be regular expressions, got {shown(names)}: {error}") from None
        self._excluded = _list_of("var_list", () if var_list is None else var_list), pattern

    def told(self, variables: Sequence[Variable], given: Sequence[Any] = ()) -> list[Variable]:
        """The variables as a network is told of them: some may not decay. given: they themselves, of no model."""
        if self._excluded is None:
            return list(variables)
        listed, pattern = self._excluded
        paths = {path_of(each) for each in listed}
        found = []
        for place, variable in enumerate(variables):
            name = variable.path.rpartition("/")[2]
            here = any(each is given[place] for each in listed) if given else variable.path in paths
            excluded = here or (pattern is not None and pattern.search(name) is not None)
            found.append(variable._replace(decays=variable.decays and not excluded))
        return found

    # What it keeps.

    @property
    def iterations(self) -> OptimizerVariable:
        """How many steps it has taken."""
        every = self.gradient_accumulation_steps or 1
        return self._count("iteration", every)

    @property
    def _iterations(self) -> OptimizerVariable:
        return self._count("iteration", 1)

    def _count(self, name: str, every: int) -> OptimizerVariable:
        def read() -> Any:
            steps = self.current_steps()
            return np.int64(0 if steps is None else steps.network.iterations // every)

        def write(value: Array) -> None:
            steps = self.current_steps()
            if steps is None:
                raise ValueError(f"{type(self).__name__} has no variables yet; call build(variables) first")
            steps.ready().iterations = int(value) * every

        return OptimizerVariable(name, read, write)

    @property
    def variables(self) -> list[OptimizerVariable]:
        """Its count of steps, its learning rate (unless that is a schedule), and its vectors, as Keras orders them."""
        found = [self._iterations]
        if isinstance(self.learning_rate, float):
            found.append(OptimizerVariable("learning_rate", lambda: np.float32(self.learning_rate), self._set_rate))
        sums = ["sum_of_gradients"] if self.gradient_accumulation_steps else []
        together, apart = self.slots[: self.slots_together], self.slots[self.slots_together :]
        for names in (["average"] if self.use_ema else [], sums, together, *([each] for each in apart)):
            found += self._slots(*names)
        return found

    def _set_rate(self, value: Array) -> None:
        self.learning_rate = float(value)

    def _slots(self, *names: str) -> list[OptimizerVariable]:
        """Vectors of each variable in turn."""
        steps = self.current_steps()
        if steps is None or not names:
            return []
        steps.ready()
        return [self._slot(steps, name, place) for place in range(len(steps.variables)) for name in names]

    def _slot(self, steps: Any, name: str, place: int) -> OptimizerVariable:
        def write(value: Array) -> None:
            with steps.locked():
                steps.view(steps.slot(name), place)[...] = value

        path = f"{steps.variables[place].path.replace('/', '_')}_{name}"
        return OptimizerVariable(path, lambda: steps.view(steps.slot(name), place), write)

    @property
    def _model_variables_moving_average(self) -> list[OptimizerVariable]:
        if not self.use_ema:
            raise AttributeError(f"{type(self).__name__} keeps no averages: use_ema is False")
        return self._slots("average")

    @property
    def _accumulated_gradients(self) -> list[OptimizerVariable]:
        if not self.gradient_accumulation_steps:
            raise AttributeError(f"{type(self).__name__} adds up no gradients: gradient_accumulation_steps is None")
        return self._slots("sum_of_gradients")

    def _clip_gradients(self, grads: Iterable[Any]) -> list[Any]:
        """Gradients as ``apply`` clips them, for loops that Keras's users write."""
        arrays = [None if each is None else as_numbers(each, "a gradient") for each in grads]
        if self.clipvalue:
            return [each if each is None else np.clip(each, -self.clipvalue, self.clipvalue) for each in arrays]
        norms = [0.0 if each is None else float(np.linalg.norm(each)) for each in arrays]
        if self.global_clipnorm:
            norms = [float(np.linalg.norm(norms))] * len(norms)
        most = self.clipnorm or self.global_clipnorm
        if not most:
            return arrays
        return [
            each if each is None else each * (most / max(most, norm)) for each, norm in zip(arrays, norms, strict=True)
        ]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set `variables`, in their order. ValueError before ``build``, for another number, and for other shapes."""
        if not self.built:
            raise ValueError(
                f"You are calling `set_weights()` of {type(self).__name__}, which has no variables yet; call "
                "build(variables) first"
            )
        own, values = self.variables, as_list("weights", weights, "arrays")
        if len(values) != len(own):
            raise ValueError(f"{type(self).__name__} has {len(own)} variables, got {len(values)} values")
        for variable, value in zip(own, values, strict=True):
            if as_numbers(value, variable.name).shape != variable.shape:
                raise ValueError(f"{variable.name} has the shape {variable.shape}, got {np.shape(value)}")
        for variable, value in zip(own, values, strict=True):
            variable.assign(value)

    def save_own_variables(self, store: MutableMapping[str, Any]) -> None:
        """Enter the values of `variables` in a dict, as "0", "1", ..."""
        if not isinstance(store, MutableMapping):
            raise TypeError(f"store must be a dict, got {shown(store)}")
        for number, variable in enumerate(self.variables):
            store[str(number)] = variable.numpy()

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Set `variables` from what ``save_own_variables`` has entered; raises as ``set_weights``."""
        if not isinstance(store, Mapping) or any(str(number) not in store for number in range(len(store))):
            raise ValueError(f"store must be a dict of arrays with the names '0', '1', ..., got {shown(store)}")
        self.set_weights([store[str(number)] for number in range(len(store))])


def _list_of(name: str, given: Any) -> list[Any]:
    """Several things as a list. TypeError, naming them, for what is no sequence of anything."""
    if (
        isinstance(given, (str, bytes, Mapping))
        or not isinstance(given, Iterable)
        or getattr(given, "shape", None) == ()
    ):
        raise TypeError(f"{name} must be a list, got {shown(given)}")
    return list(given)
