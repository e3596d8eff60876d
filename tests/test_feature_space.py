"""FeatureSpace: what each kind of feature becomes, alone, in a model and in a file."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn.data import SQLDataset
from fastnn.models import Model, load_model
from fastnn.models.feature_space import FeatureSpace
from support.database import connect

ROWS = 70
KINDS = {
    "plain": "float",
    "normal": "float_normalized",
    "scaled": FeatureSpace.float_rescaled(0.5, 1.0),
    "binned": FeatureSpace.float_discretized(4),
    "code": "integer_categorical",
    "id": FeatureSpace.integer_hashed(6),
    "city": "string_categorical",
    "word": FeatureSpace.string_hashed(5),
}


def raw(rows: int = ROWS) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    numbers = {name: rng.normal(size=rows) for name in ("plain", "normal", "scaled", "binned")}
    return numbers | {
        "code": rng.integers(0, 3, rows),
        "id": rng.integers(0, 10**6, rows),
        "city": np.array(["Rome", "Oslo", "Bonn"], object)[rng.integers(0, 3, rows)],
        "word": np.array(["red", "blue"], object)[rng.integers(0, 2, rows)],
    }


def space_of(**options: Any) -> FeatureSpace:
    given = {name: KINDS[name] if isinstance(KINDS[name], str) else None for name in KINDS}
    made = {
        "scaled": FeatureSpace.float_rescaled(0.5, 1.0),
        "binned": FeatureSpace.float_discretized(4),
        "id": FeatureSpace.integer_hashed(6),
        "word": FeatureSpace.string_hashed(5),
    }
    crosses = [("city", "code"), FeatureSpace.cross(("binned", "word"), 7)]
    return FeatureSpace({name: made.get(name, kind) for name, kind in given.items()}, crosses=crosses, **options)


def by_hand(space: FeatureSpace, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The features by the layers' own values, in the order of their names, then the crosses."""
    codes = {name: space.preprocessors[name](x[name][:, None]) for name in ("binned", "code", "id", "city", "word")}
    hot = {name: np.eye(size)[codes[name][:, 0]] for name, size in zip(codes, (4, 4, 6, 4, 5), strict=True)}
    mean, deviation = x["normal"].mean(), x["normal"].std()
    values = hot | {
        "plain": x["plain"][:, None],
        "normal": (x["normal"][:, None] - mean) / deviation,
        "scaled": x["scaled"][:, None] * 0.5 + 1,
    }
    crosses = {
        "binned_X_word": np.eye(7)[L.HashedCrossing(7)([codes["binned"], codes["word"]])[:, 0]],
        "city_X_code": np.eye(32)[L.HashedCrossing(32)([codes["city"], codes["code"]])[:, 0]],
    }
    return {name: values[name] for name in sorted(values)} | crosses


def test_side_by_side() -> None:
    space, x = space_of(), raw()
    space.adapt(x)
    expected = np.concatenate(list(by_hand(space, x).values()), axis=1)
    found = space(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(space({name: column.tolist() for name, column in x.items()}), found)
    np.testing.assert_array_equal(space({name: column[0] for name, column in x.items()}), found[0])


def test_as_a_dict() -> None:
    space, x = space_of(output_mode="dict"), raw()
    space.adapt(x)
    found = space(x)
    for name, value in by_hand(space, x).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6)
    assert {name: value.shape for name, value in space({k: v[0] for k, v in x.items()}).items()} == {
        name: value.shape[1:] for name, value in found.items()
    }


def test_whole_numbers_stay_so() -> None:
    space = FeatureSpace(
        {"city": FeatureSpace.string_categorical(output_mode="int"), "id": FeatureSpace.integer_hashed(9, "int")},
        crosses=[FeatureSpace.cross(("city", "id"), 12, output_mode="int")],
        output_mode="dict",
    )
    x = {name: raw()[name] for name in ("city", "id")}
    space.adapt(x)
    found = space(x)
    assert {value.dtype.kind for value in found.values()} == {"i"}
    assert list(found) == ["city", "id", "city_X_id"]
    np.testing.assert_array_equal(found["city_X_id"], L.HashedCrossing(12)([found["city"], found["id"]]))
    mixed = FeatureSpace({"city": FeatureSpace.string_categorical(output_mode="int"), "p": "float"})
    mixed.adapt({"city": ["a", "b"], "p": [1.0, 2.0]})
    with pytest.raises(ValueError, match="Cannot concatenate features because feature 'city' has not been encoded"):
        mixed({"city": ["a"], "p": [1.0]})


def test_in_a_model_and_in_a_file(tmp_path: Path) -> None:
    space, x = space_of(), raw()
    space.adapt(x)
    encoded = space(x)
    out = L.Dense(1)(space.get_encoded_features())
    model, inner = Model(space.get_inputs(), out), Model(space.get_encoded_features(), out)
    np.testing.assert_allclose(Model(space.get_inputs(), space.get_encoded_features()).predict(x), encoded, atol=1e-6)
    inner.compile("sgd", "mse")
    inner.fit(encoded, x["plain"], verbose=0)  # on what was prepared once
    np.testing.assert_allclose(model.predict(x), inner.predict(encoded), atol=1e-5)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(x), model.predict(x))
    space.save(tmp_path / "space")
    loaded = load_model(tmp_path / "space")
    assert isinstance(loaded, FeatureSpace)
    np.testing.assert_array_equal(loaded(x), encoded)
    loaded.save(tmp_path / "again")
    np.testing.assert_array_equal(load_model(tmp_path / "again")(x), encoded)
    again = FeatureSpace.from_config(space.get_config())
    again.adapt(x)
    np.testing.assert_array_equal(again(x), encoded)


def test_what_it_adapts_to(tmp_path: Path) -> None:
    x = raw()
    expected = space_of()
    expected.adapt(x)
    encoded = expected(x)
    con = connect(":memory:")
    con.execute(f"CREATE TABLE t ({', '.join(x)})")
    rows = zip(*(column.tolist() for column in x.values()), strict=True)
    con.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(x))})", rows)
    for data in (
        [x],
        iter([x]),
        [(x, np.zeros(ROWS))],
        SQLDataset("SELECT * FROM t", con),
    ):
        space = space_of()
        space.adapt(data)
        np.testing.assert_allclose(space(x), encoded, rtol=1e-5, atol=1e-6)
    rows = ({name: column[row] for name, column in x.items()} for row in range(ROWS))
    space = space_of()
    space.adapt(rows)
    assert space.preprocessors["city"].get_vocabulary() == expected.preprocessors["city"].get_vocabulary()


def table_of(x: dict[str, np.ndarray], path: Any) -> Any:
    con = connect(path)
    con.execute(f"CREATE TABLE t (number INTEGER PRIMARY KEY, {', '.join(x)})")
    rows = zip(*(column.tolist() for column in x.values()), strict=True)
    con.executemany(f"INSERT INTO t ({', '.join(x)}) VALUES ({', '.join('?' * len(x))})", rows)
    con.commit()
    return con


def assert_adapted_to(space: FeatureSpace, x: dict[str, np.ndarray]) -> None:
    """That the layers have what NumPy finds in these columns."""
    of = space.preprocessors
    for name in ("city", "code"):
        assert sorted(of[name].get_vocabulary()[1:]) == np.unique(x[name]).tolist()
        times = [np.count_nonzero(x[name] == each) for each in of[name].get_vocabulary()[1:]]
        assert times == sorted(times, reverse=True)
    numbers = x["normal"].astype("f4").astype(float)  # as a dataset gives them
    np.testing.assert_array_equal(np.ravel(of["normal"].mean), np.float32(numbers.mean()))
    np.testing.assert_array_equal(np.ravel(of["normal"].variance), np.float32(numbers.var()))


def test_a_query_runs_once_for_all_columns() -> None:
    x = raw(20_000)
    con = table_of(x, ":memory:")
    seen: list[int] = []
    con.create_function("seen", 1, lambda row: seen.append(row) or 1)
    space = space_of()
    space.adapt(SQLDataset("SELECT * FROM t WHERE seen(number)", con))
    assert seen == list(range(1, 20_001))
    assert_adapted_to(space, x)
    seen.clear()
    FeatureSpace({"plain": "float"}).adapt(SQLDataset("SELECT * FROM t WHERE seen(number)", con))  # nothing to adapt
    assert not seen


def test_a_part_of_a_query_adapts_to_its_rows_alone(tmp_path: Path) -> None:
    x = raw(5_000)
    table_of(x, tmp_path / "rows.db")
    sql = "SELECT * FROM t"
    data = SQLDataset(sql, tmp_path / "rows.db", key="number", features=["plain", "normal"])
    for part in data.split(0.3):
        normal = next(part.pages(5_000)).x[:, 1]
        kept = np.isin(x["normal"].astype("f4"), normal)
        assert 0 < kept.sum() < 5_000
        space = space_of()
        space.adapt(part)
        assert_adapted_to(space, {name: column[kept] for name, column in x.items()})


def test_null_is_what_it_is_in_training(tmp_path: Path) -> None:
    con = table_of(
        {"a": np.array([1.0, None, 5.0], object), "b": np.array(["x", "y", None], object)}, tmp_path / "n.db"
    )
    space = FeatureSpace({"a": "float_normalized"})
    space.adapt(SQLDataset("SELECT a FROM t", con, null=3))
    assert np.ravel(space.preprocessors["a"].mean) == 3
    with pytest.raises(ValueError, match="column 'a' is NULL in row 2 of the query"):
        space.adapt(SQLDataset("SELECT a FROM t", con))
    with pytest.raises(ValueError, match="column 'b' of the query has no text at row 3"):
        FeatureSpace({"b": "string_categorical"}).adapt(SQLDataset("SELECT b FROM t", con))
    with pytest.raises(ValueError, match="unknown column 'c'"):
        FeatureSpace({"c": "string_categorical"}).adapt(SQLDataset("SELECT b FROM t", con))


def test_batches_are_not_kept() -> None:
    alive: list[Any] = []

    def batches() -> Any:
        for _ in range(6):
            batch = raw(100)
            alive.append(weakref.ref(batch["normal"]))
            yield batch
            del batch
            assert sum(each() is not None for each in alive) <= 1  # the one that is in hand

    space = space_of()
    space.adapt(batches())
    assert len(alive) == 6
    assert_adapted_to(space, raw(100))


def test_layers_that_adapt_at_once_have_all_rows() -> None:
    class Scaled(L.Layer):
        largest = 1.0

        def adapt(self, data: Any) -> None:
            self.largest = float(np.max(data))

        def call(self, x: Any) -> Any:
            return x / self.largest

    space = FeatureSpace({"a": FeatureSpace.feature("float32", Scaled(), "float")})
    space.adapt({"a": [i, 7 - i]} for i in range(3))
    assert space.preprocessors["a"].largest == 7


def test_frames() -> None:
    pandas = pytest.importorskip("pandas")
    x = raw()
    space = space_of()
    space.adapt(pandas.DataFrame(x))
    expected = space_of()
    expected.adapt(x)
    np.testing.assert_array_equal(space(pandas.DataFrame(x)), expected(x))


def test_a_layer_of_ones_own() -> None:
    texts = ["1st string", "2nd string", "3rd string"]
    feature = FeatureSpace.feature("string", L.TextVectorization(output_mode="tf_idf"), "float")
    space = FeatureSpace({"text": feature})
    space.adapt({"text": texts})
    assert space({"text": texts}).shape == (3, 5)
    ready = FeatureSpace(
        {
            "text": FeatureSpace.feature(
                "string", L.TextVectorization(vocabulary=["a", "b"], output_sequence_length=3), "int"
            ),
            "price": FeatureSpace.feature("float32", L.Normalization(mean=2.0, variance=4.0), "float"),
        },
        output_mode="dict",
    )
    found = ready({"text": ["b a", "c"], "price": [2.0, 6.0]})  # there is nothing to adapt
    assert found["text"].tolist() == [[3, 2, 0], [1, 0, 0]]
    np.testing.assert_allclose(found["price"], [[0], [2]])


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="cannot be None or empty"):
        FeatureSpace({})
    two = {"a": "integer_categorical", "b": "integer_categorical"}
    with pytest.raises(ValueError, match="`crossing_dim`"):
        FeatureSpace(two, crosses=[("a", "b")], crossing_dim=None)
    with pytest.raises(ValueError, match="should be present in "):
        FeatureSpace(two, crosses=[("a", "c")])
    with pytest.raises(ValueError, match="for argument `output_mode`"):
        FeatureSpace(two, output_mode="unknown")
    with pytest.raises(ValueError, match="for argument `output_mode`"):
        FeatureSpace.cross(("a", "b"), 3, output_mode="float")
    with pytest.raises(ValueError, match="Invalid feature type: 'text'"):
        FeatureSpace({"a": "text"})
    space = FeatureSpace(two)
    for call in (lambda: space({"a": [0], "b": [0]}), space.get_encoded_features, space.get_inputs):
        with pytest.raises(ValueError, match=r"You need to call `\.adapt"):
            call()
    for data in (3, [1, 2], []):
        with pytest.raises(ValueError, match="can only be called on a dict"):
            space.adapt(data)
    with pytest.raises(ValueError, match="the data has no column 'b'"):
        space.adapt({"a": [1, 2]})
    space.adapt({"a": [1, 2], "b": [3, 4]})
    with pytest.raises(ValueError, match="can only be called with a dict"):
        space(np.ones((2, 2)))
    with pytest.raises(ValueError, match="the data has no column 'a'"):
        space({"b": [1]})
    with pytest.raises(ValueError, match="preprocessor should return an integer dtype"):
        FeatureSpace({"a": FeatureSpace.feature("float32", L.Rescaling(2.0), "one_hot")})({"a": [1.0]})
