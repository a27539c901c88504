"""Layers, with Keras's names, signatures and defaults."""

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
