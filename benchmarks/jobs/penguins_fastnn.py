"""Penguins: the species from measures, island and sex, some of which are missing."""

import numpy as np
from tables import penguins

from fastnn import Model
from fastnn.layers import Dense
from fastnn.utils import FeatureSpace

(x, y), (x_test, y_test) = penguins.load_data()
numbers = [name for name, column in x.items() if column.dtype.kind == "f"]
for part in (x_test, x):
    part.update({name: np.nan_to_num(part[name], nan=np.nanmean(x[name])) for name in numbers})
space = FeatureSpace({name: "float_normalized" if name in numbers else "string_categorical" for name in x})
space.adapt(x)
model = Model(space.get_inputs(), Dense(3, "softmax")(Dense(16, "relu")(space.get_encoded_features())))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, epochs=40, verbose=0)
print("accuracy", model.evaluate(x_test, y_test, verbose=0)[1])
