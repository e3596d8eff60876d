"""What a model is, whatever is done with it: its graph, names, weights and network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any

from fastnn import _names
from fastnn._attributes import missing, public_names
from fastnn._checks import LONGEST, as_arguments, as_flag, check_count, shown
from fastnn._output import say
from fastnn.layers.base import mode_of
from fastnn.layers.connected import Connected
from fastnn.layers.graph import Graph
from fastnn.layers.places import LayerVariable, replace, variables_of
from fastnn.layers.quantized import quantized_in
from fastnn.layers.tensor import Node, Tensor, flattened, set_automatic_name
from fastnn.models import configs
from fastnn.models.description import Description
from fastnn.models.gradient import Gradients
from fastnn.serialization import serialize_keras_object
from fastnn.typing import ArrayLike, FloatArray, Shape

KINDS: dict[str, type[Built]] = {}  # the classes of models that a file may name
ADOPT: list[Callable[[Any], None]] = []  # what is done with each new class of models


class NotBuiltError(AttributeError, RuntimeError, ValueError):
    """What is asked of a model is there once it is built; so ``hasattr`` says that it is not."""


class _Name:
    """A model's name, which is looked at when it is set: it stands in files, and in the paths of weights."""

    def __get__(self, model: Any, owner: Any = None) -> Any:
        return self if model is None else vars(model)["name"]

    def __set__(self, model: Any, value: str) -> None:
        if not isinstance(value, str) or not value or "/" in value:
            raise ValueError(f"{type(model).__name__}: name must be a text without '/', got {shown(value)}")
        vars(model)["name"] = value
        set_automatic_name(model, False)


class Built(Gradients, Connected):
    """A graph of layers, and the network that it becomes."""

    table_name = "functional"
    table_family = "model"  # as a field of a layer that is made of one
    name = _Name()
    description: Description

    __dir__ = public_names
    __getattr__ = missing

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    def _repr_html_(self) -> str:
        from html import escape

        from fastnn.models.summary import described

        text = escape(described(self.name, self.description))
        return f'<pre style="font-family: monospace">{text}</pre>'  # notebooks show a bare pre in other letters

    def _begin(self, name: str | None) -> None:
        self.name = self.table_name if name is None or (isinstance(name, str) and not name) else name
        set_automatic_name(self, not name)
        self.description = Description(self.table_name)

    # The graph.

    def _symbolic(self, inputs: Any, training: Any = None) -> Any:
        """What the model gives for symbolic tensors: its layers, applied to them."""
        tensors, _, keys = flattened(inputs, f"model {self.name!r}: inputs")
        if keys:
            tensors = self.description.takes.unpack(inputs, f"model {self.name!r}: inputs")
        self._take_rows(tensors[0].row)
        graph = self._drawn()
        expected, came = ([tensor.row for tensor in each] for each in (graph.inputs, tensors))
        if came != expected:
            raise ValueError(
                f"model {self.name!r} expects rows of {_listed(expected)}, got {_listed(came)}; "
                "check what it is called on"
            )
        for own, tensor in zip(graph.inputs, tensors, strict=True):
            if (own.dtype == "string") != (tensor.dtype == "string"):
                raise ValueError(
                    f"model {self.name!r} reads a tensor of dtype {own.dtype!r} as {own.name!r}, got {tensor.dtype!r}"
                )
        rows = tuple(tensor.row for tensor in graph.outputs)
        mode = mode_of(self, training)
        node = Node(self, tuple(tensors), rows, self.description.gives, graph, mode)
        return self.description.gives.pack(self._note(node).tensors())

    def _drawn(self) -> Graph:
        graph = self.description.graph
        if graph is None:
            raise NotBuiltError(f"model {self.name!r} has no layers that are connected yet; build it first")
        return graph

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors that the model reads."""
        self._built("inputs")
        return list(self._drawn().inputs)

    @property
    def outputs(self) -> list[Tensor]:
        """The tensors that the model gives."""
        self._built("outputs")
        return list(self._drawn().outputs)

    @property
    def input(self) -> Any:
        """The tensor, or the list or dict of tensors, that the model reads."""
        return self.description.takes.pack(self.inputs)

    @property
    def output(self) -> Any:
        """The tensor, or the list or dict of tensors, that the model gives."""
        return self.description.gives.pack(self.outputs)

    @property
    def input_names(self) -> list[str]:
        """The names by which x may be given as a dict."""
        return list(self.description.takes.names)

    @property
    def output_names(self) -> list[str]:
        """The names by which y, losses and metrics may be given as a dict."""
        return list(self.description.gives.names)

    @property
    def input_shape(self) -> Any:
        """(None, ...): the shape of the rows that the model reads; of several inputs a list or dict."""
        return self.description.takes.pack([tensor.shape for tensor in self._described("input_shape").inputs])

    @property
    def output_shape(self) -> Any:
        """(None, ...): the shape of what the model gives; of several outputs a list or dict."""
        return self.description.gives.pack([tensor.shape for tensor in self._described("output_shape").outputs])

    def _described(self, action: str) -> Graph:
        self._built(action)
        return self._drawn()

    @property
    def layers(self) -> list[Any]:
        """The layers, and the models among them, inputs included."""
        return list(self.description.members)

    @layers.setter
    def layers(self, _: Any) -> None:
        raise AttributeError(
            "`Model.layers` attribute is reserved and should not be used: call your list of layers otherwise, such as "
            "self.blocks"
        )

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer of this name, or at this place in ``layers``. ValueError where there is none."""
        if (name is None) == (index is None):
            raise ValueError("get_layer needs a name or an index, and not both")
        found = dict(zip(self.description.names, self.description.members, strict=True))
        if name is not None:
            if not isinstance(name, str):
                raise TypeError(f"get_layer: name must be a text, got {shown(name)}")
            if name not in found:
                raise ValueError(
                    f"model {self.name!r} has no layer {name!r}{_names.hint(name, found)}; it has "
                    f"{', '.join(map(repr, found))}"
                )
            return found[name]
        layers, number = self.layers, check_count("get_layer: index", index, -LONGEST)
        if not -len(layers) <= number < len(layers):
            raise ValueError(f"model {self.name!r} has {len(layers)} layers, got index {number}")
        return layers[number]

    # The network.

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self.description.network is not None

    def _take_rows(self, shape: Shape) -> None:
        """Build for rows of this shape, where only that was missing."""

    def _built(self, action: str) -> Any:
        """The network, for what `action` names. RuntimeError while there is none."""
        return self.description.network

    def _built_by(self, action: str, x: Any) -> Any:
        """The network, made for rows like those of `x` where only they were missing."""
        return self._built(action)

    # Weights.

    @property
    def trainable(self) -> bool:
        """Whether any layer learns; to set it sets it for all of them. It counts from the next ``compile`` on."""
        layers = self.description.layers()
        return not layers or any(layer.trainable for layer in layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        layer: Any
        value = as_flag("trainable", value)
        for layer in [*self.description.layers(), *self.description.members]:
            layer.trainable = value

    def get_weights(self) -> list[FloatArray]:
        """Copies of all weights, layer by layer: kernel, bias, kernel, bias, ..."""
        self._built("get_weights")
        with self.description.locked():
            return [array.copy() for array in self.description.views()]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replace all weights; arrays as ``get_weights`` gives them. ValueError, and no change, where one differs."""
        self._built("set_weights")
        replace(self.description.locked(), self.description.views, weights)

    @property
    def weights(self) -> list[LayerVariable]:
        """All weights as variables, each as it is when it is looked at; none before the model is built."""
        return variables_of(self.description.layers())

    variables = weights

    @property
    def trainable_weights(self) -> list[LayerVariable]:
        """The weights that learn."""
        return variables_of(self.description.layers(), True)

    trainable_variables = trainable_weights

    @property
    def non_trainable_weights(self) -> list[LayerVariable]:
        """The weights that do not learn."""
        return variables_of(self.description.layers(), False)

    non_trainable_variables = non_trainable_weights

    def count_params(self) -> int:
        """How many numbers the weights hold."""
        self._built("count_params")
        few = quantized_in(self.description).values()
        return sum(array.size for array in self.description.views()) + sum(each.size for each in few)

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], object] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
    ) -> None:
        """Print the layers, what they give, how many parameters they have and, in a graph, what they read.

        expand_nested: the layers of models and layers inside, too. show_trainable: whether each learns. layer_range:
        the names, or patterns of them, of the first and the last layer. line_length, positions: of old programs; the
        columns are as wide as what is in them. print_fn: takes the text.
        """
        from fastnn.models.summary import check_table, described

        if print_fn is not None and not callable(print_fn):
            raise TypeError(f"summary: print_fn must be a function of a text, got {shown(print_fn)}")
        check_table(line_length, positions, layer_range)
        flags = as_flag("summary: expand_nested", expand_nested), as_flag("summary: show_trainable", show_trainable)
        (print_fn or say)(described(self.name, self.description, *flags, layer_range))

    # Files.

    def save(
        self,
        filepath: str | PathLike[str],
        overwrite: bool = True,
        compression: bool | str | Mapping[str, Any] | None = None,
        include_optimizer: bool | None = None,
    ) -> None:
        """Write layers, weights, and what ``compile`` was given with the optimizer's state to one file.

        filepath: a path, or a file that is open for bytes, such as a BytesIO.
        ``pickle``, ``copy`` and joblib take a model too, and put these bytes into what they write.

        compression: "xz", "zlib" or "zstd" compress the whole file, every weight to the bit; True is "xz", or "zlib"
        in a Python without it; "zstd" needs ``pip install "fastnn[compress]"`` to save and to load. {"bits": 4}
        rounds the weights of each array to 16 values besides, which k-means finds, and keeps zeros as the gaps between
        others: best after pruning. bits: 2 to 8; {"bits": 4, "method": "zstd"} says both. Loading asks for nothing.
        include_optimizer: whether the optimizer's state goes along, which is up to twice as large as the weights; by
        default it does without compression alone. Training goes on from a file without it, with a state of zeros.

        The layout is safetensors, data only, with any name but one that ends with ".keras", which is written as Keras
        writes it. The file is replaced whole or not at all. FileExistsError where it exists and overwrite is False;
        RuntimeError before the model is built.
        """
        from fastnn.store import formats, model_file  # with json, a quarter of what `import fastnn` would cost

        self._built("save")
        if other := formats.of_model(filepath, compression):
            other.save(self, filepath, overwrite)
            return
        with self.description.locked():
            if hasattr(filepath, "write"):
                filepath.write(model_file.packed(self, compression, include_optimizer))
            else:
                model_file.save(self, filepath, overwrite, compression, include_optimizer)

    def save_weights(
        self,
        filepath: str | PathLike[str],
        overwrite: bool = True,
        compression: bool | str | Mapping[str, Any] | None = None,
    ) -> None:
        """Write the weights alone to one file, as ``save`` does it; ``load_weights`` reads them."""
        from fastnn.store import formats, model_file

        self._built("save_weights")
        if other := formats.of_weights(filepath, compression):
            other.save_weights(self, filepath, overwrite)
            return
        with self.description.locked():
            model_file.save_weights(self.description, filepath, overwrite, compression)

    def load_weights(self, filepath: str | PathLike[str], skip_mismatch: bool = False) -> None:
        """Take the weights from a file of ``save_weights`` or ``save``, by the layers' names.

        ValueError, and no change, where a name or shape differs or the file is damaged. skip_mismatch: leave out the
        arrays whose name or shape differs, instead.
        """
        from fastnn.store import formats, model_file

        self._built("load_weights")
        skip = as_flag("load_weights: skip_mismatch", skip_mismatch)
        if other := formats.of_weights(filepath):
            other.load_weights(self, filepath, skip)
            return
        model_file.load_weights(self.description, filepath, skip)

    def get_config(self) -> dict[str, Any]:
        """Layers and connections as Keras has them, without weights; ``from_config`` makes the model again.

        ValueError for a lambda in a layer, which has no name.
        """
        return configs.config_of(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The model that ``get_config`` described, fastnn's or Keras's, with new weights.

        A subclass is given inputs and outputs, or layers, and what its own ``get_config`` has put beside them; or that
        alone. ValueError where it describes none.
        """
        functional, sequential = KINDS["functional"], KINDS["sequential"]
        if cls not in (functional, sequential) and isinstance(config, Mapping):
            if "layers" not in config:
                return cls(**as_arguments(cls.__name__, config))
            functional = configs.maker(cls, functional, "inputs", config)  # type: ignore[assignment]
            sequential = configs.maker(cls, sequential, "layers", config)  # type: ignore[assignment]
        return configs.model_of(config, functional, sequential, custom_objects)

    def to_json(self, **kwargs: Any) -> str:
        """The model without weights as a text, in Keras's form; ``model_from_json`` reads it. kwargs: of json.dumps."""
        import json

        described = serialize_keras_object(self)
        try:
            return json.dumps(described, **kwargs)
        except (TypeError, ValueError) as error:
            raise type(error)(f"to_json takes what json.dumps takes: {error}") from None


def _listed(shapes: Sequence[Shape]) -> str:
    return "shape " + ", ".join(map(str, shapes))
