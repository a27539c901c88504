"""The table of all cases: running them, keeping what they gave, and comparing.

A case is a function of a library. It gives numbers (by name) that go into `values.npz`, or facts (whatever JSON holds)
that go into `facts.json`. Keras fills the files; hypernet must give the same.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import (
    cases_activations,
    cases_callbacks,
    cases_facts,
    cases_fits,
    cases_layers,
    cases_losses,
    cases_metrics,
    cases_optimizers,
    cases_weights,
)
from .libraries import Case, Library, numpy_of

Array = NDArray[Any]
FOLDER = Path(__file__).resolve().parent
VALUES, FACTS = FOLDER / "values.npz", FOLDER / "facts.json"
TOLERANCE = 1e-12

VALUE_CASES: dict[str, Case] = {}
for module in (
    cases_activations,
    cases_layers,
    cases_losses,
    cases_metrics,
    cases_optimizers,
    cases_weights,
    cases_fits,
):
    VALUE_CASES.update(module.cases())
FACT_CASES: dict[str, Case] = {**cases_callbacks.cases(), **cases_facts.cases()}
TOLERANCES: dict[str, float] = {**cases_weights.TOLERANCES, **cases_fits.TOLERANCES, **cases_activations.TOLERANCES}


def run_values(name: str, library: Library) -> dict[str, Array]:
    """The numbers of one case."""
    library.k.utils.clear_session()
    return {key: numpy_of(value).astype(np.float64) for key, value in VALUE_CASES[name](library).items()}


def run_facts(name: str, library: Library) -> Any:
    """The facts of one case, as JSON gives them back."""
    library.k.utils.clear_session()
    return json.loads(json.dumps(FACT_CASES[name](library)))


def distance(found: Array, expected: Array) -> float:
    """The normwise error of finite numbers; infinite if the shapes, or the places of nan and inf, differ."""
    if found.shape != expected.shape:
        return math.inf
    finite = np.isfinite(expected)
    if not np.array_equal(found[~finite], expected[~finite], equal_nan=True) or not np.isfinite(found[finite]).all():
        return math.inf
    largest = float(np.abs(expected[finite]).max(initial=0.0)) or 1.0  # squares of huge numbers would overflow
    norm = float(np.linalg.norm(expected[finite] / largest))
    return float(np.linalg.norm((found[finite] - expected[finite]) / largest)) / (norm if norm > 0 else 1.0)


def differences(name: str, found: dict[str, Array], expected: dict[str, Array]) -> list[str]:
    """What of a case does not agree, in words."""
    tolerance = TOLERANCES.get(name, TOLERANCE)
    if found.keys() != expected.keys():
        return [f"{name}: has {sorted(found)}, expected {sorted(expected)}"]
    texts = []
    for key, values in expected.items():
        error = distance(found[key], values)
        if not error <= tolerance:
            texts.append(
                f"{name}, {key}: normwise error {error:.3g} > {tolerance:.0e}: shape {found[key].shape}, expected "
                f"{values.shape};\nfound    {found[key].reshape(-1)[:6]}\nexpected {values.reshape(-1)[:6]}"
            )
    return texts


def save(values: dict[str, dict[str, Array]], facts: dict[str, Any]) -> None:
    """Write both files."""
    flat = {f"{name}::{key}": array for name, arrays in values.items() for key, array in arrays.items()}
    np.savez_compressed(VALUES, **flat)
    FACTS.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load() -> tuple[dict[str, dict[str, Array]], dict[str, Any]]:
    """Read both files."""
    values: dict[str, dict[str, Array]] = {}
    with np.load(VALUES) as file:
        for flat in file.files:
            name, _, key = flat.partition("::")
            values.setdefault(name, {})[key] = file[flat]
    return values, json.loads(FACTS.read_text(encoding="utf-8"))
