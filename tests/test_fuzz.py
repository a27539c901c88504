"""Coverage-guided fuzzing of the public C API: no bytes, as a file or as a sequence of calls, crash it, hang it, leak
or make it take memory without bounds."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import hypernet as hn
import numpy as np
import pytest

from c_build import FLAGS, LIBRARY, ROOT, checked, library, run

COMPILER = ("clang",)
INSTRUMENT = (*FLAGS, "-O1", "-fsanitize=fuzzer-no-link,address,undefined", "-fno-sanitize-recover=all")
FUZZER = "-fsanitize=fuzzer"  # brings `main`
VECTOR_KERNELS = ("scalar", "avx2", "avx512", "neon")  # not instrumented: clang takes minutes for each
LIMITS = ("-timeout=20", "-rss_limit_mb=2048", "-malloc_limit_mb=1024", "-print_final_stats=1")
LENGTHS = {"fuzz_files": 8192, "fuzz_graph": 600}  # of the longest input
SEED_COUNT, ROUND = 300, 60  # of calls; seconds
layers = hn.layers


@pytest.fixture(scope="module")
def instrumented(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a program of one C file and the instrumented library."""
    if shutil.which("clang") is None:
        pytest.skip("there is no clang, which has libFuzzer")
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "try.c").write_text("int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n ? 0 : 0; }")
    command = [*COMPILER, *INSTRUMENT, FUZZER, folder / "try.c", "-o", folder / "try"]
    tried = subprocess.run(command, capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"clang cannot build fuzzing programs here: {tried.stderr.strip()[:200]}")

    def make(name: str, *flags: str) -> Path:
        archive = library(INSTRUMENT, COMPILER, VECTOR_KERNELS)
        parts = [f"-I{LIBRARY}", ROOT / "tests" / "c" / f"{name}.c", archive, "-lm", "-lpthread"]
        run(*COMPILER, *INSTRUMENT, *flags, *parts, "-o", folder / name)
        return folder / name

    return make


@pytest.fixture(scope="module")
def targets(instrumented: Callable[..., Path]) -> dict[str, Path]:
    """The fuzzing programs by their names."""
    return {name: instrumented(name, FUZZER) for name in LENGTHS}


# ---- seeds ----
def models() -> dict[str, hn.Model | hn.HyperModel]:
    """Small models that together use every op, both dtypes and every kind of head."""
    hn.utils.set_random_seed(0)
    a, b, ids = layers.Input((3,), name="a"), layers.Input((None, 2), name="b"), layers.Input((2,), dtype="int32")
    flat = layers.Flatten()(layers.Embedding(4, 2)(ids))
    joined = layers.Concatenate()([layers.Dense(2, "tanh")(a), flat])
    normal = layers.LayerNormalization()(layers.Add()([joined, layers.PReLU()(joined)]))
    product = layers.Multiply()([normal, layers.Dropout(0.5, activity_regularizer="l2")(joined)])
    rows = layers.Activation("softmax")(layers.Dense(2)(b))
    every = hn.Model([a, b, ids], [product, rows])
    target = hn.target_network(2, 2, hidden=2)
    hyper = hn.HyperModel(hn.hypernetwork(2, target.count_params(), hidden=2), target, base="target")
    partly = hn.target_network(2, 2, hidden=2)
    names = [partly.layers[-1].name]
    part = hn.HyperModel(hn.hypernetwork(2, hn.count_params(partly, names), hidden=2), partly, generated=names)
    return {
        "every": every,
        "double": hn.target_network(2, 2, hidden=2, dtype="float64"),
        "hyper": hyper,
        "part": part,
        "int8": hyper.quantize("int8"),
        "bfloat16": hyper.quantize("bfloat16"),
    }


def file_seeds(folder: Path) -> None:
    """Valid files, without Python's configuration, which C does not read."""
    for name, model in models().items():
        if name == "double":
            model.compile("adam", "mse")
            model.train_on_batch(np.ones((2, 2)), np.ones((2, 2)))
        path = folder / f"{name}.safetensors"
        model.save(path)
        tensors, texts = hn._core.read_file(str(path))
        hn._core.write_file(str(path), tensors, {key: texts[key] for key in ("hypernet_format", "hypernet_model")})
        assert path.stat().st_size < LENGTHS["fuzz_files"]


def call_seeds(folder: Path) -> None:
    """Bytes by chance, most of them small: what they stand for is up to the target."""
    rng = random.Random(0)
    for number in range(SEED_COUNT):
        length = rng.randrange(20, LENGTHS["fuzz_graph"])
        (folder / str(number)).write_bytes(
            bytes(rng.choice([rng.randrange(16), rng.randrange(256)]) for _ in range(length))
        )


# ---- running ----
@dataclass
class Fuzzing:
    """What one target has done so far."""

    target: Path
    folder: Path
    executions: int = 0
    features: int = 0

    def start(self, seconds: int, seed: int) -> subprocess.Popen[bytes]:
        """The target at work; its corpus grows from one call to the next."""
        environment = os.environ | {
            "ASAN_OPTIONS": "allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "HYPERNET_NUM_THREADS": "2",
        }
        limits = [*LIMITS, f"-max_total_time={seconds}", f"-max_len={LENGTHS[self.target.name]}", f"-seed={seed}"]
        with open(self.folder / "log", "wb") as log:
            command = [self.target, *limits, f"-artifact_prefix={self.folder}/", self.folder / "corpus"]
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=environment)

    def finish(self, process: subprocess.Popen[bytes], seconds: int) -> None:
        """Count, or fail with the input that crashed the target and what was said about it."""
        status = process.wait(seconds + 60)
        text = (self.folder / "log").read_text(errors="replace")
        said = "\n".join(line for line in text.splitlines() if not line.startswith(("#", "\tNEW_FUNC")))
        assert status == 0, f"{self.target.name} ended with {status}:\n{said[-6000:]}"
        self.executions += int(re.search(r"number_of_executed_units: (\d+)", text)[1])
        self.features = int(re.findall(r"ft: (\d+)", text)[-1])


def fuzz(targets: dict[str, Path], folder: Path, seconds: int, cpu_seconds: float) -> tuple[list[Fuzzing], float]:
    """All targets at once, in rounds of `seconds`, until they have had so much of the processor together."""
    all_of_them = []
    for name, make_seeds in (("fuzz_files", file_seeds), ("fuzz_graph", call_seeds)):
        work = folder / name
        (work / "corpus").mkdir(parents=True)
        make_seeds(work / "corpus")
        all_of_them.append(Fuzzing(targets[name], work))
    began, used, number = resource.getrusage(resource.RUSAGE_CHILDREN), 0.0, 0
    while used < cpu_seconds:
        number += 1
        processes = [each.start(seconds, number) for each in all_of_them]
        try:
            for each, process in zip(all_of_them, processes, strict=True):
                each.finish(process, seconds)
        finally:
            for process in processes:
                process.kill()
                process.wait()
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = now.ru_utime + now.ru_stime - began.ru_utime - began.ru_stime
    return all_of_them, used


def record(evidence, what: str, done: list[Fuzzing], used: float, required: int) -> None:
    assert all(each.executions > 0 for each in done)
    evidence(
        f"{what}: no crash, hang, leak or wrong access",
        tried=sum(each.executions for each in done),
        required=required,
        cpu_seconds=round(used),
        targets={each.target.name: {"executions": each.executions, "features": each.features} for each in done},
    )


# ---- what fuzzing found ----
@pytest.mark.slow
@pytest.mark.gate
def test_axes_of_no_elements(instrumented: Callable[..., Path]) -> None:
    """Weights of no elements are NULL, which generated PReLUs moved by 0 elements: undefined behaviour."""
    assert checked(instrumented("empty_axes")) == 80


# ---- fuzzing ----
@pytest.mark.slow
@pytest.mark.gate
def test_a_short_fuzzing_of_files_and_calls(targets: dict[str, Path], tmp_path: Path, evidence) -> None:
    """20 seconds of two processes, from the same seeds each time; a crash, hang, leak or wrong access fails."""
    done, used = fuzz(targets, tmp_path, 20, 1)
    record(evidence, "fuzzing of files and calls, short", done, used, 5_000)


@pytest.mark.slow
def test_fuzzing_of_files_and_calls(targets: dict[str, Path], tmp_path: Path, evidence) -> None:
    """At least ten minutes of the processor."""
    done, used = fuzz(targets, tmp_path, ROUND, 600)
    assert used >= 600
    record(evidence, "fuzzing of files and calls, ten minutes of the processor", done, used, 200_000)
