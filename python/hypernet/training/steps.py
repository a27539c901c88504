"""One batch: the fused step of the core where it can do everything, else its parts with Python between them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._convert import as_dtype
from .._random import next_seed, seedings
from .._weights import Weight
from ..optimizers.base import Optimizer
from ..optimizers.binding import Binding
from .compiled import NOTHING, CompiledLosses, Plan
from .examples import Examples
from .interrupts import uninterrupted

Array = NDArray[Any]


# After this many seconds or steps in C, Python looks whether training is to stop, and draws the bar.
_SPAN, _STEPS = 0.1, 1024


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
        self.losses = losses
        self.optimizer = optimizer
        self._seed = 0
        self._call = -1
        self._seedings = 0
        self._block: Any = None
        self._weights: list[Weight] = []
        self._size = 0
        self._state: list[Any] = []
        self._binding: Binding | None = None
        self._spans: Any = None
        self._penalties: list[tuple[Weight, Any, slice]] = []
        self._is_fused = False
        self._gradient: Array | None = None
        self.refresh()

    def refresh(self) -> None:
        """Look again where the weights are, which of them are trained, and what penalties they have."""
        model = self._model
        model._bring_together()
        weights = model._weights_in_order()
        state: list[Any] = [(w, w.block, w.offset, w.trainable, w.regularizer, w.constraint) for w in weights]
        optimizer, binding = self.optimizer, self._binding
        if optimizer is not None:
            state.append(optimizer.weight_decay)
        if state == self._state and (
            optimizer is None or binding is None or (optimizer._binding is binding and binding.spans is self._spans)
        ):
            return
        self._weights = list(weights)
        self._block = weights[0].block if weights else None
        self._size = sum(weight.size for weight in weights)
        self._penalties = own_penalties(self._weights)
        if optimizer is not None and weights:
            self._binding = optimizer.bind(self._weights)
            self._spans = self._binding.spans
            has_constraints = any(w.constraint is not None and w.trainable for w in weights)
            self._is_fused = not self._penalties and not has_constraints
        self._state = state

    def begin(self) -> None:
        """Draw the seed of the calls that follow."""
        self._seedings = seedings()
        self._seed = next_seed()
        self._call = 0

    @property
    def has_begun(self) -> bool:
        """Whether there is a seed, and none was set since."""
        return self._call >= 0 and self._seedings == seedings()

    def _next_call(self) -> int:
        self._follow()
        self._call += 1
        return self._call - 1

    def _follow(self) -> None:
        if self._weights and self._weights[0].block is not self._block:
            self.refresh()  # a callback has joined the weights with others

    # ---- many batches ----
    def needs_no_python(self, examples: Examples, trains: bool) -> bool:
        """Whether nothing of Python's stands between one batch of these examples and the next."""
        if self._penalties or self.losses.plan_varies(examples) or self.losses.plan(examples) is None:
            return False
        if not trains:
            return True
        return self._is_fused and self.optimizer is not None and self.optimizer._rates(1) is not None

    def run(
        self, examples: Examples, order: Array | None, start: int, size: int, steps: int, trains: bool, keep: bool
    ) -> list[Batch]:
        """Batch after batch in one call of the core, from place `start` on; at most `steps`, fewer if they take long.

        Parameters
        ----------
        order : array of int64, optional
            Rows by their places.
        size : int
            Rows of a batch.
        keep : bool
            Whether the predictions are wanted.
        """
        self._follow()
        steps = min(steps, _STEPS)
        part = slice(start, start + steps * size)
        rows = None if order is None else order[part]
        data = examples.take(part) if order is None else examples
        plan = self.losses.plan(data.take(slice(0, size)))
        assert plan is not None
        core, (groups, whole, mode) = self._model._bound(), self._model._step_data(data)
        if trains:
            assert self._binding is not None and self.optimizer is not None
            step, rates, last = core.train_step, self.optimizer._rates(steps), self._binding.core
            before = (plan.specs, *mode, self._seed)
        else:
            step, rates, last = core.step, None, None
            before = (plan.specs, *mode, "evaluate", False, self._seed)
        after = (plan.normalizer, last)
        found = _core.run_batches(
            step, groups, whole, data.count, rows, size, steps, before, self._call, after, rates, keep, _SPAN
        )
        self._call += len(found)
        return [self._batch(result, bool(mode), plan, result[-1] if keep else ()) for result in found]

    def _batch(self, result: tuple[Any, ...], is_hyper: bool, plan: Plan, outputs: tuple[Array, ...]) -> Batch:
        values = self.losses.values(result[0], plan.divisors)
        return Batch(values, self.losses.total(values) + _penalty(result, is_hyper), outputs)

    def _step(
        self, examples: Examples, specs: Any, kind: str, training: bool, call: int, normalizer: float, gradient: Any
    ) -> tuple[tuple[Any, ...], bool]:
        """What a step of the core that changes no weights gives, and whether it is that of a hypernetwork."""
        groups, _, mode = self._model._step_data(examples)
        step = self._model._bound().step
        return step(*groups, specs, *mode, kind, training, self._seed, call, normalizer, gradient), bool(mode)

    # ---- training ----
    def train(self, examples: Examples) -> Batch:
        """One update."""
        call = self._next_call()
        plan = self.losses.plan(examples)
        binding, optimizer = self._binding, self.optimizer
        if binding is None or optimizer is None:
            return self._test(examples, call, True)
        if plan is not None and self._is_fused:
            groups, _, mode = self._model._step_data(examples)
            rate = optimizer.learning_rate
            result = self._model._bound().train_step(
                *groups, plan.specs, *mode, self._seed, call, plan.normalizer, binding.core, rate
            )
            return self._batch(result, bool(mode), plan, result[-1])
        gradient = self._buffer(binding.dtype)
        batch, normalizer = self._gradients(examples, call, True, gradient)
        with uninterrupted():
            binding.apply(gradient, optimizer.learning_rate, 1.0 / normalizer)
        return batch

    def gradient(self, examples: Examples, training: bool) -> tuple[Batch, Array]:
        """The loss and its gradient, normalised; nothing is updated."""
        dtype = self._weights[0].dtype if self._weights else "float32"
        gradient = np.empty(self._size, dtype)
        batch, normalizer = self._gradients(examples, self._next_call(), training, gradient)
        if normalizer != 1.0:
            gradient *= gradient.dtype.type(1.0 / normalizer)
        return batch, gradient

    def _buffer(self, dtype: str) -> Array:
        if self._gradient is None or self._gradient.shape != (self._size,):
            self._gradient = np.empty(self._size, dtype)
        return self._gradient

    def _gradients(self, examples: Examples, call: int, training: bool, gradient: Array) -> tuple[Batch, float]:
        """Fill `gradient` with the gradient times the normalizer that is returned."""
        plan = self.losses.plan(examples)
        if plan is None:
            batch, normalizer = self._python_gradients(examples, call, training, gradient), 1.0
        else:
            normalizer = plan.normalizer
            result, is_hyper = self._step(examples, plan.specs, "gradients", training, call, normalizer, gradient)
            batch = self._batch(result, is_hyper, plan, result[-1])
        extra = 0.0
        for weight, penalty, part in self._penalties:
            value = weight.value
            extra += float(penalty(value))
            gradient[part] += as_dtype(penalty.gradient(value), gradient.dtype.name).reshape(-1) * normalizer
        return Batch(batch.values, batch.total + extra, batch.outputs), normalizer

    def _python_gradients(self, examples: Examples, call: int, training: bool, gradient: Array) -> Batch:
        """Losses in Python: predict, one call of each loss, pull back."""
        model = self._model
        outputs = model._run_predict(examples, None, training, self._seed, call)
        values, output_gradients = self.losses.in_python(examples, outputs)
        pulled = model._run_gradients(examples, output_gradients, False, False, True, training, self._seed, call)[2]
        gradient[...] = pulled
        added = 0.0
        if has_core_penalties(model):
            nothing = np.empty_like(gradient)
            added = self._core_penalties(examples, call, training, "gradients", outputs, nothing)
            gradient += nothing
        return Batch(values, self.losses.total(values) + added, outputs)

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
        return _penalty(*self._step(weightless, specs, kind, training, call, 1.0, gradient))

    # ---- evaluation ----
    def test(self, examples: Examples) -> Batch:
        """The loss of a batch."""
        return self._test(examples, self._next_call(), False)

    def _test(self, examples: Examples, call: int, training: bool) -> Batch:
        plan = self.losses.plan(examples)
        added = 0.0
        if plan is None:
            outputs = self._model._run_predict(examples, None, training, self._seed, call)
            values = self.losses.values_in_python(examples, outputs)
            if has_core_penalties(self._model):
                added = self._core_penalties(examples, call, training, "evaluate", outputs, None)
        else:
            result, is_hyper = self._step(examples, plan.specs, "evaluate", training, call, plan.normalizer, None)
            values, added, outputs = (
                self.losses.values(result[0], plan.divisors),
                _penalty(result, is_hyper),
                result[-1],
            )
        for weight, penalty, _ in self._penalties:
            added += float(penalty(weight.value))
        return Batch(values, self.losses.total(values) + added, outputs)


def _penalty(result: tuple[Any, ...], is_hyper: bool) -> float:
    """What the core adds to the losses, of (losses, positions, weights, on activities[, on generated weights], ...)."""
    return float(result[3] + result[4]) if is_hyper else float(result[3])


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
