"""Runs inputs in child processes: a child takes up to a thousand of them, and its end tells where it came from."""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import fastnn
from fuzzing.judge import CLEAR, MEMORY, OK, RAW, VAGUE
from fuzzing.trial import Trial

CRASH, HANG = "crash", "hang"
SHOWN = (OK, CLEAR, VAGUE, RAW, CRASH, HANG, MEMORY)
WRONG = (RAW, CRASH, HANG)  # what must not be
RENEWED = 1000  # inputs of a child


class Kind(Protocol):
    """Inputs of one kind."""

    name: str

    def prepare(self, folder: str) -> None:
        """Make what all inputs begin with, once, before the first child."""

    def play(self, trial: Trial) -> None:
        """Make the calls of one input."""


@dataclass
class Limits:
    """Of one input. memory: bytes above what the process has at first, 0 for none. seconds: by the clock."""

    memory: int = 2**30
    seconds: float = 10.0


@dataclass
class Outcome:
    """What came of the inputs. causes: result and cause -> how many, and the first number."""

    counts: Counter[str] = field(default_factory=Counter)
    causes: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, -1)

    @property
    def wrong(self) -> int:
        """How many inputs ended as none may."""
        return sum(self.counts[name] for name in WRONG)

    def add(self, result: str, cause: str, number: int) -> bool:
        """Count an input; whether it is the first of its cause."""
        self.counts[result] += 1
        if result in (OK, CLEAR):
            return False
        numbers = self.causes.setdefault((result, cause), [])
        numbers.append(number)
        return len(numbers) == 1


@dataclass
class _Child:
    process: int
    first: int
    last: int
    records: Path
    folder: str


def campaign(
    kind: Kind,
    first: int,
    count: int,
    seed: int,
    *,
    jobs: int = 2,
    minutes: float = 0,
    limits: Limits | None = None,
    keep: Path | None = None,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Play inputs first .. first + count - 1. keep: a folder for what fails; minutes: begin no more after that time."""
    outcome, limits = Outcome(), limits or Limits()
    with _folder() as folder:
        _prepared(kind, folder)
        size = max(1, min(RENEWED, -(-count // jobs)))
        waiting = [(start, min(start + size, first + count)) for start in range(first, first + count, size)][::-1]
        running: dict[int, _Child] = {}
        begun = told = time.monotonic()
        while waiting or running:
            late = minutes and time.monotonic() - begun > 60 * minutes
            if late and not running:
                break
            while waiting and not late and len(running) < jobs:
                child = _started(kind, seed, *waiting.pop(), folder, limits)
                running[child.process] = child
            process, status = os.wait()
            child = running.pop(process)
            reached = _gathered(kind, seed, child, status, outcome, limits, keep)
            if reached < child.last:
                waiting.append((reached, child.last))
            shutil.rmtree(child.folder, ignore_errors=True)
            if time.monotonic() - told > 30:
                told = time.monotonic()
                say(f"{sum(outcome.counts.values()):,} inputs, {outcome.wrong:,} wrong")
    return outcome


def _prepared(kind: Kind, folder: str) -> None:
    """Make what all inputs start from; the same models each time."""
    fastnn.set_random_seed(0)
    kind.prepare(os.path.join(folder, "prepared"))


def replay(kind: Kind, number: int, seed: int, limits: Limits | None = None) -> Outcome:
    """Play one input alone, and tell each call on stdout before it is made."""
    outcome = Outcome()
    with _folder() as folder:
        _prepared(kind, folder)
        child = _started(kind, seed, number, number + 1, folder, limits or Limits(), sys.stdout.fileno())
        _, status = os.waitpid(child.process, 0)
        sys.stdout.flush()
        _gathered(kind, seed, child, status, outcome, limits or Limits(), None)
        print(_log(child))
    return outcome


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """A folder in memory, where there is one: the disk would be what takes the time."""
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield folder


def _started(
    kind: Kind, seed: int, first: int, last: int, folder: str, limits: Limits, live: int | None = None
) -> _Child:
    own = tempfile.mkdtemp(dir=folder)
    records = Path(own) / "records"
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of threads; fastnn's end with a fork, and come again
        process = os.fork()
    if process:
        return _Child(process, first, last, records, own)
    status = 1
    try:
        _plays(kind, seed, first, last, own, limits, live)
        status = 0
    finally:
        os._exit(status)


def _plays(kind: Kind, seed: int, first: int, last: int, folder: str, limits: Limits, live: int | None) -> None:
    """What a child does; records: "number" before an input and its result behind it."""
    os.makedirs(work := os.path.join(folder, "work"))
    opened = os.open(os.path.join(folder, "records"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    records = fcntl.fcntl(opened, fcntl.F_DUPFD, 500)  # above what a number in the place of a path may name
    opened = os.open(os.path.join(folder, "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log = fcntl.fcntl(opened, fcntl.F_DUPFD, 500)
    told = live
    nothing = os.open(os.devnull, os.O_RDWR)
    if told is not None:
        told = fcntl.fcntl(told, fcntl.F_DUPFD, 500)
    for number in (0, 1):
        os.dup2(nothing, number)
    os.dup2(log, 2)
    theirs = [number for number in range(8) if _is_open(number)]
    os.chdir(work)
    warnings.simplefilter("ignore")
    sanitized = "asan" in os.environ.get("LD_PRELOAD", "")
    if not sanitized:  # it has reports of its own
        faulthandler.enable(log)
    if limits.memory and not sanitized:  # whose shadow is terabytes of addresses
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if os.path.exists("/proc/self/statm") else 2**18
        most = pages * os.sysconf("SC_PAGESIZE") + limits.memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number in range(first, last):
        os.write(records, b"%d " % number)
        faulthandler.dump_traceback_later(limits.seconds, exit=True, file=log)
        begun = time.perf_counter()
        note = None if told is None else lambda text: os.write(told, f"{text}\n".encode(errors="replace"))
        trial = Trial(kind.name, seed, number, work, note)
        fastnn.set_random_seed(number)
        try:
            kind.play(trial)
        except BaseException as error:
            trial.take(error)
        faulthandler.cancel_dump_traceback_later()
        for descriptor in theirs:
            if not _is_open(descriptor):
                trial.fail("a file descriptor of the caller's was closed")
                os.dup2(nothing, descriptor)
        said: list[Any] = [trial.result, round(time.perf_counter() - begun, 3)]
        if trial.result not in (OK, CLEAR):
            said += [trial.cause, trial.notes, trial.details]
            if told is not None:
                os.write(told, trial.details.encode(errors="replace"))
        os.write(records, json.dumps(said).encode() + b"\n")


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _log(child: _Child) -> str:
    path = Path(child.folder) / "log"
    return path.read_text(errors="replace") if path.exists() else ""


def _gathered(
    kind: Kind, seed: int, child: _Child, status: int, outcome: Outcome, limits: Limits, keep: Path | None
) -> int:
    """Count what a child has recorded and how it ended; gives the first number that it has not played."""
    reached = child.first
    for line in child.records.read_text().splitlines() if child.records.exists() else ():
        number, _, text = line.partition(" ")
        reached = int(number) + 1
        if text:
            result, seconds, *more = json.loads(text)
            outcome.slowest = max(outcome.slowest, (seconds, int(number)))
        else:
            log = _log(child)
            result = HANG if re.search("^Timeout \\(", log, re.MULTILINE) else CRASH
            more = [_cause(log, status), [], log]
        if outcome.add(result, more[0] if more else "", int(number)) and keep is not None:
            _kept(keep, kind, seed, int(number), result, *more)
    if status and reached == child.first and not child.records.exists():
        raise RuntimeError(f"a child ended before its first input, with status {status}: {_log(child)}")
    return reached


def _cause(log: str, status: int) -> str:
    """Where a child stood that did not end well, by the first lines of fastnn or of Python in its log."""
    lines = [line.strip() for line in log[max(0, log.find("Timeout (")) :].splitlines()]
    found = [
        line for line in lines if "fastnn" in line or "File " in line or "ERROR: " in line or "runtime error" in line
    ]
    signal_number = status & 0x7F
    name = signal.Signals(signal_number).name if signal_number else f"status {status >> 8}"
    return f"{name} {found[0] if found else ''}".strip()


def _kept(
    keep: Path, kind: Kind, seed: int, number: int, result: str, cause: str, notes: list[str], details: str
) -> None:
    keep.mkdir(parents=True, exist_ok=True)
    text = "\n".join([f"{kind.name}, seed {seed}, number {number}: {result}", cause, "", *notes, "", details])
    (keep / f"{kind.name}-{seed}-{number}.txt").write_text(text + "\n", encoding="utf-8", errors="replace")
