"""A fit of an estimator that is ended goes on from its backup, and ends with the bits of one that was not."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", "1.6", reason="needs scikit-learn: pip install 'fastnn[sklearn]'")

from fastnn.callbacks import BackupAndRestore, Callback
from fastnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore")  # of fits that have not converged

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 6))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


class Stop(Callback):
    """Ends a fit with an error, after so many batches or epochs."""

    def __init__(self, batches: int | None = None, epochs: int | None = None) -> None:
        self.batches, self.epochs, self.seen = batches, epochs, 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch + 1 == self.epochs:
            raise InterruptedError

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen += 1
        if self.seen == self.batches:
            raise InterruptedError


def fitted(callbacks: list[Callback], kind: Any = MLPClassifier, **settings: Any) -> Any:
    estimator = kind(
        hidden_layer_sizes=(8,), **{"max_iter": 9, "random_state": 3, "batch_size": 20, **settings}, callbacks=callbacks
    )
    return estimator.fit(X, Y)


def same(one: Any, other: Any) -> None:
    for mine, theirs in zip((*one.coefs_, *one.intercepts_), (*other.coefs_, *other.intercepts_), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for name in ("loss_curve_", "validation_scores_", "n_iter_", "t_", "best_loss_", "loss_"):
        assert getattr(one, name, None) == getattr(other, name, None), name


SETTINGS = {
    "adam": {},
    "early stopping": {"early_stopping": True},
    "stops": {"early_stopping": True, "n_iter_no_change": 4, "max_iter": 40},
    "dropout": {"dropout": 0.3},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.1},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "in order": {"shuffle": False},
    "lbfgs": {"solver": "lbfgs", "max_iter": 20},
    "regressor": {"kind": MLPRegressor},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("epochs", [1, 4])
def test_between_epochs(settings: dict[str, Any], epochs: int, tmp_path: Path) -> None:
    whole = fitted([Callback()], **settings)
    with pytest.raises(InterruptedError):
        fitted([BackupAndRestore(tmp_path / "b"), Stop(epochs=epochs + 1)], **settings)
    assert (tmp_path / "b").exists()
    same(fitted([BackupAndRestore(tmp_path / "b")], **settings), whole)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("name", ["adam", "early stopping", "dropout", "in order"])
def test_in_the_middle_of_an_epoch(name: str, tmp_path: Path) -> None:
    settings = SETTINGS[name]
    whole = fitted([Callback()], **settings)
    for batches in (23, 13, 20):  # ended in the same epoch again, and in a later one
        with pytest.raises(InterruptedError):
            fitted([BackupAndRestore(tmp_path / "b", save_freq=3), Stop(batches=batches)], **settings)
    same(fitted([BackupAndRestore(tmp_path / "b", save_freq=3)], **settings), whole)


def test_another_estimator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        fitted([BackupAndRestore(tmp_path / "b"), Stop(epochs=4)])
    with pytest.raises(ValueError, match="no backup that this fit can go on from"):
        fitted([BackupAndRestore(tmp_path / "b")], shuffle=False)


def test_callbacks_of_lbfgs_are_called() -> None:
    """And the fit is the one without them."""
    seen: list[float] = []

    class Watch(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(logs["loss"])

    watched, plain = (fitted(callbacks, solver="lbfgs", max_iter=50) for callbacks in ([Watch()], []))
    same(watched, plain)
    assert len(seen) == plain.n_iter_
    assert seen == sorted(seen, reverse=True)


KILLED = """
    import sys, warnings
    import numpy as np
    from fastnn.callbacks import BackupAndRestore, LambdaCallback
    from fastnn.sklearn import MLPClassifier

    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2000, 20)), rng.integers(0, 3, 2000)
    told = LambdaCallback(on_epoch_end=lambda epoch, logs: print("epoch", flush=True))
    found = MLPClassifier((64,), max_iter=150, tol=0, random_state=1, batch_size=10,
                          callbacks=[told, BackupAndRestore(sys.argv[1])]).fit(x, y)
    print("weights", [w.tobytes().hex() for w in found.coefs_], found.loss_curve_)
"""


def test_a_process_that_is_killed_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", textwrap.dedent(KILLED)]
    whole = subprocess.run([*command, str(tmp_path / "a")], capture_output=True, text=True, check=True, timeout=120)
    expected, killed = whole.stdout.splitlines()[-1], 0
    assert expected.startswith("weights")
    for attempt in range(100):
        process = subprocess.Popen([*command, str(tmp_path / "b")], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(0.05 * attempt)
        process.kill()
        rest = first + process.communicate()[0]
        if process.returncode == 0:
            break
        killed += 1
    assert killed > 1
    assert rest.splitlines()[-1] == expected
