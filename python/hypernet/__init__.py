"""hypernet: networks that generate the weights of networks, in C, with Keras's conventions on NumPy arrays.

>>> import hypernet as hn
>>> target = hn.target_network(100, 10)
>>> generator = hn.hypernetwork(64, target.count_params())
>>> hyper = hn.HyperModel(generator, target)
"""

from . import (
    activations,
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    saving,
    utils,
)
from ._core import __version__
from ._machine import get_num_threads, set_num_threads, show_config
from ._tensor import KerasTensor
from .builders import constant, hypernetwork, ones, target_network, zeros
from .functional import functional_call, functional_vjp
from .hyper import HyperModel, count_params
from .layers import Input
from .models import Model, Sequential

from . import keras  # isort: skip  (needs the names above)

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
