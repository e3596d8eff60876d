"""A step on a large table of embeddings, beside PyTorch's SparseAdam: `python -m benchmarks.embeddings --help`.

Ids -> Embedding(16) -> Flatten -> Dense(16, relu) -> Dense(1), mean squared error, batches of 256 rows of 4 ids, drawn
evenly. The contenders run in turn in one process, on as many threads; the losses of steps from the same weights
on the same rows are compared first. PyTorch's form: nn.Embedding(sparse=True) with SparseAdam, Adam for the rest, and
batches that lie ready.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import benchmarks

if not benchmarks.prepare_blas() and __name__ == "__main__":
    raise SystemExit(benchmarks.TOO_LATE)

import numpy as np

import fastnn

ROWS, IDS, DEPTH, UNITS = 256, 4, 16, 16
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
RATE = 1e-3
TOLERANCE = 1e-3

Run = Callable[[], float]  # trains for an epoch, and gives its loss


def data(ids: int, steps: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(5)
    x = rng.integers(0, ids, (steps * ROWS, IDS), np.int32)
    return x, np.sin(x.sum(axis=1, keepdims=True)).astype(np.float32)


def with_fastnn(ids: int, x: Any, y: Any, optimizer: str, sparse: bool) -> tuple[Any, Run]:
    fastnn.utils.set_random_seed(1)
    model = fastnn.Sequential(
        [
            fastnn.layers.Input(shape=(IDS,), dtype="int32"),
            fastnn.layers.Embedding(ids, DEPTH, sparse_updates=sparse),
            fastnn.layers.Flatten(),
            fastnn.layers.Dense(UNITS, "relu"),
            fastnn.layers.Dense(1),
        ]
    )
    model.compile({"class_name": optimizer, "config": {"learning_rate": RATE}}, "mse")

    def run() -> float:
        history = model.fit(x, y, batch_size=ROWS, shuffle=False, verbose=0)
        return float(history.history["loss"][-1])

    return model, run


def with_torch(ids: int, x: Any, y: Any, weights: Any, sparse: bool) -> Run:
    import torch

    table = torch.nn.Embedding(ids, DEPTH, sparse=sparse)
    hidden, last = torch.nn.Linear(IDS * DEPTH, UNITS), torch.nn.Linear(UNITS, 1)
    with torch.no_grad():
        parameters = (table.weight, hidden.weight, hidden.bias, last.weight, last.bias)
        for number, (parameter, value) in enumerate(zip(parameters, weights, strict=True)):
            parameter.copy_(torch.from_numpy(value.T if number in (1, 3) else value))
    rest = [*hidden.parameters(), *last.parameters()]
    if sparse:
        optimizers = [
            torch.optim.SparseAdam(list(table.parameters()), lr=RATE, eps=1e-7),
            torch.optim.Adam(rest, lr=RATE, eps=1e-7),
        ]
    else:
        optimizers = [torch.optim.Adam([*table.parameters(), *rest], lr=RATE, eps=1e-7)]
    batches = list(zip(torch.from_numpy(x).split(ROWS), torch.from_numpy(y).split(ROWS), strict=True))

    def run() -> float:
        total = 0.0
        for ids, target in batches:
            for optimizer in optimizers:
                optimizer.zero_grad()
            output = last(torch.relu(hidden(table(ids).flatten(1))))
            loss = torch.nn.functional.mse_loss(output, target)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            total += loss.detach()
        return float(total) / len(batches)

    return run


def measured(ids: int, steps: int, turns: int, dense: bool) -> dict[str, list[float]]:
    """Seconds of a step of each contender, in each turn."""
    x, y = data(ids, steps)
    model, run = with_fastnn(ids, x, y, "Adam", True)
    runs = {}
    try:
        runs["PyTorch, SparseAdam"] = with_torch(ids, x, y, model.get_weights(), True)
    except ImportError:
        print("PyTorch is not installed")
    runs = {"fastnn, Adam": run} | runs
    losses = {name: run() for name, run in runs.items()}
    for loss in losses.values():
        if abs(loss - losses["fastnn, Adam"]) > TOLERANCE * abs(loss):
            raise SystemExit(f"the losses differ: {losses}")
    runs["fastnn, SGD"] = with_fastnn(ids, x, y, "SGD", False)[1]
    if dense:
        runs["fastnn, dense Adam"] = with_fastnn(ids, x, y, "Adam", False)[1]
        if len(losses) > 1:
            runs["PyTorch, dense Adam"] = with_torch(ids, x, y, model.get_weights(), False)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(turns):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name].append((time.perf_counter() - started) / steps)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", type=int, nargs="+", default=list(SIZES), help="rows of the table")
    parser.add_argument("--steps", type=int, default=50, help="in a turn")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dense", action="store_true", help="also the forms in which all rows step")
    arguments = parser.parse_args()
    fastnn.set_num_threads(arguments.threads)
    try:
        import torch

        torch.set_num_threads(arguments.threads)
    except ImportError:
        pass
    print(
        f"microseconds of a step, {arguments.threads} thread(s): the least, and the median of {arguments.turns} turns"
    )
    for ids in arguments.ids:
        found = measured(ids, arguments.steps, arguments.turns, arguments.dense)
        print(f"{ids:,} x {DEPTH}")
        base = found["fastnn, Adam"]
        for name, seconds in found.items():
            least, middle = min(seconds), statistics.median(seconds)
            ratio = f"{least / min(base):8.2f}x {middle / statistics.median(base):8.2f}x of fastnn's"
            print(f"  {name:22} {least * 1e6:10.1f} {middle * 1e6:10.1f} {ratio}")


if __name__ == "__main__":
    main()
