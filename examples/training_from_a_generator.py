"""Batches from a generator: digits that are moved and blurred anew each time."""

import numpy as np

import fastnn
from fastnn.callbacks import LambdaCallback
from fastnn.data.digits import load_digits
from fastnn.layers import Dense, Dropout, Input
from fastnn.models import Sequential

fastnn.set_random_seed(0)
x, y = load_digits()
x = x.astype("float32") / 16


def batches(x, y, size=32):
    """Batches without an end; each picture moved by up to a pixel, with noise."""
    rng = np.random.default_rng(0)
    pictures = x.reshape(-1, 8, 8)
    while True:
        rows = rng.integers(len(x), size=size)
        down, right = rng.integers(-1, 2, 2)
        moved = np.roll(pictures[rows], (down, right), axis=(1, 2))
        yield moved.reshape(size, 64) + rng.normal(0, 0.05, (size, 64)), y[rows]


def report(epoch, logs):
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1}: loss {logs['loss']:.3f}, validation accuracy {logs['val_accuracy']:.3f}")


model = Sequential([Input((64,)), Dense(128, "relu"), Dropout(0.2), Dense(10, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(
    batches(x[:1400], y[:1400]),
    steps_per_epoch=44,
    epochs=40,
    validation_data=(x[1400:], y[1400:]),
    callbacks=[LambdaCallback(on_epoch_end=report)],
    verbose=0,
)
print(f"accuracy {model.evaluate(x[1400:], y[1400:], verbose=0)[1]:.3f}")
