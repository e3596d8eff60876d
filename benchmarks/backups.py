"""What a file after each epoch costs a fit: `python -m benchmarks.backups --help`.

The sides run in turn, so that what disturbs the machine meets all of them; a ratio is the median of those of a round.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases import FITS, Side, timed
from fastnn.callbacks import BackupAndRestore, Callback, ModelCheckpoint


def main(arguments: Sequence[str] | None = None) -> None:
    cases = {case.name: case for case in FITS}
    parser = argparse.ArgumentParser(prog="benchmarks.backups", description=__doc__)
    parser.add_argument("--case", choices=cases, default="mnist")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=11)
    options = parser.parse_args(arguments)
    case = cases[options.case]
    x, y = case.data(case.rows)
    model = case.model()
    with tempfile.TemporaryDirectory(dir=".") as folder:  # on the disk: /tmp may be in memory
        path = Path(folder)
        writers: dict[str, list[Callback]] = {
            "no file": [],
            "BackupAndRestore": [BackupAndRestore(path / "backup")],
            "ModelCheckpoint": [ModelCheckpoint(path / "model.fastnn")],
        }

        def side(callbacks: list[Callback]) -> Side:
            how = {"batch_size": case.batch_size, "epochs": options.epochs, "verbose": 0, "callbacks": callbacks}
            return Side(lambda: case.restart(model), lambda: model.fit(x, y, **how))

        sides = {name: side(callbacks) for name, callbacks in writers.items()}
        rounds = [{name: timed(each)[0] for name, each in sides.items()} for _ in range(options.repeats + 1)][1:]
    print(f"{case.what.rsplit(',', 1)[0]}, {options.epochs} epochs")
    for name in sides:
        times = [seconds[name] / options.epochs for seconds in rounds]
        ratios = sorted(seconds[name] / seconds["no file"] for seconds in rounds)
        print(
            f"{name:<18}{statistics.median(times) * 1e3:8.2f} ms an epoch"
            f"{statistics.median(ratios):8.3f} times ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


if __name__ == "__main__":
    main()
