"""The two C programs in examples/: built as their comments say, and in agreement with Python."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import hypernet as hn
import numpy as np
import pytest

from c_build import COMPILER, ROOT, program, run

EXAMPLES = ROOT / "examples"


def build(name: str, folder: Path) -> Path:
    return program(f"examples/{name}.c", folder)


@pytest.fixture(scope="module")
def specialize(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("specialize", tmp_path_factory.mktemp("specialize"))


def prediction(program: Path, *arguments: object) -> np.ndarray:
    line = re.search(r"^prediction:((?: \S+)+)$", run(program, *map(str, arguments)), re.MULTILINE)
    assert line
    return np.array([float(number) for number in line[1].split() if number != "..."])


@pytest.mark.slow
@pytest.mark.gate
def test_plain_compile_line(tmp_path: Path) -> None:
    """The README's command as it stands (but for the level of optimisation, which takes its time)."""
    found = re.search(r"^cc -O2 (-Ihypernet_c .*?) -o specialize$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert found
    line = f"cd '{ROOT}' && {' '.join(COMPILER)} -O0 {found[1]} -o '{tmp_path}/specialize'"
    run("bash", "-c", line)
    assert subprocess.run([tmp_path / "specialize"], capture_output=True).returncode == 2


def test_examples_include_the_public_header_only() -> None:
    for path in EXAMPLES.glob("*.c"):
        assert re.findall(r'#include "(.*)"', path.read_text()) == ["hypernet.h"]


def test_tutorial_learns(tmp_path: Path) -> None:
    text = run(build("tutorial", tmp_path))
    assert "14218 weights" in text
    first = re.search(r"prediction:((?: [\d.]+){10})", text)
    assert first and abs(sum(map(float, first[1].split())) - 1) < 1e-3
    losses = [float(number) for number in re.findall(r"loss (\S+)", text)]
    accuracies = [float(number) for number in re.findall(r"accuracy (\S+)", text)]
    assert losses[0] > 2 and losses[-1] < 0.2 and accuracies[-1] > 0.95


def test_specialize_agrees_with_python(specialize: Path, tmp_path: Path) -> None:
    target = hn.target_network(20, 5)
    hyper = hn.HyperModel(hn.hypernetwork(3, target.count_params()), target)
    path = tmp_path / "hyper.safetensors"
    hyper.save(path)
    x = np.ones((1, 20), np.float32)
    for condition in ([1.0, 1.0, 1.0], [0.5, -2.0, 3.25]):
        cond = np.array(condition, np.float32)
        expected = hyper.specialize(cond).predict(x, verbose=0)[0]
        np.testing.assert_allclose(prediction(specialize, path, *condition), expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(hyper.predict([cond, x], verbose=0)[0], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(prediction(specialize, path), prediction(specialize, path, 1, 1, 1))


def test_specialize_with_own_weights_base_and_ids(specialize: Path, tmp_path: Path) -> None:
    target = hn.Sequential(
        [
            hn.layers.Input((6,), dtype="float64"),
            hn.layers.Dense(8, activation="gelu", dtype="float64"),
            hn.layers.Dense(3, dtype="float64"),
        ]
    )
    names = [target.layers[-1].name]
    generator = hn.Sequential(
        [
            hn.layers.Input((), dtype="int32"),
            hn.layers.Embedding(7, 4, dtype="float64"),
            hn.layers.Dense(hn.count_params(target, generated=names), dtype="float64"),
        ]
    )
    hyper = hn.HyperModel(generator, target, generated=names, base="target")
    hyper.params[...] = np.random.default_rng(0).standard_normal(hyper.params.shape)
    path = tmp_path / "hyper.safetensors"
    hyper.save(path)
    x = np.ones((1, 6))
    for number in (0, 5):
        expected = hyper.specialize(number).predict(x, verbose=0)[0]
        np.testing.assert_allclose(prediction(specialize, path, number), expected, rtol=1e-8)
    wrong = subprocess.run([specialize, path, "7"], capture_output=True, text=True)
    assert wrong.returncode == 1 and "7" in wrong.stderr
    wrong = subprocess.run([specialize, path, "1", "2"], capture_output=True, text=True)
    assert wrong.returncode == 1 and "condition" in wrong.stderr


def test_specialized_model_saved_again(specialize: Path, tmp_path: Path) -> None:
    target = hn.target_network(4, 3)
    hyper = hn.HyperModel(hn.hypernetwork(2, target.count_params()), target)
    model = hyper.specialize(np.array([0.25, -1.0], np.float32))
    model.save(tmp_path / "model.safetensors")
    expected = model.predict(np.ones((1, 4), np.float32), verbose=0)[0]
    np.testing.assert_allclose(prediction(specialize, tmp_path / "model.safetensors"), expected, rtol=1e-6, atol=1e-7)


def test_conditions_of_open_shape(specialize: Path, tmp_path: Path) -> None:
    """An open axis of the condition is as long as the numbers make it; numbers that do not fit are refused in words."""
    target = hn.target_network(4, 3)
    condition = hn.layers.Input((None, 4))
    folded = hn.layers.Reshape((4,))(condition)
    hyper = hn.HyperModel(hn.Model(condition, hn.layers.Dense(target.count_params())(folded)), target)
    path = tmp_path / "hyper.safetensors"
    hyper.save(path)
    numbers = [0.5, -1.0, 2.0, 0.25]
    expected = hyper.specialize(np.array(numbers, np.float32).reshape(1, 4)).predict(np.ones((1, 4)), verbose=0)[0]
    np.testing.assert_allclose(prediction(specialize, path, *numbers), expected, rtol=1e-6, atol=1e-7)
    for given, words in (("1 2 3", "shape (None, 4), received 3 numbers"), ("1 2 3 4 5 6 7 8", "reshape: 8 elements")):
        wrong = subprocess.run([specialize, path, *given.split()], capture_output=True, text=True)
        assert wrong.returncode == 1 and words in wrong.stderr, wrong.stderr


def test_generators_of_two_inputs(specialize: Path, tmp_path: Path) -> None:
    """They are refused in words: the C side takes one condition."""
    target = hn.target_network(4, 3)
    conditions = [hn.layers.Input((2,)), hn.layers.Input((2,))]
    theta = hn.layers.Dense(target.count_params())(hn.layers.Concatenate()(conditions))
    path = tmp_path / "hyper.safetensors"
    hn.HyperModel(hn.Model(conditions, theta), target).save(path)
    wrong = subprocess.run([specialize, path, "1", "2"], capture_output=True, text=True)
    assert wrong.returncode == 1 and "a generator of 2 inputs" in wrong.stderr, wrong.stderr


def test_specialize_explains_errors(specialize: Path, tmp_path: Path) -> None:
    path = tmp_path / "hyper.safetensors"
    target = hn.target_network(4, 3)
    hn.HyperModel(hn.hypernetwork(2, target.count_params()), target).save(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    done = subprocess.run([specialize, path], capture_output=True, text=True)
    assert done.returncode == 1 and "checksum" in done.stderr
    done = subprocess.run([specialize, tmp_path / "none"], capture_output=True, text=True)
    assert done.returncode == 1 and "No such file" in done.stderr
