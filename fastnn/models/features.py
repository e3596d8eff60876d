"""What a FeatureSpace is made of: features, crosses, and the columns of what it is adapted to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastnn.data import SQLDataset
from fastnn.data.columns import column_of
from fastnn.data.convert import has_columns
from fastnn.typing import Array


class Feature:
    """A feature: the dtype of its column, the layer that it goes through, and what becomes of that.

    output_mode: "float" and "int" as it is, "one_hot" a row of zeros with a 1.
    """

    def __init__(self, dtype: str, preprocessor: Any, output_mode: str) -> None:
        check_mode(output_mode, ("int", "one_hot", "float"))
        self.dtype, self.preprocessor, self.output_mode = dtype, preprocessor, output_mode


class Cross:
    """Features that are hashed together to a number below crossing_dim, "int" or "one_hot"."""

    def __init__(self, feature_names: Iterable[str], crossing_dim: int, output_mode: str = "one_hot") -> None:
        check_mode(output_mode, ("int", "one_hot"))
        self.feature_names, self.crossing_dim, self.output_mode = tuple(feature_names), crossing_dim, output_mode

    @property
    def name(self) -> str:
        """Its name among the features: "a_X_b"."""
        return "_X_".join(self.feature_names)


def check_mode(mode: str, known: tuple[str, ...]) -> None:
    """ValueError for an output_mode that is not known."""
    if mode not in known:
        raise ValueError(
            f"Invalid value for argument `output_mode`. Expected one of {known}. Received: output_mode={mode!r}"
        )


KINDS_OF_FEATURES = (
    "float",
    "float_rescaled",
    "float_normalized",
    "float_discretized",
    "integer_categorical",
    "string_categorical",
    "integer_hashed",
    "string_hashed",
)


def as_column(column: Array) -> Array:
    """Rows of one value or more, of single values and of columns."""
    return column.reshape(-1, 1) if column.ndim < 2 else column


def columns_reader(dataset: Any) -> Any:
    """A function that gives the batches of a column, by its name and kind."""
    if isinstance(dataset, SQLDataset):
        return lambda name, kind: dataset.blocks(kind, [name])
    if has_columns(dataset):
        from fastnn.data import frames

        dataset = dict(frames.columns_of(dataset, "dataset") or ())
    if isinstance(dataset, Mapping):
        batches = [dataset]
    elif hasattr(dataset, "__iter__"):
        batches = [batch[0] if isinstance(batch, tuple) else batch for batch in dataset]
    else:
        batches = []
    if not batches or not all(isinstance(batch, Mapping) for batch in batches):
        raise ValueError(
            "`adapt()` can only be called on a dict of arrays or lists, a data frame, SQLDataset or an iterable of "
            f"dicts. Received instead: a {type(dataset).__name__}"
        )

    def read(name: str, kind: str) -> Any:
        if name not in batches[0]:
            raise ValueError(f"the data has no column {name!r}, which is a feature")
        return (as_column(column_of(batch[name], kind, f"data[{name!r}]")) for batch in batches)

    return read
