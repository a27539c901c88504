"""The hypernetwork floor from C: every head, every mode, own and generated weights together, blocks and parts of blocks.

`tests/c/hyper.c` does the work; this file compiles and runs it, as it is and with the sanitizers.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from c_build import COMPILER, FLAGS, program, run

# What each part must at least have checked: a test that checks nothing does not pass.
PARTS = {"predict": 1100, "gradients": 1100, "blocks": 140, "mistakes": 50, "resources": 28}
SANITIZERS = {"address": "-fsanitize=address,undefined", "thread": "-fsanitize=thread"}


def checked(path: Path, part: str) -> int:
    found = re.fullmatch(r"(\d+) checked\n", run(path, part))
    assert found
    return int(found[1])


@pytest.fixture(scope="module")
def hyper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program("tests/c/hyper.c", tmp_path_factory.mktemp("hyper"))


@pytest.mark.parametrize("part", PARTS)
def test_hyper(hyper: Path, part: str) -> None:
    assert checked(hyper, part) >= PARTS[part]


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_hyper_under_sanitizers(sanitizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ("ASAN_OPTIONS", "TSAN_OPTIONS"):  # too much memory is asked for on purpose
        monkeypatch.setenv(options, "allocator_may_return_null=1")
    if shutil.which(COMPILER[0]) is None:
        pytest.skip("there is no C compiler")
    path = program("tests/c/hyper.c", tmp_path, (*FLAGS, SANITIZERS[sanitizer], "-fno-sanitize-recover=all"))
    for part, least in PARTS.items():
        assert checked(path, part) >= least
