"""What a network is made of."""

from fastnn.layers.activations import ELU, LeakyReLU, ReLU, Softmax
from fastnn.layers.base import LAYERS, Layer, Parameter
from fastnn.layers.core import Activation, Dense, Dropout, Flatten, Input

__all__ = [
    "ELU",
    "LAYERS",
    "Activation",
    "Dense",
    "Dropout",
    "Flatten",
    "Input",
    "Layer",
    "LeakyReLU",
    "Parameter",
    "ReLU",
    "Softmax",
]
