"""Epochs over sparse rows, beside dense ones and beside scikit-learn: `python -m benchmarks.sparse_rows --help`.

Each side is a process of its own, which fits the same rows from weights of its own for some epochs, several times in
turn; the best and the median second an epoch are told, and the memory that the process took at most beyond what it had
before it made the matrix (Linux: VmHWM). scikit-learn's is MLPClassifier on the same CSR.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SIDES = ("fastnn, sparse", "fastnn, dense", "scikit-learn, sparse")


def resident(field: str) -> int:
    """Bytes that the process has in memory, by a field of Linux's; 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), 0)


def measure(side: str, rows: int, columns: int, density: float, units: int, batch: int, epochs: int) -> dict[str, Any]:
    """Seconds of each epoch, and bytes."""
    import numpy as np
    import scipy.sparse

    fit: Any = _scikit_learn if side.startswith("scikit") else _fastnn
    fit(scipy.sparse.csr_array(np.eye(4, 3, dtype=np.float32)), np.arange(4) % 2, 2, 2, 1)  # what it imports
    before = resident("VmRSS")
    rng = np.random.default_rng(0)
    counts = rng.binomial(columns, density, rows)
    ends = np.concatenate([[0], counts.cumsum()]).astype(np.int32)
    places = np.concatenate([np.sort(rng.choice(columns, count, replace=False, shuffle=False)) for count in counts])
    numbers = rng.random(len(places), np.float32)
    x = scipy.sparse.csr_array((numbers, places.astype(np.int32), ends), shape=(rows, columns))
    y = rng.integers(0, 2, rows)
    data = x.data.nbytes + x.indices.nbytes + x.indptr.nbytes
    del places, numbers
    given = x.toarray() if side.endswith("dense") else x
    seconds = fit(given, y, units, batch, epochs)
    return {"seconds": seconds, "data": data, "used": resident("VmHWM") - before}


def _fastnn(x: Any, y: Any, units: int, batch: int, epochs: int) -> list[float]:
    from fastnn.callbacks import LambdaCallback
    from fastnn.layers import Dense, Input
    from fastnn.models import Sequential

    model = Sequential([Input((x.shape[1],)), Dense(units, "relu"), Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    times: list[float] = []
    note = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: times.append(time.perf_counter()),
        on_epoch_end=lambda epoch, logs: times.append(time.perf_counter()),
    )
    model.fit(x, y, epochs=epochs, batch_size=batch, verbose=0, callbacks=[note])
    return [end - begin for begin, end in zip(times[::2], times[1::2], strict=True)]


def _scikit_learn(x: Any, y: Any, units: int, batch: int, epochs: int) -> list[float]:
    from sklearn.neural_network import MLPClassifier

    found = []
    model = MLPClassifier((units,), batch_size=min(batch, x.shape[0]), max_iter=1, warm_start=True, n_iter_no_change=99)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that one epoch is few
        for _ in range(epochs):
            start = time.perf_counter()
            model.fit(x, y)
            found.append(time.perf_counter() - start)
    return found


def asked(side: str, arguments: dict[str, Any], threads: int) -> dict[str, Any]:
    """What ``measure`` finds in a new process, whose libraries all have so many threads."""
    names = ("FASTNN_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads)) | {"PYTHONPATH": str(ROOT)}
    code = "import json, sys; from benchmarks.sparse_rows import measure\n"
    code += "print(json.dumps(measure(**json.load(sys.stdin))))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps({"side": side, **arguments}),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=ROOT,
    )
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--columns", type=int, default=20_000)
    parser.add_argument("--density", type=float, default=0.005, help="the share of numbers that are there")
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-dense", action="store_true", help="where the dense rows are more than memory holds")
    given = vars(parser.parse_args())
    turns, threads, no_dense = given.pop("turns"), given.pop("threads"), given.pop("no_dense")
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(turns):
        for side in SIDES:
            if not (no_dense and side.endswith("dense")):
                found.setdefault(side, []).append(asked(side, given, threads))
    size = found[SIDES[0]][0]["data"] / 2**20
    print(f"{given['rows']} rows x {given['columns']} columns, {given['density']:.2%} there: {size:.0f} MiB of CSR;")
    print(f"{given['units']} units, Adam, batch {given['batch']}, {threads} thread(s)\n")
    print(f"{'':22}{'best s/epoch':>13}{'median':>9}{'MiB at most':>13}")
    for side, runs in found.items():
        seconds = [each for run in runs for each in run["seconds"]]
        most = max(run["used"] for run in runs) / 2**20
        print(f"{side:22}{min(seconds):13.4f}{statistics.median(seconds):9.4f}{most:13.0f}")
    ours, theirs = ([each for run in found[side] for each in run["seconds"]] for side in (SIDES[0], SIDES[2]))
    print(
        f"\nscikit-learn / fastnn on the CSR: {min(theirs) / min(ours):.1f} by the best, "
        f"{statistics.median(theirs) / statistics.median(ours):.1f} by the median"
    )


if __name__ == "__main__":
    main()
