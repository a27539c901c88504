"""HyperModel and what belongs to it."""

from .model import HyperModel
from .parts import count_params
from .quantize import Quantization, QuantizedHyperModel

__all__ = ["HyperModel", "Quantization", "QuantizedHyperModel", "count_params"]
