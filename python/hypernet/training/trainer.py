"""Trainer: fit, evaluate, predict, for everything that can run a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _nest
from .claims import claim_of, claims, exclusive, stake
from .data import (
    ArraySource,
    Source,
    check_epochs,
    check_frequency,
    check_verbose,
    checked_batch_size,
    checked_steps,
    is_stream,
    open_stream,
    reject_besides_stream,
    split,
    unpack_batch,
)
from .examples import Examples
from .state import Compiled, Logs

if TYPE_CHECKING:  # imported where they are used, so that what does not train is imported fast
    from ..callbacks.base import CallbackList, History
    from .steps import Stepper

Array = NDArray[Any]


class Trainer(Compiled):
    """The training side of Model and HyperModel, with Keras's methods."""

    # ---- data ----
    def _source(
        self,
        data: Examples | Any,
        batch_size: Any,
        shuffle: Any,
        steps: int | None,
        class_weight: Any = None,
    ) -> Source:
        if isinstance(data, Examples):
            return ArraySource(data, batch_size, shuffle, steps)
        if class_weight is not None and not hasattr(data, "__getitem__"):
            raise ValueError(
                "Argument `class_weight` is not supported for Python generator inputs. "
                f"Received: class_weight={class_weight}"
            )
        return open_stream(data, lambda x, y, weight: self._examples(x, y, weight, class_weight), shuffle, steps)

    def _data(self, x: Any, y: Any, sample_weight: Any, class_weight: Any = None) -> Examples | Any:
        """Examples of arrays; a stream of batches as it is."""
        if is_stream(x):
            reject_besides_stream(x, y, sample_weight)
            return x
        return self._examples(x, y, sample_weight, class_weight)

    # ---- fit ----
    @exclusive
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | list[int] = 1,
    ) -> History:
        """Train.

        Parameters
        ----------
        x : array, or nested arrays; or a PyDataset, generator or iterable of batches
            For a HyperModel [cond, x]; one condition for all stays whole, and with N tasks it is tasks that
            batch_size, shuffle and validation_split count.
        y : array, or nested arrays
            Targets.
        batch_size : int, optional
            32 by default; with a number of steps, what divides the data into that many batches.
        epochs, initial_epoch : int
            Training ends before epoch number `epochs`.
        verbose : "auto", 0, 1, 2
            0: silent; "auto", 1: a bar on a terminal or in a notebook, else one line an epoch; 2: one line an epoch.
        callbacks : list of Callback, optional
        validation_split : float
            The last fraction of the data is kept for validation.
        validation_data : (x, y) or (x, y, sample_weight), or a dataset, optional
            May meet in another mode than the training data.
        shuffle : bool or "batch"
            True: draw a new order of the rows (or tasks) each epoch; "batch": only within batches.
        class_weight : dict, optional
            Factors by label.
        sample_weight : array, optional
            (N,) a row or task, or (N, M) a row of each task.
        steps_per_epoch, validation_steps : int, optional
            How many batches to take.
        validation_batch_size : int, optional
        validation_freq : int or list of int
            After every so many epochs, or after these (counted from 1).

        Returns
        -------
        History
            `.history` by name, `.epoch`.

        Raises
        ------
        ValueError
            Not compiled; wrong shapes, empty data, labels that are nan or out of range: before the first step.
        RuntimeError
            Another thread is in `fit`, `evaluate`, `train_on_batch`, `test_on_batch` or `compile` of this model.

        Examples
        --------
        >>> import hypernet as hn, numpy as np
        >>> model = hn.Sequential([hn.Input((1,)), hn.layers.Dense(1)])
        >>> model.compile(optimizer=hn.optimizers.SGD(0.1), loss="mse")
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> history = model.fit(x, 2 * x, epochs=50, verbose=0)
        >>> history.history["loss"][-1] < 1e-3
        True
        """
        from ..callbacks.base import CallbackList, History

        self._require_compiled("fit")
        if self.optimizer is None:
            raise ValueError("fit needs an optimizer: pass one to `compile()`.")
        steps = checked_steps(steps_per_epoch, "steps_per_epoch")
        checked_batch_size(batch_size)
        checked_batch_size(validation_batch_size)
        check_epochs(epochs, "epochs")
        check_epochs(initial_epoch, "initial_epoch")
        check_verbose(verbose)
        of_validation = checked_steps(validation_steps, "validation_steps")
        if validation_data is not None or validation_split:
            check_frequency(validation_freq)
        data = self._data(x, y, sample_weight, class_weight)
        validation: Any = None
        if validation_data is not None:
            validation = self._data(*unpack_batch(validation_data))
        elif validation_split:
            if not isinstance(data, Examples):
                raise ValueError(
                    "Argument `validation_split` is only supported for tensors or NumPy arrays. Found incompatible type "
                    f"in the input: {type(x)}"
                )
            data, validation = split(data, validation_split)
        source = self._source(data, batch_size, shuffle, steps, class_weight)
        tester = None
        if validation is not None:
            tester = self._source(validation, validation_batch_size or batch_size, False, of_validation)
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(
                callbacks,
                add_history=True,
                add_progbar=verbose != 0,
                model=self,
                verbose=verbose,
                epochs=epochs,
                steps=source.steps,
            )
        self.stop_training = False
        optimizer, before = self.optimizer, self.optimizer._binding
        try:
            self._run_epochs(source, tester, callbacks, range(initial_epoch, epochs), validation_freq)
        except BaseException:
            optimizer._withdraw(before)
            raise
        finally:
            callbacks.close()
        if self.history is None:  # the caller's own CallbackList keeps none
            self.history = History()
        return self.history

    def _run_epochs(
        self, source: Source, tester: Source | None, callbacks: CallbackList, epochs: range, validation_freq: Any
    ) -> None:
        logs: Logs = {}
        stepper: Stepper | None = None
        claim = claim_of(self, "fit")
        key = id(claim)
        try:
            stake(claim)
            callbacks.on_train_begin()
            for epoch in epochs:
                self._begin_means()
                callbacks.on_epoch_begin(epoch)
                stepper, steps = self._train_epoch(source, callbacks, stepper)
                if steps == 0:
                    break
                logs = self._batch_logs()
                if tester is not None and _is_due(epoch, validation_freq):
                    found = self._evaluate(tester, callbacks, stepper)
                    logs.update({f"val_{name}": value for name, value in found.items()})
                callbacks.on_epoch_end(epoch, logs)
                if self.stop_training:
                    break
        finally:
            claims.pop(key, None)
        callbacks.on_train_end(logs)

    def _train_epoch(
        self, source: Source, callbacks: CallbackList, stepper: Stepper | None
    ) -> tuple[Stepper | None, int]:
        wants_logs = callbacks.wants_logs("train_batch_end")
        steps = 0
        if stepper is not None:
            stepper.refresh()
        if isinstance(source, ArraySource):
            stepper = stepper or self._stepper(self.optimizer)
            if self._runs_in_core(source, callbacks, "train", stepper):
                return stepper, self._run_in_core(source, callbacks.on_train_batch_end, stepper, True)
        for step, examples in enumerate(source.epoch()):
            if stepper is None:  # the first batch has built the model
                stepper = self._stepper(self.optimizer)
            if not stepper.has_begun:
                stepper.begin()
            callbacks.on_train_batch_begin(step)
            self._record(stepper.train(examples), examples)
            steps = step + 1
            callbacks.on_train_batch_end(step, self._batch_logs() if wants_logs else None)
            if self.stop_training:
                break
        return stepper, steps

    # ---- many batches at once ----
    def _runs_in_core(self, source: ArraySource, callbacks: CallbackList, what: str, stepper: Stepper) -> bool:
        """Whether nobody looks between one batch and the next."""
        if not source.is_one_pass or not callbacks.is_quiet(what):
            return False
        return stepper.needs_no_python(source.examples, what == "train")

    def _run_in_core(self, source: ArraySource, report: Any, stepper: Stepper, trains: bool) -> int:
        """Run an epoch's batches, many in one call of the core; how many."""
        examples, size = source.examples, source.batch
        order = source.order()
        if not stepper.has_begun:
            stepper.begin()
        start = step = 0
        most = self._most_steps(examples, size)
        while start < examples.count and not (self.stop_training if trains else self.stop_evaluating):
            rows = min(size, examples.count - start)
            steps = min((examples.count - start) // rows, most)
            batches = stepper.run(examples, order, start, rows, steps, trains, self._has_metrics)
            self._record_many(batches, examples, order, start, rows)
            start += rows * len(batches)
            step += len(batches)
            report(step - 1, None)
        return step

    # ---- evaluate ----
    @exclusive
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on data.

        Parameters
        ----------
        x, y, batch_size, verbose, sample_weight, callbacks
            See `fit`.
        steps : int, optional
            How many batches to take.
        return_dict : bool
            A dict by name instead of a list.

        Returns
        -------
        float, list of float, or dict
            The loss; with metrics a list that begins with it.

        Raises
        ------
        RuntimeError
            Another thread is in `fit` or `evaluate` of this model; see `fit`.

        Examples
        --------
        >>> import hypernet as hn
        >>> model = hn.Sequential([hn.Input((1,)), hn.layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile(loss="mse")
        >>> model.evaluate(hn.ones((4, 1)), hn.ones((4, 1)), verbose=0)
        1.0
        """
        from ..callbacks.base import CallbackList

        self._require_compiled("evaluate")
        check_verbose(verbose)
        source = self._source(self._data(x, y, sample_weight), batch_size, False, checked_steps(steps, "steps"))
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(
                callbacks, add_progbar=verbose != 0, model=self, verbose=verbose, epochs=1, steps=source.steps
            )
        claim = claim_of(self, "evaluate")
        key = id(claim)
        try:
            stake(claim)
            logs = self._evaluate(source, callbacks, None)
        finally:
            claims.pop(key, None)
            callbacks.close()
        return logs if return_dict else self._in_order(logs)

    def _evaluate(self, source: Source, callbacks: CallbackList, stepper: Stepper | None) -> Logs:
        self.stop_evaluating = False
        callbacks.on_test_begin()
        self._begin_means()
        if isinstance(source, ArraySource):
            stepper = stepper or self._stepper(None)
            if self._runs_in_core(source, callbacks, "test", stepper):
                self._run_in_core(source, callbacks.on_test_batch_end, stepper, False)
            else:
                self._evaluate_batches(source, callbacks, stepper)
        else:
            self._evaluate_batches(source, callbacks, stepper)
        if self._loss_mean.count == 0:
            raise ValueError("There is nothing to evaluate: the data gave no batch.")
        logs = self._batch_logs()
        callbacks.on_test_end(logs)
        return logs

    def _evaluate_batches(self, source: Source, callbacks: CallbackList, stepper: Stepper | None) -> None:
        wants_logs = callbacks.wants_logs("test_batch_end")
        for step, examples in enumerate(source.epoch()):
            if stepper is None:
                stepper = self._stepper(None)
            if not stepper.has_begun:
                stepper.begin()
            callbacks.on_test_batch_begin(step)
            self._record(stepper.test(examples), examples)
            callbacks.on_test_batch_end(step, self._batch_logs() if wants_logs else None)
            if self.stop_evaluating:
                break

    # ---- predict ----
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
        out: Any = None,
    ) -> Any:
        """Outputs for data.

        Parameters
        ----------
        x : array, or nested arrays; or a dataset of batches
        batch_size : int, optional
            By default all rows go into one call, which divides them itself; only rounding depends on it.
        verbose : "auto", 0, 1, 2
            "auto", 1: a bar on a terminal, if there are several batches.
        steps : int, optional
            How many batches to take.
        callbacks : list of Callback, optional
        out : array, or nested arrays, optional
            Where to write; contiguous, of the model's dtype.

        Returns
        -------
        array, or nested arrays
            New, C-contiguous, of the model's dtype (or `out`).

        Raises
        ------
        ValueError
            Wrong shapes, empty data.

        Examples
        --------
        >>> import hypernet as hn
        >>> hn.target_network(3, 2).predict(hn.ones((4, 3))).shape
        (4, 2)
        """
        me: Any = self
        if verbose not in ("auto", 0):  # a small predict notices a call more
            check_verbose(verbose)
        if batch_size is None and steps is None and not callbacks:
            found = me._predict_directly(x, out)
            if found is not None:
                return found
        if is_stream(x):
            if out is not None:
                raise ValueError("`out` needs arrays as `x`: the size of what a dataset gives is not known beforehand.")
            source = open_stream(x, lambda x, y, weight: me._make_examples(x), False, checked_steps(steps, "steps"))
        else:
            examples: Examples = me._make_examples(x)
            if batch_size is None and steps is None and not callbacks:
                found = me._run_predict(examples, _flat_out(out), False, 0, 0)
                return me._pack_outputs(found) if out is None else out
            source = ArraySource(examples, batch_size, False, checked_steps(steps, "steps"))
            _check_out(_flat_out(out) or (), min(examples.count, source.batch * (source.steps or 0)), examples, self)
        from ..callbacks.base import CallbackList
        from ..callbacks.progress import has_display

        if not isinstance(callbacks, CallbackList):
            shows = verbose != 0 and (verbose == 2 or has_display()) and source.steps != 1
            callbacks = CallbackList(
                callbacks, add_progbar=shows, model=self, verbose=verbose, epochs=1, steps=source.steps
            )
        try:
            found = self._predict_batches(source, callbacks, _flat_out(out))
            return me._pack_outputs(found) if out is None else out
        finally:
            callbacks.close()

    def _predict_batches(
        self, source: Source, callbacks: CallbackList, out: tuple[Array, ...] | None
    ) -> tuple[Array, ...]:
        me: Any = self
        self.stop_predicting = False
        callbacks.on_predict_begin()
        parts: list[tuple[Array, ...]] = []
        start = 0
        for step, examples in enumerate(source.epoch()):
            callbacks.on_predict_batch_begin(step)
            stop = start + examples.count
            target = None if out is None else tuple(array[start:stop] for array in out)
            parts.append(me._run_predict(examples, target, False, 0, 0))
            start = stop
            callbacks.on_predict_batch_end(step, {"outputs": me._pack_outputs(parts[-1])})
            if self.stop_predicting:
                break
        callbacks.on_predict_end()
        if not parts:
            raise ValueError("There is nothing to predict: the data gave no batch.")
        if out is not None or len(parts) == 1:
            return parts[0]
        return tuple(np.concatenate(group) for group in zip(*parts, strict=True))

    # ---- single batches ----
    @exclusive
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One update with all of the data; loss and metrics of it.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            See `fit`; arrays only.
        return_dict : bool
            True: the values by their names.

        Returns
        -------
        float, list of float, or dict
            The loss and the metrics before the update.

        Examples
        --------
        >>> import hypernet as hn
        >>> model = hn.Sequential([hn.Input((1,)), hn.layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile(loss="mse")
        >>> model.train_on_batch(hn.ones((4, 1)), hn.ones((4, 1)))
        1.0
        """
        self._require_compiled("train_on_batch")
        if self.optimizer is None:
            raise ValueError("train_on_batch needs an optimizer: pass one to `compile()`.")
        batch, examples = self._one_batch("train", self.optimizer, x, y, sample_weight, class_weight)
        self._begin_means()
        self._record(batch, examples)
        logs = self._batch_logs()
        return logs if return_dict else self._in_order(logs)

    @exclusive
    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Loss and metrics of one batch; nothing is updated.

        Parameters
        ----------
        x, y, sample_weight
            See `fit`; arrays only.
        return_dict : bool
            True: the values by their names.

        Examples
        --------
        >>> import hypernet as hn
        >>> model = hn.Sequential([hn.Input((1,)), hn.layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile(loss="mse")
        >>> model.test_on_batch(hn.ones((4, 1)), hn.ones((4, 1)), return_dict=True)
        {'loss': 1.0}
        """
        self._require_compiled("test_on_batch")
        batch, examples = self._one_batch("test", None, x, y, sample_weight, None)
        self._begin_means()
        self._record(batch, examples)
        logs = self._batch_logs()
        return logs if return_dict else self._in_order(logs)

    def predict_on_batch(self, x: Any) -> Any:
        """Outputs for one batch, in one call.

        Examples
        --------
        >>> import hypernet as hn
        >>> hn.target_network(3, 2).predict_on_batch(hn.ones((4, 3))).shape
        (4, 2)
        """
        me: Any = self
        return me._pack_outputs(me._run_predict(me._make_examples(x), None, False, 0, 0))

    def loss_and_grad(self, x: Any, y: Any, sample_weight: Any = None, training: bool = True) -> tuple[float, Array]:
        """The loss of a batch, penalties included, and its gradient: the step of `fit` without the update.

        Parameters
        ----------
        x, y, sample_weight
            See `fit`.
        training : bool
            Whether dropout acts.

        Returns
        -------
        value : float
        grad : array (P,)
            In the order of `params`.

        Examples
        --------
        >>> import hypernet as hn
        >>> model = hn.Sequential([hn.Input((1,)), hn.layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile(loss="mse")
        >>> value, grad = model.loss_and_grad(hn.ones((4, 1)), hn.ones((4, 1)))
        >>> value, grad.tolist()
        (1.0, [-2.0, -2.0])
        """
        self._require_compiled("loss_and_grad")
        (batch, gradient), _ = self._one_batch("gradient", None, x, y, sample_weight, None, training)
        return batch.total, gradient


def _is_due(epoch: int, validation_freq: Any) -> bool:
    if isinstance(validation_freq, (list, tuple)):
        return epoch + 1 in validation_freq
    return bool((epoch + 1) % validation_freq == 0)


def _check_out(out: tuple[Any, ...], rows: int, examples: Examples, model: Any) -> None:
    """Errors for what the core, which sees one batch after the other, would find when some of `out` is written."""
    stores = [store.view(0, (store.count,)) for store in model._stores()] if out else []
    for index, array in enumerate(out):
        if not isinstance(array, np.ndarray):
            raise TypeError(f"out {index} must be an array, received {type(array).__name__}")
        if array.shape[:1] != (rows,):
            raise ValueError(f"out {index} must have a leading axis of {rows}, received the shape {array.shape}")
        others = [*examples.conditions, *examples.inputs, *stores, *out[:index]]
        if any(np.shares_memory(array, other) for other in others):
            raise ValueError(f"out {index} overlaps the memory of an input, of weights or of another output")


def _flat_out(out: Any) -> tuple[Array, ...] | None:
    return None if out is None else tuple(_nest.flatten(out))
