"""Sounds from WAV files, or from bytes that a database holds, as arrays: by the standard library."""

from __future__ import annotations

import struct
import wave
from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FASTEST = 10**6  # samples in a second that are believed
_DAMAGED = (EOFError, RuntimeError, wave.Error, struct.error)
_CHUNK = 2**16
ZEROS = 16  # crossings of a sinc on either side, in a change of the sampling rate


def decoded(file: Any, called: str) -> tuple[NDArray[np.float32], int]:
    """A WAV's numbers from -1 to 1, (samples, channels), and how many there are in a second.

    file: a path or an open file, of whole numbers of 8, 16, 24 or 32 bits. ValueError, which calls the sound `called`,
    for another, and for one that is damaged.
    """
    try:
        with wave.open(str(file) if hasattr(file, "__fspath__") else file) as sound:
            channels, width, rate = sound.getnchannels(), sound.getsampwidth(), sound.getframerate()
            expected, raw = sound.getnframes(), sound.readframes(sound.getnframes())
            if not 0 < rate <= FASTEST:
                raise wave.Error(f"it has {rate} samples in a second")
    except _DAMAGED as error:
        said = str(error) or "it ends too early"
        if "unknown format" in said:
            said += ", which is not PCM"
        raise ValueError(
            f"{called} is no WAV file of whole numbers (PCM): {said}; convert it, as ffmpeg -i in.wav -c:a pcm_s16le "
            "out.wav does"
        ) from None
    if width not in (1, 2, 3, 4) or len(raw) != expected * channels * width:
        raise ValueError(
            f"{called} is damaged: it says that it has {expected} samples of {8 * width} bits in {channels} "
            f"channel(s), and holds {len(raw)} bytes of them; replace it, or leave it out"
        )
    if width == 1:
        numbers = np.frombuffer(raw, np.uint8).astype(np.float32) / 128 - 1
    elif width == 3:
        bytes_of = np.frombuffer(raw, np.uint8).reshape(-1, 3).astype(np.int32)
        whole = (bytes_of[:, 0] << 8) | (bytes_of[:, 1] << 16) | (bytes_of[:, 2] << 24)
        numbers = whole.astype(np.float32) / 2**31
    else:
        numbers = np.frombuffer(raw, f"<i{width}").astype(np.float32) / 2 ** (8 * width - 1)
    return np.asarray(numbers.reshape(-1, channels), np.float32), rate


def length_of(file: Any, called: str) -> tuple[int, int, int]:
    """(samples, channels, samples in a second) of a WAV file, by its head. ValueError as ``decoded``."""
    try:
        with wave.open(str(file)) as sound:
            if 0 < sound.getframerate() <= FASTEST:
                return sound.getnframes(), sound.getnchannels(), sound.getframerate()
            raise wave.Error
    except _DAMAGED:
        numbers, rate = decoded(file, called)  # which says what is wrong
        return len(numbers), numbers.shape[1], rate


def resampled(sound: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    """A sound, (samples, channels), with `wanted` samples in a second: by a windowed sinc, so that none above half of
    the lower rate come back as others."""
    if rate == wanted or not len(sound):
        return sound
    shared = gcd(rate, wanted)
    up, down = wanted // shared, rate // shared
    places = resampled_length(len(sound), rate, wanted)
    weights, reach = _phases(up, down)
    padded = np.pad(sound, ((reach, reach + 1), (0, 0)))
    found = np.empty((places, sound.shape[1]), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    for start in range(0, places, _CHUNK):
        numbers = np.arange(start, min(places, start + _CHUNK))
        found[numbers] = np.einsum("ncw,nw->nc", windows[numbers * down // up], weights[numbers % up])
    return found


def resampled_length(samples: int, rate: int, wanted: int) -> int:
    """How many samples ``resampled`` makes of so many."""
    return -(-samples * wanted // rate)


@lru_cache(16)
def _phases(up: int, down: int) -> tuple[NDArray[np.float32], int]:
    """For each place between two samples what its neighbours count, (up, 2 * reach + 1), and how far they reach."""
    cut = min(1.0, up / down)
    reach = int(ZEROS / cut)
    away = (np.arange(up) * down % up / up)[:, None] - np.arange(-reach, reach + 1)
    weights = np.sinc(away * cut) * np.cos(np.pi / 2 * (away / (reach + 1)).clip(-1, 1)) ** 2
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32), reach


def fitted(sound: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """A sound of `length` samples: cut, or with zeros behind it."""
    return sound[:length] if len(sound) >= length else np.pad(sound, ((0, length - len(sound)), (0, 0)))
