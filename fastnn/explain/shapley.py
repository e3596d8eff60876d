"""Shapley values: what each feature adds to the output, on average over the orders in which features become known."""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_count

from .features import AT_ONCE, Groups, asked, background_of, explanation, generator_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .result import Explanation

    Doubles = NDArray[np.float64]
    Masks = NDArray[np.bool_]
    Solve = Callable[[Doubles], tuple[Doubles, Doubles | None]]  # (rows, coalitions, units) -> (rows, features, units)

MOST = 12  # features of which all coalitions are worked out
CELLS = 2**22  # values of coalitions in memory


def exact_shapley(
    model: Any, x: Any, background: Any, *, output: Any = None, patch: Any = None, groups: Any = None
) -> Explanation:
    """Shapley values by their definition, of at most 12 features.

    values_i = sum over coalitions S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S)); v(S) is the mean output
    over `background` for rows that have the features of S from the row, the others from the background. Their sum is
    the output minus `base_values`, the mean output over the background.

    model: a built model, or a function of an array of rows that gives (rows,) or (rows, units). background: rows as x,
    some ten to a hundred that stand for all. output: which unit of which output, a number, an output's name or
    (name, unit); None for all of the only output. A feature is a number of a flat row, a step of a sequence, a patch
    of a picture (patch: its height and width; by default a quarter of each side), or, with groups, all numbers of one
    name: a text or whole number for each number of a row, such as a category's columns, or for each pixel. The numbers
    of a feature share its value evenly. ValueError for more features. Source: Shapley 1953; Lundberg and Lee 2017.
    """
    what = "exact_shapley"
    game = _Game(what, model, x, background, output, patch, groups)
    n = game.groups.count
    if n > MOST:
        raise ValueError(
            f"{what} takes at most {MOST} features, got {n}, which have 2**{n} coalitions; take kernel_shap or "
            "permutation_shap, or of pictures larger patches"
        )
    codes = np.arange(2**n)
    masks = (codes[:, None] >> np.arange(n) & 1).astype(bool)
    sizes = masks.sum(axis=1)
    factors = np.array([1 / (n * comb(n - 1, size)) for size in range(n)] + [0.0])
    weights = np.where(masks, factors[sizes - 1][:, None], -factors[sizes][:, None]).T

    def solve(v: Doubles) -> tuple[Doubles, None]:
        return weights @ v, None

    return game.explained(masks, solve, "exact Shapley values")


def kernel_shap(
    model: Any,
    x: Any,
    background: Any,
    *,
    samples: int | None = None,
    output: Any = None,
    patch: Any = None,
    groups: Any = None,
    random_state: int | None = None,
) -> Explanation:
    """Shapley values by weighted least squares over coalitions: KernelSHAP.

    The values phi minimise sum over S of w(S) (v(S) - v() - sum over i in S of phi_i)^2 with w(S) = (n - 1) /
    (C(n, |S|) |S| (n - |S|)), and sum to the output minus `base_values`. Sizes of coalitions whose number the budget
    allows are taken whole, of the others pairs of a coalition and its complement are drawn. All rows have the same
    coalitions. `std` is the standard error by what was drawn, 0 where nothing was.

    samples: coalitions, 2 n + 2048 by default, at least 2 n + 4. Others as in `exact_shapley`. Sources: Lundberg and
    Lee 2017; Covert and Lee 2021.
    """
    game = _Game("kernel_shap", model, x, background, output, patch, groups)
    n = game.groups.count
    budget = 2 * n + 2048 if samples is None else check_count("kernel_shap: samples", samples, 2 * n + 4)
    if n == 1:
        masks, weights = np.zeros((0, 1), bool), np.zeros(0)
        pairs, step, draws = np.zeros(0, int), 0.0, 0
    else:
        masks, weights, pairs, step, draws = _coalitions(n, budget, generator_of(random_state))
    # The last value is what the others leave of the sum.
    signs = np.concatenate([np.eye(n - 1), -np.ones((1, n - 1))])
    design = masks @ signs
    inverse = np.linalg.inv(design.T @ (weights[:, None] * design))
    reach = signs @ inverse @ design.T  # (features, coalitions): what a weighted error of one moves

    def solve(v: Doubles) -> tuple[Doubles, Doubles]:
        base, total = v[:, :1], v[:, -1:] - v[:, :1]
        inner = v[:, 1:-1] - base
        last = np.zeros((n, 1))
        last[-1] = 1
        values = (reach * weights) @ (inner - masks[:, -1:] * total) + last * total
        if not draws:
            return values, np.zeros_like(values)
        errors = inner - masks @ values
        first = len(masks) - 2 * len(pairs)
        a, b = slice(first, first + len(pairs)), slice(first + len(pairs), None)
        squares = (reach[:, a] ** 2 * pairs) @ errors[:, a] ** 2 + (reach[:, b] ** 2 * pairs) @ errors[:, b] ** 2
        squares += 2 * (reach[:, a] * reach[:, b] * pairs) @ (errors[:, a] * errors[:, b])
        sums = (reach[:, a] * pairs) @ errors[:, a] + (reach[:, b] * pairs) @ errors[:, b]
        # Of so many draws the fit has followed n - 1.
        variance = np.maximum(squares - sums**2 / draws, 0) * draws / max(draws - n + 1, 1)
        return values, step * np.sqrt(variance)

    whole = np.concatenate([np.zeros((1, n), bool), masks, np.ones((1, n), bool)])
    return game.explained(whole, solve, "KernelSHAP")


def _coalitions(n: int, budget: int, rng: np.random.Generator) -> tuple[Masks, Doubles, NDArray[np.int64], float, int]:
    """(coalitions, weights, how often each drawn pair came, weight of a draw, draws).

    Drawn coalitions stand last, then their complements in the same order.
    """
    shares = {size: (n - 1) / (size * (n - size)) * (1 if 2 * size == n else 2) for size in range(1, n // 2 + 1)}
    masks, weights = [], []
    left, remaining = budget, sum(shares.values())
    for size in list(shares):
        number = comb(n, size) * (1 if 2 * size == n else 2)
        if size > 1 and number > left * shares[size] / remaining * (1 + 1e-9):
            break
        chosen = np.array(list(combinations(range(n), size)))
        these = np.zeros((len(chosen), n), bool)
        np.put_along_axis(these, chosen, True, axis=1)
        masks += [these] if 2 * size == n else [these, ~these]
        weights.append(np.full(number, shares[size] / number))
        left -= number
        remaining -= shares.pop(size)
    if not shares:
        return np.concatenate(masks), np.concatenate(weights), np.zeros(0, int), 0.0, 0
    draws = left // 2
    chances = np.array(list(shares.values()))
    sizes = rng.choice(list(shares), draws, p=chances / chances.sum())
    drawn = rng.random((draws, n)).argsort(axis=1).argsort(axis=1) < sizes[:, None]
    drawn ^= ~drawn[:, :1]  # of a pair the one with the first feature
    drawn, counts = np.unique(drawn, axis=0, return_counts=True)
    step = remaining / (2 * draws)
    return (
        np.concatenate([*masks, drawn, ~drawn]),
        np.concatenate([*weights, counts * step, counts * step]),
        counts,
        step,
        draws,
    )


def permutation_shap(
    model: Any,
    x: Any,
    background: Any,
    *,
    permutations: int = 10,
    output: Any = None,
    patch: Any = None,
    groups: Any = None,
    random_state: int | None = None,
) -> Explanation:
    """Shapley values by random orders of the features, each taken forwards and backwards: PermutationSHAP.

    values_i is the mean of v(those before i, and i) - v(those before i); the values sum to the output minus
    `base_values` for any number of orders. `std` is the standard error over the orders, None for one.

    permutations: orders, each of which takes 2 n coalitions. Others as in `exact_shapley`. Sources: Castro, Gomez and
    Tejada 2009; Mitchell, Cooper, Frank and Holmes 2022.
    """
    count = check_count("permutation_shap: permutations", permutations)
    game = _Game("permutation_shap", model, x, background, output, patch, groups)
    n, rng = game.groups.count, generator_of(random_state)
    orders = rng.random((count, n)).argsort(axis=1)
    ranks = np.stack([orders.argsort(axis=1), n - 1 - orders.argsort(axis=1)], axis=1)  # (orders, 2, features)
    walks = ranks[:, :, None, :] < np.arange(n + 1)[:, None]  # (orders, 2, steps, features)
    masks, places = np.unique(walks.reshape(-1, n), axis=0, return_inverse=True)
    places = places.reshape(count, 2, n + 1)
    before = np.take_along_axis(places, ranks, axis=2)
    after = np.take_along_axis(places, ranks + 1, axis=2)

    def solve(v: Doubles) -> tuple[Doubles, Doubles | None]:
        found = np.mean([v[:, after[:, way]] - v[:, before[:, way]] for way in (0, 1)], axis=0)
        return found.mean(axis=1), found.std(axis=1, ddof=1) / np.sqrt(count) if count > 1 else None

    return game.explained(masks, solve, "PermutationSHAP")


class _Game:
    """The rows whose features are the players, and what each coalition is worth."""

    def __init__(self, what: str, model: Any, x: Any, background: Any, output: Any, patch: Any, groups: Any) -> None:
        self.asked = asked(what, model, x, output)
        self.groups = Groups(what, self.asked, patch, groups)
        self._background = background_of(what, model, background, self.asked)

    def _worth(self, masks: Masks, start: int, stop: int) -> Doubles:
        """(rows, coalitions, units) of some of the rows."""
        size, parts = len(self._background[0]), []
        at_once = max(1, AT_ONCE // size)
        total = (stop - start) * len(masks)
        for first in range(0, total, at_once):
            row, coalition = np.divmod(np.arange(first, min(first + at_once, total)), len(masks))
            given = [rows[start + row][:, None] for rows in self.asked.rows]
            mixed = self.groups.mixed(masks[coalition][:, None], given, self._background)
            parts.append(self.asked.answer(mixed).reshape(len(row), size, -1).mean(axis=1))
        return np.concatenate(parts).reshape(stop - start, len(masks), -1)

    def explained(self, masks: Masks, solve: Solve, method: str) -> Explanation:
        """masks: (coalitions, features), nobody first and all last."""
        total, block = len(self.asked.rows[0]), max(1, CELLS // len(masks))
        bases, values, errors = [], [], []
        for start in range(0, total, block):
            worth = self._worth(masks, start, min(start + block, total))
            found, error = solve(worth)
            bases.append(worth[:, 0])
            values.append(found)
            errors += [] if error is None else [error]
        spread = self.groups.spread
        std = spread(np.concatenate(errors)) if errors else None
        return explanation(self.asked, spread(np.concatenate(values)), np.concatenate(bases), method, std)
