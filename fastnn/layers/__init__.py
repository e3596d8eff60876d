"""What a network is made of."""

from fastnn.layers.base import LAYERS, Layer, Parameter
from fastnn.layers.core import Activation, Dense, Dropout, Flatten, Input, InputLayer

__all__ = ["LAYERS", "Activation", "Dense", "Dropout", "Flatten", "Input", "InputLayer", "Layer", "Parameter"]
