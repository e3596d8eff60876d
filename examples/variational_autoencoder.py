"""A variational autoencoder of the digits, as Keras's users write one: a Sampling layer, and add_loss."""

import numpy as np

import fastnn
from fastnn import ops
from fastnn.datasets import digits
from fastnn.layers import Dense, Layer
from fastnn.models import Model

fastnn.set_random_seed(0)
(x_train, _), (x_test, _) = digits.load_data()
x_train, x_test = x_train.reshape(len(x_train), -1) / 16, x_test.reshape(len(x_test), -1) / 16


class Sampling(Layer):
    """z, drawn from normal distributions of these means and variances."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = fastnn.random.SeedGenerator(1337)

    def call(self, inputs):
        z_mean, z_log_var = inputs
        epsilon = fastnn.random.normal(shape=ops.shape(z_mean), seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


class Encoder(Layer):
    """Digits to means, logarithms of variances and samples."""

    def __init__(self, latent_dim=4, **kwargs):
        super().__init__(**kwargs)
        self.hidden = Dense(64, activation="relu")
        self.mean = Dense(latent_dim)
        self.log_var = Dense(latent_dim)
        self.sampling = Sampling()

    def call(self, inputs):
        x = self.hidden(inputs)
        z_mean, z_log_var = self.mean(x), self.log_var(x)
        return z_mean, z_log_var, self.sampling((z_mean, z_log_var))


class Decoder(Layer):
    """Samples to digits."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = Dense(64, activation="relu")
        self.out = Dense(64, activation="sigmoid")

    def call(self, inputs):
        return self.out(self.hidden(inputs))


class VAE(Model):
    """The two, with both parts of the loss."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.encoder = Encoder()
        self.decoder = Decoder()

    def call(self, inputs):
        z_mean, z_log_var, z = self.encoder(inputs)
        reconstruction = self.decoder(z)
        entropy = ops.sum(ops.binary_crossentropy(inputs, reconstruction), axis=-1)
        divergence = -0.5 * ops.sum(1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var), axis=-1)
        self.add_loss(ops.mean(entropy + divergence))
        return reconstruction


vae = VAE()
vae.compile(optimizer="adam")
history = vae.fit(x_train, epochs=60, batch_size=64, verbose=0)
print(f"loss {history.history['loss'][0]:.2f} -> {history.history['loss'][-1]:.2f}")

rows = vae.predict(x_test)
error, of_the_mean = np.abs(rows - x_test).mean(), np.abs(x_train.mean(axis=0) - x_test).mean()
print(f"mean error of a pixel {error:.3f}, of the mean digit {of_the_mean:.3f}")

shades = np.array(list(" .:-=+*#%@"))
for row in range(8):
    part = slice(8 * row, 8 * row + 8)
    pairs = [np.concatenate([x_test[k, part], rows[k, part]]) for k in range(3)]
    print("   ".join("".join(shades[(9 * each).astype(int)]) for each in pairs))

# New digits: normal numbers through the decoder.
new = vae.decoder(np.random.default_rng(0).normal(size=(5, 4)).astype("float32"))
print("new digits between", new.min().round(2), "and", new.max().round(2))
