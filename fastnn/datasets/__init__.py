"""Data to learn from: Keras's sets, read from files that are here or that one asks for, and small tables.

Each is a module with ``load_data()``, which gives ``(x_train, y_train), (x_test, y_test)``.
"""

from fastnn import _names
from fastnn.datasets import (
    boston_housing as boston_housing,
    california_housing as california_housing,
    cifar10 as cifar10,
    cifar100 as cifar100,
    diamonds as diamonds,
    digits as digits,
    fashion_mnist as fashion_mnist,
    imdb as imdb,
    mnist as mnist,
    penguins as penguins,
    reuters as reuters,
)

__all__ = [
    "boston_housing",
    "california_housing",
    "cifar10",
    "cifar100",
    "diamonds",
    "digits",
    "fashion_mnist",
    "imdb",
    "mnist",
    "penguins",
    "reuters",
]

_names.offer(globals())
