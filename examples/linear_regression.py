"""A straight line through noisy points: one unit, mean squared error, stochastic gradient descent."""

import numpy as np

import fastnn
from fastnn.layers import Dense
from fastnn.models import Sequential

fastnn.set_random_seed(0)
rng = np.random.default_rng(0)
celsius = rng.uniform(-40, 40, 200)
fahrenheit = 1.8 * celsius + 32 + rng.normal(0, 0.5, 200)

model = Sequential([Dense(units=1, input_dim=1, activation="linear")])
model.compile(optimizer="sgd", loss="mean_squared_error")
model.fit(celsius / 40, fahrenheit, epochs=200, verbose=0)

kernel, bias = model.layers[0].get_weights()
print(f"fahrenheit = {kernel.item() / 40:.2f} celsius + {bias.item():.1f}")
