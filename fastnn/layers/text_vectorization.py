"""Texts as tokens: TextVectorization."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnn import _names
from fastnn._checks import check_count
from fastnn.data.columns import as_objects
from fastnn.kernels.text import Tokens
from fastnn.layers.base import LAYERS
from fastnn.layers.front import can_be_sparse, counted, encoded, encoded_shape
from fastnn.layers.index_lookup import IndexLookup
from fastnn.layers.tensor import called
from fastnn.typing import Array, Shape

__all__ = ["TextVectorization"]

PUNCTUATION = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"
STANDARDIZE = {
    None: (False, False),
    "lower_and_strip_punctuation": (True, True),
    "lower": (True, False),
    "strip_punctuation": (False, True),
}


@LAYERS.add("text_vectorization")
@dataclass(frozen=True, eq=False)
class TextVectorization(IndexLookup):
    """Texts as the numbers of their tokens, or as what tokens they have. A text a row -> (output_sequence_length,).

    A text is standardised, cut into tokens, and these are put together to n-grams and looked up in a vocabulary,
    which is given or taken from data by ``adapt``. The numbers: in the mode "int" 0 for what pads a row, 1 for a
    token that is not known, then the tokens; in the others 0 for one that is not known.

    max_tokens: how many numbers there are at most. standardize: "lower_and_strip_punctuation", "lower",
    "strip_punctuation", None, or a function of an array of texts; letters and punctuation of ASCII alone. split:
    "whitespace", "character", None for a text as one token, or a function that gives the tokens of each text. ngrams:
    2 for single tokens and pairs, (2, 3) for pairs and triples; None for tokens alone. output_mode: "int" the tokens'
    numbers in their order; "multi_hot" a row with a 1 for each token that the text has, "count" how often, "tf_idf"
    that times the token's weight, (size,). output_sequence_length: what rows of numbers are cut or padded to; in a
    model they need one. pad_to_max_tokens: rows of max_tokens numbers, whatever the size. vocabulary, idf_weights,
    encoding: as ``StringLookup``. A function of your own is named in a file, and ``load_model`` has to be given it.
    Source: Keras.
    """

    max_tokens: int | None = None
    standardize: Any = "lower_and_strip_punctuation"
    split: Any = "whitespace"
    ngrams: Any = None
    output_mode: str = "int"
    output_sequence_length: int | None = None
    pad_to_max_tokens: bool = False
    vocabulary: Any = None
    idf_weights: Any = None
    sparse: bool = False
    ragged: bool = False
    encoding: str = "utf-8"
    name: str | None = None
    has_input_vocabulary: Any = field(default=None, kw_only=True)
    dtype: Any = field(default=None, kw_only=True, metadata={"saved": False})
    input_shape: Any = field(default=None, kw_only=True)
    vocabulary_kind = "string"
    num_oov_indices = 1
    mask_token = ""
    oov_token = "[UNK]"
    invert = False
    oov_method = "floormod"
    salt = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        for field_name, known in (("standardize", tuple(STANDARDIZE)), ("split", (None, "whitespace", "character"))):
            value = getattr(self, field_name)
            if not callable(value) and (not isinstance(value, (str, type(None))) or value not in known):
                raise ValueError(
                    f"{name}: {field_name} must be {' or '.join(map(repr, known))}, or a function, got {value!r}"
                )
        if self.ragged:
            raise ValueError(
                f"{name}: ragged=True cannot be: rows of the engine have one length; give output_sequence_length"
            )
        self._set("ngrams", _widths_as_given(self.ngrams))
        if self.output_sequence_length is not None:
            if self.output_mode != "int":
                raise ValueError(
                    f"{name}: `output_sequence_length` must not be set if `output_mode` is not 'int'. Received "
                    f"output_sequence_length={self.output_sequence_length}."
                )
            length = check_count(f"{name}: output_sequence_length", self.output_sequence_length)
            self._set("output_sequence_length", length)
        self._check()

    def _finder(self) -> Tokens:
        own = callable(self.standardize) or callable(self.split)  # texts come standardised
        lower, strip = (False, False) if own else STANDARDIZE[self.standardize]
        split = None if callable(self.split) else self.split
        ngrams = self.ngrams
        return Tokens(lower, strip, split, range(1, ngrams + 1) if isinstance(ngrams, int) else ngrams or (1,))

    def _counter(self) -> Tokens:
        return self._finder()

    def _rows_of(self, batch: Array) -> list[Any]:
        """The rows as ``Tokens`` takes them: texts, or lists of texts that are cut no more."""
        if batch.ndim > 1 and self.split is not None:
            if batch.shape[-1] != 1:
                raise ValueError(
                    "When using `TextVectorization` to tokenize strings, the input rank must be 1 or the last shape "
                    f"dimension must be 1. Received: inputs.shape={batch.shape} with rank={batch.ndim}"
                )
            batch = batch[..., 0]
        if callable(self.standardize):
            batch = self._standardized(batch)
        elif callable(self.split) and self.standardize is not None:
            lower, strip = STANDARDIZE[self.standardize]
            changes = {code: code + 32 for code in range(65, 91) if lower} | {
                ord(c): None for c in PUNCTUATION if strip
            }
            batch = as_objects([text.translate(changes) for text in batch.ravel().tolist()], batch.shape)
        if batch.ndim > 2:
            raise ValueError(
                f"layer {called(self)!r}: a row is a text, or of split=None a list of texts; got {batch.shape}"
            )
        rows: list[Any] = batch.tolist()
        if callable(self.split):
            rows = [list(map(str, _plain(tokens))) for tokens in _plain(self.split(batch))]
            if len(rows) != len(batch):
                raise ValueError(f"split must give the tokens of each of {len(batch)} texts, got {len(rows)} lists")
        return rows

    def _standardized(self, batch: Array) -> Array:
        given = np.asarray(self.standardize(batch.astype(str)))
        if given.shape != batch.shape:
            raise ValueError(
                f"standardize must give an array of the shape that it got, {batch.shape}, got {given.shape}"
            )
        return given.astype(str).astype(object)

    @property
    def output_dtype(self) -> str:  # type: ignore[override]
        """What it gives: "int64", or "float32" where the mode is not "int"."""
        return "int64" if self.output_mode == "int" else "float32"

    def output_shape(self, input_shape: Shape) -> Shape:
        if self.output_mode == "int":
            if self.output_sequence_length is None:
                raise ValueError(
                    "in a model rows have one length; give TextVectorization an output_sequence_length, or another "
                    "output_mode"
                )
            return (self.output_sequence_length,)
        if self.output_mode == "one_hot":
            raise ValueError("in a model rows have one length; take the output_mode 'multi_hot' or 'count'")
        return encoded_shape((1,), self.output_mode, self._depth())

    @can_be_sparse
    def on_rows(self, column: Array, sparse: bool = False) -> Any:
        if self._table is None:
            encoded_shape((1,), self.output_mode, self._depth())
            raise RuntimeError(
                f"layer {called(self)!r} has no vocabulary; call adapt with some data, or set_vocabulary"
            )
        alone = column.ndim == 0
        numbers, ends = self._table.finder.find(self._rows_of(column[None] if alone else column), self._oov_start())
        lengths = np.diff(ends, prepend=0)
        if self.output_mode == "int":
            found = padded(numbers, lengths, self.output_sequence_length)
            return found[0] if alone else found
        depth = self._depth()
        assert depth is not None
        weights = self._table.idf if self.output_mode == "tf_idf" else None
        if self.output_mode == "one_hot":
            found = encoded(padded(numbers, lengths, None)[..., None], "one_hot", depth)
        else:
            found = encoded_rows(numbers, lengths, self.output_mode, depth, weights, sparse)
        return found[0] if alone else found


def padded(numbers: Array, lengths: Array, length: int | None) -> Array:
    """Rows of numbers, of these lengths one behind the other, as an array; cut to a length, or filled up with 0."""
    wide = int(lengths.max(initial=0)) if length is None else length
    out = np.zeros((len(lengths), wide), np.int64)
    if len(lengths) and (lengths == wide).all():
        out[...] = numbers.reshape(out.shape)
        return out
    places = np.arange(len(numbers)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows, kept = np.repeat(np.arange(len(lengths)), lengths), places < wide
    out[rows[kept], places[kept]] = numbers[kept]
    return out


def encoded_rows(
    numbers: Array, lengths: Array, mode: str, depth: int, weights: Array | None, sparse: bool = False
) -> Any:
    """As ``front.encoded``, of rows of several lengths one behind the other."""
    rows, kept = np.repeat(np.arange(len(lengths)), lengths), (numbers >= 0) & (numbers < depth)
    mode = "multi_hot" if mode == "multi_hot" else "count"
    return counted(rows[kept] * depth + numbers[kept], (len(lengths), depth), mode, weights, sparse)


def _widths_as_given(ngrams: Any) -> Any:
    if ngrams is None:
        return None
    several = ngrams if isinstance(ngrams, (tuple, list)) else (ngrams,)
    if not several or not all(isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in several):
        raise ValueError(f"`ngrams` must be None, an integer, or a tuple of integers. Received: ngrams={ngrams!r}")
    return tuple(ngrams) if isinstance(ngrams, (tuple, list)) else ngrams


def _plain(values: Any) -> Any:
    """What a function gave, as a list; texts may be bytes, as TensorFlow's are."""
    listed = (
        values.to_list() if hasattr(values, "to_list") else values.tolist() if hasattr(values, "tolist") else values
    )
    return [each.decode() if isinstance(each, bytes) else each for each in listed]


_names.offer(globals())
