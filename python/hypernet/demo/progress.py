"""How far the comparison is: a bar on a terminal or in a notebook, and a line for each training anywhere."""

from __future__ import annotations

import time
from typing import Any

from ..callbacks.progress import has_display


class Trainings:
    """Counts trainings.

    Parameters
    ----------
    total : int
        How many there will be.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._text = ""
        self._epoch, self._best, self._began = 0, 0.0, 0.0
        self._bar: Any = None
        if has_display():
            from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]

            self._bar = tqdm(total=total, unit="training", dynamic_ncols=True, leave=False)

    def begin(self, text: str) -> None:
        """One training of one contender starts."""
        self._text = text
        self._epoch, self._best, self._began = 0, 0.0, time.perf_counter()
        self._show()

    def epoch(self, number: int, accuracy: float) -> None:
        """An epoch has ended with this accuracy on the validation images."""
        self._epoch, self._best = number, max(self._best, accuracy)
        self._show()

    def end(self) -> None:
        """The training has ended."""
        self._done += 1
        seconds = time.perf_counter() - self._began
        line = (
            f"[{self._done}/{self._total}] {self._text}: validation accuracy {self._best:.3f}, "
            f"{self._epoch} epochs, {seconds:.1f} s"
        )
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.write(line)
            self._bar.update()

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(f"{self._text}, epoch {self._epoch}, best {self._best:.3f}")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
