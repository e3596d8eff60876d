"""Diamonds: a price that one in ten is below, the middle, and one that nine in ten are below."""

import numpy as np
from keras import Input, Model, ops
from keras.layers import Dense, Normalization
from keras.optimizers import Adam
from keras.optimizers.schedules import CosineDecay
from tables import diamonds


def pinball(level):
    return lambda y, output: ops.mean(ops.maximum(level * (y - output), (level - 1) * (y - output)), axis=-1)


(x, y), (x_test, y_test) = diamonds.load_data()
x, x_test = (
    np.stack([part[name] for name in ("carat", "depth", "table", "x", "y", "z")], axis=1) for part in (x, x_test)
)
rows, scale = Input((6,)), Normalization()
scale.adapt(x)
h = Dense(32, "relu")(Dense(32, "relu")(scale(rows)))
model = Model(rows, [Dense(1)(h) for _ in range(3)])
model.compile(Adam(CosineDecay(0.01, 60 * 65)), [pinball(level) for level in (0.1, 0.5, 0.9)])
model.fit(x, [np.log(y)] * 3, epochs=60, verbose=0)
low, _, high = model.predict(x_test, verbose=0)
print("inside", ((low[:, 0] < np.log(y_test)) & (np.log(y_test) < high[:, 0])).mean())
