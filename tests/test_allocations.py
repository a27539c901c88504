"""Allocations that fail, one after the other, of CPython and of the library, in every operation of a model.

Each ends in MemoryError (OSError where there are files). Models, optimizers and files are then bit for bit what they
were, or, where the operation had done its work and only what follows failed, what a whole operation makes of them; after
`fit`, what they are after one of its steps. The same operation works afterwards, and no block of the library is lost.
See failing_allocations.py, which does it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from failing_allocations import ALLOCATE_NOTHING, operations

OPERATIONS = list(operations(Path()))


def fail(operation: str, kind: str, stride: int, folder: Path) -> dict[str, Any]:
    if kind == "python":
        testcapi = pytest.importorskip("_testcapi", reason="this CPython was built without its test modules")
        if not hasattr(testcapi, "set_nomemory"):
            pytest.skip("this CPython cannot make allocations fail")
    script = Path(__file__).with_name("failing_allocations.py")
    done = subprocess.run(
        [sys.executable, str(script), operation, kind, str(stride), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert not found["wrong"], {key: (len(value), value[0]) for key, value in found["wrong"].items()}
    return found


@pytest.mark.parametrize(("operation", "kind", "stride"), [("vjp", "python", 9), ("train_on_batch", "python", 9)])
def test_some_allocations_that_fail(operation: str, kind: str, stride: int, tmp_path: Path, evidence: Any) -> None:
    """A share of what follows, for the ordinary run."""
    found = fail(operation, kind, stride, tmp_path)
    evidence(f"every {stride}th allocation of {kind} fails in {operation}", tried=found["attempts"], required=10)


@pytest.mark.slow
@pytest.mark.gate
@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name not in ALLOCATE_NOTHING])
def test_every_allocation_of_the_library_fails(operation: str, tmp_path: Path, evidence: Any) -> None:
    """The k-th allocation of the C library, for every k; there is at least one."""
    found = fail(operation, "library", 1, tmp_path)
    claim = f"every allocation of the library fails in {operation}"
    evidence(claim, tried=found["failures"], required=max(found["allocations"], 1))


@pytest.mark.slow
@pytest.mark.gate
@pytest.mark.parametrize("operation", sorted(ALLOCATE_NOTHING))
def test_what_allocates_nothing(operation: str, tmp_path: Path) -> None:
    """These use memory of NumPy's and CPython's, and what the library has kept: none of its allocations can fail."""
    found = fail(operation, "library", 1, tmp_path)
    assert (found["allocations"], found["failures"]) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_allocation_of_python_fails(operation: str, tmp_path: Path, evidence: Any) -> None:
    """The k-th allocation of CPython, the binding's among them, for every k."""
    found = fail(operation, "python", 1, tmp_path)
    details = {key: found[key] for key in ("allocations", "failures")}
    claim = f"every allocation of CPython fails in {operation}"
    evidence(claim, tried=found["attempts"], required=found["allocations"], **details)
