"""The demonstration: its data, its training, and the whole command in a small run."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import hypernet as hn
import matplotlib.colors
import matplotlib.image
import numpy as np
import pytest
from hypernet.demo import comparison, data, models, training
from hypernet.demo.command import main

TITLES = {contender.key: contender.title for contender in models.contenders()}
WEIGHTS = {"hypernetwork": 2_410, "a": 2_410, "b": 2_410, "c": 2_474, "d": 156_893}


class Silent:
    """Progress that nobody sees."""

    def begin(self, text: str) -> None:
        pass

    def epoch(self, number: int, accuracy: float) -> None:
        pass

    def end(self) -> None:
        pass


# ---- data ----
def test_parts_share_no_image():
    digits = data.load_digits(3)
    parts = digits.train.index, digits.validation.index, digits.test.index
    assert [len(part) for part in parts] == [1197, 240, 360]
    assert sorted(np.concatenate(parts).tolist()) == list(range(1797))
    assert not np.array_equal(data.load_digits(4).test.index, digits.test.index)
    np.testing.assert_array_equal(data.load_digits(3, 50).train.images, digits.train.images[:50])


def test_angles():
    low, high = data.LEFT_OUT
    trained, tested = data.trained_angles(), data.tested_angles()
    assert not ((trained > low) & (trained < high)).any()
    assert low in trained and high in trained and len(trained) == 21
    between, left_out = tested[data.is_between(tested)], tested[data.is_left_out(tested)]
    assert len(between) == 20 and len(left_out) == 7
    assert not set(between) & set(trained) and not set(left_out) & set(trained) and not set(between) & set(left_out)
    gaps = np.abs((between[:, np.newaxis] - trained + 180) % 360 - 180)
    np.testing.assert_array_equal(np.sort(gaps, axis=1)[:, :2], np.full((20, 2), data.STEP / 2))


def test_turned_counter_clockwise():
    dot = np.zeros((1, 8, 8), np.float32)
    dot[0, 3:5, 7] = 1.0  # on the right
    turned = data.turn(data.Split(dot, np.zeros(1, int), np.zeros(1, int)), [0, 90, 180])
    upright, top, left = turned.images.reshape(3, 8, 8)
    np.testing.assert_allclose(upright, dot[0], atol=1e-6)
    np.testing.assert_allclose(top[0, 3:5], 1.0, atol=1e-6)
    np.testing.assert_allclose(left[3:5, 0], 1.0, atol=1e-6)
    np.testing.assert_allclose(turned.conditions, [[1, 0], [0, 1], [-1, 0]], atol=1e-7)


# ---- contenders ----
def test_same_batches_for_all():
    digits = data.load_digits(0, 60)
    turned = data.turn(digits.train, data.trained_angles())
    by_key = {contender.key: training.Batches(contender, turned, 16, seed=5) for contender in models.contenders()}
    assert len(by_key["a"]) == 3
    first = by_key["hypernetwork"][1]
    for epoch in range(2):
        (conditions, images), labels = by_key["hypernetwork"][1]
        assert images.shape == (21, 16, 64) and labels.shape == (21, 16)
        alone, its_labels = by_key["a"][1]
        np.testing.assert_array_equal(alone, images.reshape(-1, 64))
        np.testing.assert_array_equal(its_labels, labels.reshape(-1))
        with_angle, its_labels = by_key["d"][1]
        np.testing.assert_array_equal(with_angle[:, :64], alone)
        np.testing.assert_array_equal(with_angle[:, 64:].reshape(21, 16, 2), np.repeat(conditions[:, None], 16, axis=1))
        np.testing.assert_array_equal(its_labels, labels.reshape(-1))
        for batches in by_key.values():
            batches.on_epoch_end()
        assert epoch or not np.array_equal(by_key["hypernetwork"][1][1], first[1])


def test_sizes():
    built = {contender.key: contender.build() for contender in models.contenders()}
    whole = built["hypernetwork"].count_params()
    assert abs(built["d"].count_params() - whole) < 0.01 * whole
    built["hypernetwork"] = built["hypernetwork"].specialize(data.condition_of(30.0))
    assert {key: model.count_params() for key, model in built.items()} == WEIGHTS


def test_best_rate_on_validation_images_is_kept():
    digits = data.load_digits(0, 200)
    turned, validation = (data.turn(part, [0.0]) for part in (digits.train, digits.validation))
    settings = training.Settings(rates=(1e-6, 0.01, 1e-5), patience=2, epochs=3)
    contender = models.contenders()[2]
    trained = training.train(contender, turned, validation, settings, 0, Silent())
    assert trained.rate == 0.01 and trained.epochs == 3 and not trained.at_plateau
    assert trained.validation[0.01] == max(trained.validation.values()) > 0.3
    found = contender.predict(trained.model, validation.conditions, validation.images)
    assert (found == validation.labels).mean() == pytest.approx(trained.validation[0.01])


def test_training_ends_at_the_plateau():
    digits = data.load_digits(0, 48)
    turned, validation = (data.turn(part, [0.0]) for part in (digits.train, digits.validation))
    settings = training.Settings(rates=(1e-9,), patience=2, epochs=100)  # nothing is learnt
    trained = training.train(models.contenders()[1], turned, validation, settings, 0, Silent())
    assert trained.at_plateau and trained.epochs == 1 + 3 * settings.patience


# ---- the command ----
def run(options: str, output: Path | None = None) -> str:
    command = [sys.executable, "-m", "hypernet", *options.split()]
    if output is not None:
        command += ["--output", str(output)]
    return subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout


def row(output: str, title: str) -> list[str]:
    """The cells of the first row of a table that begins so."""
    line = next(line for line in output.splitlines() if line.startswith(f"│ {title} "))
    return [cell.strip() for cell in line.strip("│").split("│")][1:]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What a small run printed, and its folder."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    return run("--images 192 --epochs 4 --rates 0.01 --threads 1 --seed 1 --angle 30", folder), folder


def test_one_line_a_training(small):
    lines = re.findall(
        r"^\[(\d+)/5\] (.+), rate 0.01: validation accuracy 0\.\d+, 4 epochs, \d", small[0], re.MULTILINE
    )
    assert lines == [(str(i + 1), name) for i, name in enumerate(["hypernetwork", "(a)", "(b)", "(c)", "(d)"])]


def test_accuracies(small):
    output, folder = small
    digits = data.load_digits(1)
    hyper = hn.saving.load_model(folder / "hypernetwork.safetensors")
    tested = data.turn(digits.test, data.tested_angles())
    found = hyper.predict([tested.conditions, tested.images], verbose=0).argmax(-1)
    accuracy = (found == tested.labels).mean(axis=1)
    expected = [
        accuracy[data.is_between(tested.angles)].mean(),
        accuracy[data.is_left_out(tested.angles)].mean(),
        accuracy[0],
    ]
    assert row(output, TITLES["hypernetwork"]) == [f"{value:.3f}" for value in expected]
    assert expected[0] > 0.2  # it has learnt something
    reached = {key: [float(cell) for cell in row(output, title)] for key, title in TITLES.items()}
    assert all(0.05 < value <= 1.0 for values in reached.values() for value in values)
    assert reached["b"][2] > reached["b"][0] + 0.2  # upright only
    for where, column in (("between trained angles", 0), ("in the range 120-180° left out", 1)):
        line = re.search(f"{where}: \\(a\\) (.+), \\(c\\) (.+), \\(d\\) (.+)", output)
        for points, key in zip(line.groups(), "acd", strict=True):
            difference = 100 * (reached["hypernetwork"][column] - reached[key][column])
            assert float(points) == pytest.approx(difference, abs=0.2)


@pytest.mark.not_sanitized("compares times")
def test_training_and_costs_are_printed(small):
    output, _ = small
    said = " ".join(output.split())
    assert "This run: seed 1, learning rates 0.01, plateau after 12 epochs without" in said and "threads: 1." in said
    deployed = output[output.index("Deployed") :]
    for key, weights in WEIGHTS.items():
        name = key if key == "hypernetwork" else f"({key})"
        validation, chosen, epochs, _ = row(output, name)
        assert 0.05 < float(validation) < 1 and chosen == "0.01" and epochs == "4 (limit)"
        name = "the network that the hypernetwork made" if key == "hypernetwork" else name
        printed, alone, in_batch = row(deployed, name)
        assert printed == f"{weights:,}" and float(alone) > float(in_batch) > 0


def test_saved_models(small):
    output, folder = small
    hyper = hn.saving.load_model(folder / "hypernetwork.safetensors")
    network = hn.saving.load_model(folder / "network-30.safetensors")
    assert hyper.count_params() == 156_842 and f"{hyper.count_params():,} weights" in output
    assert network.count_params() == WEIGHTS["hypernetwork"]
    np.testing.assert_array_equal(network.params, hyper.generate(data.condition_of(30.0))[0])
    turned = data.turn(data.load_digits(1).test, [30.0])
    right = int((network.predict(turned.images[0], verbose=0).argmax(-1) == turned.labels).sum())
    assert f"{right} of 360 right ({right / 360:.3f}); 360 of 360 answers as before saving" in output
    assert " ".join(map(str, turned.labels[:20])) in output


def test_picture(small):
    picture = matplotlib.image.imread(small[1] / "accuracy.png")[..., :3]
    assert picture.shape[0] > 800 and picture.shape[1] > 1000
    for color in ("#000000", "#0072B2", "#999999", "#D55E00", "#009E73"):  # a line of each contender
        distance = np.abs(picture - matplotlib.colors.to_rgb(color)).max(axis=-1)
        assert (distance < 0.02).sum() > 200, color
    shade = 1 + 0.35 * (np.array(matplotlib.colors.to_rgb("#F0E442")) - 1)
    where = np.flatnonzero((np.abs(picture - shade).max(axis=-1) < 0.02).mean(axis=0) > 0.3)
    assert 0.13 < len(where) / picture.shape[1] < 0.17  # 60 of 360 degrees


def test_several_seeds(tmp_path):
    output = run("--images 48 --epochs 1 --rates 0.01 --seeds 2", tmp_path)
    assert "seeds 0 to 1" in output and "[10/10]" in output and "mean ± standard deviation of 2 seeds" in output
    for title in TITLES.values():
        assert all(re.fullmatch(r"\d\.\d{3} ± \d\.\d{3}", cell) for cell in row(output, title))
    assert row(output, "hypernetwork")[1] == "0.01 (2x)"


@pytest.mark.usefixtures("restored_threads")
def test_info(capsys):
    threads = hn.get_num_threads()
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert f"hypernet {hn.__version__}" in printed and f"threads: {threads}" in printed
    assert re.search(r"instruction set: (scalar|avx2|avx512|neon|reference)", printed)
    assert main(["info", "--threads", "3"]) == 0
    assert "threads: 3" in capsys.readouterr().out


def test_help():
    printed = run("--help")
    for option in ("full", "seed", "seeds", "angle", "output", "threads", "rates", "epochs", "images", "version"):
        assert f"--{option}" in printed
    assert "info" in printed and "97.5" in printed


@pytest.mark.parametrize(
    "options", ["--threads 0", "--seed -1", "--seeds x", "--rates 0.1,-1", "--rates nan", "--angle inf", "train"]
)
def test_bad_options(options, capsys):
    with pytest.raises(SystemExit) as caught:
        main(options.split())
    assert caught.value.code == 2
    assert "error: argument" in capsys.readouterr().err


@pytest.mark.parametrize("module, package", [("sklearn", "scikit-learn"), ("matplotlib", "matplotlib")])
def test_missing_package(module, package, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    folder = tmp_path / "none"
    assert main(["--output", str(folder)]) == 1
    message = capsys.readouterr().err
    assert package in message and "pip install '.[demo]'" in message
    assert not folder.exists()


def test_output_that_is_no_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["--output", str(tmp_path / "file")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_interrupt(tmp_path, monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "compare", interrupted)
    assert main(["--output", str(tmp_path)]) == 130
    assert "Interrupted" in capsys.readouterr().err


@pytest.mark.slow
def test_default_command(tmp_path):
    """The margins of the hypernetwork, in less than a minute's work of two cores."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = run("", tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    between = {key: float(row(output, title)[0]) for key, title in TITLES.items()}
    assert between["hypernetwork"] >= 0.96
    assert between["hypernetwork"] - between["a"] >= 0.05
    assert between["hypernetwork"] - between["c"] >= 0.02
    assert "limit" not in output  # all reached their plateau
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 120
