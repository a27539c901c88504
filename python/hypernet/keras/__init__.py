"""hypernet under Keras's module name, for existing code: `hypernet.keras.layers.Dense`, `import hypernet.keras.layers`.

The modules are the same objects as `hypernet.layers` and so on.
"""

import sys

from .. import (
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
from .._tensor import KerasTensor
from ..layers import Input
from ..models import Model, Sequential

__all__ = [
    "Input",
    "KerasTensor",
    "Model",
    "Sequential",
    "activations",
    "callbacks",
    "constraints",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "regularizers",
    "saving",
    "utils",
]

for _name in __all__[4:]:
    sys.modules[f"{__name__}.{_name}"] = sys.modules[f"{__package__.rpartition('.')[0]}.{_name}"]
sys.modules[f"{__name__}.optimizers.schedules"] = optimizers.schedules
del _name
