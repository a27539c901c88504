"""Heads in fewer bits: errors within their bounds, every mode, files, and everything that trains refused."""

from __future__ import annotations

import copy
import itertools
import pickle
import re
import subprocess
from pathlib import Path
from typing import Any

import hypernet as hn
import numpy as np
import pytest
import safetensors
from hypernet import _core

from c_build import checked, program, run
from evidence import Recorder

DTYPES = ["bfloat16", "int8"]
PARTS = {"rounding": 80_000, "predict": 240, "mistakes": 50}
layers = hn.layers


# ---- the library, from C ----
@pytest.fixture(scope="module")
def quantized_c(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program("tests/c/quantized.c", tmp_path_factory.mktemp("quantized"))


@pytest.mark.parametrize("part", PARTS)
def test_from_c(quantized_c: Path, part: str) -> None:
    assert checked(quantized_c, part) >= PARTS[part]


# ---- errors ----
COLUMNS = 700


def kernels(kind: str, width: int) -> np.ndarray:
    rng = np.random.default_rng([width, len(kind)])
    kernel = rng.standard_normal((width, COLUMNS))
    if kind == "ties":  # of bfloat16: 9 bits, the last one set; of int8: odd multiples of half the scale
        kernel = (2 * rng.integers(128, 256, kernel.shape) + 1) * rng.choice([-1.0, 1.0], kernel.shape)
        kernel[:, ::2] = (2 * rng.integers(-126, 126, kernel[:, ::2].shape) + 1) / 2
        kernel[0, ::2] = 127
    elif kind == "subnormal":
        kernel *= 1e-40 * 2.0 ** rng.integers(-16, 8, COLUMNS)
    elif kind == "huge":
        kernel *= 1e36
    elif kind == "zeros":
        kernel[:, ::3] = 0
        kernel[:, 1::3] *= 10.0 ** rng.uniform(-30, 20, kernel[:, 1::3].shape)
    return kernel.astype(np.float32)


def head_alone(kernel: np.ndarray, bias: np.ndarray | None = None, base: np.ndarray | None = None) -> hn.HyperModel:
    """A generator that is nothing but its head, so that the condition is the head's features."""
    condition = layers.Input((kernel.shape[0],))
    head = layers.Dense(kernel.shape[1], use_bias=bias is not None)
    x = layers.Input((kernel.shape[1],))
    target = hn.Model(x, layers.Dense(1, use_bias=False)(x))
    hyper = hn.HyperModel(hn.Model(condition, head(condition)), target, base=base, init=None)
    head.kernel[...] = kernel
    if bias is not None:
        head.bias[...] = bias
    return hyper


def errors_over_bounds(dtype: str, width: int, kind: str) -> np.ndarray:
    """Of every number made: its error, against the original kernel in float64, as a fraction of its bound."""
    rng = np.random.default_rng(width)
    kernel = kernels(kind, width)
    size = float(np.abs(kernel).max())
    bias = (size * rng.standard_normal(COLUMNS)).astype(np.float32) if width != 7 else None
    base = (size * rng.standard_normal(COLUMNS)).astype(np.float32) if width != 64 else None
    small = head_alone(kernel, bias, base).quantize(dtype)
    fractions = []
    for count in (1, 2, 3, 4, 5, 50):  # few conditions and many take different ways
        cond = rng.standard_normal((count, width)).astype(np.float32)
        exact = cond.astype(np.float64) @ kernel.astype(np.float64)
        exact += (0.0 if bias is None else bias.astype(np.float64)) + (0.0 if base is None else base)
        bound = small.error_bound(cond)
        made = np.abs(small.generate(cond).astype(np.float64) - exact)
        assert bound.shape == made.shape and (bound > 0).all()
        fractions.append((made / bound).ravel())
    return np.concatenate(fractions)


@pytest.mark.parametrize("dtype", DTYPES)
def test_errors_are_within_their_bounds(dtype: str, evidence: Recorder) -> None:
    cases = list(itertools.product((1, 7, 64, 300), ("normal", "ties", "subnormal", "huge", "zeros")))
    fractions = [errors_over_bounds(dtype, *case) for case in cases]
    tried, worst = sum(len(part) for part in fractions), max(part.max() for part in fractions)
    claim = f"weights of {dtype} heads against their derived bound"
    required = len(cases) * 65 * COLUMNS
    evidence(claim, tried=tried, required=required, worst=worst, bound=1.0, unit="of the bound")


@pytest.mark.parametrize("kind", ["normal", "ties", "subnormal", "huge", "zeros"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_reported_is_what_was_made(dtype: str, kind: str) -> None:
    """One feature at a time, the kernel as it is stored comes out; some error comes near its bound."""
    kernel = kernels(kind, 40)
    small = head_alone(kernel).quantize(dtype)
    stored = small.generate(np.eye(40, dtype=np.float32)).astype(np.float64)
    made = np.abs(stored - kernel)
    report = small.quantization
    worst = made.max()
    # The product with the scale is rounded to float once more, where the report is of the exact product.
    assert abs(report.worst_kernel_error - worst) <= 2.0**-23 * np.abs(kernel).max() + 2.0**-149
    least = 0.2 if kind == "zeros" else 0.45  # few numbers there are of the size of the largest
    assert least * report.worst_kernel_bound <= report.worst_kernel_error <= report.worst_kernel_bound
    assert (made / small.error_bound(np.eye(40))).max() > 0.8  # and that bound is none that anything would meet
    assert report.dtype == dtype and report.bytes_before == 4 * kernel.size
    assert report.bytes_after == {"bfloat16": 2 * kernel.size, "int8": kernel.size + 4 * COLUMNS}[dtype]
    if kind == "zeros":
        assert not stored[:, ::3].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_head_that_is_not_finite_is_refused(dtype: str, bad: float) -> None:
    kernel, bias = kernels("normal", 5), np.zeros(COLUMNS, np.float32)
    kernel[3, 17] = bad
    with pytest.raises(ValueError, match=r"not finite.*feature 3 of weight 17"):
        head_alone(kernel, bias).quantize(dtype)
    bias[9] = bad
    with pytest.raises(ValueError, match=r"bias.*not finite.*weight 9"):
        head_alone(kernels("normal", 5), bias).quantize(dtype)


# ---- the model ----
def conditions(count: int, width: int = 4) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, width)).astype(np.float32)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def make(base: Any = None, generated: Any = None) -> hn.HyperModel:
    hn.utils.set_random_seed(3)
    target = hn.target_network(5, 3)
    names = None if generated is None else [target.layers[generated].name]
    generator = hn.hypernetwork(4, hn.count_params(target, generated=names))
    hyper = hn.HyperModel(generator, target, base=base, generated=names)
    if base is not None:  # the head starts at zero
        hyper.params += 0.1 * np.random.default_rng(1).standard_normal(hyper.params.shape).astype(np.float32)
    return hyper


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{}, {"base": "target"}, {"generated": -1}, {"generated": 1, "base": "target"}])
def test_every_mode_is_that_of_the_specialized_networks(dtype: str, options: dict[str, Any]) -> None:
    small = make(**options).quantize(dtype)
    cond, rows = conditions(6), numbers(6, 5)
    networks = [small.specialize(c) for c in cond]
    expected = np.stack([network(rows) for network in networks])
    close = {"rtol": 1e-4, "atol": 1e-6}
    assert small._bound().head == dtype
    np.testing.assert_allclose(small([cond[0], rows]), expected[0], **close)
    np.testing.assert_allclose(small([cond, rows]), expected[range(6), range(6)], **close)
    np.testing.assert_allclose(small([cond, rows[None]]), expected, **close)
    np.testing.assert_allclose(small([cond, np.stack([rows] * 6)]), expected, **close)
    np.testing.assert_array_equal(small.predict([cond, rows], verbose=0), small([cond, rows]))
    assert small([cond[:0], rows[:0]]).shape == (0, 3)
    assert small.generate(cond[:0]).shape == (0, small.generate(cond).shape[1])


@pytest.mark.usefixtures("restored_threads")
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_and_calls_change_no_bit(dtype: str) -> None:
    small = head_alone(np.tile(kernels("normal", 300), (1, 60))).quantize(dtype)
    for count in (1, 3, 30):
        cond, results = conditions(count, 300), []
        for threads in (1, 2, 3):
            hn.set_num_threads(threads)
            results.append(small.generate(cond))
        out = np.full_like(results[0], np.nan)
        assert small.generate(cond, out=out) is out
        for other in (*results[1:], out):
            np.testing.assert_array_equal(results[0], other)


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_independent_and_keeps_no_float_kernel(dtype: str) -> None:
    hyper = make()
    small = hyper.quantize(dtype)
    cond, x = conditions(3), numbers(3, 5)
    theta, outputs = small.generate(cond), small([cond, x])
    hyper.params[...] = 0
    hyper.target.params[...] = 0
    np.testing.assert_array_equal(small.generate(cond), theta)
    np.testing.assert_array_equal(small([cond, x]), outputs)
    assert small.params.size == sum(w.size for w in small.generator.get_weights()) == 4 * 64 + 64
    assert not [w for w in small.weights if w.size >= 64 * theta.shape[1]]
    assert small.count_params() == hyper.count_params()
    small.generator.params[...] = 0  # they are live: what is left is the head's bias, which is 0
    assert not small.generate(cond).any()


def test_what_is_what() -> None:
    hyper = make(base="target", generated=-1)
    small = hyper.quantize("int8")
    assert isinstance(small, hn.HyperModel) and small.name == f"{hyper.name}_int8"
    assert small.generated == hyper.generated and small.input_names == hyper.input_names
    assert small.generator.output_shape == (None, 64) and small.output_shape == (None, 3)
    np.testing.assert_array_equal(small.base, hyper.base)
    assert [v.shape for v in small.generate_weights(conditions(2)).values()] == [(2, 128, 3), (2, 3)]
    with pytest.raises(ValueError, match="read-only"):
        small._head[1][0, 0] = 1
    text: list[str] = []
    small.summary(print_fn=text.append)
    assert "Head: 64 x 387 in int8 and a bias, 25,155 params" in " ".join(text[0].split())
    theta = np.stack([small.params, 2 * small.params])
    outputs = hn.functional_call(small, theta, [conditions(2), numbers(2, 5)])
    one = hn.functional_call(small, small.params, [conditions(2), numbers(2, 5)])
    np.testing.assert_allclose(outputs[0], one[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(one, small([conditions(2), numbers(2, 5)]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_generators_of_every_kind(dtype: str) -> None:
    """Nested models, several inputs, ids, heads without a bias, and nothing before the head."""
    target = hn.target_network(5, 3)
    count = target.count_params()
    inner = hn.Sequential([layers.Input((4,)), layers.Dense(9, activation="tanh"), layers.Dense(count)])
    a, b, ids = layers.Input((4,), name="a"), layers.Input((2,), name="b"), layers.Input((), dtype="int32")
    joined = layers.Concatenate()([layers.Dense(3, activation="relu")(a), b])
    generators = {
        "nested": (hn.Model(a, inner(a)), conditions(3)),
        "two": (hn.Model([a, b], layers.Dense(count, use_bias=False)(joined)), [conditions(3), conditions(3, 2)]),
        "ids": (hn.Model(ids, layers.Dense(count)(layers.Embedding(7, 6)(ids))), np.array([0, 6, 3])),
        "nothing": (hn.Model(a, layers.Dense(count)(a)), conditions(3)),
    }
    for name, (generator, cond) in generators.items():
        hyper = hn.HyperModel(generator, copy.deepcopy(target))
        small = hyper.quantize(dtype)
        made = np.abs(small.generate(cond).astype(np.float64) - hyper.generate(cond))
        assert (made <= 1.001 * small.error_bound(cond)).all() and made.any(), name
        np.testing.assert_allclose(small([cond, numbers(3, 5)]), hyper([cond, numbers(3, 5)]), atol=0.05)
        assert generator.count_params() == hyper.count_params()  # the original is as it was


@pytest.mark.parametrize("dtype", DTYPES)
def test_evaluate(dtype: str) -> None:
    hyper = make()
    small = hyper.quantize(dtype)
    x, y = [conditions(20), numbers(20, 5)], np.arange(20) % 3
    small.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    loss, accuracy = small.evaluate(x, y, verbose=0)
    outputs = small(x)
    assert loss == pytest.approx(-np.log(outputs[range(20), y]).mean(), rel=1e-5)
    assert accuracy == pytest.approx((outputs.argmax(-1) == y).mean())
    assert small.test_on_batch(x, y)[0] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_training_is_refused(dtype: str) -> None:
    small = make().quantize(dtype)
    small.compile(loss="mse")
    x, y = [conditions(4), numbers(4, 5)], numbers(4, 3)
    before, theta = small.params.copy(), small.generate(x[0])
    attempts = [
        lambda: small.fit(x, y, verbose=0),
        lambda: small.train_on_batch(x, y),
        lambda: small.loss_and_grad(x, y),
        lambda: small.vjp(*x),
        lambda: small.vjp(*x, wrt="inputs"),
        lambda: small.generate_vjp(x[0]),
    ]
    for attempt in attempts:
        with pytest.raises(RuntimeError, match=f"{dtype}, for inference only. Train the original.*quantize"):
            attempt()
    for other in DTYPES:
        message = rf"quantize\('{other}'\): the head .* is stored as {dtype} already\. Call quantize of the original"
        with pytest.raises(RuntimeError, match=message):
            small.quantize(other)
    outputs, pullback = hn.functional_vjp(small, small.params, x)
    with pytest.raises(RuntimeError, match="inference only: train the original"):
        pullback(np.ones_like(outputs))
    np.testing.assert_array_equal(small.params, before)
    np.testing.assert_array_equal(small.generate(x[0]), theta)


def test_what_cannot_be_quantised() -> None:
    with pytest.raises(ValueError, match=r"'bfloat16' or 'int8'. Received: dtype='float16'"):
        make().quantize("float16")
    x = layers.Input((3,), dtype="float64")
    target = hn.Model(x, layers.Dense(2, dtype="float64")(x))
    generator = hn.Model(x, layers.Dense(target.count_params(), dtype="float64")(x))
    with pytest.raises(ValueError, match=r"float64.*float32"):
        hn.HyperModel(generator, target).quantize("int8")
    x = layers.Input((3,))
    target = hn.Model(x, layers.Dense(2)(x))
    generator = hn.Model(x, layers.Dense(target.count_params(), activation="tanh")(x))
    with pytest.raises(ValueError, match="does not end in a linear Dense"):
        hn.HyperModel(generator, target).quantize("int8")


# ---- files and copies ----
def same(a: Any, b: Any) -> None:
    cond, x = conditions(4), numbers(4, 5)
    np.testing.assert_array_equal(a.generate(cond), b.generate(cond))
    np.testing.assert_array_equal(a([cond, x]), b([cond, x]))
    np.testing.assert_array_equal(a.params, b.params)
    assert type(a) is type(b) and a.quantization == b.quantization and a.name == b.name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{}, {"generated": 1, "base": "target"}])
def test_copies_and_files(dtype: str, options: dict[str, Any], tmp_path: Path) -> None:
    small = make(**options).quantize(dtype)
    small.compile(loss="mse")
    path = tmp_path / "small.safetensors"
    small.save(path)
    loaded = hn.saving.load_model(path)
    for other in (copy.copy(small), copy.deepcopy(small), pickle.loads(pickle.dumps(small)), loaded):
        same(small, other)
        assert other.evaluate([conditions(4), numbers(4, 5)], numbers(4, 3), verbose=0) > 0
    again = tmp_path / "again.safetensors"
    loaded.save(again)
    same(small, hn.saving.load_model(again))
    with safetensors.safe_open(path, "np") as file:
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    assert kinds["head/kernel"] == {"bfloat16": "BF16", "int8": "I8"}[dtype] and kinds["head/bias"] == "F32"
    assert ("head/scale" in kinds) == (dtype == "int8")
    assert path.stat().st_size < 0.8 * small.quantization.bytes_before + 40_000


def test_weights_alone_and_configurations_are_refused(tmp_path: Path) -> None:
    small = make().quantize("int8")
    with pytest.raises(NotImplementedError, match="use `save`"):
        small.save_weights(tmp_path / "weights.safetensors")
    with pytest.raises(NotImplementedError, match="load_model"):
        small.load_weights(tmp_path / "weights.safetensors")
    with pytest.raises(NotImplementedError, match=r"copy.deepcopy"):
        hn.models.clone_model(small)
    with pytest.raises(NotImplementedError, match=r"A quantised HyperModel .* copy.deepcopy"):
        hn.HyperModel.from_config(small.get_config())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_file_that_does_not_fit_is_refused(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    make().quantize(dtype).save(path)
    tensors, texts = _core.read_file(str(path))
    changes = {
        "head/kernel": lambda v: v[:, :-1].copy(),
        "head/bias": lambda v: v[:-1].copy(),
        "head/scale": lambda v: None,
    }
    for name, change in changes.items():
        if name not in tensors:
            continue
        changed = change(tensors[name])
        others = {key: value for key, value in tensors.items() if key != name}
        _core.write_file(str(path), others if changed is None else {**others, name: changed}, texts)
        with pytest.raises(ValueError):
            hn.saving.load_model(path)
        done = subprocess.run([specialize_program(tmp_path), path], capture_output=True, text=True)
        assert done.returncode == 1 and name in done.stderr, done.stderr


_programs: dict[str, Path] = {}


def specialize_program(folder: Path) -> Path:
    if "specialize" not in _programs or not _programs["specialize"].exists():
        _programs["specialize"] = program("examples/specialize.c", folder)
    return _programs["specialize"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{}, {"generated": 1, "base": "target"}])
def test_c_loads_and_specializes(dtype: str, options: dict[str, Any], tmp_path: Path) -> None:
    small = make(**options).quantize(dtype)
    path = tmp_path / "small.safetensors"
    small.save(path)
    cond = np.array([0.5, -1.25, 2.0, 0.75], np.float32)
    line = re.search(r"^prediction:(.*)$", run(specialize_program(tmp_path), path, *map(str, cond)), re.MULTILINE)
    assert line
    expected = small.specialize(cond)(np.ones((1, 5), np.float32))[0]
    np.testing.assert_allclose([float(n) for n in line[1].split()], expected, rtol=1e-5, atol=1e-7)
