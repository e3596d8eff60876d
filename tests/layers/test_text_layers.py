"""The layers that read text, whole numbers and bins: Keras's values and arguments.

The numbers are those of Keras 3.15's documentation and of its own unit tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn.layers as L
from fastnn.data import ArraySource, SQLDataset
from support.database import connect

ABCD = ["a", "b", "c", "d"]
DATA = [["a", "c", "d"], ["d", "z", "b"]]
REPEATED = [["a", "c", "d", "d"], ["d", "z", "b", "z"]]
IDF = [0.25, 0.75, 0.6, 0.4]
TOKENS = [["A"], ["B"], ["C"], ["D"], ["E"]]
FEATURES = (np.array(["A", "B", "A", "B", "A"]), np.array([101, 101, 101, 102, 102]))


def adapted(layer: Any, data: Any, **options: Any) -> Any:
    layer.adapt(data, **options)
    return layer


KNOWN: list[tuple[Any, Any, Any]] = [
    (L.StringLookup(vocabulary=ABCD), DATA, [[1, 3, 4], [4, 0, 2]]),
    (adapted(L.StringLookup(), DATA), DATA, [[5, 3, 1], [1, 2, 4]]),
    (L.StringLookup(vocabulary=ABCD, num_oov_indices=2), [["a", "c", "d"], ["m", "z", "b"]], [[2, 4, 5], [0, 1, 3]]),
    (L.StringLookup(vocabulary=ABCD, output_mode="one_hot"), [*ABCD, "z"], np.eye(5)[[1, 2, 3, 4, 0]]),
    (L.StringLookup(vocabulary=ABCD, output_mode="multi_hot"), REPEATED, [[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]]),
    (L.StringLookup(vocabulary=ABCD, output_mode="count"), REPEATED, [[0, 1, 0, 1, 2], [2, 0, 1, 0, 1]]),
    (
        L.StringLookup(vocabulary=ABCD, output_mode="tf_idf", idf_weights=IDF),
        REPEATED,
        [[0, 0.25, 0, 0.6, 0.8], [1, 0, 0.75, 0, 0.4]],
    ),
    (
        L.StringLookup(vocabulary=["[UNK]", *ABCD], output_mode="tf-idf", idf_weights=[0.9, *IDF]),
        REPEATED,
        [[0, 0.25, 0, 0.6, 0.8], [1.8, 0, 0.75, 0, 0.4]],
    ),
    (L.StringLookup(vocabulary=ABCD, invert=True), [[1, 3, 4], [4, 0, 2]], [["a", "c", "d"], ["d", "[UNK]", "b"]]),
    (L.StringLookup(vocabulary=["b", "a"], mask_token="", oov_token="?"), ["", "a", "x", "b"], [0, 3, 1, 2]),
    (L.StringLookup(vocabulary=["", "?", "b", "a"], mask_token="", oov_token="?"), ["", "a", "x", "b"], [0, 3, 1, 2]),
    (
        L.StringLookup(vocabulary=["b"], mask_token="", output_mode="binary", max_tokens=4, pad_to_max_tokens=True),
        [["", "b"], ["x", ""]],
        [[0, 1, 0, 0], [1, 0, 0, 0]],
    ),
    (L.IntegerLookup(vocabulary=[12, 36, 1138, 42]), [[12, 1138, 42], [42, 1000, 36]], [[1, 3, 4], [4, 0, 2]]),
    (
        L.IntegerLookup(vocabulary=[12, 36, 1138, 42], num_oov_indices=2),
        [[12, 1138, 42], [37, 1000, 36]],
        [[2, 4, 5], [1, 0, 3]],
    ),
    (
        L.IntegerLookup(vocabulary=[10, 20, 30], num_oov_indices=4, oov_method="farmhash"),
        [100, 300, 700, 1100, 1700, 2000],
        [3, 3, 2, 2, 0, 1],
    ),
    (
        L.IntegerLookup(vocabulary=[12, 36, 1138, 42], invert=True),
        [[1, 3, 4], [4, 0, 2]],
        [[12, 1138, 42], [42, -1, 36]],
    ),
    (L.IntegerLookup(vocabulary=[5, 6], mask_token=0, num_oov_indices=0), [0, 6, 5], [0, 2, 1]),
    (L.Hashing(num_bins=3), TOKENS, [[1], [0], [1], [1], [2]]),
    (L.Hashing(num_bins=3, mask_value=""), [["A"], ["B"], [""], ["C"], ["D"]], [[1], [1], [0], [2], [2]]),
    (L.Hashing(num_bins=3, salt=[133, 137]), TOKENS, [[1], [2], [1], [0], [2]]),
    (L.Hashing(num_bins=3, salt=133), TOKENS, [[0], [0], [2], [1], [0]]),
    (L.Hashing(num_bins=3), [0, 1, 2, 3, 4], [1, 0, 1, 0, 2]),
    (L.Hashing(num_bins=3), [0.9, 1.1, 2.5, 3.0, 4.0], [1, 0, 1, 0, 2]),
    (L.Hashing(num_bins=3, salt=[133, 137]), [[0], [1], [2], [3], [4]], [[1], [1], [2], [0], [1]]),
    (L.Hashing(num_bins=1), TOKENS, [[0]] * 5),
    (L.Hashing(num_bins=3, mask_value="omar"), ["omar", "stringer", "marlo", "wire", "skywalker"], [0, 1, 2, 1, 1]),
    (L.HashedCrossing(5), FEATURES, [1, 4, 1, 1, 3]),
    (L.HashedCrossing(5, output_mode="one_hot"), FEATURES, np.eye(5)[[1, 4, 1, 1, 3]]),
    (L.HashedCrossing(10), ["A", 101], 1),
    (L.Discretization([0.0, 1.0, 2.0]), [[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]], [[0, 2, 3, 1], [1, 3, 2, 1]]),
    (
        adapted(L.Discretization(num_bins=4, epsilon=0.01), np.array([[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]])),
        [[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]],
        [[0, 2, 3, 2], [1, 3, 3, 1]],
    ),
    (
        adapted(
            L.TextVectorization(max_tokens=5000, output_sequence_length=4), ["foo bar", "bar baz", "baz bada boom"]
        ),
        [["foo qux bar"], ["qux baz"]],
        [[4, 1, 3, 0], [1, 2, 0, 0]],
    ),
    (L.TextVectorization(vocabulary=["baz", "bar", "foo"]), [["foo qux bar"], ["qux baz"]], [[4, 1, 3], [1, 2, 0]]),
    (
        L.TextVectorization(vocabulary=["hello", "world", "this", "is", "nice", "test"]),
        ["Hello, World!. This is just a nice test!"],
        [[2, 3, 4, 5, 1, 1, 6, 7]],
    ),
    (
        L.TextVectorization(standardize="lower", vocabulary=["hello,", "hello", "world", "this", "is", "nice", "test"]),
        ["Hello, World!. This is just a nice test!"],
        [[2, 1, 5, 6, 1, 1, 7, 1]],
    ),
    (L.TextVectorization(standardize="strip_punctuation", vocabulary=["Hello", "World"]), ["Hello, World!"], [[2, 3]]),
    (L.TextVectorization(standardize=None, vocabulary=["Hello", "world"]), ["Hello hello"], [[2, 1]]),
    (L.TextVectorization(split="character", vocabulary=list("abcde")), ["abcf"], [[2, 3, 4, 1]]),
    (L.TextVectorization(split=None, vocabulary=["foo", "bar"]), [["foo"], ["bar"], ["unknown"]], [[2], [3], [1]]),
    (
        L.TextVectorization(output_mode="multi_hot", vocabulary=["foo", "bar", "baz"]),
        ["foo bar", "baz foo foo"],
        [[0, 1, 1, 0], [0, 1, 0, 1]],
    ),
    (
        L.TextVectorization(output_mode="count", vocabulary=["foo", "bar", "baz"]),
        ["foo bar", "baz foo foo"],
        [[0, 1, 1, 0], [0, 2, 0, 1]],
    ),
    (
        L.TextVectorization(output_mode="tf_idf", vocabulary=["foo", "bar", "baz"], idf_weights=[0.3, 0.5, 0.2]),
        ["foo bar", "baz foo foo"],
        [[0, 0.3, 0.5, 0], [0, 0.6, 0, 0.2]],
    ),
    (
        L.TextVectorization(
            standardize="lower", vocabulary=["foo", "bar"], split=lambda texts: [text.split("|") for text in texts]
        ),
        ["FOO|x", "bar"],
        [[2, 1], [3, 0]],
    ),
    (
        L.TextVectorization(vocabulary=["foo", "bar"], standardize=lambda texts: np.char.replace(texts, "-", " ")),
        ["foo-bar"],
        [[2, 3]],
    ),
]


@pytest.mark.parametrize(("layer", "data", "expected"), KNOWN, ids=[f"{i}" for i in range(len(KNOWN))])
def test_known_values(layer: Any, data: Any, expected: Any) -> None:
    found = layer(data)
    assert np.shape(found) == np.shape(expected)
    if np.asarray(expected).dtype.kind == "U":
        assert found.tolist() == expected
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-6)


# Vocabularies.


def test_vocabulary_of_data() -> None:
    data = [["a", "c", "d"], ["d", "z", "b"]]
    layer = adapted(L.StringLookup(), data)
    assert layer.get_vocabulary() == ["[UNK]", "d", "z", "c", "b", "a"]
    assert layer.get_vocabulary(include_special_tokens=False) == ["d", "z", "c", "b", "a"]
    assert layer.vocabulary_size() == 6
    assert adapted(L.StringLookup(max_tokens=3), data).get_vocabulary() == ["[UNK]", "d", "z"]
    masked = adapted(L.StringLookup(mask_token="z", oov_token="a"), data)
    assert masked.get_vocabulary() == ["z", "a", "d", "c", "b"]
    whole = adapted(L.IntegerLookup(), np.array([[12, 1138, 42], [42, 1000, 36]]))
    assert whole.get_vocabulary() == [-1, 42, 1138, 1000, 36, 12]
    negative = adapted(L.IntegerLookup(), np.array([-5, -40, 7, 10, 10]))
    assert negative.get_vocabulary() == [-1, 10, 7, -5, -40]  # by size, not as texts
    pairs = adapted(L.TextVectorization(ngrams=2), ["foo bar baz"])
    assert set(pairs.get_vocabulary()[2:]) == {"foo", "bar", "baz", "foo bar", "bar baz"}
    assert pairs(["foo bar"]).tolist() == [[pairs.get_vocabulary().index(t) for t in ("foo", "bar", "foo bar")]]
    assert adapted(L.TextVectorization(max_tokens=5), ["a b c d e f g"]).vocabulary_size() == 5


def test_weights_of_data() -> None:
    layer = adapted(L.StringLookup(output_mode="tf_idf"), [["one", "one"], ["one", "two"], ["two", "three"]])
    own = np.log(1 + 3 / (1 + np.array([2, 2, 1])))  # by rows that have it
    assert layer.get_vocabulary() == ["[UNK]", "one", "two", "three"]  # by how often it comes
    np.testing.assert_allclose(layer.idf_weights, [own.mean(), *own], rtol=1e-6)
    rows = adapted(L.StringLookup(output_mode="tf_idf"), ["one", "one", "one", "two", "two", "three"])
    np.testing.assert_allclose(rows.idf_weights[1:], np.log(1 + 6 / (1 + np.array([3, 2, 1]))), rtol=1e-6)
    padded = adapted(L.StringLookup(output_mode="tf_idf", max_tokens=6, pad_to_max_tokens=True), ["one", "two"])
    assert padded.idf_weights.shape == (6,)
    assert padded.idf_weights[3:].tolist() == [0, 0, 0]


def test_sources_of_data(tmp_path: Path) -> None:
    con = connect(":memory:")
    con.execute("CREATE TABLE t (city TEXT, code INTEGER, price REAL)")
    rows = [("Rome", 2**60, 0.5), ("Oslo", 7, 1.5), ("Rome", 7, 2.5), ("Bonn", 7, 3.5)]
    con.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    cities, _, prices = (list(column) for column in zip(*rows, strict=True))
    plain = adapted(L.StringLookup(), cities).get_vocabulary()
    assert plain == ["[UNK]", "Rome", "Oslo", "Bonn"]
    for data in (
        np.array(cities),
        np.array(cities, object)[:, None],
        SQLDataset("SELECT city FROM t", con),
        iter([cities[:1], cities[1:]]),
        [(cities[:1], [0]), (cities[1:], [1])].__iter__(),
    ):
        assert adapted(L.StringLookup(), data).get_vocabulary() == plain
    assert adapted(L.StringLookup(), iter([["a"], ["b"], ["c"]]), steps=2).get_vocabulary() == ["[UNK]", "b", "a"]
    assert adapted(L.IntegerLookup(), SQLDataset("SELECT code FROM t", con)).get_vocabulary() == [-1, 7, 2**60]
    expected = adapted(L.Discretization(num_bins=2), prices).bin_boundaries
    for source in (SQLDataset("SELECT price FROM t", con), ArraySource(np.array(prices)), np.array(prices)[:, None]):
        assert adapted(L.Discretization(num_bins=2), source).bin_boundaries == expected
    with pytest.raises(TypeError, match="holds numbers, and this layer adapts to text"):
        L.StringLookup().adapt(ArraySource(np.ones(3)))
    with pytest.raises(ValueError, match="adapt got no tokens"):
        L.StringLookup().adapt(iter([]))
    with pytest.raises(ValueError, match="data has no text at row 1"):
        L.StringLookup().adapt(["a", None])


@pytest.mark.parametrize(
    ("make", "batches"),
    [
        (L.StringLookup, [[["Rome"], ["Oslo"]], [["Rome"], ["Bonn"], ["Rome"]], np.empty((0, 1), object)]),
        (lambda: L.StringLookup(output_mode="tf_idf"), [[["a", "b"], ["a", "a"]], [["b", "c"]]]),
        (lambda: L.IntegerLookup(max_tokens=3), [[[2**60], [5]], [[5], [7], [7], [7]]]),
        (lambda: L.TextVectorization(output_mode="count"), [[["Red, red"], ["blue"]], [["red"]]]),
    ],
)
def test_tokens_of_one_batch_after_the_other(make: Any, batches: Any) -> None:
    def state(layer: Any) -> Any:
        return {name: table.tolist() for name, table in layer.arrays().items()}

    layer = make()
    layer.update_state([["of a pass that was given up"]] if layer.vocabulary_kind == "string" else [[1]])
    layer.reset_state()
    for batch in batches:
        layer.update_state(batch)
    layer.finalize_state()
    expected = adapted(make(), np.concatenate([np.array(batch, object) for batch in batches]))
    assert layer.get_vocabulary() == expected.get_vocabulary()
    assert state(layer) == state(expected)
    with pytest.raises(ValueError, match="adapt got no tokens"):  # what was counted is forgotten
        layer.finalize_state()
    assert layer.get_vocabulary() == expected.get_vocabulary()


def test_frames_of_data() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"city": ["Rome", "Oslo", "Rome"], "code": [3, 3, 5]})
    assert adapted(L.StringLookup(), frame["city"]).get_vocabulary() == ["[UNK]", "Rome", "Oslo"]
    assert adapted(L.StringLookup(), frame[["city"]].astype("category")).get_vocabulary() == ["[UNK]", "Rome", "Oslo"]
    assert adapted(L.IntegerLookup(), frame["code"].astype("Int8")).get_vocabulary() == [-1, 3, 5]


ENDS = [-(2**63), -(2**63) + 1, -1, 0, 1, 2**63 - 2, 2**63 - 1]


@pytest.mark.parametrize(
    "tokens",
    [
        [7],
        [5, -7, 30],
        [0, 2**16 - 1],  # found by their distance from the least, and
        [-3, 2**16 - 3],  # those that lie too far apart by bisection
        [2**63 - 1, 2**63 - 9],
        [-(2**63), -(2**63) + 9],
        [-(2**63), 2**63 - 1, 0],
    ],
)
def test_whole_numbers_are_found_as_in_a_dict(tokens: list[int]) -> None:
    values = [*ENDS, *(max(-(2**63), min(2**63 - 1, each + step)) for each in tokens for step in (-1, 0, 1))]
    known = {token: number for number, token in enumerate(tokens, 1)}
    layer = L.IntegerLookup(vocabulary=tokens)
    expected = [known.get(value, 0) for value in values]
    for given in (values, np.array(values), np.array(values, object), np.array(values)[::-1][::-1]):
        assert layer(given).tolist() == expected
    assert layer(np.array(values)[:, None]).tolist() == [[each] for each in expected]
    assert [int(layer(value)) for value in values] == expected
    with pytest.raises(ValueError, match="must hold whole numbers of 64 bits, got 9223372036854775808 at row 1"):
        layer(np.array([0, 2**63], object))


def test_vocabulary_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text("foo\nbär\nbaz qux\n", encoding="utf-8")
    assert L.StringLookup(vocabulary=str(path)).get_vocabulary() == ["[UNK]", "foo", "bär", "baz qux"]
    assert L.TextVectorization(vocabulary=path)(["foo baz"]).tolist() == [[2, 1]]
    path.write_text("foo\r\nbar", encoding="latin-1")
    assert L.StringLookup(vocabulary=path, encoding="latin-1").get_vocabulary() == ["[UNK]", "foo", "bar"]
    path.write_text("5\n-7\n")
    assert L.IntegerLookup(vocabulary=path).get_vocabulary() == [-1, 5, -7]
    path.write_text("5\nx\n")
    with pytest.raises(ValueError, match="must hold a whole number in each line"):
        L.IntegerLookup(vocabulary=path)
    with pytest.raises(ValueError, match=r"Vocabulary file .*none\.txt does not exist"):
        L.StringLookup(vocabulary=str(tmp_path / "none.txt"))
    with pytest.raises(ValueError, match="does not support loading a vocabulary from file"):
        L.StringLookup(output_mode="tf_idf").set_vocabulary(path, idf_weights=[1.0, 2.0])


def test_a_vocabulary_is_set_anew() -> None:
    layer = L.StringLookup()
    layer.set_vocabulary(["a", "b"])
    assert layer(["b", "x"]).tolist() == [2, 0]
    layer.set_vocabulary(np.array(["x"]))
    assert layer(["b", "x"]).tolist() == [0, 1]
    layer.adapt(["q"])
    assert layer.get_vocabulary() == ["[UNK]", "q"]
    again = L.StringLookup.from_config(layer.get_config())
    assert again.get_vocabulary() == layer.get_vocabulary()
    again.adapt(["r"])  # what was adapted may be adapted anew
    assert L.StringLookup.from_config(L.StringLookup(vocabulary=["a"]).get_config()).has_input_vocabulary


def test_bytes_of_another_encoding() -> None:
    layer = L.StringLookup(vocabulary=np.array(["été".encode("latin-1")]), encoding="latin-1")
    assert layer.get_vocabulary() == ["[UNK]", "été"]
    assert layer(["été"]).tolist() == [1]


# Boundaries.


def keras_boundaries(batches: list[np.ndarray], bins: int, epsilon: float) -> np.ndarray:
    """Keras 3.15's `summarize`, `merge_summaries` and `get_bin_boundaries`, put down again."""

    def compressed(summary: np.ndarray, epsilon: float) -> np.ndarray:
        if summary.shape[1] * epsilon < 1:
            return summary
        percents = epsilon + np.arange(0.0, 1.0, epsilon)
        weights = summary[1].cumsum()
        shares = weights / weights[-1]
        values, weights = np.interp(percents, shares, summary[0]), np.interp(percents, shares, weights)
        return np.stack((values, weights - np.concatenate(([0], weights[:-1])))).astype("float32")

    summary = np.array([[], []], dtype="float32")
    for batch in batches:
        values = np.sort(batch.astype("float32").ravel())
        step = max(values.size / (1.0 / epsilon), 1)
        chosen = values[int(step - 1) :: int(step)]
        merged = np.concatenate([np.stack([chosen, np.ones_like(chosen) * step]), summary], axis=1)
        summary = compressed(np.take(merged, np.argsort(merged[0]), axis=1), epsilon)
    return compressed(summary, 1.0 / bins)[0, :-1]


@pytest.mark.parametrize("bins", [2, 3, 7, 32])
@pytest.mark.parametrize("sizes", [[5], [100], [1000], [400, 3, 97]])
@pytest.mark.parametrize("epsilon", [0.01, 0.1])
def test_boundaries_are_keras(bins: int, sizes: list[int], epsilon: float) -> None:
    rng = np.random.default_rng(bins)
    batches = [rng.normal(size=(size, 1)) for size in sizes]
    layer = adapted(L.Discretization(num_bins=bins, epsilon=epsilon), iter(batches))
    assert list(layer.bin_boundaries) == keras_boundaries(batches, bins, epsilon).tolist()


def test_boundaries_part_the_data_evenly() -> None:
    x = np.random.default_rng(0).exponential(size=20000)
    layer = adapted(L.Discretization(num_bins=8), x)
    counts = np.bincount(layer(x), minlength=8)
    assert counts.min() > 2300
    assert counts.max() < 2700


def test_numbers_on_a_boundary_belong_above_it() -> None:
    layer = L.Discretization([-1, 0.1, 2])
    assert layer(np.float32([-1, 0.1, 2, -np.inf, np.inf])).tolist() == [1, 2, 3, 0, 3]
    assert layer(np.nextafter(np.float32([-1, 0.1, 2]), np.float32(-9))).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="row 1: NaN lies in no bin"):
        layer([0.5, float("nan")])


# Arguments.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L.StringLookup(max_tokens=1), "max_tokens must be at least 2"),
        (lambda: L.StringLookup(pad_to_max_tokens=True), "If pad_to_max_tokens is True, must set `max_tokens`"),
        (lambda: L.StringLookup(num_oov_indices=-1), "num_oov_indices must be at least 0"),
        (
            lambda: L.StringLookup(invert=True, output_mode="count"),
            "`output_mode` must be `'int'` when `invert` is true",
        ),
        (lambda: L.StringLookup(sparse=True), "`sparse` may only be true if `output_mode` is"),
        (lambda: L.StringLookup(sparse=True, output_mode="count"), "the engine reads dense rows"),
        (lambda: L.StringLookup(idf_weights=[1.0]), "`idf_weights` should only be set if `output_mode` is `'tf_idf'`"),
        (
            lambda: L.StringLookup(vocabulary=["a"], output_mode="tf_idf"),
            "`idf_weights` argument must also be provided",
        ),
        (lambda: L.StringLookup(output_mode="tf_idf", vocabulary=["a"], idf_weights=[1.0, 2.0]), "the same length"),
        (lambda: L.StringLookup(output_mode="ints"), "output_mode must be one of"),
        (lambda: L.StringLookup(vocabulary=["a", "a"]), "at least one repeated term.*'a'"),
        (lambda: L.StringLookup(vocabulary=[]), "Cannot set an empty vocabulary"),
        (lambda: L.StringLookup(vocabulary=["a", "m"], mask_token="m"), "Found reserved mask token at unexpected"),
        (lambda: L.StringLookup(vocabulary=["a", "[UNK]"], invert=True), "Found reserved OOV token at unexpected"),
        (lambda: L.StringLookup(vocabulary=["a", "b"], max_tokens=2), "larger than the maximum vocab size"),
        (lambda: L.StringLookup(vocabulary=[["a"], ["b"]]), "vocabulary must have one axis"),
        (lambda: L.IntegerLookup(salt=3), "can only be used when `oov_method='farmhash'`"),
        (lambda: L.IntegerLookup(oov_method="md5"), "oov_method must be"),
        (lambda: L.IntegerLookup(vocabulary_dtype="int32"), "vocabulary_dtype must be one of int64"),
        (lambda: L.IntegerLookup(vocabulary=[1.5]), "must hold whole numbers"),
        (lambda: L.Hashing(None), "cannot be `None`"),
        (lambda: L.Hashing(0), "non-positive values"),
        (lambda: L.Hashing(2, salt="text"), "can only be a tuple of size 2"),
        (lambda: L.Hashing(2, salt=[1]), "can only be a tuple of size 2"),
        (lambda: L.Hashing(2, dtype="float32"), "should be an integer type"),
        (lambda: L.HashedCrossing(3, output_mode="count"), "output_mode must be one of"),
        (lambda: L.HashedCrossing(3)(np.array(1)), "should be called on a list"),
        (lambda: L.HashedCrossing(3)([np.array(1)]), "at least two inputs"),
        (lambda: L.HashedCrossing(3)([np.array([1]), np.array([1, 2])]), "should have equal shape"),
        (lambda: L.HashedCrossing(3)([np.ones((2, 2), int)] * 2), "inputs should have shape"),
        (lambda: L.HashedCrossing(3)([np.array([1.0])] * 2), "should have an integer or string"),
        (lambda: L.Discretization(), "set either `num_bins` or `bin_boundaries`"),
        (lambda: L.Discretization([0.0], num_bins=2), "should not be set"),
        (lambda: L.Discretization(num_bins=-3), "greater than or equal to 0"),
        (lambda: L.Discretization([1.0, 0.0]), "numbers in rising order"),
        (lambda: L.Discretization([float("nan")]), "numbers in rising order"),
        (lambda: L.Discretization(num_bins=2, epsilon=0), "epsilon must be above 0 and below 1"),
        (lambda: L.Discretization(num_bins=2)([1.0]), "call `adapt"),
        (lambda: L.Discretization([0.0]).adapt([1.0]), "Cannot adapt a Discretization layer"),
        (lambda: L.Discretization(num_bins=2).adapt([1.0, float("nan")]), "the data has NaN"),
        (lambda: L.TextVectorization(standardize="upper"), "standardize must be"),
        (lambda: L.TextVectorization(split="comma"), "split must be"),
        (lambda: L.TextVectorization(ngrams="x"), "`ngrams` must be None, an integer"),
        (lambda: L.TextVectorization(ngrams=0), "`ngrams` must be None, an integer"),
        (lambda: L.TextVectorization(ragged=True), "ragged=True cannot be"),
        (
            lambda: L.TextVectorization(output_mode="count", output_sequence_length=3),
            "`output_sequence_length` must not be set if `output_mode` is not",
        ),
        (lambda: L.TextVectorization(vocabulary=["a"])([["a", "b"]]), "the last shape dimension must be 1"),
        (lambda: L.TextVectorization(vocabulary=["a"])(L.Input((1,), dtype="string")), "an output_sequence_length"),
        (lambda: L.StringLookup(vocabulary=["a"]).adapt(["b"]), "after setting a static vocabulary"),
        (lambda: L.StringLookup(vocabulary=["a"]).update_state(["b"]), "after setting a static vocabulary"),
        (lambda: L.Discretization([0.0]).update_state([1.0]), "Cannot adapt a Discretization layer"),
        (lambda: L.Discretization(num_bins=2).finalize_state(), "adapt got no numbers"),
        (lambda: L.StringLookup(vocabulary=["a"], num_oov_indices=0)(["a", "x"]), "row 1: .*found OOV values.*'x'"),
        (
            lambda: L.StringLookup(vocabulary=["a"], output_mode="count")(L.Input((), dtype="string")),
            "rows of at least one axis",
        ),
    ],
)
def test_arguments(make: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_without_a_vocabulary() -> None:
    with pytest.raises(RuntimeError, match="has no vocabulary; call adapt"):
        L.StringLookup()(["a"])
    with pytest.raises(RuntimeError, match="When using `output_mode=multi_hot` and"):
        L.StringLookup(output_mode="multi_hot")(["a"])
    with pytest.raises(RuntimeError, match="has no vocabulary"):
        L.TextVectorization()(["a"])


def test_the_hash_of_a_lookup_may_be_salted() -> None:
    for layer, data in ((L.StringLookup, [*"xyzwvu"]), (L.IntegerLookup, [100, 200, 300, 400, 500, 600])):
        known = ["a"] if layer is L.StringLookup else [1]
        plain, salted = (
            layer(vocabulary=known, num_oov_indices=4, oov_method="farmhash", salt=salt)(data)
            for salt in (None, [137, 42])
        )
        assert plain.tolist() != salted.tolist()
        assert set(plain) | set(salted) <= {0, 1, 2, 3}


def test_whole_numbers_beside_floats_stay_exact() -> None:
    layer = L.IntegerLookup(vocabulary=[2**60, 2**60 + 1])
    assert layer([2**60 + 1, 3.0]).tolist() == [2, 0]
    assert layer([[2**60 + 1], [2**60]]).tolist() == [[2], [1]]


def test_dtype_of_bins() -> None:
    for dtype in ("int32", "int64"):
        assert L.Hashing(3, dtype=dtype)(["a"]).dtype == dtype
        assert L.HashedCrossing(3, dtype=dtype)([["a"], [1]]).dtype == dtype
    assert L.Hashing(3, output_mode="count", dtype="float64")(["a"]).dtype == np.float64
    assert L.Hashing.from_config(L.Hashing(3, dtype="int32").get_config()).dtype == "int32"
    with pytest.raises(ValueError, match="dtype must be one of int32"):
        L.HashedCrossing(3, dtype="string")


def test_a_table_is_no_weights() -> None:
    for layer in (L.StringLookup(vocabulary=["a"]), L.Hashing(3), L.Discretization([0.0])):
        assert layer.weights == layer.trainable_weights == layer.non_trainable_weights == []
        assert layer.count_params() == 0
