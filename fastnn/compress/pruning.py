"""Magnitude pruning: the weights nearest to 0 become 0 and stay it, while the others go on learning."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np

from fastnn._checks import LONGEST, check_count, shown
from fastnn.callbacks.base import Logs, TrainerCallback
from fastnn.compress import masks
from fastnn.compress.copies import uncompiled
from fastnn.layers.places import placed, pruned
from fastnn.typing import Array

__all__ = ["PruneLowMagnitude", "prune", "sparsity", "strip"]


class PruneLowMagnitude(TrainerCallback):
    """Prunes a model while it is fitted: ``model.fit(x, y, callbacks=[PruneLowMagnitude(0.9, end_step=3000)])``.

    From step begin_step to end_step, every `frequency` steps, and at end_step, the share of each kernel's weights that
    is 0 becomes s(t) = s_f + (s_0 - s_f) (1 - (t - t_0) / (t_1 - t_0))^3; those nearest to 0 go, and none comes back.
    The masks stay when the fit has ended, for the next one too, until ``strip``. Steps are counted over all fits with
    this callback. Weights that are 0 when it begins, as those of a pruned model that was loaded, count as pruned.

    final_sparsity, initial_sparsity: s_f and s_0, at least 0 and below 1. pattern: "2:4" or "1:4" keeps so many of each
    four inputs of a unit, which is its final_sparsity, too. layers: names or layers, all that have kernels without it;
    or a mapping from them to a final_sparsity of their own. Layers that give an output lose 70 % at most where no
    mapping says so. end_step: without it the step where two thirds of the first fit are over, if its length is known.

    Source: Zhu and Gupta 2017, To prune, or not to prune. ValueError for numbers that do not go together.
    """

    last = True  # the weights that others restore at the end are pruned too

    def __init__(
        self,
        final_sparsity: float | None = None,
        initial_sparsity: float = 0.0,
        begin_step: int = 0,
        end_step: int | None = None,
        frequency: int = 100,
        pattern: str | None = None,
        layers: Any = None,
    ) -> None:
        who = type(self).__name__
        self.group = masks.group_of(who, pattern)
        self.final_sparsity = final_share(who, final_sparsity, self.group, layers)
        self.initial_sparsity = masks.share_of(f"{who}: initial_sparsity", initial_sparsity)
        self.begin_step = check_count(f"{who}: begin_step", begin_step, 0)
        self.end_step = None if end_step is None else check_count(f"{who}: end_step", end_step, begin_step)
        self.frequency = check_count(f"{who}: frequency", frequency)
        self.pattern, self.layers = pattern, layers
        if self.initial_sparsity > self.final_sparsity and not isinstance(layers, Mapping):
            raise ValueError(
                f"{who}: initial_sparsity must be at most final_sparsity, {self.final_sparsity:g}, got "
                f"{shown(initial_sparsity)}"
            )
        self.step = 0  # batches until now
        self._end = self.begin_step if end_step is None else end_step
        self._before: int | None = None  # those of the network when they were last counted
        self._targets: list[masks.Target] = []
        self._masks: list[Array] = []

    def sparsity_at(self, step: int, final_sparsity: float | None = None) -> float:
        """s(step), here or of a layer with another end; 0 before begin_step."""
        if step < self.begin_step:
            return 0.0
        final = self.final_sparsity if final_sparsity is None else final_sparsity
        length = self._end - self.begin_step
        left = 1 - min(step - self.begin_step, length) / length if length else 0.0
        return final + (min(self.initial_sparsity, final) - final) * left**3

    def checks(self, fit: Any) -> None:
        built, steps, fixed = self.model.description, self.params.get("steps"), self.group is not None
        if self.end_step is None and steps is not None and self.step == 0:
            self._end = max(self.begin_step, steps * (self.params["epochs"] - fit.epoch) * 2 // 3)
        with built.locked():
            self._targets = masks.targets_of(type(self).__name__, self.model, self.layers, self.final_sparsity, fixed)
            self._masks = masks.begin(self._targets)
            self._before = fit.trainer.configured().iterations  # with the masks

    def _counted(self) -> tuple[int, int]:
        """(the step, the network's) by now."""
        iterations = self.model.description.network.iterations
        return self.step + (0 if self._before is None else iterations - self._before), iterations

    def ahead(self) -> int:
        self.step, self._before = self._counted()
        since = self.step - self.begin_step
        if since < 0:
            return -since
        if self.step > self._end:
            return LONGEST
        if since % self.frequency == 0 or self.step == self._end:
            self._prune()
        return min(self.frequency - since % self.frequency, max(1, self._end - self.step))

    def _prune(self) -> None:
        """Have the masks be those of this step."""
        with self.model.description.locked():
            for target, mask in zip(self._targets, self._masks, strict=True):
                w = target.view() * mask
                wanted = self.sparsity_at(self.step, target.share)
                mask[...] = masks.kept(w, max(wanted, min(float((w == 0).mean()), target.share)), self.group)
            self.model.description.network.apply_constraints()

    def on_train_end(self, logs: Logs | None = None) -> None:
        with self.model.description.locked():
            self.model.description.network.apply_constraints()

    def get_state(self) -> dict[str, Any]:
        return {"step": self._counted()[0], "masks": [np.packbits(mask) for mask in self._masks]}

    def set_state(self, state: dict[str, Any]) -> None:
        who = type(self).__name__
        given = state.get("masks") if isinstance(state, dict) else None
        sizes = [(-(-mask.size // 8),) for mask in self._masks]
        if (
            not isinstance(given, list)
            or state.keys() != {"step", "masks"}
            or [getattr(each, "shape", None) for each in given] != sizes
            or any(each.dtype != np.uint8 for each in given)
        ):
            raise ValueError(f"{who}: expected a state with a step and {len(sizes)} masks of this model's, not another")
        self.step, self._before = check_count(f"{who}: step", state["step"], 0), None
        for mask, bits in zip(self._masks, given, strict=True):
            mask[...] = np.unpackbits(bits, count=mask.size).reshape(mask.shape)


def final_share(what: str, share: Any, group: tuple[int, int] | None, layers: Any) -> float:
    """A final sparsity, which a pattern gives itself. ValueError where it is missing, or another than the pattern's."""
    if group is not None:
        own = 1 - group[0] / group[1]
        if isinstance(layers, Mapping) or (share is not None and masks.share_of(f"{what}: sparsity", share) != own):
            raise ValueError(
                f"{what}: a pattern of {group[0]}:{group[1]} is a sparsity of {own:g} for all its layers, got "
                f"{shown(layers if isinstance(layers, Mapping) else share)}"
            )
        return own
    if share is None and isinstance(layers, Mapping):
        return 0.0  # each has its own
    if share is None:
        raise ValueError(f"{what}: give a final sparsity, at least 0 and below 1, or a pattern")
    return masks.share_of(f"{what}: sparsity", share)


def prune(model: Any, sparsity: Any = None, pattern: str | None = None, layers: Any = None) -> Any:
    """A copy of a model in which this share of each kernel's weights, those nearest to 0, is 0 and stays it.

    The copy is compiled as the model is; a fit goes on with the masks. See PruneLowMagnitude for the arguments, and for
    what loses less: pruning while the model learns. RuntimeError where the model has no weights yet.
    """
    group = masks.group_of("prune", pattern)
    share = final_share("prune", sparsity, group, layers)
    masks.check_built("prune", model)
    masks.targets_of("prune", model, layers, share, group is not None)
    chosen = _by_path(model, layers)
    made = copy(model)
    targets = masks.targets_of("prune", made, chosen, share, group is not None)
    with made.description.locked() as held:
        for target, mask in zip(targets, masks.begin(targets), strict=True):
            mask[...] = masks.kept(target.view(), target.share, group)
            held.assign([target.view()], [np.where(mask, target.view(), np.float32(0))])
    return made


def _by_path(model: Any, layers: Any) -> Any:
    """The layers that are chosen, by what they are called in a copy of the model too."""
    if layers is None:
        return None
    paths = model.description.paths()
    chosen = masks.chosen_layers("prune", model, layers)
    named = {paths[layer]: share for layer, share in chosen.items()}
    return named if isinstance(layers, Mapping) else list(named)


def sparsity(model: Any, by_weight: bool = False) -> Any:
    """The share of the kernels' numbers that are 0; by_weight: of each weight by its path, such as "dense/kernel"."""
    masks.check_built("sparsity", model)
    with model.description.locked():
        arrays = {path: view for path, view in model.description.arrays().items() if path.endswith("kernel")}
        zeros = {path: int((view == 0).sum()) for path, view in arrays.items()}
    if by_weight:
        return {path: count / arrays[path].size for path, count in zeros.items()}
    return sum(zeros.values()) / max(1, sum(view.size for view in arrays.values()))


def strip(model: Any) -> Any:
    """A plain copy of a model: its layers and weights, with zeros where they were pruned, and nothing of training.

    It has no masks, and is not compiled, so that its file has no optimizer's state.
    """
    masks.check_built("strip", model)
    built = model.description
    with built.locked() as held:
        for layer in built.plan.parameters:
            names = [parameter.name for parameter in placed(layer).parameters]
            views = dict(zip(names, placed(layer).views(placed(layer).store.flat), strict=True))
            for name, mask in pruned(layer).items():
                held.assign([views[name]], [np.where(mask, views[name], np.float32(0))])
    return uncompiled(model)
