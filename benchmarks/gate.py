"""What may not get slower: `python -m benchmarks.gate`. CI runs it.

Two checks that do not depend on the machine's mood: how many times as fast as the careful NumPy fastnn is in the same
run, with a wide margin, and the instructions that callgrind counts, with a narrow one (`instructions.py`).
"""

import statistics
from collections.abc import Callable, Iterable

import benchmarks

if not benchmarks.prepare_blas() and __name__ == "__main__":
    raise SystemExit(benchmarks.TOO_LATE)

import fastnn
from benchmarks import instructions
from benchmarks.cases import CASES, Fit, Predict, timed

# About half of the ratio that was measured with AVX2 on both sides, which is where it is smallest.
FLOORS = {
    "tiny": 8.0,
    "mnist": 1.2,
    "tabular": 0.7,
    "medium": 0.7,
    "mnist-1": 2.3,
    "lenet": 1.5,
    "cnn": 0.7,
    "lstm": 1.2,
    "gru": 2.5,
    "transformer": 0.6,
    "lstm-small": 15.0,
    "lenet-1": 5.0,
    "lstm-1": 6.0,
}
TURNS = 5
TRIES = 2


def ratio(case: Fit | Predict) -> float:
    """NumPy's time over fastnn's, the median of a few turns."""
    sides = case.sides()
    turns = []
    for _ in range(1 + TURNS):
        ours, theirs = (timed(sides[name])[0] for name in ("fastnn", "numpy"))
        turns.append(theirs / ours)
    return statistics.median(turns[1:])  # the first one warms up


def too_slow(cases: Iterable[Fit | Predict], measure: Callable[[Fit | Predict], float] = ratio) -> list[str]:
    """The names of cases that stay below their floor each time they are tried."""
    names = []
    for case in cases:
        floor = FLOORS[case.name]
        for _ in range(TRIES):
            measured = measure(case)
            print(f"{case.name:11} {measured:6.2f}x as fast as NumPy, at least {floor}x asked", flush=True)
            if measured >= floor:
                break
        else:
            names.append(case.name)
    return names


def main() -> int:
    fastnn.set_num_threads(1)  # as NumPy has
    slow = too_slow(case for case in CASES if case.name in FLOORS)
    if slow:
        print(f"slower than FLOORS in gate.py allow: {', '.join(slow)}")
    print()
    within = instructions.check(instructions.count_all())
    return 1 if slow or not within else 0


if __name__ == "__main__":
    raise SystemExit(main())
