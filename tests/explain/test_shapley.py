"""Shapley values beside their definition, beside the shap package, and beside what a linear model's must be."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L
from fastnn.explain import exact_shapley, features, kernel_shap, permutation_shap, shapley
from fastnn.models import Model, Sequential

RNG = np.random.default_rng(5)
METHODS = [exact_shapley, kernel_shap, permutation_shap]


def rows(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def brute(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, others: np.ndarray, owner: np.ndarray) -> Any:
    """(features,) of one row by the definition. owner: the feature of each number of a row."""
    n = int(owner.max()) + 1

    def worth(coalition: tuple[int, ...]) -> Any:
        mixed = np.where(np.isin(owner, coalition), x, others)
        return np.asarray(function(mixed), np.float64).mean(axis=0)

    found = []
    for i in range(n):
        rest = [j for j in range(n) if j != i]
        found.append(
            sum(
                factorial(size) * factorial(n - size - 1) / factorial(n) * (worth((*s, i)) - worth(s))
                for size in range(n)
                for s in combinations(rest, size)
            )
        )
    return np.array(found)


@pytest.fixture(scope="module")
def model() -> Sequential:
    """Of 5 features and two outputs, far from linear."""
    fastnn.set_random_seed(3)
    model = Sequential([L.Input((5,)), L.Dense(16, "tanh"), L.Dense(16, "tanh"), L.Dense(2)])
    model.set_weights([3 * each for each in model.get_weights()])
    return model


# A linear model's values are known: w_i (x_i - mean_i).


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("own", [False, True])
def test_a_linear_model(method: Any, own: bool) -> None:
    weights, x, others = rows(4, 1), rows(7, 4), rows(9, 4)
    model = Sequential([L.Input((4,)), L.Dense(1)])
    model.set_weights([weights, np.ones(1, np.float32)])
    found = method((lambda a: a @ weights[:, 0] + 1) if own else model, x, others)
    np.testing.assert_allclose(found.values, weights[:, 0] * (x - others.mean(axis=0)), atol=1e-5)
    np.testing.assert_allclose(found.base_values, others.mean(axis=0) @ weights[:, 0] + 1, atol=1e-5)
    assert found.feature_names == ("x1", "x2", "x3", "x4")
    assert found.std is None if method is exact_shapley else found.std.max() < 1e-5


# The definition.


def test_exact_values_are_the_definition(model: Sequential) -> None:
    x, others = rows(3, 5), rows(6, 5)
    found = exact_shapley(model, x, others)
    assert found.values.shape == (3, 5, 2)
    assert (found.output_names, found.method) == (("0", "1"), "exact Shapley values")
    expected = [brute(model.predict, row, others, np.arange(5)) for row in x]
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    one = exact_shapley(model, x, others, output=1)
    np.testing.assert_allclose(one.values, found.values[..., 1], atol=1e-12)
    assert (one.output_names, one.base_values.shape) == ((), (3,))


@pytest.mark.parametrize("method", METHODS)
def test_groups_are_players(model: Sequential, method: Any) -> None:
    x, others, owner = rows(2, 5), rows(4, 5), np.array([0, 1, 0, 2, 2])
    found = method(model, x, others, groups=["b", "a", "b", "c", "c"], output=0)
    sums = np.stack([found.values[:, owner == i].sum(axis=1) for i in range(3)], axis=1)
    if method is not permutation_shap:
        expected = [brute(lambda a: model.predict(a)[:, 0], row, others, owner) for row in x]
        np.testing.assert_allclose(sums, expected, atol=1e-6)
    np.testing.assert_allclose(found.values[:, 0], found.values[:, 2])
    np.testing.assert_allclose(sums.sum(axis=1) + found.base_values, model.predict(x)[:, 0], atol=1e-5)


def test_steps_and_patches_are_players() -> None:
    weights = rows(6)
    steps, others = rows(2, 3, 2), rows(4, 3, 2)

    def on_steps(a: np.ndarray) -> np.ndarray:
        return np.tanh(a.reshape(len(a), -1) @ weights)

    found = exact_shapley(on_steps, steps, others)
    owner = np.arange(3)[:, None] + np.zeros((3, 2), int)
    expected = [brute(on_steps, row, others, owner) for row in steps]
    np.testing.assert_allclose(found.values.sum(axis=2), expected, atol=1e-6)
    assert found.values.shape == steps.shape
    pictures, dark = rows(2, 4, 6, 3), np.zeros((1, 4, 6, 3), np.float32)

    def on_pictures(a: np.ndarray) -> np.ndarray:
        return np.tanh(a.mean(axis=(2, 3)) @ weights[:4])

    found = exact_shapley(on_pictures, pictures, dark, patch=(2, 3))
    owner = np.repeat(np.repeat(np.array([[0, 1], [2, 3]]), 2, 0), 3, 1)[..., None] + np.zeros(3, int)
    sums = np.stack([found.values[:, owner == i].sum(axis=1) for i in range(4)], axis=1)
    np.testing.assert_allclose(sums, [brute(on_pictures, row, dark, owner) for row in pictures], atol=1e-6)
    groups = exact_shapley(on_pictures, pictures, dark, groups=owner[..., 0])
    np.testing.assert_allclose(groups.values, found.values, atol=1e-12)
    uneven = kernel_shap(on_pictures, pictures, dark, patch=4)  # the last patch of a line is narrower
    np.testing.assert_allclose(uneven.values.sum(axis=(1, 2, 3)), on_pictures(pictures) - on_pictures(dark), atol=1e-6)


# What holds for all: values sum to the output minus the base.


def several() -> tuple[Model, list[np.ndarray], list[np.ndarray]]:
    a, b, c = L.Input((3,), name="a"), L.Input((2, 2), name="b"), L.Input((1,), name="c")
    joined = L.Concatenate()([a, L.Flatten()(b), c])
    model = Model([a, b, c], L.Dense(3, "softmax")(L.Dense(8, "relu")(joined)))
    return model, [rows(4, 3), rows(4, 2, 2), rows(4, 1)], [rows(5, 3), rows(5, 2, 2), rows(5, 1)]


def of_ids() -> tuple[Model, np.ndarray, np.ndarray]:
    model = Sequential([L.Input((4,)), L.Embedding(9, 3), L.Flatten(), L.Dense(1, "sigmoid")])
    return model, RNG.integers(0, 9, (4, 4)), RNG.integers(0, 9, (5, 4))


def of_pictures() -> tuple[Model, np.ndarray, np.ndarray]:
    model = Sequential([L.Input((8, 8, 1)), L.Conv2D(4, 3, activation="relu"), L.Flatten(), L.Dense(2, "softmax")])
    return model, rows(4, 8, 8, 1), rows(3, 8, 8, 1)


def of_sequences() -> tuple[Model, np.ndarray, np.ndarray]:
    return Sequential([L.Input((6, 2)), L.GRU(4), L.Dense(1)]), rows(4, 6, 2), rows(3, 6, 2)


def of_texts() -> tuple[Model, Any, Any]:
    town, size = L.Input((1,), dtype="string", name="town"), L.Input((1,), name="size")
    code = L.StringLookup(vocabulary=["Bern", "Graz"], output_mode="one_hot")(town)
    model = Model({"town": town, "size": size}, L.Dense(1)(L.Dense(6, "tanh")(L.Concatenate()([code, size]))))
    towns = np.array([["Bern"], ["Graz"], ["Ulm"], ["Bern"]], object)
    return model, {"town": towns, "size": rows(4, 1)}, {"town": towns[::-1], "size": rows(4, 1)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", [several, of_ids, of_pictures, of_sequences, of_texts])
def test_values_sum_to_the_output_minus_the_base(method: Any, make: Any) -> None:
    model, x, others = make()
    if make is of_pictures and method is exact_shapley:
        found = method(model, x, others, patch=3)
    else:
        found = method(model, x, others, **({} if method is exact_shapley else {"random_state": 1}))
    values = found.values if isinstance(found.values, list) else [found.values]
    output = model.predict(x)
    assert [each.shape[:-1] if output.shape[1] > 1 else each.shape for each in values] == [
        each.shape for each in (found.data if isinstance(found.data, list) else [found.data])
    ]
    wide = output.shape[1]
    sums = sum(each.reshape(len(output), -1, wide).sum(axis=1) for each in values)
    base = found.base_values.reshape(len(output), wide)
    np.testing.assert_allclose(sums + base, output, atol=1e-5)
    np.testing.assert_allclose(base[0], model.predict(others).mean(axis=0), atol=1e-5)


def test_texts_are_features() -> None:
    model, x, others = of_texts()
    found = exact_shapley(model, x, others)
    assert found.feature_names == ("town", "size")
    swapped = {"town": others["town"][:1], "size": others["size"][:1]}
    one = {name: column[:1] for name, column in x.items()}
    alone = exact_shapley(model, one, swapped)

    def said(town: Any, size: Any) -> float:
        return float(model.predict({"town": town["town"], "size": size["size"]})[0, 0])

    expected = (said(one, swapped) - said(swapped, swapped) + said(one, one) - said(swapped, one)) / 2
    np.testing.assert_allclose(alone.values[0][0, 0], expected, atol=1e-6)


# Sampling.


def wavy(a: np.ndarray) -> np.ndarray:
    return np.tanh(a @ WAVES).sum(axis=1)


WAVES = RNG.normal(size=(11, 20))


@pytest.mark.parametrize(
    ("method", "budget"), [(kernel_shap, {"samples": 120}), (permutation_shap, {"permutations": 8})]
)
def test_the_error_is_what_std_says(method: Any, budget: dict[str, int]) -> None:
    x, others = rows(2, 11), rows(10, 11)
    exact = exact_shapley(wavy, x, others).values
    runs = [method(wavy, x, others, random_state=seed, **budget) for seed in range(60)]
    errors = np.array([run.values - exact for run in runs])
    spread = np.array([run.std for run in runs]).mean(axis=0)
    assert np.abs(errors.mean(axis=0) / spread).max() < 1
    assert 0.7 < (errors.std(axis=0) / spread).mean() < 1.3
    again = method(wavy, x, others, random_state=3, **budget)
    np.testing.assert_array_equal(again.values, runs[3].values)
    assert (again.values != runs[4].values).any()
    fastnn.set_random_seed(1)
    first = method(wavy, x, others, **budget)
    fastnn.set_random_seed(1)
    np.testing.assert_array_equal(method(wavy, x, others, **budget).values, first.values)


def test_all_coalitions_are_exact(model: Sequential) -> None:
    x, others = rows(3, 5), rows(6, 5)
    exact = exact_shapley(model, x, others)
    found = kernel_shap(model, x, others)
    np.testing.assert_allclose(found.values, exact.values, atol=1e-6)
    assert not found.std.any()
    one = kernel_shap(lambda a: a[:, 0] ** 2, x[:, :1], others[:, :1])
    np.testing.assert_allclose(one.values[:, 0], x[:, 0] ** 2 - (others[:, 0] ** 2).mean(), atol=1e-6)
    assert permutation_shap(model, x, others, permutations=1).std is None


@pytest.mark.parametrize("samples", [26, 80, 120, 500, 2046])
def test_coalitions_weigh_as_the_kernel_says(samples: int) -> None:
    """Sizes have (n - 1) / (s (n - s)) of the weight, whatever is drawn; drawn ones come with their complements."""
    masks, weights, pairs, step, draws = shapley._coalitions(11, samples, np.random.default_rng(0))
    assert len(masks) == len(np.unique(masks, axis=0)) <= samples
    sizes = masks.sum(axis=1)
    given = np.bincount(sizes, weights, minlength=12)[1:11]
    shares = np.array([10 / (s * (11 - s)) for s in range(1, 11)])
    np.testing.assert_allclose(given.sum(), shares.sum())
    np.testing.assert_allclose(given[[0, -1]], shares[[0, -1]])
    if draws:
        first = len(masks) - 2 * len(pairs)
        np.testing.assert_array_equal(masks[first : first + len(pairs)], ~masks[first + len(pairs) :])
        assert (pairs.sum(), weights[first:].sum()) == (draws, pytest.approx(2 * draws * step))
    else:
        np.testing.assert_allclose(given, shares)


@pytest.mark.parametrize("method", METHODS)
def test_batches_change_nothing(model: Sequential, method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, others, calls = rows(8, 5), rows(6, 5), []

    def counted(a: np.ndarray) -> np.ndarray:
        calls.append(len(a))
        return model.predict(a)

    seed = {} if method is exact_shapley else {"random_state": 0}
    whole = method(counted, x, others, **seed)
    assert len(calls) == 2  # a look at the first row, then all
    assert calls[0] == 1
    monkeypatch.setattr(shapley, "AT_ONCE", 50)
    monkeypatch.setattr(shapley, "CELLS", 70)
    parts = method(counted, x, others, **seed)
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-6)
    assert max(calls[2:]) <= 50


# The shap package.


@pytest.mark.filterwarnings("ignore")
def test_beside_the_shap_package(model: Sequential) -> None:
    shap = pytest.importorskip("shap", reason="shap is not here: pip install shap")
    x, others = rows(6, 5), rows(20, 5)
    masker = shap.maskers.Independent(others, max_samples=20)
    exact = exact_shapley(model, x, others)
    theirs = shap.explainers.Exact(model.predict, masker)(x)
    np.testing.assert_allclose(exact.values, theirs.values, atol=1e-6)
    np.testing.assert_allclose(exact.base_values, theirs.base_values, atol=1e-6)
    kernel = shap.KernelExplainer(model.predict, others).shap_values(x, silent=True)
    np.testing.assert_allclose(kernel_shap(model, x, others).values, kernel, atol=1e-4)
    ours = permutation_shap(model, x, others, permutations=40, random_state=0)
    theirs = shap.explainers.Permutation(model.predict, masker)(x)
    assert np.corrcoef(theirs.values.ravel(), ours.values.ravel())[0, 1] > 0.98
    tree = shap.explainers.Partition(model.predict, shap.maskers.Partition(others, max_samples=20))(x)
    assert tree.values.shape == theirs.values.shape == ours.values.shape
    assert ours.to_shap().values.shape == theirs.values.shape


# Errors.


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"x": rows(1, 13), "background": rows(2, 13), "model": lambda a: a[:, 0]}, ValueError, "at most 12 features"),
        ({"x": np.full((1, 5), np.nan)}, ValueError, "finite"),
        ({"background": np.full((2, 5), np.nan)}, ValueError, "background.*finite"),
        ({"background": np.zeros((0, 5))}, ValueError, "no rows"),
        ({"background": rows(2, 4)}, ValueError, "background"),
        ({"output": 2}, ValueError, "no unit 2"),
        ({"output": "first"}, ValueError, "no output 'first'"),
        ({"model": "net"}, TypeError, "a fastnn model or a function of rows"),
        ({"model": lambda a: a[:2]}, ValueError, "must give"),
        ({"model": lambda a: a[:, 0] / 0 * 0}, ValueError, "not finite"),
        ({"model": lambda a: a, "output": 7}, ValueError, "output=7"),
        ({"model": lambda a: a[:, 0], "x": rows(5)}, ValueError, "must be rows"),
        ({"model": lambda a: a[:, 0], "background": rows(2, 4)}, ValueError, "must have rows of the shape"),
        ({"groups": ["a", "b"]}, ValueError, r"groups .* must name the feature"),
    ],
)
@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value)")
def test_errors(model: Sequential, change: dict[str, Any], error: type[Exception], words: str) -> None:
    given = {"model": model, "x": rows(3, 5), "background": rows(4, 5), **change}
    with pytest.raises(error, match=words):
        exact_shapley(given.pop("model"), given.pop("x"), given.pop("background"), **given)


def test_errors_of_samples_and_patches(model: Sequential) -> None:
    x, pictures = rows(2, 5), rows(1, 4, 4, 1)
    with pytest.raises(ValueError, match="samples must be at least 14"):
        kernel_shap(model, x, x, samples=13)
    with pytest.raises(ValueError, match="permutations must be at least 1"):
        permutation_shap(model, x, x, permutations=0)
    with pytest.raises(ValueError, match="random_state must be at least 0"):
        permutation_shap(model, x, x, random_state=-1)
    for patch, words in ((0, "at least 1"), ((1, 2, 3), "patch must be"), (1.5, "whole number")):
        with pytest.raises((ValueError, TypeError), match=words):
            kernel_shap(lambda a: a[:, 0, 0, 0], pictures, pictures, patch=patch)
    with pytest.raises(RuntimeError, match="call build"):
        kernel_shap(Sequential([L.Dense(1)]), x, x)
    with pytest.raises(TypeError, match="pass its predict"):
        kernel_shap(type("Estimator", (), {"predict": None})(), x, x)


def test_names_that_differ(model: Sequential) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not here: pip install pandas")
    names = list("abcde")
    trained = Sequential([L.Input((5,)), L.Dense(1)])
    trained.compile("sgd", "mse")
    x = pandas.DataFrame(rows(6, 5), columns=names)
    trained.fit(x, np.zeros(6), verbose=0)
    assert exact_shapley(trained, x, x).feature_names == tuple(names)
    assert exact_shapley(lambda a: a[:, 0], x, x).feature_names == tuple(names)
    with pytest.raises(ValueError, match="columns"):
        exact_shapley(trained, x.rename(columns={"a": "z"}), x)
    with pytest.raises(ValueError, match="columns"):
        exact_shapley(trained, x, x.rename(columns={"a": "z"}))


def test_at_once_is_large() -> None:
    assert features.AT_ONCE >= 8192
