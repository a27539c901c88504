"""PyTorch, eager or through torch.compile."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from contestants import Library, Maker
from workloads.training import LAYERS, LEARNING_RATE
from workloads.workload import CLASSES, HIDDEN, INPUTS, SIZES, Data

MODE = contextlib.ExitStack()  # inference mode, while a workload that predicts is there
Compile = Callable[[Callable[..., Any]], Callable[..., Any]]
# Keras adds its epsilon before the correction of the second moment, PyTorch after it: this is the same in step 2.
EPSILON = 1e-7 / (1 - 0.999**2) ** 0.5
GENERATOR = ("hidden_kernel", "hidden_bias", "head_kernel", "head_bias")


def tensors(data: Data) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in data.items()}


def generate(condition: Tensor, kernel: Tensor, bias: Tensor, head_kernel: Tensor, head_bias: Tensor) -> Tensor:
    return torch.addmm(head_bias, torch.addmm(bias, condition, kernel).relu_(), head_kernel)


def logits(theta: Tensor, x: Tensor) -> Tensor:
    """Of the target with weights theta (N, P) on rows x (N, M, D). The parts of theta are views."""
    n = len(theta)
    k1, b1, k2, b2 = theta.split(SIZES, dim=1)
    hidden = torch.baddbmm(b1.unsqueeze(1), x, k1.reshape(n, INPUTS, HIDDEN)).relu()
    return torch.baddbmm(b2.unsqueeze(1), hidden, k2.reshape(n, HIDDEN, CLASSES))


def adapt_and_predict(compiled: Compile, data: Data) -> Callable[[], object]:
    t = tensors(data)
    weights = [t[name] for name in GENERATOR]

    def work(condition: Tensor, x: Tensor) -> Tensor:
        k1, b1, k2, b2 = generate(condition, *weights).squeeze(0).split(SIZES)
        hidden = torch.addmm(b1, x, k1.view(INPUTS, HIDDEN)).relu_()
        return torch.softmax(torch.addmm(b2, hidden, k2.view(HIDDEN, CLASSES)), -1)

    return partial(compiled(work), t["condition"], t["x"])


def head(compiled: Compile, data: Data) -> Callable[[], object]:
    t = tensors(data)
    return partial(compiled(torch.addmm), t["head_bias"], t["features"], t["head_kernel"])


def head_into_result(compiled: Compile, data: Data) -> Callable[[], object]:
    t = tensors(data)
    out = torch.empty(len(t["features"]), len(t["head_bias"]))

    def work(features: Tensor) -> Tensor:
        return torch.addmm(t["head_bias"], features, t["head_kernel"], out=out)

    return partial(compiled(work), t["features"])


def given_weights(compiled: Compile, data: Data) -> Callable[[], object]:
    t = tensors(data)

    def work(theta: Tensor, x: Tensor) -> Tensor:
        return torch.softmax(logits(theta, x.unsqueeze(1)).squeeze(1), -1)

    return partial(compiled(work), t["theta"], t["x"])


def network_a_row(compiled: Compile, data: Data) -> Callable[[], object]:
    t = tensors(data)
    weights = [t[name] for name in GENERATOR]

    def work(condition: Tensor, x: Tensor) -> Tensor:
        return torch.softmax(logits(generate(condition, *weights), x.unsqueeze(1)).squeeze(1), -1)

    return partial(compiled(work), t["condition"], t["x"])


def small_call(compiled: Compile, data: Data) -> Callable[[], object]:
    t = tensors(data)

    def work(x: Tensor) -> Tensor:
        return torch.addmm(t["bias"], x, t["kernel"]).relu_()

    return partial(compiled(work), t["x"])


def step_of(weights: list[Tensor], loss_of: Callable[[], Tensor]) -> Callable[[], object]:
    """One step of the fused Adam."""
    optimizer = torch.optim.Adam(weights, lr=LEARNING_RATE, eps=EPSILON, fused=True)

    def work() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return work


def plain_step(compiled: Compile, data: Data) -> Callable[[], object]:
    t = tensors(data)
    weights = [t[f"{part}{i}"].clone().requires_grad_() for i in range(len(LAYERS) - 1) for part in ("kernel", "bias")]

    def loss(x: Tensor, labels: Tensor) -> Tensor:
        for i in range(0, len(weights) - 2, 2):
            x = torch.addmm(weights[i + 1], x, weights[i]).relu()
        return functional.cross_entropy(torch.addmm(weights[-1], x, weights[-2]), labels)

    return step_of(weights, partial(compiled(loss), t["x"], t["labels"]))


def hyper_step(compiled: Compile, data: Data) -> Callable[[], object]:
    """One row (N, D) or a block of rows (N, M, D) for each condition."""
    t = tensors(data)
    weights = [t[name].clone().requires_grad_() for name in GENERATOR]
    x = t["x"] if t["x"].ndim == 3 else t["x"].unsqueeze(1)

    def loss(condition: Tensor, x: Tensor, labels: Tensor) -> Tensor:
        kernel, bias, head_kernel, head_bias = weights
        theta = torch.addmm(head_bias, torch.addmm(bias, condition, kernel).relu(), head_kernel)
        return functional.cross_entropy(logits(theta, x).flatten(0, 1), labels.flatten())

    return step_of(weights, partial(compiled(loss), t["condition"], x, t["labels"]))


def in_mode(maker: Callable[[Compile, Data], Callable[[], object]], is_training: bool, compiled: Compile) -> Maker:
    """Make the workload, and stay in the mode that it is to run in: entering it is no part of the work."""

    def make(data: Data) -> Callable[[], object]:
        MODE.close()
        if not is_training:
            MODE.enter_context(torch.inference_mode())
        return maker(compiled, data)

    return make


PREDICTIONS = {
    "W0": adapt_and_predict,
    "W1": head_into_result,
    "W1b": head_into_result,
    "W2-out": head_into_result,
    "W2-new": head,
    "W3": given_weights,
    "W23": network_a_row,
    "call": small_call,
}
STEPS = {"W4": plain_step, "W5": hyper_step, "W6": hyper_step}


def library(threads: int, compiled: bool) -> Library:
    torch.set_num_threads(threads)
    compiler: Compile = torch.compile if compiled else lambda function: function
    makers = {name: in_mode(maker, False, compiler) for name, maker in PREDICTIONS.items()}
    makers |= {name: in_mode(maker, True, compiler) for name, maker in STEPS.items()}
    return Library(makers, ["torch"])
