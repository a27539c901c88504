"""How far training has come: a bar on a terminal or in a notebook, else one line an epoch."""

from __future__ import annotations

import os
import shutil
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


class Bar:
    """A tqdm bar that keeps room for what it reports: on a narrow terminal speed and bar give way, in this order.

    Parameters
    ----------
    **options
        Of tqdm.
    """

    _SHORTER = (
        "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
        "{desc}: {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
    )

    def __init__(self, **options: Any) -> None:
        from tqdm.auto import tqdm  # type: ignore[import-untyped]

        self._is_line = sys.stderr.isatty() and not _in_notebook()
        # A terminal without a size has 0 columns and rows, where tqdm shows nothing.
        size = {"ncols": _columns(), "nrows": 24} if self._is_line else {"dynamic_ncols": True}
        self.tqdm = tqdm(**options, **size)

    def fits(self, report: str) -> bool:
        """Take the longest form that has room for the report; False if none has."""
        bar = self.tqdm
        if not self._is_line:
            return True
        bar.ncols = _columns()
        bar.set_postfix_str(report, refresh=False)
        state = {**bar.format_dict, "ncols": None}
        for form in (None, *self._SHORTER):
            bar.bar_format = form
            if len(bar.format_meter(**{**state, "bar_format": form})) <= bar.ncols:
                return True
        return False

    def draw(self, done: int, report: str) -> None:
        """Show how many are done, and the report, as far as there is room."""
        self.tqdm.n = done
        self.fits(report)
        self.tqdm.set_postfix_str(report, refresh=False)
        self.tqdm.refresh()

    def close(self) -> None:
        """Leave it as it stands."""
        self.tqdm.close()

    def end(self, done: int, total: int | None, report: str) -> None:
        """Show the last report, on a line of its own where it has no room, and close."""
        self.tqdm.n, self.tqdm.total = done, total
        has_room = self.fits(report)
        self.draw(done, report if has_room else "")
        self.close()
        if not has_room:
            self.tqdm.write(f"  {report}", file=self.tqdm.fp)


def _columns() -> int:
    """The terminal's width; 80 where it does not say."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return columns or shutil.get_terminal_size().columns


def _number(value: Any) -> str:
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value:.4f}" if abs(value) > 1e-3 or value == 0 else f"{value:.4e}"


def _listing(logs: Logs) -> str:
    return " - ".join(f"{name}: {_number(value)}" for name, value in logs.items())


def _report(logs: Logs) -> str:
    return ", ".join(f"{name}={_number(value)}" for name, value in logs.items())


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
        self._bar: Bar | None = None
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
            title = f"Epoch {self._epoch + 1}/{self.epochs}" if self._in_fit and self.epochs > 1 else None
            self._bar = Bar(total=self.target, desc=title, unit="step", mininterval=0.0)

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
        self._bar.draw(self.seen, _report(self.model._batch_logs() if logs is None else logs))

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
            self._bar.end(self.seen, self.target, _report(logs))
            self._bar = None
        elif self.verbose and not (self._in_predict and self.verbose == 1):
            title = f"Epoch {self._epoch + 1}/{self.epochs} - " if self._in_fit and self.epochs > 1 else ""
            line = f"{title}{self.seen}/{self.target} - {_duration(time.perf_counter() - self._began, self.seen)}"
            print(" - ".join(part for part in (line, _listing(logs)) if part), flush=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
