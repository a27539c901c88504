"""The hypernetwork floor from C: every head, every mode, own and generated weights together, blocks and parts of blocks.

`tests/c/hyper.c` does the work; this file compiles and runs it. `hyper_sizes.c` asks whether a workspace's memory is
enough for every run, `hyper_unreached.c` what becomes of weights that no gradient reaches.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from c_build import checked, program, run

# What each part must at least have checked: a test that checks nothing does not pass.
PARTS = {"predict": 1100, "gradients": 1100, "blocks": 140, "mistakes": 50, "resources": 28}


@pytest.fixture(scope="module")
def hyper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program("tests/c/hyper.c", tmp_path_factory.mktemp("hyper"))


SHARE = 7  # of blocks, which take long, only every so manieth in the ordinary run


@pytest.mark.parametrize("part", PARTS)
def test_hyper(hyper: Path, part: str) -> None:
    if part == "blocks":
        assert checked(hyper, part, str(SHARE)) >= PARTS[part] // SHARE
    else:
        assert checked(hyper, part) >= PARTS[part]


@pytest.mark.slow
@pytest.mark.gate
def test_all_blocks(hyper: Path) -> None:
    assert checked(hyper, "blocks") >= PARTS["blocks"]


def test_memory_is_enough_for_every_run(tmp_path: Path) -> None:
    """Of fewer groups or rows, too; with kernels of very different sizes."""
    assert run(program("tests/c/hyper_sizes.c", tmp_path)) == "400000 checked\n"


def test_weights_that_no_gradient_reaches(tmp_path: Path) -> None:
    """Their own is zero, in every order of contraction, as if the output's gradient were given as zeros."""
    assert checked(program("tests/c/hyper_unreached.c", tmp_path)) >= 120_000
