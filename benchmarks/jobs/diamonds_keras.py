"""Diamonds: the price from weight, measures, cut, colour and clarity."""

import numpy as np
from keras import Sequential
from keras.layers import Dense
from tables import diamonds

(x, y), (x_test, y_test) = diamonds.load_data()
numbers = [name for name, column in x.items() if column.dtype.kind == "f"]
known = {name: np.unique(column) for name, column in x.items() if name not in numbers}
mean, deviation = (np.array([get(x[name]) for name in numbers]) for get in (np.mean, np.std))


def encoded(x):
    scaled = (np.stack([x[name] for name in numbers], axis=1) - mean) / deviation
    return np.concatenate([scaled, *(x[name][:, None] == texts for name, texts in known.items())], axis=1)


model = Sequential([Dense(32, "relu"), Dense(32, "relu"), Dense(1)])
model.compile("adam", "mse")
model.fit(encoded(x), np.log(y), epochs=60, verbose=0)
print("median error", np.median(abs(np.exp(model.predict(encoded(x_test), verbose=0)[:, 0]) / y_test - 1)))
