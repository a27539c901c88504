"""Files, pickle, deepcopy: what comes back is what was there."""

import copy
import errno
import os
import pickle
import re
import subprocess
import sys

import hypernet as hn
import numpy as np
import pytest
import safetensors

layers = hn.layers
RNG = np.random.default_rng(0)


def x(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def plain():
    return hn.target_network(6, 3), x(5, 6)


def branching():
    a, b = layers.Input((3,), name="a"), layers.Input((2,), dtype="int32", name="b")
    inner = hn.Sequential([layers.Input((3,)), layers.Dense(4, activation="relu"), layers.LayerNormalization()])
    ids = layers.Flatten()(layers.Embedding(5, 2)(b))
    joined = layers.Concatenate()([inner(a), inner(a), ids])
    model = hn.Model({"a": a, "b": b}, [layers.Dense(2)(joined), layers.PReLU(shared_axes=[1])(joined)])
    return model, {"a": x(5, 3), "b": RNG.integers(0, 5, (5, 2))}


def deferred():
    model = hn.Sequential([layers.Dense(4, kernel_regularizer="l2"), layers.Dropout(0.5), layers.Dense(2)])
    data = x(5, 3)
    model(data)
    return model, data


def hyper():
    target = hn.target_network(6, 3)
    return hn.HyperModel(hn.hypernetwork(4, target.count_params()), target), [x(5, 4), x(5, 6)]


def partial():
    target = hn.target_network(6, 3)
    names = [target.layers[2].name]
    generator = hn.hypernetwork(4, hn.count_params(target, names))
    return hn.HyperModel(generator, target, generated=names, base="target"), [x(5, 4), x(5, 6)]


def double():
    return hn.target_network(6, 3, dtype="float64"), x(5, 6)


MAKERS = [plain, branching, deferred, hyper, partial, double]


def equal(a, b):
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a.dtype == b.dtype and np.array_equal(a, b)


@pytest.mark.parametrize("make", MAKERS)
class TestEveryModel:
    def test_save_and_load(self, make, tmp_path):
        model, data = make()
        path = tmp_path / "model.safetensors"
        model.save(path)
        other = hn.saving.load_model(path)
        assert type(other) is type(model)
        assert other.name == model.name
        assert equal(other(data), model(data))
        assert equal(other.get_weights(), model.get_weights())
        assert other.get_config() == model.get_config()
        assert hn.models.load_model(str(path)).count_params() == model.count_params()

    def test_the_file_is_a_safetensors_file(self, make, tmp_path):
        model, _ = make()
        path = tmp_path / "model.safetensors"
        model.save(path)
        with safetensors.safe_open(path, "numpy") as file:
            metadata = file.metadata()
            names = list(file.keys())
            total = sum(file.get_tensor(name).size for name in names if name != "base")
        assert metadata["hypernet_format"] == "1"
        assert {"hypernet_model", "hypernet_config"} <= set(metadata)
        assert total == model.count_params()

    def test_weights_alone(self, make, tmp_path):
        model, data = make()
        path = tmp_path / "w.safetensors"
        model.save_weights(path)
        other = type(model).from_config(model.get_config())
        assert not equal(other.get_weights(), model.get_weights())
        other.load_weights(path)
        assert equal(other(data), model(data))
        with pytest.raises(ValueError, match="holds weights only"):
            hn.saving.load_model(path)

    def test_pickle_and_deepcopy(self, make):
        model, data = make()
        for duplicate in (lambda: pickle.loads(pickle.dumps(model)), lambda: copy.deepcopy(model)):
            other = duplicate()
            assert type(other) is type(model)
            assert equal(other(data), model(data))
            before = other.get_weights()
            model.set_weights([2 * value for value in model.get_weights()])
            assert equal(other.get_weights(), before)

    def test_load_in_another_process(self, make, tmp_path):
        model, _ = make()
        path = str(tmp_path / "model.safetensors")
        model.save(path)
        script = "import sys, hypernet as hn; print(hn.saving.load_model(sys.argv[1]).count_params())"
        done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
        assert int(done.stdout) == model.count_params()


@pytest.mark.parametrize("make", [plain, hyper, partial])
def test_training_goes_on_where_it_was(make, tmp_path):
    model, data = make()
    y = RNG.integers(0, 3, 5)
    model.compile(hn.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    for _ in range(3):
        model.train_on_batch(data, y)
    path = tmp_path / "model.safetensors"
    model.save(path)
    others = [hn.saving.load_model(path), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    for _ in range(3):
        model.train_on_batch(data, y)
    for other in others:
        assert type(other.optimizer) is hn.optimizers.Adam
        for _ in range(3):
            other.train_on_batch(data, y)
        assert equal(other.get_weights(), model.get_weights())
    assert hn.saving.load_model(path, compile=False).optimizer is None


def test_trainable_flags_come_back(tmp_path):
    model, _ = plain()
    model.layers[1].trainable = False
    model.save(tmp_path / "m.safetensors")
    assert len(hn.saving.load_model(tmp_path / "m.safetensors").trainable_weights) == 2
    assert len(copy.deepcopy(model).trainable_weights) == 2


def test_a_loaded_generator_is_not_initialised_again(tmp_path):
    target = hn.target_network(6, 3)
    generator = hn.hypernetwork(4, target.count_params())
    generator.save(tmp_path / "g.safetensors")
    loaded = hn.saving.load_model(tmp_path / "g.safetensors")
    hn.HyperModel(loaded, target)
    assert equal(loaded.get_weights(), generator.get_weights())


def test_copies_of_a_hypermodel_keep_the_targets_own_weights_and_init():
    model, data = hyper()
    clone = copy.deepcopy(model)
    assert equal(clone.target.get_weights(), model.target.get_weights())
    assert equal(clone.target(data[1]), model.target(data[1]))
    target = hn.target_network(6, 3)
    generator = hn.hypernetwork(4, target.count_params())
    kept = hn.HyperModel(generator, target, init=None)
    head = hn.models.clone_model(kept).generator.layers[-1]
    limit = np.sqrt(6 / sum(head.kernel.shape))  # Glorot's: no other initialisation came after
    assert 0.9 * limit < np.abs(head.kernel).max() <= limit


def test_loaded_weights_bring_their_base(tmp_path):
    model, data = partial()
    model.save_weights(tmp_path / "w.safetensors")
    other = hn.models.clone_model(model)
    other(data)
    other.load_weights(tmp_path / "w.safetensors")
    assert equal(other.base, model.base)
    assert equal(other(data), model(data))


def test_a_specialised_model_is_small(tmp_path):
    model, data = hyper()
    model.save(tmp_path / "h.safetensors")
    special = model.specialize(data[0][0])
    special.save(tmp_path / "s.safetensors")
    ordinary = hn.target_network(6, 3)
    ordinary.save(tmp_path / "o.safetensors")
    sizes = {name: os.path.getsize(tmp_path / f"{name}.safetensors") for name in "hso"}
    assert abs(sizes["s"] - sizes["o"]) < 200
    assert sizes["h"] > 5 * sizes["s"]


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.weights.h5"])
def test_keras_files_are_not_built(name, tmp_path):
    model, _ = plain()
    for action in (model.save, model.save_weights, model.load_weights, hn.saving.load_model):
        with pytest.raises(NotImplementedError, match=r"use a name that ends in `\.safetensors`"):
            action(tmp_path / name)


def test_other_endings():
    model, _ = plain()
    with pytest.raises(ValueError, match="Invalid filepath extension for saving"):
        model.save("model.foo")


def test_overwrite(tmp_path):
    model, _ = plain()
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(FileExistsError):
        model.save(tmp_path / "m.safetensors", overwrite=False)
    model.save(tmp_path / "m.safetensors")


def test_an_unbuilt_model_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="is not built yet"):
        hn.Sequential([layers.Dense(2)]).save(tmp_path / "m.safetensors")


def test_foreign_and_wrong_files(tmp_path):
    import safetensors.numpy

    safetensors.numpy.save_file({"a": np.zeros(3, np.float32)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match=r"is no file of hypernet's"):
        hn.saving.load_model(tmp_path / "foreign.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(ValueError):
        hn.saving.load_model(tmp_path / "damaged.safetensors")
    with pytest.raises(OSError):
        hn.saving.load_model(tmp_path / "missing.safetensors")


@pytest.mark.parametrize("others", [lambda: hn.target_network(6, 4), lambda: hn.target_network(6, 3, hidden=9)])
def test_weights_that_do_not_fit_change_nothing(others, tmp_path):
    model, _ = plain()
    other = others()
    other.save_weights(tmp_path / "w.safetensors")
    before = model.get_weights()
    with pytest.raises(ValueError):
        model.load_weights(tmp_path / "w.safetensors")
    assert equal(model.get_weights(), before)


def test_custom_classes(tmp_path):
    class Narrow(layers.Dense):
        """A layer of the user's own with a built-in op."""

    inputs = layers.Input((3,))
    model = hn.Model(inputs, Narrow(2)(inputs))
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="Could not locate class 'Narrow'"):
        hn.saving.load_model(tmp_path / "m.safetensors")
    loaded = hn.saving.load_model(tmp_path / "m.safetensors", custom_objects={"Narrow": Narrow})
    assert type(loaded.layers[1]) is Narrow


def twice(name=None):
    inputs = layers.Input((6,))
    late = layers.Dense(6, name=name)  # counted before the layer that comes first
    inner = hn.Sequential([layers.Input((6,)), layers.Dense(6), layers.Dense(6)])
    return hn.Model(inputs, late(inner(layers.Dense(6)(inputs))))


def test_a_model_built_again_takes_the_weights_of_the_first(tmp_path):
    """In one process the second one's layers have other numbers in their names."""
    first, again = twice(), twice()
    first.set_weights(RNG.standard_normal(first.count_params()))
    first.save_weights(tmp_path / "w.safetensors")
    assert first.layers[1].name != again.layers[1].name
    again.load_weights(tmp_path / "w.safetensors")
    assert equal(again.get_weights(), first.get_weights())
    model, data = partial()
    model.save_weights(tmp_path / "h.safetensors")
    other, _ = partial()
    other.load_weights(tmp_path / "h.safetensors")
    assert equal(other(data), model(data))


def test_a_model_built_again_finds_its_weights_in_a_file_of_another_order(tmp_path):
    first, again = twice(), twice()
    first.set_weights(RNG.standard_normal(first.count_params()))
    first.save_weights(tmp_path / "w.safetensors")
    with safetensors.safe_open(tmp_path / "w.safetensors", "np") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys(), reverse=True)}
        texts = file.metadata()
    hn._core.write_file(str(tmp_path / "v.safetensors"), tensors, texts)
    again.load_weights(tmp_path / "v.safetensors")
    assert equal(again.get_weights(), first.get_weights())


def test_names_that_a_user_gave_must_agree(tmp_path):
    twice("late_1").save_weights(tmp_path / "w.safetensors")
    again = twice("late_2")
    before = again.get_weights()
    with pytest.raises(ValueError, match="has no tensor"):
        again.load_weights(tmp_path / "w.safetensors")
    assert equal(again.get_weights(), before)


@pytest.mark.parametrize("make", [plain, hyper, partial, double])
def test_a_shallow_copy_is_independent(make):
    """copy.copy, as copy.deepcopy, gives weights and an optimizer of its own; both models train on, and alike."""
    model, data = make()
    model.compile("adam", "mse")
    targets = np.zeros_like(model.predict(data, verbose=0))
    model.fit(data, targets, verbose=0, shuffle=False)
    other = copy.copy(model)
    assert type(other) is type(model) and other.optimizer is not model.optimizer
    before = model.params.copy()
    other.fit(data, targets, verbose=0, shuffle=False)
    assert np.array_equal(model.params, before)
    model.fit(data, targets, verbose=0, shuffle=False)
    assert np.array_equal(model.params, other.params) and not np.array_equal(model.params, before)


@pytest.mark.parametrize("unbuilt", ["generator", "target"])
def test_parts_of_a_hypermodel_are_built(unbuilt):
    """What is not built is named, with what to do; and then that works."""
    target, count = hn.Sequential([layers.Dense(2)], name="work"), 8
    generator = hn.Sequential([layers.Dense(count)], name="source")
    for part, size in ((generator, 5), (target, 3)):
        if part.name != {"generator": "source", "target": "work"}[unbuilt]:
            part(np.ones((1, size)))
    with pytest.raises(ValueError, match=rf"The {unbuilt} '\w+' is not built yet.* call it on data, or .* `Input`"):
        hn.HyperModel(generator, target)
    generator(np.ones((1, 5))), target(np.ones((1, 3)))
    assert hn.HyperModel(generator, target)([np.ones((4, 5)), np.ones((4, 3))]).shape == (4, 2)


def test_paths_may_be_bytes(tmp_path):
    """As everywhere in Python, and in os.PathLike objects: saving, loading, weights, callbacks."""
    model, data = plain()
    model.compile("sgd", "mse")
    path = os.fsencode(tmp_path / "model\u00e9.safetensors")

    class Place:
        def __fspath__(self):
            return path

    model.save(path)
    equal(hn.saving.load_model(Place()), model)
    model.save_weights(Place())
    plain()[0].load_weights(path)
    checkpoint = hn.callbacks.ModelCheckpoint(os.fsencode(tmp_path / "{epoch}.safetensors"))
    table = hn.callbacks.CSVLogger(os.fsencode(tmp_path / "table.csv"))
    model.fit(data, model.predict(data, verbose=0), verbose=0, callbacks=[checkpoint, table])
    assert sorted(os.listdir(tmp_path)) == ["1.safetensors", "model\u00e9.safetensors", "table.csv"]
    with pytest.raises(TypeError, match=r"expected str, bytes or os\.PathLike"):
        model.save(3)


def test_an_unbuilt_model_takes_no_weights(tmp_path):
    """It says that it is not built, and not that the file is wrong."""
    model, _ = plain()
    model.save_weights(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="'late' is not built yet, so there is no place for weights: call it on data"):
        hn.Sequential([layers.Dense(2)], name="late").load_weights(tmp_path / "w.safetensors")


def test_the_ending_of_a_file_to_load():
    """The message is about loading."""
    for load in (hn.saving.load_model, plain()[0].load_weights):
        with pytest.raises(
            ValueError, match=r"^Invalid filepath extension for loading\. .* Received: filepath=w\.txt\.$"
        ):
            load("w.txt")


@pytest.mark.parametrize("way", [copy.deepcopy, copy.copy, lambda weights: pickle.loads(pickle.dumps(weights))])
def test_copies_of_weights_are_independent(way):
    """A list of weights as Keras's users copy it: the same numbers and flags, in memory of its own."""
    model, _ = branching()
    model.weights[1].trainable = False
    kept = [way(weight) for weight in model.weights] if way is copy.copy else way(model.weights)
    before, described = model.get_weights(), lambda w: (w.path, w.shape, w.dtype, w.role, w.trainable)
    assert [described(weight) for weight in kept] == [described(weight) for weight in model.weights]
    model.set_weights([array + 1 for array in before])
    assert all(np.array_equal(weight.numpy(), array) for weight, array in zip(kept, before, strict=True))
    kept[0].assign(kept[0].numpy() + 2)
    assert np.array_equal(kept[0].numpy(), before[0] + 2) and np.array_equal(model.weights[0].numpy(), before[0] + 1)


def looped(folder):
    os.symlink(folder / "loop.safetensors", folder / "loop.safetensors")
    return folder / "loop.safetensors"


def locked(folder):
    plain()[0].save(folder / "locked.safetensors")
    os.chmod(folder / "locked.safetensors", 0)
    return folder / "locked.safetensors"


def folded(folder):
    os.mkdir(folder / "folder.safetensors")
    return folder / "folder.safetensors"


def beneath_a_file(folder):
    (folder / "file").write_text("")
    return folder / "file" / "m.safetensors"


@pytest.mark.parametrize(
    ("place", "error", "number", "acts"),
    [
        (lambda folder: folder / "m.safetensors", FileNotFoundError, errno.ENOENT, "load"),
        (lambda folder: folder / "none" / "m.safetensors", FileNotFoundError, errno.ENOENT, "save load"),
        (folded, IsADirectoryError, errno.EISDIR, "save load"),
        (beneath_a_file, NotADirectoryError, errno.ENOTDIR, "save load"),
        (looped, OSError, errno.ELOOP, "load"),
        (lambda folder: folder / f"{'m' * 300}.safetensors", OSError, errno.ENAMETOOLONG, "save load"),
        pytest.param(
            locked,
            PermissionError,
            errno.EACCES,
            "save load",
            marks=pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do anything"),
        ),
    ],
)
def test_the_systems_reason_is_an_exception_of_its_own(place, error, number, acts, tmp_path):
    """As of `open`: the class, errno and filename of Python's, and our words about what could not be done."""
    path, (model, _) = place(tmp_path), plain()
    calls = {"load": [hn.saving.load_model, model.load_weights], "save": [model.save, model.save_weights]}
    for what in acts.split():
        words = {"load": "could not open", "save": "could not write"}[what]
        for call in calls[what]:
            with pytest.raises(
                error, match=rf"^\[Errno {number}\] {words} .*{re.escape(os.strerror(number))}"
            ) as raised:
                call(path)
            assert type(raised.value) is error
            assert (raised.value.errno, raised.value.filename) == (number, str(path))


def test_an_error_that_is_not_the_systems_has_no_number(tmp_path):
    """A named pipe can be opened; it is hypernet that refuses it."""
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(OSError, match=r"it is not a regular file$") as raised:
        hn.saving.load_model(tmp_path / "pipe.safetensors")
    assert raised.value.errno is None
