"""Small networks: fits against JAX with all epochs in one program, one row against ONNX Runtime, nets a second.

    python -m benchmarks.small                     # tiny, four weights with SGD, and 20 networks of a seed
    python -m benchmarks.small --seed 3 --nets 50 --repeats 31 --json FILE
    python -m benchmarks.small --middle            # 10 to 100 units a layer, 1 to 8 layers, batches of 8 to 256
    python -m benchmarks.small --search --threads 2    # networks a second that `model_selection.search` fits

Small networks have at most 200 weights, 1 to 16 inputs, up to three hidden layers, and batches of 1 to 32 rows; all of
it is drawn by the seed, and so is what middle ones have, which are told with the share of the floor that fits reach.
The sides take turns, on one thread; a ratio is of two runs beside each other; its median and quartiles are printed. A
step's time is that of the whole call of `fit`, shuffling and Python included, over its steps.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks.cpus import prepare, threads_asked

prepare(threads_asked())

import numpy as np  # noqa: E402

import fastnn  # noqa: E402
from benchmarks import floor  # noqa: E402
from benchmarks.cases import FITS, Fit, Predict  # noqa: E402
from benchmarks.networks import perceptron  # noqa: E402
from benchmarks.rivals import RIVALS, fastnn_model  # noqa: E402

ROWS, EPOCHS, WEIGHTS = 100, 100, 200
CALLS = 2000  # of a prediction, timed together
LOSSES = {"mean_squared_error": "linear", "binary_crossentropy": "sigmoid"}


@dataclass(frozen=True)
class Small(Fit):
    optimizer: str = "adam"


def small(
    name: str,
    sizes: tuple[int, ...],
    hidden: str,
    loss: str,
    batch: int,
    optimizer: str,
    rows: int = ROWS,
    epochs: int = EPOCHS,
) -> Small:
    network = perceptron(sizes, hidden, LOSSES[loss])
    return Small(name, network, loss, {}, rows, batch_size=batch, epochs=epochs, optimizer=optimizer)


def one_of(sizes: tuple[int, ...], batch: int, random: np.random.Generator, *how: int) -> Small:
    """One whose loss, activation and optimizer are drawn. how: rows and epochs."""
    loss, activation = str(random.choice(list(LOSSES))), str(random.choice(["relu", "tanh"]))
    optimizer = str(random.choice(["adam", "sgd"]))
    name = f"{'-'.join(map(str, sizes))} {activation} {loss.split('_')[0]} {optimizer} batch {batch}"
    return small(name, sizes, activation, loss, batch, optimizer, *how)


def middle(seed: int, count: int) -> Iterator[Small]:
    """Networks of 10 to 100 units a layer, 1 to 8 hidden layers, batches of 8 to 256 rows."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        layers = int(random.integers(1, 9))
        sizes = (*map(int, random.integers(10, 101, size=1 + layers)), 1)
        yield one_of(sizes, int(2 ** random.uniform(3, 8)), random, 2000, 5)


def drawn(seed: int, count: int) -> Iterator[Small]:
    """So many networks; each is drawn anew until it is small enough."""
    random = np.random.default_rng(seed)
    while count:
        hidden = random.integers(1, 13, size=random.integers(4)).tolist()
        sizes = (int(random.integers(1, 17)), *hidden, 1)
        case = one_of(sizes, int(random.integers(1, 33)), random)
        if sum((a + 1) * b for a, b in pairwise(sizes)) <= WEIGHTS:
            count -= 1
            yield case


@dataclass
class Ratio:
    """ours, theirs: microseconds at best; the ratio's quartiles."""

    name: str
    what: str
    ours: float
    theirs: float
    low: float
    median: float
    high: float
    share: float | None = None  # of the floor

    def __str__(self) -> str:
        share = "" if self.share is None else f"{100 * self.share:.0f} % of the floor   "
        return (
            f"{self.what:12} {self.median:6.2f}x ({self.low:.2f} to {self.high:.2f})   "
            f"{self.ours:.3f} us beside {self.theirs:.3f} us   {share}{self.name}"
        )


def race(name: str, what: str, ours: Callable[[], float], theirs: Callable[[], float], repeats: int, n: int) -> Ratio:
    """Both in turns; each gives its own seconds, for n steps or calls."""
    ours(), theirs()
    times = np.array([(ours(), theirs()) for _ in range(repeats)])
    low, median, high = np.quantile(times[:, 1] / times[:, 0], [0.25, 0.5, 0.75])
    best = times.min(axis=0) / n * 1e6
    return Ratio(name, what, *map(float, (*best, low, median, high)))


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def fits(case: Fit, repeats: int, speeds: floor.Speeds | None = None) -> Ratio:
    """With the share of the floor that is reached, where `speeds` are known."""
    from benchmarks.rivals import jax_scan

    sides = [fastnn_model.fit(case), jax_scan.fit(case)]
    losses = []
    for side in sides:
        side.reset()
        losses.append(side.run(False))
    if abs(losses[0] - losses[1]) > 0.02 * abs(losses[1]):
        raise SystemExit(f"{case.name}: the losses of rows in order are {losses}, which should be the same")

    def run(side: int) -> float:
        sides[side].reset()
        return timed(lambda: sides[side].run(True))

    steps = case.epochs * -(-case.rows // case.batch_size)
    ratio = race(case.name, "fit", lambda: run(0), lambda: run(1), repeats, steps)
    return ratio if speeds is None else replace(ratio, share=speeds.of(case) / (ratio.ours * 1e-6 * steps))


def rows(fit: Fit, repeats: int) -> Ratio:
    from benchmarks.rivals import onnx_session

    case = Predict(fit.name, fit.network, fit.loss, {}, 1)
    x, _ = case.data(1)
    predict, theirs = case.model().predict_function(), onnx_session.predictor(case, x)
    np.testing.assert_allclose(predict(x), theirs(), rtol=1e-4, atol=1e-6)

    def ours_again() -> None:
        for _ in range(CALLS):
            predict(x)

    def theirs_again() -> None:
        for _ in range(CALLS):
            theirs()

    return race(fit.name, "one row", lambda: timed(ours_again), lambda: timed(theirs_again), repeats, CALLS)


def searches(threads: int, repeats: int) -> list[dict[str, float]]:
    """Networks a second, and the processor's milliseconds of each, for fits of several lengths."""
    from fastnn.model_selection import search

    random = np.random.default_rng(0)
    x = random.normal(size=(200, 8)).astype(np.float32)
    y = x @ random.normal(size=(8, 1)).astype(np.float32)

    def build(units: int, rate: float) -> fastnn.Sequential:
        layers = [fastnn.layers.Input((8,)), fastnn.layers.Dense(units, "relu"), fastnn.layers.Dense(1)]
        model = fastnn.Sequential(layers)
        model.compile(fastnn.optimizers.Adam(rate), "mse")
        return model

    settings = {"units": [4, 6, 8, 10], "rate": [0.001, 0.003, 0.01, 0.03]}
    found = []
    for epochs in (30, 100, 300):
        times = []
        for _ in range(repeats):
            busy, start = time.process_time(), time.perf_counter()
            search(build, settings, x, y, epochs=epochs, batch_size=10, n_jobs=threads, refit=False, verbose=0)
            times.append((80 / (time.perf_counter() - start), (time.process_time() - busy) / 80 * 1e3))
        best, least = max(nets for nets, _ in times), min(busy for _, busy in times)
        found.append({"epochs": epochs, "threads": threads, "nets a second": best, "ms of a processor": least})
        print(f"search, {epochs} epochs, {threads} thread(s): {best:.0f} nets/s, {least:.2f} ms of a processor each")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nets", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="of a search; all else is on one thread")
    parser.add_argument("--middle", action="store_true", help="larger networks in place of small ones, fits alone")
    parser.add_argument("--search", action="store_true", help="networks a second in place of the race")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.search:
        results = searches(given.threads, min(given.repeats, 5))
    else:
        races: list[tuple[str, Callable[[Fit, int], Ratio]]]
        if given.middle:
            cases: list[Fit] = [*middle(given.seed, given.nets)]
            races = [("jax", partial(fits, speeds=floor.measure(1)))]
        else:
            smallest = small("3-1 sgd batch 10, four weights", (3, 1), "relu", "mean_squared_error", 10, "sgd")
            cases = [FITS[0], smallest, *drawn(given.seed, given.nets)]
            races = [("jax", fits), ("onnxruntime", rows)]
        ratios = []
        for what, one in races:
            if missing := RIVALS[what].missing():
                print(f"not raced: {', '.join(missing)} is not installed")
                continue
            for case in cases:
                ratios.append(one(case, given.repeats))
                print(ratios[-1], flush=True)
            medians = [ratio.median for ratio in ratios if ratio.what == ratios[-1].what]
            mean, least = float(np.exp(np.log(medians).mean())), min(medians)
            print(f"{RIVALS[what].title}: geometric mean {mean:.2f}x, least {least:.2f}x\n", flush=True)
        results = [asdict(ratio) for ratio in ratios]
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
