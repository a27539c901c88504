"""Random networks and hypernetworks once more, in PyTorch's own operations: an independent oracle for their gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from random_networks import RandomNetwork, Step

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "relu6": F.relu6,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "exponential": torch.exp,
    "hard_sigmoid": lambda x: F.relu6(x + 3) / 6,  # the slope of F.hardsigmoid is a sixth in float32
    "softmax": lambda x: torch.softmax(x, -1),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
    "celu": F.celu,
    "squareplus": lambda x: (x + torch.sqrt(x * x + 4)) / 2,
    "soft_shrink": F.softshrink,
    "hard_shrink": F.hardshrink,
    "tanh_shrink": F.tanhshrink,
    "hard_tanh": F.hardtanh,
    "hard_silu": F.hardswish,
    "log_sigmoid": F.logsigmoid,
    "sparse_plus": lambda x: torch.where(x < 1, torch.clamp(x + 1, min=0) ** 2 / 4, x),
    "sparse_sigmoid": lambda x: torch.clamp((x + 1) / 2, 0, 1),
    "mish": F.mish,
}
Weights = dict[str, Tensor]


def apply(step: Step, sources: list[Tensor], weights: Weights) -> Tensor:
    """The step's result; every tensor has a leading axis of rows."""
    x = sources[0]
    if step.kind == "dense":
        y = x @ weights["kernel"]
        return ACTIVATIONS[step.options["activation"]](y + weights["bias"] if "bias" in weights else y)
    if step.kind == "activation":
        return ACTIVATIONS[step.options["name"]](x)
    if step.kind == "layer_normalization":
        return F.layer_norm(x, x.shape[-1:], weights.get("gamma"), weights.get("beta"), eps=1e-3)
    if step.kind == "prelu":
        return torch.relu(x) - weights["alpha"] * torch.relu(-x)
    if step.kind == "embedding":
        return weights["embeddings"][x]
    if step.kind == "reshape":
        return x.reshape(len(x), *step.options["shape"])
    if step.kind == "flatten":
        return x.reshape(len(x), -1)
    if step.kind == "concatenate":
        return torch.cat(sources, -1)
    rank = max(source.ndim for source in sources)
    padded = [source.reshape(len(source), *[1] * (rank - source.ndim), *source.shape[1:]) for source in sources]
    return padded[0] + padded[1] if step.kind == "add" else padded[0] * padded[1]


def run(network: RandomNetwork, theta: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """The network with its weights from a flat vector in Keras's order, on inputs with an axis of rows."""
    weights: dict[str, Weights] = {}
    offset = 0
    for name, array in network.model.unflatten(np.zeros(len(theta))).items():
        layer, entry = name.rsplit("/", 1)
        weights.setdefault(layer, {})[entry] = theta[offset : offset + array.size].reshape(array.shape)
        offset += array.size
    assert offset == len(theta)
    tensors = list(inputs)
    for step in network.steps:
        tensors.append(apply(step, [tensors[i] for i in step.sources], weights.get(step.layer, {})))
    return tensors[-1]


def run_hyper(
    generator: RandomNetwork,
    target: RandomNetwork,
    parts: dict[str, Any],
    params: Tensor,
    conditions: Sequence[Tensor],
    inputs: Sequence[Tensor],
    mode: str,
) -> Tensor:
    """A hypernetwork, group by group; `parts` has the generator's head, which numbers of theta it makes, and a base."""
    trunk_size = generator.model.count_params()
    head_size = parts["features"] * parts["made"].sum() + parts["made"].sum()
    features = run(generator, params[:trunk_size], conditions)
    head = params[trunk_size : trunk_size + head_size]
    kernel = head[: -int(parts["made"].sum())].reshape(parts["features"], -1)
    generated = features @ kernel + head[-int(parts["made"].sum()) :]
    made = torch.as_tensor(parts["made"])
    theta = torch.zeros(len(generated), len(made), dtype=torch.float64)
    theta[:, made] = generated + torch.as_tensor(parts["base"])
    theta[:, ~made] = params[trunk_size + head_size :]
    if mode == "one":
        return run(target, theta[0], inputs)
    outputs = []
    for group, own in enumerate(theta):
        rows = {"rows": slice(group, group + 1), "tasks": group, "shared": 0}[mode]
        outputs.append(run(target, own, [x[rows] for x in inputs]))
    return torch.cat(outputs) if mode == "rows" else torch.stack(outputs)
