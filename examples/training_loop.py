"""A training loop of one's own: gradients of the model, steps of its optimizer."""

import numpy as np

import fastnn
from fastnn.datasets import digits
from fastnn.layers import Dense, Dropout, Input
from fastnn.models import Sequential
from fastnn.optimizers import Adam

fastnn.set_random_seed(0)
(x_train, y_train), (x_test, y_test) = digits.load_data()
x_train, x_test = x_train.reshape(len(x_train), -1) / 16, x_test.reshape(len(x_test), -1) / 16

model = Sequential([Input((64,)), Dense(64, "relu"), Dropout(0.2), Dense(10, "softmax")])
model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])

rng = np.random.default_rng(0)
for epoch in range(1, 11):
    order, losses = rng.permutation(len(x_train)), []
    for first in range(0, len(order), 64):
        rows = order[first : first + 64]
        loss, gradients = model.gradient(x_train[rows], y_train[rows], return_loss=True)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        losses.append(loss)
    if epoch % 5 == 0:
        print(f"epoch {epoch}: loss {np.mean(losses):.3f}")

print(f"accuracy {model.evaluate(x_test, y_test, verbose=0)[1]:.3f}")

# What the model looks at: the gradient of the loss by the pixels.
_, by_pixels = model.gradient(x_test[:100], y_test[:100], inputs=True)
print("strongest pixels:", np.argsort(-np.abs(by_pixels).mean(axis=0))[:5])
