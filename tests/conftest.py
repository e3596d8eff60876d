"""What all tests share. Being here, it also makes ``tests`` importable whichever of them runs."""

from __future__ import annotations

import pytest

import fastnn


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test draws the same numbers each time."""
    fastnn.set_random_seed(0)
