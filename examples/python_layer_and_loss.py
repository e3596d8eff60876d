"""A layer and a loss written in Python: radial basis functions, trained to be robust against outliers."""

from dataclasses import dataclass

import numpy as np

import fastnn
from fastnn.initializers import Constant, RandomUniform
from fastnn.layers import Dense, Input, Layer, Parameter
from fastnn.losses import Custom
from fastnn.models import Sequential, load_model


@dataclass(frozen=True, eq=False)
class RadialBasis(Layer):
    """exp(-width_j^2 |x - centre_j|^2) for each unit j. (inputs,) -> (units,)."""

    units: int

    def output_shape(self, input_shape):
        return (self.units,)

    def parameters(self, input_shape):
        centres = Parameter("centres", (self.units, *input_shape), RandomUniform(-3, 3))
        return centres, Parameter("widths", (self.units,), Constant(1.0))

    def forward(self, x, weights, training):
        centres, widths = weights
        return np.exp(-(widths**2) * ((x[:, None] - centres) ** 2).sum(axis=2))

    def backward(self, x, a, d, weights):
        centres, widths = weights
        away = x[:, None] - centres
        by_square = -(d * a)
        by_away = 2 * (by_square * widths**2)[:, :, None] * away
        by_width = (by_square * 2 * widths * (away**2).sum(axis=2)).sum(axis=0)
        return by_away.sum(axis=1), [-by_away.sum(axis=0), by_width]


def geman(y_true, y_pred):
    """e^2 / (1 + e^2): an outlier costs at most 1."""
    e = y_pred - y_true
    return (e**2 / (1 + e**2)).mean(axis=-1)


def geman_slope(y_true, y_pred):
    e = y_pred - y_true
    return 2 * e / (1 + e**2) ** 2 / e.shape[1]


fastnn.set_random_seed(0)
rng = np.random.default_rng(0)
x = rng.uniform(-3, 3, (2000, 1))
truth = np.sin(2 * x[:, 0])
y = np.where(rng.random(2000) < 0.1, 8.0, truth + rng.normal(0, 0.1, 2000))  # every tenth is far off

model = Sequential([Input((1,)), RadialBasis(20), Dense(1)])
model.compile("adam", Custom(geman, geman_slope))
model.fit(x, y, epochs=60, verbose=0)
print(f"root mean square error against the truth {np.sqrt(np.mean((model.predict(x)[:, 0] - truth) ** 2)):.3f}")

# A file names the layer and the loss; the program that loads it brings them along.
model.save("radial.fastnn")
names = {"RadialBasis": RadialBasis, "geman": Custom(geman, geman_slope)}
again = load_model("radial.fastnn", custom_objects=names)
print("loaded:", bool((again.predict(x) == model.predict(x)).all()))
