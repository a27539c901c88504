"""Every kernel of every available instruction set against its reference twin, at random shapes between guard pages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from c_build import FLAGS, LIBRARY, ROOT, instruction_sets, program, run
from evidence import Recorder

# Programs of tests/c and the random shapes that each tries, of both element types together.
PROGRAMS = {
    "kernels_gemm": 6_000,
    "kernels_factored": 4_000,
    "kernels_quantized": 4_000,
    "kernels_maps": 24_000,
    "kernels_rows": 10_000,
    "kernels_elements": 14_000,
    "kernels_steps": 12_000,
}
SHAPES = 10_000  # of matrix products and of all others, at the least, for each instruction set
PRODUCT_SHAPES = 100_000  # of the slow run, for each instruction set
SEED = 2026
INSTRUCTION_SETS = [name for name in instruction_sets() if name != "reference"]


MAPS = re.findall(r'^\s*\[HN_MAP_\w+\] = \{"(\w+)"', (LIBRARY / "kernels" / "describe.c").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("kernels")
    built: dict[str, Path] = {}

    def build(name: str) -> Path:
        if name not in built:
            built[name] = program(f"tests/c/{name}.c", folder)
        return built[name]

    return build


@pytest.fixture(scope="module")
def available(programs: Callable[[str], Path]) -> list[str]:
    return run(programs("kernels_maps"), "list").split()


def shapes_tried(output: str) -> tuple[int, float]:
    """How many shapes a kernels program has tried, and the largest part of its bound that an error has taken."""
    found = re.fullmatch(r"shapes (\d+), at most ([\d.]+) of the bound\n", output)
    assert found, output
    return int(found[1]), float(found[2])


def record_shapes(evidence: Recorder, claim: str, outputs: list[str], required: int, **details: int) -> None:
    """The claim that runs of kernels programs stayed within their bounds, and how near they came."""
    done = [shapes_tried(output) for output in outputs]
    tried, worst = sum(count for count, _ in done), max(share for _, share in done)
    evidence(claim, tried=tried, required=required, worst=worst, bound=1, unit="of the bound", **details)


def test_scalar_is_everywhere(available: list[str]) -> None:
    assert "scalar" in available
    assert set(available) <= set(INSTRUCTION_SETS)


@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_against_the_reference(isa: str, available: list[str], programs: Callable[[str], Path]) -> None:
    if isa not in available:
        pytest.skip(f"this processor or build has no {isa}")
    tried = {}
    for name, shapes in PROGRAMS.items():
        tried[name], _ = shapes_tried(run(programs(name), isa, str(SEED), str(shapes)))
    assert tried == PROGRAMS
    assert sum(tried.values()) >= SHAPES


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("isa", INSTRUCTION_SETS)
def test_many_more_shapes(
    isa: str, name: str, available: list[str], programs: Callable[[str], Path], evidence: Recorder
) -> None:
    """Products: a hundred thousand shapes; the others five times those of the ordinary run."""
    if isa not in available:
        pytest.skip(f"this processor or build has no {isa}")
    shapes = PRODUCT_SHAPES // 5 if name == "kernels_gemm" else PROGRAMS[name]
    outputs = [run(programs(name), isa, str(seed), str(shapes)) for seed in range(1, 6)]
    record_shapes(evidence, f"random shapes of {name}, within the derived bounds, {isa}", outputs, 5 * shapes)


def worst_errors(output: str) -> dict[tuple[str, str], tuple[int, float, float]]:
    """For each instruction set and function how many inputs were tried, and the largest error in ulp and where."""
    lines = re.findall(r"^(\w+) (\w+) inputs (\d+) worst ([\d.]+) at (\S+)$", output, re.MULTILINE)
    return {(isa, name): (int(inputs), float(ulp), float(at)) for isa, name, inputs, ulp, at in lines}


def test_functions_stay_within_their_ulp(programs: Callable[[str], Path], available: list[str]) -> None:
    """A million float inputs of every function, one in each stretch of 4,099: all exponents, both signs, inf and nan."""
    first, step = 17, 4099
    worst = worst_errors(run(programs("kernels_ulp"), ",".join(available), str(first), str(step)))
    assert set(worst) == {(isa, name) for isa in available for name in MAPS}
    assert {inputs for inputs, *_ in worst.values()} == {len(range(first, 2**32, step))}


@pytest.mark.slow
@pytest.mark.parametrize("name", MAPS)
def test_functions_of_every_float(
    name: str, available: list[str], programs: Callable[[str], Path], evidence: Recorder
) -> None:
    """All 2^32 inputs; the program ends at the first result outside the bound that kernels.h states."""
    worst = worst_errors(run(programs("kernels_ulp"), ",".join(available), "0", "1", name))
    assert set(worst) == {(isa, name) for isa in available}
    for (isa, _), (inputs, ulp, at) in worst.items():
        evidence(f"float inputs of {name}, {isa}", tried=inputs, required=2**32, worst=ulp, unit="ulp", at=at)


def test_every_entry_is_tested() -> None:
    """An entry of the table that no program calls is one that nobody tests."""
    table = (LIBRARY / "kernels" / "tables.h").read_text()
    entries = re.findall(r"\.(\w+) = NAME\(\1\)", table)
    assert len(entries) >= 19
    tests = "".join((ROOT / "tests" / "c" / f"{name}.c").read_text() for name in PROGRAMS)
    assert [name for name in entries if f"kernels->{name}" not in tests] == []
    header = (LIBRARY / "kernels" / "kernels.h").read_text()
    members = re.findall(r"\(\*(\w+)\)\(", header[header.index("typedef struct hn_kernels") :])
    assert sorted(members) == sorted(entries)


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_wide_instructions_are_used(compiler: str, tmp_path: Path) -> None:
    """AVX-512 compiles to fused multiply-adds on its 512-bit registers, with no flags for its file."""
    if shutil.which(compiler) is None or shutil.which("objdump") is None:
        pytest.skip(f"there is no {compiler} or no objdump")
    if "x86-64" not in run("objdump", "-i"):
        pytest.skip("not an x86-64 machine")
    for isa, register in (("avx2", "ymm"), ("avx512", "zmm")):
        target = tmp_path / f"{isa}.o"
        run(compiler, *FLAGS, "-c", LIBRARY / "kernels" / f"{isa}.c", "-o", target)
        code = run("objdump", "-d", "--no-show-raw-insn", target)
        for size in ("ps", "pd"):
            assert len(re.findall(rf"vfmadd\w*{size}\s.*%{register}", code)) > 200
