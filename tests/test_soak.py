"""scripts/soak.py, in small: nothing grows, and what does is seen."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.scripts import loaded

SCRIPT = Path(__file__).parents[1] / "scripts" / "soak.py"


def test_nothing_grows() -> None:
    """A few thousand predictions, and as many of the rest as take a second or two."""
    # Memory still settles here; open files and threads do not.
    command = [sys.executable, str(SCRIPT), "--predicts", "20000", "--fits", "60", "--saves", "60", "--threads", "16"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.endswith("nothing grew\n")
    for kind in ("predicts    20,000", "fits        60", "saves        60", "threads        16"):
        assert kind in ended.stdout


@pytest.fixture
def soak() -> Any:
    return loaded(SCRIPT)


def pages() -> mmap.mmap:
    """Memory of its own, which no allocator has held before."""
    held = mmap.mmap(-1, 2**18)
    held.write(b"x" * 2**18)
    return held


@pytest.mark.parametrize("what", ["memory", "open files", "threads"])
def test_what_grows_is_seen(what: str, soak: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    held: list[Any] = []

    def leak(folder: Path) -> Any:
        return lambda count: held.extend(
            pages() if what == "memory" else (folder / "x").open("w") for _ in range(count)
        )

    def begin_threads(folder: Path) -> Any:
        import threading

        over = threading.Event()
        held.append(over)

        def work(count: int) -> None:
            threading.Thread(target=over.wait, daemon=True).start()

        return work

    monkeypatch.setitem(soak.KINDS, "leaks", (begin_threads if what == "threads" else leak, 100))
    # A share of what the whole run of the tests holds by now may be more than what leaks here.
    monkeypatch.setattr(soak, "RATE", 0.0)
    try:
        (said,) = soak.soak("leaks", 100)
    finally:
        for each in held:
            if hasattr(each, "close"):
                each.close()
            if hasattr(each, "set"):
                each.set()
    assert said.startswith(f"leaks: {what} grew from ")
