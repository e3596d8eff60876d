"""The choice between the team and one thread, in worlds whose seconds are made up: what is lost beside a seer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from support.compiled import compiled_module

TEAM, ALONE = 2, 1


@cache
def tuner_module() -> Any:
    return compiled_module("tuner", "tuner.pyx", "fastnn/engine/thread_tuner.pxd")


def free(now: float) -> float:
    return 1.0


class World:
    """Steps that take `unit` seconds alone; on the team `gain` times less, and held_up(now) times more.

    wake: what the team's first step costs after calls that were made alone, or after a pause.
    """

    def __init__(
        self, gain: float, unit: float, held_up: Callable[[float], float] = free, wake: float = 0, batch: int = 32
    ):
        self.tuner = tuner_module().Tuner()
        self.gain, self.unit, self.held_up, self.wake, self.batch = gain, unit, held_up, wake, batch
        self.now = 0.0
        self.slices: list[tuple[float, int, int]] = []  # when they began, their threads and steps
        self.asleep = True

    def step(self, threads: int) -> None:
        if threads == ALONE:
            self.now += self.unit
        else:
            self.now += self.unit / self.gain * self.held_up(self.now) + self.wake * self.asleep
        self.asleep = threads == ALONE

    def call(self, steps: int = 1) -> None:
        """One fit or prediction, as `run_in_slices` runs it."""
        self.tuner.begin(TEAM, self.batch)
        while steps:
            threads, seconds = self.tuner.choose()
            began, done = self.now, 0
            while steps and (not done or self.now < began + seconds):
                self.step(threads)
                steps, done = steps - 1, done + 1
            self.slices.append((began, threads, done))
            self.tuner.note(self.now - began, done)

    def lost(self, steps: int, gain: float) -> float:
        """How many times as long it took as all steps at a gain."""
        return self.now * gain / (self.unit * steps)


def luck(seed: int, often: float, factor: float) -> Callable[[float], float]:
    """A team that is held up in a share of its steps."""
    draw = np.random.default_rng(seed).random
    return lambda now: factor if draw() < often else 1.0


@pytest.mark.parametrize("unit", [5e-6, 50e-6, 1e-3])
@pytest.mark.parametrize("gain", [1.9, 1.2, 0.8, 0.4, 0.1])
def test_a_long_run_finds_the_faster_way(gain: float, unit: float) -> None:
    world, steps = World(gain, unit), int(2 / unit)
    world.call(steps)
    assert world.lost(steps, max(gain, 1)) < 1.03


@pytest.mark.parametrize("calls", [30, 300])
@pytest.mark.parametrize(("gain", "most"), [(1.9, 1.1), (1.2, 1.05), (0.8, 1.05), (0.4, 1.2)])
def test_calls_that_are_longer_than_a_trial(gain: float, most: float, calls: int) -> None:
    world = World(gain, 14e-3)
    for _ in range(calls):
        world.call()
    assert world.lost(calls, max(gain, 1)) < most


@pytest.mark.parametrize("gain", [1.9, 0.8])
def test_short_calls_are_a_slice_together(gain: float) -> None:
    world = World(gain, 1e-4)
    for _ in range(10_000):
        world.call()
    assert world.lost(10_000, max(gain, 1)) < 1.03


def test_a_call_that_has_to_wake_the_team_proves_nothing() -> None:
    """Else the team would be given up for what its waking takes, though it is awake in the calls that follow."""
    world = World(1.9, 4e-4, wake=7e-4)
    for _ in range(1000):
        world.call()
    assert world.lost(1000, 1.9) < 1.15


@pytest.mark.parametrize("when", np.linspace(0.001, 0.3, 23))
def test_one_interruption_costs_little_more_than_itself(when: float) -> None:
    """Whenever it comes, a team that was trusted is trusted again."""

    def interrupted(now: float) -> float:
        return 200.0 if when <= now < when + 5e-3 else 1.0

    world = World(1.9, 5e-5, interrupted)
    world.call(20_000)
    assert world.now - 20_000 * world.unit / 1.9 < 0.02
    assert [threads for _, threads, _ in world.slices[-3:]].count(TEAM) >= 2


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("unit", [50e-6, 14e-3])
def test_with_a_busy_neighbour_it_is_as_one_thread(unit: float, seed: int) -> None:
    """The team is fast at times and stands still at others: half as fast as one thread, together."""
    steps = int(5 / unit)
    world = World(1.9, unit, luck(seed, 0.5, 7.0))
    for _ in range(10):
        world.call(steps // 10)
    assert world.lost(steps // 10 * 10, 1) < 1.06


@pytest.mark.parametrize(("busy", "idle", "most"), [(0.02, 0.02, 1.0), (0.3, 0.3, 0.85), (0.005, 0.1, 0.64)])
def test_a_neighbour_that_comes_and_goes(busy: float, idle: float, most: float) -> None:
    """Its idle times are made use of: the time beside one thread's."""
    taken = []
    for seed in range(20):
        draw, steps = np.random.default_rng(seed), 60_000
        changes = np.cumsum(draw.exponential([idle, busy], (int(6 / (idle + busy)) + 1, 2)))
        world = World(1.9, 50e-6, lambda now, changes=changes: 7.0 if np.searchsorted(changes, now) % 2 else 1.0)
        world.call(steps)
        taken.append(world.lost(steps, 1))
    assert np.mean(taken) < most
    assert max(taken) < 1.03


def test_the_first_steps_prove_little() -> None:
    """All memory is new in them, and the team has them."""
    world = World(1.9, 50e-6, lambda now: 10.0 if now < 2e-3 else 1.0)
    world.call(1000)
    assert [threads for _, threads, _ in world.slices[:3]] == [TEAM, ALONE, TEAM]
    assert world.lost(1000, 1.9) < 1.15


@pytest.mark.parametrize("seed", range(5))
def test_a_neighbour_that_leaves_is_noticed(seed: int) -> None:
    held_up = luck(seed, 0.5, 7.0)
    world = World(1.9, 50e-6, lambda now: held_up(now) if now < 20 else 1.0)
    world.call(400_000)
    begin, steps = world.now, 40_000
    world.call(steps)
    assert (world.now - begin) * 1.9 / (steps * world.unit) < 1.5


def test_a_long_call_whose_trial_was_held_up_is_tried_again_soon() -> None:
    trials = 0

    def held_up(now: float) -> float:
        nonlocal trials
        trials += 1
        return 2.5 if trials < 3 else 1.0

    world = World(1.9, 14e-3, held_up)
    for _ in range(16):
        world.call()
    assert [threads for _, threads, _ in world.slices].count(TEAM) >= 6
    assert world.slices[-1][1] == TEAM


def test_times_of_other_work_do_not_count() -> None:
    world = World(0.1, 50e-6)
    world.call(10_000)
    assert world.slices[-1][1] == ALONE
    world.gain, world.batch = 1.9, 512
    begin = len(world.slices)
    world.call(10_000)
    assert world.slices[begin][1] == TEAM
    assert world.slices[-1][1] == TEAM
