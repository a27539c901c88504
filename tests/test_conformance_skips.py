"""What conftest.py is for: in the conformance run a skipped test is a failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CASES = {
    "a test that skips": ("def test(): pytest.skip('no Keras')", "conformance", 1),
    "a marked skip": ("@pytest.mark.skip(reason='no Keras')\ndef test(): pass", "conformance", 1),
    "a fixture that skips": (
        "@pytest.fixture\ndef keras(): pytest.importorskip('no_such_module')\ndef test(keras): pass",
        "conformance",
        1,
    ),
    "a file that skips": ("pytest.importorskip('no_such_module')\ndef test(): pass", "conformance", 2),
    "one that runs": ("def test(): pass", "conformance", 0),
    "a skip elsewhere": ("pytestmark = []\ndef test(): pytest.skip('no terminal')", "not conformance", 0),
}


@pytest.mark.parametrize("name", CASES)
def test_skips_fail_in_the_conformance_run(name: str, tmp_path: Path) -> None:
    code, chosen, status = CASES[name]
    (tmp_path / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nmarkers = conformance\npythonpath = {Path(__file__).parent}\n")
    (tmp_path / "test_it.py").write_text(f"import pytest\npytestmark = pytest.mark.conformance\n{code}\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", chosen]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    assert ("may not be skipped" in done.stdout) == (status != 0)
