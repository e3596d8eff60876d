"""The folds of rows of every kind: parts of them, by class, by group, by splitters, by a dataset's key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.data import SQLDataset
from fastnn.layers import Dense, Input
from fastnn.model_selection import learning_curve
from fastnn.models import Sequential
from support.database import connect
from support.folds import X, Y, build, validated

RNG = np.random.default_rng(4)


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
