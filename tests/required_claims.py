"""The claims that a full run must leave in tests/evidence.json: those that the tables of tests/README.md state."""

from __future__ import annotations

from typing import NamedTuple


class Required(NamedTuple):
    """claim: a regular expression for whole names; claims: how many there are; tried: how much each has tried."""

    claim: str
    claims: int
    tried: int


ISAS = ("scalar", "avx2", "avx512")
ELSEWHERE = ("neon on aarch64", "scalar on aarch64", "scalar on s390x")
FLAT = "leave references and blocks as they were, and memory flat"
EXIT = "with the right exit code"
REQUIRED = [
    *(
        Required(f"random shapes of kernels_gemm, within the derived bounds, {isa}", 1, 100_000)
        for isa in (*ISAS, "neon")
    ),
    *(Required(rf"random shapes of kernels_(?!gemm)\w+, within the derived bounds, {isa}", 6, 20_000) for isa in ISAS),
    *(Required(f"products cut along every axis, {isa}", 1, 24) for isa in ISAS),
    *(Required(rf"float inputs of \w+, {isa}", 24, 2**32) for isa in ISAS),
    Required("random networks: gradients against differences", 1, 1_000),
    Required("random hypernetworks, .+: gradients against differences", 5, 250),
    Required("random hypernetworks against PyTorch's autograd, .+", 4, 100),
    Required("weights of .+ heads against their derived bound", 2, 910_000),
    Required("extreme numbers in .+, float(32|64)", 12, 6),
    Required("extreme logits in categorical cross-entropy, .+, float(32|64)", 4, 2_000),
    Required("every allocation of the library fails in .+", 27, 1),
    Required("every allocation of CPython fails in .+", 34, 3),
    Required(f"1,000,000 calls of .+ {FLAT}", 38, 1_000_000),
    Required(
        f"[0-9,]+ calls of (save_weights|load_weights|specialize|fit|evaluate|load_weights refused) {FLAT}", 6, 2_000
    ),
    Required("public calls that 4,000 times over leave references, objects and memory as they were", 1, 900),
    Required("odd arrays in every public call", 1, 24_000),
    Required("arrays of PyTorch and JAX in every public call", 1, 3_000),
    Required("odd arrays as out", 1, 288),
    Required("out at every place over an input", 1, 300),
    Required("steps in 2,000 lives of models", 1, 50_000),
    Required(r"arrays of 2\*\*40 rows", 1, 200),
    Required("sizes that do not fit are refused", 1, 300),
    Required("giant sizes are refused by the C library", 1, 3100),
    Required(
        "fuzzing of files and calls, ten minutes of the processor: no crash, hang, leak or wrong access", 1, 200_000
    ),
    Required("files cut at every byte are refused, Python", 1, 3_000),
    Required("every bit of a header flipped is refused, Python", 1, 20_000),
    Required("random bits of weights flipped are refused, Python", 1, 10_000),
    Required("a file of a .+ cut at every byte is refused, C", 3, 3_000),
    Required("every bit of the header of a .+ flipped is refused, C", 3, 20_000),
    Required("random bits of the weights of a .+ flipped are refused, C", 3, 10_000),
    Required("odd values in the configuration of a file load or are refused", 1, 2_000),
    Required("saves killed at random moments leave a whole file", 1, 500),
    Required("saves on a full disk leave the old file", 1, 20),
    Required("children of forks while three threads predict and train compute on", 1, 1_000),
    Required("children of a signal handler's fork inside a pooled call get RuntimeError, and compute on", 1, 50),
    Required(rf"processes end \(sys.exit\) while daemon threads compute \(predict\), {EXIT}", 1, 100),
    Required(rf"processes end \(.+\) while daemon threads compute \(.+\), {EXIT}", 12, 30),
    Required("calls of 16 threads on one model give the bits of one thread", 1, 400),
    Required("models trained in 16 threads at once are those trained alone", 1, 16),
    Required("calls beside `.+` of another thread are refused", 2, 6),
    Required("Ctrl-C ends a long .+", 11, 10),
    Required("Ctrl-C in a long .+ leaves a model after whole steps", 3, 1),
    Required("tests under the address and undefined behaviour sanitizers", 1, 3_500),
    Required("tests under the thread sanitizer", 1, 40),
    Required("tests of the binding under the leak sanitizer, with whole stacks", 1, 80),
    Required("C files without a finding of (gcc|clang-tidy)", 2, 100),
    Required("lines of C that the ordinary tests run", 1, 10_000),
    *(Required(f"random shapes of kernels without a report of valgrind, {isa}", 1, 140) for isa in ("scalar", "avx2")),
    *(Required(f"configurations of ops without a report of valgrind, {isa}", 1, 40) for isa in ("scalar", "avx2")),
    *(Required(f"runs of the examples without a report of valgrind, {isa}", 1, 6) for isa in ("scalar", "avx2")),
    Required("cases of the program .+ without a report of valgrind, avx2", 5, 1),
    Required("cases of the program .+ without a report of valgrind, scalar", 3, 1),
    Required("models cut short without a report of valgrind", 1, 500),
    *(Required(f"random shapes of kernels, {where}", 1, 70) for where in ELSEWHERE),
    *(Required(f"inputs of functions, {where}", 1, 96_000) for where in ELSEWHERE),
    *(Required(f"configurations of ops, {where}", 1, 40) for where in ELSEWHERE),
    Required(r"cases of the program \w+, .+ on (aarch64|s390x)", 19, 1),
    Required("numbers of files from one processor to the other, .+", 2, 500),
    Required("predictions of loaded models on .+", 2, 12),
    Required("tests in Python with the extension, .+ on aarch64", 2, 150),
    Required("arrays of saved models from x86-64 to aarch64 and back", 1, 12),
]
