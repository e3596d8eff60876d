"""A rank's share of the processors of the machine that it runs on."""

from __future__ import annotations

from typing import Any

import pytest

from fastnn.distributed.machines import Shared
from fastnn.kernels import cores, team


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], 12),
        ([("here", 2, {0, 1}), ("here", 3, {11}), ("there", 4, {0, 1})], 4),
        ([("here", 2, {12, 13})], 12),
        ([("here", 1, {0})] * 3, 12),  # of this process
        ([("here", 2 + n, {0}) for n in range(40)], 1),
        ([("here", 2 + n, {n % 12}) for n in range(4)], 2),
    ],
    ids=str,
)
def test_shares(others: Any, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTNN_NUM_THREADS", raising=False)
    monkeypatch.setattr(cores, "available", lambda: 12)
    monkeypatch.setattr(team, "limit_is_chosen", False)
    before = team.get_num_threads()
    shared = Shared()
    shared.place = own = ("here", 1, frozenset(range(12)))
    team.limit_threads(12)
    try:
        shared.take([own, *others])
        assert team.get_num_threads() == expected
        shared.leave()
        assert team.get_num_threads() == 12
        for name in ("chosen", "named"):
            with monkeypatch.context() as patch:
                if name == "chosen":
                    patch.setattr(team, "limit_is_chosen", True)
                else:
                    patch.setenv("FASTNN_NUM_THREADS", "12")
                shared.take([own, *others])
                assert team.get_num_threads() == 12
    finally:
        team.limit_threads(before)
