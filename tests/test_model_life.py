"""The life of a model and a hypernetwork as hypothesis plays it: any calls in any order, right and wrong ones."""

from __future__ import annotations

import copy
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import hypernet as hn
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

C, D, H, O = 2, 3, 4, 2  # noqa: E741
SIZE = D * H + H + H * O + O
STEPS: Counter[str] = Counter()

rows = st.integers(1, 6)
seeds = st.integers(0, 2**20)
odd_shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
strange = st.sampled_from([None, "weights", 1j, {}, [], [[1.0], [1.0, 2.0]], np.array(["a"]), np.array([1j]), object()])


def normal(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def forward(theta: Any, x: Any) -> Any:
    """The target in NumPy, in double."""
    parts = np.split(np.asarray(theta, np.float64), np.cumsum([D * H, H, H * O]))
    return np.tanh(x @ parts[0].reshape(D, H) + parts[1]) @ parts[2].reshape(H, O) + parts[3]


def pulled(theta: Any, x: Any, dy: Any) -> tuple[Any, Any]:
    """Gradients with respect to theta and x, by hand."""
    parts = np.split(np.asarray(theta, np.float64), np.cumsum([D * H, H, H * O]))
    hidden = np.tanh(x @ parts[0].reshape(D, H) + parts[1])
    inner = (dy @ parts[2].reshape(H, O).T) * (1 - hidden**2)
    gradients = [x.T @ inner, inner.sum(0), hidden.T @ dy, dy.sum(0)]
    return np.concatenate([g.ravel() for g in gradients]), inner @ parts[0].reshape(D, H).T


def close(found: Any, right: Any) -> None:
    np.testing.assert_allclose(found, right, rtol=2e-4, atol=2e-4)


class Life(RuleBasedStateMachine):
    """One target and one hypernetwork over another; `expected` is what their weights must be, bit for bit."""

    @initialize(seed=seeds)
    def build(self, seed: int) -> None:
        hn.utils.set_random_seed(seed)
        layers = [hn.Input((D,)), hn.layers.Dense(H, activation="tanh"), hn.layers.Dense(O)]
        self.model = hn.Sequential(layers)
        target = hn.Sequential([hn.Input((D,)), hn.layers.Dense(H, activation="tanh"), hn.layers.Dense(O)])
        self.hyper = hn.HyperModel(hn.hypernetwork(C, SIZE, hidden=3), target)
        for model in (self.model, self.hyper):
            model.compile(hn.optimizers.Adam(0.01), "mse")
        self.threads = hn.get_num_threads()
        self.pullbacks: list[tuple[Any, Any, Any, bytes]] = []
        self.views: list[Any] = []
        self._accept()

    def teardown(self) -> None:
        if hasattr(self, "threads"):
            hn.set_num_threads(self.threads)

    def _accept(self) -> None:
        """What the weights are now is right."""
        self.expected = [self.model.params.copy(), self.hyper.params.copy()]
        self.current = None

    # ---- reads ----
    @rule(n=rows, seed=seeds, layout=st.sampled_from(["C", "F"]), double=st.booleans())
    def predict(self, n: int, seed: int, layout: str, double: bool) -> None:
        x = np.asarray(normal(seed, n, D), np.float64 if double else np.float32, order=layout)
        y = self.model.predict(x, verbose=0)
        close(y, forward(self.expected[0], x))
        assert self.model(x).tobytes() == y.tobytes()
        close(self.model.predict(x, 1 + n // 2, verbose=0), y)

    @rule(n=rows, m=rows, seed=seeds, mode=st.sampled_from(["one", "rows", "tasks", "shared"]))
    def predict_hyper(self, n: int, m: int, seed: int, mode: str) -> None:
        cond = normal(seed, 1 if mode == "one" else n, C)
        shape = {"one": (m, D), "rows": (n, D), "tasks": (n, m, D), "shared": (1, m, D)}[mode]
        x = normal(seed + 1, *shape)
        y = self.hyper.predict([cond, x], verbose=0)
        thetas = self.hyper.generate(cond)
        if mode == "one":
            close(y, forward(thetas[0], x))
        elif len(cond) == 1 or mode in ("tasks", "shared"):
            wide = np.broadcast_to(x, (len(cond), *x.shape[1:])) if x.ndim == 3 else x[None]
            close(y.reshape(len(cond), -1, O), [forward(t, r) for t, r in zip(thetas, wide, strict=True)])
        else:
            close(y, [forward(t, r[None])[0] for t, r in zip(thetas, x, strict=True)])

    @rule(seed=seeds)
    def specialize(self, seed: int) -> None:
        cond, x = normal(seed, 1, C), normal(seed + 1, 4, D)
        special = self.hyper.specialize(cond)
        assert special.params.tobytes() == self.hyper.generate(cond).tobytes()
        special.set_weights(np.zeros(SIZE))  # its own
        assert not special(x).any()

    @rule(dtype=st.sampled_from(["int8", "bfloat16"]), seed=seeds)
    def quantize(self, dtype: str, seed: int) -> None:
        small, cond = self.hyper.quantize(dtype), normal(seed, 3, C)
        made = np.abs(small.generate(cond).astype(np.float64) - self.hyper.generate(cond))
        assert (made <= 2 * small.error_bound(cond) + 1e-6).all()
        with pytest.raises(RuntimeError, match="for inference only"):
            small.vjp(cond, normal(seed, 3, D))

    @rule(hyper=st.booleans())
    def copied(self, hyper: bool) -> None:
        model = self.hyper if hyper else self.model
        other = copy.deepcopy(model)
        assert other.params.tobytes() == model.params.tobytes()
        other.set_weights(np.zeros(other.params.size))  # its own

    @rule(hyper=st.booleans())
    def saved_and_loaded(self, hyper: bool) -> None:
        model = self.hyper if hyper else self.model
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            model.save(path)
            other = hn.saving.load_model(path)
            assert other.params.tobytes() == model.params.tobytes()
            assert other.optimizer.iterations == model.optimizer.iterations
            model.load_weights(path)
        self.pullbacks.clear()  # loading has written the weights

    @rule(count=st.integers(1, 3))
    def set_threads(self, count: int) -> None:
        hn.set_num_threads(count)
        assert hn.get_num_threads() == count

    @rule(hyper=st.booleans())
    def look(self, hyper: bool) -> None:
        """A live view: it shows all later weights, until it is dropped."""
        self.views.append((hyper, (self.hyper if hyper else self.model).params))

    @rule()
    def drop_views(self) -> None:
        self.views.clear()

    # ---- writes ----
    @rule(seed=seeds, hyper=st.booleans(), way=st.sampled_from(["vector", "row", "list", "params", "view"]))
    def set_weights(self, seed: int, hyper: bool, way: str) -> None:
        model = self.hyper if hyper else self.model
        values = 0.5 * normal(seed, model.params.size)
        if way == "list":
            model.set_weights([np.array(view) for view in model.unflatten(values).values()])
        elif way == "params":
            model.params = values
        elif way == "view":
            model.params[...] = values
            model.set_weights(model.params)  # tells pullbacks
        else:
            model.set_weights(values[None] if way == "row" else values)
        self.expected[hyper] = values

    @rule(n=rows, seed=seeds, hyper=st.booleans(), way=st.sampled_from(["fit", "train_on_batch", "apply"]))
    def train(self, n: int, seed: int, hyper: bool, way: str) -> None:
        model = self.hyper if hyper else self.model
        x: Any = normal(seed, n, D)
        x, y = [normal(seed + 1, n, C), x] if hyper else x, normal(seed + 2, n, O)
        before, value = model.params.copy(), model.evaluate(x, y, n, verbose=0)
        if way == "fit":
            found = model.fit(x, y, batch_size=n, verbose=0).history["loss"][0]
        elif way == "train_on_batch":
            found = model.train_on_batch(x, y)
        else:
            found, gradient = model.loss_and_grad(x, y)
            change = model.optimizer.delta(gradient, model.params)
            model.optimizer.apply(gradient, model.params)
            close(model.params, before + change)
        assert found == pytest.approx(value, rel=1e-5)
        assert model.params.tobytes() != before.tobytes()
        self.expected[hyper] = model.params.copy()

    # ---- pullbacks ----
    @rule(n=rows, seed=seeds)
    def vjp(self, n: int, seed: int) -> None:
        x = normal(seed, n, D)
        y, pullback = self.model.vjp(x)
        close(y, forward(self.expected[0], x))
        self.pullbacks.append((pullback, self.expected[0], x, self.model.params.tobytes()))

    @rule(seed=seeds)
    def pull(self, seed: int) -> None:
        """Fresh ones give the gradients of their forward pass; stale ones RuntimeError."""
        for pullback, theta, x, at in self.pullbacks:
            dy = normal(seed, len(x), O)
            if theta is not self.expected[0]:
                with pytest.raises(RuntimeError, match="stale"):
                    pullback(dy)
                continue
            assert at == self.model.params.tobytes()
            found = pullback(dy)
            right = pulled(theta, x, dy)
            close(found.params, right[0])
            close(found.inputs, right[1])

    @rule(n=rows, seed=seeds)
    def vjp_hyper(self, n: int, seed: int) -> None:
        cond, x, dy = normal(seed, n, C), normal(seed + 1, n, D), normal(seed + 2, n, O)
        _, pullback = self.hyper.vjp(cond, x)
        found = pullback(dy)
        thetas, of_theta = self.hyper.generate_vjp(cond)
        pairs = [pulled(t, x[i : i + 1], dy[i : i + 1]) for i, t in enumerate(thetas)]
        close(found.inputs, np.concatenate([dx for _, dx in pairs]))
        chained = of_theta(np.stack([d for d, _ in pairs]))
        close(found.params, chained.params)
        close(found.condition, chained.condition)

    # ---- wrong calls ----
    @rule(shape=odd_shapes, hyper=st.booleans())
    def wrong_shape(self, shape: tuple[int, ...], hyper: bool) -> None:
        model, value = self.hyper if hyper else self.model, np.ones(shape, np.float32)
        if shape not in ((model.params.size,), (1, model.params.size)):
            with pytest.raises(ValueError):
                model.set_weights(value)
        if shape[1:] not in ((D,), (D, 1)) or shape[0] == 0:  # a last axis of one is dropped, as Keras does
            with pytest.raises(ValueError):
                self.model.predict(value, verbose=0)
            with pytest.raises(ValueError):
                self.model.fit(value, np.ones((shape[:1] or (1,))[0]), verbose=0)

    @rule(value=strange)
    def wrong_value(self, value: Any) -> None:
        for call in (
            self.model.set_weights,
            self.hyper.set_weights,
            self.model,
            self.model.vjp,
            self.hyper.generate,
            lambda v: self.hyper([normal(0, 2, C), v]),
            lambda v: self.model.train_on_batch(normal(0, 2, D), v),
            lambda v: self.model.optimizer.apply(v, self.model.params),
        ):
            with pytest.raises((TypeError, ValueError)):
                call(value)

    @invariant()
    def weights_are_what_was_written(self) -> None:
        if not hasattr(self, "expected"):
            return
        STEPS["steps"] += 1
        for model, expected in zip((self.model, self.hyper), self.expected, strict=True):
            assert model.params.tobytes() == expected.tobytes()
            assert np.isfinite(model.params).all()
        for hyper, view in self.views:
            assert view.tobytes() == self.expected[hyper].tobytes()


def play(examples: int, steps: int) -> int:
    """How many steps were checked."""
    STEPS.clear()
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    profile = settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=examples,
        stateful_step_count=steps,
        suppress_health_check=checks,
    )
    run_state_machine_as_test(Life, settings=profile)
    return STEPS["steps"]


def test_some_lives(evidence):
    """Any order of calls: results as in NumPy, weights as they were written, stale pullbacks refused."""
    evidence("steps in the lives of models", tried=play(25, 20), required=300)


@pytest.mark.slow
def test_many_lives(evidence):
    """The same for 2,000 lives of up to 40 steps."""
    evidence("steps in 2,000 lives of models", tried=play(2_000, 40), required=50_000)
