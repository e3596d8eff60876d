"""One call that makes a model small or fast: it is pruned, quantised and coded, as far as it stays as good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from io import BytesIO
from itertools import pairwise
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from fastnn._checks import as_flag, as_list, as_number, check_count, shown
from fastnn._output import aligned, padded, say
from fastnn._table import gathering
from fastnn.callbacks import LearningRateScheduler
from fastnn.compress.copies import alike, rebuilt, take_weights
from fastnn.compress.densities import shares_of
from fastnn.compress.judging import MANY, Judge, check_scoring, parts_of
from fastnn.compress.pruning import PruneLowMagnitude
from fastnn.compress.quantization import quantize
from fastnn.compress.shrinking import prune_units
from fastnn.data.source import Source
from fastnn.data.stored import StoredSource
from fastnn.layers import Dropout
from fastnn.model_selection.folds import Rows
from fastnn.models import check_model, load_model
from fastnn.store import model_file

if TYPE_CHECKING:
    from fastnn.store.packing import Given

__all__ = ["Compressed", "Step", "compress"]

KEEPS = {"size": (0.5,), "speed": (0.5, 0.25, 0.125)}  # shares of each layer's units
SPARSITIES = (0.8, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)  # shares of the weights that are left then
SOFTER = (0.6, 0.4)  # tried where the first of these is too much
BITS = (8, 6, 5, 4, 3, 2)  # of the numbers of a codebook's entries


class Step(NamedTuple):
    """What a model was when something was done to it.

    name: what was done. bytes: of its file. row, rows: the seconds that it predicts one row in, and 256 together.
    score: what it is worth on rows that it was not trained on. kept: whether that was enough to go on from it.
    """

    name: str
    bytes: int
    row: float
    rows: float
    score: float
    kept: bool


class Compressed:
    """What ``compress`` made.

    model: the smallest, or fastest, that is good enough. steps: those to it, a ``Step`` each, the first of the model as
    it was given. compression: of its file, as ``Model.save`` takes it. measure: "accuracy", "R2" or "score".
    """

    def __init__(self, model: Any, steps: list[Step], compression: Given, measure: str) -> None:
        self.model, self.steps, self.compression, self.measure = model, steps, compression, measure

    @property
    def last(self) -> Step:
        """The last step that was kept, of which ``model`` is."""
        return [step for step in self.steps if step.kept][-1]

    def save(self, filepath: str | PathLike[str], overwrite: bool = True) -> None:
        """``model.save``, with its compression."""
        self.model.save(filepath, overwrite, compression=self.compression, include_optimizer=False)

    def table(self) -> str:
        """A line for each step: bytes, how many times smaller, times, and what the model is worth."""
        return aligned([_heads(self.measure), *(_cells(step, self.steps[0]) for step in self.steps)])

    __str__ = table

    def __repr__(self) -> str:
        first, last = self.steps[0], self.last
        return (
            f"<Compressed: {first.bytes / last.bytes:.1f} times smaller, {first.row / last.row:.1f} times as fast, "
            f"{self.measure} {last.score:.4f} of {first.score:.4f}>"
        )


def compress(
    model: Any,
    data: Any,
    max_loss: float = 0.005,
    target: str = "size",
    *,
    validation_data: Any = None,
    scoring: Callable[..., float] | None = None,
    units: Sequence[float] | None = None,
    sparsities: Sequence[float] = SPARSITIES,
    epochs: int = 10,
    batch_size: int = 128,
    random_state: int = 0,
    verbose: bool | int = 1,
) -> Compressed:
    """Prune, quantise and code a model, as far as it stays as good. The one that is given stays as it is.

    target "size": of each layer half of the units go, then the weights that are nearest to 0, more and more of them;
    what is left is rounded to fewer and fewer values, which are coded; the file is compressed. "speed": units go alone,
    until an eighth is left; then weights become int8, where that is faster. After each part that goes the rest is
    trained for so many epochs. What costs more than max_loss is taken back, and the next kind of step follows.

    data: (x, y), (x, y, sample_weight), or a dataset, as ``fit`` takes them. validation_data: the same, of rows that
    judge, 10,000 at most, and that the model was not trained on. Without it a fifth of data does, which is not trained
    on: of a dataset by its key, as ``split`` and ``fastnn train`` have it; of arrays a share of each class, drawn by
    random_state. A model that was trained on these rows knows them, and then less can go.

    max_loss: of the share of rows that are right, or of R squared where the model gives numbers; or of what scoring
    gives, a function of (model, x, y), of which more is better. units: the shares of each layer's units that stay, one
    after the other; () where all shall. sparsities: the shares of the weights that are pruned, for size, likewise; of
    small kernels less. epochs, batch_size: of the training after each. verbose: whether the table is printed.

    Gives ``Compressed``: model, steps, table(), save(path). RuntimeError for a model that is not built or not compiled;
    ValueError, TypeError for data and options that are none.

    Source: the order is that of Han, Mao and Dally 2016, "Deep Compression".
    """
    check_model("compress", model)
    limit = as_number("compress: max_loss", max_loss)
    if not 0 <= limit < 1:
        raise ValueError(f"compress: max_loss must be at least 0 and below 1, got {shown(max_loss)}")
    if not isinstance(target, str) or target not in KEEPS:
        raise ValueError(f"compress: target must be 'size' or 'speed', got {shown(target)}")
    check_scoring(scoring)
    seed = check_count("compress: random_state", random_state, 0)
    keeps = _rising("units", KEEPS[target] if units is None else units, falling=True)
    shares = _rising("sparsities", sparsities)
    if model.description.network is None or not model.compiled:
        what = "built" if model.description.network is None else "compiled"
        raise RuntimeError(f"compress: model {model.name!r} is not {what} yet, and it is trained between the steps")
    train, test = parts_of(data, validation_data, seed)
    fit = {"epochs": check_count("compress: epochs", epochs), "batch_size": check_count("batch_size", batch_size)}
    search = _Search(model, train, Judge(model, test, scoring), limit, fit, as_flag("compress: verbose", verbose))
    search.prune_units(keeps)
    if target == "size":
        search.prune_weights(shares)
        search.round()
    else:
        search.quantize()
    return search.result()


class _Search:
    """The best model by now, and the steps to it."""

    def __init__(self, model: Any, train: Rows, judge: Judge, limit: float, fit: Any, verbose: bool) -> None:
        self._train, self._judge, self._fit, self._verbose = train, judge, fit, verbose
        if isinstance(train.x, Source) and not isinstance(train.x, StoredSource):
            self._fit["batch_size"] = None  # it has its own
        self._steps: list[Step] = []
        self._least = -float("inf")
        self._model, self._how = model, cast("Given", None)
        self._before: list[Any] = []  # of which it was pruned
        if not self._consider("as given", model):
            raise ValueError("compress: the model as given predicts NaN for rows that judge; train it anew")
        self._least = self._steps[0].score - limit

    def prune_units(self, keeps: Any) -> None:
        """Half of the units of each layer, again and again."""
        before = 1.0
        for keep in keeps:
            try:
                small = prune_units(self._model, keep / before)
            except ValueError:  # all units have to stay
                return
            if small.count_params() == self._model.count_params():
                return
            self._trained(small)
            if not self._consider(f"{keep:.3g} of the units", small):
                return
            before = keep

    def prune_weights(self, shares: Sequence[float]) -> None:
        """More and more of the weights."""
        reached = 0.0
        for share in shares:
            if not self._pruned(share, reached):
                break
            reached = share
        for share in SOFTER if not reached else ():
            if share < min(shares, default=0.0) and self._pruned(share, 0.0):
                break

    def _pruned(self, share: float, reached: float) -> bool:
        pruned = _without_dropout(self._model) if not reached else deepcopy(self._model)
        try:
            self._trained(pruned, PruneLowMagnitude(share, reached, layers=shares_of(pruned, share)))
        except ValueError as error:
            if "nothing to prune" in str(error):
                return False
            raise
        before = self._model
        if kept := self._consider(f"{1 - share:.3g} of the weights", pruned, True):
            self._before.append(before)
        return kept

    def round(self) -> None:
        """Fewer and fewer values of the weights; of a model that was pruned less, where none are few enough."""
        for model in [self._model, *reversed(self._before)]:
            for bits in BITS:
                self._consider(f"weights of {bits} bits", model, {"bits": bits}, smaller=True)
                if self._steps[-1].score < self._least:
                    break
            if isinstance(self._how, dict):
                return

    def quantize(self) -> None:
        """int8, where it is faster."""
        try:
            small = quantize(self._model)
        except ValueError:  # no layer can
            return
        self._consider("int8 weights", small, True, faster=True)

    def result(self) -> Compressed:
        """What came of it."""
        if self._how is None:
            self._consider("a compressed file", self._model, True)
        return Compressed(self._model, self._steps, self._how, self._judge.measure)

    def _trained(self, model: Any, *callbacks: Any) -> None:
        """Train; in the last third, when all that goes has gone, with a learning rate that falls."""
        rate, epochs = model.optimizer.learning_rate, self._fit["epochs"]
        if isinstance(rate, float):  # and no schedule
            callbacks = (*callbacks, LearningRateScheduler(lambda epoch: rate * _left(epoch, epochs)))
        x, y, weight = self._train
        model.fit(x, y, sample_weight=weight, callbacks=list(callbacks), verbose=0, **self._fit)
        model.optimizer.learning_rate = rate

    def _consider(self, name: str, model: Any, how: Given = None, faster: bool = False, smaller: bool = False) -> bool:
        """Enter a step, and go on from it where it is good enough; faster, smaller: and better in that than before."""
        with gathering() as own:
            data = model_file.packed(model, how, False)
        if isinstance(how, dict):
            model = load_model(BytesIO(data), own)  # with the weights that its file has
        score, (row, rows) = self._judge.score(model), self._judge.times(model)
        before = [step for step in self._steps if step.kept][-1:]
        kept = score >= self._least
        for step in before:
            kept &= not (faster and row + rows >= step.row + step.rows) and not (smaller and len(data) >= step.bytes)
        self._steps.append(Step(name, len(data), row, rows, score, kept))
        if kept:
            self._model, self._how = model, how
        if self._verbose:
            lines = [_heads(self._judge.measure)] * (not before) + [_cells(self._steps[-1], self._steps[0])]
            for line in lines:
                say("  ".join(map(padded, line, (22, 10, 7, 9, 12, 8, 0))).rstrip())
        return kept


def _left(epoch: int, epochs: int) -> float:
    """Of the learning rate, in an epoch: 1 in two thirds of them, then 0.3, and 0.1 in the last."""
    if epoch < 2 * epochs / 3 or epochs == 1:
        return 1.0
    return 0.1 if epoch == epochs - 1 else 0.3


def _without_dropout(model: Any) -> Any:
    """A copy that has no dropout: of a model with few weights it would leave too few. Source: Han et al. 2015, 3.2."""

    def change(layer: Any) -> list[Any]:
        return [alike(layer, {layer: {"rate": 0.0}} if isinstance(layer, Dropout) else {})]

    copy, pairs = rebuilt(model, change)
    take_weights(copy, pairs)
    return copy


def _rising(what: str, given: Any, falling: bool = False) -> list[float]:
    """Shares that rise, or fall. ValueError, TypeError for others."""
    found = [as_number(f"compress: {what}", each) for each in as_list(f"compress: {what}", given, "shares")]
    ends = [0.0, *(reversed(found) if falling else found), 1.0]
    if any(not a < b for a, b in pairwise(ends)):
        raise ValueError(
            f"compress: {what} must {'fall' if falling else 'rise'}, above 0 and below 1, got {shown(given)}"
        )
    return found


def _heads(measure: str) -> tuple[str, ...]:
    return "step", "bytes", "smaller", "1 row, us", f"{MANY} rows, us", measure, "kept"


def _cells(step: Step, first: Step) -> tuple[str, ...]:
    times = (f"{1e6 * seconds:,.1f}" for seconds in (step.row, step.rows))
    size = f"{step.bytes:,}", f"{first.bytes / step.bytes:.1f}x"
    return step.name, *size, *times, f"{step.score:.4f}", "yes" if step.kept else "no"
