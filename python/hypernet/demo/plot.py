"""The picture: accuracy against angle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .comparison import Run
from .data import LEFT_OUT, STEP, tested_angles

# Colours that differ for colour-blind eyes too (Okabe and Ito), and in brightness.
_STYLES: dict[str, dict[str, Any]] = {
    "hypernetwork": {"color": "#000000", "linewidth": 2.2, "zorder": 5},
    "a": {"color": "#0072B2", "linestyle": "--"},
    "b": {"color": "#999999", "linestyle": ":"},
    "c": {"color": "#D55E00", "linestyle": "-."},
    "d": {"color": "#009E73"},
}


def draw(runs: list[Run], path: Path) -> None:
    """Write a PNG: above the range where the contenders differ, below all of it; bands show one standard deviation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    detail, whole = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    angles = np.append(tested_angles(), 360.0)
    lowest = 1.0
    for score in runs[0].scores:
        key = score.contender.key
        curves = np.stack([run.score(key).accuracy for run in runs])
        curves = np.concatenate([curves, curves[:, :1]], axis=1)  # 360 degrees are 0 degrees
        mean = curves.mean(axis=0)
        if not score.contender.upright_only:
            lowest = min(lowest, float(mean.min()))
        for axes in (detail, whole):
            axes.plot(angles, mean, label=score.contender.title, **_STYLES[key])
            if len(runs) > 1:
                spread = curves.std(axis=0, ddof=1)
                axes.fill_between(angles, mean - spread, mean + spread, color=_STYLES[key]["color"], alpha=0.15, lw=0)
    for axes in (detail, whole):
        axes.axvspan(*LEFT_OUT, color="#F0E442", alpha=0.35, lw=0, zorder=0, label="angles left out of training")
        axes.grid(alpha=0.3)
        axes.set_ylabel("test accuracy")
    detail.set_ylim(np.floor(lowest * 20) / 20, 1.005)
    whole.set_ylim(0.0, 1.02)
    whole.set_xlim(0.0, 360.0)
    whole.set_xticks(np.arange(0, 361, 30))
    whole.set_xlabel(f"angle in degrees (trained every {STEP:g}; tested there and in the middle between)")
    seeds = f"seed {runs[0].seed}" if len(runs) == 1 else f"mean of {len(runs)} seeds"
    figure.suptitle(f"Handwritten digits turned by an angle: accuracy on test images ({seeds})")
    figure.legend(*detail.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=130)
