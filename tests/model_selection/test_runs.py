"""Fits side by side that end early: by an error, by Ctrl-C, by a kill; and those that processes share."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import fastnn
from support.folds import X, Y, build, validated
from support.ranks import run as in_threads
from support.signals import ctrl_c


def test_an_error_ends_all_and_leaves_threads_as_they_were() -> None:
    made = []

    def failing() -> Any:
        made.append(None)
        if len(made) == 2:
            raise OSError("no more")
        return build()

    before, running = fastnn.get_num_threads(), set(threading.enumerate())
    with pytest.raises(OSError, match="no more"):
        validated(X, Y, build=failing, cv=60, n_jobs=2, epochs=50)
    assert len(made) < 60
    assert fastnn.get_num_threads() == before
    assert set(threading.enumerate()) <= running


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_ends_all_fits(n_jobs: int) -> None:
    running = set(threading.enumerate())
    ctrl_c(lambda: validated(X, Y, n_jobs=n_jobs, epochs=10**6))
    assert set(threading.enumerate()) <= running
    assert validated(X, Y, n_jobs=n_jobs)["test_loss"].tolist() == validated(X, Y, n_jobs=1)["test_loss"].tolist()


# Of many processes.


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_processes_share_the_fits(size: int) -> None:
    expected = validated(X, Y)
    made: list[int] = []

    def counted() -> Any:
        made.append(0)
        return build()

    kept = 0
    share = {"build": counted, "n_jobs": 1, "return_estimator": True}
    for found in in_threads(size, lambda comm: validated(X, Y, comm=comm, **share)):
        assert found["test_loss"].tolist() == expected["test_loss"].tolist()
        assert found["history"] == expected["history"]
        kept += sum(model is not None for model in found["estimator"])
    assert len(made) == kept == 5  # models stay where they are


@pytest.mark.parametrize("size", [2, 3])
def test_processes_share_a_search(size: int) -> None:
    settings = {"units": [4, 8], "epochs": [1, 2]}
    options = {"cv": 2, "random_state": 5, "verbose": 0}
    expected = fastnn.model_selection.search(build, settings, X, Y, **options)
    work = lambda comm: fastnn.model_selection.search(build, settings, X, Y, comm=comm, n_jobs=2, **options)  # noqa: E731
    for found in in_threads(size, work):
        assert found.best_params_ == expected.best_params_
        for name in ("mean_test_loss", "split1_test_accuracy", "rank_test"):
            assert found.cv_results_[name].tolist() == expected.cv_results_[name].tolist()
        weights = zip(found.best_estimator_.get_weights(), expected.best_estimator_.get_weights(), strict=True)
        assert all(mine.tobytes() == other.tobytes() for mine, other in weights)


def test_all_processes_hear_of_an_error() -> None:
    made: list[int] = []

    def failing() -> Any:
        made.append(0)
        if len(made) == 4:
            raise OSError("no more")
        return build()

    found = in_threads(2, lambda comm: validated(X, Y, build=failing, comm=comm, n_jobs=1))
    assert sorted(type(error).__name__ for error in found) == ["OSError", "RuntimeError"]


# Of runs that are killed.

KILLED = """
    import sys
    import numpy as np
    import fastnn
    from fastnn.layers import Dense, Dropout, Input
    from fastnn.model_selection import cross_validate
    from fastnn.models import Sequential

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 5)).astype("f4"), rng.integers(0, 3, 300)

    def build():
        print("made", flush=True)
        model = Sequential([Input((5,)), Dense(8, "relu"), Dropout(0.2), Dense(3, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    folder = sys.argv[1] or None
    found = cross_validate(
        build, x, y, epochs=60, random_state=0, n_jobs=2, verbose=0, backup_dir=folder, return_estimator=True
    )
    print("weights", [w.tobytes().hex() for model in found["estimator"] for w in model.get_weights()])
    print("scores", found["test_loss"].tolist(), found["test_accuracy"].tolist(), len(found["history"]))
"""


def test_a_run_that_is_killed_goes_on(tmp_path: Path) -> None:
    """Killed until it ends by itself, it gives what one gives that was left alone."""
    command = [sys.executable, "-P", "-c", textwrap.dedent(KILLED)]

    def results(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith(("weights", "scores"))]

    whole = subprocess.run([*command, ""], capture_output=True, text=True, check=True, timeout=120)
    expected = results(whole.stdout)
    assert len(expected) == 2
    folder, killed = str(tmp_path / "backup"), 0
    for attempt in range(100):
        process = subprocess.Popen([*command, folder], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        first = process.stdout.readline()  # "made", by the first fit
        time.sleep(0.02 * attempt)
        process.kill()
        rest = process.communicate()[0]
        killed += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            assert results(first + rest) == expected
            break
    assert killed > 1
    again = subprocess.run([*command, folder], capture_output=True, text=True, check=True, timeout=120)
    assert results(again.stdout) == expected
    assert "made" not in again.stdout  # all was there


def test_what_was_cut_off_is_done_again(tmp_path: Path) -> None:
    expected = validated(X, Y, backup_dir=tmp_path)["test_loss"].tolist()
    (path,) = tmp_path.glob("finished-*.jsonl")
    path.write_bytes(path.read_bytes()[:-30])
    made: list[int] = []

    def counted() -> Any:
        made.append(0)
        return build()

    assert validated(X, Y, build=counted, backup_dir=tmp_path)["test_loss"].tolist() == expected
    assert len(made) == 1
    with pytest.raises(TypeError, match="backup_dir must be a path"):
        validated(X, Y, backup_dir=3)


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_end"])
def test_a_run_that_goes_on_has_whole_histories(tmp_path: Path, hook: str) -> None:
    """Also where nothing of a fit was left but its result: all of its epochs were in its backup."""

    def breaks(self: Any, epoch: Any, logs: Any = None) -> None:
        if epoch == 3 or hook == "on_train_end":
            raise OSError("no more")

    callback = type("Breaks", (fastnn.callbacks.Callback,), {hook: breaks})()
    options: dict[str, Any] = {"cv": 2, "epochs": 5, "validation_split": 0.2, "n_jobs": 1}

    def results(name: str | None, **more: Any) -> tuple[Any, ...]:
        folder = name and tmp_path / name
        settings = {"units": [4, 8]}
        search = fastnn.model_selection.search
        found = search(build, settings, X, Y, random_state=5, verbose=0, backup_dir=folder, **options, **more)
        return found.cv_results_["epochs"].tolist(), found.cv_results_["mean_test_loss"].tolist()

    def histories(name: str | None, **more: Any) -> Any:
        return validated(X, Y, backup_dir=name and tmp_path / name, **options, **more)["history"]

    for given in (results, histories):
        for _ in range(3):
            with pytest.raises(OSError, match="no more"):
                given(given.__name__, callbacks=callback)
        assert given(given.__name__) == given(None)
    assert results(None)[0] == [5, 5]
