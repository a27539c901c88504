"""Gradients of a HyperModel by hand: `vjp` and `generate_vjp`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._pullback import GenerateGradients, HyperGradients, Pullback, Versions, call_seed
from ..models.data import pack_outputs
from .data import HyperData

Array = NDArray[Any]
_WRT = ("condition", "inputs", "params")


class HyperPullbacks(HyperData):
    """The part of a HyperModel that gives pullbacks."""

    if TYPE_CHECKING:  # what HyperModel has

        @property
        def _gradient_size(self) -> int: ...
        def _all_stores(self) -> list[_core.Store]: ...
        def _theta(self, conditions: tuple[Array, ...], out: Array | None, training: bool, seed: int) -> Array: ...

    def vjp(
        self,
        cond: Any,
        x: Any,
        training: bool = False,
        seed: int | None = None,
        wrt: Sequence[str] | str = _WRT,
    ) -> tuple[Any, Pullback[HyperGradients]]:
        """Outputs, and a function from their gradients to those of condition, inputs and parameters.

        Parameters
        ----------
        cond, x : array, or nested arrays
            In one of the four modes.
        training : bool
            True: dropout acts; the pullback repeats its masks.
        seed : int, optional
            For dropout.
        wrt : sequence of "condition", "inputs", "params"
            What gradients are wanted of; the others are None and cost nothing.

        Returns
        -------
        y : array, or nested arrays
            The outputs.
        pullback : callable
            `pullback(dy)` has `.condition` and `.inputs` (shaped and nested as given; None for ids) and `.params`
            (flat, as `params`). It may be called again. It reads `cond` and `x` where they are used in place, so they
            must keep their values until then.

        Raises
        ------
        RuntimeError
            From the pullback, when the parameters have changed since.

        Examples
        --------
        >>> import hypernet as hn
        >>> target = hn.target_network(3, 2)
        >>> hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
        >>> y, pullback = hyper.vjp(hn.ones((5, 4)), hn.ones((5, 3)))
        >>> grad = pullback(hn.ones(y.shape))
        >>> grad.condition.shape, grad.inputs.shape, grad.params.shape == hyper.params.shape
        ((5, 4), (5, 3), True)
        """
        wanted = _wanted(wrt)
        meeting = self._meet([cond, x])
        core = self._bound()
        number = call_seed(training, seed)
        outputs = core.predict(meeting.conditions, meeting.inputs, meeting.mode, None, training, number, 0)
        versions = Versions(self._all_stores())
        structures = self._structures()

        def run(output_gradients: tuple[Array, ...]) -> HyperGradients:
            conditions, inputs, params = core.gradients(
                meeting.conditions, meeting.inputs, output_gradients, meeting.mode, *wanted, training, number, 0
            )
            if conditions is not None:
                conditions = tuple(
                    None if gradient is None else gradient.reshape(shape)
                    for gradient, shape in zip(conditions, meeting.given, strict=True)
                )
            return HyperGradients(
                None if conditions is None else pack_outputs(structures[0], conditions),
                None if inputs is None else pack_outputs(structures[1], inputs),
                params,
            )

        def check() -> None:
            self._bound()
            versions.check(self._all_stores())

        structure = self._target._known("outputs").output_structure
        return self._pack_outputs(outputs), Pullback(outputs, structure, self._target.output_names, run, check)

    def generate_vjp(
        self, cond: Any, training: bool = False, seed: int | None = None
    ) -> tuple[Array, Pullback[GenerateGradients]]:
        """The generated weights (N, P), and a function from their gradient to those of condition and parameters.

        Parameters
        ----------
        cond : array, or nested arrays
            N conditions, or one without its leading axis.
        training : bool
            True: dropout acts; the pullback repeats its masks.
        seed : int, optional
            For dropout.

        Returns
        -------
        theta : array (N, P)
        pullback : callable
            `pullback(dtheta)` has `.condition` (shaped and nested as cond; None for ids) and `.params`, laid out as
            `params`; the target's own weights have gradient zero there.

        Raises
        ------
        RuntimeError
            From the pullback, when the parameters have changed since.

        Examples
        --------
        >>> import hypernet as hn
        >>> target = hn.target_network(3, 2)
        >>> hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
        >>> theta, pullback = hyper.generate_vjp(hn.ones((5, 4)))
        >>> pullback(theta).condition.shape
        (5, 4)
        """
        conditions, given = self._conditions(cond)
        network = self._generator._bound()
        number = call_seed(training, seed)
        theta = self._theta(conditions, None, training, number)
        stores = [store for store in (network.store,) if store is not None]
        versions = Versions(stores)

        def run(output_gradients: tuple[Array, ...]) -> GenerateGradients:
            found, params = network.gradients(conditions, output_gradients, True, True, training, number, 0)
            assert found is not None and params is not None
            own = self._gradient_size - params.size
            shaped = [
                None if gradient is None else gradient.reshape(shape)
                for gradient, shape in zip(found, given, strict=True)
            ]
            full = np.concatenate([params, np.zeros(own, params.dtype)]) if own else params
            return GenerateGradients(pack_outputs(self._structures()[0], shaped), full)

        def check() -> None:
            versions.check([store for store in (self._generator._bound().store,) if store is not None])

        return theta, Pullback([theta], 0, ["theta"], run, check)


def _wanted(wrt: Sequence[str] | str) -> tuple[bool, bool, bool]:
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    for name in names:
        if name not in _WRT:
            raise ValueError(f"`wrt` takes {', '.join(map(repr, _WRT))}. Received: {name!r}")
    return "condition" in names, "inputs" in names, "params" in names
