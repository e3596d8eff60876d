"""Movies: the rating from genre, runtime and budget, which is missing for one in five."""

import numpy as np
from keras import Sequential
from keras.layers import Dense, Normalization
from tables import movies

(x, y), (x_test, y_test) = movies()
genres = np.unique(x["genre"])


def encoded(x):
    unknown, budget = np.isnan(x["budget"]), np.nan_to_num(np.log(x["budget"]), nan=17)
    numbers = np.stack([x["runtime"], budget, unknown], axis=1)
    return np.concatenate([numbers, x["genre"][:, None] == genres], axis=1)


scale = Normalization()
scale.adapt(encoded(x))
model = Sequential([scale, Dense(16, "relu"), Dense(1)])
model.compile("adam", "mse", metrics=["mae"])
model.fit(encoded(x), y, epochs=40, verbose=0)
print("mean error", model.evaluate(encoded(x_test), y_test, verbose=0)[1])
