"""What finds tokens' numbers, and the tokens of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.data.columns import as_objects
from fastnn.kernels.text import Tokens
from fastnn.typing import Array

DROPPED = -2  # the number of a mask where it must leave no trace
DENSE = 2**16  # whole numbers that lie closer together than this are found by their distance from the least


class Vocabulary:
    """The tokens that a layer knows, in their order, and what finds them.

    first: the number of the first. idf: a weight for each number from 0 on, where the mode is "tf_idf".
    """

    def __init__(
        self, tokens: list[Any], first: int, mask: tuple[Any, int] | None, finder: Tokens | None, idf: Any
    ) -> None:
        self.tokens = tokens
        self.first = first
        self.idf = idf
        self.finder = finder
        if finder is not None:
            finder.put(tokens, first)
            if mask is not None:
                finder.put([mask[0]], mask[1])
        else:
            numbers = np.arange(first, first + len(tokens), dtype=np.int64)
            values = np.array(tokens, np.int64)
            if mask is not None:
                values, numbers = np.append(values, mask[0]), np.append(numbers, mask[1])
            order = np.argsort(values, kind="stable")
            self.sorted, self.numbers = values[order], numbers[order]
            self.least = int(values[order[0]]) if len(order) else 0
            self.span = int(values[order[-1]]) - self.least if len(order) else 0
            if self.span < DENSE:  # a number for each value between the least and the largest, and for one beyond
                self.dense = np.full(self.span + 2, -1, np.int64)
                self.dense[self.sorted - self.least] = self.numbers

    def find(self, values: Array) -> Array:
        """The number of each value, -1 for those that are not known."""
        if self.finder is not None:
            return self.finder.find(values.ravel().tolist())[0].reshape(values.shape)
        if self.span < DENSE:
            with np.errstate(over="ignore"):  # what is below the least lies far away, modulo 2**64
                away = values.view(np.uint64) - np.uint64(self.least % 2**64)
            return np.asarray(self.dense[np.minimum(away, np.uint64(self.span + 1)).astype(np.int64)])
        place = np.searchsorted(self.sorted, values).clip(max=len(self.sorted) - 1)
        return np.where(self.sorted[place] == values, self.numbers[place], -1)


class Inverse:
    """Tokens by their numbers."""

    def __init__(self, all_tokens: list[Any], first: int, unknown: Any) -> None:
        self.tokens = all_tokens[first:]
        self.first = first
        self._unknown = unknown
        if all(isinstance(each, int) for each in (*all_tokens, unknown)):
            self._by_number: Array = np.array([*all_tokens, unknown], np.int64)
        else:
            self._by_number = as_objects([*all_tokens, unknown], (len(all_tokens) + 1,))

    def find(self, numbers: Array) -> Array:
        """The token of each number."""
        last = len(self._by_number) - 1
        found: Array = self._by_number[np.where((numbers < 0) | (numbers > last), last, numbers)]
        return found
