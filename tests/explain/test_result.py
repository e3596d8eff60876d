"""The result of an explanation: its parts cut together, its file, its tables and pictures; and what all are given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.explain import Explanation, load
from fastnn.explain.given import names_of, output_function, output_of, rows_of
from fastnn.layers import Concatenate, Dense, Embedding, Flatten, Input, StringLookup
from fastnn.models import Model, Sequential

RNG = np.random.default_rng(3)
X = RNG.normal(size=(6, 4)).astype(np.float32)
VALUES = RNG.normal(size=(6, 4))


def flat(**more: Any) -> Explanation:
    return Explanation(VALUES, np.arange(6.0), X, feature_names=tuple("abcd"), method="by hand", std=VALUES**2, **more)


def several() -> Explanation:
    return Explanation([VALUES, VALUES[:, :1]], 0.5, [X, X[:, :1]], feature_names=("left", "right"))


def of_outputs() -> Explanation:
    values = RNG.normal(size=(6, 4, 2))
    return Explanation(values, np.ones((6, 2)), X, feature_names=tuple("abcd"), output_names=("no", "yes"))


def test_parts_are_cut_together() -> None:
    explained = flat()
    for rows, places in ((2, [2]), (-1, [5]), (slice(1, 4), [1, 2, 3]), (np.array([4, 0]), [4, 0])):
        part = explained[rows]
        assert len(part) == len(places)
        np.testing.assert_array_equal(part.values, VALUES[places])
        np.testing.assert_array_equal(part.base_values, places)
        np.testing.assert_array_equal(part.data, X[places])
        np.testing.assert_array_equal(part.std, VALUES[places] ** 2)
        assert (part.feature_names, part.method) == (explained.feature_names, "by hand")
    part = several()[np.arange(6) > 3]
    assert [each.shape for each in part.values + part.data] == [(2, 4), (2, 1)] * 2
    with pytest.raises(IndexError, match="no row 6; the explanation has 6"):
        explained[6]


def test_one_output_of_several() -> None:
    explained = of_outputs()
    for which in (1, "yes"):
        one = explained.output(which)
        np.testing.assert_array_equal(one.values, explained.values[..., 1])
        assert (one.base_values.shape, one.output_names) == ((6,), ())
    assert flat().output(0).values.shape == (6, 4)
    for bad in ("Yes", 2, -1):
        with pytest.raises(ValueError, match="output"):
            explained.output(bad)


def test_importance_is_the_mean_of_sizes() -> None:
    np.testing.assert_allclose(flat().importance(), np.abs(VALUES).mean(axis=0))
    np.testing.assert_allclose(several().importance(), [np.abs(VALUES).sum(axis=1).mean(), np.abs(VALUES[:, 0]).mean()])
    explained = of_outputs()
    np.testing.assert_allclose(explained.importance(), np.abs(explained.values).mean(axis=(0, 2)))
    steps = Explanation(VALUES.reshape(2, 3, 4), 0, X.reshape(2, 3, 4))
    np.testing.assert_allclose(steps.importance(), np.abs(VALUES).mean(axis=0))


@pytest.mark.parametrize("made", [flat, several, of_outputs])
def test_a_file_has_all_of_it(made: Any, tmp_path: Path) -> None:
    explained, path = made(), tmp_path / "explained"
    explained.save(path)
    read = load(path)
    for name in ("values", "data", "std"):
        ours, theirs = getattr(explained, name), getattr(read, name)
        pairs = zip(ours, theirs, strict=True) if isinstance(ours, list) else [(ours, theirs)]
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)
            assert one is None or one.dtype == other.dtype
    np.testing.assert_array_equal(explained.base_values, read.base_values)
    for name in ("feature_names", "output_names", "method"):
        assert getattr(read, name) == getattr(explained, name)


def test_a_file_holds_texts_and_no_pickles(tmp_path: Path) -> None:
    words = np.array([["a", None], ["b", "c"]], object)
    Explanation(np.zeros((2, 2)), 0, words).save(tmp_path / "texts.npz")
    assert load(tmp_path / "texts.npz").data.tolist() == [["a", "None"], ["b", "c"]]
    np.savez(tmp_path / "other.npz", values=np.zeros(3))
    (tmp_path / "damaged").write_bytes((tmp_path / "texts.npz").read_bytes()[:-30])
    for name in ("other.npz", "damaged"):
        with pytest.raises(ValueError, match="no explanation that Explanation"):
            load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")


def test_a_frame_has_a_line_for_each_row_and_output() -> None:
    pytest.importorskip("pandas", reason="frames: pip install pandas")
    frame = flat().to_dataframe()
    assert list(frame.columns) == list("abcd")
    np.testing.assert_array_equal(frame.to_numpy(), VALUES)
    explained = of_outputs()
    frame = explained.to_dataframe()
    assert frame["output"].tolist() == ["no", "yes"] * 6
    assert frame.index.tolist() == np.repeat(range(6), 2).tolist()
    np.testing.assert_array_equal(frame[frame["output"] == "yes"][list("abcd")], explained.values[..., 1])
    assert list(several().to_dataframe().columns) == ["left_0", "left_1", "left_2", "left_3", "right"]
    with pytest.raises(ValueError, match="one axis"):
        Explanation(np.zeros((2, 3, 4)), 0, np.zeros((2, 3, 4))).to_dataframe()


@pytest.mark.parametrize(
    ("package", "ask", "install"),
    [
        ("shap", Explanation.to_shap, "pip install shap"),
        ("pandas", Explanation.to_dataframe, r'pip install "fastnn\[pandas\]"'),
        ("matplotlib", Explanation.plot, r'pip install "fastnn\[plot\]"'),
    ],
)
def test_a_package_that_is_missing_is_named(
    package: str, ask: Any, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=install):
        ask(flat())


def test_what_does_not_hang_together_is_refused() -> None:
    for given, text in (
        ((VALUES, np.zeros(5), X), "base_values"),
        ((VALUES[:5], 0, X), "one entry for each of 6"),
    ):
        with pytest.raises(ValueError, match=text):
            Explanation(*given)
    with pytest.raises(ValueError, match="expected 4 feature_names, got 2"):
        Explanation(VALUES, 0, X, feature_names=("a", "b"))
    with pytest.raises(ValueError, match="outputs"):
        Explanation(VALUES, 0, X, output_names=("a", "b", "c"))
    with pytest.raises(ValueError, match="std"):
        Explanation(VALUES, 0, X, std=VALUES[:, :2])


# Pictures.


@pytest.fixture
def pyplot() -> Any:
    matplotlib = pytest.importorskip("matplotlib", reason="pictures: pip install matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def test_bars_are_as_long_as_the_values(pyplot: Any) -> None:
    explained = flat()
    ax = explained.plot()
    order = np.argsort(-explained.importance())
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], explained.importance()[order])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [explained.feature_names[place] for place in order]
    own = pyplot.subplots()[1]
    assert explained.plot(1, ax=own) is own
    order = np.argsort(-np.abs(VALUES[1]))
    np.testing.assert_allclose([bar.get_width() for bar in own.patches], VALUES[1][order])
    assert len({bar.get_facecolor() for bar in own.patches}) == 2  # what adds, and what takes
    assert own.get_xlabel() == f"effect on the output\nbase 1, sum {VALUES[1].sum():+.4g}"
    assert own.get_title() == "by hand, row 1"


def test_more_bars_than_asked_for_are_one(pyplot: Any) -> None:
    ax = flat().plot(0, top=3)
    assert len(ax.patches) == 3
    assert ax.get_yticklabels()[2].get_text() == "2 others"
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(VALUES[0].sum())


def test_sequences_and_pictures_are_maps(pyplot: Any) -> None:
    steps = Explanation(VALUES.reshape(2, 3, 4), 0, X.reshape(2, 3, 4), feature_names=tuple("abcd"))
    np.testing.assert_allclose(steps.plot(1).images[0].get_array(), VALUES[3:].T)
    np.testing.assert_allclose(steps.plot().images[0].get_array(), np.abs(VALUES.reshape(2, 3, 4)).mean(axis=0).T)
    picture = Explanation(VALUES.reshape(2, 3, 2, 2), 0, X.reshape(2, 3, 2, 2))
    grey, over = picture.plot(0).images
    np.testing.assert_allclose(grey.get_array(), X[:3].reshape(3, 2, 2).mean(axis=-1))
    np.testing.assert_allclose(over.get_array(), VALUES[:3].reshape(3, 2, 2).sum(axis=-1))
    with pytest.raises(ValueError, match="pictures of at most 4 channels"):
        Explanation(np.zeros((1, 2, 2, 5)), 0, np.zeros((1, 2, 2, 5))).plot()


def test_a_picture_of_several_inputs_and_outputs(pyplot: Any) -> None:
    explained = several()
    np.testing.assert_allclose(
        sorted(bar.get_width() for bar in explained.plot(2).patches), sorted([VALUES[2].sum(), VALUES[2, 0]])
    )
    assert len(of_outputs().plot().patches) == 4
    with pytest.raises(ValueError, match=r"choose one, such as explanation.output\('no'\).plot\(1\)"):
        of_outputs().plot(1)
    with pytest.raises(ValueError, match="row must be at most 5"):
        flat().plot(6)


# What explanations are given.


def test_rows_of_one_and_several_inputs() -> None:
    model = Sequential([Input((4,)), Dense(1)])
    (rows,) = rows_of(model, X.astype(np.float64).tolist(), "explain")
    np.testing.assert_array_equal(rows, X)
    assert rows.dtype == np.float32
    a, b = Input((4,), name="a"), Input((2, 3), name="b")
    both = Model([a, b], Dense(1)(Concatenate()([a, Flatten()(b)])))
    second = RNG.normal(size=(6, 2, 3)).astype(np.float32)
    for given in ([X, second], {"b": second, "a": X}):
        first, other = rows_of(both, given, "explain")
        np.testing.assert_array_equal(first, X)
        np.testing.assert_array_equal(other, second)
    assert names_of(both, None, [X, second]) == ("a", "b")
    ids = Sequential([Input((5,)), Embedding(2**25, 2), Flatten(), Dense(1)])
    (found,) = rows_of(ids, np.full((2, 5), 2**25 - 1), "explain")
    assert found.dtype.kind == "i"
    assert (found == 2**25 - 1).all()


def test_rows_of_columns_of_text_stay_as_they_are() -> None:
    word, number = Input((1,), dtype="string", name="word"), Input((1,), name="number")
    lookup = StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    model = Model([word, number], Dense(1)(Concatenate()([lookup(word), number])))
    given = {"word": ["a", "b", "c"], "number": [1.0, 2.0, 3.0]}
    words, numbers = rows_of(model, given, "explain")
    assert words[:, 0].tolist() == ["a", "b", "c"]
    assert numbers.dtype == np.float32
    found = output_function(model, None)([words, numbers])
    np.testing.assert_allclose(found, model.predict(given)[:, 0])


def test_names_of_features() -> None:
    pandas = pytest.importorskip("pandas", reason="frames: pip install pandas")
    model = Sequential([Input((4,)), Dense(1)])
    assert names_of(model, X, [X]) == ("x1", "x2", "x3", "x4")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    assert names_of(model, frame, [X]) == tuple("abcd")
    model.compile("sgd", "mse")
    model.fit(frame, X[:, 0], verbose=0)
    assert names_of(model, X, [X]) == tuple("abcd")
    with pytest.raises(ValueError, match="'d'"):
        rows_of(model, frame.rename(columns={"d": "e"}), "explain")
    assert names_of(model, None, [np.zeros((1, 8, 8, 3))]) == ()


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.where(X > 1, np.nan, X), "explain: x must be finite, got nan in row"),
        (np.where(X > 1, np.inf, X), "got inf"),
        (X[:0], "no rows"),
        (X[:, :3], "expects 4 features, got 3"),
    ],
)
def test_rows_that_cannot_be_explained(x: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        rows_of(Sequential([Input((4,)), Dense(1)]), x, "explain")


def test_what_is_no_built_model() -> None:
    with pytest.raises(TypeError, match=r"explain: model must be a fastnn.models.Model"):
        rows_of(None, X, "explain")
    with pytest.raises(RuntimeError):
        rows_of(Sequential([Dense(1)]), X, "explain")


def test_outputs_by_number_and_name() -> None:
    x = Input((4,))
    model = Model(x, {"price": Dense(1, name="price")(x), "kind": Dense(3, name="kind")(x)})
    out = model.predict(X)
    np.testing.assert_array_equal(output_function(model, "price")([X]), out["price"][:, 0])
    np.testing.assert_array_equal(output_function(model, "kind")([X]), out["kind"])
    np.testing.assert_array_equal(output_function(model, ("kind", 2))([X]), out["kind"][:, 2])
    assert output_of(model, "kind", "explain").names == ("0", "1", "2")
    for bad, text in (
        (None, r"explain: output must be a name, or \(name, unit\), got None; .* has 'price' of 1 unit"),
        (0, "got 0"),
        ("prices", r"no output 'prices' \(did you mean 'price'\?\); there is 'price' of 1 unit.s., 'kind' of 3"),
        (("kind", 3), "no unit 3 of output 'kind'"),
        (("kind", -1), "at least 0"),
    ):
        with pytest.raises(ValueError, match=text):
            output_of(model, bad, "explain")
    one = Sequential([Input((4,)), Dense(3)])
    np.testing.assert_array_equal(output_function(one, 1)([X]), one.predict(X)[:, 1])
    assert output_function(one, None)([X]).shape == (6, 3)
    with pytest.raises(TypeError, match="whole number"):
        output_of(one, 1.5, "explain")


def test_importing_explain_imports_no_package() -> None:
    program = "import fastnn.explain, sys; print([n for n in ('matplotlib', 'shap', 'pandas') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert "explain" in dir(fastnn)
