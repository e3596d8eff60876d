"""Diamonds: a price that one in ten is below, the middle, and one that nine in ten are below."""

import numpy as np
from tables import diamonds

from fastnn import Input, Model
from fastnn.layers import Dense, Normalization
from fastnn.losses import Pinball
from fastnn.optimizers import Adam
from fastnn.optimizers.schedules import CosineDecay

(x, y), (x_test, y_test) = diamonds.load_data()
x, x_test = (
    np.stack([part[name] for name in ("carat", "depth", "table", "x", "y", "z")], axis=1) for part in (x, x_test)
)
rows, scale = Input((6,)), Normalization()
scale.adapt(x)
h = Dense(32, "relu")(Dense(32, "relu")(scale(rows)))
model = Model(rows, [Dense(1)(h) for _ in range(3)])
model.compile(Adam(CosineDecay(0.01, 60 * 65)), [Pinball(level) for level in (0.1, 0.5, 0.9)])
model.fit(x, [np.log(y)] * 3, epochs=60, verbose=0)
low, _, high = model.predict(x_test, verbose=0)
print("inside", ((low[:, 0] < np.log(y_test)) & (np.log(y_test) < high[:, 0])).mean())
