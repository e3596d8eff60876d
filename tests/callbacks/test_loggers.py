"""CSVLogger and JSONLinesLogger: what others read in the files, and when it is there."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pytest

from fastnn.callbacks import CSVLogger, JSONLinesLogger, LambdaCallback
from support.scripted import Scripted, X, Y, model_of

LOGGERS = [CSVLogger, JSONLinesLogger]


def table(path, **how) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file, **how))


def test_a_table(tmp_path):
    path, model = tmp_path / "new" / "log.csv", model_of(metrics=["mae"])
    logs = model.fit(X, Y, epochs=3, verbose=0, callbacks=CSVLogger(path), validation_data=(X, Y)).history
    titles, *rows = table(path)
    assert titles == ["epoch", "learning_rate", "loss", "mae", "seconds", "val_loss", "val_mae"]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    for place, name in enumerate(titles[1:], 1):
        assert [float(row[place]) for row in rows] == logs[name]  # to the bit


def test_columns_of_a_validation_that_comes_later(tmp_path):
    logger = CSVLogger(tmp_path / "log.csv", separator=";")
    model_of().fit(X, Y, epochs=2, verbose=0, callbacks=logger, validation_data=(X, Y), validation_freq=2)
    titles, first, second = table(tmp_path / "log.csv", delimiter=";")
    assert titles == ["epoch", "learning_rate", "loss", "seconds", "val_loss"]
    assert first[4] == "NA"
    assert float(second[4]) > 0


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
        for name in ("loss", "learning_rate", "seconds"):
            assert line[name] == history.history[name][epoch]
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
    path, model = tmp_path / "log", model_of()
    for epochs in range(2):
        model.fit(X, Y, epochs=epochs + 1, initial_epoch=epochs, verbose=0, callbacks=logger(path, append=True))
        if torn and epochs == 0:  # killed while it wrote
            with open(path, "a") as file:
                file.write("1,0.")
    lines = path.read_text().splitlines()
    whole = [line for line in lines if line != "1,0."]
    assert len(lines) == len(whole) + torn
    if logger is CSVLogger:
        assert [line.split(",")[0] for line in whole] == ["epoch", "0", "1"]
    else:
        assert [json.loads(line)["epoch"] for line in whole] == [0, 1]
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
    model = model_of()
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        model.fit(X, Y, verbose=0, callbacks=logger("/dev/full"))
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()
