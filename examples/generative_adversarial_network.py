"""A generative adversarial network of the digits: two models that train each other, batch by batch."""

import numpy as np

import fastnn
from fastnn.datasets import digits
from fastnn.layers import Dense, Dropout, Input, LeakyReLU
from fastnn.models import Sequential
from fastnn.optimizers import Adam

fastnn.set_random_seed(0)
(x_train, _), (x_test, _) = digits.load_data()
x_train, x_test = x_train.reshape(len(x_train), -1) / 16, x_test.reshape(len(x_test), -1) / 16
latent_dim, batch_size = 16, 64

discriminator = Sequential(
    [Input((64,)), Dense(128), LeakyReLU(0.2), Dropout(0.3), Dense(64), LeakyReLU(0.2), Dense(1, "sigmoid")],
    name="discriminator",
)
discriminator.compile(Adam(5e-4, beta_1=0.5), "binary_crossentropy")

generator = Sequential(
    [Input((latent_dim,)), Dense(128), LeakyReLU(0.2), Dense(128), LeakyReLU(0.2), Dense(64, "sigmoid")],
    name="generator",
)
discriminator.trainable = False  # in `gan`, which is compiled now; `discriminator` was compiled before
gan = Sequential([generator, discriminator])
gan.compile(Adam(5e-4, beta_1=0.5), "binary_crossentropy")

rng = np.random.default_rng(0)
real, fake = np.ones((batch_size, 1), "float32"), np.zeros((batch_size, 1), "float32")
for step in range(1, 3001):
    noise = rng.normal(size=(batch_size, latent_dim)).astype("float32")
    rows = x_train[rng.integers(0, len(x_train), batch_size)]
    images = np.concatenate([rows, generator.predict(noise)])
    labels = np.concatenate([0.9 * real, fake])  # the real ones a little less than sure
    d_loss = discriminator.train_on_batch(images, labels)
    g_loss = gan.train_on_batch(rng.normal(size=(batch_size, latent_dim)).astype("float32"), real)
    if step % 1000 == 0:
        print(f"step {step}: discriminator {d_loss:.3f}, generator {g_loss:.3f}")

new = generator.predict(rng.normal(size=(1000, latent_dim)).astype("float32"))
print(f"mean of a pixel {new.mean():.3f}, of real digits {x_train.mean():.3f}")
print(f"correlation of the pixels' means {np.corrcoef(new.mean(axis=0), x_train.mean(axis=0))[0, 1]:.3f}")
apart = np.sqrt(((new[:200, None] - x_test[None]) ** 2).sum(axis=-1)).min(axis=1).mean()
between = np.sqrt(((x_test[:200, None] - x_train[None]) ** 2).sum(axis=-1)).min(axis=1).mean()
print(f"distance to the nearest real digit {apart:.2f}, of another real one {between:.2f}")
print(f"deviation among them {new.std(axis=0).mean():.3f}, among real digits {x_train.std(axis=0).mean():.3f}")

shades = np.array(list(" .:-=+*#%@"))
for row in range(8):
    print("   ".join("".join(shades[(9 * image[8 * row : 8 * row + 8]).astype(int)]) for image in new[:6]))
