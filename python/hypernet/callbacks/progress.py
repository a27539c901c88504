"""How far training has come: a bar on a terminal or in a notebook, else one line an epoch."""

from __future__ import annotations

import sys
import time
from typing import Any

from .base import Callback, Logs

_REFRESH = 0.1  # seconds between two looks of the bar


def _in_notebook() -> bool:
    """Whether this is a Jupyter kernel, where tqdm draws a widget."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


def has_display() -> bool:
    """Whether a bar can be drawn: on a terminal or in a notebook."""
    return _in_notebook() or sys.stderr.isatty()


def _number(value: Any) -> str:
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value:.4f}" if abs(value) > 1e-3 or value == 0 else f"{value:.4e}"


def _listing(logs: Logs) -> str:
    return " - ".join(f"{name}: {_number(value)}" for name, value in logs.items())


def _duration(seconds: float, steps: int) -> str:
    each = seconds / max(1, steps)
    unit = f"{each:.0f}s" if each >= 1 else f"{each * 1e3:.0f}ms" if each >= 1e-3 else f"{each * 1e6:.0f}us"
    return f"{seconds:.0f}s - {unit}/step"


class ProgbarLogger(Callback):
    """Progress of `fit`, `evaluate` and `predict`.

    `verbose` 1 (or "auto"): a bar for each epoch on a terminal or in a notebook; elsewhere, and with `verbose` 2, one
    line an epoch. `predict` shows a bar or nothing.

    Examples
    --------
    >>> import hypernet as hn
    >>> callback = hn.callbacks.ProgbarLogger()
    """

    def __init__(self) -> None:
        super().__init__()
        self.verbose: Any = 1
        self.epochs = 1
        self.target: int | None = None
        self.seen = 0
        self._epoch = 0
        self._in_fit = False
        self._in_predict = False
        self._bar: Any = None
        self._began = self._drawn = 0.0

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        verbose = params.get("verbose", "auto")
        self.verbose = 1 if verbose == "auto" else int(verbose)
        self.epochs = params.get("epochs") or 1
        self.target = params.get("steps")

    # ---- where it begins ----
    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._in_fit = True

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch
        self._begin()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._begin()

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._in_predict = True
        self._begin()

    def _begin(self) -> None:
        self.close()
        self.seen = 0
        self._began = self._drawn = time.perf_counter()
        if self.verbose == 1 and has_display():
            from tqdm.auto import tqdm  # type: ignore[import-untyped]

            title = f"Epoch {self._epoch + 1}/{self.epochs}" if self._in_fit and self.epochs > 1 else None
            self._bar = tqdm(total=self.target, desc=title, unit="step", mininterval=0.0, dynamic_ncols=True)

    # ---- as it goes on ----
    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._advance(batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._advance(batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._advance(batch, {})

    def _advance(self, batch: int, logs: Logs | None) -> None:
        self.seen = batch + 1
        if self._bar is None:
            return
        now = time.perf_counter()
        if now - self._drawn < _REFRESH:
            return
        self._drawn = now
        self._draw(self.model._batch_logs() if logs is None else logs)

    def _draw(self, logs: Logs) -> None:
        if logs:
            self._bar.set_postfix_str(", ".join(f"{k}={_number(v)}" for k, v in logs.items()), refresh=False)
        self._bar.update(self.seen - self._bar.n)

    # ---- where it ends ----
    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._finish(logs or {})

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._finish(logs or {})

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._finish({})
        self._in_predict = False

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._in_fit = False

    def _finish(self, logs: Logs) -> None:
        if self.target is None:
            self.target = self.seen
        if self._bar is not None:
            self._bar.total = self.target
            self._draw(logs)
            self.close()
        elif self.verbose and not (self._in_predict and self.verbose == 1):
            title = f"Epoch {self._epoch + 1}/{self.epochs} - " if self._in_fit and self.epochs > 1 else ""
            line = f"{title}{self.seen}/{self.target} - {_duration(time.perf_counter() - self._began, self.seen)}"
            print(" - ".join(part for part in (line, _listing(logs)) if part), flush=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
