"""Optimizers: formulas written out in NumPy, clipping, decay, binding, spans of models, state."""

import copy
import math
import pickle

import hypernet as hn
import numpy as np
import pytest
from hypernet import optimizers
from hypernet.optimizers import schedules

RNG = np.random.default_rng(0)
W = RNG.normal(size=12)
GRADIENTS = RNG.normal(size=(5, 12))


def _sgd(w, gradients, lr, momentum=0.0, nesterov=False):
    v = np.zeros_like(w)
    for g in gradients:
        v = momentum * v - lr * g
        w = w + (momentum * v - lr * g if nesterov else v)
    return w


def _rmsprop(w, gradients, lr, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    a, m, b = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for g in gradients:
        a = rho * a + (1 - rho) * g**2
        m = rho * m + (1 - rho) * g
        u = lr * g / np.sqrt((a - m**2 if centered else a) + epsilon)
        b = momentum * b + u
        w = w - (b if momentum else u)
    return w


def _adam(w, gradients, lr, b1=0.9, b2=0.999, epsilon=1e-7, amsgrad=False, decay=0.0):
    m, v, top = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        w = w - w * decay * lr
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        top = np.maximum(top, v)
        root = np.sqrt(top if amsgrad else v) + epsilon
        w = w - lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / root
    return w


CASES = {
    "sgd": (lambda: optimizers.SGD(0.1), lambda w, g: _sgd(w, g, 0.1)),
    "momentum": (lambda: optimizers.SGD(0.1, momentum=0.8), lambda w, g: _sgd(w, g, 0.1, 0.8)),
    "nesterov": (lambda: optimizers.SGD(0.1, 0.8, nesterov=True), lambda w, g: _sgd(w, g, 0.1, 0.8, True)),
    "rmsprop": (lambda: optimizers.RMSprop(0.01), lambda w, g: _rmsprop(w, g, 0.01)),
    "rmsprop-momentum": (
        lambda: optimizers.RMSprop(0.01, rho=0.8, momentum=0.5, epsilon=1e-3),
        lambda w, g: _rmsprop(w, g, 0.01, 0.8, 0.5, 1e-3),
    ),
    "rmsprop-centered": (
        lambda: optimizers.RMSprop(0.01, centered=True, momentum=0.5),
        lambda w, g: _rmsprop(w, g, 0.01, momentum=0.5, centered=True),
    ),
    "adam": (lambda: optimizers.Adam(0.01), lambda w, g: _adam(w, g, 0.01)),
    "adam-parameters": (
        lambda: optimizers.Adam(0.01, 0.8, 0.95, 1e-3),
        lambda w, g: _adam(w, g, 0.01, 0.8, 0.95, 1e-3),
    ),
    "amsgrad": (
        lambda: optimizers.Adam(0.01, beta_2=0.5, amsgrad=True),
        lambda w, g: _adam(w, g, 0.01, b2=0.5, amsgrad=True),
    ),
    "adamw": (lambda: optimizers.AdamW(0.01, weight_decay=0.1), lambda w, g: _adam(w, g, 0.01, decay=0.1)),
}


@pytest.mark.parametrize("case", sorted(CASES))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_formula(case, dtype):
    make, formula = CASES[case]
    optimizer, w = make(), W.astype(dtype)
    for step, g in enumerate(GRADIENTS):
        before = w.copy()
        delta = optimizer.delta(g, w)
        assert (w == before).all() and optimizer.iterations == step and delta.dtype == dtype
        optimizer.apply(g.astype(dtype), w)
        np.testing.assert_allclose(w - before, delta, atol=1e-6 if dtype == "float32" else 1e-14)
    tolerance = {"rtol": 1e-12, "atol": 1e-14} if dtype == "float64" else {"rtol": 2e-5, "atol": 2e-6}
    np.testing.assert_allclose(w, formula(W, GRADIENTS), **tolerance)
    assert optimizer.iterations == 5


@pytest.mark.parametrize("case", sorted(CASES))
def test_list_and_array_agree(case):
    make, formula = CASES[case]
    parts = [W[:5].copy(), W[5:11].reshape(2, 3).copy(), W[11:].copy()]
    optimizer = make()
    for g in GRADIENTS:
        gradients = [g[:5], g[5:11].reshape(2, 3), g[11:]]
        deltas = optimizer.delta(gradients, parts)
        assert [d.shape for d in deltas] == [(5,), (2, 3), (1,)]
        optimizer.apply(gradients, parts)
    joined = np.concatenate([part.reshape(-1) for part in parts])
    np.testing.assert_allclose(joined, formula(W, GRADIENTS), rtol=1e-12, atol=1e-14)


def test_clipping():
    g = np.array([3.0, 4.0, 0.5])
    for options, expected in [
        ({"clipnorm": 1.0}, g / np.linalg.norm(g)),
        ({"clipvalue": 1.0}, np.clip(g, -1, 1)),
        ({"global_clipnorm": 2.0}, 2 * g / np.linalg.norm(g)),
        ({"clipnorm": 100.0}, g),
    ]:
        delta = optimizers.SGD(1.0, **options).delta(g, np.zeros(3))
        np.testing.assert_allclose(delta, -expected, rtol=1e-12)
    deltas = optimizers.SGD(1.0, clipnorm=1.0).delta([g[:1], g[1:]], [np.zeros(1), np.zeros(2)])
    np.testing.assert_allclose(np.concatenate(deltas), -np.array([1.0, *(g[1:] / np.linalg.norm(g[1:]))]), rtol=1e-12)
    deltas = optimizers.SGD(1.0, global_clipnorm=1.0).delta([g[:1], g[1:]], [np.zeros(1), np.zeros(2)])
    np.testing.assert_allclose(np.concatenate(deltas), -g / np.linalg.norm(g), rtol=1e-12)
    with pytest.raises(ValueError, match="Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set"):
        optimizers.Adam(clipnorm=1.0, clipvalue=1.0)


def test_clipping_to_a_norm_that_is_no_number():
    """As in Keras: one inf among all gradients makes all of them nan; in its own weight's norm, itself alone."""
    g = np.array([np.inf, 1.0])
    np.testing.assert_array_equal(optimizers.SGD(1.0, global_clipnorm=1.0).delta(g, np.zeros(2)), [np.nan, np.nan])
    np.testing.assert_array_equal(optimizers.SGD(1.0, clipnorm=1.0).delta(g, np.zeros(2)), [np.nan, 0.0])


def test_weight_decay():
    w = np.ones(3)
    optimizers.SGD(0.1, weight_decay=0.5).apply(np.zeros(3), w)
    np.testing.assert_allclose(w, 0.95)
    with pytest.raises(ValueError, match="Argument `weight_decay` must be a float"):
        optimizers.AdamW(weight_decay=None)


def test_apply_gradients():
    a, b = np.ones(2), np.ones(3)
    optimizers.SGD(0.5).apply_gradients(zip([np.ones(2), np.zeros(3)], [a, b], strict=True))
    assert a.tolist() == [0.5, 0.5] and b.tolist() == [1, 1, 1]


def test_none_leaves_a_variable_alone():
    a, b = np.ones(2), np.ones(3)
    optimizer = optimizers.SGD(0.5, weight_decay=0.1)
    optimizer.apply([None, np.ones(3)], [a, b])
    assert a.tolist() == [1, 1] and (b < 1).all()
    optimizer.apply([np.ones(2), np.ones(3)], [a, b])
    assert (a < 1).all()
    with pytest.raises(ValueError, match="No gradients provided for any variable"):
        optimizer.apply([None, None], [a, b])


# ---- learning rates ----
def test_schedule():
    optimizer, w = optimizers.SGD(schedules.PiecewiseConstantDecay([1], [1.0, 0.1])), np.zeros(1)
    for expected in (-1.0, -2.0, -2.1, -2.2):
        optimizer.apply(np.ones(1), w)
        assert w[0] == pytest.approx(expected)
    assert optimizer.learning_rate == 0.1
    with pytest.raises(TypeError, match="This optimizer was created with a `LearningRateSchedule`"):
        optimizer.learning_rate = 0.5


def test_learning_rate():
    optimizer = optimizers.Adam(lambda: 0.3)
    assert optimizer.learning_rate == 0.3
    optimizer.learning_rate = np.float32(0.5)
    assert optimizer.learning_rate == 0.5 and type(optimizer.learning_rate) is float
    optimizer.learning_rate = schedules.CosineDecay(1.0, 10)
    assert optimizer.learning_rate == 1.0
    with pytest.raises(ValueError, match="Argument `learning_rate` should be float"):
        optimizers.Adam("fast")


# ---- binding ----
def test_state_belongs_to_the_first_vector():
    optimizer, w = optimizers.Adam(), np.zeros(4)
    optimizer.apply(np.ones(4), w)
    optimizer.apply(np.ones(4), w[:])  # another view of the same memory
    optimizer.apply(np.ones((2, 2)), w.reshape(2, 2))
    assert optimizer.iterations == 3
    for other in (np.zeros(4), np.zeros(5), w[:3], [w[:2], w[2:]]):
        shape = [np.ones(2), np.ones(2)] if isinstance(other, list) else np.ones(other.shape)
        with pytest.raises(ValueError, match="Unknown variable"):
            optimizer.apply(shape, other)
        with pytest.raises(ValueError, match="Unknown variable"):
            optimizer.delta(shape, other)
    assert optimizer.iterations == 3


def test_delta_binds_nothing():
    optimizer = optimizers.Adam()
    optimizer.delta(np.ones(3), np.zeros(3))
    assert not optimizer.built
    optimizer.apply(np.ones(4), np.zeros(4))
    assert optimizer.built


def test_bad_vectors_and_gradients():
    optimizer, w = optimizers.SGD(), np.zeros(4)
    read_only = np.zeros(4)
    read_only.flags.writeable = False
    cases = [
        ((np.ones(3), w), ValueError, "must have the shape of its variable"),
        ((np.ones(4), np.zeros(4, int)), ValueError, "float32 or float64"),
        ((np.ones(4), np.zeros(8)[::2]), ValueError, "contiguous"),
        ((np.ones(4), read_only), ValueError, "read-only"),
        (([1.0] * 4, [0.0] * 4), TypeError, "in place"),
        ((np.ones(4), "w"), TypeError, "in place"),
        ((np.ones(4), [w]), ValueError, "list of the same length"),
        (([np.ones(4)], [w, w]), ValueError, "list of the same length"),
        ((np.ones(4), None), ValueError, "When passing `grads` without `variables`"),
    ]
    for arguments, error, message in cases:
        with pytest.raises(error, match=message):
            optimizer.apply(*arguments)
    assert not optimizer.built and (w == 0).all()


# ---- models ----
def _model():
    inputs = hn.Input((3,))
    hidden = hn.layers.Dense(4, name="a", dtype="float64")(inputs)
    return hn.Model(inputs, hn.layers.Dense(2, name="b", dtype="float64")(hidden))


def _by_weight(model, flat):
    return model.unflatten(flat)


def test_spans_come_from_the_model():
    model = _model()
    g = RNG.normal(size=model.count_params())
    before = model.params.copy()
    optimizers.SGD(1.0, clipnorm=0.5).apply(g, model.params)
    for name, part in _by_weight(model, model.params - before).items():
        assert np.linalg.norm(part) == pytest.approx(0.5), name


def test_frozen_weights_neither_move_nor_decay():
    model = _model()
    model.get_layer("a").trainable = False
    optimizer = optimizers.SGD(1.0, weight_decay=0.1)
    g = np.ones(model.count_params())
    before = {name: part.copy() for name, part in _by_weight(model, model.params).items()}
    optimizer.apply(g, model.params)
    after = _by_weight(model, model.params)
    assert (after["a/kernel"] == before["a/kernel"]).all() and (after["a/bias"] == before["a/bias"]).all()
    np.testing.assert_allclose(after["b/kernel"], before["b/kernel"] * 0.9 - 1)
    model.get_layer("a").trainable = True
    optimizer.apply(g, model.params)
    assert (_by_weight(model, model.params)["a/kernel"] != before["a/kernel"]).all()


def test_exclude_from_weight_decay():
    for options in ({"var_names": ["bias"]}, {"var_list": "biases"}):
        model = _model()
        model.set_weights(np.ones(model.count_params()))
        if "var_list" in options:
            options = {"var_list": [weight for weight in model.weights if weight.name == "bias"]}
        optimizer = optimizers.AdamW(1.0, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(**options)
        optimizer.apply(np.zeros(model.count_params()), model.params)
        for name, part in _by_weight(model, model.params).items():
            np.testing.assert_allclose(part, 1.0 if name.endswith("bias") else 0.5)
        with pytest.raises(ValueError, match="can only be configured before the optimizer is built"):
            optimizer.exclude_from_weight_decay(var_names=["kernel"])


def test_weights_of_a_model_as_a_list():
    one, two = _model(), _model()
    two.set_weights(one.get_weights())
    g = RNG.normal(size=one.count_params())
    optimizers.Adam(0.1, clipnorm=1.0).apply(g, one.params)
    optimizers.Adam(0.1, clipnorm=1.0).apply(list(two.unflatten(g).values()), two.trainable_weights)
    np.testing.assert_array_equal(one.params, two.params)


def test_constraints_follow():
    inputs = hn.Input((3,))
    layer = hn.layers.Dense(2, kernel_constraint="non_neg", dtype="float64")
    model = hn.Model(inputs, layer(inputs))
    optimizers.SGD(10.0).apply(np.ones(model.count_params()), model.params)
    assert (layer.kernel == 0).all() and (layer.bias == -10).all()


@pytest.mark.parametrize("make", [optimizers.SGD, optimizers.RMSprop, optimizers.Adam, optimizers.AdamW])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_constraint_projects_what_the_update_gives(make, dtype):
    """Bit for bit what the update without it gives, projected; in one store and in several."""
    models = []
    for constraint in (None, hn.constraints.NonNeg(), hn.constraints.NonNeg()):
        hn.utils.set_random_seed(3)
        layer = hn.layers.Dense(37, kernel_constraint=constraint, dtype=dtype)
        models.append(hn.Sequential([hn.Input((11,)), layer]))
    free, one, several = models
    optimizer = [make(0.1) for _ in models]
    array = np.ones(5, dtype)
    for _ in range(5):
        gradient = RNG.normal(size=free.count_params()).astype(dtype)
        parts = [gradient[:407].reshape(11, 37), gradient[407:]]
        optimizer[0].apply(gradient, free.params)
        kernel = free.weights[0]
        kernel.assign(np.maximum(kernel.value, 0))
        optimizer[1].apply(gradient, one.params)
        optimizer[2].apply([*parts, np.ones(5, dtype)], [*several.weights, array])
        assert free.params.tobytes() == one.params.tobytes() == several.params.tobytes()
    assert (array < 1).all() and one.params.any()


class FailsTheSecondTime(hn.constraints.Constraint):
    def __init__(self):
        self.calls = 0

    def __call__(self, w):
        self.calls += 1
        if self.calls == 2:
            raise ArithmeticError
        return w


def apply_once(model, optimizer):
    optimizer.apply([np.ones(w.shape, np.float32) for w in model.weights], model.weights)


def train(model, optimizer):
    model.train_on_batch(np.ones((4, 3), np.float32), np.ones((4, 2), np.float32))


@pytest.mark.parametrize("update", [apply_once, train])
@pytest.mark.parametrize("fails", [1, 2], ids=["the first update", "the second update"])
def test_a_constraint_that_fails_changes_nothing(update, fails):
    """Neither the weights nor the slots nor the number of updates; the next update goes on from there."""
    model, twin = (
        hn.Sequential([hn.Input((3,)), hn.layers.Dense(2, kernel_initializer="ones", kernel_constraint=constraint)])
        for constraint in (FailsTheSecondTime(), "non_neg")
    )
    for each in (model, twin):
        each.compile(optimizers.Adam(0.1), "mse")
    model.weights[0].constraint.calls = 2 - fails
    for step in range(1, 4):
        if step == fails:
            before = model.get_weights(), model.optimizer.built, model.optimizer.state()
            with pytest.raises(ArithmeticError):
                update(model, model.optimizer)
            after = model.get_weights(), model.optimizer.built, model.optimizer.state()
            np.testing.assert_equal(before, after)
        update(model, model.optimizer)
        update(twin, twin.optimizer)
        np.testing.assert_equal(model.get_weights(), twin.get_weights())
    assert model.optimizer.iterations == 3


def test_version_rises():
    model = _model()
    _, pullback = model.vjp(np.zeros((1, 3)))
    optimizers.SGD().apply(np.ones(model.count_params()), model.params)
    with pytest.raises(RuntimeError, match="stale"):
        pullback(np.ones((1, 2)))


def test_state_survives_a_move():
    inputs = hn.Input((3,))
    a, b = hn.layers.Dense(4, dtype="float64", name="a"), hn.layers.Dense(2, dtype="float64", name="b")
    first = hn.Model(inputs, a(inputs))
    optimizer = optimizers.Adam(0.1)
    optimizer.apply(np.ones(first.count_params()), first.params)
    twin = first.params.copy()
    hn.Model(inputs, b(a(inputs)))(np.zeros((1, 3)))  # joins the stores
    reference = optimizers.Adam(0.1)
    reference.set_state(optimizer.state(), first.weights)
    optimizer.apply(np.ones(first.count_params()), first.params)
    assert optimizer.iterations == 2 and (first.params < twin).all()


# ---- state and configuration ----
@pytest.mark.parametrize("case", sorted(CASES))
def test_state(case):
    make, _ = CASES[case]
    one, two = _model(), _model()
    two.set_weights(one.get_weights())
    gradients = RNG.normal(size=(4, one.count_params()))
    optimizer = make()
    assert optimizer.state() == {}
    for g in gradients[:2]:
        optimizer.apply(g, one.params)
    two.set_weights(one.get_weights())
    state = optimizer.state()
    assert state["iterations"] == 2 and state["iterations"].dtype == np.int64
    other = make()
    other.set_state(state, two.weights)
    assert other.iterations == 2
    for g in gradients[2:]:
        optimizer.apply(g, one.params)
        other.apply(g, two.params)
    np.testing.assert_array_equal(one.params, two.params)


def test_state_of_another_size():
    model = _model()
    optimizer = optimizers.Adam()
    with pytest.raises(ValueError, match="needs 'momentum'"):
        optimizer.set_state({"momentum": np.zeros(3), "iterations": np.array(1)}, model.weights)
    assert not optimizer.built
    optimizer.set_state({}, model.weights)
    assert not optimizer.built


@pytest.mark.parametrize("case", sorted(CASES))
def test_configuration(case):
    optimizer = CASES[case][0]()
    for again in (
        optimizers.deserialize(optimizers.serialize(optimizer)),
        pickle.loads(pickle.dumps(optimizer)),
        copy.deepcopy(optimizer),
    ):
        assert type(again) is type(optimizer) and again.get_config() == optimizer.get_config()


def test_copies_have_no_state():
    optimizer = optimizers.Adam()
    optimizer.apply(np.ones(3), np.zeros(3))
    again = copy.deepcopy(optimizer)
    assert not again.built and optimizer.built


def test_schedule_in_the_configuration():
    optimizer = optimizers.Adam(schedules.CosineDecay(1.0, 10), global_clipnorm=2.0)
    again = optimizers.deserialize(optimizers.serialize(optimizer))
    assert isinstance(again._learning_rate, schedules.CosineDecay) and again.global_clipnorm == 2.0


def test_get():
    assert optimizers.get(None) is None
    for name in ("adam", "Adam", "ADAM"):
        assert isinstance(optimizers.get(name), optimizers.Adam)
    assert optimizers.get("sgd").learning_rate == 0.01 and optimizers.get("rmsprop").learning_rate == 0.001
    assert optimizers.get("adamw").weight_decay == 0.004
    optimizer = optimizers.SGD()
    assert optimizers.get(optimizer) is optimizer
    for bad in ("nope", 3, {"class_name": "Nope", "config": {}}, optimizers.SGD):
        with pytest.raises(ValueError, match="Could not interpret optimizer identifier"):
            optimizers.get(bad)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"Argument\(s\) not recognized"):
        optimizers.Adam(speed=3)
    for bad in (-0.1, 1.1, "a"):
        with pytest.raises(ValueError, match="`momentum` must be a float between"):
            optimizers.SGD(momentum=bad)
    for argument, value in [
        ("use_ema", True),
        ("ema_momentum", 0.5),
        ("ema_overwrite_frequency", 3),
        ("loss_scale_factor", 2.0),
        ("gradient_accumulation_steps", 2),
    ]:
        with pytest.raises(NotImplementedError, match=argument):
            optimizers.Adam(**{argument: value})
