"""Random networks: graphs of many kinds of layers, with a list of their steps that another library can repeat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import hypernet as hn
import numpy as np

IDS = 5  # ids in each table
ACTIVATIONS = [
    *["linear", "relu", "leaky_relu", "relu6", "elu", "selu", "gelu", "silu", "sigmoid", "tanh", "softplus"],
    *["softsign", "exponential", "hard_sigmoid", "softmax", "log_softmax", "celu", "squareplus", "soft_shrink"],
    *["hard_shrink", "tanh_shrink", "hard_tanh", "hard_silu", "log_sigmoid", "sparse_plus", "sparse_sigmoid", "mish"],
]
TAME = ["linear", "tanh", "sigmoid", "gelu", "silu", "softsign", "leaky_relu"]  # grow at most as fast as their input


@dataclass(frozen=True)
class Step:
    """A layer applied to earlier tensors; its weights are called layer/kernel and so on."""

    kind: str
    layer: str
    sources: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)


class RandomNetwork:
    """The model; `inputs` (shape, whether ids) come first in the list of tensors, then one for each step."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._tensors: list[Any] = []
        self.steps: list[Step] = []
        self.inputs: list[tuple[tuple[int, ...], bool]] = []
        for _ in range(int(rng.integers(1, 3))):
            self._add_input()
        count = len(self._tensors)
        for _ in range(int(rng.integers(2, 7))):
            KINDS[str(rng.choice(list(KINDS)))](self)
        ends = [i for i in range(count, len(self._tensors)) if self._is_unused(i)]
        flat = [self.apply("flatten", (i,)) for i in ends]
        end = self.apply("concatenate", tuple(flat)) if len(flat) > 1 else flat[0]
        end = self.apply("dense", (end,), units=int(rng.integers(1, 4)), activation=str(rng.choice(ACTIVATIONS)))
        inputs = self._tensors[:count]
        self.model = hn.Model(inputs if count > 1 else inputs[0], self._tensors[end])

    def _is_unused(self, index: int) -> bool:
        return all(index not in step.sources for step in self.steps)

    def _add_input(self) -> None:
        shape = tuple(int(self._rng.integers(2, 5)) for _ in range(int(self._rng.integers(1, 3))))
        ids = not self._tensors and self.one_in(5)
        self.inputs.append((shape, ids))
        self._tensors.append(hn.layers.Input(shape, dtype="int32" if ids else "float64"))

    def one_in(self, n: int) -> bool:
        return int(self._rng.integers(n)) == 0

    def choice(self, values: list[str]) -> str:
        return str(self._rng.choice(values))

    def shape(self, index: int) -> tuple[int, ...]:
        return tuple(self._tensors[index].shape[1:])

    def is_ids(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index][1]

    def apply(self, kind: str, sources: tuple[int, ...], **options: Any) -> int:
        """The number of the new tensor."""
        name = f"layer{len(self.steps)}"
        step = Step(kind, name, sources, options)
        tensors = [self._tensors[source] for source in sources]
        made = LAYERS[kind](name, options)(tensors if len(tensors) > 1 else tensors[0])
        self.steps.append(step)
        self._tensors.append(made)
        return len(self._tensors) - 1

    def pick(self) -> int:
        """Numbers to go on from: any earlier tensor, ids looked up first; mostly a recent one."""
        index = len(self._tensors) - 1 - int(self._rng.integers(len(self._tensors)) * self._rng.random())
        if self.is_ids(index):
            return self.apply("embedding", (index,), size=int(self._rng.integers(2, 4)))
        if index < len(self.inputs):
            return self.dense(index, self.choice(TAME))
        return index

    def dense(self, source: int, activation: str, units: int | None = None) -> int:
        units = int(self._rng.integers(2, 5)) if units is None else units
        return self.apply("dense", (source,), units=units, activation=activation, use_bias=not self.one_in(3))


def _reshape(network: RandomNetwork) -> None:
    source = network.pick()
    shape = network.shape(source)
    network.apply("reshape", (source,), shape=shape[::-1] if len(shape) > 1 else (shape[0], 1))


def _merge(kind: str) -> Callable[[RandomNetwork], None]:
    """With a tensor of the same shape, or one number a column that is broadcast."""

    def add(network: RandomNetwork) -> None:
        source = network.pick()
        width = network.shape(source)[-1]
        if network.one_in(2):
            other = network.dense(source, network.choice(TAME), width)
        else:
            other = network.dense(network.apply("flatten", (network.pick(),)), network.choice(TAME), width)
        network.apply(kind, (source, other) if network.one_in(2) else (other, source))

    return add


def _concatenate(network: RandomNetwork) -> None:
    source = network.pick()
    network.apply("concatenate", (source, network.dense(source, network.choice(TAME)), source))


KINDS: dict[str, Callable[[RandomNetwork], Any]] = {
    "dense": lambda network: network.dense(network.pick(), network.choice(TAME)),
    "any_dense": lambda network: network.dense(network.pick(), network.choice(ACTIVATIONS)),
    "activation": lambda network: network.apply("activation", (network.pick(),), name=network.choice(ACTIVATIONS)),
    "layer_normalization": lambda network: network.apply(
        "layer_normalization", (network.pick(),), center=not network.one_in(3), scale=not network.one_in(3)
    ),
    "prelu": lambda network: network.apply("prelu", (network.pick(),)),
    "reshape": _reshape,
    "add": _merge("add"),
    "multiply": _merge("multiply"),
    "concatenate": _concatenate,
}
LAYERS: dict[str, Callable[[str, dict[str, Any]], Any]] = {
    "dense": lambda name, options: hn.layers.Dense(**options, name=name),
    "activation": lambda name, options: hn.layers.Activation(options["name"], name=name),
    "layer_normalization": lambda name, options: hn.layers.LayerNormalization(**options, name=name),
    "prelu": lambda name, options: hn.layers.PReLU(name=name),
    "embedding": lambda name, options: hn.layers.Embedding(IDS, options["size"], dtype="float64", name=name),
    "reshape": lambda name, options: hn.layers.Reshape(options["shape"], name=name),
    "flatten": lambda name, options: hn.layers.Flatten(name=name),
    "add": lambda name, options: hn.layers.Add(name=name),
    "multiply": lambda name, options: hn.layers.Multiply(name=name),
    "concatenate": lambda name, options: hn.layers.Concatenate(name=name),
}
