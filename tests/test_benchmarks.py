"""The benchmarks do the work that they say: every workload agrees with NumPy's, and its figures follow from the times.

No time decides anything here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import hypernet as hn
import numpy as np
import pytest

import growth
import limits
import plot
import plot_growth
import report
import run
import turns
from contestants import CONTESTANTS, with_hypernet, with_numpy
from options import positive_integer, positive_number
from workloads import IMPORT, WORKLOADS, Goal, Phase, chosen, generation, training

FOLDER = Path(growth.__file__).parent
# Too large for a test as it is: its work is tested below, with fewer features.
LARGE = "W1b"
SMALL = ("W0", "W4", "call", "seed")
FIGURES = {
    "seconds",
    "limit_seconds",
    "fraction_of_limit",
    "peers",
    "best_peer",
    "ratio",
    "goal",
    "reached",
}


def run_benchmarks(folder: Path, *options: str) -> dict:
    """What a short run against NumPy writes."""
    files = ["--json", str(folder / "found.json"), "--plot", str(folder / "found.png")]
    command = [
        sys.executable,
        str(FOLDER / "run.py"),
        "--peer",
        "numpy",
        "--rounds",
        "2",
        "--seconds",
        "0.0001",
        *files,
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "found.json").read_text())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A few small workloads of every kind, timed with two threads."""
    folder = tmp_path_factory.mktemp("benchmarks")
    results = run_benchmarks(folder, "--threads", "2", "--workload", *SMALL)
    results["picture"] = (folder / "found.png").read_bytes() if (folder / "found.png").exists() else None
    return results


def test_workloads_are_those_of_the_goals():
    families = {name.split("-")[0] for name in chosen(None)}
    assert families == {
        *("W0", "W1", "W1b", "W2", "W3", "W23", "W4", "W5", "W6"),
        *("call", "fit", "predict", "seed", "import"),
    }
    assert chosen(["W2"]) == ["W2-out", "W2-new"]
    assert chosen(["W1"]) == ["W1"]
    assert chosen([IMPORT, "W0"]) == [IMPORT, "W0"]
    with pytest.raises(ValueError, match="W9"):
        chosen(["W9"])


def test_sizes_are_the_tutorials():
    assert hn.target_network(100, 10).count_params() == 14_218
    assert generation.head(2)["head_kernel"].shape == (64, 14_218)
    assert training.hyper(3, 5)["x"].shape == (3, 5, 100)
    assert training.hyper(3, None)["labels"].shape == (3,)
    assert hn.hypernetwork(100, 14_218).count_params() == training.GENERATOR_WEIGHTS


def test_every_workload_has_contestants():
    for name in WORKLOADS:
        present = {who for who, contestant in CONTESTANTS.items() if name in contestant.workloads}
        assert {"hypernet", "numpy"} <= present
        assert len(present) > 3


def test_all_workloads_agree(tmp_path):
    names = [name for name in WORKLOADS if name != LARGE]
    run = run_benchmarks(tmp_path, "--threads", "1", "--check", "--workload", *names)["runs"]["1"]
    assert run["left_out"] == {}
    assert set(run["workloads"]) == set(names)
    for name, workload in run["workloads"].items():
        assert workload["differences"]["numpy"] <= workload["tolerance"] == WORKLOADS[name].tolerance


def test_a_check_leaves_the_figures_of_a_run_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py", "--check", "--peer", "numpy", "--threads", "1", "--workload", "seed"])
    run.main()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("run.py", ["--threads", "--rounds", "--seconds"]),
        ("growth.py", ["--threads", "--largest-rows", "--largest-weights", "--seconds"]),
        ("orders.py", ["--threads", "--rounds"]),
    ],
)
def test_counts_and_times_are_positive(script, options):
    for option in options:
        kind = "number" if option == "--seconds" else "integer"
        done = subprocess.run([sys.executable, FOLDER / script, option, "0"], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].endswith(f"{option}: must be a positive {kind}, not '0'")


@pytest.mark.parametrize("read", [positive_integer, positive_number])
def test_what_is_not_positive(read):
    assert read("3") == 3
    for text in ("0", "-1", "nan", "inf", "many", ""):
        with pytest.raises(argparse.ArgumentTypeError, match=f"not '{text}'"):
            read(text)


def test_timed_workloads_have_figures(found):
    run = found["runs"]["2"]
    assert list(run["workloads"]) == list(SMALL)
    for name, workload in run["workloads"].items():
        (meeting,) = workload["meetings"]
        timed = {"hypernet"} if "numpy" in WORKLOADS[name].only_checks else {"hypernet", "numpy"}
        assert set(meeting["times"]) == timed
        assert all(len(times) == 2 and min(times) > 0 for times in meeting["times"].values())
        assert set(workload["hypernet"]) == FIGURES
        assert workload["hypernet"]["best_peer"] == ("numpy" if "numpy" in timed else None)
        assert workload["threads"] == 2


def test_json_names_machine_and_versions(found):
    assert {"cpu", "processors", "architecture", "python", "l2_bytes", "last_cache_bytes"} <= set(found["machine"])
    assert found["rounds"] == 2
    versions = found["runs"]["2"]["versions"]
    assert versions["hypernet"]["hypernet"] == hn.__version__
    assert versions["hypernet"]["isa"] in ("scalar", "avx2", "avx512", "neon")
    assert versions["numpy"]["numpy"] == np.__version__


def test_picture_is_drawn(found):
    if found["runs"]["2"]["limits"]:
        assert found["picture"].startswith(b"\x89PNG")


def test_a_large_head_agrees():
    data = generation.head(1, 4, generation.LARGE_WEIGHTS)
    ours, theirs = (library.MAKERS[LARGE](data)() for library in (with_hypernet, with_numpy))
    assert turns.difference([[ours]], [[theirs]]) < 1e-6


def test_disagreement_is_an_error():
    right, wrong = [[np.ones(3)]], [[np.array([1, 1, 1.01])]]
    assert turns.check_agreement("W0", right, right, 1e-4, "numpy") == 0
    for other in (wrong, [[np.ones(4)]], [[np.full(3, np.nan)]]):
        with pytest.raises(turns.DisagreementError, match="numpy"):
            turns.check_agreement("W0", right, other, 1e-4, "numpy")


def test_a_loss_that_does_not_move_checks_nothing():
    turns.check_progress("W4", [[np.array(2.0)], [np.array(1.9)]], 1e-4)
    with pytest.raises(turns.DisagreementError, match="moved"):
        turns.check_progress("W4", [[np.array(2.0)], [np.array(2.0001)]], 1e-4)


def test_limits_are_measured():
    try:
        measured = limits.Limits(1)
    except limits.NoCompilerError as error:
        pytest.skip(str(error))
    rates = {name: measured.rate(name, 0.003) for name in limits.names() if "DRAM" not in name}
    assert min(rates.values()) > 1e6
    assert len(rates) == 5


def test_without_a_compiler_there_are_no_limits(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "there-is-no-such-compiler")
    with pytest.raises(limits.NoCompilerError, match="there-is-no-such-compiler"):
        limits.compile_library(tmp_path)


def test_limit_is_the_longest_part_of_each_phase():
    rates = {"fma": 100.0, "read_L2": 10.0, "read_DRAM": 1.0, "store_L2": 5.0}
    phases = [Phase(flops=300, read=20, store=5), Phase(flops=100, read=50)]

    def level(size):
        return "L2" if size <= 20 else "DRAM"

    assert report.limit_seconds(phases[:1], level, rates) == 3
    assert report.limit_seconds(phases, level, rates) == 3 + 50
    assert report.limit_seconds([Phase(read=50, read_set=10)], level, rates) == 5
    assert report.limits_of_rounds(phases[:1], level, {"fma": [100, 50], "read_L2": [10, 10], "store_L2": [5, 5]}) == [
        3,
        6,
    ]


def test_figures_compare_neighbouring_turns():
    meetings = [
        {
            "times": {"hypernet": [1.0, 2.0, 4.0], "a": [3.0, 6.0, 12.0], "b": [2.0, 4.0, 9.0]},
            "rates": {"fma": [10.0, 5.0, 2.5]},
        }
    ]
    found = report.figures("hypernet", ["a", "b"], meetings, [Phase(flops=9)], lambda size: "L2", Goal(2.0, 0.9))
    assert (found["best_peer"], found["ratio"], found["seconds"]) == ("b", 2.0, 2.0)
    assert found["fraction_of_limit"] == pytest.approx(0.9)
    assert found["reached"] is True
    stricter = report.figures("hypernet", ["a", "b"], meetings, [Phase(flops=9)], lambda size: "L2", Goal(2.5, None))
    assert stricter["reached"] is False
    against = report.figures("hypernet", ["a", "b"], meetings, [], lambda size: "L2", Goal(3.0, None, against="a"))
    assert against["reached"] is True
    unmeasured = report.figures("hypernet", [], meetings, [Phase(flops=9)], lambda size: "L2", Goal(1.0, 0.5))
    assert unmeasured["reached"] is None


@pytest.mark.not_sanitized("the address sanitizer keeps freed memory for a while, and notes on all memory")
def test_growth_of_a_point(tmp_path):
    point = growth.point_in_process(1000, growth.HIDDEN, 1, 1e-9)
    assert point["weights"] == 14_218
    if point["peak_bytes"] is not None:
        assert point["peak_bytes"] < 4 * 1000 * 14_218 / 4
    points = [point, {**point, "rows": 10_000, "weights": 142_180}]
    results = {"machine": {"cpu": "any"}, "series": {"rows": points, "weights": points}}
    plot_growth.plot_growth(results, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_is_drawn_without_limits(tmp_path):
    assert plot.plot_run({"machine": {"cpu": "any"}, "runs": {}}, tmp_path / "none.png") is False
    assert list(tmp_path.iterdir()) == []
