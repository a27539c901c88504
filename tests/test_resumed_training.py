"""Training that stops at a checkpoint and goes on from its file, in this process or another, ends with the same bits as
training that never stopped: always without chance, and with it if each epoch begins with a seed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import hypernet as hn
import numpy as np
import pytest

layers = hn.layers
EPOCHS, STOP = 4, 2
OPTIMIZERS: dict[str, Any] = {
    "adam": lambda: hn.optimizers.Adam(0.01),
    "amsgrad": lambda: hn.optimizers.Adam(0.01, amsgrad=True, weight_decay=0.01),
    "momentum": lambda: hn.optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipnorm=1.0),
    "rmsprop": lambda: hn.optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "schedule": lambda: hn.optimizers.Adam(hn.optimizers.schedules.ExponentialDecay(0.02, 3, 0.7)),
}


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.standard_normal((40, 3)), rng.standard_normal((40, 5)), rng.standard_normal((40, 2))


def network(dropout: bool) -> hn.Model:
    stack = [layers.Dense(6, "tanh"), *([layers.Dropout(0.3)] if dropout else []), layers.LayerNormalization()]
    return hn.Sequential([layers.Input((5,)), *stack, layers.Dense(2)])


def make(kind: str, dropout: bool = True) -> Any:
    """A model; a hypermodel, wholly generated or in part, with a base."""
    hn.utils.set_random_seed(5)
    target = network(dropout and kind != "base")
    if kind == "plain":
        return target
    names = [target.layers[-1].name] if kind == "part" else None
    dropped = [layers.Dropout(0.2)] if dropout else []
    generator = hn.Sequential(
        [layers.Input((3,)), layers.Dense(4, "relu"), *dropped, layers.Dense(hn.count_params(target, names))]
    )
    return hn.HyperModel(generator, target, generated=names, base="target" if kind == "base" else None)


def given(model: Any) -> tuple[Any, np.ndarray]:
    """What the model is trained on."""
    conditions, x, y = data()
    return ([conditions, x] if isinstance(model, hn.HyperModel) else x), y


class Batches(hn.utils.PyDataset):
    """The same in batches by number."""

    def __init__(self, x: Any, y: np.ndarray) -> None:
        super().__init__()
        self.x, self.y = x, y

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        rows = slice(8 * index, 8 * index + 8)
        x = [part[rows] for part in self.x] if isinstance(self.x, list) else self.x[rows]
        return x, self.y[rows]


def fit_at_once(model: Any, first: int, way: str = "arrays", seeded: bool = True, **options: Any) -> Any:
    """One call of `fit` for all epochs from this one on.

    way: batches that the core runs by itself, batches of which a callback hears, or a dataset's; seeded: as
    ModelCheckpoint's docstring says, each epoch begins with a seed of its own.
    """
    x, y = given(model)
    callbacks = options.pop("callbacks", [])
    if seeded:
        seed = lambda epoch, logs: hn.utils.set_random_seed(100 + epoch)  # noqa: E731
        callbacks = [*callbacks, hn.callbacks.LambdaCallback(on_epoch_begin=seed)]
    if way == "batch by batch":
        callbacks = [*callbacks, hn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: logs["loss"])]
    validation = (x, y) if way == "validated" else None
    options |= {"initial_epoch": first, "epochs": EPOCHS, "verbose": 0, "callbacks": callbacks}
    if way == "dataset":
        return model.fit(Batches(x, y), **options).history
    return model.fit(x, y, batch_size=8, validation_data=validation, **options).history


def fit(model: Any, first: int, last: int, **options: Any) -> hn.callbacks.History:
    """Epochs whose order of rows and dropout come from the epoch's own seed, as after a restart they must."""
    x, y = given(model)
    for epoch in range(first, last):
        hn.utils.set_random_seed(100 + epoch)
        history = model.fit(x, y, batch_size=8, initial_epoch=epoch, epochs=epoch + 1, verbose=0, **options)
    return history


def bits_of(model: Any) -> bytes:
    """Weights and optimizer state."""
    state = sorted(model.optimizer.state().items())
    return b"".join(np.asarray(value).tobytes() for value in [*model.get_weights(), *(value for _, value in state)])


@pytest.mark.parametrize("kind", ["plain", "hyper", "part", "base"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_ends_with_the_same_bits(kind: str, optimizer: str, tmp_path: Path) -> None:
    """ModelCheckpoint's file of epoch 2, loaded, then epochs 3 and 4: weights, optimizer state and losses are those of
    four epochs at one go, bit for bit, with dropout and shuffled rows."""
    whole, broken = make(kind), make(kind)
    for model in (whole, broken):
        model.compile(OPTIMIZERS[optimizer](), "mse")
    losses = fit(whole, 0, EPOCHS).history
    path = tmp_path / "{epoch}.safetensors"
    fit(broken, 0, STOP, callbacks=[hn.callbacks.ModelCheckpoint(path)])
    del broken
    resumed = hn.saving.load_model(tmp_path / f"{STOP}.safetensors")
    assert fit(resumed, STOP, EPOCHS).history == losses
    assert bits_of(resumed) == bits_of(whole)


def assert_resumable(whole: Any, folder: Path, **options: Any) -> None:
    """One fit of all epochs, and one from the checkpoint that it wrote after STOP, end with the same bits."""
    checkpoint = hn.callbacks.ModelCheckpoint(folder / "{epoch}.safetensors")
    losses = fit_at_once(whole, 0, callbacks=[checkpoint], **options)
    hn.utils.set_random_seed(77)  # whatever state a new process has
    resumed = hn.saving.load_model(folder / f"{STOP}.safetensors")
    assert bits_of(resumed) != bits_of(whole)
    rest = fit_at_once(resumed, STOP, **options)
    assert {name: values[STOP:] for name, values in losses.items()} == rest
    assert bits_of(resumed) == bits_of(whole)


@pytest.mark.parametrize("kind", ["plain", "hyper", "part", "base"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_one_fit_without_chance_is_resumed(kind: str, optimizer: str, tmp_path: Path) -> None:
    """A single call of fit for all epochs, in the order of the rows and without dropout: no seed is needed."""
    whole = make(kind, dropout=False)
    whole.compile(OPTIMIZERS[optimizer](), "mse")
    assert_resumable(whole, tmp_path, seeded=False, shuffle=False)


@pytest.mark.parametrize("kind", ["plain", "hyper", "part", "base"])
@pytest.mark.parametrize("way", ["arrays", "batch by batch", "validated", "dataset"])
def test_one_fit_with_a_seed_an_epoch_is_resumed(kind: str, way: str, tmp_path: Path) -> None:
    """A single call of fit for all epochs, with shuffled rows and dropout, whose epochs set a seed as they begin."""
    whole = make(kind)
    whole.compile(OPTIMIZERS["amsgrad"](), "mse", metrics=["mae"])
    assert_resumable(whole, tmp_path, way=way)


@pytest.mark.parametrize("chance", ["shuffle", "dropout"])
def test_without_a_seed_chance_is_not_resumed(chance: str, tmp_path: Path) -> None:
    """The state of the random numbers is not in the file, as ModelCheckpoint says: either alone would be noticed."""
    whole = make("plain", dropout=chance == "dropout")
    whole.compile(OPTIMIZERS["adam"](), "mse")
    with pytest.raises(AssertionError):
        assert_resumable(whole, tmp_path, seeded=False, shuffle=chance == "shuffle")


def test_weights_alone_do_not_resume_an_optimizer(tmp_path: Path) -> None:
    """`save_weights_only` keeps no state: the test above would tell a file that lost it."""
    whole, broken = make("plain"), make("plain")
    for model in (whole, broken):
        model.compile(OPTIMIZERS["adam"](), "mse")
    fit(whole, 0, EPOCHS)
    checkpoint = hn.callbacks.ModelCheckpoint(tmp_path / "w.safetensors", save_weights_only=True)
    fit(broken, 0, STOP, callbacks=[checkpoint])
    resumed = make("plain")
    resumed.load_weights(tmp_path / "w.safetensors")
    resumed.compile(OPTIMIZERS["adam"](), "mse")
    fit(resumed, STOP, EPOCHS)
    assert bits_of(resumed) != bits_of(whole)


def test_another_process_resumes(tmp_path: Path) -> None:
    """Nothing but the file is needed."""
    whole, broken = make("part"), make("part")
    for model in (whole, broken):
        model.compile(OPTIMIZERS["amsgrad"](), "mse")
    fit(whole, 0, EPOCHS)
    fit(broken, 0, STOP, callbacks=[hn.callbacks.ModelCheckpoint(tmp_path / "{epoch}.safetensors")])
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import hypernet as hn, test_resumed_training as t\n"
        "model = hn.saving.load_model(sys.argv[2])\n"
        "t.fit(model, t.STOP, t.EPOCHS)\n"
        "model.save(sys.argv[3])\n"
    )
    paths = [Path(__file__).parent, tmp_path / f"{STOP}.safetensors", tmp_path / "end.safetensors"]
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert bits_of(hn.saving.load_model(paths[2])) == bits_of(whole)
