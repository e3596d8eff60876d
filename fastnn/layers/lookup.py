"""Tokens, texts or whole numbers, by their places in a vocabulary: StringLookup, IntegerLookup.

Vocabularies, modes and hashes are Keras's: what it gives for the same data is what these layers give.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastnn import _names
from fastnn._checks import check_choice
from fastnn.layers.base import LAYERS
from fastnn.layers.index_lookup import IndexLookup

__all__ = ["IntegerLookup", "StringLookup"]


@LAYERS.add("string_lookup")
@dataclass(frozen=True, eq=False)
class StringLookup(IndexLookup):
    """Texts by their places in a vocabulary. Any shape -> the same, or by `output_mode` other ones.

    The vocabulary is given, or taken from data by ``adapt``. The numbers are, in this order: 0 for `mask_token`,
    where it is given and the mode is "int"; `num_oov_indices` for texts that are not known, shared among them by
    their FarmHash64 (with `salt` SipHash-2-4); those of the tokens.

    max_tokens: how many numbers there are at most. num_oov_indices: 0 makes an unknown text a ValueError. oov_token:
    what `invert` gives for such. vocabulary: a list, an array, or the path of a file with a token in each line.
    idf_weights: one for each token, in the mode "tf_idf" alone. invert: from numbers to texts. output_mode: "int" the
    number; "one_hot" a row of zeros with a 1 there, (..., n) -> (..., n, size), or where n is 1 (..., size);
    "multi_hot" ones for all that a row has, "count" how often, "tf_idf" that times the token's weight, (..., n) ->
    (..., size). pad_to_max_tokens: rows of max_tokens numbers, whatever the size. encoding: of bytes. Source: Keras.
    """

    max_tokens: int | None = None
    num_oov_indices: int = 1
    mask_token: str | None = None
    oov_token: str | None = "[UNK]"
    vocabulary: Any = None
    idf_weights: Any = None
    invert: bool = False
    output_mode: str = "int"
    pad_to_max_tokens: bool = False
    sparse: bool = False
    encoding: str = "utf-8"
    name: str | None = None
    salt: Any = None
    oov_method: str = field(default="floormod", kw_only=True)
    has_input_vocabulary: Any = field(default=None, kw_only=True)
    dtype: Any = field(default=None, kw_only=True, metadata={"saved": False})
    input_shape: Any = field(default=None, kw_only=True)
    vocabulary_kind = "string"

    def __post_init__(self) -> None:
        self._check()


@LAYERS.add("integer_lookup")
@dataclass(frozen=True, eq=False)
class IntegerLookup(IndexLookup):
    """Whole numbers by their places in a vocabulary. Any shape -> the same, or by `output_mode` other ones.

    As ``StringLookup``, but for numbers of 64 bits. oov_method: how those that are not known share `num_oov_indices`,
    by "floormod" (number mod num_oov_indices) or "farmhash" (FarmHash64 of its digits; with `salt` SipHash-2-4).
    """

    max_tokens: int | None = None
    num_oov_indices: int = 1
    mask_token: int | None = None
    oov_token: int | None = -1
    vocabulary: Any = None
    vocabulary_dtype: str = "int64"
    idf_weights: Any = None
    invert: bool = False
    output_mode: str = "int"
    sparse: bool = False
    pad_to_max_tokens: bool = False
    oov_method: str = "floormod"
    salt: Any = None
    name: str | None = None
    has_input_vocabulary: Any = field(default=None, kw_only=True)
    dtype: Any = field(default=None, kw_only=True, metadata={"saved": False})
    input_shape: Any = field(default=None, kw_only=True)
    vocabulary_kind = "int64"

    def __post_init__(self) -> None:
        check_choice(self, "vocabulary_dtype", "int64")
        self._check()


_names.offer(globals())
