"""hypernet: networks that generate the weights of networks, in C, with Keras's conventions on NumPy arrays.

>>> import hypernet as hn
>>> target = hn.target_network(100, 10)
>>> generator = hn.hypernetwork(64, target.count_params())
>>> hyper = hn.HyperModel(generator, target)
"""

from typing import TYPE_CHECKING, Any

from . import activations, constraints, initializers, layers, models, regularizers, saving, utils
from ._core import __version__
from ._machine import get_num_threads, set_num_threads, show_config
from ._tensor import KerasTensor
from .builders import constant, hypernetwork, ones, target_network, zeros
from .functional import functional_call, functional_vjp
from .hyper import HyperModel, count_params
from .layers import Input
from .models import Model, Sequential

if TYPE_CHECKING:
    from . import callbacks, keras, losses, metrics, optimizers

# What only training needs is imported when it is first used.
_LATER = frozenset({"callbacks", "keras", "losses", "metrics", "optimizers"})

__all__ = [
    "HyperModel",
    "Input",
    "KerasTensor",
    "Model",
    "Sequential",
    "__version__",
    "activations",
    "callbacks",
    "constant",
    "constraints",
    "count_params",
    "functional_call",
    "functional_vjp",
    "get_num_threads",
    "hypernetwork",
    "initializers",
    "keras",
    "layers",
    "losses",
    "metrics",
    "models",
    "ones",
    "optimizers",
    "regularizers",
    "saving",
    "set_num_threads",
    "show_config",
    "target_network",
    "utils",
    "zeros",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
