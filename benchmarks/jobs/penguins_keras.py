"""Penguins: the species from measures, island and sex, some of which are missing."""

import numpy as np
from keras import Sequential
from keras.layers import Dense, Normalization
from tables import penguins

(x, y), (x_test, y_test) = penguins.load_data()
texts = {name: np.unique(x[name]) for name in ("island", "sex")}


def encoded(part):
    numbers = [np.nan_to_num(c, nan=np.nanmean(x[n]))[:, None] for n, c in part.items() if n not in texts]
    return np.concatenate([*numbers, *(part[name][:, None] == known for name, known in texts.items())], axis=1)


scale = Normalization()
scale.adapt(encoded(x))
model = Sequential([scale, Dense(16, "relu"), Dense(3, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(encoded(x), y, epochs=40, verbose=0)
print("accuracy", model.evaluate(encoded(x_test), y_test, verbose=0)[1])
