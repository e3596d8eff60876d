"""Loss scaling, as scripts for half precision write it around their optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from fastnn._checks import as_arguments, check_count, check_number, shown
from fastnn._numbers import as_numbers
from fastnn.optimizers.base import Optimizer, deserialize, serialize
from fastnn.optimizers.variables import OptimizerVariable
from fastnn.typing import Array

__all__ = ["LossScaleOptimizer"]

# What Keras takes beside, of old configurations: these values, which ask for nothing.
DEFAULTS = {
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


class LossScaleOptimizer(Optimizer):
    """An optimizer around another, for losses that were multiplied by ``scale_loss``: ``apply`` divides the gradients.

    The scale is initial_scale at first. A gradient that is not finite halves it, and the step is left out; after
    dynamic_growth_steps steps without one it is doubled. inner_optimizer: an optimizer, whose own loss_scale_factor is
    set to None. initial_scale: above 0. In ``fit``, which computes in float32, the loss is not scaled: it trains as the
    inner optimizer does, and that is what a model's file has. Names and defaults are Keras's.
    """

    def __init__(
        self,
        inner_optimizer: Any,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "LossScaleOptimizer: dynamic must be True; for a fixed scale set `loss_scale_factor` of the "
                "inner_optimizer"
            )
        for argument, default in DEFAULTS.items():
            if argument in kwargs and (value := kwargs.pop(argument)) != default:
                raise ValueError(
                    f"LossScaleOptimizer takes no {argument}, got {shown(value)}; set it on the `inner_optimizer`"
                )
        if kwargs:
            raise ValueError(f"LossScaleOptimizer takes no arguments: {', '.join(f'`{each}`' for each in kwargs)}")
        if not isinstance(inner_optimizer, Optimizer) or isinstance(inner_optimizer, LossScaleOptimizer):
            raise TypeError(f"LossScaleOptimizer: inner_optimizer must be an optimizer, got {shown(inner_optimizer)}")
        super().__init__(name=name)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = initial_scale
        check_number(self, "initial_scale", 0, open_low=True)
        self.dynamic_growth_steps = check_count("LossScaleOptimizer: dynamic_growth_steps", dynamic_growth_steps)
        self._scale, self._steps_since = float(self.initial_scale), 0
        inner_optimizer.loss_scale_factor = None

    @property
    def rule(self) -> Optimizer:
        """The optimizer within, which takes the steps."""
        return self.inner_optimizer.rule

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's."""
        inner = vars(self).get("inner_optimizer")
        return 0.0 if inner is None else inner.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        pass  # of one that is being made

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "learning_rate" and "inner_optimizer" in vars(self):
            self.inner_optimizer.learning_rate = value
        else:
            super().__setattr__(name, value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LossScaleOptimizer) and self.get_config() == other.get_config()

    __hash__ = None  # type: ignore[assignment]

    def build(self, variables: Iterable[Any]) -> None:
        """Keep what is needed for steps on these variables. See ``Optimizer.build``."""
        self.inner_optimizer.build(variables)

    def current_steps(self) -> Any:
        """What takes the inner optimizer's steps; None before ``build``."""
        return self.inner_optimizer.current_steps()

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Any] | None = None) -> None:
        """A step of the inner optimizer on gradients of a scaled loss. See ``Optimizer.apply``.

        Where one is not finite there is no step, and the scale is halved.
        """
        arrays = [None if each is None else as_numbers(each, "a gradient") for each in grads]
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
        if any(each is not None and not np.isfinite(each).all() for each in arrays):
            self._scale, self._steps_since = self._scale / 2, 0
            return
        unscaled = [None if each is None else each / np.float32(self._scale) for each in arrays]
        self.inner_optimizer.apply(unscaled, trainable_variables)
        self._steps_since += 1
        if self._steps_since >= self.dynamic_growth_steps:
            self._scale, self._steps_since = self._scale * 2, 0

    def scale_loss(self, loss: Any) -> Any:
        """The loss times the scale."""
        return as_numbers(loss, "loss") * self._scale

    def finalize_variable_values(self, var_list: Iterable[Any]) -> None:
        """See ``Optimizer.finalize_variable_values``."""
        self.inner_optimizer.finalize_variable_values(var_list)

    @property
    def dynamic_scale(self) -> OptimizerVariable:
        """The scale as it is."""

        def write(value: Array) -> None:
            self._scale = float(value)

        return OptimizerVariable("dynamic_scale", lambda: np.float32(self._scale), write)

    @property
    def step_counter(self) -> OptimizerVariable:
        """Steps since the scale last changed."""

        def write(value: Array) -> None:
            self._steps_since = int(value)

        return OptimizerVariable("step_counter", lambda: np.int64(self._steps_since), write)

    @property
    def iterations(self) -> OptimizerVariable:
        """How many steps the inner optimizer has taken."""
        return self.inner_optimizer.iterations

    @property
    def variables(self) -> list[OptimizerVariable]:
        """step_counter and dynamic_scale, then the inner optimizer's."""
        return [self.step_counter, self.dynamic_scale, *self.inner_optimizer.variables]

    def get_config(self) -> dict[str, Any]:
        """Its arguments by name, as Keras gives them."""
        return {
            "name": self.name,
            "inner_optimizer": serialize(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """The optimizer of these arguments. TypeError, ValueError for what is none."""
        given = as_arguments(cls.__name__, config)
        if "inner_optimizer" not in given:
            raise TypeError(f"{cls.__name__}: the arguments must be a dict with inner_optimizer, got {shown(config)}")
        if isinstance(given.get("inner_optimizer"), Mapping):
            given["inner_optimizer"] = deserialize(given["inner_optimizer"], custom_objects)
        return cls(**given)
