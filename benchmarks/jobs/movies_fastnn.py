"""Movies: the rating from genre, runtime and budget, which is missing for one in five."""

import numpy as np
from tables import movies

from fastnn import Model
from fastnn.layers import Dense
from fastnn.utils import FeatureSpace

(x, y), (x_test, y_test) = movies()
for part in (x, x_test):
    part["unknown"] = np.isnan(part["budget"]).astype(float)
    part["budget"] = np.nan_to_num(np.log(part["budget"]), nan=17)
kinds = {"genre": "string_categorical", "runtime": "float_normalized", "budget": "float_normalized", "unknown": "float"}
space = FeatureSpace(kinds)
space.adapt(x)
model = Model(space.get_inputs(), Dense(1)(Dense(16, "relu")(space.get_encoded_features())))
model.compile("adam", "mse", metrics=["mae"])
model.fit(x, y, epochs=40, verbose=0)
print("mean error", model.evaluate(x_test, y_test, verbose=0)[1])
