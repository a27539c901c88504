"""What published work says of initialising hypernetworks, against what HyperModel does."""

from __future__ import annotations

import math

import hypernet as hn
import numpy as np
import pytest

layers = hn.layers
WIDTH, DEPTH, FEATURES = 128, 10, 32


# ---- ten relu layers of width 128 (Chang, Flokas, Lipson, ICLR 2020) ----
def mean_squares(head_initializer=None, head_bias="zeros", init="hyperfan_in", normalize=True, seed=0):
    """log10 of the mean squared outputs of 16 generated networks, with 64 standard normal rows each."""
    hn.utils.set_random_seed(seed)
    tensor = inputs = layers.Input((WIDTH,))
    for _ in range(DEPTH):
        tensor = layers.Dense(WIDTH, activation="relu")(tensor)
    target = hn.Model(inputs, tensor)
    condition = layers.Input((100,))
    features = layers.Dense(FEATURES, activation="relu", kernel_initializer="he_normal")(condition)
    if normalize:  # then the second moment of the head's input is 1 for every condition, not only on average
        features = layers.LayerNormalization()(features)
    options = (
        {} if head_initializer is None else {"kernel_initializer": head_initializer, "bias_initializer": head_bias}
    )
    head = layers.Dense(target.count_params(), **options)
    hyper = hn.HyperModel(hn.Model(condition, head(features)), target, init=init)
    rng = np.random.default_rng(seed)
    cond, x = (rng.standard_normal(shape, dtype=np.float32) for shape in ((16, 100), (16, 64, WIDTH)))
    return np.log10(np.mean(np.square(hyper([cond, x]), dtype=np.float64), axis=(1, 2)))


@pytest.mark.parametrize("seed", range(5))
def test_hyperfan_in_keeps_the_mean_square(seed):
    found = mean_squares(seed=seed)
    assert np.abs(found).max() < 0.5  # each of the networks
    assert abs(math.log10(np.mean(10**found))) < 0.5  # and all outputs together
    assert abs(mean_squares(normalize=False, seed=seed).mean()) < 0.5


def test_other_heads_do_not():
    """The same check on heads that are initialised as if they were ordinary layers: 128^10 and (64 (1/3 + 1/96))^10."""
    kaiming = mean_squares(hn.initializers.HeNormal(seed=1))
    assert abs(kaiming.mean() - 21) < 1
    bound = 1 / math.sqrt(FEATURES)  # a framework's default, PyTorch's, for kernel and bias
    uniform = [hn.initializers.RandomUniform(-bound, bound, seed=seed) for seed in (1, 2)]
    assert abs(mean_squares(*uniform).mean() - 13) < 1
    assert mean_squares(init=None).mean() < -3  # Glorot's: its fan-out is all of the target


# ---- every entry of the head: variances, and the bounds of the uniform numbers ----
D_K = 200


def make_target():
    """Layers that grow and shrink; a relu as activation, as layer, and none; with a bias and without."""
    x = layers.Input((30,))
    y = layers.Dense(50, activation="relu", name="first")(x)
    y = layers.ReLU()(layers.Dense(40, name="second")(y))
    y = layers.Dense(60, name="third")(y)
    return hn.Model(x, layers.Dense(20, use_bias=False, name="fourth")(y))


def initialised_head(init, generated=None, scale=1.0):
    """The head's weights for each generated entry, and v, the second moment of its inputs."""
    hn.utils.set_random_seed(0)
    target = make_target()
    condition = layers.Input((100,))
    spread = hn.initializers.VarianceScaling(2.0 * scale, mode="fan_in", distribution="untruncated_normal")
    features = layers.Dense(D_K, activation="relu", kernel_initializer=spread)(condition)
    head = layers.Dense(hn.count_params(target, generated))
    hyper = hn.HyperModel(hn.Model(condition, head(features)), target, generated=generated, init=init)
    assert not head.bias.any()
    samples = np.random.default_rng(1).standard_normal((4000, 100), dtype=np.float32)
    moment = np.mean(np.square(hn.Model(condition, features)(samples)))
    found, offset = {}, 0
    for name, view in target.unflatten(np.concatenate([w.reshape(-1) for w in target.get_weights()])).items():
        if name in hyper.generated:
            found[name] = head.kernel[:, offset : offset + view.size].copy()
            offset += view.size
    assert offset == head.kernel.shape[1]
    return found, float(moment)


# c / (c_b d_j d_k v) and c / (2 d_k v), without 1 / (d_k v)
IN = {
    "first/kernel": 2 / (2 * 30),
    "first/bias": 2 / 2,
    "second/kernel": 2 / (2 * 50),
    "second/bias": 2 / 2,
    "third/kernel": 1 / (2 * 40),
    "third/bias": 1 / 2,
    "fourth/kernel": 1 / (1 * 60),
}
# c / (d_i d_k v) and max(0, c (1 - d_j / d_i) / (d_k v)), without 1 / (d_k v)
OUT = {
    "first/kernel": 2 / 50,
    "first/bias": 2 * (1 - 30 / 50),
    "second/kernel": 2 / 40,
    "second/bias": 0,
    "third/kernel": 1 / 60,
    "third/bias": 1 * (1 - 40 / 60),
    "fourth/kernel": 1 / 20,
}


@pytest.mark.parametrize("init, formulas", [("hyperfan_in", IN), ("hyperfan_out", OUT)])
@pytest.mark.parametrize("scale", [1.0, 9.0])  # of the second moment that is measured
def test_every_entry_has_its_variance(init, formulas, scale):
    found, moment = initialised_head(init, scale=scale)
    assert abs(moment / scale - 1) < 0.1
    assert found.keys() == formulas.keys()
    largest = {}
    for name, values in found.items():
        variance = formulas[name] / (D_K * moment)
        if variance == 0:
            assert not values.any()
            continue
        assert abs(values.var() / variance - 1) < 0.08  # v is measured on other conditions here
        assert abs(values.mean()) < 5 * math.sqrt(variance / values.size)
        # Uniform: half of the numbers are in the inner half, none beyond the bound.
        bound = largest[name] = np.abs(values).max()
        assert abs(np.mean(np.abs(values) < bound / 2) - 0.5) < 5 * math.sqrt(0.25 / values.size)
        assert abs(bound / math.sqrt(3 * variance) - 1) < 0.05
    # Without v, which both sides estimate, the bounds have exactly the formulas' proportions.
    unit = largest["first/kernel"] / math.sqrt(formulas["first/kernel"])
    for name, bound in largest.items():
        assert abs(bound / (unit * math.sqrt(formulas[name])) - 1) < 20 / found[name].size, name


def test_a_bias_of_the_targets_own_leaves_the_variance_to_the_kernel():
    """c_b = 2 only where the bias is generated too."""
    names = ["first/kernel", "second"]
    found, moment = initialised_head("hyperfan_in", generated=names)
    alone = found["first/kernel"].var() * D_K * moment
    assert abs(alone / (2 / 30) - 1) < 0.08
    assert abs(found["second/kernel"].var() * D_K * moment / (2 / (2 * 50)) - 1) < 0.08
    assert found.keys() == {"first/kernel", "second/kernel", "second/bias"}


# ---- an offset to weights that are there ----
def test_an_offset_starts_at_theta_0_for_every_condition():
    """MIP (arXiv 2304.07645): theta = theta_0 + h(E(g)), E(g) = [cos(pi g / 2), sin(pi g / 2)], is base="target"; and
    what Bias-HyperInit asks (Beck et al. 2022) holds: at first every condition has the target's own initial weights."""
    target = make_target()
    hyper = hn.HyperModel(hn.hypernetwork(2, target.count_params()), target, base="target")
    angle = np.linspace(0, 1, 7) * np.pi / 2
    condition = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    theta_0 = target.params.copy()
    np.testing.assert_array_equal(hyper.generate(condition), np.tile(theta_0, (7, 1)))
    theta, pullback = hyper.generate_vjp(condition)
    hn.optimizers.SGD(0.1).apply(pullback(np.ones_like(theta)).params, hyper.params)
    moved = hyper.generate(condition) - theta_0
    expected = hyper.generator(condition)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(moved, expected, atol=1e-6)
