"""BackupAndRestore: a fit that is killed and started again ends with the same bits as one that was not."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import (
    BackupAndRestore,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TimeBudget,
)
from fastnn.data import ArraySource
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.store import document, safetensors
from support.scripted import Batches, Pages
from support.small import bits, model_of, rows

X, Y = rows(40)
SOURCES = {"arrays": lambda: ArraySource(X, Y), "pages": lambda: Pages(X, Y), "batches": lambda: Batches(X, Y)}


class Killed(Exception):
    """Ends a fit as a kill would: nobody is told."""


class Kill(LambdaCallback):
    """Ends the fit after so many batches or epochs, counted over all fits."""

    def __init__(self, after: int, hook: str) -> None:
        self.left = after
        super().__init__(**{hook: self.count})

    def count(self, number, logs):
        self.left -= 1
        if self.left == 0:
            raise Killed


def start(seed, callbacks, source, optimizer="adam", **fit) -> Sequential:
    """A fit in a new process, whose random numbers begin with `seed`."""
    model = model_of(optimizer() if callable(optimizer) else optimizer, metrics=["mae"])
    fastnn.set_random_seed(seed)
    try:
        model.fit(SOURCES[source](), batch_size=7, verbose=0, callbacks=callbacks, **fit)
    except Killed:
        assert os.listdir(callbacks[0].backup_dir)
    return model


def assert_resumes(
    folder, kills, hook="on_epoch_begin", source="arrays", others=list, save_freq="epoch", **fit
) -> None:
    """Assert that a fit that is killed and started again ends as one that was not."""
    whole = start(7, others(), source, **fit)
    for number, after in enumerate([*kills, None]):
        kill = [] if after is None else [Kill(after, hook)]
        backup = BackupAndRestore(folder, save_freq)
        resumed = start(7 + 1000 * number, [backup, *kill, *others()], source, **fit)
    assert bits(resumed) == bits(whole)
    (steps, slots), (whole_steps, whole_slots) = resumed.description.trainer.state(), whole.description.trainer.state()
    assert steps == whole_steps
    assert [a.tobytes() for a in slots.values()] == [a.tobytes() for a in whole_slots.values()]
    assert resumed.optimizer.learning_rate == whole.optimizer.learning_rate
    assert resumed.history.epoch == whole.history.epoch[-len(resumed.history.epoch) :]
    for name, values in resumed.history.history.items():
        assert values == pytest.approx(whole.history.history[name][-len(values) :], rel=1e-6), name
    assert not folder.exists()


FITS = {
    "epochs": {"epochs": 6},
    "in order": {"epochs": 6, "shuffle": False},
    "steps": {"epochs": 8, "steps_per_epoch": 4},
    "short steps": {"epochs": 6, "steps_per_epoch": 2},
    "weights": {"epochs": 6, "class_weight": None, "validation_data": (X[:9], Y[:9]), "validation_freq": 2},
    "momentum": {"epochs": 6, "optimizer": lambda: fastnn.optimizers.SGD(0.05, momentum=0.9)},
    "no slots": {"epochs": 6, "optimizer": "sgd"},
    "late": {"epochs": 9, "initial_epoch": 3},
}


@pytest.mark.filterwarnings("ignore:the data ended")
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize("kills", [[2], [4, 2]], ids=str)
def test_between_epochs(tmp_path, source, fit, kills):
    assert_resumes(tmp_path / "backup", kills, source=source, **fit)


@pytest.mark.filterwarnings("ignore:the data ended")
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fit", [{"epochs": 4}, {"epochs": 5, "steps_per_epoch": 4}], ids=["passes", "steps"])
@pytest.mark.parametrize("save_freq", [1, 5])
@pytest.mark.parametrize("kills", [[7], [13, 4]], ids=str)
def test_between_batches(tmp_path, source, fit, save_freq, kills):
    assert_resumes(tmp_path / "backup", kills, "on_train_batch_end", source, save_freq=save_freq, **fit)


def watchers():
    """Callbacks that go by what they have seen."""
    return [
        EarlyStopping("loss", patience=6, min_delta=0.01, restore_best_weights=True),
        ReduceLROnPlateau("loss", patience=2, factor=0.5, min_delta=0.03),
    ]


@pytest.mark.parametrize("after", range(2, 16, 4))
def test_the_other_callbacks_go_on_too(tmp_path, after):
    fit = {"epochs": 60, "optimizer": lambda: fastnn.optimizers.Adam(0.03)}
    whole = start(7, watchers(), "arrays", **fit)
    assert 15 < len(whole.history.epoch) < 60, "it must stop early, but after all the kills"
    assert whole.optimizer.learning_rate < 0.03
    assert_resumes(tmp_path / "backup", [after], others=watchers, **fit)


def test_checkpoints_and_budgets_go_on(tmp_path):
    def others():
        return [ModelCheckpoint(tmp_path / "{epoch}", monitor="loss", save_best_only=True, keep=2), TimeBudget(1e6)]

    backup = BackupAndRestore(tmp_path / "backup")
    start(7, [backup, Kill(4, "on_epoch_begin"), *others()], "arrays", epochs=8)
    second = others()
    start(8, [backup, *second], "arrays", epochs=8)
    assert sorted(os.listdir(tmp_path)) == ["7", "8"]
    assert [fields for _, fields in second[0]._files] == [{"epoch": 7}, {"epoch": 8}]


SCRIPT = """
import os, signal, sys
import fastnn
from fastnn.callbacks import BackupAndRestore, LambdaCallback
from support.small import bits, model_of, rows
x, y = rows(40)
model = model_of()
fastnn.set_random_seed(int(sys.argv[2]))
def kill(epoch, logs):
    if epoch == 5 and sys.argv[3] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
callbacks = [] if sys.argv[3] == "whole" else [BackupAndRestore(sys.argv[1]), LambdaCallback(on_epoch_begin=kill)]
history = model.fit(x, y, 7, 10, 0, callbacks)
print(history.epoch[0], [b.hex() for b in bits(model)])
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_process_that_is_killed(tmp_path):
    def run(seed, how):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-P", "-c", SCRIPT, str(tmp_path / "backup"), str(seed), how]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    assert run(1, "kill").returncode == -9
    resumed, whole = run(2, "resume"), run(1, "whole")
    assert resumed.stdout.split()[0] in ("4", "5"), resumed.stderr  # the last one may not have been on the disk yet
    assert resumed.stdout.split()[1:] == whole.stdout.split()[1:]


# The files


def test_errors_and_ctrl_c_leave_the_files_and_an_end_deletes_them(tmp_path):
    def stop(epoch, logs):
        if epoch == 3:
            raise KeyboardInterrupt

    backup, model = BackupAndRestore(tmp_path / "a" / "b"), model_of()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, epochs=5, verbose=0, callbacks=[backup, LambdaCallback(on_epoch_begin=stop)])
    assert os.listdir(tmp_path / "a" / "b") == ["latest.fastnn"]
    assert model.fit(X, Y, epochs=5, verbose=0, callbacks=[backup]).epoch == [3, 4]
    assert os.listdir(tmp_path / "a") == []


@pytest.mark.parametrize("epochs", [1, 2, 7])
def test_a_full_disk_ends_the_fit(tmp_path, monkeypatch, epochs):
    """Of whichever epoch: at the next one's end, or the fit's; another error goes before it, and a warning tells."""
    seen = []

    def write_with(path, arrays, metadata, lasting):
        seen.append(path)
        if len(seen) == max(1, epochs - 1):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(document, "write_with", write_with)
    with pytest.raises(OSError, match="No space left"):
        model_of().fit(X, Y, epochs=epochs, verbose=0, callbacks=[BackupAndRestore(tmp_path / "b")])
    assert len(seen) <= epochs
    seen.clear()

    def stop(epoch, logs):
        if epoch == max(1, epochs - 1):
            raise InterruptedError

    callbacks = [BackupAndRestore(tmp_path / "b"), LambdaCallback(on_epoch_begin=stop)]
    with pytest.warns(UserWarning, match="the last backup could not be written"), pytest.raises(InterruptedError):
        model_of().fit(X, Y, epochs=epochs + 1, verbose=0, callbacks=callbacks)


def test_files_of_others_stay(tmp_path):
    (tmp_path / "mine").write_text("mine")
    model_of().fit(X, Y, verbose=0, callbacks=[BackupAndRestore(tmp_path)])
    assert os.listdir(tmp_path) == ["mine"]


def test_a_backup_that_is_kept(tmp_path):
    backup, model = BackupAndRestore(tmp_path, delete_checkpoint=False), model_of()
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[backup])
    again = model_of()
    assert again.fit(X, Y, epochs=3, verbose=0, callbacks=[backup]).epoch == []
    assert bits(again) == bits(model)
    assert again.fit(X, Y, epochs=5, verbose=0, callbacks=[backup]).epoch == [3, 4]


def test_two_files(tmp_path):
    def fit(epochs):
        callbacks = BackupAndRestore(tmp_path, double_checkpoint=True, delete_checkpoint=False)
        return model_of().fit(X, Y, epochs=epochs, verbose=0, callbacks=callbacks).epoch

    assert fit(3) == [0, 1, 2]
    assert sorted(os.listdir(tmp_path)) == ["latest.fastnn", "previous.fastnn"]
    (tmp_path / "latest.fastnn").write_bytes((tmp_path / "latest.fastnn").read_bytes()[:-9])
    assert fit(4) == [2, 3]
    (tmp_path / "latest.fastnn").unlink()
    assert fit(5) == [3, 4]
    for path in tmp_path.iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot read"):
        fit(6)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path, model: path.write_bytes(path.read_bytes()[:-9]), "cannot read .*cut off"),
        (lambda path, model: model.save(path), "latest.fastnn is no backup of a fit"),
    ],
)
def test_a_file_that_is_none(tmp_path, spoil, message):
    backup, model = BackupAndRestore(tmp_path, delete_checkpoint=False), model_of()
    model.fit(X, Y, verbose=0, callbacks=[backup])
    spoil(tmp_path / "latest.fastnn", model)
    before = bits(model)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[backup])
    assert bits(model) == before


def test_a_backup_of_another_model(tmp_path):
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    model_of().fit(X, Y, verbose=0, callbacks=[backup])
    for other in (model_of("sgd"), Sequential([Dense(2, input_dim=5)])):
        if not other.description.trainer:
            other.compile("adam", "mse")
        before = bits(other)
        with pytest.raises(ValueError, match=r"the backup in .* is of another model: .*; delete it, or name another"):
            other.fit(X, Y, epochs=2, verbose=0, callbacks=[backup])
        assert bits(other) == before


@pytest.mark.parametrize("save_freq", ["batch", 0, -1, 2.0, None, True])
def test_what_is_no_frequency(save_freq):
    with pytest.raises(ValueError, match="save_freq must be 'epoch' or a whole number of batches"):
        BackupAndRestore("folder", save_freq)


def test_a_folder_without_a_name():
    for name, error in (("", ValueError), ("a\0b", ValueError), (3.5, TypeError), (None, TypeError)):
        with pytest.raises(error, match="backup_dir must be a path"):
            BackupAndRestore(name)


# Files that were damaged, or made to harm


def watched():
    return [*watchers(), ModelCheckpoint("{epoch}-{loss:.1e}", "loss", save_best_only=True, keep=2), TimeBudget(1e6)]


def left_behind(folder, save_freq="epoch", **fit):
    """The folder of a fit that was killed: its arrays and what the file says of the fit."""
    backup = BackupAndRestore(folder, save_freq)
    start(7, [backup, Kill(9, "on_train_batch_end"), *watched()], "arrays", epochs=9, **fit)
    arrays, metadata = safetensors.read(folder / "latest.fastnn")
    return arrays, json.loads(metadata["place"])


def refused(folder, arrays, place, save_freq="epoch", **fit) -> str:
    """Assert that a fit with such a file is refused and changes nothing; gives the error's text."""
    if isinstance(place, str):
        safetensors.write(folder / "latest.fastnn", arrays, {"format": "fastnn backup 2", "place": place})
    else:
        document.write(folder / "latest.fastnn", "fastnn backup", arrays, place)
    model, others = model_of("adam", metrics=["mae"]), watched()
    fastnn.set_random_seed(8)
    before, rate, states = bits(model), model.optimizer.learning_rate, [vars(each).copy() for each in others]
    chance = fastnn.random.generator().bit_generator.state
    with pytest.raises(ValueError, match=r"latest\.fastnn") as error:
        model.fit(X, Y, 7, 9, 0, [BackupAndRestore(folder, save_freq), *others], **fit)
    assert bits(model) == before
    assert (model.optimizer.learning_rate, model.description.network.iterations) == (rate, 0)
    assert fastnn.random.generator().bit_generator.state == chance
    for each, state in zip(others, states, strict=True):  # they have begun, and seen no epoch
        assert {**vars(each), **state}.keys() == vars(each).keys()
        assert getattr(each, "best", None) is None
    assert np.isfinite(model.fit(X, Y, 7, 1, 0).history["loss"]).all()
    return str(error.value)


def places_in(value, path=()):
    """Where anything stands in a JSON value."""
    yield path
    if isinstance(value, (dict, list)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value[:3]):
            yield from places_in(part, (*path, key))


def edited(place, path, value):
    """A copy with another value at a place; ... takes what stands there out."""
    if not path:
        return [] if value is ... else value
    copy = json.loads(json.dumps(place))
    at = copy
    if value is ... and not isinstance(path[-1], str):
        value = "\ud7ff"  # a list keeps its length
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return copy


ODD = [..., None, True, -1, 0.5, 10**18, 2**64, 10**40, float("nan"), -1e308, "x", [], [[]], {}, {"a": 1}, [1, 2, 3]]


@pytest.mark.parametrize("save_freq", ["epoch", 2])
def test_damage_anywhere(tmp_path, monkeypatch, save_freq):
    """Each part of what a file says, changed: it is refused with nothing changed, or another number is gone on from."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "backup"
    arrays, place = left_behind(folder, save_freq)
    outcomes = {"refused": 0, "taken": 0}
    rng = np.random.default_rng(0)
    for path in list(places_in(place)):
        for number in rng.permutation(len(ODD))[:4]:
            value = ODD[number]
            folder.mkdir(exist_ok=True)  # a fit that ends well removes it
            document.write(folder / "latest.fastnn", "fastnn backup", arrays, edited(place, path, value))
            model, backup = model_of("adam", metrics=["mae"]), BackupAndRestore(folder, save_freq)
            before = bits(model)
            try:
                model.fit(X, Y, 7, 3, 0, [backup, *watched()])
                outcomes["taken"] += 1
            except FloatingPointError:  # of a learning rate that no net stands
                outcomes["taken"] += 1
            except ValueError as error:
                outcomes["refused"] += 1
                assert "latest.fastnn" in str(error)  # noqa: PT017
                assert bits(model) == before
            model.compile("adam", "mse")  # whatever rate it went on with
            assert np.isfinite(model.fit(X, Y, 7, 1, 0).history["loss"]).all(), (path, value)
    assert outcomes["refused"] > 100, outcomes
    assert outcomes["taken"] > 5, outcomes


WRONG = {
    "no object": lambda place: "[]",
    "no JSON": lambda place: "{",
    "deep": lambda place: "[" * 100_000,
    "no epoch": lambda place: edited(place, ["epoch"], ...),
    "epoch below 0": lambda place: edited(place, ["epoch"], -1),
    "rows a text": lambda place: edited(place, ["tally", 0], "7"),
    "states of other metrics": lambda place: edited(place, ["tally"], [1, 1, 0.5, [0.5], [[1.0, 2.0, 3.0]]]),
    "rate nan": lambda place: edited(place, ["learning_rate"], float("nan")),
    "seed too large": lambda place: edited(place, ["seed"], 2**64),
    "iterations a list": lambda place: edited(place, ["iterations"], [1]),
    "iterations 0, with slots": lambda place: edited(place, ["iterations"], 0),
    "half a generator": lambda place: edited(place, ["feed", "generator", "state", "inc"], "x"),
    "more batches than there are": lambda place: edited(place, ["feed", "passed"], 2**60),
    "a callback's attribute": lambda place: edited(place, ["callbacks", "EarlyStopping", "on_epoch_end"], 1),
    "a callback's method": lambda place: edited(place, ["callbacks", "ReduceLROnPlateau", "better"], 1),
    "a callback's number": lambda place: edited(place, ["callbacks", "EarlyStopping", "wait"], "soon"),
    "the last callback's number": lambda place: edited(place, ["callbacks", "TimeBudget", "spent"], None),
    "arrays that are not there": lambda place: edited(
        place, ["callbacks", "EarlyStopping", "best_weights"], {"\0arrays": 10**12}
    ),
    "fewer arrays": lambda place: edited(place, ["callbacks", "EarlyStopping", "best_weights"], {"\0arrays": 1}),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused_changes_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "backup"
    arrays, place = left_behind(folder)
    refused(folder, arrays, WRONG[name](place))


ARRAYS = {
    "no weights": lambda arrays: {k: a for k, a in arrays.items() if not k.startswith("weights")},
    "weights from 1 on": lambda arrays: {k: a for k, a in arrays.items() if k != "weights/0"},
    "weights of another type": lambda arrays: {**arrays, "weights/0": arrays["weights/0"].astype(float)},
    "weights of another shape": lambda arrays: {**arrays, "weights/0": arrays["weights/0"].T.copy()},
    "no vector of the optimizer": lambda arrays: {k: a for k, a in arrays.items() if k != "optimizer/velocity"},
    "a vector too short": lambda arrays: {**arrays, "optimizer/velocity": arrays["optimizer/velocity"][1:]},
    "a vector of whole numbers": lambda arrays: {
        **arrays,
        "optimizer/velocity": arrays["optimizer/velocity"].astype(int),
    },
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_are_not_those_of_the_fit(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "backup"
    arrays, place = left_behind(folder)
    refused(folder, ARRAYS[name](arrays), place)


def test_a_changed_byte_anywhere(tmp_path, monkeypatch):
    """Also one of the weights': a model's file may have any, but a fit goes on only from what was written."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "backup"
    left_behind(folder)
    whole = (folder / "latest.fastnn").read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        (folder / "latest.fastnn").write_bytes(damaged)
        model = model_of("adam", metrics=["mae"])
        before = bits(model)
        with pytest.raises(ValueError, match=r"latest\.fastnn"):
            model.fit(X, Y, 7, 9, 0, [BackupAndRestore(folder)])
        assert bits(model) == before


@pytest.mark.parametrize("how", ["path", "another name", "absolute", "many"])
def test_a_backup_names_no_file_to_delete(tmp_path, monkeypatch, how):
    """Only what the checkpoint's own template can give is deleted, whatever the file says of it."""
    monkeypatch.chdir(tmp_path)
    folder, precious = tmp_path / "backup", tmp_path / "precious"
    arrays, place = left_behind(folder)
    precious.write_text("mine")
    files = {
        "path": [[9e9, "precious"], [9e9, str(precious)]],
        "another name": [[9e9, {"epoch": "../precious", "loss": 1.0}]],
        "absolute": [[9e9, {"epoch": str(precious), "loss": 1}], [9e9, {"loss": str(precious)}]],
        "many": [[9e9, "precious"]] * 5000,
    }[how]
    place["callbacks"]["ModelCheckpoint"]["files"] = files
    document.write(folder / "latest.fastnn", "fastnn backup", arrays, place)
    with contextlib.suppress(ValueError):
        model_of("adam", metrics=["mae"]).fit(X, Y, 7, 9, 0, [BackupAndRestore(folder), *watched()])
    assert precious.read_text() == "mine"


def test_a_backup_of_the_version_before(tmp_path, monkeypatch):
    """It had a checkpoint's files by path, and said where a callback's arrays are."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "backup"
    arrays, place = left_behind(folder)
    states = place["callbacks"]
    for file in states["ModelCheckpoint"]["files"]:
        file[1] = "{epoch}-{loss:.1e}".format(**file[1])
    count = states["EarlyStopping"]["best_weights"]["\0arrays"]
    states["EarlyStopping"]["best_weights"] = {"\0arrays": ["callbacks/EarlyStopping/best_weights", count]}
    old = {"format": "fastnn backup 1", "place": json.dumps(place)}
    safetensors.write(folder / "latest.fastnn", arrays, old)
    resumed = start(99, [BackupAndRestore(folder), *watched()], "arrays", epochs=9)
    assert bits(resumed) == bits(start(7, watched(), "arrays", epochs=9))
