"""The published conditional GAN as plain tf-keras networks and a plain training step, to compare with."""

import tensorflow as tf
import tf_keras as keras

TIME, CHANNELS, NOISE, UNITS = 60, 6, 60, 60


def _label_branch(classes):
    code = keras.layers.Input((1,))
    x = keras.layers.Embedding(classes, classes)(code)
    x = keras.layers.Dense(TIME)(x)
    return code, keras.layers.Reshape((TIME, 1))(x)


def generator(classes, output="relu"):
    code, label = _label_branch(classes)
    noise = keras.layers.Input((NOISE,))
    x = keras.layers.Dense(TIME * CHANNELS)(noise)
    x = keras.layers.Reshape((TIME, CHANNELS))(keras.layers.LeakyReLU()(x))
    x = keras.layers.Concatenate()([x, label])
    x = keras.layers.LSTM(UNITS, return_sequences=True)(x)
    x = keras.layers.LSTM(UNITS, return_sequences=True)(x)
    return keras.Model([noise, code], keras.layers.Dense(CHANNELS, activation=output)(x))


def _lstm(x):
    x = keras.layers.LSTM(UNITS, return_sequences=True)(x)
    return keras.layers.LSTM(UNITS, return_sequences=True)(x)


def _fcn(x):
    for width, filters in ((8, 32), (5, 64), (3, 32)):
        x = keras.layers.Conv1D(filters, width, padding="same")(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return x


def _transformer(x):
    x = keras.layers.Dense(32)(x)
    for _ in range(2):
        y = keras.layers.LayerNormalization(epsilon=1e-6)(x)
        x = x + keras.layers.Dropout(0.25)(keras.layers.MultiHeadAttention(4, 32, dropout=0.25)(y, y))
        y = keras.layers.LayerNormalization(epsilon=1e-6)(x)
        y = keras.layers.Dropout(0.25)(keras.layers.Conv1D(4, 1, activation="relu")(y))
        x = x + keras.layers.Conv1D(32, 1)(y)
    return x


def discriminator(name, classes):
    code, label = _label_branch(classes)
    windows = keras.layers.Input((TIME, CHANNELS))
    body = {"lstm": _lstm, "fcn": _fcn, "transformer": _transformer}[name]
    x = body(keras.layers.Concatenate()([windows, label]))
    if name == "transformer":
        x = keras.layers.GlobalAveragePooling1D("channels_first")(x)
        x = keras.layers.Dropout(0.25)(keras.layers.Dense(32, activation="relu")(x))
    else:
        x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model([windows, code], keras.layers.Dense(1)(x))


def weights(model):
    """Trainable weights in the order of creation: label branch first, then the body."""
    return [weight for layer in _by_creation(model) for weight in layer.trainable_weights]


def set_weights(model, arrays):
    """Hand over parameters of our network, whose dense layers Keras writes as convolutions of width 1."""
    for weight, value in zip(weights(model), arrays, strict=True):
        weight.assign(tf.reshape(value, weight.shape))


def _by_creation(model):
    """Layers in the order in which the functions above make them; Keras sorts them by depth."""
    label = [layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)]
    to_time = [n.layer for n in label[0].outbound_nodes]
    rest = [layer for layer in model.layers if layer not in label + to_time]
    return label + to_time + rest


class Step:
    """One update of each network, as the published code makes it; `noise (2, b, 60)` is handed in."""

    def __init__(self, generator, discriminator, *, weight=8.0, rates=(2e-4, 2e-4), extra_calls=True):
        """rates: learning rates of generator and discriminator."""
        self.generator, self.discriminator = generator, discriminator
        self.weight, self.extra_calls = weight, extra_calls
        self.loss = keras.losses.BinaryCrossentropy(from_logits=True)
        self.g_optimizer, self.d_optimizer = (keras.optimizers.Adam(rate, beta_1=0.5) for rate in rates)

    def update(self, windows, code, noise):
        n = windows.shape[0]
        both = tf.concat([self.generator([noise[0], code]), windows], 0)
        target = tf.concat([tf.zeros((n, 1)), tf.ones((n, 1))], 0)
        with tf.GradientTape() as tape:
            d_loss = self.loss(target, self.discriminator([both, tf.concat([code, code], 0)]))
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, weights), weights, strict=True))

        if self.extra_calls:
            first = self.generator([noise[1][: n // 2], code[: n // 2]])
            second = self.generator([noise[1][n // 2 :], code[n // 2 :]])
        with tf.GradientTape() as tape:
            fake = self.generator([noise[1], code])
            if not self.extra_calls:
                first, second = tf.stop_gradient(fake[: n // 2]), tf.stop_gradient(fake[n // 2 :])
            apart = tf.reduce_mean(tf.abs(noise[1][: n // 2] - noise[1][n // 2 :]))
            term = self.weight * tf.reduce_mean(tf.abs(first - second)) / apart
            g_loss = self.loss(tf.ones((n, 1)), self.discriminator([fake, code])) - term
        weights = self.generator.trainable_weights
        self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))
        return tf.stack([d_loss, g_loss, term])
