"""Seattle: tomorrow's highest temperature from the last seven days."""

from tables import seattle

from fastnn import Sequential
from fastnn.layers import Dense, Flatten, Input, Normalization
from fastnn.utils import timeseries_dataset_from_array

days = seattle()
known, new = days[:1100], days[1100:]
train = timeseries_dataset_from_array(known[:-1], known[7:, 1], 7, batch_size=32, shuffle=True)
test = timeseries_dataset_from_array(new[:-1], new[7:, 1], 7, batch_size=32)
scale = Normalization()
scale.adapt(known)
model = Sequential([Input((7, 4)), scale, Flatten(), Dense(32, "relu"), Dense(1)])
model.compile("adam", "mse", metrics=["mae"])
model.fit(train, epochs=60, verbose=0)
print("mean error", model.evaluate(test, verbose=0)[1])
