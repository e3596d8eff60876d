"""fastnn's estimators beside scikit-learn's MLP, called as users call both: `python -m benchmarks.sklearn`.

Each data set is split at random, again and again: on three fourths both are fitted turn by turn, with the same
settings, the same seed and one thread, and both are scored on the last fourth. Rows are float64, or with --float32
float32. A time is the median over the splits, everything in it that `fit` does; a score is the accuracy, or R2, its
mean over the splits with the standard error. Then a row is predicted alone, and a grid of 3 x 3 settings is searched in
5 folds by two processes, once they are there. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import fastnn
from benchmarks.cases import CASES
from benchmarks.report import duration

SMALL = ("iris", "wine", "breast_cancer", "digits", "diabetes")
LARGE = ("mnist", "tabular")  # of benchmarks.cases
GRID = {"hidden_layer_sizes": [(32,), (64,), (100,)], "alpha": [1e-5, 1e-4, 1e-2]}


@dataclass
class Data:
    """Rows, what is learnt, and with which settings."""

    name: str
    x: Any
    y: Any
    kind: str = "MLPClassifier"
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Result:
    """Seconds and scores of each, split by split."""

    name: str
    rows: int
    columns: int
    seconds: dict[str, list[float]]
    scores: dict[str, list[float]]

    def ratio(self) -> float:
        return statistics.median(self.seconds["scikit-learn"]) / statistics.median(self.seconds["fastnn"])


def datasets(names: list[str], dtype: str, epochs: int = 10) -> Iterator[Data]:
    """Those of scikit-learn's, and two cases of the race, these for so many epochs."""
    from sklearn import datasets as theirs

    for name in names:
        if name in SMALL:
            x, y = getattr(theirs, f"load_{name}")(return_X_y=True)
            data = Data(name, x, y, "MLPRegressor" if name == "diabetes" else "MLPClassifier")
        else:
            case: Any = next(case for case in CASES if case.name == name)
            x, y = case.data(case.rows)
            hidden = tuple(layer.units for layer in case.network.layers[:-1])
            settings = {"hidden_layer_sizes": hidden, "activation": case.network.layers[0].activation}
            settings |= {"batch_size": case.batch_size, "max_iter": epochs, "n_iter_no_change": epochs}
            data = Data(name, x, y.ravel().astype(int), settings=settings)
        data.x = data.x.astype(dtype)
        yield data


def sides(kind: str) -> dict[str, Callable[..., Any]]:
    """The two estimators."""
    from sklearn import neural_network

    import fastnn.sklearn

    return {"scikit-learn": getattr(neural_network, kind), "fastnn": getattr(fastnn.sklearn, kind)}


def timed(function: Callable[[], object]) -> float:
    """Seconds of a call."""
    gc.collect()
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def fits(data: Data, seeds: int) -> Result:
    """Both, turn by turn, on the same splits."""
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import scale

    both = sides(data.kind)
    result = Result(data.name, *data.x.shape, {side: [] for side in both}, {side: [] for side in both})
    x = scale(data.x) if data.name in SMALL else data.x
    for make in both.values():
        make(**(data.settings | {"max_iter": 1})).fit(x[:300], data.y[:300])  # what is imported when first used
    for seed in range(seeds):
        x_train, x_test, y_train, y_test = train_test_split(x, data.y, random_state=seed)
        for side, make in both.items():
            est = make(random_state=seed, **data.settings)
            result.seconds[side].append(timed(lambda est=est, x=x_train, y=y_train: est.fit(x, y)))  # type: ignore[misc]
            result.scores[side].append(est.score(x_test, y_test))
    return result


def predictions(data: Data, calls: int = 300) -> dict[str, float]:
    """Seconds of `predict` of one row: the median call."""
    found = {}
    for side, make in sides(data.kind).items():
        est, row = make(**(data.settings | {"max_iter": 3})).fit(data.x, data.y), data.x[:1]
        each = []
        for _ in range(calls):
            start = time.perf_counter()
            est.predict(row)
            each.append(time.perf_counter() - start)
        found[side] = statistics.median(each)
    return found


def searches() -> dict[str, tuple[float, float]]:
    """Seconds and best score of a search over GRID on digits, in two processes that have been started."""
    from sklearn.model_selection import GridSearchCV

    (data,) = datasets(["digits"], "float64")
    found = {}
    for side, make in sides(data.kind).items():
        GridSearchCV(make(max_iter=1), {"alpha": [0, 1, 2, 3]}, n_jobs=2).fit(data.x[:100], data.y[:100])
        search = GridSearchCV(make(random_state=0), GRID, cv=5, n_jobs=2)
        found[side] = timed(lambda search=search: search.fit(data.x, data.y)), float(search.best_score_)  # type: ignore[misc]
    return {**found, "fastnn.model_selection": search_of_networks()}


def search_of_networks() -> tuple[float, float]:
    """Seconds and best score of ``fastnn.model_selection.search`` over the same grid: two networks at a time."""
    from fastnn.callbacks import Callback
    from fastnn.layers import Dense, Input
    from fastnn.model_selection import search
    from fastnn.models import Sequential
    from fastnn.optimizers import Adam
    from fastnn.regularizers import L2

    (data,) = datasets(["digits"], "float64")

    def build(hidden_layer_sizes: tuple[int], alpha: float) -> Any:
        penalty = L2(alpha / 2 / 200)  # the estimators divide by the rows of a batch
        model = Sequential([Input((64,))])
        model.add(Dense(*hidden_layer_sizes, "relu", kernel_regularizer=penalty))
        model.add(Dense(10, "softmax", kernel_regularizer=penalty))
        model.compile(Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    class Stopping(Callback):
        """The estimators' rule: an epoch that gains less than tol counts, whatever those before have gained."""

        best, waited = float("inf"), 0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            loss = logs["loss"]
            self.waited = self.waited + 1 if loss > self.best - 1e-4 else 0
            self.best = min(self.best, loss)
            self.model.stop_training = self.waited > 10

    given: dict[str, Any] = {"cv": 5, "score": "accuracy", "epochs": 200, "batch_size": 200, "callbacks": [Stopping()]}
    more: dict[str, Any] = {"n_jobs": 2, "random_state": 0, "verbose": 0}
    search(build, {name: values[:1] for name, values in GRID.items()}, data.x, data.y, **{**given, "epochs": 1}, **more)
    found: list[Any] = []
    seconds = timed(lambda: found.append(search(build, GRID, data.x, data.y, **given, **more)))
    return seconds, found[0].best_score_


def scored(scores: list[float]) -> str:
    """A mean with its standard error."""
    error = statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else 0.0
    return f"{statistics.mean(scores):.4f} +- {error:.4f}"


def table(results: list[Result]) -> str:
    """As Markdown."""
    lines = ["| fit | rows | columns | scikit-learn | fastnn | ratio | score of scikit-learn | of fastnn |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|--:|")
    for each in results:
        times = [duration(statistics.median(each.seconds[side])) for side in each.seconds]
        scores = [scored(each.scores[side]) for side in each.scores]
        cells = [each.name, f"{each.rows:,}", str(each.columns), *times, f"{each.ratio():.1f}x", *scores]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """The tables, to standard output."""
    from threadpoolctl import threadpool_limits

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", default=[*SMALL, *LARGE], help="data sets to fit: %(default)s")
    parser.add_argument("--seeds", type=int, default=10, help="splits, %(default)s")
    parser.add_argument("--epochs", type=int, default=10, help="of mnist and tabular, %(default)s")
    parser.add_argument("--float32", action="store_true", help="rows are float32, so scikit-learn computes in it")
    parser.add_argument("--no-search", action="store_true", help="leave the search out")
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    fastnn.set_num_threads(1)
    dtype = "float32" if given.float32 else "float64"
    with threadpool_limits(1):
        results = [fits(data, given.seeds) for data in datasets(given.data, dtype, given.epochs)]
        print(table(results), end="\n\n")
        rows = {data.name: predictions(data) for data in datasets(given.data, dtype)}
        print("| predict of one row | scikit-learn | fastnn | ratio |\n|---|--:|--:|--:|")
        for name, seconds in rows.items():
            theirs, ours = seconds["scikit-learn"], seconds["fastnn"]
            print(f"| {name} | {duration(theirs)} | {duration(ours)} | {theirs / ours:.1f}x |")
    search = {} if given.no_search else searches()
    if search:
        (theirs, score), (ours, own) = search["scikit-learn"], search["fastnn"]
        print(
            f"\nsearch of 3 x 3 settings in 5 folds of digits, two processes: scikit-learn {duration(theirs)} ", end=""
        )
        print(f"(best {score:.4f}), fastnn {duration(ours)} (best {own:.4f}): {theirs / ours:.1f}x")
        alone, best = search["fastnn.model_selection"]
        print(
            f"fastnn.model_selection.search, two threads: {duration(alone)} (best {best:.4f}): {ours / alone:.1f}x that"
        )
    if given.json:
        figures = {"fits": [asdict(each) for each in results], "predict": rows, "search": search}
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
