"""The Python examples: they run, the README shows them as they are, and the continual learner does not forget."""

from __future__ import annotations

import importlib.util
import math
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import hypernet as hn
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


def load(name: str) -> ModuleType:
    path = ROOT / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


continual = load("continual_learning")


@pytest.mark.parametrize("name", ["pytorch_autograd", "jax_autograd"])
def test_readme_shows_the_example_as_it_is(name):
    """The file is the source: after a change there, paste it into the README."""
    code = (ROOT / "examples" / f"{name}.py").read_text()
    assert f"```python notest\n{code}```\n" in (ROOT / "README.md").read_text()


# ---- continual learning ----
def test_continual_learning_has_the_published_sizes():
    hyper = continual.make_hypernetwork()
    assert hyper.target.count_params() == 141
    assert hyper.generator.count_params() == (2 * 10 + 10) + (10 * 10 + 10) + (10 * 141 + 141)
    settings = continual.BETA, continual.STEPS, continual.BATCH, continual.RATE, continual.EMBEDDING
    assert settings == (0.005, 4001, 32, 0.01, 2)
    assert (continual.ROWS, continual.NOISE, continual.TEST_ROWS) == (100, 0.05, 50)
    x = np.array([-3.0, 0.5, 2.0])
    values = [task.function(x) for task in continual.TASKS]
    np.testing.assert_allclose(values, [[0, 3.5, 5], [17, -0.5, 7], [-216, -15.625, -1]])
    assert [(task.low, task.high) for task in continual.TASKS] == [(-4, -2), (-1, 1), (2, 4)]
    # Glorot's bounds, array by array: hyperfan would give others.
    for layer, size in zip(hyper.generator.layers[3:9], (10, 10, 100, 10, 10, 1), strict=True):
        bound = math.sqrt(6 / (10 + size))
        assert layer.kernel.shape == (10, size)
        assert bound / 2 < np.abs(layer.kernel).max() <= bound * (1 + 1e-6)


def test_batches_pass_through_the_data():
    x = np.arange(100, dtype=np.float32)[:, np.newaxis]
    drawn = list(islice(continual.batches(x, -x, np.random.default_rng(0)), 6))
    for start in (0, 3):
        rows = np.concatenate([batch for batch, _ in drawn[start : start + 3]])
        assert rows.shape == (96, 1)
        assert len(np.unique(rows)) == 96
    assert not np.array_equal(drawn[0][0], drawn[3][0])
    for batch, labels in drawn:
        np.testing.assert_array_equal(labels, -batch)


def test_a_step_is_the_papers_equation():
    """The gradient that the optimizer receives, against finite differences of L with the look-ahead held constant."""
    hn.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    hyper = continual.make_hypernetwork()
    embeddings = rng.standard_normal((3, 2), dtype=np.float32)
    x, y = (values[:32] for values in continual.TASKS[2].training_data(rng))
    before, beta = hyper.params.copy(), 0.05
    old = embeddings.copy()
    hyper.set_weights(before + 0.02 * rng.standard_normal(before.shape).astype(np.float32))
    remembered = hyper.generate(old[:2]).astype(
        np.float64
    )  # of other parameters: the regulariser is not at its minimum
    hyper.set_weights(before)

    received = []

    class Spy(hn.optimizers.Adam):
        def apply(self, grads, trainable_variables=None):
            received.append(np.array(grads))
            super().apply(grads, trainable_variables)

    def generate(cond):
        return remembered.astype(np.float32) if len(cond) == 2 else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(continual.hn.optimizers, "Adam", Spy)
        patch.setattr(hyper, "generate", generate)
        continual.learn(hyper, embeddings, 2, iter([(x, y)]), beta)
    total, of_embedding = received
    np.testing.assert_array_equal(embeddings[:2], old[:2])
    size = np.abs(of_embedding)
    first_step = -continual.RATE * of_embedding / (size + 1e-7 / math.sqrt(1 - 0.999))  # Adam's
    np.testing.assert_allclose(embeddings[2] - old[2], first_step, rtol=1e-3)

    def network(sizes, theta, inputs):
        """A sigmoid network in float64; theta's last axis is flat."""
        offset = 0
        for number, (ins, outs) in enumerate(sizes):
            kernel = theta[offset : offset + ins * outs].reshape(ins, outs)
            bias = theta[offset + ins * outs : offset + (ins + 1) * outs]
            inputs = inputs @ kernel + bias
            offset += (ins + 1) * outs
            if number < 2:
                inputs = 1 / (1 + np.exp(-inputs))
        return inputs

    def generator(params, embedding):
        features = network([(2, 10), (10, 10)], params[:140], embedding)
        parts, offset = [], 140
        for size in (10, 10, 100, 10, 10, 1):
            kernel = params[offset : offset + 10 * size].reshape(10, size)
            parts.append(features @ kernel + params[offset + 10 * size : offset + 11 * size])
            offset += 11 * size
        return np.concatenate(parts, axis=-1)

    current = old[2].astype(np.float64)

    def task_loss(params, embedding=current):
        predicted = network([(1, 10), (10, 10), (10, 1)], generator(params, embedding), x.astype(np.float64))
        return np.mean(np.square(predicted - y))

    def slope(function, at, direction, h=1e-5):
        return (function(at + h * direction) - function(at - h * direction)) / (2 * h)

    params = before.astype(np.float64)
    unit = np.eye(len(params))
    of_task = np.array([slope(task_loss, params, direction) for direction in unit])
    step = -continual.RATE * of_task / (np.abs(of_task) + 1e-7 / math.sqrt(1 - 0.999))  # Adam's first step

    def regulariser(params):
        return beta / 2 * np.sum(np.square(remembered - generator(params + step, old[:2].astype(np.float64))))

    of_regulariser = np.array([slope(regulariser, params, direction) for direction in unit])
    assert np.linalg.norm(of_regulariser) > 0.1 * np.linalg.norm(of_task)  # neither part hides the other
    expected = of_task + of_regulariser
    assert np.linalg.norm(total - expected) < 1e-4 * np.linalg.norm(expected)
    sides = [slope(lambda e: task_loss(params, e), current, direction) for direction in np.eye(2)]
    assert np.linalg.norm(of_embedding - sides) < 1e-4 * np.linalg.norm(sides)


def test_continual_learning_in_short():
    """1,000 steps a task, three seeds: the first two tasks are kept with the regulariser and lost without it."""
    kept, lost = ([continual.run(seed, beta, steps=1000) for seed in (1, 2, 3)] for beta in (continual.BETA, 0.0))
    for with_it, without in zip(kept, lost, strict=True):
        assert [len(row) for row in with_it] == [1, 2, 3]
        assert with_it[0] == without[0]  # the first task knows no regulariser
    kept_errors, lost_errors = (np.array([errors[-1] for errors in runs]) for runs in (kept, lost))
    assert kept_errors[:, :2].mean() < 0.3 * lost_errors[:, :2].mean()
    assert lost_errors[:, 2].mean() < 0.1  # what was learned last is known either way
    assert kept_errors[:, 2].mean() < 0.1


@pytest.mark.slow
def test_continual_learning_as_published():
    """11 seeds of 3 x 4,001 steps: a mean test error of at most .01, and without the regulariser the tasks are lost."""
    kept = np.array([continual.run(seed)[-1] for seed in range(11)])
    assert np.median(kept.mean(axis=1)) <= 0.01
    lost = np.array([continual.run(seed, beta=0.0)[-1] for seed in range(11)])
    assert np.median(lost[:, :2]) >= 1.0


def test_continual_learning_prints_its_figures(monkeypatch, capsys):
    errors = [[0.5], [0.25, 0.125], [0.1, 0.2, 0.3]]
    asked = []

    def run(seed, beta):
        asked.append((seed, beta))
        return [[seed + 1 + error for error in row] for row in errors]

    monkeypatch.setattr(continual, "run", run)
    continual.main(["--seeds", "3", "--beta", "0.5"])
    printed = capsys.readouterr().out
    assert asked == [(0, 0.5), (1, 0.5), (2, 0.5)]
    assert "beta = 0.5" in printed
    for task in continual.TASKS:
        assert task.formula in printed
    lines = printed.splitlines()
    assert lines[3].split() == ["after", "2:", "1.25000", "1.12500"]
    assert lines[-2].split()[-1] == "2.20000"
    assert lines[-1].split()[-1] == "2.15000"
    with pytest.raises(SystemExit):
        continual.main(["--seeds", "0"])
