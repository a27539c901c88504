"""Products so large that they are cut along every axis, in rows, columns and depth, against NumPy in float64.

The random shapes of test_kernels.py are small, for the reference's sake; here expected values come from NumPy.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypernet import _core

from c_build import instruction_sets
from evidence import Recorder

CODE = """
import numpy as np, hypernet as hn
from hypernet import _core

assert _core.isa() == {isa!r}, _core.isa()
worst = 0.0
for rows, inputs, units in ((1500, 700, 600), (700, 1300, 517), (2100, 64, 1030), (33, 2500, 900)):
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(rows)
        model = hn.Sequential([hn.Input((inputs,), dtype=dtype), hn.layers.Dense(units, dtype=dtype)])
        x, dy = rng.standard_normal((rows, inputs)).astype(dtype), rng.standard_normal((rows, units)).astype(dtype)
        kernel, bias = (rng.standard_normal(w.shape).astype(dtype) for w in model.get_weights())
        model.set_weights([kernel, bias])
        y, pullback = model.vjp(x)
        gradients = pullback(dy)
        parts = gradients.params[: kernel.size].reshape(kernel.shape)
        wide, eps = np.longdouble if dtype is np.float64 else np.float64, np.finfo(dtype).eps
        for name, got, a, b, added in (
            ("y", y, x, kernel, bias), ("dx", gradients.inputs, dy, kernel.T, 0 * x[0]), ("dw", parts, x.T, dy, 0 * bias)
        ):
            sample = np.unique(np.linspace(0, a.shape[0] - 1, 9).astype(int))  # of the result's rows, the last too
            exact = a[sample].astype(wide) @ b.astype(wide) + added
            sizes = np.abs(a[sample]).astype(wide) @ np.abs(b).astype(wide) + np.abs(added)
            bound = (a.shape[1] + 2) * eps * sizes
            worst = max(worst, float(np.max(np.abs(got[sample] - exact) / bound)))
print(worst)
"""


@pytest.mark.slow
@pytest.mark.gate
@pytest.mark.parametrize("isa", instruction_sets()[1:])
def test_products_that_are_cut_along_every_axis(isa: str, evidence: Recorder) -> None:
    """Values and both gradients of a dense layer: within (K + 2) eps sum |a b| of the exact product."""
    if isa not in _core.available_isas():
        pytest.skip(f"this processor or build has no {isa}")
    surroundings = {**os.environ, "HYPERNET_ISA": isa}
    code = CODE.format(isa=isa)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=surroundings, check=False)
    assert done.returncode == 0, done.stderr
    evidence(
        f"products cut along every axis, {isa}",
        tried=24,
        required=24,
        worst=float(done.stdout),
        bound=1,
        unit="of the bound",
    )
