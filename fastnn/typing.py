"""Names for types that many signatures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike
    from typing import Protocol

    import numpy as np
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]
    FloatArray: TypeAlias = npt.NDArray[np.float32]
    DoubleArray: TypeAlias = npt.NDArray[np.float64]  # what a reference takes and gives
    ArrayLike: TypeAlias = npt.ArrayLike

    class TrainedModel(Protocol):
        """A model as the trainer and callbacks know it: ``fastnn.models.Model``, which imports them."""

        name: str
        stop_training: bool
        stop_evaluating: bool
        stop_predicting: bool
        history: Any
        description: Any  # fastnn.models.description.Description

        @property
        def fit(self) -> Callable[..., Any]: ...
        @property
        def evaluate(self) -> Callable[..., Any]: ...
        @property
        def predict(self) -> Callable[..., Any]: ...
        @property
        def summary(self) -> Callable[..., None]: ...
        @property
        def optimizer(self) -> Any: ...
        @property
        def loss(self) -> Any: ...
        @property
        def output_names(self) -> list[str]: ...
        @property
        def built(self) -> bool: ...
        @property
        def layers(self) -> list[Any]: ...
        @property
        def inputs(self) -> list[Any]: ...
        @property
        def outputs(self) -> list[Any]: ...
        @property
        def weights(self) -> list[Any]: ...
        def get_layer(self, name: str | None = None, index: int | None = None) -> Any: ...
        def count_params(self) -> int: ...
        def get_weights(self) -> list[FloatArray]: ...
        def set_weights(self, weights: Sequence[ArrayLike]) -> None: ...
        def save(self, filepath: str | PathLike[str], overwrite: bool = True) -> None: ...
        def save_weights(self, filepath: str | PathLike[str], overwrite: bool = True) -> None: ...
        def load_weights(self, filepath: str | PathLike[str]) -> None: ...
        def build(self, input_shape: Any = None) -> None: ...

    class EpochLogs(Protocol):
        """What each epoch gave, for a picture: ``fastnn.callbacks.History``, which imports the one that draws it."""

        @property
        def history(self) -> dict[str, list[Any]]: ...
        def values(self, name: str) -> tuple[list[int], list[Any]]: ...

else:
    # numpy.typing would be imported for nothing but their names.
    Array = FloatArray = DoubleArray = ArrayLike = TrainedModel = EpochLogs = Any

Shape: TypeAlias = tuple[int, ...]
