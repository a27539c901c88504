"""How a Model takes data, and what its trainer runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._convert import NATIVE
from ..training.examples import Examples, StepData
from .data import (
    Leaf,
    check_cardinality,
    convert_input,
    convert_sample_weight,
    convert_targets,
    match_structure,
)
from .topology import Topology

Array = NDArray[Any]


class ModelData:
    """The part of a Model that meets arrays."""

    name: str
    _direct: Any
    _leaves: tuple[Leaf, ...]
    _output_names: list[str]

    if TYPE_CHECKING:  # what Model has

        @property
        def dtype(self) -> str: ...
        def _known(self, what: str) -> Topology: ...
        def _bound(self) -> _core.Network: ...

    @property
    def input_names(self) -> list[str]:
        """Names of the input layers."""
        self._known("inputs")
        return [leaf.name for leaf in self._leaves]

    @property
    def output_names(self) -> list[str]:
        """Names of the layers that give the outputs."""
        self._known("outputs")
        return list(self._output_names)

    def _standardize_inputs(self, x: Any) -> tuple[Array, ...]:
        leaves = self._leaves
        if type(x) is np.ndarray and len(leaves) == 1:
            _, shape, dtype = leaves[0]
            if x.dtype is NATIVE[dtype] and x.shape[1:] == shape:
                return (x,)  # nothing to do, which is worth finding out fast
        values = match_structure(self._known("inputs").input_structure, self.input_names, x, self.name)
        arrays = [
            convert_input(value, leaf, index, self.name)
            for index, (value, leaf) in enumerate(zip(values, leaves, strict=True))
        ]
        if len(arrays) > 1:
            check_cardinality(x=[array.shape[0] for array in arrays])
        return tuple(arrays)

    def _make_examples(self, x: Any, y: Any = None, sample_weight: Any = None) -> Examples:
        """Checked and converted examples; targets keep their trailing axes, which only their losses know."""
        inputs = self._standardize_inputs(x)
        self._bound()
        structure, names, dtype = self._known("outputs").output_structure, self._output_names, self.dtype
        targets = convert_targets(y, structure, names, dtype)
        weights = convert_sample_weight(sample_weight, structure, names, dtype)
        count = inputs[0].shape[0]
        if count == 0:
            raise ValueError(f"The data for model '{self.name}' is empty: shapes {[array.shape for array in inputs]}.")
        for what, arrays in (("y", targets or ()), ("sample_weight", weights)):
            for array in arrays:
                if array is not None and array.shape[:1] != (count,):
                    if array.ndim == 0:
                        raise ValueError(f"`{what}` needs an entry for each of the {count} rows; received a scalar.")
                    check_cardinality(**{"x": [count], what: [len(array)]})
        return Examples("plain", (), inputs, targets, weights, count)

    # ---- what the trainer runs ----
    def _predict_directly(self, x: Any, out: Any) -> Array | None:
        """What `predict` gives for an ordinary array; None for what takes more care."""
        network = self._direct
        if network is None or type(x) is not np.ndarray:
            return None
        try:
            found: Array = network(x) if out is None else network.predict((x,), (out,), False, 0, 0)[0]
        except (TypeError, ValueError):
            return None
        return found if found.size else None

    def _run_predict(
        self, examples: Examples, out: tuple[Array, ...] | None, training: bool, seed: int, call: int
    ) -> tuple[Array, ...]:
        return self._bound().predict(examples.inputs, out, training, seed, call)

    def _step_data(self, examples: Examples) -> StepData:
        assert examples.targets is not None
        return StepData((examples.inputs, examples.targets, examples.weights), -1, ())

    def _run_gradients(
        self,
        examples: Examples,
        output_gradients: tuple[Array, ...],
        want_conditions: bool,
        want_inputs: bool,
        want_params: bool,
        training: bool,
        seed: int,
        call: int,
    ) -> tuple[None, tuple[Array | None, ...] | None, Array | None]:
        inputs, params = self._bound().gradients(
            examples.inputs, output_gradients, want_inputs, want_params, training, seed, call
        )
        return None, inputs, params
