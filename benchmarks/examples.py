"""Rows and targets that a network can learn in part: the same for every side, the same each time."""

import numpy as np

from benchmarks.networks import Array, Network

SHOWN = 0.2  # how much of its class a number shows, beside noise of 1
TOLD, BAND = 0.2, 50  # the share of a text's words that come from the words of its class, and how many these are


def examples(network: Network, loss: str, rows: int) -> tuple[Array, Array]:
    random = np.random.default_rng(0)
    if network.sizes:
        return of_a_line(network, loss, rows, random)
    if network.ids:
        return of_words(network, rows, random)
    if loss == "mean_squared_error":
        return of_a_mean(network, rows, random)
    return of_patterns(network, rows, random)


def of_a_line(network: Network, loss: str, rows: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Normal inputs, and a noisy linear teacher's targets: learnable, but never to zero."""
    (inputs,), units = network.inputs, network.units
    x = random.standard_normal((rows, inputs), np.float32)
    teacher = random.standard_normal((inputs, units), np.float32) / inputs**0.5
    z = x @ teacher + 0.3 * random.standard_normal((rows, units), np.float32)
    if loss == "sparse_categorical_crossentropy":
        return x, z.argmax(axis=1)
    if loss == "binary_crossentropy":
        return x, (z > 0).astype(np.float32)
    return x, z.astype(np.float32)


def of_patterns(network: Network, rows: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Normal inputs; each class adds a pattern of its own, and a number to each channel, which a mean shows."""
    patterns = random.standard_normal((network.units, *network.inputs), np.float32)
    channels = random.standard_normal((network.units, network.inputs[-1]), np.float32)
    patterns += channels.reshape(network.units, *[1] * len(network.inputs[:-1]), -1)
    y = random.integers(network.units, size=rows)
    x = random.standard_normal((rows, *network.inputs), np.float32)
    x += np.float32(SHOWN) * patterns[y]
    return x, y


def of_a_mean(network: Network, rows: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Normal inputs; a noisy linear teacher of the mean over steps, in which late ones count more."""
    steps, features = network.inputs
    x = random.standard_normal((rows, *network.inputs), np.float32)
    late = np.exp(np.arange(1 - steps, 1, dtype=np.float32) / 8)
    late /= np.linalg.norm(late)
    teacher = random.standard_normal((features, 1), np.float32) / features**0.5
    y = np.tensordot(x, late, (1, 0)) @ teacher + 0.3 * random.standard_normal((rows, 1), np.float32)
    return x, y.astype(np.float32)


def of_words(network: Network, rows: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Ids, some of them of those that the class prefers; two classes."""
    (steps,) = network.inputs
    y = random.integers(2, size=(rows, 1))
    x = random.integers(network.ids, size=(rows, steps))
    band = min(BAND, network.ids // 2)
    preferred = band * y + random.integers(band, size=(rows, steps))
    told = random.random((rows, steps)) < TOLD
    return np.where(told, preferred, x).astype(np.int32), y.astype(np.float32)
