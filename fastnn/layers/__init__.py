"""What a network is made of."""

from fastnn.layers.activations import ELU, LeakyReLU, ReLU, Softmax
from fastnn.layers.base import LAYERS, Layer, Parameter
from fastnn.layers.composite import Composite
from fastnn.layers.core import Activation, Dense, Dropout, Flatten, Input, InputLayer
from fastnn.layers.embedding import Embedding
from fastnn.layers.merging import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from fastnn.layers.noise import AlphaDropout, GaussianDropout, GaussianNoise
from fastnn.layers.normalization import BatchNormalization, LayerNormalization, RMSNormalization
from fastnn.layers.prelu import PReLU
from fastnn.layers.preprocessing import CategoryEncoding, Normalization, Rescaling
from fastnn.layers.reshaping import Identity, Permute, Reshape
from fastnn.layers.time_distributed import TimeDistributed

__all__ = [
    "ELU",
    "LAYERS",
    "Activation",
    "Add",
    "AlphaDropout",
    "Average",
    "BatchNormalization",
    "CategoryEncoding",
    "Composite",
    "Concatenate",
    "Dense",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "PReLU",
    "Parameter",
    "Permute",
    "RMSNormalization",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Softmax",
    "Subtract",
    "TimeDistributed",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]
