"""TimeGAN as plain tf-keras networks and a plain joint training step, to compare with."""

import tensorflow as tf
import tf_keras as keras

NETWORKS = ("embedder", "recovery", "generator", "supervisor", "discriminator")


def network(name, *, time, channels, hidden, depth, codes=0):
    inputs = codes + (channels if name in ("embedder", "generator") else hidden)
    outputs = {"recovery": channels, "discriminator": 1}.get(name, hidden)
    x = start = keras.layers.Input((time, inputs))
    for _ in range(depth - (name == "supervisor")):
        x = keras.layers.GRU(hidden, return_sequences=True)(x)
    activation = None if name == "discriminator" else "sigmoid"
    return keras.Model(start, keras.layers.Dense(outputs, activation=activation)(x))


def set_weights(model, arrays):
    """Hand over parameters of our network, whose GRU layers have two biases that Keras stacks."""
    *recurrent, kernel, bias = arrays
    values = []
    for i in range(0, len(recurrent), 4):
        values += [*recurrent[i : i + 2], tf.stack(recurrent[i + 2 : i + 4])]
    for weight, value in zip(model.trainable_weights, [*values, kernel, bias], strict=True):
        weight.assign(value)


class Step:
    """One joint step as the authors' program makes it: windows and noise (3, b, time, channels)."""

    def __init__(self, networks, learning_rate=1e-3):
        self.networks = networks
        self.optimizers = {
            name: keras.optimizers.Adam(learning_rate, epsilon=1e-8)
            for name in ("embedder", "generator", "discriminator")
        }
        self.bce = keras.losses.BinaryCrossentropy(from_logits=True)
        self.mse = keras.losses.MeanSquaredError()

    def update(self, windows, noise):
        net = self.networks
        uniform = 0.5 * (1 + tf.math.erf(noise / 2**0.5))
        for x, z in zip(tf.unstack(windows)[:2], tf.unstack(uniform)[:2], strict=True):
            with tf.GradientTape() as tape:
                h, e = net["embedder"](x), net["generator"](z)
                made = net["supervisor"](e)
                x_made = net["recovery"](made)
                fake, raw = net["discriminator"](made), net["discriminator"](e)
                s = self.mse(h[:, 1:], net["supervisor"](h)[:, :-1])
                v1 = tf.sqrt(tf.nn.moments(x_made, [0])[1] + 1e-6) - tf.sqrt(tf.nn.moments(x, [0])[1] + 1e-6)
                v2 = tf.nn.moments(x_made, [0])[0] - tf.nn.moments(x, [0])[0]
                v = tf.reduce_mean(tf.abs(v1)) + tf.reduce_mean(tf.abs(v2))
                adversarial = self.bce(tf.ones_like(fake), fake) + self.bce(tf.ones_like(raw), raw)
                g_loss = adversarial + 100 * tf.sqrt(s) + 100 * v
            self._apply("generator", tape, g_loss, ("generator", "supervisor"))
            with tf.GradientTape() as tape:
                h = net["embedder"](x)
                error = self.mse(x, net["recovery"](h))
                e_loss = 10 * tf.sqrt(error) + 0.1 * self.mse(h[:, 1:], net["supervisor"](h)[:, :-1])
            self._apply("embedder", tape, e_loss, ("embedder", "recovery"))
        h, e = net["embedder"](windows[2]), net["generator"](uniform[2])
        made = net["supervisor"](e)
        with tf.GradientTape() as tape:
            real, fake, raw = (net["discriminator"](value) for value in (h, made, e))
            d_loss = self.bce(tf.ones_like(real), real)
            d_loss += self.bce(tf.zeros_like(fake), fake) + self.bce(tf.zeros_like(raw), raw)
        if d_loss > 0.15:
            self._apply("discriminator", tape, d_loss, ("discriminator",))
        return tf.stack([d_loss, g_loss, tf.sqrt(s), v, tf.sqrt(error)])

    def _apply(self, optimizer, tape, loss, names):
        weights = [weight for name in names for weight in self.networks[name].trainable_weights]
        self.optimizers[optimizer].apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
