"""The hooks, and the list that calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Logs = dict[str, Any]


class Callback:
    """The base of all callbacks: define the hooks you need.

    `self.model` is the model, `self.params` a dict with "verbose", "epochs" and "steps". In a hook, set
    `self.model.stop_training = True` to end training after the present batch or epoch.

    Examples
    --------
    >>> import hypernet as hn
    >>> class Count(hn.callbacks.Callback):
    ...     def on_train_begin(self, logs=None):
    ...         self.batches = 0
    ...     def on_train_batch_end(self, batch, logs=None):
    ...         self.batches += 1
    >>> model = hn.Sequential([hn.Input((3,)), hn.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> count = Count()
    >>> _ = model.fit(hn.ones((10, 3)), hn.ones((10, 1)), batch_size=4, callbacks=[count], verbose=0)
    >>> count.batches
    3
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] | None = None
        self._model: Any = None

    @property
    def model(self) -> Any:
        """The model that is trained."""
        return self._model

    def set_params(self, params: dict[str, Any]) -> None:
        """Take "verbose", "epochs" and "steps"."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Take the model."""
        self._model = model

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """The same as `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """The same as `on_train_batch_end`."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch of training."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch of training and its validation, whose values begin with "val_"."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of training."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of training; `logs`: the means over the epoch so far."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of `evaluate` or validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of `evaluate` or validation."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of `predict`; `logs["outputs"]`: its results."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before training."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After training; `logs`: those of the last epoch."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before `evaluate` or validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After `evaluate` or validation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before `predict`."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After `predict`."""


class History(Callback):
    """What `fit` returns: `history` (a list of values by name) and `epoch` (the epochs' numbers).

    Examples
    --------
    >>> import hypernet as hn
    >>> model = hn.Sequential([hn.Input((3,)), hn.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> history = model.fit(hn.ones((10, 3)), hn.ones((10, 1)), epochs=2, verbose=0)
    >>> history.epoch, list(history.history)
    ([0, 1], ['loss'])
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        self.model.history = self


def _flatten(callbacks: Any) -> list[Any]:
    if isinstance(callbacks, (Callback, str)) or not isinstance(callbacks, Iterable):
        return [callbacks]
    return [callback for item in callbacks for callback in _flatten(item)]


_PLAIN = (
    Callback.on_train_batch_begin,
    Callback.on_train_batch_end,
    Callback.on_batch_begin,
    Callback.on_batch_end,
    Callback.on_test_batch_begin,
    Callback.on_test_batch_end,
    Callback.on_predict_batch_begin,
    Callback.on_predict_batch_end,
)


class CallbackList(Callback):
    """Callbacks in order, called as one.

    Parameters
    ----------
    callbacks : list of Callback, optional
        May be nested.
    add_history, add_progbar : bool
        Append a History or a ProgbarLogger, unless there is one.
    model : Model, optional
    **params
        "verbose", "epochs", "steps".

    Examples
    --------
    >>> import hypernet as hn
    >>> seen = []
    >>> callback = hn.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch))
    >>> hn.callbacks.CallbackList([callback]).on_epoch_begin(3)
    >>> seen
    [3]
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        from .progress import ProgbarLogger

        self.callbacks = _flatten(callbacks) if callbacks else []
        for callback in self.callbacks:
            if isinstance(callback, type) or not hasattr(callback, "set_model"):
                raise TypeError(
                    f"`callbacks` takes Callback objects. Received: {callback!r} (of type {type(callback).__name__}). "
                    "Make an object of a class; wrap a function, as `LambdaCallback(on_epoch_end=function)`."
                )
        self._history = next((c for c in self.callbacks if isinstance(c, History)), None)
        if self._history is None and add_history:
            self._history = History()
            self.callbacks.append(self._history)
        if add_progbar and not any(isinstance(c, ProgbarLogger) for c in self.callbacks):
            self.callbacks.append(ProgbarLogger())
        self._find_hooks()
        if model is not None:
            self.set_model(model)
        self.set_params(params)

    def _find_hooks(self) -> None:
        """Batches come often: only hooks that somebody has defined are called for them."""
        from .progress import ProgbarLogger

        names = [f"{what}_batch_{when}" for what in ("train", "test", "predict") for when in ("begin", "end")]
        self._hooks: dict[str, list[Callable[..., None]]] = {}
        self._wants_logs: dict[str, bool] = {}
        self._quiet = {"train": True, "test": True, "predict": True}
        for name in names:
            chosen = [callback for callback in self.callbacks if _defines(callback, f"on_{name}")]
            self._hooks[name] = [getattr(callback, f"on_{name}") for callback in chosen]
            self._wants_logs[name] = any(not isinstance(callback, ProgbarLogger) for callback in chosen)
            self._quiet[name.partition("_")[0]] &= all(type(callback) is ProgbarLogger for callback in chosen)

    def wants_logs(self, name: str) -> bool:
        """Whether anybody reads the logs of this hook ("train_batch_end", ...); the progress bar asks for its own."""
        return self._wants_logs[name]

    def is_quiet(self, what: str) -> bool:
        """Whether nobody has anything to do between batches of "train", "test" or "predict", but for the progress bar."""
        return type(self) is CallbackList and self._quiet[what]

    def append(self, callback: Callback) -> None:
        """Add one more."""
        self.callbacks.append(callback)
        self._find_hooks()

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
        if params:
            for callback in self.callbacks:
                callback.set_params(params)

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    def close(self) -> None:
        """End what the callbacks show, also after an exception."""
        for callback in self.callbacks:
            end = getattr(callback, "close", None)
            if end is not None:
                end()

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_batch_begin(batch, logs=logs)

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_batch_end(batch, logs=logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._hooks["train_batch_begin"]:
            hook(batch, logs=logs or {})

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._hooks["train_batch_end"]:
            hook(batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._hooks["test_batch_begin"]:
            hook(batch, logs=logs or {})

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._hooks["test_batch_end"]:
            hook(batch, logs=logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._hooks["predict_batch_begin"]:
            hook(batch, logs=logs or {})

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._hooks["predict_batch_end"]:
            hook(batch, logs=logs)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_begin(logs or {})

    def on_train_end(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_end(logs or {})

    def on_test_begin(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_test_begin(logs or {})

    def on_test_end(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_test_end(logs or {})

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_predict_begin(logs or {})

    def on_predict_end(self, logs: Logs | None = None) -> None:
        for callback in self.callbacks:
            callback.on_predict_end(logs or {})


def _defines(callback: Callback, name: str) -> bool:
    """Whether a callback has a batch hook of its own (or the older `on_batch_begin` or `on_batch_end`)."""
    names = [name, name.replace("train_", "")] if "train_" in name else [name]
    return any(getattr(getattr(callback, n, None), "__func__", None) not in _PLAIN for n in names)
