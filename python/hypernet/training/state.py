"""What `compile` leaves behind: optimizer, losses, metrics, and the means over batches."""

from __future__ import annotations

import math
import os
from _thread import allocate_lock  # what `threading.Lock` is, without the rest of it
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _nest
from .claims import claims, exclusive
from .examples import Examples

if TYPE_CHECKING:  # imported where they are used, so that what does not train is imported fast
    from ..callbacks.base import History
    from ..metrics import Mean
    from ..optimizers.base import Optimizer
    from .compiled import CompiledLosses, CompiledMetrics
    from .steps import Batch, Stepper

Array = NDArray[Any]
Logs = dict[str, float]
_KEPT = 1 << 20  # numbers of outputs
_matching = allocate_lock()  # two threads may match losses with outputs at once


def _after_fork() -> None:
    """In the child nobody gives back what another thread of the parent held."""
    global _matching
    _matching = allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Compiled:
    """The part of a Trainer that knows losses and metrics."""

    def __init__(self) -> None:
        self.compiled = False
        self.optimizer: Any = None
        self.loss: Any = None
        self.history: History | None = None
        self.stop_training = False
        self.stop_evaluating = False
        self.stop_predicting = False
        self._compile_arguments: dict[str, Any] | None = None
        self._losses: CompiledLosses | None = None
        self._compiled_metrics: CompiledMetrics | None = None
        self._metric_objects: tuple[Any, ...] = ()  # those given to `compile`: other models may have them, too
        self._loss_mean: Mean  # there when compiled
        self._output_means: list[Mean] = []
        self._spare_steppers: dict[bool, Stepper] = {}  # with and without an optimizer
        self._fitting: tuple[Any, str, int] | None = None  # see `_examples_like_the_last`

    # ---- compile ----
    @exclusive
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how to train.

        Parameters
        ----------
        optimizer : str or Optimizer
        loss : str, Loss or function; or a list or dict with one an output
            A function `(y_true, y_pred) -> (per_row, dper_row/dy_pred)` gives its own gradient.
        loss_weights : list or dict of float, optional
            Factors of the outputs' losses in the whole loss.
        metrics, weighted_metrics : list, or list or dict of lists, optional
            Names, Metric objects, functions (y_true, y_pred); the second ones are weighted by sample weights.
        run_eagerly, jit_compile, auto_scale_loss
            Without effect: there is one way to run.
        steps_per_execution : int
            1.

        Raises
        ------
        ValueError
            A name that is none, a reduction that leaves no number.
        NotImplementedError
            `steps_per_execution` other than 1.
        RuntimeError
            `fit` or `evaluate` is running: a callback compiles, or another thread.

        Examples
        --------
        >>> import hypernet as hn
        >>> model = hn.target_network(3, 2)
        >>> model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        """
        from ..metrics import Mean
        from ..optimizers import get as get_optimizer
        from . import steps  # noqa: F401 (now: the child of a fork would wait for a thread's import for ever)
        from .compiled import check_losses, check_metrics, metric_objects

        running = [method for _, model, method, keeps in claims.copy().values() if keeps and model is self]
        if running:
            method = running[-1]  # the innermost
            stop = "stop_training" if method == "fit" else "stop_evaluating"
            me: Any = self
            raise RuntimeError(
                f"compile: `{method}` of '{me.name}' is running and keeps the optimizer, losses and metrics that "
                f"it began with. Set `model.{stop} = True` instead, call `compile()` when `{method}` has "
                f"returned, and `{method}` again."
            )
        if steps_per_execution != 1:
            raise NotImplementedError(f"compile: `steps_per_execution={steps_per_execution}` is not built.")
        check_losses(loss)
        check_metrics(metrics, "metrics")
        check_metrics(weighted_metrics, "weighted_metrics")
        self.optimizer = get_optimizer(optimizer)
        self.loss = loss
        self._compile_arguments = {
            "optimizer": self.optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        self._metric_objects = metric_objects(metrics, weighted_metrics)
        self._losses = self._compiled_metrics = None
        self._forget()
        self._output_means = []
        self._loss_mean = Mean(name="loss")
        self.stop_training = False
        self.compiled = True

    def get_compile_config(self) -> dict[str, Any] | None:
        """The arguments of `compile` as JSON values; None before it."""
        from .. import losses, metrics, optimizers

        arguments = self._compile_arguments
        if arguments is None:
            return None
        return {
            "optimizer": optimizers.serialize(arguments["optimizer"]),
            "loss": _nest.transform(losses.serialize, arguments["loss"]),
            "loss_weights": arguments["loss_weights"],
            "metrics": _nest.transform(metrics.serialize, arguments["metrics"]),
            "weighted_metrics": _nest.transform(metrics.serialize, arguments["weighted_metrics"]),
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as `get_compile_config` described it."""
        from .. import losses, metrics, optimizers

        self.compile(
            optimizer=None if config["optimizer"] is None else optimizers.deserialize(config["optimizer"]),
            loss=_revive(losses, config["loss"]),
            loss_weights=config["loss_weights"],
            metrics=_revive(metrics, config["metrics"]),
            weighted_metrics=_revive(metrics, config["weighted_metrics"]),
        )

    def _require_compiled(self, method: str) -> None:
        if not self.compiled:
            raise ValueError(f"You must call `compile()` before using the model. Received: a call of `{method}()`.")

    def _ready(self) -> CompiledLosses:
        """Losses and metrics, matched with the outputs; made when the model is built."""
        found = self._losses
        if found is not None:
            return found
        from ..metrics import Mean
        from .compiled import CompiledLosses, CompiledMetrics

        arguments: Any = self._compile_arguments
        if arguments["loss"] is None:
            raise ValueError("No loss to compute. Provide a `loss` argument in `compile()`.")
        me: Any = self
        names = me.output_names
        made = CompiledLosses(arguments["loss"], arguments["loss_weights"], names)
        metrics = CompiledMetrics(arguments["metrics"], arguments["weighted_metrics"], names)
        active = made.active
        means = [Mean(name=f"{names[index]}_loss") for index in active] if len(active) > 1 else []
        with _matching:
            if self._compile_arguments is not arguments:
                return made  # another thread has compiled anew since
            if self._losses is None:
                self._compiled_metrics, self._output_means, self._losses = metrics, means, made
            return self._losses

    def _stepper(self, optimizer: Optimizer | None) -> Stepper:
        """What runs batches: with an optimizer it can train."""
        from .steps import Stepper

        return Stepper(self, self._ready(), optimizer)

    def _spare_stepper(self, optimizer: Optimizer | None) -> Stepper:
        """One for a single batch, with a seed of its own: that of the last time, if it still fits."""
        stepper = self._spare_steppers.pop(optimizer is not None, None)
        if stepper is None or stepper.losses is not self._ready() or stepper.optimizer is not optimizer:
            stepper = self._stepper(optimizer)
        else:
            stepper.refresh()
        stepper.begin()
        return stepper

    def _forget(self) -> None:
        """What single batches have left behind no longer holds."""
        self._spare_steppers.clear()
        self._fitting = None

    def _one_batch(
        self, what: str, optimizer: Optimizer | None, x: Any, y: Any, sample_weight: Any, class_weight: Any, *rest: Any
    ) -> tuple[Any, Examples]:
        """What a Stepper's "train", "test" or "gradient" gives for one batch, and the batch."""
        is_plain = sample_weight is None and class_weight is None
        again = self._examples_like_the_last(x, y) if is_plain else None
        examples = self._examples(x, y, sample_weight, class_weight) if again is None else again
        if is_plain and again is None:
            self._remember(x, y, examples)
        before = None if optimizer is None else optimizer._binding
        try:
            stepper = self._spare_stepper(optimizer)
            found = getattr(stepper, what)(examples, *rest)
        except BaseException as error:
            if optimizer is not None:
                optimizer._withdraw(before)
            if again is not None and isinstance(error, ValueError):
                self._examples(x, y, None)  # where it is the values (labels), this says so in better words
            raise
        self._spare_steppers[optimizer is not None] = stepper
        return found, examples

    def _examples_like_the_last(self, x: Any, y: Any) -> Examples | None:
        """Examples of arrays with the shapes and dtypes of the last ones, which could be used as they were."""
        if self._fitting is None or type(y) is not np.ndarray:
            return None
        key, mode, count = self._fitting
        if type(x) is np.ndarray:
            if key != (x.shape, x.dtype, y.shape, y.dtype):
                return None
            return Examples(mode, (), (x,), (y,), (None,), count)
        if type(x) is not list or len(x) != 2:
            return None
        cond, rows = x
        if type(cond) is not np.ndarray or type(rows) is not np.ndarray:
            return None
        if key != (cond.shape, cond.dtype, rows.shape, rows.dtype, y.shape, y.dtype):
            return None
        return Examples(mode, (cond,), (rows,), (y,), (None,), count)

    def _remember(self, x: Any, y: Any, examples: Examples) -> None:
        """Note what arrays (without weights) fit as they are, for `_examples_like_the_last`."""
        self._fitting = None
        arrays = [*x, y] if type(x) is list else [x, y]
        used = [*examples.conditions, *examples.inputs, *(examples.targets or ())]
        if (
            len(arrays) != len(used)
            or any(type(a) is not np.ndarray for a in arrays)
            or self._ready().plan(examples) is None
        ):
            return
        if len(examples.weights) == 1 and all(a is b for a, b in zip(arrays, used, strict=True)):
            key = tuple([part for array in arrays for part in (array.shape, array.dtype)])
            self._fitting = key, examples.mode, examples.count

    # ---- metrics ----
    @property
    def metrics(self) -> list[Any]:
        """The running mean of the loss, the compiled metrics, the outputs' losses."""
        if not self.compiled:
            return []
        compiled = [self._compiled_metrics] if self._compiled_metrics and not self._compiled_metrics.is_empty else []
        return [self._loss_mean, *compiled, *self._output_means]

    @property
    def metrics_names(self) -> list[str]:
        """Their names."""
        return [metric.name for metric in self.metrics]

    @exclusive
    def reset_metrics(self) -> None:
        """Begin all means anew."""
        if self.compiled:
            self._begin_means()

    def _begin_means(self) -> None:
        self._loss_mean.reset_state()
        for mean in self._output_means:
            mean.reset_state()
        if self._compiled_metrics is not None:
            self._compiled_metrics.reset()

    def _metric_direction(self, name: str) -> str | None:
        """What is better for this name in the logs: "up" or "down"; None if nobody knows."""
        if name == "loss" or any(mean.name == name for mean in self._output_means):
            return "down"
        return None if self._compiled_metrics is None else self._compiled_metrics.direction(name)

    def _batch_logs(self) -> Logs:
        """All means so far, by name in alphabetical order."""
        logs = {mean.name: mean.result() for mean in (self._loss_mean, *self._output_means)}
        if self._compiled_metrics is not None and not self._compiled_metrics.is_empty:
            logs.update(self._compiled_metrics.result())
        return logs if len(logs) == 1 else dict(sorted(logs.items()))

    @property
    def _has_metrics(self) -> bool:
        metrics = self._compiled_metrics
        return metrics is not None and not metrics.is_empty

    def _record(self, batch: Batch, examples: Examples) -> None:
        """Take a batch into the means, weighted by its rows."""
        self._record_loss(batch, examples.rows)
        if self._compiled_metrics is not None and not self._compiled_metrics.is_empty:
            self._compiled_metrics.update(examples, batch.outputs)

    def _record_many(
        self, batches: list[Batch], examples: Examples, order: Array | None, start: int, size: int
    ) -> None:
        """Take batches of `size` in that are these examples, in this order, from place `start` on."""
        rows = size * (examples.rows // examples.count)
        for batch in batches:
            self._record_loss(batch, rows)
        metrics = self._compiled_metrics
        if metrics is None or metrics.is_empty:
            return

        def targets(first: int, count: int) -> Examples:
            part = slice(start + first, start + first + count)
            return examples.take_targets(part if order is None else order[part], count)

        metrics.update(targets(0, size), batches[0].outputs)  # the first makes the metrics
        rest = batches[1:]
        if rest and metrics.counts(examples, rest[0].outputs):
            together = tuple(np.concatenate(group) for group in zip(*[batch.outputs for batch in rest], strict=True))
            metrics.update(targets(size, size * len(rest)), together)
            return
        for number, batch in enumerate(rest, 1):
            metrics.update(targets(size * number, size), batch.outputs)

    def _most_steps(self, examples: Examples, size: int) -> int:
        """How many batches of `size` may be run before the metrics see them: their outputs are kept so long."""
        if not self._has_metrics:
            return examples.count
        me: Any = self
        assert examples.targets is not None
        elements = (
            size
            * (examples.rows // examples.count)
            * sum(
                math.prod(target.size // examples.count if dim is None else dim for dim in shape)
                for shape, target in zip(me._output_shapes, examples.targets, strict=True)
            )
        )
        return max(1, _KEPT // max(1, elements))

    def _record_loss(self, batch: Batch, rows: int) -> None:
        self._loss_mean.total += batch.total * rows
        self._loss_mean.count += rows
        if self._output_means:
            assert self._losses is not None
            for mean, index in zip(self._output_means, self._losses.active, strict=True):
                mean.total += batch.values[index] * rows
                mean.count += rows

    def _in_order(self, logs: Logs) -> Any:
        """Logs as Keras lists them: the loss, the metrics, the rest; one number alone is no list."""
        if len(logs) == 1:
            return next(iter(logs.values()))
        names: list[str] = []
        for metric in self.metrics:
            names += [m.name for m in metric.metrics] if hasattr(metric, "metrics") else [metric.name]
        known = [name for name in names if name in logs]  # a name that stands twice is listed twice, as in Keras
        return [logs[name] for name in [*known, *sorted(set(logs) - set(known))]]

    # ---- data ----
    def _examples(self, x: Any, y: Any, sample_weight: Any, class_weight: Any = None) -> Examples:
        """Checked examples with targets in the form that their losses take."""
        if class_weight is not None and sample_weight is not None:
            raise ValueError(
                "Arguments `sample_weight` and `class_weight` cannot be specified at the same time. You cannot "
                f"`class_weight` and `sample_weight` at the same time. Received: class_weight={class_weight}"
            )
        me: Any = self
        examples: Examples = me._make_examples(x, y, sample_weight)
        compiled = self._ready()
        prepared = compiled.prepare(examples, me._output_shapes, me.dtype)
        if class_weight is None:
            return prepared
        from .weighting import apply_class_weight

        return apply_class_weight(prepared, class_weight, me.dtype)


def _revive(module: Any, structure: Any) -> Any:
    """Names stay names, configurations become objects, in lists and dicts by output."""
    if isinstance(structure, dict):
        if "class_name" in structure:
            return module.deserialize(structure)
        return {key: _revive(module, value) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)):
        return [_revive(module, item) for item in structure]
    return structure
