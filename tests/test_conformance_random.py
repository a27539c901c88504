"""Random hypernetworks: values and all gradients agree with PyTorch's own autograd, in float64."""

from __future__ import annotations

from typing import Any

import hypernet as hn
import numpy as np
import pytest

from evidence import Recorder
from random_networks import ACTIVATIONS, IDS, RandomNetwork

pytestmark = pytest.mark.conformance

COUNT = 100  # in each mode
MODES = {"one": (1, (3,)), "rows": (3, (3,)), "tasks": (3, (2,)), "shared": (3, (2,))}  # groups, rows
BOUND = 1e-12  # normwise, of each array: float64 through a few dozen layers


def arrays(network: RandomNetwork, leading: tuple[int, ...], rng: np.random.Generator) -> list[Any]:
    return [
        rng.integers(0, IDS, (*leading, *shape)) if ids else rng.standard_normal((*leading, *shape))
        for shape, ids in network.inputs
    ]


def nest(values: list[Any]) -> Any:
    return values if len(values) > 1 else values[0]


def hypermodel(rng: np.random.Generator) -> tuple[hn.HyperModel, RandomNetwork, RandomNetwork, dict[str, Any]]:
    """A random generator and target, a part of which is generated, perhaps onto a base."""
    trunk, target = RandomNetwork(rng), RandomNetwork(rng)
    names = list(target.model.unflatten(target.model.params))
    generated = [name for name in names if rng.random() < 0.7] or names[:1]
    numbers = target.model.unflatten(np.arange(target.model.count_params(), dtype=np.float64))
    made = np.zeros(target.model.count_params(), bool)
    for name in generated:
        made[numbers[name].astype(int).ravel()] = True
    base = rng.standard_normal(int(made.sum())) if rng.integers(2) else None
    features = trunk.model.output.shape[-1]
    head = hn.layers.Dense(int(made.sum()), kernel_initializer="glorot_normal")
    generator = hn.Model(trunk.model.input, head(trunk.model.output))
    hyper = hn.HyperModel(generator, target.model, generated=generated, base=base, init=None)
    hyper.set_weights(hyper.params + 0.1 * rng.standard_normal(hyper.params.size))
    return hyper, trunk, target, {"features": features, "made": made, "base": 0.0 if base is None else base}


def distance(mine: np.ndarray, other: np.ndarray) -> float:
    assert mine.shape == other.shape and mine.dtype == other.dtype == np.float64
    return float(np.linalg.norm(mine - other) / max(1.0, np.linalg.norm(other)))


def error(mode: str, number: int) -> float:
    """The largest distance of values and gradients to conditions, inputs and parameters."""
    import torch

    import torch_twin

    rng = np.random.default_rng([list(MODES).index(mode), number])
    hn.utils.set_random_seed(number)
    hyper, trunk, target, parts = hypermodel(rng)
    groups, rows = MODES[mode]
    leading = {"tasks": (groups, *rows), "shared": (1, *rows)}.get(mode, rows)
    conditions, inputs = arrays(trunk, (groups,), rng), arrays(target, leading, rng)
    y, pullback = hyper.vjp(nest(conditions), nest(inputs))
    dy = rng.standard_normal(y.shape)
    gradient = pullback(dy)

    def tensors(values: list[Any]) -> list[Any]:
        return [torch.tensor(value, requires_grad=value.dtype.kind == "f") for value in values]

    params, their_conditions, their_inputs = tensors([hyper.params.copy()]), tensors(conditions), tensors(inputs)
    theirs = torch_twin.run_hyper(trunk, target, parts, params[0], their_conditions, their_inputs, mode)
    theirs.backward(torch.tensor(dy))
    mine = [y, gradient.params]
    mine += gradient.condition if len(conditions) > 1 else [gradient.condition]
    mine += gradient.inputs if len(inputs) > 1 else [gradient.inputs]
    other = [theirs.detach(), *(t.grad for t in [*params, *their_conditions, *their_inputs])]
    pairs = [
        (a, np.zeros_like(a) if b is None else b.numpy()) for a, b in zip(mine, other, strict=True) if a is not None
    ]
    return max(distance(a, b) for a, b in pairs)


@pytest.mark.parametrize("mode", MODES)
def test_random_hypernetworks_agree(mode: str, evidence: Recorder) -> None:
    errors = [error(mode, number) for number in range(COUNT)]
    claim = f"random hypernetworks against PyTorch's autograd, {mode}"
    evidence(claim, tried=len(errors), required=COUNT, worst=max(errors), bound=BOUND, unit="normwise")


def test_the_twin_knows_every_activation() -> None:
    import torch_twin

    assert set(torch_twin.ACTIVATIONS) == set(ACTIVATIONS)
