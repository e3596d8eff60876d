"""Architectures for series: the temporal convolutional network."""

from __future__ import annotations

from typing import Any

from fastnn import _names, layers as L
from fastnn._checks import MOST, check_count
from fastnn.applications._ends import ended, sizes
from fastnn.models import Model

__all__ = ["TCN"]


def TCN(
    *,
    include_top: bool = True,
    weights: Any = None,
    input_shape: Any = (784, 1),
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: Any = "softmax",
    name: str = "tcn",
    filters: int = 25,
    kernel_size: int = 7,
    num_blocks: int = 8,
    dropout: float = 0.0,
) -> Model:
    """A temporal convolutional network: blocks of two causal convolutions, dilated by 1, 2, 4, ... 66,510 weights.

    input_shape: (steps, features). The last step sees 2 (kernel_size - 1)(2^num_blocks - 1) steps before it; the top
    reads that step. For a forecast: classes=1, classifier_activation=None. include_top=False gives (steps, filters).
    The defaults are the paper's for pixels of MNIST one by one, where it says 70 k; its kernels have a factor for each
    filter besides (weight normalization, 400 weights), which is left out here. dropout: of whole channels. Other
    arguments: see ``LeNet5``. Source: Bai, Kolter and Koltun 2018, An empirical evaluation of generic convolutional and
    recurrent networks for sequence modeling, figure 1, table 1 and appendix A.
    """
    given = locals()
    x = y = L.Input(sizes("TCN", input_shape, "steps", "features"))
    for what in ("filters", "kernel_size", "num_blocks"):
        check_count(f"TCN: {what}", given[what], 1, 30 if what == "num_blocks" else MOST)
    for block in range(num_blocks):
        short = y
        for _ in range(2):
            y = L.Conv1D(filters, kernel_size, padding="causal", dilation_rate=2**block, activation="relu")(y)
            y = L.SpatialDropout1D(dropout)(y) if dropout else y
        if short.shape[-1] != filters:
            short = L.Conv1D(filters, 1)(short)
        y = L.ReLU()(L.Add()([short, y]))
    return ended("TCN", x, y, lambda y: y[:, -1], given)


_names.offer(globals())
