"""Digits: 64 numbers through 8 and back."""

from keras import Input, Model
from keras.layers import Dense
from tables import digits

(x, _), (x_test, _) = digits.load_data()
x, x_test = x / 16, x_test / 16
rows = Input((64,))
code = Dense(8)(Dense(64, "relu")(rows))
model, encoder = Model(rows, Dense(64, "sigmoid")(Dense(64, "relu")(code))), Model(rows, code)
model.compile("adam", "mse")
model.fit(x, x, epochs=40, verbose=0)
print("code", encoder.predict(x_test, verbose=0).shape)
print("squared error", model.evaluate(x_test, x_test, verbose=0))
