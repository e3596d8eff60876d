"""LIME beside the lime package, and beside the ridge regression that it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers as L
from fastnn.explain import lime
from fastnn.models import Sequential

RNG = np.random.default_rng(8)
SCALES = np.array([1, 2, 3, 4, 0.5, 10])
X = (RNG.normal(size=(200, 6)) * SCALES + 1).astype(np.float32)
W = RNG.normal(size=(6, 8)) / SCALES[:, None]
PICTURES = RNG.random((2, 8, 8, 3)).astype(np.float32)
V = RNG.normal(size=(8 * 8 * 3, 2))
SEGMENTS = np.repeat(np.arange(8)[:, None] // 2, 8, 1) + 10 * (np.arange(8) // 4)


def table(a: np.ndarray) -> np.ndarray:
    return np.tanh(a @ W).sum(axis=1)


def picture(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a.reshape(len(a), -1) @ V * 0.3))


def words(texts: list[str]) -> np.ndarray:
    """Two probabilities by how many good and bad words there are."""
    assert isinstance(texts, list)
    assert isinstance(texts[0], str)
    score = np.array([text.count("good") + 0.5 * text.count("fun") - 1.5 * text.count("bad") for text in texts])
    return np.stack([1 / (1 + np.exp(score)), 1 / (1 + np.exp(-score))], axis=1)


TEXT = "a good, good film: fun,\nbut the end is bad!"


def ranked(explained: Any, label: int, count: int) -> np.ndarray:
    found = np.zeros(count)
    for place, value in explained.as_map()[label]:
        found[place] = value
    return found


@pytest.mark.filterwarnings("ignore")
def test_a_table_beside_lime() -> None:
    tabular = pytest.importorskip("lime.lime_tabular", reason="lime is not here: pip install lime")
    theirs = tabular.LimeTabularExplainer(X, mode="regression", discretize_continuous=False, random_state=0)
    ours = lime(table, X[:3], background=X, samples=3000, random_state=0)
    for row in range(3):
        found = theirs.explain_instance(X[row], table, num_features=6, num_samples=3000)
        expected = ranked(found, 1, 6)
        assert np.corrcoef(ours.values[row], expected)[0, 1] > 0.98
        np.testing.assert_allclose(ours.values[row], expected, atol=0.1 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore")
def test_a_text_beside_lime() -> None:
    text = pytest.importorskip("lime.lime_text", reason="lime is not here: pip install lime")
    theirs = text.LimeTextExplainer(random_state=0).explain_instance(TEXT, words, num_samples=3000, num_features=20)
    ours = lime(words, TEXT, samples=3000, output=1, random_state=0)
    expected = dict(theirs.as_list())
    assert set(expected) == set(ours.feature_names)
    assert ours.values.shape == (1, len(expected))
    found = dict(zip(ours.feature_names, ours.values[0], strict=True))
    names = sorted(expected)
    assert np.corrcoef([found[n] for n in names], [expected[n] for n in names])[0, 1] > 0.99
    assert found["good"] > found["fun"] > 0.05 > 0.02 > abs(found["film"])
    assert found["bad"] < -0.1


@pytest.mark.filterwarnings("ignore")
def test_a_picture_beside_lime() -> None:
    image = pytest.importorskip("lime.lime_image", reason="lime is not here: pip install lime")
    known, dense = np.unique(SEGMENTS, return_inverse=True)
    theirs = image.LimeImageExplainer(random_state=0).explain_instance(
        PICTURES[0].astype(float),
        picture,
        labels=(0, 1),
        num_samples=2000,
        num_features=8,
        segmentation_fn=lambda _: dense.reshape(8, 8),
    )
    expected = np.zeros(8)
    for place, value in theirs.local_exp[1]:
        expected[place] = value
    ours = lime(picture, PICTURES, segments=SEGMENTS, samples=2000, random_state=0)
    assert ours.values.shape == (2, 8, 8, 3, 2)
    found = np.array([ours.values[0, ..., 0, 1][label == SEGMENTS][0] for label in known])
    assert np.corrcoef(found, expected)[0, 1] > 0.98


def test_a_line_is_found_again() -> None:
    """With many samples a linear function's coefficients are its own, in deviations."""
    weights = np.array([3.0, 0, -2, 1, 0, 0.5]) / SCALES
    found = lime(lambda a: a @ weights + 7, X[:2], background=X, samples=20000, kernel_width=1e3, random_state=1)
    np.testing.assert_allclose(found.values, [weights * X.std(axis=0)] * 2, atol=2e-3)
    np.testing.assert_allclose(found.base_values, X.mean(axis=0) @ weights + 7, atol=1e-2)
    few = lime(lambda a: a @ weights, X[:2], background=X, samples=500, features=2, random_state=1)
    assert (few.values != 0).sum(axis=1).tolist() == [2, 2]
    assert (few.values[:, [0, 2]] != 0).all()


def test_what_is_near_counts() -> None:
    """A step is flat on both sides: nothing counts far from it, with a narrow kernel."""
    others = np.linspace(-4, 4, 101)[:, None]

    def step(a: np.ndarray) -> np.ndarray:
        return (a[:, 0] > 0).astype(float)

    there, away = np.array([[0.0]]), np.array([[8.0]])
    assert lime(step, there, background=others, kernel_width=0.3, random_state=0).values[0, 0] > 0.5
    assert abs(lime(step, away, background=others, kernel_width=0.3, random_state=0).values[0, 0]) < 0.01


def test_seeds_and_models() -> None:
    fastnn.set_random_seed(0)
    model = Sequential([L.Input((6,)), L.Dense(4, "tanh"), L.Dense(3, "softmax")])
    one = lime(model, X[:2], background=X, samples=200, random_state=4)
    assert (one.values.shape, one.base_values.shape, one.method) == ((2, 6, 3), (2, 3), "LIME")
    same = lime(model, X[:2], background=X, samples=200, random_state=4)
    np.testing.assert_array_equal(one.values, same.values)
    assert (lime(model, X[:2], background=X, samples=200, random_state=5).values != one.values).any()
    np.testing.assert_allclose(
        lime(model, X[:2], background=X, samples=200, random_state=4, output=2).values, one.values[..., 2]
    )


@pytest.mark.parametrize("shape", [(1,), ()])
def test_a_model_that_reads_texts(shape: tuple[int, ...]) -> None:
    texts = np.array(["good film", "bad film", "great good fun", "awful bad", "good", "bad bad"] * 10)
    good = np.array([1, 0, 1, 0, 1, 0] * 10)
    fastnn.set_random_seed(0)
    vectorize = L.TextVectorization(output_sequence_length=4)
    vectorize.adapt(texts)
    inputs = L.Input(shape, dtype="string")
    model = Sequential([inputs, vectorize, L.Embedding(9, 4), L.Flatten(), L.Dense(1, "sigmoid")])
    model.compile(fastnn.optimizers.Adam(0.05), "binary_crossentropy")
    model.fit(texts, good, epochs=60, verbose=0)
    found = lime(model, "film, bad", samples=300, random_state=0)
    assert found.feature_names == ("film", "bad")
    assert found.values[0, 1] < -2 * abs(found.values[0, 0])
    again = lime(model, np.array(["film, bad"]), samples=300, random_state=0)
    np.testing.assert_array_equal(again.values, found.values)


def test_pictures_behind_another(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def noted(a: np.ndarray) -> np.ndarray:
        seen.append(a)
        return picture(a)

    grey = np.full((8, 8, 3), 0.5, np.float32)
    found = lime(noted, PICTURES, background=grey, samples=50, output=0, random_state=0)
    assert found.values.shape == PICTURES.shape
    assert [len(a) for a in seen] == [1, 50, 50]
    np.testing.assert_array_equal(seen[1][0], PICTURES[0])  # the picture is among the samples
    assert (np.isclose(seen[1], PICTURES[0]) | (seen[1] == 0.5)).all()
    assert len(np.unique(found.values[0, ..., 0])) == 16  # squares of two pixels
    with pytest.raises(ValueError, match="background must be a picture"):
        lime(picture, PICTURES, background=grey[:4])


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"kind": "sound"}, ValueError, "kind must be"),
        ({"background": None}, ValueError, "needs background="),
        ({"samples": 1}, ValueError, "samples must be at least 2"),
        ({"features": 0}, ValueError, "features must be at least 1"),
        ({"kernel_width": 0}, ValueError, "kernel_width must be above 0"),
        ({"segments": SEGMENTS}, ValueError, "segments= is of kind 'picture'"),
        ({"kind": "picture"}, ValueError, "takes a model of one input"),
        ({"x": "a text"}, ValueError, "background= is of kind 'table' or 'picture'"),
        ({"x": ["one", "two"], "background": None}, ValueError, "one text at a time"),
        ({"x": " ...", "background": None}, ValueError, "has no word"),
        ({"x": np.full((1, 6), np.inf)}, ValueError, "finite"),
        (
            {"model": picture, "x": PICTURES, "background": None, "segments": SEGMENTS[:2]},
            ValueError,
            r"segments\) must name",
        ),
    ],
)
def test_errors(change: dict[str, Any], error: type[Exception], said: str) -> None:
    given = {"model": table, "x": X[:2], "background": X, **change}
    with pytest.raises(error, match=said):
        lime(given.pop("model"), given.pop("x"), **given)
