"""One batch: the fused step of the core where it can do everything, else its parts with Python between them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._random import next_seed
from .._weights import Weight
from ..optimizers.base import Optimizer
from ..optimizers.binding import Binding
from .compiled import NOTHING, CompiledLosses
from .examples import Examples
from .interrupts import uninterrupted

Array = NDArray[Any]


class Batch(NamedTuple):
    """What a batch gave: each output's loss, the whole loss with all penalties, the predictions."""

    values: list[float]
    total: float
    outputs: tuple[Array, ...]


class Stepper:
    """Runs batches of one model.

    Parameters
    ----------
    model : Model or HyperModel
    losses : CompiledLosses
    optimizer : Optimizer, optional
        Needed by `train`.
    """

    def __init__(self, model: Any, losses: CompiledLosses, optimizer: Optimizer | None) -> None:
        self._model = model
        self._losses = losses
        self._optimizer = optimizer
        self._seed = next_seed()
        self._call = 0
        self._block: Any = None
        self._weights: list[Weight] = []
        self._binding: Binding | None = None
        self._penalties: list[tuple[Weight, Any, slice]] = []
        self._is_fused = False
        self._gradient: Array | None = None
        self.refresh()

    def refresh(self) -> None:
        """Look again where the weights are, which of them are trained, and what penalties they have."""
        model = self._model
        model._bring_together()
        self._weights = list(model._weights_in_order())
        self._block = self._weights[0].block if self._weights else None
        self._penalties = own_penalties(self._weights)
        if self._optimizer is not None and self._weights:
            self._binding = self._optimizer.bind(self._weights)
            has_constraints = any(w.constraint is not None and w.trainable for w in self._weights)
            self._is_fused = not self._penalties and not has_constraints

    def _next_call(self) -> int:
        if self._weights and self._weights[0].block is not self._block:
            self.refresh()  # a callback has joined the weights with others
        self._call += 1
        return self._call - 1

    # ---- training ----
    def train(self, examples: Examples) -> Batch:
        """One update."""
        call = self._next_call()
        plan = self._losses.plan(examples)
        binding, optimizer = self._binding, self._optimizer
        if binding is None or optimizer is None:
            return self._test(examples, call, True)
        if plan is not None and self._is_fused:
            result = self._model._run_train_step(
                examples, plan.specs, self._seed, call, plan.normalizer, binding.core, optimizer.learning_rate
            )
            values = self._losses.values(result, plan.divisors)
            return Batch(values, self._losses.total(values) + result.activity + result.penalty, result.outputs)
        gradient = self._buffer(binding.dtype)
        batch, normalizer = self._gradients(examples, call, True, gradient)
        with uninterrupted():
            binding.apply(gradient, optimizer.learning_rate, 1.0 / normalizer)
            binding.constrain()
        return batch

    def gradient(self, examples: Examples, training: bool) -> tuple[Batch, Array]:
        """The loss and its gradient, normalised; nothing is updated."""
        dtype = self._weights[0].dtype if self._weights else "float32"
        gradient = np.empty(sum(weight.size for weight in self._weights), dtype)
        batch, normalizer = self._gradients(examples, self._next_call(), training, gradient)
        if normalizer != 1.0:
            gradient *= gradient.dtype.type(1.0 / normalizer)
        return batch, gradient

    def _buffer(self, dtype: str) -> Array:
        size = sum(weight.size for weight in self._weights)
        if self._gradient is None or self._gradient.shape != (size,):
            self._gradient = np.empty(size, dtype)
        return self._gradient

    def _gradients(self, examples: Examples, call: int, training: bool, gradient: Array) -> tuple[Batch, float]:
        """Fill `gradient` with the gradient times the normalizer that is returned."""
        plan = self._losses.plan(examples)
        if plan is None:
            batch, normalizer = self._python_gradients(examples, call, training, gradient), 1.0
        else:
            result = self._model._run_step(
                examples, plan.specs, "gradients", training, self._seed, call, plan.normalizer, gradient
            )
            values, normalizer = self._losses.values(result, plan.divisors), plan.normalizer
            total = self._losses.total(values) + result.activity + result.penalty
            batch = Batch(values, total, result.outputs)
        extra = 0.0
        for weight, penalty, part in self._penalties:
            value = weight.value
            extra += float(penalty(value))
            gradient[part] += np.asarray(penalty.gradient(value), gradient.dtype).reshape(-1) * normalizer
        return Batch(batch.values, batch.total + extra, batch.outputs), normalizer

    def _python_gradients(self, examples: Examples, call: int, training: bool, gradient: Array) -> Batch:
        """Losses in Python: predict, one call of each loss, pull back."""
        model = self._model
        outputs = model._run_predict(examples, None, training, self._seed, call)
        values, output_gradients = self._losses.in_python(examples, outputs)
        pulled = model._run_gradients(examples, output_gradients, False, False, True, training, self._seed, call)[2]
        gradient[...] = pulled
        added = 0.0
        if has_core_penalties(model):
            nothing = np.empty_like(gradient)
            added = self._core_penalties(examples, call, training, "gradients", outputs, nothing)
            gradient += nothing
        return Batch(values, self._losses.total(values) + added, outputs)

    def _core_penalties(
        self, examples: Examples, call: int, training: bool, kind: str, outputs: tuple[Array, ...], gradient: Any
    ) -> float:
        """Penalties that the core adds, alone: a step whose losses weigh nothing."""
        weightless = Examples(
            examples.mode,
            examples.conditions,
            examples.inputs,
            tuple(np.zeros_like(output) for output in outputs),
            (None,) * len(outputs),
            examples.count,
        )
        specs = (NOTHING,) * len(outputs)
        result = self._model._run_step(weightless, specs, kind, training, self._seed, call, 1.0, gradient)
        return float(result.activity + result.penalty)

    # ---- evaluation ----
    def test(self, examples: Examples) -> Batch:
        """The loss of a batch."""
        return self._test(examples, self._next_call(), False)

    def _test(self, examples: Examples, call: int, training: bool) -> Batch:
        plan = self._losses.plan(examples)
        if plan is None:
            outputs = self._model._run_predict(examples, None, training, self._seed, call)
            values, added = self._losses.values_in_python(examples, outputs), 0.0
            if has_core_penalties(self._model):
                added = self._core_penalties(examples, call, training, "evaluate", outputs, None)
        else:
            result = self._model._run_step(
                examples, plan.specs, "evaluate", training, self._seed, call, plan.normalizer, None
            )
            values, outputs = self._losses.values(result, plan.divisors), result.outputs
            added = result.activity + result.penalty
        for weight, penalty, _ in self._penalties:
            added += float(penalty(weight.value))
        return Batch(values, self._losses.total(values) + added, outputs)


def own_penalties(weights: list[Weight]) -> list[tuple[Weight, Any, slice]]:
    """The trained weights that have a regularizer, and their places in the gradient.

    Raises
    ------
    TypeError
        A regularizer without a gradient.
    """
    found: list[tuple[Weight, Any, slice]] = []
    offset = 0
    for weight in weights:
        if weight.regularizer is not None and weight.trainable:
            if not hasattr(weight.regularizer, "gradient"):
                raise TypeError(
                    f"The regularizer of {weight.path} has no method `gradient(x)`: derive it from "
                    "`hypernet.regularizers.Regularizer`, because hypernet does not differentiate Python code. "
                    f"Received: {weight.regularizer!r}"
                )
            found.append((weight, weight.regularizer, slice(offset, offset + weight.size)))
        offset += weight.size
    return found


def has_core_penalties(model: Any) -> bool:
    """Whether the core adds penalties: on activities, or on generated weights."""
    if any(l1 or l2 for l1, l2 in getattr(model, "_penalties", None) or ()):
        return True
    return any(
        getattr(layer, "activity_regularizer", None) is not None or has_core_penalties(layer)
        for layer in getattr(model, "layers", ())
    )
