"""Codebooks and gaps: what is stored, and that it is read back, beside plain loops over the same numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastnn.store.codebooks import NAMES, TEXT, Coded, coded, rounded
from fastnn.store.safetensors import Entry


def lloyd(values, most):
    """k-means on a line as the books have it: all distances, 25 rounds, a linear start."""
    centres = np.linspace(values.min(), values.max(), most)
    for _ in range(25):
        nearest = np.abs(values[:, None] - centres).argmin(axis=1)
        centres = np.array([values[nearest == k].mean() if (nearest == k).any() else centres[k] for k in range(most)])
    return centres[np.abs(values[:, None] - centres).argmin(axis=1)]


def back(arrays, text, room=2**26):
    entries = {name: Entry(name, each.dtype, each.shape, 0, each.nbytes) for name, each in arrays.items()}
    found = Coded(text, entries, room)
    decoded = found.arrays(arrays)
    assert {name: (each.shape, each.dtype) for name, each in found.shapes.items()} == {
        name: (each.shape, each.dtype) for name, each in decoded.items()
    }
    return decoded


def drawn(shape, zeros=0.0, seed=0):
    rng = np.random.default_rng(seed)
    array = rng.standard_normal(shape).astype(np.float32)
    array[rng.random(shape) < zeros] = 0
    return array


@pytest.mark.parametrize("most", [4, 16, 32, 256])
def test_k_means_is_lloyds(most):
    values = drawn(2000)
    book, codes = rounded(values, most)
    assert len(book) <= most
    assert book.dtype == np.float32
    assert codes.dtype == np.uint8
    assert (np.diff(book) > 0).all()
    np.testing.assert_allclose(book[codes], lloyd(values.astype(float), most), atol=1e-6)


@pytest.mark.parametrize(
    "values",
    [[], [0.0], [0.0] * 9, [3.0], [3.0] * 9, [1.0, 2.0], [-1e38, 0, 3e38], [0.0, -0.0, 1e-45], [1.0, 1.0 + 1e-7, 2.0]],
)
def test_few_values_are_kept(values):
    values = np.array(values, np.float32)
    book, codes = rounded(values, 16)
    assert (book[codes] == values).all()
    assert len(book) <= len(set(values.tolist()))


def test_zeros_stay_zeros_among_others():
    values = drawn(5000, 0.3)
    book, codes = rounded(values, 16)
    assert len(book) <= 16
    assert (book[codes][values == 0] == 0).all()


@pytest.mark.parametrize("shape", [(300,), (60, 50), (5, 5, 6, 16), (2, 3000), (3000, 1)])
@pytest.mark.parametrize("zeros", [0, 0.3, 0.5, 0.9, 0.97, 0.999, 1])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_what_is_coded_is_read(shape, zeros, bits):
    array = drawn(shape, zeros)
    kept, metadata = coded({"a/kernel": array, "a/bias": array[:1]}, {"a/kernel"}, bits)
    assert kept["a/bias"] is not None
    assert set(kept) == {"a/bias", *NAMES}
    found = back(kept, metadata[TEXT])["a/kernel"]
    assert found.flags.c_contiguous
    assert found.shape == shape
    assert len(np.unique(found)) <= 2 ** (bits if len(shape) > 1 else max(bits, 6)) + (zeros >= 0.5)
    if zeros >= 0.5:
        assert (found[array == 0] == 0).all()
    # Each weight has the nearest value there is; one that is no zero stays none where zeros are gaps.
    values = np.unique(found)
    values = values[values != 0] if zeros >= 0.6 else values
    nearest = np.abs(array[..., None].astype(float) - values).min(axis=-1, initial=np.inf)
    there = (array != 0) if zeros != 0.5 else np.zeros(shape, bool)  # which of the two ways is chance
    np.testing.assert_allclose(np.abs(array - found)[there], nearest[there], atol=1e-6)


@pytest.mark.parametrize("steps", [[0], [1], [254], [255], [256], [510], [511], [2999], [0, 255, 511, 2999]])
@pytest.mark.parametrize("order", "CF")
def test_gaps_of_any_length(steps, order):
    flat = np.zeros(3000, np.float32)
    flat[steps] = np.arange(1, len(steps) + 1)
    array = flat.reshape(30, 100, order=order)
    kept, metadata = coded({"k/k": array}, {"k/k"}, 4)
    assert (back(kept, metadata[TEXT])["k/k"] == array).all()


def test_the_gaps_of_an_array_by_hand():
    array = np.zeros((1, 600), np.float32)
    array[0, [0, 2, 258, 599]] = [5, 6, 5, 7]
    kept, metadata = coded({"k/k": array}, {"k/k"}, 4)
    assert kept["gaps"].tolist() == [0, 1, 255, 0, 255, 85]
    assert kept["codes"].tolist() == [0, 1, 0, 2]
    assert kept["codebooks"].tolist() == [5, 6, 7]
    assert json.loads(metadata[TEXT]) == {"k/k": [[1, 600], 0, 3, 4, 6]}


def test_what_is_not_rounded():
    small, whole, odd = drawn((3, 4)), np.ones((30, 30), np.int8), drawn((30, 30))
    odd[3, 3] = np.nan
    other = drawn((30, 30))
    arrays = {"a/a": small, "a/b": whole, "a/c": odd, "a/d": other}
    assert coded(arrays, {"a/a", "a/b", "a/c"}, 4) == (arrays, {})
    assert coded({}, set(), 4) == ({}, {})


def test_several_arrays_lie_behind_each_other():
    arrays = {f"l{i}/kernel": drawn((40, 30), zeros, i) for i, zeros in enumerate((0.9, 0, 1, 0.6))}
    alone = {name: back(*_one(name, array))[name] for name, array in arrays.items()}
    kept, metadata = coded(arrays, set(arrays), 5)
    assert set(kept) == set(NAMES)
    found = back(kept, metadata[TEXT])
    for name, array in alone.items():
        assert (found[name] == array).all()


def _one(name, array):
    kept, metadata = coded({name: array}, {name}, 5)
    return kept, metadata[TEXT]


GOOD = [[40, 30], 0, 16, 120, 122]
WRONG = [
    (None, "an object"),
    ([], "an object"),
    ({"k/k": 3}, "a list"),
    ({"k/k": GOOD[:4]}, "a list of 5"),
    ({"k/k": [[40, 30.0], *GOOD[1:]]}, "whole number"),
    ({"k/k": [[-40, -30], *GOOD[1:]]}, "codes of 'k/k' are none"),
    ({"k/k": [[40, 30], 2, 16, 120, 122]}, "codes of 'k/k' are none"),
    ({"k/k": [[40, 30], 0, 257, 120, 122]}, "codes of 'k/k' are none"),
    ({"k/k": [[40, 30], 0, -1, 120, 122]}, "codes of 'k/k' are none"),
    ({"k/k": [[40, 30], 0, 16, 120, 0]}, "has 120 codes and 0 gaps"),
    ({"k/k": [[40, 30], 0, 16, 1201, 1202]}, "has 1,201 codes"),
    ({"k/k": [[40, 30], 0, 16, 120, 123]}, "expected 123 numbers as .gaps"),
    ({"k/k": [[40, 30], 0, 15, 120, 122]}, "expected 15 numbers as .codebooks"),
    ({"k/k": [[40, 2**40], 0, 16, 120, 122]}, "more than 67,108,864 bytes"),
    ({"k/k": [[10**30], 0, 16, 120, 122]}, "more than 67,108,864 bytes"),
    ({"k/k": [[40, 30], 0, 16, 120, 300]}, "120 codes and 300 gaps"),
    ({"b/b": GOOD}, "codes of 'b/b' are none"),
    ({}, "expected 0 numbers as .codebooks"),
]


@pytest.mark.parametrize(("places", "message"), WRONG, ids=range(len(WRONG)))
def test_a_text_that_does_not_fit(places, message):
    arrays = {
        "codebooks": np.ones(16, np.float32),
        "codes": np.ones(120, np.uint8),
        "gaps": np.zeros(122, np.uint8),
        "b/b": drawn(3),
    }
    with pytest.raises(ValueError, match=message):
        back(arrays, json.dumps(places))


@pytest.mark.parametrize(
    ("codes", "gaps"),
    [
        ([0, 1, 16], [0, 0, 0]),  # no such entry
        ([0, 1, 2], [0, 0]),  # fewer places than codes
        ([0, 1], [0, 0, 255, 0]),  # more
        ([0, 1], [254, 254]),  # behind the end
        ([0], [255, 255, 255, 255]),
    ],
)
def test_codes_that_are_damaged(codes, gaps):
    arrays = {"codebooks": np.ones(16, np.float32), "codes": np.uint8(codes), "gaps": np.uint8(gaps)}
    text = json.dumps({"k/k": [[20, 20], 0, 16, len(codes), len(gaps)]})
    with pytest.raises(ValueError, match=r"codes of 'k/k' are not as they were written|codes and \d gaps"):
        back(arrays, text)


def test_room_is_for_all_arrays_together():
    arrays = dict.fromkeys(("codes", "gaps"), np.zeros(0, np.uint8)) | {"codebooks": np.zeros(0, np.float32)}
    text = json.dumps({f"{name}/k": [[1000], 0, 0, 0, 0] for name in "abcd"})
    assert len(back(arrays, text, 16000)) == 4
    with pytest.raises(ValueError, match="more than 15,999 bytes"):
        back(arrays, text, 15999)
