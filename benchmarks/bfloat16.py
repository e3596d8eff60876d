"""Products of bfloat16 beside those of float32 and beside PyTorch's: `python -m benchmarks.bfloat16 --help`.

products    forward, by x and by W, of the layers of the workloads: GFLOP/s, and their share of the measured peaks
workloads   fits in float32 and bfloat16, by fastnn and by PyTorch: in float32, with `set_float32_matmul_precision
            ("medium")`, with `autocast("cpu", bfloat16)`, each eager and compiled; one of each in every turn
accuracy    the tasks of benchmarks.accuracy from several seeds in both precisions
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib.util import find_spec
from typing import Any

from benchmarks import cpus

if __name__ == "__main__":
    cpus.prepare(cpus.threads_asked())

import numpy as np

import fastnn
from benchmarks import floor
from benchmarks.cases import CASES, Fit
from benchmarks.report import duration, machine
from benchmarks.rivals import Trainer, Unable

NAMES = ("mnist", "tabular", "medium", "large", "lenet", "cnn", "lstm", "gru", "transformer")
# Rows, inputs, units of Dense layers.
LAYERS = {
    "medium": ((128, 784, 512), (128, 512, 512), (128, 512, 10)),
    "large": ((512, 1024, 2048), (512, 2048, 2048), (512, 2048, 1024)),
}
FORMS = ("gemm", "gemm_transposed_b", "gemm_transposed_a")
SPACE = 2**22  # floats: more than any product works in
RUN = 2e-3  # seconds of a run, at least


def products(turns: int, threads: int) -> None:
    from support.bindings import bound, rows_of

    speeds = floor.measure(1)
    peaks = (speeds.flops, speeds.dot) if speeds is not None else (math.nan, math.nan)
    print(f"peaks: {peaks[0] / 1e9:.0f} GFLOP/s in float32, {peaks[1] / 1e9:.0f} of bfloat16; one thread\n")
    print("| layer | product | float32 | of its peak | bfloat16 | of its peak | times |\n|---|---|--:|--:|--:|--:|--:|")
    rng = np.random.default_rng(0)
    for name, shapes in LAYERS.items():
        for rows, inputs, units in shapes:
            x, w, d = (
                rng.normal(size=shape).astype(np.float32) for shape in ((rows, inputs), (inputs, units), (rows, units))
            )
            space = np.zeros(SPACE, np.float32)
            for form, what in zip(FORMS, ("x W", "d Wt", "xt d"), strict=True):
                (a, b), (m, n, k) = {
                    "gemm": ((x, w), (rows, units, inputs)),
                    "gemm_transposed_b": ((d, w), (rows, inputs, units)),
                    "gemm_transposed_a": ((x, d), (inputs, units, rows)),
                }[form]
                c, addresses, best = np.empty((m, n), np.float32), rows_of(a), [math.inf, math.inf]
                kernels = [bound(getattr(fastnn.kernels, prefix + form)) for prefix in ("", fastnn.kernels.bfloat16)]
                calls = max(1, int(RUN * peaks[0] / (2 * m * n * k))) if speeds is not None else 10
                for _ in range(turns):
                    for i, kernel in enumerate(kernels):
                        start = time.thread_time()
                        for _ in range(calls):
                            kernel.c(c, 0, addresses, 0, b, b.shape[1], None, c, n, m, n, k, space)
                        best[i] = min(best[i], (time.thread_time() - start) / calls)
                one, two = (2 * m * n * k / seconds for seconds in best)
                print(
                    f"| {name} {rows} x {inputs} x {units} | {what} | {one / 1e9:.0f} | {one / peaks[0]:.0%} "
                    f"| {two / 1e9:.0f} | {two / peaks[1]:.0%} | {two / one:.2f} |"
                )


def fastnn_side(case: Fit, precision: str) -> Trainer:
    model, (x, y) = case.model(), case.data(case.rows)

    def run(shuffle: bool) -> float:
        fastnn.set_matmul_precision(precision)
        history = model.fit(x, y, batch_size=case.batch_size, epochs=case.epochs, verbose=0, shuffle=shuffle)
        return float(history.history["loss"][-1])

    return Trainer(partial(case.restart, model), run)


def torch_side(case: Fit, module: Any, precision: str, within: Callable[[], AbstractContextManager[Any]]) -> Trainer:
    import torch

    trainer = module.fit(case)

    def run(shuffle: bool) -> float:
        torch.set_float32_matmul_precision(precision)
        with within():
            return float(trainer.run(shuffle))

    return Trainer(trainer.reset, run)


def sides(case: Fit, threads: int, alone: bool) -> Iterator[tuple[str, Trainer]]:
    for precision in ("float32", "bfloat16"):
        yield f"fastnn {precision}", fastnn_side(case, precision)
    if alone or find_spec("torch") is None:
        return
    import torch

    from benchmarks.rivals import torch_compiled, torch_eager

    torch.set_num_threads(threads)
    # The cache of rounded weights is for one step; these contexts hold a whole fit.
    autocast = partial(torch.autocast, "cpu", torch.bfloat16, cache_enabled=False)
    for title, module in (("eager", torch_eager), ("compiled", torch_compiled)):
        ways = (
            ("float32", "highest", nullcontext),
            ("medium", "medium", nullcontext),
            ("autocast", "highest", autocast),
        )
        for name, precision, within in ways:
            try:
                yield f"torch {title} {name}", torch_side(case, module, precision, within)
            except Unable as reason:
                print(f"  torch {title} {name}: {reason}", file=sys.stderr)


def workloads(names: list[str], turns: int, threads: int, alone: bool) -> None:
    print("| case | side | median | least | of fastnn float32 | loss |\n|---|---|--:|--:|--:|--:|")
    for case in CASES:
        if case.name not in names or not isinstance(case, Fit):
            continue
        racing, seconds, losses = dict(sides(case, threads, alone)), {}, {}
        for turn in range(turns + 1):  # the first compiles what there is to compile
            for name, side in list(racing.items()):
                try:
                    side.reset()
                    start = time.perf_counter()
                    losses[name] = side.run(True)
                except Exception as error:  # of any class: a compiler of another's
                    print(f"  {case.name}, {name}: {error!s:.200}", file=sys.stderr)
                    del racing[name]
                    continue
                if turn:
                    seconds.setdefault(name, []).append(time.perf_counter() - start)
        base = statistics.median(seconds["fastnn float32"])
        for name in racing:
            middle = statistics.median(seconds[name])
            print(
                f"| {case.name} | {name} | {duration(middle)} | {duration(min(seconds[name]))} | {base / middle:.2f}x "
                f"| {losses[name]:.4g} |",
                flush=True,
            )


def accuracy(names: list[str], seeds: int) -> None:
    from benchmarks.accuracy import TASKS, error, score

    print("| task | score | float32 | bfloat16 | difference, in its standard errors |\n|---|---|--:|--:|--:|")
    for name, task in TASKS.items():
        if names and name not in names:
            continue
        try:
            data = task.data()
        except LookupError as missing:
            print(f"| {task.what} | not here: {missing} | | | |")
            continue
        scores: dict[str, list[float]] = {}
        for precision in ("float32", "bfloat16"):
            fastnn.set_matmul_precision(precision)
            scores[precision] = [score(fastnn, task, data, seed)[0] for seed in range(seeds)]
        one, two = scores.values()
        noise = math.hypot(error(one), error(two))
        apart = (statistics.mean(two) - statistics.mean(one)) / noise if noise else 0.0
        cells = " | ".join(f"{statistics.mean(each):.4f} +- {error(each):.4f}" for each in (one, two))
        print(f"| {task.what} | {task.metric} | {cells} | {apart:+.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bfloat16", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["products", "workloads", "accuracy", "all"], nargs="?", default="all")
    parser.add_argument("names", nargs="*", help=f"workloads, of {', '.join(NAMES)}; or tasks")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="without PyTorch")
    given = parser.parse_args()
    if not fastnn.kernels.bfloat16:
        raise SystemExit("this processor has no products of bfloat16")
    fastnn.set_num_threads(given.threads)
    if given.what in ("products", "all"):
        products(given.repeats, given.threads)
    if given.what in ("workloads", "all"):
        print()
        workloads(given.names or list(NAMES), given.repeats, given.threads, given.alone)
    if given.what in ("accuracy", "all"):
        print()
        accuracy(given.names if given.what == "accuracy" else [], given.seeds)
    print(", ".join(f"{name} {value}" for name, value in machine(given.threads).items()))


if __name__ == "__main__":
    main()
