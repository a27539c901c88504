"""Layers, with Keras's names, signatures and defaults."""

from typing import Any

from .activation import ELU, Activation, Dropout, LeakyReLU, PReLU, ReLU, Softmax
from .base import Layer
from .core import Dense, Embedding
from .input import Input, InputLayer
from .merging import Add, Concatenate, Multiply, add, concatenate, multiply
from .normalization import LayerNormalization
from .shaping import Flatten, Reshape

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "Concatenate",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Multiply",
    "PReLU",
    "ReLU",
    "Reshape",
    "Softmax",
    "add",
    "concatenate",
    "multiply",
]


def __getattr__(name: str) -> Any:
    there = ", ".join(kind for kind in __all__ if kind[0].isupper())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}. There are: {there}.")
