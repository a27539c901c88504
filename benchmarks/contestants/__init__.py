"""Who takes part, and what has to be installed for it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Maker = Callable[[dict[str, Any]], Callable[[], object]]


@dataclass(frozen=True)
class Library:
    """What a contestant can do in this process."""

    makers: dict[str, Maker]  # workload -> from its data to a function without arguments that does it once
    packages: Sequence[str]
    details: dict[str, str] = field(default_factory=dict)  # what else tells runs apart

    def versions(self) -> dict[str, str]:
        return {package: importlib.metadata.version(package) for package in self.packages} | self.details


@dataclass(frozen=True)
class Contestant:
    """A module of this package with a function `library(threads, **options)`."""

    module: str
    modules_needed: Sequence[str]
    options: dict[str, Any]
    workloads: frozenset[str]

    def load(self, threads: int) -> Library:
        return importlib.import_module(f"contestants.{self.module}").library(threads, **self.options)

    def missing(self) -> list[str]:
        """Modules that are not installed."""
        return [name for name in self.modules_needed if importlib.util.find_spec(name) is None]


GENERATION = frozenset({"W0", "W1", "W1b", "W2-out", "W2-new", "W3", "W23"})
TRAINING = frozenset({"W4", "W5", "W6"})
KERAS_STYLE = frozenset({"fit", "predict", "seed"})
ALL = GENERATION | TRAINING | KERAS_STYLE | {"call"}
WITHOUT_LOOP = ALL - KERAS_STYLE

CONTESTANTS: dict[str, Contestant] = {
    "hypernet": Contestant("with_hypernet", ["hypernet"], {}, ALL),
    "hypernet-bfloat16": Contestant("with_hypernet", ["hypernet"], {"head": "bfloat16"}, frozenset({"W1b"})),
    "hypernet-int8": Contestant("with_hypernet", ["hypernet"], {"head": "int8"}, frozenset({"W1b"})),
    "numpy": Contestant("with_numpy", ["numpy"], {}, ALL),
    "torch": Contestant("with_torch", ["torch"], {"compiled": False}, WITHOUT_LOOP),
    "torch-compile": Contestant("with_torch", ["torch"], {"compiled": True}, WITHOUT_LOOP),
    "jax": Contestant("with_jax", ["jax"], {}, WITHOUT_LOOP),
    "onnxruntime": Contestant("with_onnxruntime", ["onnx", "onnxruntime"], {}, GENERATION | {"call"}),
    "tensorflow": Contestant("with_tensorflow", ["tensorflow"], {}, WITHOUT_LOOP),
    "keras-tensorflow": Contestant(
        "with_keras", ["keras", "tensorflow"], {"backend": "tensorflow"}, KERAS_STYLE | {"call"}
    ),
    "keras-jax": Contestant("with_keras", ["keras", "jax"], {"backend": "jax"}, KERAS_STYLE | {"call"}),
}
