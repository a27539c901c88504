"""Models, and loading and cloning them."""

from ..saving import load_model, save_model
from .config import clone_model
from .model import Model
from .sequential import Sequential

__all__ = ["Model", "Sequential", "clone_model", "load_model", "save_model"]
