"""Reuters: 11,228 newswires as numbers of words, and which of 46 topics each is of."""

from __future__ import annotations

import os
from typing import Any

from fastnn.datasets._files import KERAS, DataFile, found
from fastnn.datasets._ragged import load_npz
from fastnn.datasets._split import check_split, drawn
from fastnn.datasets._words import Words, ragged, word_index
from fastnn.typing import Array

FILE = DataFile(
    "reuters.npz", KERAS + "reuters.npz", "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
)
INDEX = DataFile("reuters_word_index.json", KERAS + "reuters_word_index.json", "4d44cc38712099c9e383dc6e5f11a921")
TOPICS = (
    "cocoa",
    "grain",
    "veg-oil",
    "earn",
    "acq",
    "wheat",
    "copper",
    "housing",
    "money-supply",
    "coffee",
    "sugar",
    "trade",
    "reserves",
    "ship",
    "cotton",
    "carcass",
    "crude",
    "nat-gas",
    "cpi",
    "money-fx",
    "interest",
    "gnp",
    "meal-feed",
    "alum",
    "oilseed",
    "gold",
    "tin",
    "strategic-metal",
    "livestock",
    "retail",
    "ipi",
    "iron-steel",
    "rubber",
    "heat",
    "jobs",
    "lei",
    "bop",
    "zinc",
    "orange",
    "pet-chem",
    "dlr",
    "gas",
    "silver",
    "wpi",
    "hog",
    "lead",
)


def load_data(
    path: str | os.PathLike[str] = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
    *,
    download: bool = False,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Give (x_train, y_train), (x_test, y_test): x arrays of lists of word numbers, y topics, 0 .. 45.

    Arguments: as ``imdb.load_data``. test_split: the share of the newswires that is for the test.
    """
    check_split(test_split)
    words = Words(num_words, skip_top, maxlen, start_char, oov_char, index_from)
    arrays = load_npz(found(FILE, path, download))
    (order,) = drawn(seed, len(arrays["x"]))
    x, y = words.kept(arrays["x"][order], arrays["y"][order])
    x = words.filtered(x)
    at = int(len(x) * (1 - test_split))
    return (ragged(x[:at]), y[:at]), (ragged(x[at:]), y[at:])


def get_word_index(path: str | os.PathLike[str] = INDEX.name, *, download: bool = False) -> dict[str, Any]:
    """The number of each word, 1 for the most frequent; `load_data` adds index_from to it. path, download: as there."""
    return word_index(INDEX, path, download)


def get_label_names() -> tuple[str, ...]:
    """The topics 0 .. 45."""
    return TOPICS
