"""What importing the package costs: little over NumPy, because what only training or printing needs comes later."""

from __future__ import annotations

import subprocess
import sys

import pytest

LATER = ["tqdm", "rich", "hypernet.callbacks", "hypernet.losses", "hypernet.metrics", "hypernet.optimizers"]


def run(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def test_what_training_needs_is_imported_later() -> None:
    script = f"import sys, hypernet; print([name for name in {LATER} if name in sys.modules])"
    assert run(script).strip() == "[]"


def test_a_model_predicts_without_it() -> None:
    script = (
        "import sys, hypernet as hn\n"
        "target = hn.target_network(3, 2)\n"
        "hyper = hn.HyperModel(hn.hypernetwork(4, target.count_params()), target)\n"
        "hyper([hn.ones((5, 4)), hn.ones((5, 3))]), hyper.specialize(hn.ones(4))\n"
        f"print([name for name in {LATER} if name in sys.modules])"
    )
    assert run(script).strip() == "[]"


@pytest.mark.parametrize("name", ["callbacks", "keras", "losses", "metrics", "optimizers", "saving", "utils", "layers"])
def test_every_module_is_an_attribute(name: str) -> None:
    script = (
        f"import hypernet as hn\n"
        f"assert {name!r} in dir(hn)\n"
        f"module = hn.{name}\n"
        f"import hypernet.{name}\n"
        f"assert hypernet.{name} is module\n"
    )
    run(script)


def test_star_import_and_unknown_names() -> None:
    run("from hypernet import *; optimizers.Adam, losses.Huber, keras.Model")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("import hypernet; hypernet.nonsense")
    assert "module 'hypernet' has no attribute 'nonsense'" in caught.value.stderr


@pytest.mark.slow
def test_import_takes_at_most_20_ms_over_numpy() -> None:
    script = (
        "import time, numpy\n"
        "before = time.process_time()\n"
        "import hypernet\n"
        "print(1000 * (time.process_time() - before))"
    )
    assert min(float(run(script)) for _ in range(20)) <= 20
