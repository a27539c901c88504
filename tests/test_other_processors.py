"""The same code on other processors, run by qemu-user: aarch64 (NEON, scalar), and s390x, whose numbers are big-endian.

Every program of tests/c that this processor runs is built for them, too, and runs there in smaller sizes. Files go from
one processor to the other and back. The extension, with a Python and a NumPy for aarch64, is made by cross_build.py.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import hypernet as hn
import numpy as np
import pytest

import cross_build
from c_build import FLAGS, ROOT, program, run
from evidence import Recorder
from test_kernels import MAPS, PRODUCT_SHAPES, record_shapes, worst_errors

SEED = 2026


class Processor(NamedTuple):
    name: str
    instruction_sets: tuple[str, ...]  # besides the reference, which is there always
    shapes: int  # random ones of each kernel program
    shares: dict[str, int]  # of the cases of long parts only every so manieth; primes, to meet all combinations

    @property
    def emulator(self) -> str:
        return f"qemu-{self.name}"

    @property
    def compiler(self) -> str:
        return f"{self.name}-linux-gnu-gcc"


PROCESSORS = {
    processor.name: processor
    for processor in (
        Processor("aarch64", ("neon", "scalar"), 1000, {"network": 7, "predict": 1, "gradients": 7, "blocks": 31}),
        Processor("s390x", ("scalar",), 300, {"network": 13, "predict": 3, "gradients": 13, "blocks": 31}),
    )
}
KERNELS = ("gemm", "factored", "quantized", "maps", "rows", "elements", "steps")
CHECKED = r"(\d+) checked\n"
OPS = r"(\d+) configurations, \d+ slopes, \d+ redrawn\n"

# Programs and parts of them: what they print, with the number of cases that it tells; "share" and "isa" stand for those.
PARTS = {
    "network": [(("share", "isa"), "ok\n")],
    "step": [((), "ok\n")],
    "hyper": [
        (("predict", "share"), CHECKED),
        (("gradients", "share"), CHECKED),
        (("blocks", "share"), CHECKED),
        (("mistakes",), CHECKED),
        (("resources",), CHECKED),
    ],
    "hyper_sizes": [((), CHECKED)],
    "quantized": [(("rounding",), CHECKED), (("predict",), CHECKED), (("mistakes",), CHECKED)],
    "threads": [(("counts",), CHECKED), (("uneven",), CHECKED), (("helping",), CHECKED)],
}

LEAST = {"network": 1, "step": 1, "hyper": 600, "hyper_sizes": 400_000, "quantized": 80_000, "threads": 3_762}
ONCE = {"step", "hyper_sizes", "threads"}  # go through all instruction sets themselves, or use none
COMPARED = {"network"}  # with the reference
REFUSALS = {"mistakes", "resources"}  # no arithmetic, but long: with NEON alone

Built = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The program of tests/c, or of the examples, for a processor; skips where it cannot be made or run."""
    folder = tmp_path_factory.mktemp("other_processors")
    made: dict[tuple[str, str], Path] = {}

    def build(name: str, processor: str) -> Path:
        emulator, compiler = PROCESSORS[processor].emulator, PROCESSORS[processor].compiler
        for needed in (emulator, compiler):
            if shutil.which(needed) is None:
                pytest.skip(f"there is no {needed}")
        if (name, processor) not in made:
            (folder / processor).mkdir(exist_ok=True)
            source = f"{'examples' if name == 'specialize' else 'tests/c'}/{name}.c"
            made[name, processor] = program(source, folder / processor, (*FLAGS, "-static"), (compiler,))
        return made[name, processor]

    return build


def pairs() -> list[tuple[str, str]]:
    return [(processor.name, isa) for processor in PROCESSORS.values() for isa in processor.instruction_sets]


@pytest.mark.slow
@pytest.mark.parametrize(("processor", "isa"), pairs())
def test_kernels(processor: str, isa: str, built: Built, evidence: Recorder) -> None:
    """Every kernel against its reference twin, both on that processor."""
    shapes, emulator = PROCESSORS[processor].shapes, PROCESSORS[processor].emulator
    outputs = [run(emulator, built(f"kernels_{name}", processor), isa, str(SEED), str(shapes)) for name in KERNELS]
    claim = f"random shapes of kernels, {isa} on {processor}"
    record_shapes(evidence, claim, outputs, 7 * shapes, programs=len(KERNELS))


@pytest.mark.slow
def test_many_more_products_on_neon(built: Built, evidence: Recorder) -> None:
    """As many shapes as of the instruction sets of this processor (test_kernels.py); a quarter of an hour."""
    path = built("kernels_gemm", "aarch64")
    seeds, emulator = range(1, 21), PROCESSORS["aarch64"].emulator
    outputs = [run(emulator, path, "neon", str(seed), str(PRODUCT_SHAPES // len(seeds))) for seed in seeds]
    record_shapes(evidence, "random shapes of kernels_gemm, within the derived bounds, neon", outputs, PRODUCT_SHAPES)


@pytest.mark.slow
@pytest.mark.gate
@pytest.mark.parametrize(("processor", "isa"), pairs())
def test_functions(processor: str, isa: str, built: Built, evidence: Recorder) -> None:
    """The functions' bounds, too: four thousand inputs of each."""
    path = built("kernels_ulp", processor)
    worst = worst_errors(run(PROCESSORS[processor].emulator, path, isa, "17", "1048583"))
    assert set(worst) == {(isa, name) for name in MAPS}
    tried = sum(inputs for inputs, *_ in worst.values())
    largest = max(ulp for _, ulp, _ in worst.values())
    evidence(
        f"inputs of functions, {isa} on {processor}", tried=tried, required=4000 * len(MAPS), worst=largest, unit="ulp"
    )


@pytest.mark.slow
@pytest.mark.gate
@pytest.mark.parametrize(("processor", "isa"), [*pairs(), *((name, "reference") for name in PROCESSORS)])
def test_every_op(processor: str, isa: str, built: Built, evidence: Recorder) -> None:
    """Forward against single rows, backward against finite differences: one configuration of each op in each mode."""
    found = re.fullmatch(OPS, run(PROCESSORS[processor].emulator, built("network_ops", processor), isa, "1"))
    assert found
    evidence(f"configurations of ops, {isa} on {processor}", tried=int(found[1]), required=40)


def parts() -> list[tuple[str, str, str]]:
    every = [*pairs(), *((name, "reference") for name in PROCESSORS)]
    first = {processor.name: processor.instruction_sets[0] for processor in PROCESSORS.values()}
    return [
        (processor, isa, name)
        for processor, isa in every
        for name in PARTS
        if (isa == first[processor] or name not in ONCE) and (isa != "reference" or name not in COMPARED)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("processor", "isa", "name"), parts())
def test_programs(
    processor: str, isa: str, name: str, built: Built, evidence: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks, steps, hypernetworks, their memory, quantised heads and the pool of threads."""
    monkeypatch.setenv("HYPERNET_ISA", isa)
    emulator, shares = PROCESSORS[processor].emulator, PROCESSORS[processor].shares
    tried = 0
    for arguments, pattern in PARTS[name]:
        if REFUSALS & set(arguments) and isa != "neon":
            continue
        key = arguments[0] if name == "hyper" else name
        values = {"share": str(shares.get(key)), "isa": isa}
        words = [values.get(word, word) for word in arguments]
        output = run(emulator, built(name, processor), *words)
        found = re.fullmatch(pattern, output)
        assert found, output
        tried += int(found[1]) if found.groups() else 1
    evidence(f"cases of the program {name}, {isa} on {processor}", tried=tried, required=LEAST[name])


# ---- files ----


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Saved models with numbers of every dtype that a file holds: trained, quantised, with the optimizer's state."""
    folder = tmp_path_factory.mktemp("models")
    paths = {name: folder / f"{name}.safetensors" for name in ("float32", "float64", "bfloat16", "int8")}
    for dtype in ("float32", "float64"):
        hyper = small_hyper(dtype)
        rng = np.random.default_rng(5)
        hyper.compile("adam", "mse")
        hyper.fit([rng.random((20, 4)), rng.random((20, 5))], rng.random((20, 3)), epochs=2, verbose=0)
        hyper.save(paths[dtype])
    for dtype in ("bfloat16", "int8"):
        small_hyper("float32").quantize(dtype).save(paths[dtype])
    return paths


def small_hyper(dtype: str) -> hn.HyperModel:
    hn.utils.set_random_seed(3)
    inputs, condition = hn.layers.Input((5,), dtype=dtype), hn.layers.Input((4,), dtype=dtype)
    hidden = hn.layers.Dense(6, activation="relu", dtype=dtype)(inputs)
    target = hn.Model(inputs, hn.layers.Dense(3, dtype=dtype)(hidden))
    features = hn.layers.Dense(9, activation="relu", dtype=dtype)(condition)
    return hn.HyperModel(hn.Model(condition, hn.layers.Dense(target.count_params(), dtype=dtype)(features)), target)


@pytest.fixture(scope="module")
def files_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program("tests/c/files.c", tmp_path_factory.mktemp("files_here"))


@pytest.mark.slow
@pytest.mark.gate
@pytest.mark.parametrize("processor", PROCESSORS)
def test_files_go_both_ways(
    processor: str, built: Built, files_here: Path, models: dict[str, Path], tmp_path: Path, evidence: Recorder
) -> None:
    """What is written here is read there as the same numbers, and written there it is the same file: byte for byte."""
    emulator, files_there = PROCESSORS[processor].emulator, built("files", processor)
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    run(files_here, "write", ours)
    run(emulator, files_there, "write", theirs)
    assert ours.read_bytes() == theirs.read_bytes()
    numbers = 0
    for path in (ours, *models.values()):
        expected = run(files_here, "values", path)
        assert run(emulator, files_there, "values", path) == expected
        numbers += sum(len(line.split(":", 1)[1].split()) for line in expected.splitlines() if re.search(r"\):", line))
        here, there = tmp_path / "here", tmp_path / "there"
        run(files_here, "copy", path, here)
        run(emulator, files_there, "copy", path, there)
        assert here.read_bytes() == there.read_bytes() == path.read_bytes()
    evidence(f"numbers of files from one processor to the other, {processor}", tried=numbers, required=500, files=5)


@pytest.mark.slow
@pytest.mark.gate
@pytest.mark.parametrize("processor", PROCESSORS)
def test_models_are_loaded(processor: str, built: Built, models: dict[str, Path], evidence: Recorder) -> None:
    """By the example in C, which specialises and predicts: as Python does here, whatever the head is stored as."""
    path, condition = built("specialize", processor), np.array([0.5, -1.25, 2.0, 0.75])
    worst = 0.0
    for name, saved in models.items():
        line = re.search(
            r"^prediction:(.*)$",
            run(PROCESSORS[processor].emulator, path, saved, *map(str, condition)),
            re.MULTILINE,
        )
        assert line, name
        is_double = name == "float64"
        model = hn.saving.load_model(saved).specialize(condition.astype("float64" if is_double else "float32"))
        expected = model(np.ones((1, 5), "float64" if is_double else "float32"))[0]
        worst = max(worst, float(np.max(np.abs(np.array(line[1].split(), float) - expected))))
    claim = f"predictions of loaded models on {processor}"
    evidence(claim, tried=3 * len(models), required=12, worst=worst, bound=2e-6, unit="absolute")


@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
def test_files_in_themselves(processor: str, built: Built, tmp_path: Path) -> None:
    """Round trips, every bit damaged, failing allocations and a full disk, on that processor."""
    assert run(PROCESSORS[processor].emulator, built("files", processor), "self", tmp_path) == "ok\n"


# ---- the extension ----


@pytest.fixture(scope="module")
def cross() -> cross_build.Cross:
    try:
        return cross_build.Cross()
    except cross_build.NotHere as reason:
        pytest.skip(str(reason))


# Tests that start no other program, need no package beyond the wheels there, and take no minute in the emulator.
PYTHON_TESTS = ("test_threads.py", "test_hyper_modes.py", "test_losses.py", "test_saving.py")
LEFT_OUT = "not (another_process or every_chunk or fork or two_python_threads or rows-float32)"


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["neon", "scalar"])
def test_python_on_aarch64(isa: str, cross: cross_build.Cross, tmp_path: Path, evidence: Recorder) -> None:
    """A share of the tests in Python, with the extension, NumPy and Python of that processor."""
    paths = [ROOT / "tests" / name for name in PYTHON_TESTS]
    output = cross.run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", *paths, "-k", LEFT_OUT, "--durations=15"),
        HYPERNET_ISA=isa,
        HYPERNET_EVIDENCE=str(tmp_path / "evidence.json"),
    )
    found = re.search(r"^(\d+) passed", output, re.MULTILINE)
    assert found, output
    evidence(f"tests in Python with the extension, {isa} on aarch64", tried=int(found[1]), required=150)


DIGESTS = """
import hashlib, platform, sys
import hypernet as hn
from hypernet import _core
print(platform.machine(), _core.isa())
for path, again in zip(sys.argv[1::2], sys.argv[2::2]):
    model = hn.saving.load_model(path)
    model.save(again)
    for array in model.get_weights():
        print(array.shape, array.dtype, hashlib.sha256(array.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_python_files_of_aarch64(
    cross: cross_build.Cross, models: dict[str, Path], tmp_path: Path, evidence: Recorder
) -> None:
    """A model saved here, loaded and saved there, has the same bits in every weight, and so has the file."""
    again = {name: tmp_path / path.name for name, path in models.items()}
    words = [str(path) for name in models for path in (models[name], again[name])]
    lines = cross.run("-c", DIGESTS, *words, HYPERNET_ISA="neon").splitlines()
    assert lines[0] == "aarch64 neon"
    expected = []
    for name, path in models.items():
        assert again[name].read_bytes() == path.read_bytes()
        for array in hn.saving.load_model(again[name]).get_weights():
            expected.append(f"{array.shape} {array.dtype} {hashlib.sha256(array.tobytes()).hexdigest()}")
    assert lines[1:] == expected
    evidence(
        "arrays of saved models from x86-64 to aarch64 and back", tried=len(expected), required=12, models=len(models)
    )
