"""What layers have in common that find tokens in a vocabulary: StringLookup, IntegerLookup, TextVectorization."""

from __future__ import annotations

import os
from itertools import pairwise
from math import prod
from typing import Any, ClassVar

import numpy as np

from fastnn._checks import check_choice, check_count, check_flag
from fastnn.data.columns import column_of, texts_of
from fastnn.kernels.text import Tokens, hashes
from fastnn.layers._fields import own_input_shape
from fastnn.layers.base import LAYERS
from fastnn.layers.front import (
    MODES,
    AdaptedLayer,
    RowError,
    can_be_sparse,
    check_mode,
    check_table,
    encoded,
    encoded_shape,
    salted,
)
from fastnn.layers.tensor import called
from fastnn.layers.vocabulary import DROPPED, Inverse, Vocabulary
from fastnn.typing import Array, Shape


class IndexLookup(AdaptedLayer):
    """What StringLookup, IntegerLookup and TextVectorization have in common.

    ``adapt`` takes the tokens from the most frequent on, of two alike the later in order first; with max_tokens the
    most frequent alone. In the mode "tf_idf" a token weighs log(1 + rows / (1 + rows that have it)).
    """

    vocabulary_kind: ClassVar[str]  # "string" or "int64"
    max_tokens: int | None
    num_oov_indices: int
    mask_token: Any
    oov_token: Any
    vocabulary: Any
    idf_weights: Any
    invert: bool
    output_mode: str
    pad_to_max_tokens: bool
    oov_method: str
    salt: Any
    has_input_vocabulary: Any

    def _check(self) -> None:
        name = type(self).__name__
        for flag in ("invert", "pad_to_max_tokens"):
            check_flag(self, flag)
        if self.max_tokens is not None:
            self._set("max_tokens", check_count(f"{name}: max_tokens", self.max_tokens, 2))
        if self.pad_to_max_tokens and self.max_tokens is None:
            raise ValueError(f"{name}: If pad_to_max_tokens is True, must set `max_tokens`. Received: max_tokens=None")
        self._set("num_oov_indices", check_count(f"{name}: num_oov_indices", self.num_oov_indices, 0))
        check_mode(self, (*MODES, "tf_idf"))
        if self.invert and self.output_mode != "int":
            raise ValueError(
                f"{name}: `output_mode` must be `'int'` when `invert` is true. Received: output_mode={self.output_mode}"
            )
        if self.idf_weights is not None and self.output_mode != "tf_idf":
            raise ValueError(
                f"{name}: `idf_weights` should only be set if `output_mode` is `'tf_idf'`. "
                f"Received: output_mode={self.output_mode}"
            )
        check_choice(self, "oov_method", "floormod", "farmhash")
        if self.salt is not None and self.vocabulary_kind == "int64" and self.oov_method != "farmhash":
            raise ValueError(
                f"{name}: `salt` can only be used when `oov_method='farmhash'`. Received: oov_method={self.oov_method}"
            )
        self._set("salt", salted(self, self.salt))
        own_input_shape(self)
        if self.has_input_vocabulary is None:
            self._set("has_input_vocabulary", self.vocabulary is not None)
        if self.vocabulary is not None:
            if self.output_mode == "tf_idf" and self.idf_weights is None:
                raise ValueError(
                    f"{name}: When specifying the `vocabulary` argument, in TF-IDF output mode, the `idf_weights` "
                    "argument must also be provided."
                )
            self.set_vocabulary(self.vocabulary, self.idf_weights)
            # The table has them now, whatever they were given as: a list, an array, the path of a file.
            self._set("vocabulary", None)

    def config(self) -> dict[str, Any]:
        table = self._table
        known: dict[str, Any] = {"vocabulary": None, "idf_weights": None}
        if table is not None:
            weighted = self.output_mode == "tf_idf"
            known["vocabulary"] = self.get_vocabulary(include_special_tokens=weighted)
            if weighted:
                known["idf_weights"] = table.idf[: table.first + len(table.tokens)].tolist()
        return {**LAYERS.config(self), **known}

    # The vocabulary.

    def _oov_start(self) -> int:
        return 1 if self.mask_token is not None and self.output_mode == "int" else 0

    def _token_start(self) -> int:
        return self._oov_start() + self.num_oov_indices

    def _specials(self) -> list[Any]:
        return [self.mask_token] * self._oov_start() + [self.oov_token] * self.num_oov_indices

    def _finder(self) -> Tokens | None:
        return Tokens() if self.vocabulary_kind == "string" else None

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Set the tokens, in place of ``adapt``: a list or array, or the path of a file with one in each line.

        idf_weights: one for each token, in the mode "tf_idf" and in no other. ValueError where a token comes twice, and
        for more of them than max_tokens.
        """
        name = type(self).__name__
        if self.output_mode == "tf_idf" and idf_weights is None:
            raise ValueError(f"{name}: `idf_weights` must be set if output_mode is 'tf_idf'.")
        if self.output_mode != "tf_idf" and idf_weights is not None:
            raise ValueError(
                f"{name}: `idf_weights` should only be set if output_mode is `'tf_idf'`. "
                f"Received: output_mode={self.output_mode}"
            )
        from_file = isinstance(vocabulary, (str, os.PathLike))
        tokens = self._from_file(os.fspath(vocabulary)) if from_file else self._plain(vocabulary)
        if not tokens:
            raise ValueError(f"{name}: Cannot set an empty vocabulary. Received: vocabulary={vocabulary!r:.80}")
        start, specials = self._token_start(), self._specials()
        found = not from_file and tokens[:start] == specials
        weights = None if idf_weights is None else self._weights(idf_weights, len(tokens), 0 if found else start)
        tokens = tokens[start:] if found else tokens
        self._check_tokens(tokens, specials)
        if self.max_tokens is not None and start + len(tokens) > self.max_tokens:
            raise ValueError(
                f"{name}: Attempted to set a vocabulary larger than the maximum vocab size. Received vocabulary size "
                f"is {start + len(tokens)}; `max_tokens` is {self.max_tokens}."
            )
        self._take(tokens, weights)

    def _take(self, tokens: list[Any], weights: Any) -> None:
        """Make the table of these tokens."""
        mask = None
        if self.mask_token is not None:
            mask = self.mask_token, 0 if self.output_mode == "int" else DROPPED
        self._check_size(self._token_start() + len(tokens))
        table: Any = (
            Inverse(self._specials() + tokens, self._token_start(), self.oov_token)
            if self.invert
            else Vocabulary(tokens, self._token_start(), mask, self._finder(), weights)
        )
        self._set("_table", table)
        self._set("idf_weights", weights)

    def _check_size(self, size: int) -> None:
        """RuntimeError where the layer was called on tensors and its rows would have another width now."""
        if self.output_mode == "int" or self.pad_to_max_tokens or self._table is None:
            return
        old = self.vocabulary_size()
        if size != old and any(call() is not None for call in vars(self).get("_calls", ())):
            raise RuntimeError(
                f"When using `output_mode={self.output_mode}` and `pad_to_max_tokens=False`, the vocabulary size "
                f"cannot be changed after the layer is called. Old vocab size is {old}, new vocab size is {size}"
            )

    def _from_file(self, path: str) -> list[Any]:
        if not os.path.exists(path):
            raise ValueError(f"Vocabulary file {path} does not exist.")
        if self.output_mode == "tf_idf":
            raise ValueError("output_mode `'tf_idf'` does not support loading a vocabulary from file.")
        with open(path, encoding=getattr(self, "encoding", "utf-8")) as file:
            lines = file.read().split("\n")
        if lines[-1] == "":
            lines.pop()
        if self.vocabulary_kind == "string":
            return lines
        try:
            return [int(line) for line in lines]
        except ValueError as error:
            raise ValueError(f"Vocabulary file {path} must hold a whole number in each line: {error}") from None

    def _plain(self, vocabulary: Any) -> list[Any]:
        """A list of Python's texts or ints; specials may be None."""
        if isinstance(vocabulary, (list, tuple)) and None in vocabulary:
            start = next((i for i, each in enumerate(vocabulary) if each is not None), len(vocabulary))
            return [None] * start + self._plain(vocabulary[start:])
        if self.vocabulary_kind == "string":
            column = texts_of(vocabulary, f"{type(self).__name__}: vocabulary", 0, getattr(self, "encoding", "utf-8"))
        else:
            column = column_of(vocabulary, "int64", f"{type(self).__name__}: vocabulary")
        if column.ndim != 1:
            raise ValueError(f"{type(self).__name__}: vocabulary must have one axis, got the shape {column.shape}")
        tokens: list[Any] = column.tolist()
        return tokens

    def _check_tokens(self, tokens: list[Any], specials: list[Any]) -> None:
        name, known = type(self).__name__, set(tokens)
        if len(known) < len(tokens):
            from collections import Counter

            twice = [token for token, times in Counter(tokens).items() if times > 1]
            raise ValueError(
                f"{name}: The passed vocabulary has at least one repeated term. Please uniquify your dataset. The "
                f"repeated terms are: {twice[:10]}"
            )
        for what, token in (("mask", self.mask_token), ("OOV", self.oov_token if self.invert else None)):
            if token is not None and token in known:
                raise ValueError(
                    f"{name}: Found reserved {what} token at unexpected location in `vocabulary`. It need not hold the "
                    f"mask and OOV tokens; where it does they come first, in precisely this order: {specials}. "
                    f"Received: {what.lower()}_token={token!r} at vocabulary index {tokens.index(token)}"
                )

    def _weights(self, idf_weights: Any, count: int, padding: int) -> Array:
        """The weight of each number: those of specials that were not given are the mean; what is padded weighs 0."""
        weights = np.asarray(column_of(idf_weights, "float32", f"{type(self).__name__}: idf_weights"))
        if weights.ndim != 1:
            raise ValueError(f"{type(self).__name__}: TF-IDF data must be a 1-index array, got shape {weights.shape}")
        if len(weights) != count:
            raise ValueError(
                f"{type(self).__name__}: `idf_weights` must be the same length as vocabulary. len(idf_weights) is "
                f"{len(weights)}; len(vocabulary) is {count}"
            )
        return self._padded(weights, padding, np.average(weights))

    def _padded(self, weights: Array, padding: int, mean: Any) -> Array:
        known = np.concatenate([np.full(padding, mean, np.float32), weights.astype(np.float32)])
        more = (self.max_tokens or 0) - len(known) if self.pad_to_max_tokens else 0
        return np.concatenate([known, np.zeros(max(0, more), np.float32)])

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens in their order, those of masks and of what is not known first; they have the layer's numbers."""
        tokens = [] if self._table is None else self._table.tokens
        return [*self._specials(), *tokens] if include_special_tokens else list(tokens)

    def vocabulary_size(self) -> int:
        """How many tokens there are, those of masks and of what is not known included."""
        return self._token_start() + (0 if self._table is None else len(self._table.tokens))

    def _adapts_to(self) -> str:
        return self.vocabulary_kind

    def reset_state(self) -> None:
        if self.has_input_vocabulary:
            raise ValueError(
                f"Cannot adapt layer '{called(self)}' after setting a static vocabulary via `vocabulary` argument or "
                "`set_vocabulary()` method."
            )
        self._set("_seen", self._counter())

    def update_state(self, data: Any) -> None:
        if self._seen is None:
            self.reset_state()
        self._seen.add(self._rows_of(column_of(data, self.vocabulary_kind, "data")))

    def finalize_state(self) -> None:
        if self._seen is None:
            self.reset_state()
        tokens, times, rows, documents = self._seen.counted()
        self._set("_seen", None)
        known = tokens if self.vocabulary_kind == "string" else list(map(int, tokens))
        specials = {self.mask_token, self.oov_token}
        found = zip(times.tolist(), known, range(len(known)), strict=True)
        ranked = [each for each in sorted(found, reverse=True) if each[1] not in specials]
        if self.max_tokens is not None:
            ranked = ranked[: max(0, self.max_tokens - self._token_start())]
        if not ranked:
            raise ValueError(f"layer {called(self)!r}: adapt got no tokens")
        weights = None
        if self.output_mode == "tf_idf":
            having = rows[[place for _, _, place in ranked]]
            own = np.log(1 + documents / (1 + having)).astype(np.float32)
            weights = self._padded(own, self._token_start(), own.mean(dtype=np.float32))
        self._take([token for _, token, _ in ranked], weights)

    def _counter(self) -> Tokens:
        return Tokens()

    def _rows_of(self, batch: Array) -> list[Any]:
        """The rows of a batch, each a list of texts; a batch of one axis is one row."""
        if self.output_mode != "tf_idf":  # it does not matter what is in one row
            batch = batch.ravel()
            return batch.tolist() if self.vocabulary_kind == "string" else list(map(str, batch.tolist()))
        batch = batch.reshape(1, -1) if batch.ndim < 2 else batch.reshape(len(batch), -1)
        if self.vocabulary_kind == "string":
            rows: list[Any] = batch.tolist()
            return rows
        return [list(map(str, row)) for row in batch.tolist()]

    # Looking up.

    @property
    def reads(self) -> str:  # type: ignore[override]
        """The kind of column that it reads."""
        return "int64" if self.invert else self.vocabulary_kind

    @property
    def output_dtype(self) -> str:  # type: ignore[override]
        """What it gives: "int64", or tokens where it is inverse; "float32" where the mode is not "int"."""
        return self.vocabulary_kind if self.invert else "int64" if self.output_mode == "int" else "float32"

    def _depth(self) -> int | None:
        if self.pad_to_max_tokens:
            return self.max_tokens
        return None if self._table is None else self.vocabulary_size()

    def output_shape(self, input_shape: Shape) -> Shape:
        return encoded_shape(input_shape, self.output_mode, self._depth())

    @can_be_sparse
    def on_rows(self, column: Array, sparse: bool = False) -> Any:
        if self._table is None:
            encoded_shape((1,), self.output_mode, self._depth())
            raise RuntimeError(
                f"layer {called(self)!r} has no vocabulary; call adapt with some data, or set_vocabulary, or pass one"
            )
        numbers = self._table.find(column)
        if not self.invert:
            self._fill_unknown(numbers, column)
        if self.output_mode == "int":
            return numbers
        depth: Any = self._depth()
        if self.output_mode == "tf_idf":
            return encoded(numbers, "count", depth, self._table.idf, sparse)
        return encoded(numbers, self.output_mode, depth, sparse=sparse)

    def _fill_unknown(self, numbers: Array, values: Array) -> None:
        """Give those that are not known (-1) the numbers that are for them."""
        unknown = numbers == -1
        if self.num_oov_indices == 1:
            numbers[unknown] = self._oov_start()
        elif unknown.any():
            which = values[unknown]
            if self.num_oov_indices == 0:
                place = int(np.flatnonzero(unknown.ravel())[0])
                raise RowError(
                    place // max(1, prod(numbers.shape[1:])),
                    "When `num_oov_indices=0` all inputs should be in vocabulary, found OOV values "
                    f"{which[:5].tolist()}, consider setting `num_oov_indices=1`.",
                )
            if self.vocabulary_kind == "int64" and self.oov_method == "floormod":
                bins = which % self.num_oov_indices
            else:
                texts = which.tolist() if self.vocabulary_kind == "string" else list(map(str, which.tolist()))
                bins = (hashes(texts, self.salt) % np.uint64(self.num_oov_indices)).astype(np.int64)
            numbers[unknown] = bins + self._oov_start()

    def missing_value(self, kind: str) -> Any:
        return None if self.invert else self.mask_token

    # Files.

    def note(self) -> str:
        return "no vocabulary" if self._table is None else f"{self.vocabulary_size()} tokens"

    def arrays(self) -> dict[str, Array]:
        if self._table is None:
            return {}
        tokens = self._table.tokens
        found: dict[str, Array] = {}
        if self.vocabulary_kind == "string":
            encoded_tokens = [token.encode() for token in tokens]
            found["vocabulary"] = np.frombuffer(b"".join(encoded_tokens), np.uint8)
            found["vocabulary_ends"] = np.cumsum([len(token) for token in encoded_tokens], dtype=np.int64)
        else:
            found["vocabulary"] = np.array(tokens, np.int64)
        if self.output_mode == "tf_idf":
            found["idf_weights"] = self._table.idf
        return found

    def take_arrays(self, arrays: dict[str, Array]) -> None:
        if self.vocabulary_kind == "string":
            check_table(self, "vocabulary", arrays["vocabulary"], np.uint8)
            check_table(self, "vocabulary_ends", arrays["vocabulary_ends"], np.int64)
            raw, ends = arrays["vocabulary"].tobytes(), arrays["vocabulary_ends"]
            if (np.diff(ends, prepend=0) < 0).any() or (len(ends) and ends[-1] != len(raw)):
                raise ValueError(f"the vocabulary of layer {called(self)!r} is not cut as its ends say")
            starts = [0, *ends.tolist()]
            tokens: list[Any] = [raw[a:b].decode() for a, b in pairwise(starts)]
        else:
            check_table(self, "vocabulary", arrays["vocabulary"], np.int64)
            tokens = arrays["vocabulary"].tolist()
        self._check_tokens(tokens, self._specials())
        weights = arrays.get("idf_weights")
        if (self.output_mode == "tf_idf") != (weights is not None):
            raise ValueError(f"layer {called(self)!r}: expected idf_weights in the mode 'tf_idf' alone")
        size = self._token_start() + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(f"layer {called(self)!r} has {size:,} tokens, more than its max_tokens")
        if weights is not None:
            check_table(self, "idf_weights", weights, np.float32)
            if len(weights) != (self.max_tokens if self.pad_to_max_tokens else size):
                raise ValueError(f"layer {called(self)!r} has {size:,} tokens and {len(weights):,} idf_weights")
        self._take(tokens, weights)
