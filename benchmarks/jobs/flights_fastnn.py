"""Flights: will it be late? One in ten is."""

from tables import flights

from fastnn import Model
from fastnn.layers import Dense
from fastnn.utils import FeatureSpace

(x, y), (x_test, y_test) = flights()
kinds = {"origin": "string_categorical", "destination": "string_categorical"}
space = FeatureSpace(kinds | {"hour": "float_normalized", "distance": "float_normalized"})
space.adapt(x)
model = Model(space.get_inputs(), Dense(1, "sigmoid")(Dense(16, "relu")(space.get_encoded_features())))
model.compile("adam", "binary_crossentropy", metrics=["auc"])
model.fit(x, y, epochs=20, class_weight="balanced", verbose=0)
print("auc", model.evaluate(x_test, y_test, verbose=0)[1])
