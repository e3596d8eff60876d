"""A history as a table and as a picture; the learning rate falls when the loss no longer does.

Needs matplotlib: pip install "fastnn[plot]".
"""

import matplotlib

matplotlib.use("Agg")  # a file, not a window

import fastnn
from fastnn.callbacks import ReduceLROnPlateau
from fastnn.data.digits import load_digits
from fastnn.layers import Dense, Input, Rescaling
from fastnn.models import Sequential

fastnn.set_random_seed(0)
x, y = load_digits()
model = Sequential([Input((64,)), Rescaling(1 / 16), Dense(64, "relu"), Dense(10, "softmax")])
model.compile(fastnn.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
slower = ReduceLROnPlateau("loss", factor=0.3, patience=4)
history = model.fit(x, y, epochs=60, validation_split=0.2, callbacks=[slower], verbose=0)

print(history)
axes = history.plot()
axes[0].figure.savefig("history.png")
print(f"history.png has {len(axes)} pictures; validation accuracy {max(history.history['val_accuracy']):.3f}")
