"""Play odd inputs against fastnn: damaged files, odd calls, damaged backups, odd queries.

    python scripts/fuzz.py files|api|backup|sql|onnx|serve N [--seed S] [--minutes M] [--only NUMBER]

files     real model and weights files, altered in their bytes, headers and descriptions: load, predict, fit, save
api       calls through the public API with odd values, in sequences on one model, which must still work behind them
backup    files of BackupAndRestore, altered: the fit resumes, or one error names the file and the model is as before
onnx      graphs of ONNX, altered in their bytes and fields: from_onnx, predict; where the package onnx is there
serve     requests to a server of models, altered in their fields, bytes and headers; where Starlette is there
sql       odd queries, parameters, keys, tables and values through SQLDataset, predict_sql and the command

An input is chosen by its kind, seed and number alone. Inputs run in child processes, forked from one that has imported
all and made the files; each takes at most a thousand, with limits of time and memory. A result is one of: ok; a clear
error, which fastnn raised on purpose; a vague error, which it raised in Python's words; a raw error, which only
escaped, or which left something that no longer works; a crash; a hang; memory, where it was refused. What is not well
is told by its cause with the number of the first input, which --only plays again, and kept in --keep.

A crash may come from an earlier input of the same child: --first plays a range again. Exit status 1 where there was a
raw error, a crash or a hang. Under AddressSanitizer the memory is not limited:

    LD_PRELOAD=$(gcc -print-file-name=libasan.so) \\
        ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=2048 \\
        python scripts/fuzz.py files 10000 --seed 1
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: its threads do not live through a fork
HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "tests"):  # tests: a model of every layer, and every unit of every table
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from fuzzing.kinds import KINDS  # noqa: E402
from fuzzing.run import SHOWN, Limits, Outcome, campaign, replay  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Play what the command line says; 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("n", metavar="N", type=int, help="how many inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--minutes", type=float, default=0, help="begin no more inputs after that time")
    parser.add_argument("--only", metavar="NUMBER", type=int, help="play one input and tell each call")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--memory", type=int, default=1024, help="MiB that an input may take, 0 for no limit")
    parser.add_argument("--seconds", type=float, default=10, help="that an input may take")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="a folder for what fails")
    options = parser.parse_args(arguments)
    kind, limits = KINDS[options.kind](), Limits(options.memory * 2**20, options.seconds)
    begun = time.monotonic()
    if options.only is not None:
        outcome = replay(kind, options.only, options.seed, limits)
    else:
        outcome = campaign(
            kind,
            options.first,
            options.n,
            options.seed,
            jobs=options.jobs,
            minutes=options.minutes,
            limits=limits,
            keep=options.keep.absolute(),
        )
    print(told(outcome, options.kind, options.seed, time.monotonic() - begun))
    return bool(outcome.wrong)


def told(outcome: Outcome, kind: str, seed: int, seconds: float) -> str:
    """What came of the inputs, as text."""
    total = sum(outcome.counts.values())
    lines = [
        f"{kind}, seed {seed}: {total:,} inputs in {seconds:.0f} s, {total / max(seconds, 1e-3):.0f} a second; "
        + ", ".join(f"{outcome.counts[name]:,} {name}" for name in SHOWN)
    ]
    if outcome.slowest[1] >= 0:
        lines.append(f"the slowest: {outcome.slowest[0]:.2f} s, --only {outcome.slowest[1]}")
    for (result, cause), numbers in sorted(
        outcome.causes.items(), key=lambda each: (SHOWN.index(each[0][0]), -len(each[1]))
    ):
        lines.append(f"{len(numbers):6,} {result}: {cause}; --only {min(numbers)}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
