"""``evaluate(..., by=)``: the metrics of each group are those of its rows alone, wherever rows and labels come from."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L, losses, metrics
from fastnn.data import PagedSource, SQLDataset
from fastnn.models import Model, Sequential
from support.database import connect

RNG = np.random.default_rng(0)
ROWS = 137
X = RNG.normal(size=(ROWS, 4)).astype("f4")
Y = (X[:, 0] + RNG.normal(size=ROWS) > 0).astype("f4")
REGION = np.array(["north", "south", "east"])[RNG.integers(0, 3, ROWS)]
SEX = RNG.integers(0, 2, ROWS)


def model_of(given: Any = ("accuracy", "mse"), loss: Any = "binary_crossentropy", **more: Any) -> Sequential:
    fastnn.set_random_seed(1)
    model = Sequential(
        [L.Dense(8, "relu", kernel_regularizer="l2", input_shape=(4,)), L.Dropout(0.3), L.Dense(1, "sigmoid")]
    )
    model.compile("adam", loss, metrics=list(given), **more)
    model.fit(X, Y, epochs=2, verbose=0)
    return model


def close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(found) == set(expected)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [None, 16])
def test_a_group_is_its_rows_alone(weighted: bool, batch_size: int | None) -> None:
    model = model_of(weighted_metrics=["mae"])
    weight = RNG.random(ROWS).astype("f4") if weighted else None
    args: dict[str, Any] = {"batch_size": batch_size, "verbose": 0, "sample_weight": weight}
    found = model.evaluate(X, Y, by=REGION, **args)
    assert list(found.groups) == ["east", "north", "south"]
    assert found == model.evaluate(X, Y, **args)
    assert isinstance(found, list)
    for label, values in found.groups.items():
        own = label == REGION
        alone = args | {"sample_weight": None if weight is None else weight[own]}
        close(values, {"rows": own.sum(), **model.evaluate(X[own], Y[own], return_dict=True, **alone)})
    for name in ("loss", "accuracy", "mse", "mae"):
        values = [group[name] for group in found.groups.values()]
        assert found.gap[name] == max(values) - min(values) > 0


@pytest.mark.parametrize("loss", ["dice", losses.BinaryCrossentropy(reduction="mean_with_sample_weight")])
def test_losses_of_batches_are_of_the_groups_batches(loss: Any) -> None:
    model = model_of((), loss)
    found = model.evaluate(X, Y, 16, by=SEX, verbose=0)
    assert isinstance(found, float)
    assert found == model.evaluate(X, Y, 16, verbose=0)
    for label in (0, 1):
        assert found.groups[label]["loss"] == pytest.approx(
            model.evaluate(X[label == SEX], Y[label == SEX], 16, verbose=0), rel=1e-6
        )


def test_the_result_is_what_evaluate_gives_and_a_table() -> None:
    model = model_of(("accuracy",))
    found = model.evaluate(X, Y, by=SEX, verbose=0, return_dict=True)
    assert isinstance(found, dict)
    assert found == model.evaluate(X, Y, verbose=0, return_dict=True)
    assert found["loss"] == model.evaluate(X, Y, verbose=0)[0]
    lines = str(found).splitlines()
    assert lines[0].split() == ["group", "rows", "loss", "accuracy"]
    assert lines[1].split() == ["0", str((SEX == 0).sum()), *(f"{found.groups[0][n]:.4f}" for n in found.gap)]
    assert lines[3].split() == ["all", str(ROWS), *(f"{found[n]:.4f}" for n in found.gap)]
    assert lines[4].split() == ["gap", *(f"{gap:.4f}" for gap in found.gap.values())]
    assert len({len(line) for line in lines}) == 1
    for other in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert other == found
        assert other.groups == found.groups
        assert str(other) == str(found)
    loss, accuracy = model.evaluate(X, Y, by=SEX, verbose=0)
    assert (loss, accuracy) == (found["loss"], found["accuracy"])


def test_frame() -> None:
    pytest.importorskip("pandas", reason="pandas is missing: pip install pandas")
    found = model_of(("accuracy",)).evaluate(X, Y, by=(REGION, SEX), verbose=0)
    frame = found.frame()
    assert list(frame.columns) == ["rows", "loss", "accuracy"]
    assert frame["rows"].sum() == ROWS
    assert frame.loc[("north", 1), "loss"].item() == found.groups["north", 1]["loss"]


def test_a_frame_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    found = model_of(()).evaluate(X, Y, by=SEX, verbose=0)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install \"fastnn\[pandas\]\""):
        found.frame()


def test_what_is_missing_is_a_group() -> None:
    model = model_of(("accuracy",))
    labels: list[Any] = [None, float("nan"), "a", "b", *["a"] * (ROWS - 4)]
    found = model.evaluate(X, Y, by=labels, verbose=0)
    assert {label: each["rows"] for label, each in found.groups.items()} == {"a": ROWS - 3, "b": 1, "missing": 2}
    assert list(found.groups)[-1] == "missing"
    numbers = np.where(SEX, np.nan, 2.5)
    assert list(model.evaluate(X, Y, by=numbers, verbose=0).groups) == [2.5, "missing"]
    crossed = model.evaluate(X, Y, by=(numbers, labels), verbose=0).groups
    assert sum(each["rows"] for each in crossed.values()) == ROWS
    assert ("missing", "a") in crossed


def test_a_metric_without_a_value_in_a_group() -> None:
    model = model_of(())
    model.compile("adam", "mse", metrics=["r2_score", metrics.ConfusionMatrix(2, name="counts")])
    found = model.evaluate(X, Y, by=np.arange(ROWS) == 3, verbose=0)
    assert found.groups[True]["rows"] == 1
    assert "counts" not in found.gap
    assert sum(each["counts"].sum() for each in found.groups.values()) == ROWS


def test_a_model_that_is_not_built_yet() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is missing: pip install pandas")
    frame = pandas.DataFrame(X, columns=list("pqrs")).assign(sex=SEX)
    for x, by in ((X, SEX), (frame, "sex")):
        fastnn.set_random_seed(1)
        model = Sequential([L.Dense(1)])
        model.compile("sgd", "mse")
        found = model.evaluate(x, Y, by=by, verbose=0)
        assert model.input_shape == (None, 4)
        assert found.groups[1]["loss"] == pytest.approx(model.evaluate(X[SEX == 1], Y[SEX == 1], verbose=0))


def test_metrics_in_python() -> None:
    def own(y: Any, out: Any) -> Any:
        return np.abs(y - out).mean(axis=-1)

    model = model_of((own,))
    found = model.evaluate(X, Y, by=SEX, verbose=0)
    for label in (0, 1):
        own_rows = label == SEX
        assert found.groups[label]["own"] == pytest.approx(model.evaluate(X[own_rows], Y[own_rows], verbose=0)[1])


def test_several_inputs_and_columns_of_dicts() -> None:
    a, b = L.Input((2,), name="a"), L.Input((2,), name="b")
    model = Model([a, b], L.Dense(1)(L.Concatenate()([a, b])))
    model.compile("sgd", "mse")
    x = {"a": X[:, :2], "b": X[:, 2:]}
    expected = model.evaluate(x, Y, by=SEX, verbose=0)
    found = model.evaluate({**x, "sex": SEX}, Y, by="sex", verbose=0)
    assert found.groups == expected.groups
    own = SEX == 1
    alone = model.evaluate({"a": X[own, :2], "b": X[own, 2:]}, Y[own], verbose=0)
    assert found.groups[1]["loss"] == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("fitted_on_frame", [False, True])
def test_columns_of_frames(fitted_on_frame: bool) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is missing: pip install pandas")
    model = model_of(("accuracy",))
    frame = pandas.DataFrame(X, columns=list("pqrs"))
    if fitted_on_frame:
        model.fit(frame, Y, epochs=1, verbose=0)
    expected = model.evaluate(X, Y, by=(REGION, SEX), verbose=0)
    more = frame.assign(region=pandas.Categorical(REGION), sex=SEX)[["region", *"pqrs", "sex"]]
    found = model.evaluate(more, Y, by=("region", "sex"), verbose=0)
    assert found.groups == expected.groups
    assert model.evaluate(frame.assign(sex=SEX), Y, by=(REGION, "sex"), verbose=0).groups == expected.groups
    binned = model.evaluate(frame, Y, by=pandas.cut(frame["p"], 3, labels=False), verbose=0)
    assert sum(each["rows"] for each in binned.groups.values()) == ROWS
    signs = frame.round()  # a feature may be the group
    assert set(model.evaluate(signs, Y, by="p", verbose=0).groups) == set(signs["p"])


def test_rows_in_pages() -> None:
    model = model_of(("accuracy",), "dice")  # which hangs on how rows are cut into batches
    source = PagedSource(X, Y, memory_limit=1500)
    assert len(list(source.pages(16))) > 1
    found = model.evaluate(source, batch_size=16, by=SEX, verbose=0)
    for label in (0, 1):
        own = label == SEX
        close(
            found.groups[label],
            {"rows": own.sum(), **model.evaluate(X[own], Y[own], 16, verbose=0, return_dict=True)},
        )


# Rows of a database.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "rows.db"
    con = connect(file)
    con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, b REAL, c REAL, d REAL, y INTEGER, region TEXT, sex)")
    rows = [(i, *map(float, X[i]), int(Y[i]), None if i == 5 else str(REGION[i]), int(SEX[i])) for i in range(ROWS)]
    con.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    con.commit()
    con.close()
    return file


LABELS = [None if i == 5 else str(REGION[i]) for i in range(ROWS)]


@pytest.mark.parametrize("options", [{}, {"cache": False, "memory_limit": 2000}, {"cache": True}], ids=str)
@pytest.mark.parametrize("by", ["region", ("region", "sex")])
def test_columns_of_a_query(path: Path, by: Any, options: dict[str, Any]) -> None:
    model = model_of()
    data = SQLDataset("SELECT * FROM t ORDER BY id", path, target="y", features=list("abcd"), key="id", **options)
    found = model.evaluate(data, by=by, verbose=0)
    expected = model.evaluate(X, Y, by=LABELS if by == "region" else (LABELS, SEX), verbose=0)
    assert list(found.groups) == list(expected.groups)
    for label in found.groups:
        close(found.groups[label], expected.groups[label])
    np.testing.assert_allclose(found, model.evaluate(data, verbose=0), rtol=1e-6)


def test_columns_of_a_part_of_a_query(path: Path) -> None:
    model = model_of()
    data = SQLDataset("SELECT * FROM t ORDER BY id", path, target="y", features=list("abcd"), key="id")
    part = data.split(0.4)[1]
    found = model.evaluate(part, by="id", verbose=0)
    assert 0 < len(found.groups) < ROWS
    assert {each["rows"] for each in found.groups.values()} == {1}
    row = next(iter(found.groups))
    close(found.groups[row], {"rows": 1, **model.evaluate(X[[row]], Y[[row]], verbose=0, return_dict=True)})
    assert list(model.evaluate(part, by="y", verbose=0).groups) == [0, 1]


def test_a_query_that_the_model_prepares(path: Path) -> None:
    data = SQLDataset("SELECT a, region, sex, y FROM t", path, target="y", prepare="auto", features=["a", "region"])
    model = Sequential([L.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(data, epochs=1, verbose=0)
    found = model.evaluate(data, by="sex", verbose=0)
    assert {label: each["rows"] for label, each in found.groups.items()} == {0: (SEX == 0).sum(), 1: (SEX == 1).sum()}
    for sex in (0, 1):
        alone = SQLDataset(f"SELECT a, region, y FROM t WHERE sex = {sex}", path, target="y", features=["a", "region"])
        close(
            {name: found.groups[sex][name] for name in ("loss", "accuracy")},
            model.evaluate(alone, verbose=0, return_dict=True),
        )


# What is refused.


@pytest.mark.parametrize(
    ("by", "error", "message"),
    [
        (REGION[:-1], ValueError, r"by has 136 labels, and x 137 rows; give one for each row"),
        ((REGION, SEX[:3]), ValueError, r"by has 3 labels"),
        ("region", ValueError, r"unknown by 'region'; x has no columns with names"),
        (np.arange(2000)[:ROWS, None], TypeError, r"by must be one label a row"),
        (3, TypeError, r"by must be one label a row"),
    ],
)
def test_labels_that_are_refused(by: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        model_of(()).evaluate(X, Y, by=by, verbose=0)


def test_what_else_is_refused(path: Path) -> None:
    model = model_of(())
    x = np.zeros((1500, 4))
    with pytest.raises(ValueError, match=r"by makes more than 1000 groups of the rows"):
        model.evaluate(x, np.zeros(1500), by=np.arange(1500), verbose=0)
    assert len(model.evaluate(x, np.zeros(1500), by=np.arange(1500) % 1000, verbose=0).groups) == 1000
    with pytest.raises(ValueError, match=r"by goes with all rows; leave steps out"):
        model.evaluate(X, Y, by=SEX, steps=2, verbose=0)
    with pytest.raises(TypeError, match=r"by takes rows that are known by number"):
        model.evaluate(iter([(X, Y)]), by=SEX, verbose=0)
    data = SQLDataset("SELECT * FROM t", path, target="y", features=list("abcd"))
    with pytest.raises(ValueError, match=r"unknown by 'regoin' .did you mean 'region'"):
        model.evaluate(data, by="regoin", verbose=0)
    with pytest.raises(TypeError, match=r"by must be names of columns of the query"):
        model.evaluate(data, by=("region", SEX), verbose=0)
    pandas = pytest.importorskip("pandas", reason="pandas is missing: pip install pandas")
    with pytest.raises(ValueError, match=r"unknown by 'q'; x has the columns a, b, c, d"):
        model.evaluate(pandas.DataFrame(X, columns=list("abcd")), Y, by="q", verbose=0)
    with pytest.raises(RuntimeError, match=r"evaluate needs a compiled model"):
        Sequential([L.Dense(1)]).evaluate(X, Y, by=SEX)


def test_an_error_names_the_row_as_it_was_given() -> None:
    y = Y.copy()
    y[100] = np.nan
    with pytest.raises(ValueError, match=r"row 100"):
        model_of(()).evaluate(X, y, by=SEX, verbose=0)
