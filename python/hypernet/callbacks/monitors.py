"""Callbacks that watch one number: EarlyStopping, ReduceLROnPlateau, ModelCheckpoint."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from .base import Callback, Logs

if TYPE_CHECKING:
    from ..saving import FilePath


class MonitorCallback(Callback):
    """Whether a watched number gets better."""

    def __init__(
        self, monitor: str = "val_loss", mode: str = "auto", baseline: float | None = None, min_delta: float = 0
    ) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(f"{type(self).__name__} mode '{mode}' is unknown, fallback to auto mode.", stacklevel=3)
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best: Any = baseline
        self.min_delta = abs(min_delta)
        self._sign: float | None = None  # 1: larger is better, -1: smaller

    def _set_direction(self) -> None:
        """Decide what is better, once the model's metrics exist."""
        if self._sign is not None:
            return
        if self.mode != "auto":
            self._sign = 1.0 if self.mode == "max" else -1.0
            return
        name = self.monitor.removeprefix("val_")
        find = getattr(self.model, "_metric_direction", None)
        direction = find(name) if find is not None else None
        if direction is None and name == "loss":
            direction = "down"
        if direction is None:
            raise ValueError(
                f"{type(self).__name__} callback received monitor={self.monitor}, but it cannot be determined "
                "automatically whether that metric should be maximized or minimized. Pass `mode='max'` in order to "
                "monitor based on the highest metric value, or pass `mode='min'` in order to use the lowest value."
            )
        self._sign = 1.0 if direction == "up" else -1.0

    def _is_improvement(self, value: Any, reference: Any) -> bool:
        if reference is None:
            return True
        assert self._sign is not None
        return bool(self._sign * value - self.min_delta > self._sign * reference)


class EarlyStopping(MonitorCallback):
    """End training when a number has not got better for some epochs.

    Parameters
    ----------
    monitor : str
        Name in the logs.
    min_delta : float
        Changes of at most this are no improvement.
    patience : int
        Epochs without an improvement that are borne.
    verbose : int
        1: say so.
    mode : "auto", "min" or "max"
        What is better; "auto" asks the metric.
    baseline : float, optional
        Only improvements beyond it reset the patience.
    restore_best_weights : bool
        Afterwards, put back the weights of the best epoch.
    start_from_epoch : int
        Epochs before this do not count.

    Examples
    --------
    >>> import hypernet as hn
    >>> callback = hn.callbacks.EarlyStopping(monitor="loss", patience=3)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._forget()

    def _forget(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_epoch = 0
        self.best_weights: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._forget()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._set_direction()
        current = (logs or {}).get(self.monitor)
        if current is None:
            warnings.warn(
                f"Early stopping conditioned on metric `{self.monitor}` which is not available. Available metrics are: "
                f"{','.join(logs or {})}",
                stacklevel=2,
            )
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._remember(epoch)  # the first ones that count are the best so far, whatever they are
        self.wait += 1
        if self._is_improvement(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self._remember(epoch)
            if self.baseline is None or self._is_improvement(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _remember(self, epoch: int) -> None:
        self.best_weights = self.model.get_weights()
        self.best_epoch = epoch

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(MonitorCallback):
    """Lower the learning rate when a number has not got better for some epochs.

    Parameters
    ----------
    monitor : str
        Name in the logs.
    factor : float
        New rate over old; below 1.
    patience : int
        Epochs without an improvement before that.
    verbose : int
        1: say so.
    mode : "auto", "min" or "max"
    min_delta : float
        Changes of at most this are no improvement.
    cooldown : int
        Epochs to wait after each time.
    min_lr : float
        The lowest rate.

    Examples
    --------
    >>> import hypernet as hn
    >>> callback = hn.callbacks.ReduceLROnPlateau(factor=0.5, patience=3)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0. Received factor={factor}")
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._reset()

    def _reset(self) -> None:
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._reset()

    def in_cooldown(self) -> bool:
        """Whether it still waits after the last time."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._set_direction()
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(
                f"Learning rate reduction is conditioned on metric `{self.monitor}` which is not available. Available "
                f"metrics are: {','.join(logs)}.",
                stacklevel=2,
            )
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def _reduce(self, epoch: int) -> bool:
        old = float(self.model.optimizer.learning_rate)
        if old <= self.min_lr:
            return False
        new = max(old * self.factor, self.min_lr)
        self.model.optimizer.learning_rate = new
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.")
        return True


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, as training goes on.

    `load_model(path).fit(..., initial_epoch=n)` goes on after epoch n, with the optimizer as it was. As in Keras, the
    state of the random numbers that `fit` draws is not in the file: they are the process's, not the model's. Without
    shuffling (`shuffle=False`) and dropout, both end with the same bits as one `fit` that was not interrupted; with them,
    if each epoch of both begins with a seed of its own (see below). From a file of the midst of an epoch (an integer
    `save_freq`) the epoch's rest cannot be taken up.

    Parameters
    ----------
    filepath : str
        Ends in `.safetensors`; may hold "{epoch:02d}", "{val_loss:.2f}", ...
    monitor : str
        Name in the logs, for `save_best_only`.
    verbose : int
        1: say so.
    save_best_only : bool
        Only when the number is the best so far.
    save_weights_only : bool
        `save_weights` instead of `save`.
    mode : "auto", "min" or "max"
    save_freq : "epoch" or int
        After each epoch, or after so many batches.
    initial_value_threshold : float, optional
        What the first must be better than.

    Raises
    ------
    NotImplementedError
        At construction: `.keras` and `.h5` paths.
    ValueError
        Another ending, or another `save_freq`.

    Examples
    --------
    >>> import hypernet as hn
    >>> callback = hn.callbacks.ModelCheckpoint("best.safetensors", save_best_only=True)

    Training that can be taken up anywhere, bit for bit: this callback beside it, in the first `fit` as in the later one.

    >>> seed = hn.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: hn.utils.set_random_seed(100 + epoch))
    """

    def __init__(
        self,
        filepath: FilePath,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(f"Unrecognized save_freq: {save_freq}. Expected save_freq are 'epoch' or integer values")
        from ..saving import checked_path

        self.filepath = checked_path(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self._batches = 0
        self._last_batch: int | None = None
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            return
        is_new_epoch = self._last_batch is None or batch <= self._last_batch
        self._batches += batch + 1 if is_new_epoch else batch - (self._last_batch or 0)
        self._last_batch = batch
        if self._batches >= int(self.save_freq):
            self._batches = 0
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _save(self, epoch: int, batch: int | None, logs: Logs) -> None:
        path = self._path(epoch, batch, logs)
        if not self._should_save(epoch, logs, path):
            return
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if os.path.isdir(path):
            raise OSError(
                "Please specify a non-directory filepath for ModelCheckpoint. Filepath used is an existing directory: "
                f"{path}"
            )
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: finished saving model to {path}")

    def _should_save(self, epoch: int, logs: Logs, path: str) -> bool:
        if not self.save_best_only:
            if self.verbose > 0:
                print(f"\nEpoch {epoch + 1}: saving model to {path}")
            return True
        self._set_direction()
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(f"Can save best model only with {self.monitor} available.", stacklevel=2)
            return True
        before = "None" if self.best is None else f"{self.best:.5f}"
        if not self._is_improvement(current, self.best):
            if self.verbose > 0:
                print(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {before}")
            return False
        if self.verbose > 0:
            print(
                f"\nEpoch {epoch + 1}: {self.monitor} improved from {before} to {current:.5f}, saving model to {path}"
            )
        self.best = current
        return True

    def _path(self, epoch: int, batch: int | None, logs: Logs) -> str:
        values = {"epoch": epoch + 1, **logs}
        if batch is not None:
            values.setdefault("batch", batch + 1)
        try:
            return self.filepath.format(**values)
        except KeyError as error:
            raise KeyError(f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}') from error
