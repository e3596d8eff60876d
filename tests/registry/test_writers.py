"""Several who write to one registry, and one who is killed: no version is lost, none is half there."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import fastnn
from fastnn.registry import database
from support.registries import Place, file_of, model

SAVES = """
import json, sys
sys.path.insert(0, {tests!r})
import fastnn
from fastnn.registry import database
from support.registries import model
registry = fastnn.registry.open(sys.argv[1])
database.PART = int(sys.argv[3])
made = model(int(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[4])):
    print(json.dumps(registry.save(made, "m", notes=f"{{sys.argv[2]}} {{number}}", aliases=["last"])), flush=True)
"""


def started(place: Place, seed: int, part: int = 1000, saves: int = 20) -> Any:
    """A process that saves over and over, once it is told to."""
    code = SAVES.format(tests=str(Path(__file__).parents[1]))
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, place.url, str(seed), str(part), str(saves)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: Any) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def check_all(place: Place) -> list[Any]:
    """Each version is whole, and nothing is there beside them; gives the entries."""
    registry = fastnn.registry.open(place.url)
    entries = registry.list()
    there: Any = None
    while there is None:  # a server may still commit what a process asked for before it was killed
        there, before = place.run("SELECT DISTINCT name, version FROM fastnn_model_parts"), entries
        entries = registry.list()
        if len(entries) != len(before):
            there = None
    for each in entries:
        assert hashlib.sha256(file_of(registry.load(each.name, each.version))).hexdigest() == each.sha256
    assert set(there) == {(each.name, each.version) for each in entries}
    return entries


def test_two_processes(place: Place) -> None:
    """Without a table before: both make them."""
    processes = [started(place, seed) for seed in (1, 2)]
    for process in processes:
        go(process)
    told = [[json.loads(line) for line in process.communicate()[0].splitlines()] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(told[0] + told[1]) == list(range(1, 41))
    assert all(each == sorted(each) for each in told)
    entries = check_all(place)
    notes = {each.version: each.notes for each in entries}
    for seed, versions in enumerate(told, 1):
        assert [notes[version] for version in versions] == [f"{seed} {number}" for number in range(20)]
    assert [each.version for each in entries if each.aliases] == [40]


@pytest.mark.parametrize("shared", [True, False])
def test_threads(place: Place, shared: bool) -> None:
    one = fastnn.registry.open(place.url)
    models = [model(seed) for seed in range(6)]
    told: list[tuple[int, int]] = []
    errors: list[Exception] = []
    barrier = threading.Barrier(6)

    def work(seed: int) -> None:
        registry = one if shared else fastnn.registry.open(place.url)
        barrier.wait()
        try:
            for _ in range(5):
                version = registry.save(models[seed], "m", notes=str(seed))
                told.append((version, seed))
                registry.alias("m", f"of {seed}", version)
                registry.save(models[seed], f"m{seed}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(version for version, _ in told) == list(range(1, 31))
    entries = check_all(place)
    assert len(entries) == 60
    for version, seed in told:
        assert entries[[(e.name, e.version) for e in entries].index(("m", version))].notes == str(seed)
    assert {alias for each in entries for alias in each.aliases} == {f"of {seed}" for seed in range(6)}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9")
def test_a_process_that_is_killed(place: Place) -> None:
    moments = random.Random(7)
    told = 0
    for _ in range(6):
        process = started(place, 3, part=20, saves=1000)
        go(process)
        # At least one, and then in the middle of another: a save is some 180 rows here.
        for _ in range(moments.randint(1, 3)):
            told = json.loads(process.stdout.readline())
        time.sleep(moments.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        rest = process.communicate()[0]
        told = max([told, *(int(line) for line in rest.splitlines() if line)])
        entries = check_all(place)
        versions = [each.version for each in entries]
        assert versions == list(range(1, len(versions) + 1))
        assert told <= len(versions) <= told + 1
        assert [each.version for each in entries if each.aliases] == versions[-1:]
    assert fastnn.registry.open(place.url).save(model(), "m") == len(versions) + 1


def test_a_reader_beside_a_writer(place: Place) -> None:
    process = started(place, 1, part=20, saves=15)
    registry = fastnn.registry.open(place.url)
    go(process)
    counts = []
    while process.poll() is None:
        entries = registry.list()
        counts.append(len(entries))
        if entries:
            assert hashlib.sha256(file_of(registry.load("m"))).hexdigest() == entries[-1].sha256
    process.communicate()
    assert process.returncode == 0
    assert counts == sorted(counts)
    assert len(check_all(place)) == 15


def test_a_version_that_is_deleted_while_it_is_loaded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is loaded whole, or said to be deleted; not to be damaged."""
    if place.kind == "sqlite":
        pytest.skip("who deletes waits for who reads")
    monkeypatch.setattr(database, "PART", 1000)
    registry, other = fastnn.registry.open(place.url), fastnn.registry.open(place.url)
    for _ in range(2):
        registry.save(model(), "m")
    run = database.Session.run

    def with_another(self: Any, sql: str, *values: Any) -> Any:
        rows = run(self, sql, *values)
        if sql.startswith("SELECT bytes") and other.list("m")[0].version == 1:
            other.delete("m", 1)
        return rows

    monkeypatch.setattr(database.Session, "run", with_another)
    if place.kind == "mariadb":  # what it reads is as it was when it began
        assert file_of(registry.load("m", 1)) == file_of(model())
    with pytest.raises(ValueError, match=r"version 1 of 'm' was deleted at .*; there are 2"):
        registry.load("m", 1)
