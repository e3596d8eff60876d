"""Ray Data: predictions of its datasets."""

from __future__ import annotations

from typing import Any, Literal

from fastnn import _names
from fastnn._checks import shown
from fastnn.models.scoring import Scoring

__all__ = ["predict"]


def predict(
    dataset: Any,
    model: Any,
    *,
    features: Any = None,
    output: str = "prediction",
    kind: Literal["classes", "binary", "values"] | None = None,
    null: float | None = None,
    **options: Any,
) -> Any:
    """The dataset with what a model gives for each row, lazily, by ``map_batches``.

    features, output, kind, null: as in ``fastnn.spark.predict``. options: of ``map_batches``: batch_size, num_cpus,
    concurrency, ... TypeError, ValueError for what does not fit.
    """
    if not hasattr(dataset, "map_batches"):
        raise TypeError(f"predict: dataset must be a ray.data.Dataset, got {shown(dataset)}")
    found = Scoring("predict", model, dataset.columns(), features, output, kind, null)
    return dataset.map_batches(lambda table: found(table), batch_format="pyarrow", **options)


_names.offer(globals())
