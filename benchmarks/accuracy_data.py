"""The data of `benchmarks.accuracy`: pictures, a series, texts and spoken words, each from a public package.

Where a package is not here, LookupError says how to get it. Test rows are never seen in training: of pictures they are
the set's own, of the series the last year, of texts a fifth at random, of words those of voices that nobody trained on.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
import wave
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.datasets import digits as small_digits, fashion_mnist

Array = NDArray[np.float32]
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
REVIEWS = "vaderSentiment-3.3.2.tar.gz"  # holds film reviews that people rated, of Hutto and Gilbert 2014
STEPS, MELS = 80, 40  # of a spoken word: frames of 10 ms, and bands of the ear's scale in each


class Data(NamedTuple):
    """Rows to train on and to test on."""

    x: Array
    y: NDArray[np.float32]
    x_test: Array
    y_test: NDArray[np.float32]


def digits() -> Data:
    """1,797 pictures of 8 x 8."""
    (x, y), (x_test, y_test) = small_digits.load_data()
    return Data(x.reshape(-1, 8, 8, 1) / 16, y, x_test.reshape(-1, 8, 8, 1) / 16, y_test)


def fashion() -> Data:
    """70,000 pictures of clothes, 28 x 28."""
    try:
        (x, y), (x_test, y_test) = fashion_mnist.load_data()
    except FileNotFoundError as error:
        raise LookupError(f"apt-get install dataset-fashion-mnist ({error})") from None
    pictures = [(each[..., None] / 255).astype(np.float32) for each in (x, x_test)]
    return Data(pictures[0], y.astype(np.float32), pictures[1], y_test.astype(np.float32))


def weather(window: int = 14) -> Data:
    """Seattle, 2012 to 2015: from two weeks' rain, highest and lowest temperature and wind, the next day's highest."""
    if find_spec("vega_datasets") is None:
        raise LookupError("pip install vega_datasets")
    from vega_datasets import local_data

    table = local_data.seattle_weather()
    columns = [table[name].to_numpy(np.float32) for name in ("precipitation", "temp_max", "temp_min", "wind")]
    series = np.stack(columns, axis=1)
    first_test = int((table["date"] < "2015-01-01").sum())
    x = np.lib.stride_tricks.sliding_window_view(series[:-1], window, axis=0).transpose(0, 2, 1)
    y = series[window:, 1:2]
    place = first_test - window
    scaled = (x - series[:first_test].mean(axis=0)) / series[:first_test].std(axis=0)
    return Data(scaled[:place], y[:place], scaled[place:], y[place:])


def reviews(length: int = 40, vocabulary: int = 5000) -> Data:
    """10,605 sentences on films: whether people found them well-disposed. Words as numbers from 2, 1: a rare one."""
    path = Path(REVIEWS)
    if not path.exists():
        raise LookupError("pip download --no-deps --no-binary :all: vaderSentiment==3.3.2")
    with tarfile.open(path) as outer:
        (name,) = (name for name in outer.getnames() if name.endswith("hutto_ICWSM_2014.tar.gz"))
        held = outer.extractfile(name)
        assert held is not None
        with tarfile.open(fileobj=io.BytesIO(held.read())) as inner:
            file = inner.extractfile("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
            assert file is not None
            lines = [line.split("\t") for line in file.read().decode("latin-1").splitlines()]
    texts = [re.findall(r"[a-z']+", line[2].lower()) for line in lines]
    y = np.array([float(line[1]) > 0 for line in lines], np.float32)[:, None]
    order = np.random.default_rng(0).permutation(len(texts))
    train, test = order[len(order) // 5 :], order[: len(order) // 5]
    words, counts = np.unique([word for row in train for word in texts[row]], return_counts=True)
    known = {
        str(word): 2 + rank for rank, word in enumerate(words[np.argsort(-counts, kind="stable")][: vocabulary - 2])
    }
    x = np.zeros((len(texts), length), np.float32)
    for row, text in enumerate(texts):
        numbers = [known.get(word, 1) for word in text[:length]]
        x[row, : len(numbers)] = numbers
    return Data(x[train], y[train], x[test], y[test])


def speech() -> Data:
    """Ten words by 101 voices of espeak-ng in five accents, as logarithms of energies; a quarter of voices are kept."""
    if shutil.which("espeak-ng") is None:
        raise LookupError("apt-get install espeak-ng")
    listed = subprocess.run(["espeak-ng", "--voices=variant"], capture_output=True, text=True, check=True).stdout
    voices = sorted(set(re.findall(r"!v/(\S+)", listed)))
    accents = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan")
    rows, labels, speakers = [], [], []
    for speaker, voice in enumerate(voices):
        for label, word in enumerate(WORDS):
            accent = accents[(speaker + label) % len(accents)]
            spoken = ["espeak-ng", "-v", f"{accent}+{voice}", "--stdout", word]
            rows.append(log_mel(subprocess.run(spoken, capture_output=True, check=True).stdout))
            labels.append(label)
            speakers.append(speaker)
    x, y, by = np.stack(rows), np.array(labels, np.float32), np.array(speakers)
    test = by % 4 == 0
    mean, spread = x[~test].mean(), x[~test].std()
    x = (x - mean) / spread
    return Data(x[~test], y[~test], x[test], y[test])


def log_mel(sound: bytes) -> Array:
    """(STEPS, MELS) of a WAV file of 16 bits: 25 ms every 10 ms, energies in bands that are even on the mel scale."""
    with wave.open(io.BytesIO(sound)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(-1), np.int16).astype(np.float32) / 32768
    heard = np.flatnonzero(np.abs(samples) > 0.01)
    samples = samples[heard[0] :] if len(heard) else samples
    size, hop, points = rate // 40, rate // 100, 1024
    samples = np.pad(samples, (0, max(0, size + hop * STEPS - len(samples))))[: size + hop * (STEPS - 1)]
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames, points)) ** 2
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), MELS + 2) / 2595) - 1)
    place = np.linspace(0, rate / 2, points // 2 + 1)
    rise, fall = (
        (place - edges[:-2, None]) / np.diff(edges)[:-1, None],
        (edges[2:, None] - place) / np.diff(edges)[1:, None],
    )
    bands = np.maximum(0, np.minimum(rise, fall))
    return np.log(power @ bands.T + 1e-6).astype(np.float32)
