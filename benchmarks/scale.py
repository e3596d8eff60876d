"""What more nodes give: a cost model, held against runs of 1 to 4 ranks here, and what it says of 2 to 1,024 nodes.

    python -m benchmarks.scale                                  # measure compute, predict, print the tables
    python -m benchmarks.scale --json FILE --chart FILE.svg     # and keep them
    python -m benchmarks.scale --measure 1 2 3 4                # runs by mpiexec on this machine beside the model

A step of a network of P parameters on a batch of B rows takes a B + b on one node: a B for rows, b for parameters and
what is the same for any batch; both are measured here by two sizes of batch, and divided by the cores of a node. An
all-gather of V bytes in all on n nodes takes l log2 n + V (n - 1) / n / w on a link of latency l and bandwidth w, by
recursive doubling (Thakur, Rabenseifner and Gropp 2005). So a step takes

    exact    (a B + b) / n + gather(4 B U) + gather(4 P)       the batch is shared out; U numbers a row are exchanged
    ring     a B / n + b + 2 gather(4 P)                       all-reduce of gradients, all parameters on each node
    weak     a B + b + 2 gather(4 P), for n B rows             ring with the batch of each node kept
    local    a B + b + gather(4 n P) / k, for n B rows         local SGD: all weights of all ranks, every k steps

Speed-ups are rows a second over those of one node. That a larger batch, or weights that meet seldom, may need more rows
for the same loss is not in them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from math import log2
from pathlib import Path
from time import perf_counter, time
from typing import Any

import numpy as np

NODES = [2**n for n in range(11)]
EVERY = 32  # steps between two meetings of local SGD
WAYS = ("exact", "ring", "weak", "local")


@dataclass(frozen=True)
class Link:
    """latency: seconds; bandwidth: bytes a second."""

    name: str
    latency: float
    bandwidth: float

    def gather(self, size: float, nodes: int) -> float:
        return self.latency * log2(nodes) + size * (nodes - 1) / nodes / self.bandwidth if nodes > 1 else 0.0


@dataclass(frozen=True)
class Net:
    """Dense layers of these units, the first being the inputs. rows, fixed: seconds of a step, a row and in all."""

    name: str
    units: tuple[int, ...]
    batch: int
    rows: float = 0.0
    fixed: float = 0.0

    @property
    def parameters(self) -> int:
        return sum((a + 1) * b for a, b in zip(self.units, self.units[1:], strict=False))

    @property
    def exchanged(self) -> int:
        """Numbers a row: what each layer gives, but for the last, and its gradient."""
        return 2 * sum(self.units[1:]) - self.units[-1]


LINKS = (Link("1 GbE", 50e-6, 1e9 / 8), Link("25 GbE", 15e-6, 25e9 / 8), Link("InfiniBand 100", 2e-6, 100e9 / 8))
NETS = (
    Net("mnist", (784, 32, 10), 128),
    Net("medium", (784, 512, 512, 10), 256),
    Net("wide", (1024, 2048, 2048, 1000), 256),
    Net("large", (4096, 8192, 8192, 8192, 8192, 1000), 1024),  # not run: by the operations of `wide`
)


def step(net: Net, way: str, link: Link, nodes: int, cores: float = 1.0, every: int = EVERY) -> float:
    """Seconds of a step."""
    rows, fixed = net.rows * net.batch / cores, net.fixed / cores
    weights = link.gather(4 * net.parameters, nodes)
    if way == "exact":
        return (rows + fixed) / nodes + link.gather(4 * net.batch * net.exchanged, nodes) + weights
    if way == "ring":
        return rows / nodes + fixed + 2 * weights
    if way == "weak":
        return rows + fixed + 2 * weights
    return rows + fixed + link.gather(4 * nodes * net.parameters, nodes) / every


def speedup(net: Net, way: str, link: Link, nodes: int, cores: float, every: int = EVERY) -> float:
    """Rows a second over those of one node."""
    one, most = step(net, "exact", link, 1, cores), step(net, way, link, nodes, cores, every)
    return one / most * (nodes if way in ("weak", "local") else 1)


# Measured here.


def model_of(net: Net) -> Any:
    from fastnn.layers import Dense, Input
    from fastnn.models import Sequential

    hidden = [Dense(units, "relu") for units in net.units[1:-1]]
    model = Sequential([Input((net.units[0],)), *hidden, Dense(net.units[-1], "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def data_of(net: Net, rows: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, net.units[0])).astype(np.float32), rng.integers(0, net.units[-1], rows)


@dataclass(frozen=True)
class Fit:
    """Seconds: of a step, the median of some rounds with the quarters of them below and above; of what begins and ends
    a fit."""

    step: float
    low: float
    high: float
    start: float


def fits(net: Net, batch: int, steps: int, rounds: int, *ways: dict[str, Any], count: Any = None) -> list[Fit]:
    """Fits in these ways, in turns. A step is what a fit of two epochs takes beyond one of one epoch, by their steps.

    count: gives numbers that grow; `counted` then has by how much a step lets them.
    """
    x, y = data_of(net, batch * steps)
    models, found = [model_of(net) for _ in ways], [[] for _ in ways]

    def fit(number: int, epochs: int) -> tuple[float, Any]:
        before, start = None if count is None else np.array(count()), perf_counter()
        models[number].fit(x, y, batch_size=batch, epochs=epochs, shuffle=False, verbose=0, **ways[number])
        return perf_counter() - start, None if count is None else np.array(count()) - before

    for number in range(len(ways)):
        fit(number, 1)
    for _ in range(rounds):
        for number in range(len(ways)):
            (one, few), (two, many) = fit(number, 1), fit(number, 2)
            found[number].append(((two - one) / steps, 2 * one - two))
            if count is not None:
                counted[:] = ((many - few) / steps).tolist()
    results = []
    for each in found:
        low, step, high = np.percentile([step for step, _ in each], (25, 50, 75)).tolist()
        results.append(Fit(step, low, high, float(np.median([start for _, start in each]))))
    return results


counted: list[float] = []


def steps_of(net: Net) -> int:
    """Of an epoch: enough that it takes some tenths of a second."""
    return max(2, min(1000, 2 * 10**9 // (net.parameters * net.batch)))


def measured(net: Net, rounds: int) -> Net:
    """The network with the seconds of its steps on one thread."""
    half, whole = (fits(net, batch, steps_of(net), rounds, {})[0].step for batch in (net.batch // 2, net.batch))
    rows = max(whole - half, 0.1 * whole) / (net.batch / 2)
    return Net(net.name, net.units, net.batch, rows, max(whole - rows * net.batch, 0.0))


def overhead(net: Net, rounds: int, comm: Any) -> list[list[float]]:
    """Of a plain fit, and of one with a communicator of one rank, in turns: seconds of a step in a whole short fit, the
    least, and the quarters."""
    steps = max(2, steps_of(net) // 10)
    x, y = data_of(net, net.batch * steps)
    ways: list[dict[str, Any]] = [{}, {"distribute": comm}]
    model, found = model_of(net), [[] for _ in ways]
    for round in range(20 * rounds + 1):
        for taken, way in zip(found, ways, strict=True):
            start = perf_counter()
            model.fit(x, y, batch_size=net.batch, shuffle=False, verbose=0, **way)
            taken.extend([(perf_counter() - start) / steps] * (round > 0))
    return [np.percentile(taken, (0, 25, 50, 75)).tolist() for taken in found]


def nets(rounds: int) -> list[Net]:
    found = [measured(net, rounds) for net in NETS[:-1]]
    ratio = NETS[-1].parameters / found[-1].parameters
    last = NETS[-1]
    return [*found, Net(last.name, last.units, last.batch, found[-1].rows * ratio, found[-1].fixed * ratio)]


# Runs of several ranks on this machine.


class Counting:
    """A communicator that counts what it carries."""

    def __init__(self, comm: Any) -> None:
        self._comm, self.rank, self.size, self.bytes, self.calls = comm, comm.rank, comm.size, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._comm, name)

    def allgatherv(self, send: Any, receive: Any, counts: Any) -> None:
        self.bytes, self.calls = self.bytes + receive.nbytes, self.calls + 1
        self._comm.allgatherv(send, receive, counts)


def rank(names: list[str], rounds: int) -> None:
    """What each process of mpiexec does; rank 0 prints what it took."""
    import fastnn
    from fastnn.distributed import LocalSGD, MPICommunicator

    comm = Counting(MPICommunicator())
    fastnn.set_num_threads(1)
    first = min(NETS, key=lambda net: net.parameters)
    x, y = data_of(first, first.batch)
    model_of(first).fit(x, y, batch_size=first.batch, verbose=0, distribute=comm)
    found: dict[str, Any] = {"first step": time() - float(os.environ["BEGAN"]), "link": asdict(link_here(comm))}
    for net in (net for net in NETS if net.name in names):
        steps = max(EVERY, steps_of(net) // EVERY * EVERY)
        [exact] = fits(net, net.batch, steps, rounds, {"distribute": comm}, count=lambda: (comm.bytes, comm.calls))
        of_step = list(counted)
        [local] = fits(net, net.batch, steps, rounds, {"callbacks": [LocalSGD(comm, EVERY)]})
        found[net.name] = {"exact": asdict(exact), "bytes": of_step[0], "gathers": of_step[1], "local": asdict(local)}
        if comm.size == 1:
            found[net.name]["overhead"] = overhead(net, rounds, comm)
    if comm.rank == 0:
        print(json.dumps(found))


def link_here(comm: Any) -> Link:
    """What an all-gather between these ranks takes, by two sizes."""
    if comm.size == 1:
        return Link("none", 0.0, 1e12)
    times = []
    for size in (comm.size, comm.size * 2**18):
        everyone = np.zeros(size, np.float32)
        part = everyone[: size // comm.size].copy()
        best = 1.0
        for _ in range(30):
            comm.barrier()
            start = perf_counter()
            comm.allgatherv(part, everyone, [len(part)] * comm.size)
            best = min(best, perf_counter() - start)
        times.append(best)
    carried = 4 * (comm.size - 1) * 2**18
    return Link("here", times[0] / log2(comm.size), carried / max(times[1] - times[0], 1e-9))


def runs(ranks: list[int], found: list[Net], cores: int, rounds: int) -> list[dict[str, Any]]:
    """Measured beside predicted, for numbers of ranks. Where they are more than cores, they share them."""
    names = [net.name for net in found[:2]]
    table = []
    for size in ranks:
        code = f"from benchmarks.scale import rank; rank({names!r}, {rounds})"
        command = ["mpiexec", "-n", str(size), sys.executable, "-c", code]
        environment = {**os.environ, "BEGAN": str(time())}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        told = json.loads(done.stdout.splitlines()[-1])
        link = Link(**told["link"])
        for net in (net for net in found if net.name in names):
            got = told[net.name]
            share = max(1.0, size / cores)
            latency = max(0.0, got["gathers"] - 2) * link.latency * log2(size) if size > 1 else 0.0
            table.append(
                {
                    "net": net.name,
                    "ranks": size,
                    **got,
                    "predicted exact": step(net, "exact", link, size, 1 / share) + latency,
                    "predicted local": step(net, "local", link, size, 1 / share),
                    "B U + P": 4 * (net.batch * net.exchanged + net.parameters),
                    "ring": 8 * net.parameters,
                    "link": told["link"],
                    "first step": told["first step"],
                }
            )
    return table


# Told.


def runs_table(table: list[dict[str, Any]]) -> str:
    """Of runs here, in Markdown: times in ms, bytes in kB."""
    names = (
        "network", "ranks", "step, ms (quarters)", "predicted", "start and end of a fit, ms", "gathers a step",
        "kB a step", "of 4 (B U + P)", "ring's 8 P, kB", "local SGD, ms", "predicted", "`mpiexec` to the first step, s",
    )  # fmt: skip
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for run in table:
        exact, local = run["exact"], run["local"]
        cells = (
            run["net"], run["ranks"], f"{_ms(exact['step'])} ({_ms(exact['low'])}-{_ms(exact['high'])})",
            _ms(run["predicted exact"]), _ms(exact["start"]), f"{run['gathers']:.3g}", f"{run['bytes'] / 1e3:.1f}",
            f"{run['bytes'] / run['B U + P']:.3f}", f"{run['ring'] / 1e3:.1f}", _ms(local["step"]),
            _ms(run["predicted local"]), f"{run['first step']:.2f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def overhead_table(found: list[tuple[str, str, list[list[float]]]]) -> str:
    """Of one rank beside a plain fit, in Markdown: ms a step, whole short fits in turns."""
    names = ("network", "communicator", "plain (quarters)", "with it", "more", "plain, least", "with it", "more")
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for net, name, (plain, one) in found:
        medians = [f"{_ms(each[2])} ({_ms(each[1])}-{_ms(each[3])})" for each in (plain, one)]
        cells = (*medians, f"{one[2] / plain[2] - 1:+.1%}", _ms(plain[0]), _ms(one[0]), f"{one[0] / plain[0] - 1:+.1%}")
        lines.append(f"| {' | '.join((net, name, *cells))} |")
    return "\n".join(lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}"


def table_of(found: list[Net], cores: int) -> str:
    lines = ["| net | link | way | " + " | ".join(map(str, NODES[1::2])) + " |", "|" + "---|" * (3 + len(NODES[1::2]))]
    for net in found:
        for link in LINKS:
            for way in WAYS:
                row = [f"{speedup(net, way, link, nodes, cores):.1f}" for nodes in NODES[1::2]]
                lines.append(f"| {net.name} | {link.name} | {way} | {' | '.join(row)} |")
    return "\n".join(lines)


def draw(found: list[Net], cores: int, path: Path) -> None:
    """A panel for each network and link: speed-up over nodes, for each way."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    colours = dict(zip(WAYS, ("#d1495b", "#8a9ba8", "#e6a23c", "#2a7f62"), strict=True))
    names = {"exact": "exact (bits of one)", "ring": "ring all-reduce", "weak": "weak: batch a node kept"}
    with rc_context({"font.size": 8, "svg.fonttype": "path", "svg.hashsalt": "fastnn"}):
        figure = Figure(figsize=(11, 8), facecolor="white", layout="constrained")
        axes = figure.subplots(len(LINKS), len(found), sharex=True, sharey=True, squeeze=False)
        for row, link in zip(axes, LINKS, strict=True):
            for axis, net in zip(row, found, strict=True):
                axis.plot(NODES, NODES, color="#dddddd", linewidth=1)
                for way, colour in colours.items():
                    values = [speedup(net, way, link, nodes, cores) for nodes in NODES]
                    label = names.get(way, f"local SGD, every {EVERY} steps")
                    axis.plot(NODES, values, color=colour, label=label, linewidth=1.6)
                axis.set(xscale="log", yscale="log", ylim=(0.05, 2000))
                axis.set_title(f"{net.name}: {net.parameters:,} parameters, {link.name}", fontsize=8)
                axis.spines[["top", "right"]].set_visible(False)
        for axis in axes[-1]:
            axis.set_xlabel("nodes")
        for row in axes:
            row[0].set_ylabel("rows a second over one node's")
        axes[0][0].legend(frameon=False, fontsize=7)
        figure.savefig(path, dpi=140, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cores", type=int, default=16, help="of a node, each as one here (16)")
    parser.add_argument("--rounds", type=int, default=9, help="the median of so many is taken (9)")
    parser.add_argument("--measure", type=int, nargs="+", default=[], metavar="RANKS", help="run these by mpiexec")
    parser.add_argument("--here", type=int, default=2, help="cores of this machine, for --measure (2)")
    parser.add_argument("--json", type=Path, help="write what was measured")
    parser.add_argument("--read", type=Path, help="take it from such a file")
    parser.add_argument("--chart", type=Path, help="draw the prediction")
    options = parser.parse_args()
    if options.read:
        content = json.loads(options.read.read_text())
        found = [Net(**{**net, "units": tuple(net["units"])}) for net in content["nets"]]
    else:
        import fastnn

        fastnn.set_num_threads(1)
        found = nets(options.rounds)
        content = {"nets": [asdict(net) for net in found], "runs": []}
    if options.measure:
        content["runs"] = runs(options.measure, found, options.here, options.rounds)
    if content["runs"]:
        print(runs_table(content["runs"]) + "\n")
        for ranks, link in {run["ranks"]: run["link"] for run in content["runs"] if run["ranks"] > 1}.items():
            latency, rate = link["latency"] * log2(ranks) * 1e6, link["bandwidth"] / 1e9
            print(f"an all-gather of {ranks} ranks here: {latency:.2g} us, and {rate:.2g} GB/s\n")
    of_one = [(run["net"], "MPI of one", run["overhead"]) for run in content["runs"] if "overhead" in run]
    if not options.read:
        from fastnn.distributed import LocalCommunicator

        content["overhead"] = [
            (net.name, "local", overhead(net, options.rounds, LocalCommunicator())) for net in found[:2]
        ]
    print(overhead_table([*content.get("overhead", []), *of_one]) + "\n")
    for net in found:
        print(
            f"{net.name}: {net.parameters:,} parameters, {net.rows * 1e6:.3g} us a row, {net.fixed * 1e3:.3g} ms a step"
        )
    print(table_of(found, options.cores))
    if options.json:
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    if options.chart:
        draw(found, options.cores, options.chart)


if __name__ == "__main__":
    main()
