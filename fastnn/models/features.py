"""What a FeatureSpace is made of: features, crosses, and the columns of what it is adapted to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastnn.data.columns import column_of
from fastnn.data.convert import has_columns
from fastnn.data.stored import StoredSource
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


def batches_of_columns(dataset: Any, kinds: Mapping[str, str]) -> Iterator[dict[str, Array]]:
    """The columns of each batch, each as its kind, (rows, 1) or more; one pass over the data, which is not kept."""
    if isinstance(dataset, StoredSource):
        for read in dataset.typed(kinds) if kinds else ():
            yield {name: as_column(column) for name, column in read.items()}
        return
    if has_columns(dataset):
        from fastnn.data import frames

        dataset = dict(frames.columns_of(dataset, "dataset") or ())
    columns: Any = None
    for batch in [dataset] if isinstance(dataset, Mapping) else dataset if hasattr(dataset, "__iter__") else ():
        columns = batch[0] if isinstance(batch, tuple) else batch
        if not isinstance(columns, Mapping):
            break
        lacking = [name for name in kinds if name not in columns]
        if lacking:
            raise ValueError(f"the data has no column {', '.join(map(repr, lacking))}, which is a feature")
        yield {name: as_column(column_of(columns[name], kind, f"data[{name!r}]")) for name, kind in kinds.items()}
    if not isinstance(columns, Mapping):
        raise ValueError(
            "`adapt()` can only be called on a dict of arrays or lists, a data frame, SQLDataset or an iterable of "
            f"dicts. Received instead: a {type(dataset).__name__}"
        )
