"""The published detectors as plain tf-keras networks, to compare with."""

import tf_keras as keras

L = keras.layers


def _stack(bins, rate):
    def convolution():
        return L.Conv2D(64, (1, 3), padding="same", activation="relu")

    return [
        L.InputLayer((6, bins)),
        L.Reshape((6, bins, 1)),
        convolution(),
        L.Dropout(rate),
        convolution(),
        L.Dropout(rate),
        convolution(),
        L.MaxPooling2D((1, 2)),
        L.Dropout(rate),
        convolution(),
        L.Dropout(rate),
        L.MaxPooling2D((1, 2)),
        L.Dropout(rate),
    ]


def _head(rate):
    return [
        L.Dense(128, activation="relu"),
        L.Dropout(rate),
        L.Dense(64, activation="relu"),
        L.Dropout(rate),
        L.Dense(2, activation="sigmoid"),
    ]


def cnn(bins, rate=0.3):
    return keras.Sequential([*_stack(bins, rate), L.Flatten(), *_head(rate)])


def cnn_lstm(bins, rate=0.3):
    middle = [
        L.BatchNormalization(),
        L.Reshape((6, -1)),
        L.LSTM(128, return_sequences=True),
        L.LSTM(64),
        L.Dropout(rate),
    ]
    return keras.Sequential([*_stack(bins, rate), *middle, *_head(rate)])


def transformer(bins, rate=0.25, blocks=8):
    given = L.Input((6, bins))
    x = given
    for _ in range(blocks):
        inner = L.LayerNormalization(epsilon=1e-6)(x)
        inner = L.MultiHeadAttention(4, 256, dropout=rate)(inner, inner)
        x = x + L.Dropout(rate)(inner)
        inner = L.LayerNormalization(epsilon=1e-6)(x)
        inner = L.Dropout(rate)(L.Conv1D(4, 1, activation="relu")(inner))
        x = x + L.Conv1D(bins, 1)(inner)
    x = L.GlobalAveragePooling1D(data_format="channels_first")(x)
    x = L.Dropout(rate)(L.Dense(128, activation="relu")(x))
    return keras.Model(given, L.Dense(2, activation="sigmoid")(x))


NETWORKS = {"cnn": cnn, "cnn_lstm": cnn_lstm, "transformer": transformer}


def set_weights(model, parameters):
    """Give a Keras network the project's parameters, which come in the same order."""
    for variable, value in zip(model.trainable_weights, parameters, strict=True):
        variable.assign(value.reshape(variable.shape))
