"""The tables and sentences that the demonstration prints."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from .comparison import Run, Score
from .data import LEFT_OUT
from .deployment import MANY, Cost, Deployed
from .training import Settings

DIGITS_SHOWN = 20


def make_console() -> Console:
    """Standard output; wide enough for the tables where there is no terminal, and "?" for what it cannot encode."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=110, highlight=False)


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table


def _scores(runs: list[Run], key: str) -> list[Score]:
    return [run.score(key) for run in runs]


def with_spread(values: list[float]) -> str:
    """The mean, and the standard deviation if there are several.

    >>> with_spread([0.9, 0.92]), with_spread([0.5])
    ('0.910 ± 0.014', '0.500')
    """
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.3f}"


def accuracy_table(runs: list[Run]) -> Table:
    """Test accuracy of each contender."""
    seeds = f"seed {runs[0].seed}" if len(runs) == 1 else f"mean ± standard deviation of {len(runs)} seeds"
    low, high = LEFT_OUT
    table = _table(
        f"Test accuracy ({seeds})",
        ["", "between trained", f"left out, {low:g}-{high:g}°", "upright"],
    )
    parts: list[Callable[[Score], float]] = [lambda s: s.between, lambda s: s.left_out, lambda s: s.upright]
    for score in runs[0].scores:
        scores = _scores(runs, score.contender.key)
        table.add_row(score.contender.title, *(with_spread([part(s) for s in scores]) for part in parts))
    return table


def training_table(runs: list[Run], settings: Settings) -> Table:
    """What each learning rate reached on the validation images, and what was chosen."""
    rates = [f"rate {rate:g}" for rate in settings.rates]
    table = _table(
        f"{'Mean of the best' if len(runs) > 1 else 'Best'} validation accuracy with each learning rate, each trained to its "
        f"plateau ({3 * settings.patience} epochs without a better one), and the rate chosen by it",
        ["", *rates, "chosen", "its epochs", "seconds"],
    )
    for score in runs[0].scores:
        scores = _scores(runs, score.contender.key)
        reached = [f"{np.mean([s.trained.validation[rate] for s in scores]):.3f}" for rate in settings.rates]
        chosen = Counter(s.trained.rate for s in scores)
        names = [f"{rate:g}" + (f" ({count}x)" if len(runs) > 1 else "") for rate, count in sorted(chosen.items())]
        epochs = f"{np.mean([s.trained.epochs for s in scores]):.0f}"
        limited = sum(not s.trained.at_plateau for s in scores)
        if limited:
            epochs += " (limit)" if len(runs) == 1 else f" ({limited}x limit)"
        seconds = f"{np.mean([s.seconds for s in scores]):.1f}"
        table.add_row(score.contender.name, *reached, ", ".join(names), epochs, seconds)
    return table


def cost_table(run: Run, costs: list[Cost]) -> Table:
    """Weights and microseconds of each contender once deployed."""
    table = _table("Deployed for one angle", ["", "weights", "µs for one image", f"µs an image, {MANY:,} at a time"])
    for score, cost in zip(run.scores, costs, strict=True):
        name = "the network that the hypernetwork made" if score.contender.is_hyper else score.contender.name
        table.add_row(name, f"{cost.weights:,}", f"{cost.alone:.1f}", f"{cost.in_batch:.2f}")
    return table


def verdicts(runs: list[Run]) -> list[str]:
    """The hypernetwork against each other contender that saw all angles, in points of accuracy, won or lost."""
    low, high = LEFT_OUT
    lines = []
    for where, part in (
        ("between trained angles", "between"),
        (f"in the range {low:g}-{high:g}° left out", "left_out"),
    ):
        differences = []
        for key in ("a", "c", "d"):
            pairs = zip(_scores(runs, "hypernetwork"), _scores(runs, key), strict=True)
            points = [100 * (getattr(mine, part) - getattr(other, part)) for mine, other in pairs]
            spread = f" ± {np.std(points, ddof=1):.1f}" if len(points) > 1 else ""
            differences.append(f"({key}) {np.mean(points):+.1f}{spread}")
        lines.append(f"Hypernetwork minus others, points of accuracy {where}: {', '.join(differences)}")
    return lines


def deployment_lines(deployed: Deployed, hyper_weights: int, switching: float) -> list[str]:
    """What became of the saved model."""
    hyper_size, network_size = deployed.sizes()
    count = len(deployed.labels)
    shown = slice(0, DIGITS_SHOWN)
    return [
        f"Saved {deployed.hyper_file} ({hyper_weights:,} weights, {hyper_size / 1e3:.0f} kB with the optimizer's state), "
        f"loaded it, specialised it to {deployed.angle:g}°,",
        f"saved that as {deployed.network_file} ({network_size / 1e3:.0f} kB), loaded it, and classified the test images "
        f"turned by {deployed.angle:g}°:",
        f"  {deployed.right} of {count} right ({deployed.right / count:.3f}); {deployed.as_before} of {count} "
        "answers as before saving",
        f"  digits     {' '.join(map(str, deployed.labels[shown]))} ...",
        f"  classified {' '.join(map(str, deployed.predicted[shown]))} ...",
        f"New weights for another angle take {switching:.0f} µs (generate and set_weights).",
    ]
