"""The tutorial: with its two lines mended it runs, as printed it says what is wrong and how to mend it."""

import subprocess
import sys

import hypernet as hn
import numpy as np
import pytest

BUILDERS = """
def hypernetwork(input_dim, output_dim):
    inputs = tf.keras.layers.Input(shape=(input_dim,))
    x = tf.keras.layers.Dense(64, activation='relu')(inputs)
    outputs = tf.keras.layers.Dense(output_dim, activation='linear')(x)
    return tf.keras.Model(inputs, outputs)

def target_network(input_dim, output_dim):
    inputs = tf.keras.layers.Input(shape=(input_dim,))
    x = tf.keras.layers.Dense(128, activation='relu')(inputs)
    outputs = tf.keras.layers.Dense(output_dim, activation='softmax')(x)
    return tf.keras.Model(inputs, outputs)
"""
AS_PRINTED = """
hypernet = hypernetwork(100, 10)
target_net = target_network(100, 10)
target_net.set_weights(hypernet.predict(tf.ones((1, 100))))
"""
MENDED = """
target_net = target_network(100, 10)
hypernet = hypernetwork(100, target_net.count_params())
target_net.set_weights(hypernet.predict(tf.ones((1, 100))))
"""


def run(lines):
    names = {}
    exec("import hypernet as tf\n" + BUILDERS + lines, names)
    return names


def test_mended():
    names = run(MENDED)
    target, generator = names["target_net"], names["hypernet"]
    theta = generator.predict(np.ones((1, 100)), verbose=0)
    assert theta.shape == (1, 14218)
    np.testing.assert_array_equal(target.params, theta[0])
    kernel, bias, *_ = target.get_weights()
    x = np.random.default_rng(0).standard_normal((5, 100)).astype(np.float32)
    hidden = np.maximum(x @ kernel + bias, 0)
    logits = hidden @ target.layers[2].kernel + target.layers[2].bias
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(target.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-6)


def test_mended_as_a_list():
    names = run(MENDED)
    target = names["target_net"]
    target.set_weights(list(target.unflatten(target.params.copy()).values()))


def test_as_printed():
    hn.utils.clear_session()
    with pytest.raises(ValueError) as caught:
        run(AS_PRINTED)
    message = str(caught.value)
    for words in (
        "You called `set_weights(weights)`",
        "10 values came",
        "14,218 are needed",
        "dense_2/kernel (100, 128)",
        "dense_2/bias (128,)",
        "dense_3/kernel (128, 10)",
        "dense_3/bias (10,)",
        "build the target first",
        "output_dim=target.count_params()",
    ):
        assert words in message


def test_as_printed_changes_nothing():
    target = hn.target_network(100, 10)
    before = target.get_weights()
    with pytest.raises(ValueError):
        target.set_weights(hn.hypernetwork(100, 10).predict(hn.ones((1, 100)), verbose=0))
    for old, new in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_ready_made_builders_are_the_tutorials():
    assert hn.target_network(100, 10).count_params() == 14_218
    assert hn.hypernetwork(100, 14_218).output_shape == (None, 14_218)
    activations = [layer.get_config()["activation"] for layer in hn.target_network(3, 2).layers[1:]]
    assert activations == ["relu", "softmax"]


def test_keras_is_a_real_module():
    script = (
        "from hypernet.keras import layers\n"
        "import hypernet.keras.layers, hypernet.keras.optimizers.schedules\n"
        "from hypernet.keras.models import Sequential\n"
        "import hypernet\n"
        "assert hypernet.keras.layers is hypernet.layers is layers\n"
        "assert hypernet.keras.Model is hypernet.Model\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_arrays_under_tensorflows_names():
    assert hn.ones((1, 2)).dtype == np.float32
    assert hn.zeros(3).tolist() == [0.0, 0.0, 0.0]
    assert hn.constant([[1.0, 2.0]]).dtype == np.float32
    assert hn.constant(3).dtype == np.int32
    assert hn.constant(1.5, shape=(2, 2)).tolist() == [[1.5, 1.5], [1.5, 1.5]]
