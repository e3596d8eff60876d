"""Texts as lists of word numbers, filtered as Keras does it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnn._checks import check_count
from fastnn.datasets._files import DataFile, found
from fastnn.typing import Array


class Words:
    """Which words and texts are kept, and what stands for the others; arguments as ``imdb.load_data``."""

    def __init__(
        self,
        num_words: int | None,
        skip_top: int,
        maxlen: int | None,
        start_char: int | None,
        oov_char: int | None,
        index_from: int | None,
    ) -> None:
        self.num_words = None if not num_words else check_count("num_words", num_words)
        self.skip_top = check_count("skip_top", skip_top, 0)
        self.maxlen = None if not maxlen else check_count("maxlen", maxlen)
        self.start_char, self.oov_char, self.index_from = start_char, oov_char, index_from or 0

    def kept(self, texts: Iterable[Any], labels: Array) -> tuple[list[list[int]], Array]:
        """The texts with their numbers moved, shorter than maxlen, and their labels. ValueError where none is left."""
        start = [] if self.start_char is None else [self.start_char]
        moved = [start + [word + self.index_from for word in text] for text in texts]
        if self.maxlen is None:
            return moved, np.asarray(labels)
        short = [place for place, text in enumerate(moved) if len(text) < self.maxlen]
        if not short:
            raise ValueError(f"no text is shorter than maxlen={self.maxlen}; raise it")
        return [moved[place] for place in short], np.asarray(labels)[short]

    def filtered(self, texts: list[list[int]]) -> list[list[int]]:
        """The texts, with oov_char for rare words and the most frequent ones, or without them."""
        most = self.num_words or max(map(max, texts))
        if self.oov_char is None:
            return [[word for word in text if self.skip_top <= word < most] for text in texts]
        return [[word if self.skip_top <= word < most else self.oov_char for word in text] for text in texts]


def ragged(texts: list[list[int]]) -> Array:
    """An array of lists."""
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


def word_index(file: DataFile, path: str | os.PathLike[str], download: bool) -> dict[str, Any]:
    """The number of each word, from a file of JSON."""
    with open(found(file, path, download), encoding="utf-8") as index:
        return json.load(index)  # type: ignore[no-any-return]
