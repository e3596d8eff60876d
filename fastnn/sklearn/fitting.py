"""How an estimator is fitted: epochs with scikit-learn's stopping rules, or steps of L-BFGS."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from fastnn._checks import shown
from fastnn.callbacks import Callback
from fastnn.callbacks.base import checked
from fastnn.callbacks.state import array_of, checked_state
from fastnn.sklearn.network import Net
from fastnn.sklearn.rows import Rows
from fastnn.typing import FloatArray

NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)
REDUCTION = 1e7 * float(np.finfo(float).eps)  # SciPy's ftol: L-BFGS ends where the loss falls by less, relatively


# What an estimator keeps from epoch to epoch, which a backup of its fit has.
KEPT: dict[str, Any] = {
    "n_iter_": int,
    "t_": int,
    "loss_": float,
    "loss_curve_": [float],
    "best_loss_": float,
    "validation_scores_": [float],
    "best_validation_score_": float,
    "_no_improvement_count": int,
    "_stuck": bool,
    "_before": float,
}


class FitMixin:
    """The fit of an estimator on rows that are checked, with a network that has its weights."""

    # Parameters and attributes of the estimator that this reads and writes.
    solver: Any
    _best: list[FloatArray]
    _no_improvement_count: int
    _ends: str  # of L-BFGS: why it did not converge
    _before: float | None  # and the loss before the last step
    _stuck: bool  # which found no way down

    def _fit_stochastic(self: Any, net: Net, rows: Rows, rng: Any, incremental: bool) -> None:
        """Epochs until a stopping rule says so, or ``max_iter``; one of them where it is a step of ``partial_fit``."""
        if incremental and self.early_stopping:
            if getattr(self, "stopped_", False):
                return
            if self._no_improvement_count > self.n_iter_no_change:  # after a fit that stopped
                self._no_improvement_count = 0
        held = None
        if self.early_stopping:
            rows, held = self._split(rows, rng)
        if self.batch_size != "auto" and self.batch_size > rows.rows:
            _warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", UserWarning)
        batch_size, epochs = min(self._most_rows(), rows.rows), 1 if incremental else self.max_iter
        rows.draws(rng if self.shuffle and batch_size < rows.rows else None)
        self.n_iter_, ended = 0, False
        try:
            ended = self._run(net, rows, held, epochs, batch_size)
        except KeyboardInterrupt:
            _warn("Training interrupted by user.", UserWarning)
        except FloatingPointError as error:
            self._diverged(error, held)
        self.stopped_ = bool(incremental and self.early_stopping and ended)
        if not incremental and not ended and self.n_iter_ == self.max_iter:
            _warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
            )
        if held is not None and (ended or not incremental):
            net.restore(self._best)

    def _run(self: Any, net: Net, rows: Rows, held: Rows | None, epochs: int, batch_size: int) -> bool:
        """The epochs; gives whether the stopping rule, or a callback, ended them."""
        if self.callbacks:  # a fit of the model, which calls them, and measures what is held out
            rule = self._rule(net, rows, lambda total, alone: self._epoch_ends(net, rows, held, total, alone))
            net.trainer.fit(rows, epochs, batch_size, held, callbacks=[*checked(self.callbacks), rule])
            return bool(net.model.stop_training)
        for _ in range(epochs):  # each one compiled call: a fourth of an epoch of iris less than by the trainer
            total, alone = net.epoch(rows, batch_size)
            if self._epoch_ends(net, rows, held, total, alone):
                return True
        return False

    def _epoch_ends(self: Any, net: Net, rows: Rows, held: Rows | None, total: float, alone: float) -> bool:
        """After an epoch: note its loss, and say whether it was the last."""
        self.n_iter_ += 1
        self.loss_ = loss = self._reported(total, alone)
        self.t_ += rows.counted
        self.loss_curve_.append(loss)
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {loss:.8f}")
        if held is None:
            gained = loss <= self.best_loss_ - self.tol
            if loss < self.best_loss_:
                self.best_loss_ = loss
        else:
            gained = self._validate(net, held)
        self._no_improvement_count = 0 if gained else self._no_improvement_count + 1
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            net.optimizer.learning_rate = float(self.learning_rate_init) / (self.t_ + 1) ** self.power_t
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        stops: bool = self._stops(net, held)
        if not stops:
            self._no_improvement_count = 0
        return stops

    def _validate(self: Any, net: Net, held: Rows) -> bool:
        """Score the rows that are held out; whether that is a gain."""
        score = self._score_of(held, net.outputs(held.x))
        self.validation_scores_.append(score)
        if self.verbose:
            print(f"Validation score: {score:f}")
        gained = not score < self.best_validation_score_ + self.tol
        if score > self.best_validation_score_:
            self.best_validation_score_ = score
            self._best = net.kept()
        return gained

    def _stops(self: Any, net: Net, held: Rows | None) -> bool:
        """No gain for long: whether that ends the fit, or lowers the learning rate."""
        what = "Training loss" if held is None else "Validation score"
        text = f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
        stops = True
        if self.solver == "sgd" and self.learning_rate == "adaptive":
            rate = float(net.optimizer.learning_rate)
            stops = rate <= 1e-6
            if not stops:
                net.optimizer.learning_rate = rate / 5
            text += " Learning rate too small." if stops else f" Setting learning rate to {rate / 5:f}"
        if self.verbose:
            print(text + (" Stopping." if stops else ""))
        return stops

    def _diverged(self: Any, error: FloatingPointError, held: Rows | None) -> None:
        """A batch was not finite. What is held out says which weights were the best; without it there are none."""
        if held is None:
            raise ValueError(f"{NON_FINITE} ({error})") from None
        self.validation_scores_.append(float("nan"))
        _warn(
            f"Iteration {self.n_iter_ + 1}: {error}. The weights with the best validation score are kept; use a "
            "smaller learning_rate_init, or scale the columns.",
            ConvergenceWarning,
        )

    def _split(self: Any, rows: Rows, rng: Any) -> tuple[Rows, Rows]:
        """The rows that are trained on, and those that are held out; stratified where there are two classes."""
        stratify = rows.y.astype(bool) if self._kind in ("one", "binary") else None
        places = train_test_split(
            np.arange(rows.rows), random_state=rng, test_size=self.validation_fraction, stratify=stratify
        )
        train, held = (rows.taken(each) for each in places)
        if held.rows < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return train, held

    def _fit_lbfgs(self: Any, net: Net, rows: Rows) -> None:
        """Steps over all rows, until the gradient or what is gained is small, or a count is full."""
        steps, self.n_iter_, self._ends, self._before, self._stuck = net.trainer.full_batch, 0, "", None, False
        try:
            if self.callbacks:
                rule = self._rule(net, rows, lambda total, alone: self._step_ends(net, rows, total))
                callbacks = [*checked(self.callbacks), rule]
                net.trainer.fit(rows, self.max_iter, rows.rows, shuffle=False, callbacks=callbacks)
            else:
                (page,) = rows.whole()
                rate, ended = float(net.optimizer.learning_rate), False
                while not ended:
                    seen = steps.step(net.optimizer, net.network, page, rate)
                    ended = self._step_ends(net, rows, seen.loss)
        except FloatingPointError as error:
            raise ValueError(f"{NON_FINITE} ({error})") from None
        if self._ends:
            _warn(
                f"lbfgs failed to converge after {self.n_iter_} iteration(s): {self._ends}. Increase the number of "
                "iterations (max_iter), or scale the data.",
                ConvergenceWarning,
            )

    def _rule(self: Any, net: Net, rows: Rows, ends: Callable[[float, float], bool]) -> StoppingRule:
        """The stopping rule as a callback, which a backup has with the order of the rows and the best weights."""
        rows.remembers = True

        def keeps(is_between: bool) -> dict[str, Any]:
            found = {name: vars(self).get(name) for name in KEPT}
            there = {name: value for name, value in found.items() if value is not None and np.isfinite(value).all()}
            steps = getattr(net.trainer.full_batch, "evaluations", 0)
            best = [array.copy() for array in self._best]
            return {
                "numbers": {**there, "evaluations": steps},
                "best": best,
                "between": is_between,
                "order": rows.drawn_from(is_between),
            }

        def takes(state: Any) -> None:
            if not isinstance(state, dict) or state.keys() != {"numbers", "best", "between", "order"}:
                raise ValueError(f"StoppingRule: expected numbers, best, between and order, got {shown(state)}")
            forms = {name: KEPT[name] for name in KEPT if name in state["numbers"]}
            numbers = checked_state(rule, state["numbers"], evaluations=int, **forms)
            best = [array_of("StoppingRule: best", array).astype(np.float32) for array in state["best"]]
            if [array.shape for array in best] != [array.shape for array in self._best]:
                raise ValueError("StoppingRule: best must be arrays of the shapes of the estimator's weights")
            rows.draw_from(state["order"])
            rule.is_between = bool(state["between"])
            if not rule.is_between:  # the pass has been begun, and its order is drawn once more
                rows.shuffle()
            if net.trainer.full_batch is not None:
                net.trainer.full_batch.evaluations = numbers["evaluations"]
            vars(self).update({name: numbers[name] for name in forms}, _best=best)

        rule = StoppingRule(net, ends, keeps, takes)
        return rule

    def _step_ends(self: Any, net: Net, rows: Rows, seen: float) -> bool:
        """After a step of L-BFGS, before which the loss was `seen`: whether it was the last."""
        steps, point = net.trainer.full_batch, net.trainer.full_batch.point
        loss = seen if point.loss is None else point.loss
        before = seen if self._before is None else self._before
        self.n_iter_ += 1
        alone = net.network.losses_of_outputs[0] / rows.rows
        self.loss_ = self._reported(float(loss), alone)
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
        still = bool(before - loss <= REDUCTION * max(abs(before), abs(loss), 1.0))
        flat = point.gradient is not None and float(np.abs(point.gradient).max(initial=0.0)) <= self.tol
        if flat or (still and (self._stuck or steps.state)):
            return True
        self._stuck, self._before = still, float(loss)  # no way down: it looks along the gradient, once
        if self.n_iter_ >= self.max_iter:
            self._ends = f"TOTAL NO. OF ITERATIONS REACHED LIMIT (max_iter={self.max_iter})"
        elif steps.evaluations > self.max_fun:
            self._ends = f"TOTAL NO. OF F,G EVALUATIONS EXCEEDS LIMIT (max_fun={self.max_fun})"
        return bool(self._ends)


class StoppingRule(Callback):
    """The stopping rule as the last callback of a fit of the model; a backup has what it goes by."""

    def __init__(
        self, net: Net, ends: Callable[[float, float], bool], keeps: Callable[[bool], Any], takes: Any
    ) -> None:
        self.net, self.ends, self.keeps, self.takes = net, ends, keeps, takes
        self.is_between = True  # two epochs

    def get_state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.keeps(self.is_between)
        return found

    def set_state(self, state: dict[str, Any]) -> None:
        self.takes(state)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """From here on the order of the epoch is drawn."""
        self.is_between = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the loss, and end the fit where the rule says so."""
        self.is_between = True
        loss = float((logs or {})["loss"])
        if self.ends(loss, (loss - self.net.network.penalty_value()) / self.net.plan.importance):
            self.net.model.stop_training = True


def _warn(text: str, category: type[Warning]) -> None:
    """A warning where the user called ``fit``, as near as can be."""
    warnings.warn(text, category, stacklevel=6)
