"""ModelCheckpoint: which files are written, under which names, and which stay."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager

import numpy as np
import pytest

from fastnn.callbacks import BackupAndRestore, ModelCheckpoint
from fastnn.models import load_model
from support.scripted import CHECKPOINTS, FALLS, Scripted, X, Y, model_of


def saved(folder, values, pattern="{epoch}", **arguments) -> list[str]:
    """Names of the files in `folder` after a fit with such values."""
    checkpoint = ModelCheckpoint(folder / pattern, **arguments)
    epochs = len(next(iter(values.values())))
    model_of().fit(X, Y, epochs=epochs, verbose=0, callbacks=[Scripted(**values), checkpoint])
    return sorted(os.listdir(folder), key=lambda name: (len(name), name)) if folder.exists() else []


@pytest.mark.parametrize(("arguments", "values", "expected"), CHECKPOINTS, ids=str)
def test_which_epochs_are_saved(arguments, values, expected, tmp_path):
    names = saved(tmp_path / "new" / "folder", values, **arguments)
    assert names == [str(epoch) for epoch in expected]
    for name in names:
        weights = load_model(tmp_path / "new" / "folder" / name).get_weights()
        assert weights[1].item() == int(name) - 1  # Scripted puts the epoch there


def test_names_with_values(tmp_path):
    names = saved(tmp_path, {"val_loss": [3.14159, 2]}, "{epoch:02d}-{val_loss:.2f}.fastnn", save_best_only=True)
    assert names == ["01-3.14.fastnn", "02-2.00.fastnn"]


def test_one_name_holds_the_best(tmp_path):
    assert saved(tmp_path, {"val_loss": FALLS}, "best.fastnn", save_best_only=True) == ["best.fastnn"]
    assert load_model(tmp_path / "best.fastnn").get_weights()[1].item() == 5


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"every_n_epochs": 3}, [3, 6, 9]),
        ({"keep": 2}, [9, 10]),
        ({"keep": 2, "every_n_epochs": 4}, [4, 8]),
        ({"keep": 1, "save_best_only": True}, [6]),
        # The three lowest of FALLS: epochs 6, 7 and 8.
        ({"keep": 3, "save_best_only": True}, [6, 7, 8]),
        ({"keep": 2, "save_best_only": True, "initial_value_threshold": 2.55}, [6, 7]),
        ({"keep": 2, "save_best_only": True, "mode": "max"}, [1, 2]),
        ({"keep": 99}, list(range(1, 11))),
    ],
)
def test_every_so_many_epochs_and_so_many_files(arguments, expected, tmp_path):
    assert saved(tmp_path, {"val_loss": FALLS}, **arguments) == [str(epoch) for epoch in expected]


@pytest.mark.parametrize(("mode", "expected"), [("min", ["1", "3"]), ("max", ["4", "5"])])
def test_the_best_files_stay(tmp_path, mode, expected):
    assert saved(tmp_path, {"val_loss": [1, 3, 2, 4, 5]}, save_best_only=True, mode=mode, keep=2) == expected


def test_files_of_others_stay(tmp_path):
    (tmp_path / "1").write_text("mine")
    (tmp_path / "0").write_text("mine")
    assert saved(tmp_path, {"val_loss": [1, 2, 3]}, keep=1) == ["0", "3"]


def test_one_name_is_not_deleted(tmp_path):
    assert saved(tmp_path, {"val_loss": [1, 2, 3]}, "same", keep=1) == ["same"]


def test_weights_only(tmp_path):
    model = model_of()
    model.fit(X, Y, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "w", save_weights_only=True)])
    other = model_of()
    other.load_weights(tmp_path / "w")
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    with pytest.raises(ValueError, match="not a fastnn model"):
        load_model(tmp_path / "w")


def test_by_batches(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{batch}-{loss:.0f}", save_freq=3)
    model_of().fit(X, Y * 0 + 1000, 5, 2, 0, [checkpoint])  # 4 batches an epoch
    assert [name.rpartition("-")[0] for name in sorted(os.listdir(tmp_path))] == ["1-3", "2-2"]
    assert load_model(sorted(tmp_path.iterdir())[1]).description.network.iterations == 6


def test_the_best_of_one_fit_is_to_be_beaten_in_the_next(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}", monitor="loss", save_best_only=True)
    for losses, names in (([3, 2], ["1", "2"]), ([2.5, 2, 1], ["1", "2", "3"])):
        model_of().fit(X, Y, epochs=len(losses), verbose=0, callbacks=[Scripted(loss=losses), checkpoint])
        assert sorted(os.listdir(tmp_path)) == names
    assert checkpoint.best == 1


def test_what_it_says(tmp_path, capsys):
    saved(tmp_path, {"val_loss": [2, 3]}, save_best_only=True, verbose=1)
    path = tmp_path / "1"
    assert capsys.readouterr().out == (
        f"Epoch 1: val_loss reached 2.00000, model saved to {path}\nEpoch 2: val_loss did not improve on 2.00000\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"save_freq": "batch"}, "save_freq must be 'epoch' or a whole number of batches, got 'batch'"),
        ({"save_freq": 0}, "save_freq must be"),
        ({"save_freq": 2.0}, "save_freq must be"),
        ({"mode": "up"}, "mode must be"),
        ({"monitor": "score"}, "whether 'score' should rise or fall"),
        ({"keep": 0}, "keep must be at least 1"),
        ({"every_n_epochs": 0}, "every_n_epochs must be at least 1"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ModelCheckpoint("name", save_best_only=True, **arguments)
    ModelCheckpoint("name", monitor="score")  # is not looked at


def test_names_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"filepath '.*val_loss.*' names 'val_loss', but there are only epoch, loss"):
        saved(tmp_path, {"loss": [1]}, "{epoch}-{val_loss:.2f}")
    with pytest.warns(UserWarning, match=r"monitor 'val_loss' is not in the logs"):
        saved(tmp_path, {"loss": [1]}, save_best_only=True)
    with pytest.raises(ValueError, match=r"monitor 'val_loss' is not in the logs, which have batch, loss"):
        saved(tmp_path, {"loss": [1]}, save_best_only=True, save_freq=1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").write_text("a file")
    with pytest.raises(ValueError, match="it is a folder"):
        saved(tmp_path, {"loss": [1]})
    with pytest.raises(OSError, match="2"):
        saved(tmp_path / "2", {"loss": [1]})


@pytest.fixture
def full():
    """A disk on which no file can grow, as long as the block runs."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    @contextmanager
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.mark.parametrize(
    ("make", "name"), [(lambda p: ModelCheckpoint(p / "m"), "m"), (BackupAndRestore, "latest.fastnn")], ids=["m", "b"]
)
def test_a_full_disk_names_the_file_and_leaves_the_last_one(tmp_path, full, make, name):
    model = model_of()
    if name == "m":
        model.save(tmp_path / "m")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with full(), pytest.raises(OSError, match=re.escape(f"File too large: '{tmp_path / name}'")):
        model.fit(X, Y, verbose=0, callbacks=[make(tmp_path)])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert np.isfinite(model.fit(X, Y, verbose=0, callbacks=[make(tmp_path)]).history["loss"]).all()
