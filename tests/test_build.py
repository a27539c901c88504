"""The switches of setup.py: debug, sanitizers, coverage, warnings as errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from c_build import COMPILER, ROOT, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(COMPILER[0]) is None, reason="there is no C compiler"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into ELF files"),
]
STEP = """
import hypernet as hn, numpy as np
target = hn.target_network(6, 3)
hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)
hyper.compile("adam", "sparse_categorical_crossentropy")
print(hn._core.__file__)
print(hyper.train_on_batch([np.ones((5, 4)), np.ones((5, 6))], np.zeros(5, int)) > 0)
"""


def build(folder: Path, **switches: str) -> tuple[Path, str]:
    """The extension built with these switches, in a copy of the package; what the build said."""
    site = folder / "site"
    shutil.copytree(ROOT / "python" / "hypernet", site / "hypernet", ignore=shutil.ignore_patterns("*.so", "*.pyc"))
    command = [sys.executable, "setup.py", "build_ext", "--build-lib", str(site), "--build-temp", str(folder / "temp")]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **switches}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((site / "hypernet").glob("_core*.so")), done.stdout


def step(extension: Path, **environment: str) -> None:
    """A training step with this extension and no other."""
    environment = {**os.environ, "PYTHONPATH": str(extension.parents[1]), **environment}
    done = subprocess.run([sys.executable, "-c", STEP], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(extension), "True"]


def test_debug_without_a_warning(tmp_path: Path) -> None:
    extension, said = build(tmp_path, HYPERNET_DEBUG="1", HYPERNET_WERROR="1")
    assert "-O0" in said and "-Werror" in said
    assert ".debug_info" in run("objdump", "-h", extension)
    step(extension)


def test_warnings_are_errors(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="-Werror"):
        build(tmp_path, HYPERNET_DEBUG="1", HYPERNET_WERROR="1", CFLAGS="-Wpadded")


def test_coverage(tmp_path: Path) -> None:
    extension, _ = build(tmp_path, HYPERNET_COVERAGE="1")
    step(extension)
    counted = {path.stem for path in (tmp_path / "temp").rglob("*.gcda")}
    assert {"plan", "dense", "hyper", "step", "threads"} <= counted


def test_sanitizer(tmp_path: Path) -> None:
    """The address sanitizer takes many minutes to build and has to be loaded before Python: LD_PRELOAD."""
    extension, _ = build(tmp_path, HYPERNET_SANITIZE="undefined")
    assert "__ubsan_handle" in run("nm", "-D", "--undefined-only", extension)
    step(extension)
