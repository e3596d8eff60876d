"""IMDB: 50,000 film reviews as numbers of words, and whether each likes its film."""

from __future__ import annotations

import os
from typing import Any

from fastnn.datasets._files import KERAS, DataFile, found
from fastnn.datasets._ragged import load_npz
from fastnn.datasets._split import drawn
from fastnn.datasets._words import Words, ragged, word_index
from fastnn.typing import Array

FILE = DataFile("imdb.npz", KERAS + "imdb.npz", "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f")
INDEX = DataFile("imdb_word_index.json", KERAS + "imdb_word_index.json", "bfafd718b763782e994055a2d397834f")


def load_data(
    path: str | os.PathLike[str] = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
    *,
    download: bool = False,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Give (x_train, y_train), (x_test, y_test): x arrays of lists of word numbers, y 0 or 1, 25,000 of each.

    A word's number is its place by frequency plus index_from; 0 is left for padding. num_words: numbers from here on
    stand for rare words, and skip_top: those below it for the most frequent ones; oov_char takes their place, None
    leaves them out. maxlen: longer reviews, and those of that length, are left out. start_char: begins each review,
    None for nothing. seed: of the order, which is Keras's. path, download: as ``mnist.load_data``.
    """
    words = Words(num_words, skip_top, maxlen, start_char, oov_char, index_from)
    arrays = load_npz(found(FILE, path, download))
    train, test = drawn(seed, len(arrays["x_train"]), len(arrays["x_test"]))
    x_train, y_train = words.kept(arrays["x_train"][train], arrays["y_train"][train])
    x_test, y_test = words.kept(arrays["x_test"][test], arrays["y_test"][test])
    x = words.filtered(x_train + x_test)
    return (ragged(x[: len(x_train)]), y_train), (ragged(x[len(x_train) :]), y_test)


def get_word_index(path: str | os.PathLike[str] = INDEX.name, *, download: bool = False) -> dict[str, Any]:
    """The number of each word, 1 for the most frequent; `load_data` adds index_from to it. path, download: as there."""
    return word_index(INDEX, path, download)
