"""How far the comparison is: a bar on a terminal or in a notebook, and a line for each training anywhere."""

from __future__ import annotations

import time

from ..callbacks.progress import Bar, has_display


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
        self._bar = Bar(total=total, unit="training", leave=False) if has_display() else None

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
            self._bar.tqdm.write(line)
            self._show()

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.draw(self._done, f"{self._text}, epoch {self._epoch}, best {self._best:.3f}")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
