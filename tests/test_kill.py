"""scripts/kill.py, a short version: processes that are ended while they write lose nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from support.scripts import loaded

SCRIPT = Path(__file__).parents[1] / "scripts" / "kill.py"

pytestmark = [
    pytest.mark.skipif(os.name != "posix" or not SCRIPT.exists(), reason="needs fork, and the scripts of a checkout"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
]


@pytest.fixture(scope="module")
def kill() -> Any:
    return loaded(SCRIPT)


KINDS = ["save", "checkpoint", "backup", "sql", "lbfgs", "search", "predict_sql"]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost(kill: Any, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "cache"))
    assert list(kill.KINDS) == KINDS
    counts = kill.play(kind, 6, 1, tmp_path)
    assert counts["LOST"] == 0
    assert counts["SIGKILL"] == counts["SIGINT"] == 3


def test_a_loss_is_found(kill: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is written in place is torn, or older than what was told."""
    monkeypatch.setattr(kill.Model, "save", lambda self, path: Path(path).write_bytes(b"not yet"))
    with pytest.raises((kill.Lost, ValueError)):
        kill.usual_time(kill.Save(tmp_path))
