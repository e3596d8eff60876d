"""Rows of a data frame of Spark through a model, as batches of Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from fastnn import _names
from fastnn._checks import shown
from fastnn.kernels.team import set_num_threads
from fastnn.models.scoring import FLOATS, Scoring

__all__ = ["predict"]


def predict(
    df: Any,
    model: Any,
    *,
    features: Any = None,
    output: str = "prediction",
    kind: Literal["classes", "binary", "values"] | None = None,
    null: float | None = None,
) -> Any:
    """The data frame with what a model gives for each row; the executors work it out when rows are asked for.

    model: a fastnn model, or the path or URL of its file. features: columns in the order of the model's inputs, by
    default those that it was fitted on, where they had names, or all; or one column of arrays or of Spark ML's
    vectors. A number is checked as ``Model.predict_sql`` checks it.

    output: the column that comes: with kind "values" a float, or an array where there are several; of a model of
    several outputs a column for each, output_NAME. With "classes" (a model of several units, by default) or "binary"
    (one sigmoid unit) the number or name of the class, and beside it "probability". null: the number that stands for
    null in a feature, which is an error otherwise.

    Executors need fastnn; a task uses as many cores as spark.task.cpus says. ImportError where pyspark or pyarrow is
    missing; TypeError, ValueError for a model, columns or a kind that do not fit. What is wrong in a row fails its
    task.
    """
    if not hasattr(df, "mapInArrow"):
        raise TypeError(f"predict: df must be a DataFrame of Spark, got {shown(df)}")
    found = Scoring("predict", model, df.columns, features, output, kind, null)
    from pyspark.sql.types import ArrayType, FloatType, StructType

    read, hidden = df, ""
    if len(found.names) == 1:
        read, hidden = as_arrays(df, found.names[0])
        found.names = [hidden or found.names[0]]
    schema = StructType([*read.schema.fields])
    for name, of_type in found.added:
        schema = schema.add(name, ArrayType(FloatType()) if of_type == FLOATS else of_type)

    def scored(batches: Iterator[Any]) -> Iterator[Any]:
        set_num_threads(task_cpus())
        yield from (found(batch) for batch in batches if len(batch))

    given = read.mapInArrow(scored, schema)
    return given.drop(hidden) if hidden else given


def as_arrays(df: Any, name: str) -> tuple[Any, str]:
    """(df, "") where a column is none of Spark ML's vectors; or with one more, of arrays, and what that is called."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.ml.linalg import VectorUDT

    if not isinstance(df.schema[name].dataType, VectorUDT):
        return df, ""
    return df.withColumn(f"{name} as an array", vector_to_array(df[name], "float32")), f"{name} as an array"


def task_cpus() -> int:
    """The cores that a task of Spark has."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return 1 if context is None else max(1, int(context.cpus()))


_names.offer(globals())
