"""A picture of a run: how near hypernet and its peers come to the limit of the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

HYPERNET = "hypernet"
OURS, BEST, OTHERS, GOAL = "#1f5fa8", "#e0903c", "#8a8a8a", "#b02020"
HEIGHT = 0.36


def rows_of(run: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Workloads with a measured limit, and their variants, from top to bottom."""
    rows = []
    for name, workload in run["workloads"].items():
        rows.append((name, workload[HYPERNET]))
        for who, figures in workload["variants"].items():
            rows.append((f"{name} {who.removeprefix(HYPERNET + '-')}", figures))
    return [(name, figures) for name, figures in rows if figures["fraction_of_limit"] is not None]


def plot_threads(axes: Axes, rows: list[tuple[str, dict[str, Any]]], title: str) -> None:
    for y, (_, figures) in enumerate(rows):
        ours = figures["fraction_of_limit"]
        axes.barh(y - HEIGHT / 2, ours, HEIGHT, color=OURS)
        is_long = ours > 0.15
        axes.text(
            ours,
            y - HEIGHT / 2,
            f" {100 * ours:.0f} % ",
            va="center",
            ha="right" if is_long else "left",
            fontsize=8,
            color="white" if is_long else OURS,
        )
        goal = figures["goal"]["fraction_of_limit"]
        if goal is not None:
            axes.plot([goal, goal], [y - HEIGHT, y], color=GOAL, linewidth=2)
        for peer, found in figures["peers"].items():
            fraction = ours / found["ratio"]
            if peer == figures["best_peer"]:
                axes.barh(y + HEIGHT / 2, fraction, HEIGHT, color=BEST)
                text = f" {peer}, {found['ratio']:.2f} x the time"
                axes.text(fraction, y + HEIGHT / 2, text, va="center", fontsize=8)
            else:
                axes.plot(
                    fraction, y + HEIGHT / 2, "o", markersize=3.5, color=OTHERS, markeredgecolor="white", zorder=3
                )
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.25, *(1.25 * figures["fraction_of_limit"] for _, figures in rows)))
    axes.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1))
    axes.set_xlabel("speed, as part of what the machine can do")
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)


def add_legend(figure: Any) -> None:
    handles = [
        plt.Rectangle((0, 0), 1, 1, color=OURS, label="hypernet"),
        plt.Rectangle((0, 0), 1, 1, color=BEST, label="the best peer"),
        plt.Line2D([], [], marker="o", linestyle="", color=OTHERS, label="other peers"),
        plt.Line2D([], [], color=GOAL, linewidth=2, label="goal"),
        plt.Line2D([], [], color="black", linewidth=1, label="limit measured in the same run"),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False)


def plot_run(results: dict[str, Any], path: Path) -> bool:
    """Write the picture; False if no limit was measured, so that there is nothing to draw."""
    panels = [(threads, rows_of(run)) for threads, run in results["runs"].items()]
    panels = [(threads, rows) for threads, rows in panels if rows]
    if not panels:
        return False
    height = 1.8 + 0.55 * max(len(rows) for _, rows in panels)
    figure, axes = plt.subplots(1, len(panels), figsize=(7 * len(panels), height), squeeze=False)
    for place, (threads, rows) in zip(axes[0], panels, strict=True):
        plot_threads(place, rows, f"{threads} thread{'s' if threads != '1' else ''}")
    figure.suptitle(results["machine"]["cpu"], fontsize=10)
    add_legend(figure)
    figure.tight_layout(rect=(0, 0.5 / height, 1, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True
