"""The hypernetwork floor from C: every head, every mode, own and generated weights together, blocks and parts of blocks.

`tests/c/hyper.c` does the work; this file compiles and runs it, as it is and with the sanitizers. `hyper_sizes.c` asks
whether a workspace's memory is enough for every run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from c_build import SANITIZERS, checked, program, run, sanitized

# What each part must at least have checked: a test that checks nothing does not pass.
PARTS = {"predict": 1100, "gradients": 1100, "blocks": 140, "mistakes": 50, "resources": 28}


@pytest.fixture(scope="module")
def hyper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program("tests/c/hyper.c", tmp_path_factory.mktemp("hyper"))


@pytest.mark.parametrize("part", PARTS)
def test_hyper(hyper: Path, part: str) -> None:
    assert checked(hyper, part) >= PARTS[part]


def test_memory_is_enough_for_every_run(tmp_path: Path) -> None:
    """Of fewer groups or rows, too; with kernels of very different sizes."""
    assert run(program("tests/c/hyper_sizes.c", tmp_path)) == "400000 checked\n"


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_hyper_under_sanitizers(sanitizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ("ASAN_OPTIONS", "TSAN_OPTIONS"):  # too much memory is asked for on purpose
        monkeypatch.setenv(options, "allocator_may_return_null=1")
    path = sanitized("tests/c/hyper.c", tmp_path, sanitizer)
    for part, least in PARTS.items():
        assert checked(path, part) >= least
