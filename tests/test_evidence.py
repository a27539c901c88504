"""The evidence file: claims are asserted, merged over runs, and kept with the verdict of their test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import evidence as evidence_file

TESTS = """
def test_right(evidence):
    evidence("right", tried=3, required=3, worst=1.0, bound=2.0, unit="ulp", seeds=[1, 2])

def test_too_few(evidence):
    evidence("too few", tried=2, required=3)
"""


def claims_of(folder: Path, tests: str) -> dict[str, dict[str, object]]:
    (folder / "test_claims.py").write_text(tests)
    (folder / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {Path(__file__).parent}\n")
    environment = os.environ | {"HYPERNET_EVIDENCE": str(folder / "evidence.json")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return json.loads((folder / "evidence.json").read_text())["claims"]


def test_claims_are_kept_and_merged(tmp_path: Path) -> None:
    claims = claims_of(tmp_path, TESTS)
    assert (claims["right"]["passed"], claims["too few"]["passed"]) == (True, False)
    assert claims["right"]["worst"] == 1.0 and claims["right"]["seeds"] == [1, 2]
    again = claims_of(tmp_path, TESTS[TESTS.index("def test_too_few") :].replace("tried=2", "tried=4"))
    assert set(again) == {"right", "too few"}
    assert again["too few"]["passed"] is True and again["too few"]["tried"] == 4


def test_the_table_names_every_claim(tmp_path: Path) -> None:
    claims_of(tmp_path, TESTS)
    printed = evidence_file.table(evidence_file.read(tmp_path / "evidence.json"))
    assert "FAILED" in printed and "too few" in printed and "1 ulp <= 2" in printed


@pytest.mark.parametrize("worst", [2.5, float("nan"), float("inf")])
def test_what_lies_over_its_bound_fails(worst: float) -> None:
    with pytest.raises(AssertionError, match="over the bound"):
        evidence_file.Recorder("here")("much", tried=1, required=1, worst=worst, bound=2.0)


def test_too_few_trials_fail() -> None:
    with pytest.raises(AssertionError, match="2 tried, 3 required"):
        evidence_file.Recorder("here")("few", tried=2, required=3)
