"""The workloads, by name."""

from __future__ import annotations

from . import generation, keras_style, training
from .workload import Goal, Phase, Variant, Workload

__all__ = ["WORKLOADS", "Goal", "Phase", "Variant", "Workload", "chosen"]

WORKLOADS: dict[str, Workload] = {
    workload.name: workload for family in (generation, training, keras_style) for workload in family.WORKLOADS
}
IMPORT = "import"  # measured in fresh processes, see imports.py


def chosen(names: list[str] | None) -> list[str]:
    """Names of workloads; one that stands before a dash means all that begin with it (W2: W2-out and W2-new)."""
    everything = [*WORKLOADS, IMPORT]
    if not names:
        return everything
    found = []
    for wanted in names:
        matching = [name for name in everything if wanted in (name, name.split("-")[0])]
        if not matching:
            raise ValueError(f"unknown workload {wanted!r}; there are {', '.join(everything)}")
        found += [name for name in matching if name not in found]
    return found
