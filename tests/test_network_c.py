"""The network and training floors from C, with the reference kernels and every instruction set that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from c_build import checked, instruction_sets, program, run

CONFIGURATIONS = 12  # of each op in each mode: 1x1, 1xM, Nx1 and NxM groups x rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("network")


def test_plans(folder: Path) -> None:
    assert run(program("tests/c/network.c", folder)) == "ok\n"


def test_layers_are_found_by_name(folder: Path) -> None:
    """With any names and after any failure each layer is found as by looking at all; the time for it is linear."""
    assert checked(program("tests/c/layers.c", folder)) >= 70_000


def test_steps(folder: Path) -> None:
    assert run(program("tests/c/step.c", folder)) == "ok\n"


@pytest.fixture(scope="module")
def ops(folder: Path) -> Path:
    return program("tests/c/network_ops.c", folder)


@pytest.mark.parametrize("isa", instruction_sets())
def test_every_op(ops: Path, isa: str) -> None:
    """Forward against single rows, backward against finite differences, float32 against float64."""
    answer = run(ops, isa, str(CONFIGURATIONS))
    if answer == "not available\n":
        pytest.skip(f"{isa} is not available here")
    counts = re.fullmatch(r"(\d+) configurations, (\d+) slopes, (\d+) redrawn\n", answer)
    assert counts is not None, answer
    configurations, slopes, _ = map(int, counts.groups())
    assert configurations >= 500
    assert slopes >= 10 * configurations


def test_refusals_and_first_weights(tmp_path: Path) -> None:
    """Mistakes that only C programs can make are refused in words; first weights keep the limits of Keras's defaults."""
    assert checked(program("tests/c/refusals.c", tmp_path), tmp_path / "never written") >= 41
