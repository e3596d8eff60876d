"""Two inputs, two outputs, a shared layer: do two pictures show the same digit, and which one is the first?"""

import numpy as np

import fastnn
from fastnn import Input, Model
from fastnn.data.digits import load_digits
from fastnn.layers import BatchNormalization, Concatenate, Dense, Dropout, Multiply, Rescaling, Subtract

fastnn.set_random_seed(0)
rng = np.random.default_rng(0)
x, y = load_digits()


def pairs(digits, count):
    """Pairs of pictures out of `digits`, every second one of the same class."""
    first = rng.choice(digits, count)
    same = [rng.choice(digits[y[digits] == label]) for label in y[first[::2]]]
    second = rng.choice(digits, count)
    second[::2] = same
    return [x[first], x[second]], {"same": y[first] == y[second], "digit": y[first]}


a, b = Input((64,), name="a"), Input((64,), name="b")
scale, eye, norm, code = Rescaling(1 / 16), Dense(128, "relu"), BatchNormalization(), Dense(32, name="code")
left, right = (code(norm(eye(scale(each)))) for each in (a, b))
difference = Subtract()([left, right])
both = Concatenate()([Multiply()([difference, difference]), Multiply()([left, right])])
same = Dense(1, "sigmoid", name="same")(Dense(64, "relu")(Dropout(0.1)(both)))
digit = Dense(10, "softmax", name="digit")(left)
model = Model([a, b], {"same": same, "digit": digit})
model.summary()

model.compile(
    optimizer="adam",
    loss={"same": "binary_crossentropy", "digit": "sparse_categorical_crossentropy"},
    loss_weights={"same": 1.0, "digit": 0.3},
    metrics={"same": ["accuracy"], "digit": ["accuracy"]},
)
places = rng.permutation(len(x))
model.fit(*pairs(places[:1400], 6000), epochs=25, batch_size=64, verbose=0)
figures = model.evaluate(*pairs(places[1400:], 1000), verbose=0, return_dict=True)
print(f"same or not: accuracy {figures['same_accuracy']:.3f}; which digit: accuracy {figures['digit_accuracy']:.3f}")

# Part of the graph is a model too, with the same weights: the pictures as 32 numbers each.
encoder = Model(a, left)
print("codes of", encoder.predict(x).shape)
