"""How a HyperModel takes data, and what its trainer runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._convert import NATIVE
from .._nest import flatten
from .._shapes import Shape, fits
from .._tensor import KerasTensor
from ..models.data import convert_sample_weight, convert_targets, match_structure, pack_outputs
from ..models.model import Model
from ..training.examples import Examples, StepData
from .modes import Meeting, convert_conditions, meet, meet_quickly, mode_quickly

Array = NDArray[Any]
# The group of a step's data that all batches share: one condition, or rows that are the same for all tasks.
_WHOLE = {"one": 0, "shared": 1}


class HyperData:
    """The part of a HyperModel that meets arrays."""

    name: str
    _direct: Any
    _generator: Model
    _target: Model

    if TYPE_CHECKING:  # what HyperModel has

        def _bound(self) -> _core.Hyper: ...

    def _structures(self) -> tuple[Any, Any]:
        return (
            self._generator._known("inputs").input_structure,
            self._target._known("inputs").input_structure,
        )

    @property
    def _output_shapes(self) -> list[Shape]:
        return self._target._output_shapes

    def _pack_outputs(self, outputs: Any) -> Any:
        return pack_outputs(self._target._known("outputs").output_structure, outputs)

    def _conditions(self, cond: Any) -> tuple[tuple[Array, ...], tuple[tuple[int, ...], ...]]:
        """Conditions as (N, *sample), and the shapes in which they came."""
        generator = self._generator
        if type(cond) is np.ndarray and len(generator._leaves) == 1:
            _, one, dtype = generator._leaves[0]
            if cond.shape[1:] == one and cond.ndim == len(one) + 1 and cond.dtype is NATIVE[dtype]:
                return (cond,), (cond.shape,)
        values = match_structure(self._structures()[0], generator.input_names, cond, generator.name)
        found = convert_conditions(values, generator._leaves, self.name)
        return tuple(condition.array for condition in found), tuple(condition.given for condition in found)

    def _meet(self, x: Any) -> Meeting:
        if type(x) is list and len(x) == 2:
            found = meet_quickly(x[0], x[1], self._generator._leaves, self._target._leaves)
            if found is not None:
                return found
        if isinstance(x, dict):
            names = [self._generator.input_names, self._target.input_names]
            if not set(names[0]) & set(names[1]) and all(name in x for group in names for name in group):
                x = [{name: x[name] for name in group} for group in names]
            elif set(x) == {"condition", "inputs"}:
                x = [x["condition"], x["inputs"]]
        if not isinstance(x, (list, tuple)) or len(x) != 2:
            raise self._wrong_inputs(x)
        if any(isinstance(leaf, KerasTensor) for leaf in flatten(x)):
            raise NotImplementedError(
                f"'{self.name}': a HyperModel inside another model is not built: it was called on symbolic tensors, "
                "and takes arrays. Models may be parts of its generator and its target."
            )
        structures = self._structures()
        conditions = match_structure(structures[0], self._generator.input_names, x[0], self._generator.name)
        inputs = match_structure(structures[1], self._target.input_names, x[1], self._target.name)
        return meet(conditions, inputs, self._generator._leaves, self._target._leaves, self.name)

    def _wrong_inputs(self, x: Any) -> ValueError:
        names = [*self._generator.input_names, *self._target.input_names]
        if isinstance(x, dict):
            came = f"a dict with the keys {list(x)}. A dict has the keys ['condition', 'inputs'] or {names}."
        else:
            came = f"{len(x) if isinstance(x, (list, tuple)) else 1} input tensors."
        return ValueError(
            f'Layer "{self.name}" expects 2 input(s), [cond, x], but it received {came} Where generator or target have '
            "several inputs, nest them: [cond, [x1, x2]] or [[c1, c2], x]."
        )

    def _make_examples(self, x: Any, y: Any = None, sample_weight: Any = None) -> Examples:
        """Checked and converted examples; targets keep their trailing axes, which only their losses know."""
        meeting = self._meet(x)
        if 0 in meeting.leading:
            raise ValueError(f"The data for '{self.name}' is empty: {meeting.leading} rows.")
        structure = self._target._known("outputs").output_structure
        names, dtype = self._target._output_names, self._target.dtype
        targets = convert_targets(y, structure, names, dtype)
        weights = convert_sample_weight(sample_weight, structure, names, dtype)
        leading = meeting.leading
        for target in targets or ():
            if target.shape[: len(leading)] != leading:
                raise ValueError(
                    f"'{self.name}': the targets must begin with the axes {leading} of the outputs in mode "
                    f"'{meeting.mode}'; received targets of shape {target.shape}."
                )
        for weight in weights:
            if weight is not None and not _weighs(weight.shape, leading):
                allowed = f"{leading[:1]} (a task) or {leading} (a row)" if len(leading) == 2 else f"{leading}"
                raise ValueError(
                    f"'{self.name}': in mode '{meeting.mode}' sample_weight has the shape {allowed}; "
                    f"received {weight.shape}."
                )
        return Examples(meeting.mode, meeting.conditions, meeting.inputs, targets, weights, meeting.size)

    # ---- what the trainer runs ----
    def _predict_directly(self, x: Any, out: Any) -> Array | None:
        """What `predict` gives for a list of two ordinary arrays; None for what takes more care."""
        core = self._direct
        if core is None or type(x) is not list or len(x) != 2:
            return None
        try:
            if out is None:
                found: Array = core(x)
            else:
                mode = mode_quickly(x[0], x[1], self._generator._leaves, self._target._leaves)
                if mode is None:
                    return None
                found = core.predict((x[0],), (x[1],), mode, (out,), False, 0, 0)[0]
        except (TypeError, ValueError):
            return None
        return found if found.size else None

    def _run_predict(
        self, examples: Examples, out: tuple[Array, ...] | None, training: bool, seed: int, call: int
    ) -> tuple[Array, ...]:
        return self._bound().predict(examples.conditions, examples.inputs, _mode(examples), out, training, seed, call)

    def _step_data(self, examples: Examples) -> StepData:
        assert examples.targets is not None
        groups = (examples.conditions, examples.inputs, examples.targets, examples.weights)
        return StepData(groups, _WHOLE.get(examples.mode, -1), (examples.mode,))

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
    ) -> tuple[tuple[Array | None, ...] | None, tuple[Array | None, ...] | None, Array | None]:
        return self._bound().gradients(
            examples.conditions,
            examples.inputs,
            output_gradients,
            _mode(examples),
            want_conditions,
            want_inputs,
            want_params,
            training,
            seed,
            call,
        )


def _weighs(shape: tuple[int, ...], leading: tuple[int, ...]) -> bool:
    """Whether a weight of this shape has one for each task, each row, or each position within a row."""
    return shape == leading[:1] or (len(shape) >= len(leading) and fits(shape[: len(leading)], leading))


def _mode(examples: Examples) -> _core.Mode:
    mode: Any = examples.mode
    return mode
