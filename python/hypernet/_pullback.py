"""What `vjp` gives next to its result: a function from output gradients to gradients, which may be called again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._convert import as_dtype
from .models.data import match_structure

Array = NDArray[Any]
Result = TypeVar("Result")


class Gradients(NamedTuple):
    """Gradients of `Model.vjp`: `inputs` nested as the inputs (None for integer ids), `params` flat (P,)."""

    inputs: Any
    params: Array | None


class HyperGradients(NamedTuple):
    """Gradients of `HyperModel.vjp`; None for what `wrt` leaves out and for integer ids."""

    condition: Any
    inputs: Any
    params: Array | None


class GenerateGradients(NamedTuple):
    """Gradients of `HyperModel.generate_vjp`."""

    condition: Any
    params: Array | None


class FunctionalGradients(NamedTuple):
    """Gradients of `functional_vjp`: `theta` has the shape of theta."""

    theta: Array
    inputs: Any


class Versions:
    """The state of stores at one moment, to find out later whether they have changed."""

    def __init__(self, stores: Sequence[_core.Store]) -> None:
        self._seen = [(store, store.version) for store in stores]

    def check(self, present: Sequence[_core.Store]) -> None:
        """RuntimeError if a store has been written to, or is no longer in use."""
        now = {id(store) for store in present}
        for store, version in self._seen:
            if id(store) not in now or store.version != version:
                raise RuntimeError(
                    "This pullback is stale: the parameters have changed (by apply, set_weights, fit, or a join of "
                    "models) since its forward pass. Call `vjp` again."
                )


class Pullback(Generic[Result]):
    """Gradients for given output gradients, with the parameters and random masks of the forward pass.

    Parameters
    ----------
    dy : array or nested arrays
        Gradient of a scalar with respect to the result, in its shape.

    Raises
    ------
    ValueError
        `dy` has another shape.
    RuntimeError
        The parameters have changed since the forward pass.
    """

    def __init__(
        self,
        outputs: Sequence[Array],
        structure: Any,
        names: Sequence[str],
        run: Callable[[tuple[Array, ...]], Result],
        check: Callable[[], None],
    ) -> None:
        self._shapes = [output.shape for output in outputs]
        self._dtypes = [output.dtype for output in outputs]
        self._structure = structure
        self._names = list(names)
        self._run = run
        self._check = check

    def __call__(self, dy: Any) -> Result:
        self._check()
        leaves = match_structure(self._structure, self._names, dy, "dy", of_outputs=True)
        gradients = []
        for leaf, shape, dtype, name in zip(leaves, self._shapes, self._dtypes, self._names, strict=True):
            fits = type(leaf) is np.ndarray and leaf.dtype is dtype
            gradient = leaf if fits else as_dtype(leaf, dtype.name, name)
            if gradient.shape != shape:
                raise ValueError(
                    f"The gradient of output '{name}' must have the output's shape {shape}; received {gradient.shape}."
                )
            gradients.append(gradient)
        return self._run(tuple(gradients))


def call_seed(training: bool, seed: int | None) -> int:
    """The seed of one call: the given one; in training without one, the next of the process."""
    if seed is None and not training:
        return 0
    from ._random import as_seed, next_seed

    return next_seed() if seed is None else as_seed(seed)
