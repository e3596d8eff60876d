"""Single kernels against NumPy, and PyTorch where it is installed: `python -m benchmarks.kernels --help`.

Products in the three forms that training needs, against OpenBLAS: of chosen shapes, and narrow ones, 1 to 17 rows or
columns, that a seed draws, so that nothing is tuned to them; activations on 16,384 floats, in cache, written in place.
Each time is the least of interleaved runs; a ratio over 1 means that fastnn is faster.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import cpus

if __name__ == "__main__":
    cpus.prepare(cpus.threads_asked())

import numpy as np

from benchmarks.numpy_net import Array
from benchmarks.report import duration, machine
from fastnn import kernels
from fastnn.activations import GELU

RUN = 2e-4  # seconds that a run takes at least, so that the clock does not matter
TABLES = ("matmul", "narrow", "functions")
FLOATS = (128, 128)  # 16,384 of them; softmax along the last axis
FORMS = {"x w": kernels.matmul, "xT d": kernels.matmul_transposed_a, "d wT": kernels.matmul_transposed_b}

# Rows, terms of each sum, columns.
SHAPES = (
    *((size, size, size) for size in (8, 16, 32, 64, 128, 256, 512, 1024, 2048)),
    *((rows, 10, 10) for rows in (1, 5, 10, 100)),
    *((rows, 784, 32) for rows in (1, 5, 32, 1024)),
    *((256, terms, units) for terms, units in ((32, 128), (128, 64), (64, 1))),
    *((128, terms, units) for terms, units in ((784, 512), (512, 512), (512, 10))),
    *((512, terms, units) for terms, units in ((1024, 2048), (2048, 1024))),
    *((64, 100, units) for units in (1, 3, 7, 10, 17)),
    (4096, 64, 64),
    (64, 64, 4096),
    (64, 4096, 64),
    (8192, 16, 16),
    (16, 16, 8192),
    (127, 129, 131),
    (509, 511, 513),
    (1023, 33, 1025),
)


NARROW = 120  # shapes that a seed draws, in turn of each form, with few rows and with few columns


def narrow_shapes(seed: int) -> Iterator[tuple[str, tuple[int, int, int]]]:
    random = np.random.default_rng(seed)
    for i in range(NARROW):
        few = int(random.integers(1, 18))
        many, terms = (int(2**bits) for bits in random.uniform(0, 12, 2))
        yield list(FORMS)[i % 3], (few, terms, many) if i // 3 % 2 else (many, terms, few)


def least(sides: Sequence[Callable[[], object]], turns: int) -> list[float]:
    """The least seconds of one call of each side, run in turn."""
    counts = [calls_for(side) for side in sides]
    best = [math.inf] * len(sides)
    for _ in range(turns):
        for i, (side, count) in enumerate(zip(sides, counts, strict=True)):
            best[i] = min(best[i], seconds(side, count) / count)
    return best


def calls_for(side: Callable[[], object]) -> int:
    side()  # the first call makes what the others find
    count = 1
    while seconds(side, count) < RUN:
        count *= 2
    return count


def seconds(side: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        side()
    return time.perf_counter() - start


def products(shapes: Iterable[tuple[str, tuple[int, int, int]]], turns: int) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(0)
    for form, (rows, terms, columns) in shapes:
        x = random.standard_normal((rows, terms), np.float32)
        w = random.standard_normal((terms, columns), np.float32)
        a = np.ascontiguousarray(x.T) if form == "xT d" else x
        b = np.ascontiguousarray(w.T) if form == "d wT" else w
        plain = a.T if form == "xT d" else a, b.T if form == "d wT" else b
        ours, theirs = np.empty((2, rows, columns), np.float32)
        kernel = FORMS[form]
        times = least([lambda: kernel(a, b, out=ours), lambda: plain[0].dot(plain[1], out=theirs)], turns)  # noqa: B023
        bound = np.abs(theirs).max() * 1e-4 + terms * 1e-6
        assert np.abs(ours - theirs).max() <= bound, f"{form} of {rows}x{terms}x{columns} differs from NumPy's"
        yield {"shape": (rows, terms, columns), "form": form, "fastnn": times[0], "numpy": times[1]}


def numpy_functions(x: Array, out: Array) -> dict[str, Callable[[], object]]:
    """What a careful programmer writes: in place, float32 constants. NumPy has no erf, so no exact gelu."""
    cube, ones = np.empty_like(x), np.ones((), np.float32)
    half, scale, bend = (np.array(value, np.float32) for value in (0.5, math.sqrt(2 / math.pi), 0.044715))

    def sigmoid() -> None:
        np.negative(x, out=out)
        np.exp(out, out=out)
        np.add(out, ones, out=out)
        np.reciprocal(out, out=out)

    def gelu_tanh() -> None:
        np.multiply(x, x, out=cube)
        np.multiply(cube, bend, out=cube)
        np.add(cube, ones, out=cube)
        np.multiply(cube, x, out=cube)
        np.multiply(cube, scale, out=cube)
        np.tanh(cube, out=cube)
        np.add(cube, ones, out=cube)
        np.multiply(cube, x, out=out)
        np.multiply(out, half, out=out)

    def softmax() -> None:
        np.subtract(x, x.max(axis=1, keepdims=True), out=out)
        np.exp(out, out=out)
        np.divide(out, out.sum(axis=1, keepdims=True), out=out)

    return {
        "exp": lambda: np.exp(x, out=out),
        "tanh": lambda: np.tanh(x, out=out),
        "sigmoid": sigmoid,
        "gelu, tanh form": gelu_tanh,
        "softmax": softmax,
    }


def torch_functions(x: Array, out: Array, threads: int) -> dict[str, Callable[[], object]]:
    if find_spec("torch") is None:
        return {}
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    z, a = torch.from_numpy(x), torch.from_numpy(out)
    return {
        "exp": lambda: torch.exp(z, out=a),
        "tanh": lambda: torch.tanh(z, out=a),
        "sigmoid": lambda: torch.sigmoid(z, out=a),
        "gelu": lambda: torch.ops.aten.gelu.out(z, approximate="none", out=a),
        "gelu, tanh form": lambda: torch.ops.aten.gelu.out(z, approximate="tanh", out=a),
        "softmax": lambda: torch.softmax(z, 1, out=a),
    }


def fastnn_functions(x: Array, out: Array) -> dict[str, Callable[[], object]]:
    exact, approximate = (GELU(approximate=choice).numbers() for choice in (False, True))
    return {
        "exp": lambda: kernels.exponential(x, out=out),
        "tanh": lambda: kernels.tanh(x, out=out),
        "sigmoid": lambda: kernels.sigmoid(x, out=out),
        "gelu": lambda: kernels.gelu(x, exact, out=out),
        "gelu, tanh form": lambda: kernels.gelu(x, approximate, out=out),
        "softmax": lambda: kernels.softmax(x, out=out),
    }


def functions(turns: int, threads: int) -> Iterator[dict[str, Any]]:
    x = np.random.default_rng(0).standard_normal(FLOATS, np.float32)
    outs = {name: np.empty_like(x) for name in ("fastnn", "numpy", "torch")}
    ours = fastnn_functions(x, outs["fastnn"])
    others = {"numpy": numpy_functions(x, outs["numpy"]), "torch": torch_functions(x, outs["torch"], threads)}
    for name, function in ours.items():
        present = {"fastnn": function, **{library: known[name] for library, known in others.items() if name in known}}
        times = least(list(present.values()), turns)
        for library in present:
            difference = np.abs(outs[library] - outs["fastnn"]).max()
            assert difference <= 1e-5 * np.abs(outs[library]).max(), f"{name}: {library} differs by {difference:.1e}"
        yield {"name": name, **dict(zip(present, times, strict=True))}


def table_of_products(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Billions of operations a second of fastnn, and NumPy's time over fastnn's."""
    yield f"| rows x terms x columns | {' | '.join(FORMS)} |"
    yield "|---" + "|--:" * len(FORMS) + "|"
    for shape in dict.fromkeys(row["shape"] for row in rows):
        cells = [
            f"{2 * math.prod(shape) / row['fastnn'] / 1e9:.0f} GFLOP/s, {row['numpy'] / row['fastnn']:.2f}x"
            for row in rows
            if row["shape"] == shape
        ]
        yield f"| {'x'.join(map(str, shape))} | {' | '.join(cells)} |"
    ratios = {form: [row["numpy"] / row["fastnn"] for row in rows if row["form"] == form] for form in FORMS}
    means = [f"{math.exp(np.log(values).mean()):.2f}x" for values in ratios.values()]
    yield f"| geometric mean | {' | '.join(means)} |"
    yield f"| least | {' | '.join(f'{min(values):.2f}x' for values in ratios.values())} |"


def table_of_narrow(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """NumPy's time over fastnn's: the mean of each form, and what is slower."""
    yield f"| {len(rows)} narrow products | geometric mean | least | below 0.95 |"
    yield "|---|--:|--:|---|"
    for form in FORMS:
        ratios = {row["shape"]: row["numpy"] / row["fastnn"] for row in rows if row["form"] == form}
        slower = [f"{'x'.join(map(str, at))} {ratio:.2f}" for at, ratio in ratios.items() if ratio < 0.95]
        mean = math.exp(np.log(list(ratios.values())).mean())
        yield f"| {form} | {mean:.2f}x | {min(ratios.values()):.2f}x | {', '.join(slower) or '-'} |"
    mean = math.exp(np.log([row["numpy"] / row["fastnn"] for row in rows]).mean())
    yield f"| all | {mean:.2f}x | | |"


def table_of_functions(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "| 16,384 floats | fastnn | NumPy | ratio | PyTorch | ratio |"
    yield "|---|--:|--:|--:|--:|--:|"
    for row in rows:
        cells = [duration(row["fastnn"])]
        for name in ("numpy", "torch"):
            cells += [duration(row[name]), f"{row[name] / row['fastnn']:.2f}x"] if name in row else ["-", "-"]
        yield f"| {row['name']} | {' | '.join(cells)} |"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", metavar="|".join(TABLES), help="some of the tables; all by default")
    parser.add_argument("--threads", type=int, default=1, help="of each library")
    parser.add_argument("--seed", type=int, default=0, help="of the narrow shapes")
    parser.add_argument("--turns", type=int, default=15, help="interleaved runs of which the least counts")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if unknown := set(arguments.what) - set(TABLES):
        parser.error(f"unknown table {', '.join(sorted(unknown))}; known are {', '.join(TABLES)}")
    if arguments.turns < 1:
        parser.error(f"--turns must be at least 1, got {arguments.turns}")
    return arguments


def main(arguments: argparse.Namespace) -> None:
    wanted = arguments.what or TABLES
    content: dict[str, Any] = {"machine": machine(arguments.threads), "threads": arguments.threads}
    if "matmul" in wanted:
        chosen = [(form, shape) for shape in SHAPES for form in FORMS]
        content["matmul"] = list(products(chosen, arguments.turns))
        print(*table_of_products(content["matmul"]), "", sep="\n")
    if "narrow" in wanted:
        content["narrow"] = list(products(narrow_shapes(arguments.seed), arguments.turns))
        print(*table_of_narrow(content["narrow"]), "", sep="\n")
    if "functions" in wanted:
        content["functions"] = list(functions(arguments.turns, arguments.threads))
        print(*table_of_functions(content["functions"]), "", sep="\n")
    print(", ".join(f"{name} {value}" for name, value in content["machine"].items()), f"threads {arguments.threads}")
    if arguments.json:
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(parse())
