"""Settings that a search may choose: lists, ranges of numbers, and what else can draw one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn._checks import as_flag, as_number, check_count, shown


@dataclass(frozen=True)
class Float:
    """Numbers from `low` to `high`. log: as many between 0.001 and 0.01 as between 0.01 and 0.1."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        low, high = as_number("Float: low", self.low), as_number("Float: high", self.high)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"Float: low must be below high, got {shown(self.low)} and {shown(self.high)}")
        if as_flag("Float: log", self.log) and low <= 0:
            raise ValueError(f"Float: low must be above 0 with log=True, got {shown(self.low)}")

    def draw(self, rng: np.random.Generator) -> float:
        """One of them."""
        if self.log:
            return float(np.exp(rng.uniform(math.log(self.low), math.log(self.high))).clip(self.low, self.high))
        return float(rng.uniform(self.low, self.high))

    def suggested(self, trial: Any, name: str) -> float:
        """The one that a trial of Optuna says."""
        return float(trial.suggest_float(name, self.low, self.high, log=self.log))


@dataclass(frozen=True)
class Int:
    """Whole numbers from `low` to `high`, both among them. log: as in ``Float``."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        low = check_count("Int: low", self.low, -(2**53))
        high = check_count("Int: high", self.high, -(2**53))
        if low >= high:
            raise ValueError(f"Int: low must be below high, got {low} and {high}")
        if as_flag("Int: log", self.log) and low < 1:
            raise ValueError(f"Int: low must be at least 1 with log=True, got {low}")

    def draw(self, rng: np.random.Generator) -> int:
        """One of them."""
        if self.log:
            drawn = np.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
            return int(drawn.round().clip(self.low, self.high))
        return int(rng.integers(self.low, self.high + 1))

    def suggested(self, trial: Any, name: str) -> int:
        """The one that a trial of Optuna says."""
        return int(trial.suggest_int(name, self.low, self.high, log=self.log))


def checked_settings(settings: Any) -> dict[str, Any]:
    """The settings of a search by name. TypeError, ValueError for what is none."""
    if not isinstance(settings, Mapping) or not settings:
        raise TypeError(f'settings must be a dict such as {{"units": [16, 64]}}, got {shown(settings)}')
    for name, values in settings.items():
        if not isinstance(name, str):
            raise TypeError(f"settings must have names, got {shown(name)}")
        if isinstance(values, (Float, Int)) or hasattr(values, "rvs"):
            continue
        if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
            raise TypeError(
                f"settings[{name!r}] must be a list, Float, Int or a distribution of SciPy, got {shown(values)}"
            )
        if not len(values):
            raise ValueError(f"settings[{name!r}] has no value")
    return {name: values.tolist() if isinstance(values, np.ndarray) else values for name, values in settings.items()}


def grid(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each of all lists with each, the last one going fastest. ValueError for what is no list."""
    for name, values in settings.items():
        if not isinstance(values, Sequence):
            raise ValueError(f'settings[{name!r}] has no end; give a list, or strategy="random", "halving" or "optuna"')
    return [dict(zip(settings, values, strict=True)) for values in itertools.product(*settings.values())]


def drawn(settings: Mapping[str, Any], count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """So many, drawn; of lists alone none twice, and all where there are no more."""
    if all(isinstance(values, Sequence) for values in settings.values()):
        sizes = [len(values) for values in settings.values()]
        every = math.prod(sizes)
        chosen = rng.choice(every, min(count, every), replace=False) if every < 2**31 else _distinct(every, count, rng)
        return [_at(settings, sizes, int(number)) for number in chosen]
    return list(itertools.islice(_draws(settings, rng), count))


def _distinct(every: int, count: int, rng: np.random.Generator) -> list[int]:
    """Numbers below one that is too large for a permutation."""
    found: dict[int, None] = {}
    while len(found) < min(count, every):
        found[int(rng.integers(min(every, 2**63)))] = None
    return list(found)


def _at(settings: Mapping[str, Any], sizes: list[int], number: int) -> dict[str, Any]:
    """The settings at a place of the grid."""
    found = {}
    for (name, values), size in zip(reversed([*settings.items()]), reversed(sizes), strict=True):
        number, place = divmod(number, size)
        found[name] = values[place]
    return {name: found[name] for name in settings}


def _draws(settings: Mapping[str, Any], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    while True:
        yield {name: _drawn(values, rng) for name, values in settings.items()}


def _drawn(values: Any, rng: np.random.Generator) -> Any:
    if isinstance(values, (Float, Int)):
        return values.draw(rng)
    if hasattr(values, "rvs"):
        found = values.rvs(random_state=np.random.RandomState(int(rng.integers(2**32))))
        return found.item() if hasattr(found, "item") else found
    return values[int(rng.integers(len(values)))]


def suggested(settings: Mapping[str, Any], trial: Any) -> dict[str, Any]:
    """What a trial of Optuna says."""
    found = {}
    for name, values in settings.items():
        if isinstance(values, (Float, Int)):
            found[name] = values.suggested(trial, name)
        elif isinstance(values, Sequence):  # by its place, as values may be of any type
            found[name] = values[trial.suggest_categorical(name, list(range(len(values))))]
        else:
            raise TypeError(f"settings[{name!r}]: Optuna takes lists, Float and Int, got {shown(values)}")
    return found
