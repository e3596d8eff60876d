"""CSVLogger and JSONLinesLogger: what others read in the files, and when it is there."""

from __future__ import annotations

import csv
import errno
import io
import json
import os

import numpy as np
import pytest

from fastnn.callbacks import CSVLogger, JSONLinesLogger, LambdaCallback, loggers
from fastnn.layers import Dense
from fastnn.metrics import ConfusionMatrix
from fastnn.models import Sequential
from support.scripted import Scripted, X, Y, model_of

LOGGERS = [CSVLogger, JSONLinesLogger]


def table(path, **how) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file, **how))


def test_a_table(tmp_path):
    path, model = tmp_path / "new" / "log.csv", model_of(metrics=["mae"])
    logs = model.fit(X, Y, epochs=3, verbose=0, callbacks=CSVLogger(path), validation_data=(X, Y)).history
    titles, *rows = table(path)
    assert titles == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    for place, name in enumerate(titles[1:], 1):
        assert [float(row[place]) for row in rows] == logs[name]  # to the bit


def test_columns_of_a_validation_that_comes_later(tmp_path):
    logger = CSVLogger(tmp_path / "log.csv", separator=";")
    model_of().fit(X, Y, epochs=2, verbose=0, callbacks=logger, validation_data=(X, Y), validation_freq=2)
    titles, first, second = table(tmp_path / "log.csv", delimiter=";")
    assert titles == ["epoch", "loss", "val_loss"]
    assert first[2] == "NA"
    assert float(second[2]) > 0


def test_columns_are_those_of_the_first_epoch(tmp_path):
    more = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update({f"figure_{epoch}": 'a "b", c'}))
    model_of().fit(X, Y, epochs=2, verbose=0, callbacks=[more, CSVLogger(tmp_path / "log.csv")])
    titles, first, second = table(tmp_path / "log.csv")
    assert titles[1] == "figure_0"
    assert (first[1], second[1]) == ('a "b", c', "NA")


def test_json_lines(tmp_path):
    path, model = tmp_path / "log.jsonl", model_of()
    script = Scripted(a=[np.float32(0.5), float("nan")], b=[np.inf, -np.inf], c=[[1, 2], np.array([3])], d=["x", None])
    history = model.fit(X, Y, epochs=2, verbose=0, callbacks=[script, JSONLinesLogger(path)])
    lines = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    for epoch, line in enumerate(lines):
        for name, values in (("learning_rate", history.learning_rate), ("seconds", history.seconds)):
            assert line[name] == values[epoch]
        assert line["loss"] == history.history["loss"][epoch]
    assert [[line[name] for name in ("epoch", *"abcd")] for line in lines] == [
        [0, 0.5, None, [1, 2], "x"],
        [1, None, None, [3], None],
    ]


@pytest.mark.parametrize("logger", LOGGERS)
def test_an_epoch_is_in_the_file_before_the_next_begins(tmp_path, logger):
    path, seen = tmp_path / "log", []
    watch = LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(len(path.read_text().splitlines())))
    model_of().fit(X, Y, epochs=3, verbose=0, callbacks=[logger(path), watch])
    assert seen == ([0, 2, 3] if logger is CSVLogger else [0, 1, 2])


@pytest.mark.parametrize("logger", LOGGERS)
@pytest.mark.parametrize("torn", [False, True])
def test_a_file_that_goes_on(tmp_path, logger, torn):
    path, model = tmp_path / "log", model_of(metrics=["mae"])
    for epochs in range(2):
        model.fit(X, Y, epochs=epochs + 1, initial_epoch=epochs, verbose=0, callbacks=logger(path, append=True))
        if torn and epochs == 0:  # killed while it wrote
            with open(path, "a") as file:
                file.write("1,0.")
    lines = path.read_text().splitlines()  # without the torn one
    if logger is CSVLogger:
        assert [line.split(",")[0] for line in lines] == ["epoch", "0", "1"]
        assert {len(line.split(",")) for line in lines} == {3}
    else:
        assert [json.loads(line)["epoch"] for line in lines] == [0, 1]
    model.fit(X, Y, verbose=0, callbacks=logger(path))  # begins again
    assert len(path.read_text().splitlines()) == (2 if logger is CSVLogger else 1)


@pytest.mark.parametrize("logger", LOGGERS)
def test_an_empty_file_is_begun(tmp_path, logger):
    path = tmp_path / "log"
    path.touch()
    model_of().fit(X, Y, verbose=0, callbacks=logger(path, append=True))
    assert path.read_text().startswith("epoch," if logger is CSVLogger else '{"epoch": 0')


@pytest.mark.parametrize("logger", LOGGERS)
def test_files_are_closed_however_a_fit_ends(tmp_path, logger):
    def stop(epoch, logs):
        raise KeyboardInterrupt

    log = logger(tmp_path / "log")
    with pytest.raises(KeyboardInterrupt):
        model_of().fit(X, Y, epochs=3, verbose=0, callbacks=[log, LambdaCallback(on_epoch_end=stop)])
    assert log._file.closed
    assert "0" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("logger", LOGGERS)
def test_files_that_cannot_be_written(tmp_path, logger):
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        model_of().fit(X, Y, verbose=0, callbacks=logger(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        model_of().fit(X, Y, verbose=0, callbacks=logger(tmp_path / "file" / "log"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a file that is always full")
@pytest.mark.parametrize("logger", LOGGERS)
def test_a_full_disk(logger):
    """It ends no fit: one warning when it begins, one that says what is missing."""
    with pytest.warns(UserWarning, match=r"/dev/full") as said:
        history = model_of().fit(X, Y, epochs=3, verbose=0, callbacks=logger("/dev/full"))
    assert len(history.epoch) == 3
    lines = 4 if logger is CSVLogger else 3
    assert [str(warning.message).partition(": ")[2] for warning in said] == [
        "'/dev/full' cannot be written (No space left on device); the fit goes on, and its lines are tried again after "
        "each epoch",
        f"the last {lines} line(s) are not in '/dev/full'",
    ]


class Disk(io.FileIO):
    """A file on a disk that has room for so many bytes."""

    room = 50

    def write(self, data):
        fits = self.room - self.tell()
        if fits <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data[:fits])


@pytest.mark.parametrize("logger", LOGGERS)
def test_a_disk_that_is_full_for_a_while(tmp_path, logger, monkeypatch):
    """No line is torn, and none is missing in the end."""
    monkeypatch.setattr(loggers, "open", lambda path, mode, buffering: Disk(path, mode), raising=False)
    path, sizes = tmp_path / "log", []

    def grow(epoch, logs):
        sizes.append(path.read_text().count("\n"))
        assert path.read_text()[-1:] in ("", "\n")
        if epoch == 3:
            monkeypatch.setattr(Disk, "room", 10**6)

    watch = LambdaCallback(on_epoch_begin=grow)
    with pytest.warns(UserWarning, match="No space left"):
        model_of().fit(X, Y, epochs=6, verbose=0, callbacks=[logger(path), watch])
    first = 1 if logger is CSVLogger else 0
    assert sizes[3] < 3 + first
    assert sizes[4:] == [4 + first, 5 + first]
    assert len(path.read_text().splitlines()) == 6 + first


NAMES = ["a,b", 'say "it"', "two\nlines", " точность", "tab\t", "\udc80", ""]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_one_table_whatever_the_names_and_figures(tmp_path, separator):
    values = [0.5, np.float32(0.25), np.ones((2, 2)), np.ones((1, 1)), [1, 2], 'a "b",\nc', None]
    script = Scripted(**{name: [value] * 2 for name, value in zip(NAMES, values, strict=True)})
    path = tmp_path / "log"
    for epochs in (0, 1):
        logger = CSVLogger(path, separator, append=True)
        model_of().fit(X, Y, epochs=epochs + 1, initial_epoch=epochs, verbose=0, callbacks=[script, logger])
    titles, *rows = table(path, delimiter=separator, strict=True)
    assert {len(row) for row in (titles, *rows)} == {1 + len(NAMES) + 1}
    assert set(titles) == {"epoch", "loss", *NAMES} - {"\udc80"} | {"\\udc80"}
    for epoch, row in enumerate(rows):
        found = dict(zip(titles, row, strict=True))
        assert [found["epoch"], *(found[name.replace("\udc80", "\\udc80")] for name in NAMES)] == [
            str(epoch), "0.5", "0.25", "[[1.0, 1.0], [1.0, 1.0]]", "1.0", "[1, 2]", 'a "b",\nc', "",
        ]  # fmt: skip


def test_a_matrix_metric(tmp_path):
    model = Sequential([Dense(3, "softmax", input_dim=3)])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[ConfusionMatrix(3)])
    model.fit(X, np.arange(20) % 3, 5, 2, 0, CSVLogger(tmp_path / "log"))
    titles, *rows = table(tmp_path / "log")
    assert [len(row) for row in rows] == [len(titles)] * 2
    for row in rows:
        assert np.sum(json.loads(row[titles.index("confusion_matrix")])) == 20


def test_a_table_with_other_columns(tmp_path):
    path = tmp_path / "log"
    model_of(metrics=["mae"]).fit(X, Y, verbose=0, callbacks=CSVLogger(path))
    model_of().fit(X, Y, verbose=0, callbacks=CSVLogger(path, append=True))
    titles, first, second = table(path)
    assert titles == ["epoch", "loss", "mae"]
    assert (float(first[2]) > 0, second[2], float(second[1]) > 0) == (True, "NA", True)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"has the columns epoch, .*, and the logs also have val_loss; name another"):
        model_of().fit(X, Y, verbose=0, callbacks=CSVLogger(path, append=True), validation_data=(X, Y))
    with pytest.raises(ValueError, match=r"does not begin with a line of columns, epoch first, between ';'"):
        model_of().fit(X, Y, verbose=0, callbacks=CSVLogger(path, ";", append=True))
    assert path.read_bytes() == before


@pytest.mark.parametrize("separator", ["", ",,", "\n", '"', None, 1])
def test_separators(separator):
    with pytest.raises(ValueError, match="separator must be one character"):
        CSVLogger("log", separator)


@pytest.mark.parametrize("logger", LOGGERS)
def test_a_last_line_without_an_end(tmp_path, logger):
    path = tmp_path / "log"
    model_of().fit(X, Y, verbose=0, callbacks=logger(path))
    path.write_bytes(path.read_bytes()[:-1])
    before = path.read_text().splitlines()
    model_of().fit(X, Y, verbose=0, callbacks=logger(path, append=True))
    assert path.read_text().splitlines()[:-1] == before


def test_two_on_one_file(tmp_path):
    with pytest.raises(ValueError, match="another callback's file too"):
        model_of().fit(X, Y, verbose=0, callbacks=[CSVLogger(tmp_path / "a"), JSONLinesLogger(tmp_path / "." / "a")])
    assert not (tmp_path / "a").exists()
