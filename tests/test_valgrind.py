"""The C programs of tests/c and of the examples under valgrind's memcheck: no wrong access, nothing undefined, no leak.

Valgrind 3.19 does not know AVX-512, and hides it from programs; so kernels run as AVX2's and as scalar ones. Programs
are the same as in test_other_processors.py, in smaller sizes: they take some 20 times as long here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import hypernet as hn
import pytest

from c_build import ROOT, program
from evidence import Recorder
from test_kernels import MAPS, shapes_tried, worst_errors
from test_other_processors import CHECKED, KERNELS, OPS, PARTS

pytestmark = [
    pytest.mark.skipif(shutil.which("valgrind") is None, reason="there is no valgrind"),
    pytest.mark.not_sanitized("valgrind and the sanitizers both replace malloc"),
]
VALGRIND = (
    *(
        "valgrind",
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--show-leak-kinds=definite,indirect,possible",
    ),
    *("--errors-for-leak-kinds=definite,indirect,possible", f"--suppressions={ROOT / 'tests' / 'valgrind.supp'}"),
)
INSTRUCTION_SETS = ("avx2", "scalar")
ONCE = {"step", "threads"}  # go through all instruction sets themselves, or use none
SHARES = {"network": 101, "predict": 17, "gradients": 101, "blocks": 307}  # of the cases of long parts only so manieth
LEAST = {"network": 1, "step": 1, "hyper": 200, "quantized": 81_000, "threads": 3_762}
SHAPES = 20  # random ones of each kernel program
PLANTED = {
    "a value that nothing set": 'int *p = malloc(4); if (*p) puts("set"); free(p);',
    "a read behind the end": "char *p = calloc(8, 1); putchar(p[8]); free(p);",
    "a leak": "void *volatile p = malloc(8); p = NULL; return p != NULL;",
}

Built = Callable[[str], Path]


def checked_run(*command: str | Path, monkeypatch: pytest.MonkeyPatch | None = None, isa: str = "") -> str:
    """The output of a program in which valgrind finds nothing."""
    if monkeypatch:
        monkeypatch.setenv("HYPERNET_ISA", isa)
    done = subprocess.run([*VALGRIND, *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, f"{command[0]} {command[1:]}\n{done.stdout}\n{done.stderr}"
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A program of tests/c, or of the examples."""
    folder = tmp_path_factory.mktemp("valgrind")
    made: dict[str, Path] = {}

    def build(name: str) -> Path:
        if name not in made:
            made[name] = program(next(iter(ROOT.glob(f"*/{name}.c")), ROOT / "tests" / "c" / f"{name}.c"), folder)
        return made[name]

    return build


@pytest.mark.slow
@pytest.mark.gate
@pytest.mark.parametrize("defect", PLANTED)
def test_planted_defects_are_found(defect: str, tmp_path: Path) -> None:
    """A program with a defect fails: valgrind is called so that it says what it finds."""
    source = tmp_path / "planted.c"
    source.write_text(
        f"#include <stdio.h>\n#include <stdlib.h>\nint main(void)\n{{\n{PLANTED[defect]}\nreturn 0;\n}}\n"
    )
    subprocess.run(["cc", "-O0", "-g", source, "-o", tmp_path / "planted"], check=True)
    done = subprocess.run([*VALGRIND, tmp_path / "planted"], capture_output=True, text=True)
    assert done.returncode == 99 and "planted.c" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_kernels(isa: str, built: Built, evidence: Recorder) -> None:
    """Every kernel on random shapes, and every function on some hundred numbers."""
    for name in KERNELS:
        assert shapes_tried(checked_run(built(f"kernels_{name}"), isa, "2026", str(SHAPES)))[0] == SHAPES
    worst = worst_errors(checked_run(built("kernels_ulp"), isa, "17", str(16 * 1048583)))
    inputs = sum(count for count, *_ in worst.values())
    evidence(
        f"random shapes of kernels without a report of valgrind, {isa}",
        tried=SHAPES * len(KERNELS), required=140, programs=len(KERNELS), inputs_of_functions=inputs,
    )  # fmt: skip
    assert inputs >= 200 * len(MAPS)


@pytest.mark.slow
@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_every_op(isa: str, built: Built, evidence: Recorder) -> None:
    """One configuration of each op in each mode, forward and backward."""
    found = re.fullmatch(OPS, checked_run(built("network_ops"), isa, "1"))
    assert found
    evidence(f"configurations of ops without a report of valgrind, {isa}", tried=int(found[1]), required=40)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("isa", "name"), [(isa, name) for isa in INSTRUCTION_SETS for name in LEAST if isa == "avx2" or name not in ONCE]
)
def test_programs(isa: str, name: str, built: Built, evidence: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks, steps, hypernetworks, quantised heads and the pool of threads, with all the mistakes they refuse."""
    tried = 0
    for arguments, pattern in PARTS[name]:
        values = {"share": str(SHARES.get(arguments[0] if name == "hyper" else name)), "isa": isa}
        words = [values.get(word, word) for word in arguments]
        output = checked_run(built(name), *words, monkeypatch=monkeypatch, isa=isa)
        found = re.fullmatch(pattern, output)
        assert found, output
        tried += int(found[1]) if found.groups() else 1
    evidence(f"cases of the program {name} without a report of valgrind, {isa}", tried=tried, required=LEAST[name])


@pytest.mark.slow
def test_files(built: Built, tmp_path: Path, evidence: Recorder) -> None:
    """Reading, writing and refusing files: the program's own cases, and a model cut at every byte."""
    assert checked_run(built("files"), "self", tmp_path) == "ok\n"
    hn.target_network(2, 2).save(tmp_path / "model.safetensors")
    found = re.fullmatch(
        CHECKED, checked_run(built("damage"), "cut", tmp_path / "model.safetensors", tmp_path / "damaged")
    )
    assert found
    evidence("models cut short without a report of valgrind", tried=int(found[1]), required=500)


@pytest.mark.slow
@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_examples(isa: str, built: Built, tmp_path: Path, evidence: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tutorial trains; models of every kind of head are specialised, and wrong calls refused."""
    path = tmp_path / "hyper.safetensors"
    target = hn.target_network(20, 5)
    hyper = hn.HyperModel(hn.hypernetwork(3, target.count_params()), target)
    assert "14218 weights" in checked_run(built("tutorial"), monkeypatch=monkeypatch, isa=isa)
    runs = 1
    for model in (hyper, hyper.quantize("bfloat16"), hyper.quantize("int8")):
        model.save(path)
        output = checked_run(built("specialize"), path, "1", "-2", "3", monkeypatch=monkeypatch, isa=isa)
        assert re.search(r"^prediction:", output, re.MULTILINE)
        runs += 1
    path.write_bytes(path.read_bytes()[:-1])
    for wrong in ((path,), (tmp_path / "none",), ()):
        done = subprocess.run([*VALGRIND, built("specialize"), *wrong], capture_output=True, text=True)
        assert done.returncode in (1, 2) and "==" not in done.stderr
        runs += 1
    evidence(f"runs of the examples without a report of valgrind, {isa}", tried=runs, required=7)
