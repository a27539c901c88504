"""HyperModel and what belongs to it."""

from .model import HyperModel
from .parts import count_params

__all__ = ["HyperModel", "count_params"]
