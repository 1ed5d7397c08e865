import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from pulseveil.core import randomness, registry, tensorflow
from pulseveil.core.checkpoints import Checkpoint
from pulseveil.core.contracts import FeatureSet
from pulseveil.core.errors import InputError, Interrupted
from pulseveil.detectors import Training
from pulseveil.networks import training
from pulseveil.networks.adam import start
from pulseveil.privacy.budget import NOT_PRIVATE, Budget, Population
from pulseveil.privacy.noise import reproducible

sys.path.insert(0, str(Path(__file__).parents[2]))
import keras_detectors

NAMES = ("cnn", "cnn_lstm", "transformer")
# Published networks that are compared with Keras; two of the transformer's blocks instead of eight.
TWINS = (("cnn", {}), ("cnn_lstm", {}), ("transformer", {"blocks": 2}))
STREAM = randomness.root_stream(7)
TRAINED = {"batch_size": 20, "learning_rate": 5e-3}
SMALL = {
    "cnn": {"filters": 8, "dense_units": (16,), "epochs": 20, **TRAINED},
    "cnn_lstm": {"filters": 8, "dense_units": (16,), "lstm_units": (8, 8), "epochs": 60, **TRAINED},
    "transformer": {"blocks": 2, "head_size": 8, "epochs": 20, **TRAINED},
}


def features(n=120, *, seed=0, bins=12, share=0.3, effect=2.0) -> FeatureSet:
    """Stress raises some bins of one signal by `effect` standard deviations."""
    random = np.random.default_rng(seed)
    stress = random.permutation(n) < share * n
    spectra = random.normal(size=(n, 6, bins)).astype(np.float32)
    spectra[:, 2, :4] += effect * stress[:, np.newaxis]
    return FeatureSet(
        features=spectra,
        statistics=np.zeros((n, 0), np.float32),
        condition=stress.astype(np.int8),
        stress=stress,
        calibration=np.zeros(n, bool),
        subject=np.full(n, "S2"),
        fold=np.full(n, ""),
        start_s=60.0 * np.arange(n),
        frequency_hz=np.zeros((6, bins), np.float32),
        statistic_names=(),
        scaling="calibration",
        protocol="sound",
    )


def network_of(name, signals, bins, **settings):
    kind = registry.load("detectors", name)
    return registry.model("detectors", name).network(kind.Settings(**settings), signals, bins)


def fit(name, given, *, budget=NOT_PRIVATE, stream=STREAM, checkpoint=None, **settings):
    kind = registry.load("detectors", name)
    training = Training(given, budget, stream, checkpoint)
    return registry.model("detectors", name).fit(kind.Settings(**SMALL[name] | settings), training)


def start_weights(network):
    weights = network.start(np.random.default_rng(1))
    # Biases start at zero; other values show whether each one is at its place.
    random = np.random.default_rng(2)
    parameters = [p + 0.1 * random.normal(size=p.shape).astype(np.float32) for p in weights.parameters]
    return training.Weights(parameters, weights.statistics)


@pytest.mark.parametrize(
    ("name", "learned", "statistics"),
    [("cnn", 2_601_730, 0), ("cnn_lstm", 1_873_666 - 128, 128), ("transformer", 6_930_562, 0)],
)
def test_published_networks_have_the_published_size(name, learned, statistics):
    weights = network_of(name, 6, 210).start(np.random.default_rng(0))
    assert sum(value.size for value in weights.parameters) == learned
    assert sum(value.size for value in weights.statistics) == statistics


@pytest.mark.parametrize(("name", "blocks"), TWINS)
def test_scores_are_those_of_keras(name, blocks):
    bins = 15
    network = network_of(name, 6, bins, **blocks)
    weights = start_weights(network)
    model = keras_detectors.NETWORKS[name](bins, **blocks)
    keras_detectors.set_weights(model, weights.parameters)
    x = features(7, bins=bins).features
    found = training.probabilities(network, weights, x, batch_size=5)
    np.testing.assert_allclose(found, model(x, training=False), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("name", "blocks"), TWINS)
def test_a_training_without_dropout_is_that_of_keras(name, blocks):
    given = features(70, bins=8)
    network = network_of(name, 6, 8, dropout=0, **blocks)
    weights = start_weights(network)
    model = keras_detectors.NETWORKS[name](8, rate=0, **blocks)
    keras_detectors.set_weights(model, weights.parameters)
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
    order = training.batches(np.random.default_rng(0), len(given), 50, epochs=2)
    target = np.eye(2)[given.stress.astype(int)]
    weight = {0: 1.0, 1: (~given.stress).sum() / given.stress.sum()}
    errors = []
    for rows in order:
        kept = rows[rows >= 0]
        errors.append(model.train_on_batch(given.features[kept], target[kept], class_weight=weight))
    tensors = tf.nest.map_structure(tf.constant, weights)
    run = training.program(network, 50, 1e-3, "float32")
    examples = training.Examples(
        tf.constant(given.features),
        tf.constant(target, tf.float32),
        tf.constant(training.class_weights(given.stress)),
    )
    state = training.State(tensors, start(tensors.parameters))
    state, error = run(state, examples, tf.constant(order), tf.constant([0, 0]))
    assert float(error) == pytest.approx(np.mean(errors), rel=1e-3)
    x = features(9, seed=1, bins=8).features
    found = training.probabilities(network, state.weights, x, batch_size=9)
    # Adam's first steps have the size of the rate whatever the gradient: rounding, which differs between
    # CPUs, moves weights of gradients near 0. The loss above is the sharp comparison.
    np.testing.assert_allclose(found, model(x, training=False), atol=0.02)


@pytest.mark.parametrize(("name", "blocks"), TWINS)
def test_dropout_is_where_keras_has_it(name, blocks):
    network = network_of(name, 6, 8, **blocks)
    dropped = {}

    def drop(x, place):
        assert place not in dropped
        dropped[place] = np.prod(x.shape)
        return x

    weights = tf.nest.map_structure(tf.constant, start_weights(network))
    network.train_logits(weights, tf.zeros((1, 6, 8)), tf.ones(1), drop)
    model = keras_detectors.NETWORKS[name](8, **blocks)
    theirs = [np.prod(layer.output_shape[1:]) for layer in model.layers if "Dropout" in type(layer).__name__]
    # A row per token and head: weights between heads are 0 before and after.
    attention = [(6 * 4) ** 2 for layer in model.layers if "Attention" in type(layer).__name__]
    assert sorted(dropped.values()) == sorted([*theirs, *attention])


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_signal_is_found_in_new_windows(name):
    fitted = fit(name, features(seed=1))
    new = features(seed=2)
    outputs = fitted.score(new)
    assert (outputs.predicted == new.stress).mean() > 0.9
    np.testing.assert_array_equal(outputs.predicted, outputs.score > outputs.score_rest)


@pytest.mark.parametrize("name", NAMES)
def test_a_training_can_be_repeated_to_the_last_bit(name):
    given, new = features(50), features(9, seed=1)
    first, again = (fit(name, given, epochs=2).score(new) for _ in range(2))
    np.testing.assert_array_equal(first.score, again.score)
    other = fit(name, given, epochs=2, stream=randomness.root_stream(8)).score(new)
    assert not np.allclose(first.score, other.score)


@pytest.mark.parametrize("name", NAMES)
def test_products_in_bfloat16_learn_much_the_same_and_can_be_repeated(name):
    given, new = features(seed=1), features(seed=2)
    whole, first, again = (
        fit(name, given, precision=precision).score(new) for precision in ("float32", "bfloat16", "bfloat16")
    )
    np.testing.assert_array_equal(first.score, again.score)
    assert (first.predicted == new.stress).mean() > 0.9
    off = np.abs(first.score - whole.score)
    # Of whole float32 the bits would be equal.
    assert off.max() > 1e-5
    assert np.median(off) < 0.05


def test_a_first_step_with_products_in_bfloat16_has_nearly_the_same_gradient():
    network = network_of("transformer", 6, 8, blocks=2)
    given = features(50, bins=8)
    parameters = [tf.constant(p) for p in start_weights(network).parameters]
    examples = training.Examples(
        tf.constant(given.features),
        tf.one_hot(tf.cast(given.stress, tf.int32), 2),
        tf.constant(training.class_weights(given.stress)),
    )
    order, seed = tf.range(50)[tf.newaxis], tf.constant([0, 0])
    averages = []
    for precision in ("float32", "bfloat16"):
        run = training.program(network, 50, 1e-5, precision)
        state, _ = run(
            training.State(training.Weights(parameters, []), start(parameters)), examples, order, seed
        )
        assert {value.dtype for value in tf.nest.flatten(state.weights)} == {tf.float32}
        averages.append(np.concatenate([np.ravel(value) for value in state.moments.first]))
        # Adam's first step is at most its rate: far less than what rounding would move a weight.
        for after, before in zip(state.weights.parameters, parameters, strict=True):
            np.testing.assert_allclose(after, before, rtol=0, atol=1.1e-5)
    whole, rounded = averages
    assert 1e-4 < np.linalg.norm(rounded - whole) / np.linalg.norm(whole) < 0.05


def test_private_trainings_are_whole_float32():
    budget = Budget(10.0, 1e-5, "window", Population(1, 50, 0.3), reproducible(STREAM))
    given, new = features(50), features(9, seed=1)
    whole, asked = (
        fit("cnn", given, budget=budget, epochs=1, precision=precision).score(new)
        for precision in ("float32", "bfloat16")
    )
    np.testing.assert_array_equal(asked.score, whole.score)


def test_settings_name_the_precision_only_where_it_is_reduced():
    settings = registry.load("detectors", "cnn").Settings
    assert "precision" not in settings(precision="float32").model_dump(mode="json")
    assert settings(precision="bfloat16").model_dump(mode="json")["precision"] == "bfloat16"


@pytest.mark.parametrize("name", NAMES)
def test_padding_does_not_change_the_result(name):
    given, new = features(15), features(9, seed=1)
    whole = fit(name, given, epochs=2, batch_size=15).score(new)
    padded = fit(name, given, epochs=2, batch_size=20).score(new)
    np.testing.assert_allclose(padded.score, whole.score, rtol=1e-3, atol=1e-4)


def test_scores_do_not_depend_on_the_windows_beside():
    fitted, new = fit("cnn_lstm", features(50), epochs=1), features(47, seed=1)
    some = fitted.score(new.take(np.arange(3, 10))).score
    np.testing.assert_allclose(some, fitted.score(new).score[3:10], rtol=1e-5)


def test_class_weights_balance_a_rare_class():
    given = features(200, share=0.1, effect=0)
    weight = training.class_weights(given.stress)
    assert weight[given.stress].sum() == pytest.approx(weight[~given.stress].sum())
    # Nothing can be learned: scores go to the weighted share of stress, not to that of one in ten.
    assert 0.3 < fit("cnn", given, epochs=4).score(features(200, effect=0)).score.mean() < 0.7


def test_each_epoch_is_a_permutation_with_a_short_last_batch():
    order = training.batches(np.random.default_rng(0), 70, 50, epochs=3)
    assert order.shape == (6, 50)
    assert (order[1::2, 20:] == training.ABSENT).all()
    epochs = order.reshape(3, 100)
    assert all(set(rows) == {training.ABSENT, *range(70)} for rows in epochs)
    assert not np.array_equal(epochs[0], epochs[1])


def test_folds_of_any_size_share_one_program():
    for n in (40, 47, 61):
        fit("cnn", features(n), epochs=1)
    network = network_of("cnn", 6, 12, **SMALL["cnn"])
    assert training.program(network, 20, 5e-3, "float32").experimental_get_tracing_count() == 1


@pytest.mark.parametrize("name", ["cnn", "cnn_lstm"])
def test_too_few_bins_are_refused(name):
    with pytest.raises(InputError, match=f"{name}: expected spectra of at least 4 bins, found 3"):
        fit(name, features(bins=3))


def test_one_class_is_refused():
    with pytest.raises(InputError, match="found 0 of 120"):
        fit("cnn", features(share=0))


def test_plans_load_detectors_without_tensorflow():
    code = """
import sys
from pulseveil.core import registry
for name in ("cnn", "cnn_lstm", "transformer"):
    kind = registry.load("detectors", name)
    assert kind.expected_seconds(kind.Settings(), 495, None) > 10
print("tensorflow" in sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.stdout.strip() == "False", answer.stderr


def test_the_number_of_threads_cannot_change_once_tensorflow_runs():
    tf.zeros(1)
    with pytest.raises(RuntimeError, match="cannot be modified after initialization"):
        tensorflow.start(tf.config.threading.get_intra_op_parallelism_threads() + 1)


def test_products_are_whole_float32_on_every_device():
    code = """
import tensorflow as tf
from pulseveil.core import tensorflow
tensorflow.start(1)
print(tf.config.experimental.tensor_float_32_execution_enabled())
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.stdout.strip() == "False", answer.stderr


def test_an_interrupted_training_ends_in_the_bits_of_an_unbroken_one(tmp_path):
    given = features()
    told = iter([False, True])
    with pytest.raises(Interrupted, match="after step 100"):
        fit("cnn", given, checkpoint=Checkpoint(tmp_path / "s.npz", "cell", 50, lambda: next(told)))
    resumed = fit("cnn", given, checkpoint=Checkpoint(tmp_path / "s.npz", "cell", 50)).score(given)
    unbroken = fit("cnn", given).score(given)
    np.testing.assert_array_equal(resumed.score, unbroken.score)
    # Not from the beginning: with fewer steps ahead than were done, another state ends elsewhere.
    altered = Checkpoint(tmp_path / "s.npz", "cell", 50)
    step, arrays, _ = altered.load()
    altered.save(
        step, {name: value * 2 if value.dtype.kind == "f" else value for name, value in arrays.items()}
    )
    assert not np.array_equal(fit("cnn", given, checkpoint=altered).score(given).score, unbroken.score)
