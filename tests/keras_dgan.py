"""DGAN as plain tf-keras networks and a plain training step, to compare with."""

import tensorflow as tf
import tf_keras as keras


def generator(*, steps, noise, units, values):
    start = keras.layers.Input((steps, noise))
    hidden = keras.layers.LSTM(units, return_sequences=True)(start)
    made = keras.layers.Dense(values, activation="sigmoid")(hidden)
    return keras.Model(start, keras.layers.Flatten()(made))


def discriminator(*, inputs, units, layers):
    x = start = keras.layers.Input((inputs,))
    for _ in range(layers):
        x = keras.layers.Dense(units, activation="relu")(x)
    return keras.Model(start, keras.layers.Dense(1)(x))


def set_weights(model, arrays):
    for weight, value in zip(model.trainable_weights, arrays, strict=True):
        weight.assign(value)


class Step:
    """One step of WGAN-GP: the discriminator's update, then the generator's by the same made windows."""

    def __init__(self, generator, discriminator, *, penalty="each_window", learning_rate=1e-4):
        self.generator, self.discriminator, self.penalty = generator, discriminator, penalty
        self.optimizers = [keras.optimizers.Adam(learning_rate, beta_1=0.5, epsilon=1e-8) for _ in range(2)]

    def update(self, windows, noise, place):
        with tf.GradientTape() as tape:
            made = self.generator(noise)
            between = made + place[:, tf.newaxis] * (windows - made)
            with tf.GradientTape() as inner:
                inner.watch(between)
                score = self.discriminator(between)
            squares = tf.reduce_sum(tf.square(inner.gradient(score, between)), axis=1)
            if self.penalty == "published":
                squares = tf.reduce_sum(squares)
            penalty = 10 * tf.reduce_mean((tf.sqrt(squares + 1e-8) - 1) ** 2)
            wasserstein = tf.reduce_mean(self.discriminator(made)) - tf.reduce_mean(
                self.discriminator(windows)
            )
            loss = wasserstein + penalty
        self._apply(0, self.discriminator, tape, loss)
        with tf.GradientTape() as tape:
            made_loss = -tf.reduce_mean(self.discriminator(self.generator(noise)))
        self._apply(1, self.generator, tape, made_loss)
        return tf.stack([loss, penalty, made_loss])

    def _apply(self, optimizer, model, tape, loss):
        weights = model.trainable_weights
        self.optimizers[optimizer].apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
