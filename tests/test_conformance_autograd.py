"""hypernet inside PyTorch and JAX: the examples pass gradcheck and check_grads, and agree with both's own autograd."""

from __future__ import annotations

import importlib.util
import re
import runpy
from pathlib import Path
from types import ModuleType

import hypernet as hn
import numpy as np
import pytest

pytestmark = pytest.mark.conformance

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
N, M, C, HIDDEN, D, WIDTH, O = 3, 4, 5, 6, 7, 8, 2  # noqa: E741
MODES = {
    "one": ((1, C), (M, D), (M, O)),
    "rows": ((N, C), (N, D), (N, O)),
    "tasks": ((N, C), (N, M, D), (N, M, O)),
    "shared": ((N, C), (1, M, D), (N, M, O)),
}
each_mode = pytest.mark.parametrize("mode", MODES)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"conformance_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def in_torch() -> ModuleType:
    return load("pytorch_autograd")


@pytest.fixture
def in_jax():
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield load("jax_autograd")
    jax.config.update("jax_enable_x64", before)


def make(activation: str = "relu", seed: int = 0) -> hn.HyperModel:
    """The tutorial's hypernetwork, small, in float64; a smooth one for finite differences."""
    hn.utils.set_random_seed(seed)
    layers, f8 = hn.layers, "float64"
    x = hn.Input((D,), dtype=f8)
    y = layers.Dense(O, activation="softmax", dtype=f8)(layers.Dense(WIDTH, activation=activation, dtype=f8)(x))
    target = hn.Model(x, y)
    cond = hn.Input((C,), dtype=f8)
    features = layers.Dense(HIDDEN, activation=activation, dtype=f8)(cond)
    hyper = hn.HyperModel(hn.Model(cond, layers.Dense(target.count_params(), dtype=f8)(features)), target)
    rng = np.random.default_rng(seed)
    hyper.set_weights(hyper.params + 0.1 * rng.standard_normal(hyper.params.shape))  # biases are not zero
    return hyper


def data(mode: str, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Condition, inputs and an output gradient."""
    rng = np.random.default_rng(seed)
    cond, x, dy = (rng.standard_normal(shape) for shape in MODES[mode])
    return cond, x, dy


def arrays_of(flat, shapes):
    offset = 0
    for shape in shapes:
        size = int(np.prod(shape))
        yield flat[..., offset : offset + size].reshape(*flat.shape[:-1], *shape)
        offset += size


def tutorial(xp, cond, x, params):
    """The tutorial's hypernetwork in the other library's own operations; xp is torch or jax.numpy."""
    relu = xp.relu if hasattr(xp, "relu") else lambda value: xp.maximum(value, 0.0)
    exp_over_sum = xp.softmax if hasattr(xp, "softmax") else __import__("jax").nn.softmax
    size = D * WIDTH + WIDTH + WIDTH * O + O
    w1, b1, w2, b2 = arrays_of(params, [(C, HIDDEN), (HIDDEN,), (HIDDEN, size), (size,)])
    theta = relu(cond @ w1 + b1) @ w2 + b2
    k1, c1, k2, c2 = arrays_of(theta, [(D, WIDTH), (WIDTH,), (WIDTH, O), (O,)])
    rows_alone = x.ndim == 2 and len(cond) > 1
    if rows_alone:
        x = x[:, None]
    elif x.ndim == 2:
        x = x[None]
    y = exp_over_sum(relu(x @ k1 + c1[:, None]) @ k2 + c2[:, None], -1)
    if rows_alone:
        return y[:, 0]
    return y[0] if len(cond) == 1 else y


def assert_close(mine, other):
    mine, other = np.asarray(mine), np.asarray(other)
    assert mine.shape == other.shape
    assert mine.dtype == other.dtype == np.float64
    assert np.linalg.norm(other) > 1e-3  # the comparison has something to compare
    assert np.linalg.norm(mine - other) <= 1e-10 * np.linalg.norm(other)


# ---- PyTorch ----
@each_mode
def test_torch_gradcheck(in_torch, mode):
    import torch

    module = in_torch.Hyper(make("tanh"))
    cond, x, _ = (torch.tensor(values, requires_grad=True) for values in data(mode))

    def call(cond, x, params):
        return in_torch.HyperFunction.apply(module.hyper, False, cond, x, params)

    assert torch.autograd.gradcheck(call, (cond, x, module.params))
    elsewhere = module.params.detach().clone().requires_grad_()  # not hypernet's own memory
    assert torch.autograd.gradcheck(call, (cond, x, elsewhere))


@each_mode
def test_torch_agrees(in_torch, mode):
    import torch

    module = in_torch.Hyper(make())
    cond, x, dy = data(mode)

    def value_and_gradients(function, params):
        tensors = [torch.tensor(values, requires_grad=True) for values in (cond, x)]
        y = function(*tensors)
        y.backward(torch.tensor(dy))
        return y.detach(), tensors[0].grad, tensors[1].grad, params.grad

    mine = value_and_gradients(module, module.params)
    params = module.params.detach().clone().requires_grad_()
    other = value_and_gradients(lambda cond, x: tutorial(torch, cond, x, params), params)
    for a, b in zip(mine, other, strict=True):
        assert_close(a, b)


def test_torch_adam_agrees(in_torch):
    """Embeddings and parameters trained together for ten steps; the parameters move in hypernet's own memory."""
    import torch

    module = in_torch.Hyper(make())
    start, x, _ = data("tasks")
    x = torch.tensor(x)
    label = torch.tensor(np.random.default_rng(2).integers(0, O, (N, M, 1)))

    def train(function, params):
        cond = torch.tensor(start, requires_grad=True)
        optimizer = torch.optim.Adam([params, cond], lr=0.01)
        losses = []
        for _ in range(10):
            loss = -function(cond, x).gather(-1, label).log().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return np.array(losses), cond.detach().numpy()

    params = module.params.detach().clone().requires_grad_()
    before = module.hyper.params.copy()
    mine = train(module, module.params)
    other = train(lambda cond, x: tutorial(torch, cond, x, params), params)
    assert mine[0][-1] < 0.9 * mine[0][0]
    assert_close(mine[0], other[0])
    assert_close(mine[1], other[1])
    assert_close(mine[1] - start, other[1] - start)
    assert_close(module.hyper.params, params.detach())
    assert_close(module.hyper.params - before, params.detach().numpy() - before)


def test_torch_copies_nothing(in_torch):
    import torch

    hyper = make()
    module = in_torch.Hyper(hyper)
    assert module.params.data_ptr() == hyper.params.ctypes.data
    seen = {}
    vjp = hyper.vjp

    def spy(cond, x, **options):
        y, pullback = vjp(cond, x, **options)
        seen.update(cond=cond, x=x, y=y, **options)
        return y, pullback

    hyper.vjp = spy
    cond, x, _ = (torch.tensor(values) for values in data("tasks"))
    y = module(cond, x.requires_grad_())
    assert seen["cond"].ctypes.data == cond.data_ptr()
    assert seen["x"].ctypes.data == x.data_ptr()
    assert seen["y"].ctypes.data == y.data_ptr()
    assert seen["wrt"] == ["inputs", "params"]  # cond needs no gradient, so none is computed
    y.sum().backward()
    assert cond.grad is None
    assert x.grad is not None


def test_torch_notices_changes_between_forward_and_backward(in_torch):
    import torch

    module = in_torch.Hyper(make())
    cond, x, _ = (torch.tensor(values) for values in data("rows"))
    loss = module(cond, x).square().sum()
    with torch.no_grad():
        module.params.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    loss = module(cond, x).square().sum()
    module.hyper.set_weights(module.hyper.get_weights())
    with pytest.raises(RuntimeError, match="stale"):
        loss.backward()


def test_torch_dropout_follows_the_module(in_torch):
    import torch

    x = hn.Input((D,))
    target = hn.Model(x, hn.layers.Dense(O)(hn.layers.Dropout(0.5)(hn.layers.Dense(50)(x))))
    module = in_torch.Hyper(hn.HyperModel(hn.hypernetwork(C, target.count_params()), target))
    cond, x = torch.ones(1, C), torch.ones(3, D)
    assert not torch.equal(module(cond, x), module(cond, x))
    module.eval()
    assert torch.equal(module(cond, x), module(cond, x))


# ---- JAX ----
@each_mode
def test_jax_check_grads(in_jax, mode):
    from jax.test_util import check_grads

    hyper = make("tanh")
    cond, x, _ = data(mode)
    check_grads(in_jax.as_jax(hyper), (cond, x, hyper.params.copy()), order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


@each_mode
def test_jax_agrees(in_jax, mode):
    import jax
    import jax.numpy as jnp

    hyper = make()
    call = in_jax.as_jax(hyper)
    cond, x, dy = data(mode)
    arguments = cond, x, hyper.params.copy()
    y, pullback = jax.vjp(lambda *a: tutorial(jnp, *a), *map(jnp.asarray, arguments))
    for mine in (call, jax.jit(call)):
        value, pull = jax.vjp(mine, *map(jnp.asarray, arguments))
        assert_close(value, y)
        for a, b in zip(pull(jnp.asarray(dy)), pullback(jnp.asarray(dy)), strict=True):
            assert_close(a, b)


def test_jax_values_are_those_of_the_argument(in_jax):
    """The function is pure: it depends on the params that it is given, not on the model's, and changes nothing."""
    import jax.numpy as jnp

    hyper = make()
    call = in_jax.as_jax(hyper)
    cond, x, _ = data("tasks")
    before = hyper.params.copy()
    assert_close(call(cond, x, before / 2), tutorial(jnp, *map(jnp.asarray, (cond, x, before / 2))))
    np.testing.assert_array_equal(hyper.params, before)


def test_jax_adam_agrees_with_hypernets(in_jax):
    """Ten steps of Keras's Adam, written out in JAX around JAX's own gradients, against hypernet's own loop and the
    example's function."""
    import jax
    import jax.numpy as jnp

    start, x, _ = data("tasks")
    label = np.random.default_rng(2).integers(0, O, (N, M))
    rate, beta1, beta2, epsilon = 0.01, 0.9, 0.999, 1e-7

    def train_in_jax(function, params):
        weights = [jnp.asarray(start), jnp.asarray(params)]
        means, squares = ([jnp.zeros_like(w) for w in weights] for _ in range(2))

        @jax.jit
        def loss_and_gradient(weights):
            def loss(weights):
                y = function(weights[0], jnp.asarray(x), weights[1])
                return -jnp.log(jnp.take_along_axis(y, jnp.asarray(label)[..., None], -1)).mean()

            return jax.value_and_grad(loss)(weights)

        losses = []
        for step in range(1, 11):
            value, gradient = loss_and_gradient(weights)
            losses.append(float(value))
            means = [beta1 * m + (1 - beta1) * g for m, g in zip(means, gradient, strict=True)]
            squares = [beta2 * v + (1 - beta2) * g * g for v, g in zip(squares, gradient, strict=True)]
            alpha = rate * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
            weights = [w - alpha * m / (jnp.sqrt(v) + epsilon) for w, m, v in zip(weights, means, squares, strict=True)]
        return np.array(losses), *map(np.asarray, weights)

    hyper = make()
    first = hyper.params.copy()
    results = {
        "JAX's own": train_in_jax(lambda *a: tutorial(jnp, *a), first),
        "the example": train_in_jax(in_jax.as_jax(hyper), first),
    }
    np.testing.assert_array_equal(hyper.params, first)

    cond, loss = start.copy(), hn.losses.SparseCategoricalCrossentropy()
    optimizers = [hn.optimizers.Adam(rate, beta1, beta2, epsilon) for _ in range(2)]
    losses = []
    for _ in range(10):
        y, pullback = hyper.vjp(cond, x)
        value, dy = loss.value_and_grad(label, y)
        losses.append(float(value))
        gradient = pullback(dy)
        optimizers[0].apply(gradient.condition, cond)
        optimizers[1].apply(gradient.params, hyper.params)
    results["hypernet's own"] = np.array(losses), cond, hyper.params

    expected = results.pop("JAX's own")
    assert expected[0][-1] < 0.9 * expected[0][0]
    for result in results.values():
        for a, b, origin in zip(result, expected, (0.0, start, first), strict=True):
            assert_close(a, b)
            assert_close(a - origin, b - origin)


def test_jax_with_the_tutorials_sizes(in_jax):
    """0.9 M parameters through the callback, under jit."""
    import jax

    target = hn.target_network(100, 10)
    hyper = hn.HyperModel(hn.hypernetwork(64, target.count_params()), target)
    rng = np.random.default_rng(0)
    cond, x = (rng.standard_normal(shape, dtype=np.float32) for shape in ((5, 64), (5, 7, 100)))
    call = jax.jit(in_jax.as_jax(hyper))
    y, pullback = jax.vjp(call, cond, x, hyper.params.copy())
    assert (y.shape, y.dtype) == ((5, 7, 10), np.float32)
    gradient = pullback(y)
    expected = hyper.vjp(cond, x)[1](np.asarray(y))
    for a, b in zip(gradient, expected, strict=True):
        assert a.dtype == np.float32
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(b)


# ---- the programs ----
@pytest.mark.parametrize("name", ["pytorch_autograd", "jax_autograd"])
def test_the_examples_learn(name, capsys):
    hn.utils.set_random_seed(0)
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    losses = [float(value) for value in re.findall(r"loss (\S+)", capsys.readouterr().out)]
    assert len(losses) == 5
    assert losses[-1] < 0.3 * losses[0]
