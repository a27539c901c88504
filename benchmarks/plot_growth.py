"""A picture of growth: time and memory against rows and against weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLORS = ("#1f5fa8", "#e0903c", "#3c8a4a", "#8a3c8a")
TITLES = {"rows": "{weights:,} weights, growing rows", "weights": "{rows:,} rows, growing weights"}


def in_words(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def plot_time(axes: Axes, points: list[dict[str, Any]], along: str) -> None:
    """Points, and a straight line at the best rate of all: where growth is linear they lie on it."""
    for color, threads in zip(COLORS, sorted({point["threads"] for point in points}), strict=False):
        own = [point for point in points if point["threads"] == threads]
        at = [point[along] for point in own]
        rate = min(point["seconds"] / point[along] for point in own)
        axes.loglog(at, [point["seconds"] for point in own], "o-", color=color, label=in_words(threads))
        axes.loglog(at, [rate * place for place in at], ":", color=color, label=f"linear, {in_words(threads)}")
    axes.set_ylabel("seconds")


def plot_memory(axes: Axes, points: list[dict[str, Any]], along: str) -> None:
    measured = [point for point in points if point["peak_bytes"] is not None]
    for color, threads in zip(COLORS, sorted({point["threads"] for point in measured}), strict=False):
        own = [point for point in measured if point["threads"] == threads]
        peaks = [max(point["peak_bytes"], 4096) / 1e6 for point in own]
        axes.loglog([point[along] for point in own], peaks, "o-", color=color, label=in_words(threads))
    at = sorted({point[along] for point in points})
    whole = {point[along]: 4 * point["rows"] * point["weights"] / 1e6 for point in points}
    axes.loglog(at, [whole[place] for place in at], ":", color="black", linewidth=1, label="all generated weights")
    axes.set_ylabel("peak of a call, MB")


def plot_growth(results: dict[str, Any], path: Path) -> None:
    figure, places = plt.subplots(2, 2, figsize=(11, 8))
    for column, (along, points) in enumerate(results["series"].items()):
        plot_time(places[0][column], points, along)
        plot_memory(places[1][column], points, along)
        places[0][column].set_title(TITLES[along].format(**points[0]))
        for axes in places[:, column]:
            axes.set_xlabel(along)
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(fontsize=8, frameon=False)
    figure.suptitle(results["machine"]["cpu"], fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
