"""Logistic regression with an L2 penalty, early stopping on validation rows, and probabilities."""

import numpy as np

import fastnn
from fastnn.callbacks import EarlyStopping
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.regularizers import L2

fastnn.set_random_seed(0)
rng = np.random.default_rng(0)
x = rng.normal(size=(2000, 5))
chance = 1 / (1 + np.exp(-(x @ [3.0, -2.0, 1.0, 0.0, 0.0] + 0.3)))
y = rng.random(2000) < chance

model = Sequential([Dense(1, activation="sigmoid", input_dim=5, kernel_regularizer=L2(1e-4))])
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
stop = EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True)
history = model.fit(x, y, epochs=200, validation_split=0.2, callbacks=[stop], verbose=0)

print(f"stopped after {len(history.epoch)} epochs, validation accuracy {max(history.history['val_accuracy']):.3f}")
print("first row:", model.predict(x[:1]).item())
