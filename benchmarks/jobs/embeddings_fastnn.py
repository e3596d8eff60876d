"""Ratings: what a user will say of an item, from rows of numbers that are learnt for each."""

from tables import ratings

from fastnn import Input, Model
from fastnn.layers import Add, Dot, Embedding, Flatten

user, item, stars = ratings()
users, items = Input((1,), name="user"), Input((1,), name="item")
taste, trait = (Flatten()(Embedding(n, 4)(x)) for n, x in ((200, users), (100, items)))
bias = [Flatten()(Embedding(n, 1)(x)) for n, x in ((200, users), (100, items))]
model = Model([users, items], Add()([Dot(1)([taste, trait]), *bias]))
model.compile("adam", "mse", metrics=["mae"])
model.fit([user[:16000], item[:16000]], stars[:16000], epochs=40, verbose=0)
print("mean error", model.evaluate([user[16000:], item[16000:]], stars[16000:], verbose=0)[1])
