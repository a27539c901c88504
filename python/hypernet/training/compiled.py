"""What `compile` was given, brought to the outputs of the model: losses and metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _core, losses, metrics
from ..losses import as_loss
from ..losses.base import Loss, normalizer, reduce
from ..metrics import MeanMetricWrapper, Metric
from .examples import Examples

Array = NDArray[Any]
_BY_SHAPE = ("crossentropy", "ce")
# Stands in for the loss of an output that has none: weighs nothing.
NOTHING: _core.LossSpec = ("mean_squared_error", "probabilities", 0.0, 0.0)


def leaves(structure: Any) -> list[Any]:
    """What `compile` was given as a flat list."""
    if isinstance(structure, dict):
        return [leaf for value in structure.values() for leaf in leaves(value)]
    if isinstance(structure, (list, tuple)):
        return [leaf for value in structure for leaf in leaves(value)]
    return [structure]


def _kinds(y_true: Array, shape: tuple[int, ...]) -> tuple[bool, bool]:
    """Whether targets are binary, and whether they are labels, by the shapes (Keras's rule)."""
    is_sparse = y_true.ndim < len(shape) or (y_true.shape[-1] == 1 and shape[-1] > 1)
    return shape[-1] == 1, is_sparse


def check_losses(loss: Any) -> None:
    """Raise at `compile` for what no loss can be made of."""
    for leaf in leaves(loss):
        if leaf is None or (isinstance(leaf, str) and leaf.lower() in _BY_SHAPE):
            continue
        if as_loss(leaf).reduction in ("none", None):
            raise ValueError(
                f"The loss '{as_loss(leaf).name}' has reduction='none': training needs one number. Use "
                "'sum_over_batch_size', 'sum' or 'mean_with_sample_weight'."
            )


class Plan(NamedTuple):
    """How the core runs the losses of a batch.

    specs: scaled for the common divisor; divisors: each output's own; normalizer: what gradients are divided by.
    """

    specs: tuple[_core.LossSpec, ...]
    divisors: list[float]
    normalizer: float


class CompiledLosses:
    """A loss and its weight for each output.

    Parameters
    ----------
    loss, loss_weights
        As `compile` takes them.
    names : list of str
        The outputs'.
    """

    def __init__(self, loss: Any, loss_weights: Any, names: Sequence[str]) -> None:
        self.names = list(names)
        count = len(self.names)
        if isinstance(loss, dict):
            if set(loss) != set(names):
                raise ValueError(f"Expected keys {self.names} in loss dict, but found loss.keys()={list(loss)}")
            given = [loss[name] for name in names]
        elif isinstance(loss, (list, tuple)):
            given = list(loss)
            if len(given) != count:
                raise ValueError(
                    f"`loss` must have one entry for each of the model's {count} outputs {self.names}. "
                    f"Received: {len(given)} losses."
                )
        else:
            given = [loss] * count
        self._given = given
        self._losses: list[Loss | None] = [None] * count
        self._plans: dict[Any, Plan] = {}
        self._has_weighted_mean = False  # among the losses so far
        self.weights = self._weights(loss_weights)

    def _weights(self, loss_weights: Any) -> list[float]:
        count = len(self.names)
        if loss_weights is None:
            return [1.0] * count
        if isinstance(loss_weights, dict):
            unknown = set(loss_weights) - set(self.names)
            if unknown:
                raise ValueError(
                    f"`loss_weights` has keys that name no output: {sorted(unknown)}. Outputs: {self.names}"
                )
            values = [loss_weights.get(name, 1.0) for name in self.names]
        else:
            values = list(loss_weights) if isinstance(loss_weights, (list, tuple)) else [loss_weights]
        if len(values) != count:
            raise ValueError(
                f"`loss_weights` must match the number of losses, got {count} losses and {len(values)} weights."
            )
        return [1.0 if value is None else float(value) for value in values]

    @property
    def active(self) -> list[int]:
        """The outputs that have a loss."""
        return [index for index, given in enumerate(self._given) if given is not None]

    # ---- data ----
    def prepare(self, examples: Examples, shapes: Sequence[tuple[int | None, ...]], dtype: str) -> Examples:
        """Targets and weights in the form that the losses and the core take, all checked.

        Parameters
        ----------
        shapes : sequence of tuple
            Each output's shape of one sample; None for open axes.
        """
        if examples.targets is None:
            raise ValueError("The loss needs targets: pass `y` (or a dataset that gives (x, y)).")
        targets: list[Array] = []
        weights: list[Array | None] = []
        leading = _leading(examples)
        for index, target in enumerate(examples.targets):
            loss, shape = self._given[index], leading + _closed(shapes[index], target, len(leading))
            if loss is None:
                targets.append(np.zeros(shape, dtype))
                weights.append(None)
                continue
            loss = self._resolve(index, target, shape)
            target = loss._prepare(target, shape)
            if target.dtype != np.int64 or target.shape == shape:
                target = target.astype(dtype, copy=False)
            positions = shape[:-1] if len(shape) > 1 else shape
            targets.append(target)
            weights.append(_prepared_weight(examples.weights[index], positions, self.names[index]))
        return Examples(
            examples.mode, examples.conditions, examples.inputs, tuple(targets), tuple(weights), examples.count
        )

    def _resolve(self, index: int, target: Array, shape: tuple[int, ...]) -> Loss:
        found = self._losses[index]
        if found is None:
            given = self._given[index]
            if isinstance(given, str) and given.lower() in _BY_SHAPE:
                is_binary, is_sparse = _kinds(target, shape)
                given = (
                    losses.binary_crossentropy
                    if is_binary
                    else losses.sparse_categorical_crossentropy
                    if is_sparse
                    else losses.categorical_crossentropy
                )
            found = self._losses[index] = as_loss(given)
            self._has_weighted_mean |= found.reduction == "mean_with_sample_weight"
        return found

    # ---- one batch ----
    def plan_varies(self, examples: Examples) -> bool:
        """Whether the plan depends on more than shapes: losses are divided by the sum of sample weights."""
        if not self._has_weighted_mean:
            return False
        for weight, loss in zip(examples.weights, self._losses, strict=True):
            if weight is not None and loss is not None and loss.reduction == "mean_with_sample_weight":
                return True
        return False

    def plan(self, examples: Examples) -> Plan | None:
        """`_make_plan`, remembered by the targets' shapes where sample weights do not matter."""
        assert examples.targets is not None
        if self.plan_varies(examples):
            return self._make_plan(examples)
        key = tuple([target.shape for target in examples.targets])
        found = self._plans.get(key)
        if found is None:
            found = self._make_plan(examples)
            if found is not None and len(self._plans) < 64:
                self._plans[key] = found
        return found

    def _make_plan(self, examples: Examples) -> Plan | None:
        """The core's losses, each output's own divisor, and the divisor of all gradients; None for losses in Python.

        The core divides by one number: each loss's scale makes up for the difference.
        """
        assert examples.targets is not None
        specs: list[_core.LossSpec] = []
        divisors = []
        for loss, target, weight in zip(self._losses, examples.targets, examples.weights, strict=True):
            spec = NOTHING if loss is None else loss._spec(target.shape)
            if spec is None:
                return None
            specs.append(spec)
            is_sparse = loss is not None and target.dtype == np.int64
            positions = target.shape if is_sparse else target.shape[:-1]
            divisors.append(1.0 if loss is None else _divisor(positions, weight, loss.reduction))
        common = divisors[self.active[0]] if self.active else 1.0
        scaled = tuple(
            (kind, form, param, scale * factor * common / divisor)
            for (kind, form, param, scale), factor, divisor in zip(specs, self.weights, divisors, strict=True)
        )
        return Plan(scaled, divisors, common)

    def values_in_python(self, examples: Examples, outputs: tuple[Array, ...]) -> list[float]:
        """Each output's loss, without a gradient."""
        assert examples.targets is not None
        values = []
        for loss, output, target, weight in zip(self._losses, outputs, examples.targets, examples.weights, strict=True):
            if loss is None:
                values.append(0.0)
                continue
            per_row = loss._values(target, output)
            values.append(float(reduce(per_row, _spread(weight, per_row.shape), loss.reduction)))
        return values

    def in_python(self, examples: Examples, outputs: tuple[Array, ...]) -> tuple[list[float], tuple[Array, ...]]:
        """Each output's loss, and the gradient of the weighted total with respect to the outputs."""
        assert examples.targets is not None
        values, gradients = [], []
        for index, (loss, output) in enumerate(zip(self._losses, outputs, strict=True)):
            if loss is None:
                values.append(0.0)
                gradients.append(np.zeros_like(output))
                continue
            per_row, gradient = loss._values_and_gradient(examples.targets[index], output)
            weight = _spread(examples.weights[index], per_row.shape)
            divisor = normalizer(per_row.shape, weight, loss.reduction)
            values.append(float(reduce(per_row, weight, loss.reduction)))
            factor = np.asarray(self.weights[index] / divisor, output.dtype)
            if weight is not None:
                factor = (weight * factor).reshape(weight.shape + (1,) * (gradient.ndim - weight.ndim))
            gradients.append(np.ascontiguousarray(gradient * factor, output.dtype))
        return values, tuple(gradients)

    def values(self, sums: Sequence[float], divisors: list[float]) -> list[float]:
        """Each output's loss from the sums of a step."""
        if len(sums) == 1 and self._losses[0] is not None:
            return [sums[0] / divisors[0]]
        return [
            0.0 if loss is None else total / divisor
            for loss, total, divisor in zip(self._losses, sums, divisors, strict=True)
        ]

    def total(self, values: list[float]) -> float:
        """The weighted sum of the outputs' losses."""
        if len(values) == 1:
            return values[0] * self.weights[0]
        return sum(value * weight for value, weight in zip(values, self.weights, strict=True))


def _leading(examples: Examples) -> tuple[int, ...]:
    return (examples.count, examples.inputs[0].shape[1]) if examples.leading == 2 else (examples.count,)


def _closed(shape: tuple[int | None, ...], target: Array, leading: int) -> tuple[int, ...]:
    """An output's sample shape with open axes as the targets have them."""
    if None not in shape:
        return shape  # type: ignore[return-value]
    return tuple(
        dim if dim is not None else (target.shape[leading + axis] if leading + axis < target.ndim else 1)
        for axis, dim in enumerate(shape)
    )


def _divisor(positions: tuple[int, ...], weight: Array | None, reduction: str | None) -> float:
    if reduction == "mean_with_sample_weight" and weight is not None:
        spread = math.prod(positions[weight.ndim :])
        return float(weight.sum(dtype=np.float64)) * spread or 1.0
    return 1.0 if reduction == "sum" else float(math.prod(positions)) or 1.0


def _spread(weight: Array | None, shape: tuple[int, ...]) -> Array | None:
    if weight is None:
        return None
    if weight.ndim > len(shape):
        raise ValueError(
            f"sample_weight of shape {weight.shape} has more axes than the loss's values, which have the shape {shape}."
        )
    return weight.reshape(weight.shape + (1,) * (len(shape) - weight.ndim))


def _prepared_weight(weight: Array | None, positions: tuple[int, ...], name: str) -> Array | None:
    if weight is None:
        return None
    if weight.ndim == len(positions) + 1 and weight.shape[-1] == 1:
        weight = weight[..., 0]
    if weight.ndim == 0 or weight.shape != positions[: weight.ndim]:
        raise ValueError(
            f"sample_weight for output '{name}' must have the shape of a leading part of {positions}; received "
            f"{weight.shape}."
        )
    return np.ascontiguousarray(weight)


class CompiledMetrics:
    """Metrics of each output, made when the shapes are known.

    Parameters
    ----------
    given, weighted
        `metrics` and `weighted_metrics`, as `compile` takes them.
    names : list of str
        The outputs'.
    """

    name = "compile_metrics"

    def __init__(self, given: Any, weighted: Any, names: Sequence[str]) -> None:
        self._names = list(names)
        self._given = self._by_output(given, "metrics")
        self._given_weighted = self._by_output(weighted, "weighted_metrics")
        self.is_empty = not any(self._given) and not any(self._given_weighted)
        self._plain: list[list[Metric]] | None = None
        self._weighted: list[list[Metric]] = []

    def _by_output(self, given: Any, argument: str) -> list[list[Any]]:
        count = len(self._names)
        if not given:
            return [[] for _ in self._names]
        if count == 1:
            return [leaves(given)]
        if isinstance(given, dict) and set(given) <= set(self._names):
            entries = [given.get(name) for name in self._names]
        elif isinstance(given, (list, tuple)) and len(given) == count:
            entries = list(given)
        else:
            raise ValueError(
                f"Invalid `{argument}`. `{argument}` should contain metrics objects and either be a dict or a list "
                f"matching the output names of the functional model {self._names}.\nReceived: {argument}={given}"
            )
        return [[] if entry is None else leaves(entry) for entry in entries]

    @property
    def metrics(self) -> list[Metric]:
        """The metric objects, once they are made."""
        return [metric for group in [*(self._plain or []), *self._weighted] for metric in group]

    def _make(self, targets: Sequence[Array], outputs: Sequence[Array]) -> None:
        pairs = list(zip(targets, outputs, strict=True))
        self._weighted = [
            [make_metric(item, *pair) for item in group]
            for group, pair in zip(self._given_weighted, pairs, strict=True)
        ]
        self._plain = [
            [make_metric(item, *pair) for item in group] for group, pair in zip(self._given, pairs, strict=True)
        ]

    def update(self, examples: Examples, outputs: tuple[Array, ...]) -> None:
        """Take one batch in; tasks count as all their rows."""
        assert examples.targets is not None
        targets: Sequence[Array] = examples.targets
        weights: Sequence[Array | None] = examples.weights
        if examples.leading == 2:
            weights = [_weight_of_rows(w, output.shape[:2]) for w, output in zip(weights, outputs, strict=True)]
            targets = [target.reshape(-1, *target.shape[2:]) for target in targets]
            outputs = tuple([output.reshape(-1, *output.shape[2:]) for output in outputs])
        if self._plain is None:
            self._make(targets, outputs)
        assert self._plain is not None
        for index, group in enumerate(self._plain):
            for metric in group:
                metric.update_state(targets[index], outputs[index])
        for index, group in enumerate(self._weighted):
            for metric in group:
                metric.update_state(targets[index], outputs[index], weights[index])

    def counts(self, examples: Examples, outputs: tuple[Array, ...]) -> bool:
        """Whether several batches may be taken in as one, without a difference in any bit."""
        shapes = [output.shape[examples.leading :] for output in outputs]
        for groups, is_weighted in ((self._plain or [], False), (self._weighted, True)):
            for group, shape, weight in zip(groups, shapes, examples.weights, strict=False):
                if group and is_weighted and weight is not None:
                    return False
                if not all(metric._counts(shape) for metric in group):
                    return False
        return True

    def reset(self) -> None:
        """Forget all batches."""
        for metric in self.metrics:
            metric.reset_state()

    def _named(self) -> list[tuple[str, Metric]]:
        """Metrics by their names in the logs: with the output's name where there are several; counted up if taken."""
        named: list[tuple[str, Metric]] = []
        counts: dict[str, int] = {}
        for groups, prefix in ((self._plain or [], ""), (self._weighted, "weighted_")):
            for output, group in zip(self._names, groups, strict=False):
                for metric in group:
                    start = f"{output}_" if len(self._names) > 1 else ""
                    name = f"{start}{metric.name}"
                    if name in counts and prefix:
                        name = f"{start}{prefix}{metric.name}"
                    if name in counts:
                        counts[name] += 1
                        name = f"{name}_{counts[name] - 1}"
                    else:
                        counts[name] = 1
                    named.append((name, metric))
        return named

    def result(self) -> dict[str, float]:
        """All values so far."""
        return {name: metric.result() for name, metric in self._named()}

    def direction(self, name: str) -> str | None:
        """ "up", "down" or None: what is better for the metric of this name in the logs."""
        return next((m._direction for full, m in self._named() if name in (full, m.name)), None)


def _weight_of_rows(weight: Array | None, leading: tuple[int, ...]) -> Array | None:
    """One weight a row (and perhaps more axes) from one a task or a row."""
    if weight is None:
        return None
    if weight.ndim == 1:
        weight = np.broadcast_to(weight[:, None], leading)
    return weight.reshape(-1, *weight.shape[2:])


def make_metric(identifier: Any, y_true: Array, y_pred: Array) -> Metric:
    """A metric object; "accuracy" and "crossentropy" are chosen by the shapes, as Keras does."""
    name = identifier if isinstance(identifier, str) else None
    found = identifier
    if name is not None and name.lower() in ("accuracy", "acc", *_BY_SHAPE):
        is_binary, is_sparse = _kinds(y_true, y_pred.shape)
        suffix = "Accuracy" if name.lower() in ("accuracy", "acc") else "Crossentropy"
        kind = "Binary" if is_binary else "SparseCategorical" if is_sparse else "Categorical"
        found = getattr(metrics, kind + suffix)
    found = metrics.get(found)
    if not isinstance(found, Metric):
        return MeanMetricWrapper(found, name=name or getattr(found, "__name__", type(found).__name__))
    if name is not None:
        found.name = name
    return found


def metric_objects(*given: Any) -> tuple[Metric, ...]:
    """The metrics among what `compile` was given that are objects already."""
    return tuple(leaf for structure in given if structure for leaf in leaves(structure) if isinstance(leaf, Metric))


def check_metrics(given: Any, argument: str) -> None:
    """Raise at `compile` for what no metric can be made of."""
    if given and not isinstance(given, (list, tuple, dict)):
        raise ValueError(
            f"Expected `{argument}` argument to be a list, tuple, or dict. Received instead: {argument}={given} of type "
            f"{type(given)}"
        )
    for leaf in leaves(given) if given else []:
        if leaf is not None and not (isinstance(leaf, str) and leaf.lower() in ("accuracy", "acc", *_BY_SHAPE)):
            metrics.get(leaf)
