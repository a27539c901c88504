"""Environment variables and the processors that are allowed choose instruction set and threads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypernet import _core

from c_build import instruction_sets

NETWORK = """
import hypernet as hn, numpy as np
from hypernet import _core
hn.utils.set_random_seed(0)
target = hn.target_network(20, 5)
hyper = hn.HyperModel(hn.hypernetwork(7, target.count_params()), target)
rng = np.random.default_rng(0)
y = hyper([rng.standard_normal((33, 7)), rng.standard_normal((33, 20))])
print(_core.isa(), *y.reshape(-1).tolist())
"""
FUNCTION = "import hypernet as hn, numpy as np; hn.activations.tanh(np.ones(3, np.float32))"
THREADS = "import hypernet as hn; print(hn.get_num_threads())"


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    names = ("HYPERNET_ISA", "HYPERNET_NUM_THREADS", "OMP_NUM_THREADS")
    others = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**others, **environment})


def numbers(answer: str) -> tuple[str, list[float]]:
    name, *values = answer.split()
    return name, [float(value) for value in values]


@pytest.mark.parametrize("isa", instruction_sets())
def test_an_instruction_set_can_be_forced(isa: str) -> None:
    done = run(NETWORK, HYPERNET_ISA=isa)
    if isa not in _core.available_isas():
        assert f"HYPERNET_ISA={isa}: this processor (or build) cannot run it" in done.stderr
        return
    name, values = numbers(done.stdout)
    assert name == isa
    assert len(values) == 33 * 5
    assert values == pytest.approx(numbers(run(NETWORK).stdout)[1], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("code", [NETWORK, FUNCTION], ids=["network", "function"])
def test_an_unknown_instruction_set_is_an_error(code: str) -> None:
    message = run(code, HYPERNET_ISA="mmx").stderr
    assert f"HYPERNET_ISA=mmx is unknown: expected one of {', '.join(instruction_sets())}" in message


def test_the_best_instruction_set_is_the_default() -> None:
    order = [isa for isa in ("avx512", "avx2", "neon", "scalar") if isa in _core.available_isas()]
    assert numbers(run(NETWORK).stdout)[0] == order[0]


def test_number_of_threads() -> None:
    assert run(THREADS, HYPERNET_NUM_THREADS="3", OMP_NUM_THREADS="5").stdout.strip() == "3"
    assert run(THREADS, OMP_NUM_THREADS="5").stdout.strip() == "5"
    default = int(run(THREADS).stdout)
    assert 1 <= default <= (os.cpu_count() or 1)
    for nonsense in ("0", "-2", "many", ""):
        assert int(run(THREADS, HYPERNET_NUM_THREADS=nonsense).stdout) == default


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
def test_threads_follow_the_affinity() -> None:
    pinned = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n" + THREADS
    assert run(pinned).stdout.strip() == "1"
