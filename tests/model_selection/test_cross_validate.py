"""cross_validate: each fold beside the same network alone; folds of every kind of rows; processes, threads, kills."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import EarlyStopping
from fastnn.data import SQLDataset
from fastnn.layers import Concatenate, Dense, Dropout, Input, Normalization
from fastnn.model_selection import cross_validate, learning_curve, validation_curve
from fastnn.models import Model, Sequential
from support.database import connect
from support.signals import ctrl_c

RNG = np.random.default_rng(4)
X = RNG.normal(size=(120, 5)).astype(np.float32)
Y = RNG.integers(0, 3, 120)


def build(units: int = 8, rate: float = 0.01) -> Any:
    model = Sequential([Input((5,)), Dense(units, "relu"), Dropout(0.2), Dense(3, "softmax")])
    model.compile(fastnn.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def validated(*rows: Any, **named: Any) -> Any:
    return cross_validate(named.pop("build", build), *rows, **{"epochs": 3, "random_state": 5, "verbose": 0, **named})


@pytest.mark.parametrize("n_jobs", [1, 2, 3, -1])
def test_each_fold_is_the_network_alone(n_jobs: int) -> None:
    found = validated(X, Y, cv=4, n_jobs=n_jobs, return_indices=True, return_train_score=True, return_estimator=True)
    for fold in range(4):
        train, test = (found["indices"][part][fold] for part in ("train", "test"))
        fastnn.set_random_seed(int(found["seed"][fold]))
        model = build()
        history = model.fit(X[train], Y[train], epochs=3, verbose=0).history
        assert history == found["history"][fold]
        for part, rows in (("test", test), ("train", train)):
            loss, accuracy = model.evaluate(X[rows], Y[rows], verbose=0)
            assert (found[f"{part}_loss"][fold], found[f"{part}_accuracy"][fold]) == (loss, accuracy)
        for one, other in zip(model.get_weights(), found["estimator"][fold].get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_seeds() -> None:
    first, again, other = (validated(X, Y, random_state=seed) for seed in (1, 1, 2))
    assert first["test_loss"].tolist() == again["test_loss"].tolist() != other["test_loss"].tolist()
    fastnn.set_random_seed(3)
    one, two = (validated(X, Y, random_state=None)["test_loss"].tolist() for _ in range(2))
    fastnn.set_random_seed(3)
    assert validated(X, Y, random_state=None)["test_loss"].tolist() == one != two


def test_a_seed_that_build_sets_is_its_own() -> None:
    def seeded() -> Any:
        fastnn.set_random_seed(0)
        return build()

    fastnn.set_random_seed(9)
    found = validated(X, Y, build=seeded, n_jobs=2, return_indices=True, epochs=1)
    assert fastnn.random.generator().integers(2**32) == np.random.default_rng(9).integers(2**32)
    for fold, train in enumerate(found["indices"]["train"]):
        model = seeded()
        model.fit(X[train], Y[train], epochs=1, verbose=0)
        assert model.evaluate(X[found["indices"]["test"][fold]], Y[found["indices"]["test"][fold]], verbose=0) == [
            found["test_loss"][fold],
            found["test_accuracy"][fold],
        ]


def folds(y: Any = Y, x: Any = X, **named: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    found = validated(x, y, epochs=1, return_indices=True, **named)["indices"]
    return list(zip(found["train"], found["test"], strict=True))


def test_folds_are_parts() -> None:
    for cv in (2, 3, 7):
        pairs = folds(cv=cv)
        assert sorted(np.concatenate([test for _, test in pairs]).tolist()) == list(range(120))
        for train, test in pairs:
            assert sorted([*train, *test]) == list(range(120))
            for label in range(3):  # as large a share of each class, within one row
                assert abs((Y[test] == label).sum() - (label == Y).sum() / cv) < 1


def test_groups_stay_together() -> None:
    groups = np.repeat(np.arange(24), 5)[RNG.permutation(120)]
    pairs = folds(cv=4, groups=groups)
    for train, test in pairs:
        assert not set(groups[train]) & set(groups[test])
        assert len(test) == 30
    assert sorted(np.concatenate([test for _, test in pairs]).tolist()) == list(range(120))
    with pytest.raises(ValueError, match="at least as many groups, got 2"):
        folds(cv=4, groups=np.arange(120) % 2)
    with pytest.raises(ValueError, match="one value for each of the 120 rows"):
        folds(cv=4, groups=[1, 2])


def test_splitters_of_scikit_learn() -> None:
    splits = pytest.importorskip("sklearn.model_selection", reason="splitters: pip install scikit-learn")
    groups = np.arange(120) // 7
    for splitter, given in (
        (splits.KFold(3), None),
        (splits.StratifiedKFold(4, shuffle=True, random_state=1), None),
        (splits.GroupKFold(3), groups),
        (splits.TimeSeriesSplit(4), None),
        (splits.RepeatedKFold(n_splits=3, n_repeats=2, random_state=0), None),
        (splits.LeaveOneGroupOut(), groups),
    ):
        for found, expected in zip(folds(cv=splitter, groups=given), splitter.split(X, Y, given), strict=True):
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)
    one_hot = np.eye(3)[Y]

    def build_one_hot() -> Any:
        model = Sequential([Input((5,)), Dense(3, "softmax")])
        model.compile("adam", "categorical_crossentropy")
        return model

    for (_, test), (_, other) in zip(
        folds(one_hot, build=build_one_hot, cv=splits.StratifiedKFold(3)),
        splits.StratifiedKFold(3).split(X, Y),
        strict=True,
    ):
        np.testing.assert_array_equal(test, other)


@pytest.mark.parametrize(
    ("cv", "error", "says"),
    [
        (1, ValueError, "cv must be at least 2"),
        (121, ValueError, "at least as many rows, got 120"),
        ("5", TypeError, "cv must be a number of folds"),
        (True, TypeError, "cv must be a number of folds"),
        (None, TypeError, "cv must be a number of folds"),
        ([], ValueError, "cv gives no fold"),
        ([(1, 2, 3)], TypeError, r"\(train, test\) of row numbers for each fold"),
        ([([0, 1], [])], ValueError, "test of fold 0 has no rows"),
        ([([0, 120], [1])], ValueError, "train of fold 0 has the row number 120"),
        ([([0, 1], [2]), ([0, 1], [-1])], ValueError, "test of fold 1 has the row number -1"),
        ([([0.5, 1], [1])], TypeError, "must be row numbers"),
    ],
)
def test_what_cv_may_be(cv: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        folds(cv=cv)


def test_masks_are_row_numbers() -> None:
    mask = np.arange(120) < 100
    [(train, test)] = folds(cv=[(mask, ~mask)])
    assert (train.tolist(), test.tolist()) == (list(range(100)), list(range(100, 120)))


def test_rows_of_every_kind() -> None:
    expected = validated(X, Y)["test_loss"].tolist()
    assert validated(X.tolist(), Y.tolist())["test_loss"].tolist() == expected
    pandas = pytest.importorskip("pandas", reason="frames: pip install pandas")
    frame = pandas.DataFrame(X, columns=list("abcde"), index=RNG.permutation(120))
    assert validated(frame, pandas.Series(Y))["test_loss"].tolist() == expected
    scipy = pytest.importorskip("scipy.sparse", reason="sparse matrices: pip install scipy")
    assert validated(scipy.csr_matrix(X), Y)["test_loss"].tolist() == expected


def test_several_inputs() -> None:
    def two() -> Any:
        inputs = [Input((2,), name="a"), Input((3,), name="b")]
        model = Model(inputs, Dense(3, "softmax")(Concatenate()(inputs)))
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    by_list = validated([X[:, :2], X[:, 2:]], Y, build=two)["test_loss"].tolist()
    by_name = validated({"a": X[:, :2], "b": X[:, 2:]}, Y, build=two)["test_loss"].tolist()
    assert by_list == by_name


def test_weights_of_rows_go_with_them() -> None:
    weights = RNG.uniform(0.1, 2, 120)
    found = validated(X, Y, sample_weight=weights, cv=3, return_indices=True)
    train, test = (found["indices"][part][1] for part in ("train", "test"))
    fastnn.set_random_seed(int(found["seed"][1]))
    model = build()
    model.fit(X[train], Y[train], epochs=3, sample_weight=weights[train], verbose=0)
    expected = model.evaluate(X[test], Y[test], sample_weight=weights[test], verbose=0)
    assert [found["test_loss"][1], found["test_accuracy"][1]] == expected


def test_build_may_see_what_is_learnt_from() -> None:
    seen = []

    def adapted(x: Any, y: Any) -> Any:
        seen.append((len(x), len(y)))
        first = Normalization()
        first.adapt(x)
        model = Sequential([first, Dense(3, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    validated(X, Y, build=adapted, cv=4)
    assert seen == [(90, 90)] * 4


def test_settings_go_to_build_and_to_fit() -> None:
    found = validated(X, Y, settings={"units": 3, "epochs": 2, "batch_size": 60}, return_estimator=True)
    assert found["estimator"][0].get_weights()[0].shape == (5, 3)
    assert all(len(history["loss"]) == 2 for history in found["history"])
    assert int(found["estimator"][0].optimizer.iterations) == 4


def test_callbacks_are_fresh() -> None:
    stopping = EarlyStopping("loss", patience=1, min_delta=10)
    for given in ([stopping], stopping, lambda: [EarlyStopping("loss", patience=1, min_delta=10)]):
        found = validated(X, Y, epochs=9, callbacks=given)
        assert [len(history["loss"]) for history in found["history"]] == [2] * 5
    assert stopping.best is None


def test_scoring() -> None:
    def misses(model: Any, x: Any, y: Any) -> float:
        return float((model.predict(x).argmax(axis=1) != y).sum())

    found = validated(X, Y, scoring=misses)
    np.testing.assert_allclose(found["test_misses"], (1 - found["test_accuracy"]) * 24, atol=1e-4)
    assert validated(X, Y, scoring={"wrong": misses})["test_wrong"].tolist() == found["test_misses"].tolist()
    with pytest.raises(TypeError, match="scoring must be a function"):
        validated(X, Y, scoring="accuracy")


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: None, TypeError, "build must give a compiled model, got None"),
        (lambda: Sequential([Dense(1)]), RuntimeError, "call model.compile in it"),
        ("adam", TypeError, "build must be a function"),
        (Sequential([Dense(1)]), TypeError, "build must be a function that gives a new compiled model, got"),
    ],
)
def test_what_build_may_be(build: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        validated(X, Y, build=build)


def test_a_model_is_new_for_each_fold() -> None:
    one = build()
    with pytest.raises(ValueError, match="has been fitted already; make a new one at each call"):
        validated(X, Y, build=lambda: one, n_jobs=1)


@pytest.mark.parametrize(
    ("rows", "error", "says"),
    [
        ((iter([1]), Y), TypeError, "a generator has no rows to choose"),
        ((X, Y[:50]), ValueError, "as many rows as one another"),
        ((None, None), TypeError, "x must be rows"),
    ],
)
def test_what_rows_may_be(rows: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        validated(*rows)


def test_an_error_ends_all_and_leaves_threads_as_they_were() -> None:
    made = []

    def failing() -> Any:
        made.append(None)
        if len(made) == 2:
            raise OSError("no more")
        return build()

    before = fastnn.get_num_threads()
    with pytest.raises(OSError, match="no more"):
        validated(X, Y, build=failing, cv=60, n_jobs=2, epochs=50)
    assert len(made) < 60
    assert fastnn.get_num_threads() == before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fastnn-fit")]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_ends_all_fits(n_jobs: int) -> None:
    ctrl_c(lambda: validated(X, Y, n_jobs=n_jobs, epochs=10**6))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fastnn-fit")]
    assert validated(X, Y, n_jobs=n_jobs)["test_loss"].tolist() == validated(X, Y, n_jobs=1)["test_loss"].tolist()


def test_a_frame_of_scores() -> None:
    pandas = pytest.importorskip("pandas", reason="frames: pip install pandas")
    found = validated(X, Y)
    frame = found.frame()
    assert isinstance(frame, pandas.DataFrame)
    assert {"fit_time", "score_time", "seed", "test_loss", "test_accuracy"} <= set(frame.columns)
    assert found.mean("test_accuracy") == frame["test_accuracy"].mean()


# Of databases.


def table(path: Path) -> None:
    with connect(path) as con:
        con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, who TEXT, a REAL, b REAL, c REAL, d REAL, e REAL, y INT)")
        rows = [(i, f"w{i // 3}", *map(float, X[i]), int(Y[i])) for i in range(120)]
        con.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        con.commit()


def test_folds_of_a_dataset(tmp_path: Path) -> None:
    table(tmp_path / "d.db")
    sql = "SELECT who, a, b, c, d, e, y FROM t"
    found = []
    with connect(tmp_path / "d.db") as con:
        for source, n_jobs in ((tmp_path / "d.db", 1), (tmp_path / "d.db", 3), (con, 2)):
            data = SQLDataset(sql, source, target="y", key="who")
            found.append(validated(data, cv=4, n_jobs=n_jobs)["test_loss"].tolist())
    assert found[0] == found[1] == found[2]
    seen: list[bytes] = []
    data = SQLDataset(sql, tmp_path / "d.db", target="y", key="who")
    for fold in range(4):
        train, test = ([page.x for page in part.pages(16)] for part in data.fold(fold / 4, (fold + 1) / 4))
        mine, others = (sorted(row.tobytes() for part in parts for row in part) for parts in (test, train))
        assert len(mine) + len(others) == 120
        assert not set(mine) & set(others)
        of = {X[i].tobytes(): i // 3 for i in range(120)}
        assert not {of[row] for row in mine} & {of[row] for row in others}  # a key is in one of them
        seen += mine
    assert sorted(seen) == sorted(row.tobytes() for row in X)


def test_what_folds_of_a_dataset_need(tmp_path: Path) -> None:
    table(tmp_path / "d.db")
    data = SQLDataset("SELECT a, y FROM t", tmp_path / "d.db", target="y")
    with pytest.raises(ValueError, match="needs the column that names a row"):
        validated(data)
    data = SQLDataset("SELECT id, a, y FROM t", tmp_path / "d.db", target="y", key="id")
    for wrong, error, says in (
        ({"cv": [([0], [1])]}, TypeError, "whose rows have no numbers"),
        ({"groups": [1]}, ValueError, "leave groups out"),
        ({"y": Y}, ValueError, "leave y and sample_weight out"),
    ):
        with pytest.raises(error, match=says):
            validated(data, **wrong)
    for lower, upper in ((0.5, 0.5), (-0.1, 1), (0, 1.1), (float("nan"), 1)):
        with pytest.raises(ValueError, match="range within 0 to 1"):
            data.fold(lower, upper)
    with pytest.raises(TypeError, match="learning_curve takes rows that have numbers"):
        learning_curve(build, data)


# Of many processes.


class Comm:
    """As many processes as threads stand for, by the three methods of mpi4py's that are used."""

    def __init__(self, size: int) -> None:
        self.size, self.given = size, [None] * size
        self.barrier = threading.Barrier(size, timeout=60)
        self.local = threading.local()

    def Get_rank(self) -> int:
        return self.local.rank

    def Get_size(self) -> int:
        return self.size

    def allgather(self, value: Any) -> list[Any]:
        self.given[self.local.rank] = value
        self.barrier.wait()
        found = list(self.given)
        self.barrier.wait()
        return found


def in_processes(size: int, work: Any) -> list[Any]:
    comm, found = Comm(size), [None] * size

    def run(rank: int) -> None:
        comm.local.rank = rank
        try:
            found[rank] = work(comm)
        except Exception as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_processes_share_the_fits(size: int) -> None:
    expected = validated(X, Y)
    made: list[int] = []

    def counted() -> Any:
        made.append(0)
        return build()

    for found in in_processes(size, lambda comm: validated(X, Y, build=counted, comm=comm, n_jobs=1)):
        assert found["test_loss"].tolist() == expected["test_loss"].tolist()
        assert found["history"] == expected["history"]
    assert len(made) == 5


def test_all_processes_hear_of_an_error() -> None:
    made: list[int] = []

    def failing() -> Any:
        made.append(0)
        if len(made) == 4:
            raise OSError("no more")
        return build()

    found = in_processes(2, lambda comm: validated(X, Y, build=failing, comm=comm, n_jobs=1))
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


# Curves.


def test_a_learning_curve() -> None:
    sizes, train, test = learning_curve(
        build, X, Y, train_sizes=[0.25, 48, 1.0], cv=3, score="accuracy", epochs=2, random_state=1, verbose=0
    )
    assert sizes.tolist() == [20, 48, 80]
    assert train.shape == test.shape == (3, 3)
    whole = validated(X, Y, cv=3, random_state=1, epochs=2, return_train_score=True)
    assert abs(test[2].mean() - whole["test_accuracy"].mean()) < 0.3
    for wrong in (0, 1.5, 81, -1):
        with pytest.raises(ValueError, match="train_sizes must be"):
            learning_curve(build, X, Y, train_sizes=[wrong], cv=3, verbose=0)


def test_a_validation_curve() -> None:
    train, test = validation_curve(
        build, X, Y, param_name="units", param_range=[2, 9], cv=3, epochs=2, random_state=1, verbose=0
    )
    for row, units in enumerate((2, 9)):
        found = validated(X, Y, cv=3, random_state=1, epochs=2, settings={"units": units}, return_train_score=True)
        assert train[row].tolist() == found["train_loss"].tolist()
        assert test[row].tolist() == found["test_loss"].tolist()
    with pytest.raises(ValueError, match="score must be one of accuracy, loss, got 'auc'"):
        validation_curve(build, X, Y, param_name="units", param_range=[2], score="auc", verbose=0)
