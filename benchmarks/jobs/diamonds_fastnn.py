"""Diamonds: the price from weight, measures, cut, colour and clarity."""

import numpy as np
from tables import diamonds

from fastnn import Model
from fastnn.layers import Dense
from fastnn.utils import FeatureSpace

(x, y), (x_test, y_test) = diamonds.load_data()
space = FeatureSpace(
    {name: "string_categorical" if c.dtype.kind == "U" else "float_normalized" for name, c in x.items()}
)
space.adapt(x)
h = Dense(32, "relu")(Dense(32, "relu")(space.get_encoded_features()))
model = Model(space.get_inputs(), Dense(1)(h))
model.compile("adam", "mse")
model.fit(x, np.log(y), epochs=60, verbose=0)
print("median error", np.median(abs(np.exp(model.predict(x_test)[:, 0]) / y_test - 1)))
