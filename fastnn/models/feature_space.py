"""Columns of several kinds as one row of numbers: FeatureSpace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

import numpy as np

from fastnn._checks import as_arguments
from fastnn.data.columns import column_of
from fastnn.data.convert import has_columns
from fastnn.layers import (
    Activation,
    CategoryEncoding,
    Concatenate,
    Discretization,
    HashedCrossing,
    Hashing,
    Input,
    IntegerLookup,
    Normalization,
    Rescaling,
    StringLookup,
)
from fastnn.layers.base import LAYERS
from fastnn.layers.front import column_dtype, encoded
from fastnn.layers.tensor import Tensor
from fastnn.models.features import KINDS_OF_FEATURES, Cross, Feature, as_column, batches_of_columns, check_mode
from fastnn.models.model import Model

__all__ = ["FeatureSpace"]


class FeatureSpace:
    """Columns of several kinds, each through a layer of its own, as one row of numbers, or as a dict of them.

        space = FeatureSpace({"age": "float_normalized", "city": "string_categorical"}, crosses=[("age_group", "city")])
        space.adapt(data)
        model = Model(space.get_inputs(), Dense(1)(space.get_encoded_features()))

    features: a kind for each name, one of the functions below by its name or called: ``float``, ``float_rescaled``,
    ``float_normalized``, ``float_discretized``, ``integer_categorical``, ``string_categorical``, ``integer_hashed``,
    ``string_hashed``; or ``feature`` with a layer of your own. output_mode: "concat", the features side by side in the
    order of their names, then the crosses, or "dict". crosses: tuples of names, or ``cross``. crossing_dim,
    hashing_dim, num_discretization_bins: where the kind is given by name. ValueError for what cannot be. Source:
    Keras.
    """

    def __init__(
        self,
        features: Mapping[str, Any],
        output_mode: str = "concat",
        crosses: Iterable[Any] | None = None,
        crossing_dim: int | None = 32,
        hashing_dim: int = 32,
        num_discretization_bins: int = 32,
        name: str | None = None,
    ) -> None:
        if not features:
            raise ValueError("The `features` argument cannot be None or empty.")
        check_mode(output_mode, ("concat", "dict"))
        self.name = name or "feature_space"
        self.output_mode = output_mode
        self.crossing_dim, self.hashing_dim = crossing_dim, hashing_dim
        self.num_discretization_bins = num_discretization_bins
        self.features: dict[str, Feature] = {key: self._feature(key, value) for key, value in features.items()}
        self.crosses: list[Cross] = []
        for cross in crosses or ():
            if not isinstance(cross, Cross):
                if not crossing_dim:
                    raise ValueError(
                        "When specifying `crosses`, the argument `crossing_dim` should be specified as well."
                    )
                cross = Cross(cross, crossing_dim)
            if set(cross.feature_names) - set(features):
                raise ValueError(
                    "All features referenced in the `crosses` argument should be present in the `features` dict. "
                    f"Received unknown features: {cross.feature_names}"
                )
            self.crosses.append(cross)
        self.preprocessors = {key: feature.preprocessor for key, feature in self.features.items()}
        self.crossers = {cross.name: HashedCrossing(cross.crossing_dim, name=cross.name) for cross in self.crosses}
        self.inputs: dict[str, Tensor] = {
            key: Input((1,), name=key, dtype=feature.dtype) for key, feature in self.features.items()
        }
        self._encoded: Any = None
        self._is_adapted = not self._to_adapt()

    # Kinds of features.

    @classmethod
    def cross(cls, feature_names: Iterable[str], crossing_dim: int, output_mode: str = "one_hot") -> Cross:
        """Features that are hashed together to a number below crossing_dim."""
        return Cross(feature_names, crossing_dim, output_mode)

    @classmethod
    def feature(cls, dtype: str, preprocessor: Any, output_mode: str) -> Feature:
        """A column of that dtype through a layer. output_mode: "float" as it is, "int", or "one_hot" of what is int."""
        return Feature(dtype, preprocessor, output_mode)

    @classmethod
    def float(cls, name: str | None = None) -> Feature:
        """Numbers as they are."""
        return Feature("float32", Activation("linear", name=_named(name)), "float")

    @classmethod
    def float_rescaled(cls, scale: Any = 1.0, offset: Any = 0.0, name: str | None = None) -> Feature:
        """x * scale + offset."""
        return Feature("float32", Rescaling(scale, offset, name=_named(name)), "float")

    @classmethod
    def float_normalized(cls, name: str | None = None) -> Feature:
        """Numbers of mean 0 and deviation 1 in the data that it is adapted to."""
        return Feature("float32", Normalization(axis=-1, name=_named(name)), "float")

    @classmethod
    def float_discretized(
        cls, num_bins: int | None, bin_boundaries: Any = None, output_mode: str = "one_hot", name: str | None = None
    ) -> Feature:
        """Numbers by their bin; as ``Discretization``."""
        layer = Discretization(bin_boundaries, num_bins, name=_named(name))
        return Feature("float32", layer, output_mode)

    @classmethod
    def integer_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """Whole numbers by a vocabulary; as ``IntegerLookup``."""
        layer = IntegerLookup(max_tokens, num_oov_indices, name=_named(name))
        return Feature("int32", layer, output_mode)

    @classmethod
    def string_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """Texts by a vocabulary; as ``StringLookup``."""
        layer = StringLookup(max_tokens, num_oov_indices, name=_named(name))
        return Feature("string", layer, output_mode)

    @classmethod
    def string_hashed(cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None) -> Feature:
        """Texts by their hash; as ``Hashing``."""
        return Feature("string", Hashing(num_bins, name=_named(name)), output_mode)

    @classmethod
    def integer_hashed(cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None) -> Feature:
        """Whole numbers by their hash; as ``Hashing``."""
        return Feature("int32", Hashing(num_bins, name=_named(name)), output_mode)

    def _feature(self, name: str, given: Any) -> Feature:
        if isinstance(given, Feature):
            return given
        sizes = {
            "float_discretized": (self.num_discretization_bins,),
            "integer_hashed": (self.hashing_dim,),
            "string_hashed": (self.hashing_dim,),
        }
        if given not in KINDS_OF_FEATURES:
            raise ValueError(
                f"Invalid feature type: {given!r} for {name!r}; known: {', '.join(KINDS_OF_FEATURES)}, or "
                "FeatureSpace.feature(dtype, preprocessor, output_mode)"
            )
        made: Feature = getattr(self, given)(*sizes.get(given, ()), name=name)
        return made

    # Adapting.

    def _to_adapt(self) -> list[str]:
        """The features whose layers take something from data."""
        return [
            name
            for name, feature in self.features.items()
            if hasattr(feature.preprocessor, "adapt")
            and not getattr(feature.preprocessor, "has_input_vocabulary", False)
            and not (isinstance(feature.preprocessor, Normalization) and feature.preprocessor.given is not None)
            and not (isinstance(feature.preprocessor, Discretization) and feature.preprocessor.num_bins is None)
        ]

    def adapt(self, dataset: Any) -> None:
        """Take what the features' layers need from data.

        dataset: a dict of columns, a data frame, a ``SQLDataset``, or an iterable of dicts, of batches or of single
        rows; all columns are read in one pass, and rows kept for layers of your own alone that
        have ``adapt`` without ``reset_state``, ``update_state`` and ``finalize_state``.
        """
        layers = {name: self.features[name].preprocessor for name in self._to_adapt()}
        kept: dict[str, list[Any]] = {name: [] for name, layer in layers.items() if not hasattr(layer, "update_state")}
        batchwise = {name: layer for name, layer in layers.items() if name not in kept}
        for layer in batchwise.values():
            layer.reset_state()
        kinds = {name: column_dtype(self.features[name].dtype) for name in layers}
        for columns in batches_of_columns(dataset, kinds):
            for name, layer in batchwise.items():
                layer.update_state(columns[name])
            for name in kept:
                kept[name].append(columns[name])
        for layer in batchwise.values():
            layer.finalize_state()
        for name, parts in kept.items():
            layers[name].adapt(np.concatenate(parts))
        self._is_adapted, self._encoded = True, None

    def _check_adapted(self) -> None:
        if not self._is_adapted:
            raise ValueError("You need to call `.adapt(dataset)` on the FeatureSpace before you can start using it.")

    # In a model.

    def get_inputs(self) -> dict[str, Tensor]:
        """The columns as a model's inputs, by their names."""
        self._check_adapted()
        return self.inputs

    def get_encoded_features(self) -> Any:
        """The encoded features as a tensor, or a dict of them, for a model from ``get_inputs``."""
        self._check_adapted()
        if self._encoded is None:
            values = {name: layer(self.inputs[name]) for name, layer in self.preprocessors.items()}
            found: dict[str, Any] = {}
            for name, value, mode in self._encoded_parts(values):
                one_hot = mode == "one_hot"
                found[name] = CategoryEncoding(self._size(name), "multi_hot")(value) if one_hot else value
            if self.output_mode == "concat":
                parts = list(found.values())
                self._encoded = parts[0] if len(parts) == 1 else Concatenate()(parts)
            else:
                self._encoded = found
        return self._encoded

    def _encoded_parts(self, values: dict[str, Any]) -> list[tuple[str, Any, str]]:
        """(name, value, how to encode it) of the features in the order of their names, then of the crosses."""
        parts = [(name, values[name], self.features[name].output_mode) for name in sorted(values)]
        for cross in sorted(self.crosses, key=lambda each: each.name):
            crossed = self.crossers[cross.name]([values[name] for name in cross.feature_names])
            parts.append((cross.name, crossed, cross.output_mode))
        for name, value, mode in parts:
            whole = column_dtype(str(value.dtype)) == "int64"
            if mode == "one_hot" and not whole:
                raise ValueError(
                    f"Feature '{name}' has `output_mode='one_hot'`. Thus its preprocessor should return an integer "
                    f"dtype. Instead it returns a {value.dtype} dtype."
                )
            if mode != "one_hot" and whole and self.output_mode == "concat":
                raise ValueError(
                    f"Cannot concatenate features because feature '{name}' has not been encoded (it has dtype "
                    f"{value.dtype}). Consider using `output_mode='dict'`."
                )
        return parts

    def _size(self, name: str) -> int:
        """How many numbers a feature of whole numbers has."""
        layer = self.preprocessors.get(name) or self.crossers[name]
        size = getattr(layer, "num_bins", None) or getattr(layer, "num_tokens", None)
        for sized in ("vocabulary_size", "number_of_bins"):
            if size is None and hasattr(layer, sized):
                size = getattr(layer, sized)()
        if size is None:
            raise ValueError(
                f"Feature '{name}' has `output_mode='one_hot'`. However it isn't a standard feature and the "
                "dimensionality "
                "of its output space is not known, thus it cannot be one-hot encoded. Try using `output_mode='int'`."
            )
        return int(size)

    # On arrays.

    def __call__(self, data: Any) -> Any:
        """The encoded features of a dict of columns, or of a data frame; of single values those of one row."""
        self._check_adapted()
        if has_columns(data):
            from fastnn.data import frames

            data = dict(frames.columns_of(data, "data") or ())
        if not isinstance(data, Mapping):
            raise ValueError(
                f"A FeatureSpace can only be called with a dict. Received: data of type {type(data).__name__}"
            )
        lacking = [name for name in self.features if name not in data]
        if lacking:
            raise ValueError(f"the data has no column {', '.join(map(repr, lacking))}")
        columns = {
            name: column_of(data[name], column_dtype(feature.dtype), f"data[{name!r}]")
            for name, feature in self.features.items()
        }
        alone = all(column.ndim == 0 for column in columns.values())
        values = {name: self.preprocessors[name](as_column(column)) for name, column in columns.items()}
        found = {
            name: encoded(value, "multi_hot", self._size(name)) if mode == "one_hot" else value
            for name, value, mode in self._encoded_parts(values)
        }
        if alone:
            found = {name: value[0] for name, value in found.items()}
        if self.output_mode == "dict":
            return found
        return np.concatenate([value.astype(np.float32, copy=False) for value in found.values()], axis=-1)

    # Files.

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` makes the same space of, its tables included."""
        return {
            "features": {
                name: {
                    "dtype": feature.dtype,
                    "preprocessor": LAYERS.config(feature.preprocessor) | feature.preprocessor.config(),
                    "output_mode": feature.output_mode,
                }
                for name, feature in self.features.items()
            },
            "output_mode": self.output_mode,
            "crosses": [
                {
                    "feature_names": cross.feature_names,
                    "crossing_dim": cross.crossing_dim,
                    "output_mode": cross.output_mode,
                }
                for cross in self.crosses
            ],
            "crossing_dim": self.crossing_dim,
            "hashing_dim": self.hashing_dim,
            "num_discretization_bins": self.num_discretization_bins,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FeatureSpace:
        """The space that ``get_config`` described. TypeError, ValueError for what describes none."""
        given = as_arguments(cls.__name__, config)
        try:
            features = {
                name: Feature(each["dtype"], LAYERS.from_config(each["preprocessor"]), each["output_mode"])
                for name, each in given["features"].items()
            }
            crosses = [Cross(**each) for each in given["crosses"]]
            return cls(**{**given, "features": features, "crosses": crosses})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this describes no FeatureSpace: {error!r:.200}") from error

    def save(self, filepath: str | PathLike[str], overwrite: bool = True) -> None:
        """Write the space to a file, from which ``load_model`` makes it again."""
        self._as_model().save(filepath, overwrite)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if not self._is_adapted:
            return type(self).from_config, (self.get_config(),)
        return type(self).from_model, (self._as_model(),)

    def _as_model(self) -> Model:
        """A model of the space's layers, which says what else there is to know of it."""
        self._check_adapted()
        values = {name: layer(self.inputs[name]) for name, layer in self.preprocessors.items()}
        model = Model(self.inputs, values, name=self.name)
        config = self.get_config()
        for name, each in config["features"].items():
            each["preprocessor"] = model.description.names[model.description.members.index(self.preprocessors[name])]
        model.description.notes = {"feature_space": config}
        return model

    @classmethod
    def from_model(cls, model: Any) -> FeatureSpace:
        """The space that ``save`` wrote, out of the model that the file holds. ValueError where it holds none."""
        config = model.description.notes["feature_space"]
        try:
            features = {
                name: Feature(each["dtype"], model.get_layer(each["preprocessor"]), each["output_mode"])
                for name, each in config["features"].items()
            }
            crosses = [Cross(**each) for each in config["crosses"]]
            space = cls(**{**config, "features": features, "crosses": crosses})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this describes no FeatureSpace: {error!r:.200}") from error
        space._is_adapted = True
        space.name = model.name
        return space


def _named(name: str | None) -> str | None:
    return None if name is None else f"{name}_preprocessor"
