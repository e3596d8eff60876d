"""``fastnn.spark.predict`` beside ``Model.predict``, from and to what Spark reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Model, Sequential
from fastnn.layers import Conv2D, Dense, Flatten, Input

pytest.importorskip("pyspark")
pytest.importorskip("pyarrow")
from pyspark.errors import PythonException

X = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)


def frame(spark: Any, x: Any = X, **more: Any) -> Any:
    rows = [(n, *map(float, row)) for n, row in enumerate(x)]
    return spark.createDataFrame(rows, "id long, a float, b double, c float").repartition(3)


def collected(df: Any, column: str = "prediction") -> Any:
    return [row[column] for row in df.orderBy("id").select("id", column).collect()]


def made(units: int, activation: str = "linear", inputs: int = 3) -> Any:
    return Sequential([Input((inputs,)), Dense(5, "tanh"), Dense(units, activation)])


def test_a_number_a_row(spark: Any) -> None:
    model = made(1)
    df = fastnn.spark.predict(frame(spark), model, features=["a", "b", "c"])
    assert df.columns == ["id", "a", "b", "c", "prediction"]
    assert dict(df.dtypes)["prediction"] == "float"
    assert np.array_equal(collected(df), model.predict(X)[:, 0])


def test_several_numbers_a_row(spark: Any) -> None:
    model = made(4)
    df = fastnn.spark.predict(frame(spark), model, features=("a", "b", "c"), output="out", kind="values")
    assert dict(df.dtypes)["out"] == "array<float>"
    assert np.array_equal(collected(df, "out"), model.predict(X))


def test_classes(spark: Any) -> None:
    model = made(3, "softmax")
    df = fastnn.spark.predict(frame(spark), model, features=["a", "b", "c"])
    found = model.predict(X)
    assert collected(df) == found.argmax(axis=1).tolist()
    assert np.allclose(collected(df, "probability"), found.max(axis=1))
    model.description.notes["classes"] = ["x", "y", "z"]
    named = fastnn.spark.predict(frame(spark), model, features=["a", "b", "c"])
    assert collected(named) == [["x", "y", "z"][n] for n in found.argmax(axis=1)]
    binary = made(1, "sigmoid")
    found = fastnn.spark.predict(frame(spark), binary, features=["a", "b", "c"])
    assert collected(found) == (binary.predict(X)[:, 0] > 0.5).astype(int).tolist()


def test_features_by_the_names_of_the_fit(spark: Any, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    model = made(1)
    model.compile("adam", "mse")
    model.fit(pd.DataFrame(X, columns=["a", "b", "c"]), X[:, 0], verbose=0)
    shuffled = frame(spark).select("c", "id", "b", "a")
    assert np.array_equal(collected(fastnn.spark.predict(shuffled, model)), model.predict(X)[:, 0])
    model.save(tmp_path / "net.fastnn")
    assert np.array_equal(
        collected(fastnn.spark.predict(shuffled, str(tmp_path / "net.fastnn"))), model.predict(X)[:, 0]
    )


@pytest.mark.parametrize("kind", ["vector", "array<float>", "array<double>"])
def test_a_column_of_vectors(spark: Any, kind: str) -> None:
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql import functions as F

    model, df = made(2), frame(spark)
    together = F.array(*(F.col(name).cast("double") for name in "abc"))
    column = array_to_vector(together) if kind == "vector" else together.cast(kind)
    found = fastnn.spark.predict(df.select("id", column.alias("x")), model, features="x", kind="values")
    assert found.columns == ["id", "x", "prediction"]
    assert np.array_equal(collected(found), model.predict(X))
    assert list(collected(found, "x")[0]) == pytest.approx(X[0].tolist())


def test_pictures_and_several_outputs(spark: Any) -> None:
    x = np.random.default_rng(1).normal(size=(20, 12)).astype(np.float32)
    given = Input((3, 4, 1))
    flat = Flatten()(Conv2D(2, 2)(given))
    model = Model(given, [Dense(2, name="left")(flat), Dense(1, name="right")(flat)])
    df = spark.createDataFrame([(n, row.tolist()) for n, row in enumerate(x)], "id long, x array<float>")
    found = fastnn.spark.predict(df, model, features="x", output="out")
    left, right = model.predict(x.reshape(20, 3, 4, 1))
    assert np.array_equal(collected(found, "out_left"), left)
    assert np.array_equal(collected(found, "out_right"), right[:, 0])


def test_texts_through_a_models_front(spark: Any) -> None:
    from fastnn.layers import CategoryEncoding, Concatenate, StringLookup

    colour, size = Input((1,), dtype="string", name="colour"), Input((1,), name="size")
    lookup = StringLookup(vocabulary=["red", "green"], output_mode="one_hot")(colour)
    model = Model([colour, size], Dense(1)(Concatenate()([lookup, size])))
    assert CategoryEncoding
    rows = [(n, ["red", "green", "blue"][n % 3], float(n)) for n in range(30)]
    df = spark.createDataFrame(rows, "id long, colour string, size double")
    expected = model.predict({"colour": np.array([r[1] for r in rows]), "size": np.array([r[2] for r in rows])})
    assert np.allclose(collected(fastnn.spark.predict(df, model)), expected[:, 0])


def test_nulls_and_texts_are_errors_in_their_rows(spark: Any) -> None:
    df = spark.createDataFrame([(0, 1.0, None, 2.0)], "id long, a float, b double, c float")
    model = made(1)
    with pytest.raises(PythonException, match="column 'b' is NULL in row 1"):
        fastnn.spark.predict(df, model, features=["a", "b", "c"]).collect()
    filled = fastnn.spark.predict(df, model, features=["a", "b", "c"], null=7)
    assert collected(filled) == model.predict(np.array([[1, 7, 2]], np.float32))[:, 0].tolist()
    texts = df.selectExpr("id", "a", "'t' as b", "c")
    with pytest.raises(PythonException, match="column 'b' holds text"):
        fastnn.spark.predict(texts, model, features=["a", "b", "c"]).collect()
    ragged = spark.createDataFrame([(0, [1.0, 2.0]), (1, [1.0])], "id long, x array<float>").coalesce(1)
    with pytest.raises(PythonException, match="column 'x' must hold as many numbers in each row"):
        fastnn.spark.predict(ragged, made(1, inputs=2), features="x").collect()
    model.set_weights([np.full_like(w, np.inf) for w in model.get_weights()])
    with pytest.raises(PythonException, match=r"the model gave (nan|inf) for row"):
        fastnn.spark.predict(frame(spark), model, features=["a", "b", "c"]).collect()


def test_what_does_not_fit_is_said_at_once(spark: Any) -> None:
    df, model = frame(spark), made(1)
    for options, says in (
        ({"features": ["a", "b", "d"]}, "unknown"),
        ({"features": ["a", "b"]}, "reads 3 numbers a row, got 2 columns"),
        ({}, "reads 3 numbers a row, got 4 columns"),
        ({"features": ["a", "b", "c"], "output": "a"}, "there is a column 'a' already"),
        ({"features": ["a", "b", "c"], "kind": "class"}, "unknown kind"),
    ):
        with pytest.raises(ValueError, match=says):
            fastnn.spark.predict(df, model, **options)
    with pytest.raises(TypeError, match="df must be a DataFrame"):
        fastnn.spark.predict([1], model)
    with pytest.raises(TypeError, match="model must be a fastnn"):
        fastnn.spark.predict(df, 3)
    with pytest.raises(RuntimeError, match="not built"):
        fastnn.spark.predict(df, Sequential([Dense(1)]))
    with pytest.raises(FileNotFoundError):
        fastnn.spark.predict(df, "none.fastnn")


def test_no_rows(spark: Any) -> None:
    found = fastnn.spark.predict(frame(spark).where("id < 0"), made(2), features=["a", "b", "c"], kind="values")
    assert found.collect() == []


def test_parquet_tables_and_jdbc(spark: Any, tmp_path: Path) -> None:
    model = made(1)
    expected = model.predict(X)[:, 0]
    frame(spark).write.parquet(str(tmp_path / "in.parquet"))
    read = spark.read.parquet(str(tmp_path / "in.parquet"))
    fastnn.spark.predict(read, model, features=["a", "b", "c"]).write.parquet(str(tmp_path / "out.parquet"))
    assert np.array_equal(collected(spark.read.parquet(str(tmp_path / "out.parquet"))), expected)

    frame(spark).write.saveAsTable("given")
    fastnn.spark.predict(spark.table("given"), model, features=["a", "b", "c"]).write.saveAsTable("scored")
    assert np.array_equal(collected(spark.sql("SELECT * FROM scored")), expected)

    url = f"jdbc:derby:{tmp_path / 'db'};create=true"  # the database that comes with pyspark
    derby = {"driver": "org.apache.derby.iapi.jdbc.AutoloadedDriver"}
    frame(spark).coalesce(1).write.jdbc(url, "given", properties=derby)
    given = spark.read.jdbc(url, "given", properties=derby)
    names = {name.lower(): name for name in given.columns}
    scored = fastnn.spark.predict(given, model, features=[names["a"], names["b"], names["c"]])
    scored.coalesce(1).write.jdbc(url, "scored", properties=derby)
    back = spark.read.jdbc(url, "scored", properties=derby)
    assert np.array_equal(collected(back.toDF(*(name.lower() for name in back.columns))), expected)
