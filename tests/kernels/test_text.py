"""Hashes of texts beside TensorFlow's and published values, and tables of tokens beside dicts."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fastnn.kernels.text import Tokens, hashes, only_texts

ALPHABET = "abcdefghijklmnopqrstuvwxyz é漢😀.,-_0123456789ABC"
LENGTHS = [0, 1, 2, 3, 4, 7, 8, 9, 12, 16, 17, 24, 32, 33, 48, 60, 63, 64, 65, 66, 100, 127, 128, 129, 200, 256, 300]
TEXTS = ["".join(ALPHABET[(i * i + 7 * k) % len(ALPHABET)] for i in range(n)) for k, n in enumerate(LENGTHS)]
# TensorFlow 2.21: tf.strings.to_hash_bucket_fast and, with the key [133, 137], to_hash_bucket_strong, of 2**62 buckets.
FARM = [
    1936946117179621455, 2026283707998439345, 571015757571455594, 3315062831679034871, 3769108721630008458,
    860249331232449745, 2232932580290705695, 1656708851873983826, 654888042948789467, 3207578012194989999,
    3570201770919247827, 733554678628045913, 724121526538986773, 1953099571417267610, 4487185391667889455,
    2362628759607772766, 1492977914300157315, 1518653128822088146, 1875510827623093, 559426885334550312,
    465220644426513880, 2703052994339974729, 2368707776624046454, 771737866652526573, 4448148745228345546,
    3676048812708403075, 1276297758796164126,
]  # fmt: skip
SIP = [
    316627932347062996, 686595483937790687, 794092471544563399, 1978653792667742117, 3974643936966370962,
    1630872613075095101, 1954850605675036017, 529532605721473686, 4602654867756489703, 3587282382129009240,
    1312624080951586531, 4205348938110027516, 3064691183985106333, 1104974094233197735, 3407259593844877922,
    1335538370419242755, 3918444172777965900, 1241260465896641568, 2928830892916164021, 3503243121517564353,
    1968658817928692835, 273899218607897804, 2427186678900627459, 4505030556869469911, 219113521134807067,
    192731708331732174, 3497585790045769766,
]  # fmt: skip


def test_hashes_are_tensorflows() -> None:
    assert (hashes(TEXTS) % np.uint64(2**62)).tolist() == FARM
    assert (hashes(TEXTS, (133, 137)) % np.uint64(2**62)).tolist() == SIP


def test_siphash_is_the_papers() -> None:
    """Appendix A of Aumasson and Bernstein 2012: key 00 01 .. 0f, message 00 01 .. 0e."""
    key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    assert hashes(["".join(map(chr, range(15)))], key).tolist() == [0xA129CA6149BE45E5]


def test_a_text_that_is_no_unicode_is_an_error() -> None:
    for call in (hashes, Tokens().add, Tokens().find):
        with pytest.raises(UnicodeEncodeError):
            call(["fine", "\ud800"])


def test_what_is_no_text_is_an_error() -> None:
    for value in (None, 3, b"bytes", 1.5):
        with pytest.raises(TypeError):
            hashes([value])  # type: ignore[list-item]
        with pytest.raises(TypeError):
            Tokens().add([value])  # type: ignore[list-item]


def test_arrays_of_texts_alone() -> None:
    texts = np.array(["a", "b", "c", None, "d", 1], object)
    assert only_texts(texts[:3])
    assert only_texts(texts[:0])
    assert only_texts(texts[:5:2])
    for other in (texts[2:4], texts[4:], texts[1::2], np.array([np.str_("a")], object), np.empty(2, object)):
        assert not only_texts(other)


def rows(count: int) -> list[str]:
    rng = np.random.default_rng(count)
    return [" ".join(f"w{k}" for k in rng.integers(0, 3000, rng.integers(0, 20))) for _ in range(count)]


@pytest.mark.parametrize("widths", [(1,), (2,), (1, 2), (3, 1)])
def test_counts_are_a_dicts(widths: tuple[int, ...]) -> None:
    table, texts = Tokens(split="whitespace", widths=widths), rows(500)
    table.add(texts[:200])
    table.add(texts[200:])
    times, having = Counter[str](), Counter[str]()
    for text in texts:
        words = text.split()
        grams = [" ".join(words[i : i + n]) for n in widths for i in range(len(words) - n + 1)]
        times.update(grams)
        having.update(set(grams))
    tokens, counts, documents, total = table.counted()
    assert dict(zip(tokens, counts.tolist(), strict=True)) == times
    assert dict(zip(tokens, documents.tolist(), strict=True)) == having
    assert total == 500


def test_numbers_are_a_dicts() -> None:
    table, texts = Tokens(split="whitespace"), rows(300)
    known = [f"w{k}" for k in range(0, 3000, 3)]
    table.put(known, 5)
    numbers, ends = table.find(texts, 1)
    places = {token: number for number, token in enumerate(known, 5)}
    assert numbers.tolist() == [places.get(word, 1) for text in texts for word in text.split()]
    assert ends.tolist() == np.cumsum([len(text.split()) for text in texts]).tolist()
    assert len(table) == len(known)


PIECES = ["Hello, World!", "  a\tb\nc  ", "", "!!!", "ÄÖ é😀", "a-b_c", "tab\x0bfeed\x0c"]


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("strip", [False, True])
@pytest.mark.parametrize("split", [None, "whitespace", "character"])
def test_texts_are_cut_as_python_cuts_them(lower: bool, strip: bool, split: str | None) -> None:
    table = Tokens(lower, strip, split)
    table.add(PIECES)
    expected = []
    for text in PIECES:
        raw = text.encode()
        raw = raw.lower() if lower else raw  # of bytes: ASCII alone
        plain = raw.translate(None, b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" if strip else b"")
        if split is None:
            expected.append(plain.decode())
        else:
            expected += [word.decode() for word in plain.split()] if split == "whitespace" else list(plain.decode())
    tokens, counts, _, _ = table.counted()
    assert dict(zip(tokens, counts.tolist(), strict=True)) == Counter(expected)


def test_a_row_may_be_a_list_of_texts() -> None:
    table = Tokens(True)
    table.put(["a b", "c"], 0)
    numbers, ends = table.find([["A b", "C", "d"], [], ["c"]])
    assert numbers.tolist() == [0, 1, -1, 1]
    assert ends.tolist() == [3, 3, 4]


def test_many_and_long_tokens() -> None:
    tokens = [f"{'x' * (k % 70)}{k}" for k in range(50000)]
    table = Tokens()
    table.put(tokens, 0)
    numbers, _ = table.find([*tokens, "y" * 10**6])
    assert numbers.tolist() == [*range(50000), -1]
