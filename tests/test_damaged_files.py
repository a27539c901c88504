"""Files that are damaged or made to harm: each gives a clear error, changes no model and leaves no memory behind."""

from __future__ import annotations

import copy
import json
import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypernet as hn
import numpy as np
import pytest
from hypernet import _core

from c_build import checked, program
from flat import resident
from test_files_c import DAMAGED, raw, tensor

layers = hn.layers
REFUSED = (ValueError, OSError)
BODY_FLIPS = 10_000


def small_model() -> hn.Model:
    """A file of 2 to 3 KB, with two layers and the state of an optimizer."""
    hn.utils.set_random_seed(0)
    model = hn.target_network(2, 2, hidden=2)
    model.compile(hn.optimizers.Adam(), "mse")
    model.train_on_batch(np.ones((2, 2)), np.ones((2, 2)))
    return model


def header_end(content: bytes) -> int:
    return 8 + struct.unpack("<Q", content[:8])[0]


def bits_of(model: hn.Model) -> bytes:
    return b"".join(weight.tobytes() for weight in model.get_weights())


class Victim:
    """A damaged file, the model that it is loaded into, and how often that was refused."""

    def __init__(self, folder: Path, content: bytes) -> None:
        self.path = folder / "damaged.safetensors"
        self.path.write_bytes(content)
        self.file = os.open(self.path, os.O_RDWR)
        self.content = content
        self.model = small_model()
        self.before = bits_of(self.model)
        self.refused = 0

    def expect_refused(self, what: str) -> None:
        for load in (hn.saving.load_model, self.model.load_weights):
            with pytest.raises(REFUSED) as caught:
                load(self.path)
            assert self.path.name in str(caught.value), f"{what}: {caught.value}"
        assert bits_of(self.model) == self.before, what
        self.refused += 1

    def flip(self, bit: int) -> None:
        os.pwrite(self.file, bytes([self.content[bit // 8] ^ 1 << bit % 8]), bit // 8)
        self.expect_refused(f"bit {bit}")
        os.pwrite(self.file, self.content[bit // 8 : bit // 8 + 1], bit // 8)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    path = tmp_path / "whole.safetensors"
    small_model().save(path)
    made = Victim(tmp_path, path.read_bytes())
    yield made
    os.close(made.file)


# ---- every cut, every bit ----
def test_a_file_cut_at_every_byte_is_refused(victim: Victim, evidence) -> None:
    """Both `load_model` and `load_weights`; the model keeps its bits."""
    for length in reversed(range(len(victim.content))):
        os.ftruncate(victim.file, length)
        victim.expect_refused(f"cut to {length}")
    evidence("files cut at every byte are refused, Python", tried=victim.refused, required=len(victim.content))


@pytest.mark.slow
@pytest.mark.gate
def test_every_flipped_bit_of_the_header_is_refused(victim: Victim, evidence) -> None:
    """Length and JSON; and after so many refusals the process is no larger than after the first thousand."""
    bits = 8 * header_end(victim.content)
    grown = 0
    for bit in range(bits):
        victim.flip(bit)
        if bit == 1000:
            grown = -resident()
    grown += resident()
    evidence("every bit of a header flipped is refused, Python", tried=victim.refused, required=bits)
    evidence("memory kept by refused files", tried=bits, required=bits, worst=grown / 2**20, bound=4.0, unit="MiB")


@pytest.mark.slow
@pytest.mark.gate
def test_flipped_bits_of_the_body_are_refused(tmp_path: Path, evidence) -> None:
    """A checksum over all weights tells every one of them."""
    model = hn.target_network(20, 5, hidden=64)
    model.save(tmp_path / "whole.safetensors")
    victim = Victim(tmp_path, (tmp_path / "whole.safetensors").read_bytes())
    rng = random.Random(0)
    for _ in range(BODY_FLIPS):
        victim.flip(rng.randrange(8 * header_end(victim.content), 8 * len(victim.content)))
    os.close(victim.file)
    evidence("random bits of weights flipped are refused, Python", tried=victim.refused, required=BODY_FLIPS)


def test_a_sample_of_flipped_bits_is_refused(victim: Victim) -> None:
    """The quick share of the two tests above."""
    rng = random.Random(1)
    for bit in rng.sample(range(8 * len(victim.content)), 400):
        victim.flip(bit)


@pytest.fixture(scope="module")
def damage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program("tests/c/damage.c", tmp_path_factory.mktemp("damage"))


def save_kind(kind: str, path: Path) -> bytes:
    """The file of a small model or hypermodel."""
    hn.utils.set_random_seed(0)
    model: Any = small_model()
    if kind != "model":
        target = hn.target_network(2, 2, hidden=2)
        model = hn.HyperModel(hn.hypernetwork(2, target.count_params(), hidden=2), target, base="target")
    if kind == "int8":
        model = model.quantize("int8")
    model.save(path)
    return path.read_bytes()


@pytest.mark.slow
@pytest.mark.gate
@pytest.mark.parametrize("kind", ["model", "hypermodel", "int8"])
def test_the_c_loader_refuses_the_same(damage: Path, kind: str, tmp_path: Path, evidence) -> None:
    """`hn_model_load`: cut at every byte, every bit of the header, and many of the body; nothing stays allocated."""
    path, other = tmp_path / "whole.safetensors", tmp_path / "copy.safetensors"
    content = save_kind(kind, path)
    end = header_end(content)
    cuts = checked(damage, "cut", path, other)
    bits = checked(damage, "header", path, other)
    body = checked(damage, "body", path, other, str(BODY_FLIPS))
    evidence(f"a file of a {kind} cut at every byte is refused, C", tried=cuts, required=len(content))
    evidence(f"every bit of the header of a {kind} flipped is refused, C", tried=bits, required=8 * end)
    evidence(f"random bits of the weights of a {kind} flipped are refused, C", tried=body, required=BODY_FLIPS)


# ---- headers made by hand ----
HEADERS: dict[str, bytes] = {name: content for name, (content, _) in DAMAGED.items()} | {
    "length 2^63": struct.pack("<Q", 2**63) + b"{}",
    "length 2^63 - 1": struct.pack("<Q", 2**63 - 1) + b"{}",
    "offsets near 2^63": raw({"a": tensor(2**63 - 5, 2**63 - 1)}, bytes(4)),
    "end near 2^63": raw({"a": tensor(0, 2**63 - 1, [2**61])}, bytes(4)),
    "product 2^64": raw({"a": tensor(0, 4, [2**21, 2**21, 2**22])}, bytes(4)),
    "product that wraps to the right size": raw({"a": tensor(0, 4, [2**62 + 1, 4])}, bytes(16)),
    "zero times a giant": raw({"a": tensor(0, 4, [0, 2**63 - 1, 2**63 - 1])}, bytes(4)),
    "a number of 10,000 digits": raw(b'{"a":{"dtype":"F32","shape":[' + b"9" * 10_000 + b'],"data_offsets":[0,4]}}'),
    "an exponent without end": raw(b'{"a":{"dtype":"F32","shape":[1e999999999],"data_offsets":[0,4]}}'),
    "deep objects": raw(b'{"a":' * 50_000),
    "deep metadata": raw(b'{"__metadata__":{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}}"),
    "many tensors at one place": raw({str(i): tensor(0, 4) for i in range(1000)}, bytes(4)),
    "a million commas": raw(b'{"a":[' + b"0," * 500_000 + b"0]}"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_made_to_harm_are_refused(name: str, tmp_path: Path) -> None:
    victim = Victim(tmp_path, HEADERS[name])
    victim.expect_refused(name)
    os.close(victim.file)


def test_tensors_out_of_order_are_read(tmp_path: Path) -> None:
    """The order of the header is free: the format's only rule is that the buffer has no gap."""
    path = tmp_path / "unsorted.safetensors"
    path.write_bytes(raw({"b": tensor(4, 8), "a": tensor(0, 4)}, struct.pack("<2f", 1, 2)))
    tensors, _ = _core.read_file(str(path))
    assert tensors["a"] == 1 and tensors["b"] == 2


# ---- names ----
NAMES = [
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        "~",
        "C:\\x",
        "file:///etc/passwd",
        "$(touch it)",
        "%s%n%n",
        "weights/../a",
    ),
    *("a\nb", "\x01\x1f\x7f", "\u202e\ufeff", "x" * 100_000, "", " "),
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_are_only_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor, a metadata key or value, a model or a layer may be called like a path: nothing is opened or made."""
    monkeypatch.chdir(tmp_path)
    small_model().save("whole.safetensors")
    tensors, texts = _core.read_file("whole.safetensors")
    config = json.loads(texts["hypernet_config"])
    config["config"]["name"] = name
    renamed = config["config"]["layers"][-1]["config"]
    renamed["name"] = name
    variants = {
        "tensor": ({**tensors, name: np.ones(1, np.float32)}, texts),
        "key": (tensors, {**texts, name: name}),
        "names": (tensors, {**texts, "hypernet_config": json.dumps(config)}),
    }
    for what, contents in variants.items():
        _core.write_file(f"{what}.safetensors", *contents)
    known = {"whole.safetensors", *(f"{what}.safetensors" for what in variants)}
    assert "name" in hn.saving.load_model("key.safetensors").get_config()
    for what in ("tensor", "names"):
        with pytest.raises(ValueError):
            hn.saving.load_model(f"{what}.safetensors")
    assert set(os.listdir()) == known


def test_a_name_with_a_zero_is_refused(tmp_path: Path) -> None:
    """In a name of a tensor, of a key, and in the path itself."""
    model = small_model()
    for name in ("tensors", "texts"):
        given = {"tensors": {"a\0b": np.ones(1)}} if name == "tensors" else {"texts": {"a\0b": ""}}
        with pytest.raises(ValueError):
            _core.write_file(str(tmp_path / "a.safetensors"), given.get("tensors", {}), given.get("texts", {}))
    for action in (model.save, model.save_weights, model.load_weights, hn.saving.load_model):
        with pytest.raises(ValueError):
            action(str(tmp_path / "a\0b.safetensors"))
    assert os.listdir(tmp_path) == []


# ---- configurations ----
ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        3,
        10**6,
        2**31,
        2**40,
        2**63,
        10**30,
        -(2**63),
        0.5,
        1e308,
        float("inf"),
        float("nan"),
    ),
    *("", "x", "relu", "../../etc/passwd", "\x00", "a" * 5000, [], [1], [None], [[1]], {}, {"a": 1}, [-1, 0], [0, 5]),
    *({"class_name": "os.system", "config": {}}, {"class_name": "Dense", "config": {"units": 3}}),
    *({"class_name": "Dense", "config": []}, {"class_name": ["Dense"], "config": {}}),
]


def trained(kind: str) -> hn.Model | hn.HyperModel:
    """Models whose configurations have much in them."""
    hn.utils.set_random_seed(0)
    x, y = np.ones((2, 2), np.float32), np.ones((2, 2), np.float32)
    if kind == "sequential":
        stack = [layers.Dense(2, "relu", kernel_regularizer="l2"), layers.Dropout(0.5), layers.LayerNormalization()]
        model: Any = hn.Sequential([layers.Input((2,)), *stack, layers.Dense(2)])
        model.compile(hn.optimizers.Adam(0.01), "mse", metrics=["mae"])
    elif kind == "functional":
        model = hn.target_network(2, 2, hidden=2)
        rate = hn.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
        model.compile(hn.optimizers.SGD(rate, momentum=0.9), hn.losses.Huber())
    else:
        target = hn.target_network(2, 2, hidden=2)
        model = hn.HyperModel(hn.hypernetwork(2, target.count_params(), hidden=2), target, base="target")
        model.compile("rmsprop", "mse")
        x = [x, x]
    model.train_on_batch(x, y)
    return model


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a tree of dicts and lists."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at this place; `places`, which is no value, stands for nothing at all."""
    if not path:
        return value
    tree = copy.deepcopy(tree)
    at = tree
    for key in path[:-1]:
        at = at[key]
    if value is places:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return tree


def try_configurations(path: Path, kind: str, values: int, every: int = 1) -> dict[str, int]:
    """Every so many-th place of a configuration, with so many odd values each: how often it loaded and was refused."""
    trained(kind).save(path)
    tensors, texts = _core.read_file(str(path))
    config = json.loads(texts["hypernet_config"])
    rng = random.Random(kind)
    counts = {"loaded": 0, "refused": 0}
    for place in list(places(config))[::every]:
        for value in [*rng.sample(ODD, values), *([places] if place else [])]:
            text = json.dumps(replaced(config, place, value))
            _core.write_file(str(path), tensors, {**texts, "hypernet_config": text})
            try:
                hn.saving.load_model(path)
                counts["loaded"] += 1
            except (ValueError, NotImplementedError) as error:
                assert str(error), (place, value)
                counts["refused"] += 1
    return counts


def test_odd_configurations_load_or_are_refused(tmp_path: Path) -> None:
    """No other exception than the documented ones comes out; the quick share of the next test."""
    counts = try_configurations(tmp_path / "m.safetensors", "functional", 1, 5)
    assert counts["refused"] > 10 and counts["loaded"] > 2, counts


@pytest.mark.slow
@pytest.mark.gate
def test_many_odd_configurations(tmp_path: Path, evidence) -> None:
    """Each place of three configurations, with six odd values and with nothing at all."""
    tried = sum(
        sum(try_configurations(tmp_path / "m.safetensors", kind, 6).values())
        for kind in ("sequential", "functional", "hyper")
    )
    evidence("odd values in the configuration of a file load or are refused", tried=tried, required=2_000)


def rewritten(path: Path, **texts: str) -> Path:
    """The file with other metadata."""
    tensors, old = _core.read_file(str(path))
    _core.write_file(str(path), tensors, old | texts)
    return path


TEXTS = {
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep objects": '{"class_name":' * 50_000 + "1" + "}" * 50_000,
    "many digits": '{"class_name": ' + "9" * 10_000 + "}",
    "no JSON": "{",
    "nothing": "",
    "a list": "[]",
    "nan": "NaN",
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("key", ["hypernet_config", "hypernet_model"])
def test_descriptions_that_are_none(key: str, name: str, tmp_path: Path) -> None:
    """Of the two descriptions `load_weights` reads the graph's only where names differ, so names do here."""
    small_model().save(tmp_path / "m.safetensors")
    path = rewritten(tmp_path / "m.safetensors", **{key: TEXTS[name]})
    inputs = layers.Input((2,))
    other = hn.Model(inputs, layers.Dense(2, name="of_another_name")(layers.Dense(2, "relu")(inputs)))
    before = bits_of(other)
    with pytest.raises(ValueError, match=path.name):
        other.load_weights(path)
    if key == "hypernet_config":
        with pytest.raises(ValueError, match=path.name):
            hn.saving.load_model(path)
    assert bits_of(other) == before


def test_a_claimed_size_takes_no_memory(tmp_path: Path) -> None:
    """3 KB that ask for 4 TB are refused before anything is allocated for them."""
    small_model().save(tmp_path / "m.safetensors")
    _, texts = _core.read_file(str(tmp_path / "m.safetensors"))
    config = json.loads(texts["hypernet_config"])
    for layer in config["config"]["layers"]:
        layer["config"]["units"] = 2**20
    path = rewritten(tmp_path / "m.safetensors", hypernet_config=json.dumps(config))
    before = resident()
    with pytest.raises(ValueError, match="for which the file has no numbers"):
        hn.saving.load_model(path)
    assert resident() - before < 2**20


def identity_hyper(count: int) -> hn.HyperModel:
    """A generator without weights: the condition is what it generates."""
    condition, inputs = layers.Input((3 * count,)), layers.Input((count,))
    target = hn.Model(inputs, layers.Dense(3, use_bias=False)(inputs))
    return hn.HyperModel(hn.Model(condition, layers.Activation("linear")(condition)), target)


def test_a_generator_without_weights_claims_no_memory(tmp_path: Path) -> None:
    """Room for generated weights, which no tensor holds, is as much as the numbers in the file justify."""
    path = tmp_path / "m.safetensors"
    identity_hyper(100).save(path)
    tensors, texts = _core.read_file(str(path))
    for name in ("hypernet_config", "hypernet_model"):
        texts[name] = texts[name].replace("300", str(3 * 10**7)).replace("100", str(10**7))
    _core.write_file(str(path), tensors, texts)
    before = resident()
    with pytest.raises(ValueError, match="0 numbers are too few for a generator of 30,000,000 weights"):
        hn.saving.load_model(path)
    assert resident() - before < 2**22


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    """The same rule when saving: a million generated weights may come from nothing, a few more not."""
    path = tmp_path / "m.safetensors"
    identity_hyper(2**20 // 3).save(path)
    assert hn.saving.load_model(path).target.count_params() == 2**20 // 3 * 3
    path.unlink()
    with pytest.raises(ValueError, match="too few for a generator of"):
        identity_hyper(2**20 // 3 + 1).save(path)
    assert not path.exists()


def test_a_base_without_a_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    small_model().save(path)
    tensors, texts = _core.read_file(str(path))
    _core.write_file(str(path), {**tensors, "base": np.zeros(3, np.float32)}, texts)
    with pytest.raises(ValueError, match="no place for: base"):
        hn.saving.load_model(path)


def test_a_base_that_is_no_number_changes_nothing(tmp_path: Path) -> None:
    """Weights and base are checked before the first of them is written."""
    target = hn.target_network(2, 2, hidden=2)
    model = hn.HyperModel(hn.hypernetwork(2, target.count_params(), hidden=2), target, base="target")
    path = tmp_path / "w.safetensors"
    model.save_weights(path)
    tensors, texts = _core.read_file(str(path))
    tensors = {name: 2 * value for name, value in tensors.items()}
    tensors["base"] = np.ones(tensors["base"].shape, np.int64)
    _core.write_file(str(path), tensors, texts)
    before, base = bits_of(model), model.base.tobytes()
    with pytest.raises(ValueError, match="'base' is of int64"):
        model.load_weights(path)
    assert bits_of(model) == before and model.base.tobytes() == base


# ---- code ----
AUDITED = """
import sys
import hypernet as hn
harmless, *paths = sys.argv[1:]
hn.saving.load_model(harmless)  # imports what loading needs
modules, events = set(sys.modules), []
watched = ("import", "exec", "compile", "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn",
           "socket.connect", "ctypes.dlopen", "marshal.loads", "pickle.find_class", "code.__new__")
watching = True
def hook(event, arguments):
    if watching and event in watched:
        events.append((event, str(arguments)[:80]))
    if watching and event == "open" and arguments[0] not in paths:
        events.append((event, str(arguments)[:80]))
sys.addaudithook(hook)
for path in paths:
    try:
        hn.saving.load_model(path)
        answer = "loaded"
    except ValueError as error:
        answer = "refused"
        text = str(error)
    print(answer)
watching = False
assert not events, events
assert set(sys.modules) == modules, set(sys.modules) - modules
"""
CODE: dict[str, tuple[tuple[Any, ...], Any]] = {
    "a class": (("class_name",), "os.system"),
    "a class of another package": (("class_name",), "subprocess>Popen"),
    "a layer": (("config", "layers", 0, "class_name"), "builtins.exec"),
    "a module": (("config", "layers", 0, "module"), "antigravity"),
    "a lambda": (
        ("config", "layers", 0),
        {
            "class_name": "Lambda",
            "config": {"name": "a", "function": {"class_name": "__lambda__", "config": {"code": "4w=="}}},
        },
    ),
    "an activation": (("config", "layers", 0, "config", "activation"), "__import__('os').system('true')"),
    "an initializer": (
        ("config", "layers", 0, "config", "kernel_initializer"),
        {
            "module": "antigravity",
            "class_name": "Popen",
            "config": {"args": ["true"]},
            "registered_name": "antigravity>x",
        },
    ),
    "an optimizer": (("compile_config", "optimizer"), {"module": "antigravity", "class_name": "x", "config": {}}),
    "a loss": (("compile_config", "loss"), {"module": "builtins", "class_name": "function", "config": "eval"}),
    "a metric": (("compile_config", "metrics"), ["os.system"]),
}


def test_loading_runs_and_imports_nothing_that_a_file_names(tmp_path: Path) -> None:
    """In a process of its own whose audit hook sees imports, code, new processes, and files that are opened."""
    paths = [tmp_path / f"{number}.safetensors" for number in range(len(CODE) + 1)]
    trained("sequential").save(paths[0])
    tensors, texts = _core.read_file(str(paths[0]))
    config = json.loads(texts["hypernet_config"])
    for path, (place, value) in zip(paths[1:], CODE.values(), strict=True):
        _core.write_file(str(path), tensors, {**texts, "hypernet_config": json.dumps(replaced(config, place, value))})
    done = subprocess.run([sys.executable, "-c", AUDITED, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = dict(zip(CODE, done.stdout.split(), strict=True))
    assert answers.pop("a module") == "loaded"  # a key that is not known, beside the class's name
    assert set(answers.values()) == {"refused"}, answers


# ---- versions ----
def test_a_file_of_a_newer_format_says_that_a_newer_hypernet_is_needed(tmp_path: Path) -> None:
    small_model().save(tmp_path / "m.safetensors")
    path = rewritten(tmp_path / "m.safetensors", hypernet_format="2")
    words = rf"file format 2, and this hypernet, {hn.__version__}, reads formats up to 1: .* a newer one is needed"
    for load in (hn.saving.load_model, small_model().load_weights):
        with pytest.raises(ValueError, match=words):
            load(path)


@pytest.mark.parametrize("found", ["0", "-1", "1.0", "", "²", "\uff19", "1" * 400, "latest"])
def test_formats_that_are_none(found: str, tmp_path: Path) -> None:
    small_model().save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="is no file of hypernet's"):
        hn.saving.load_model(rewritten(tmp_path / "m.safetensors", hypernet_format=found))


def test_metadata_that_is_not_known_is_ignored(tmp_path: Path) -> None:
    """As the format promises: what a later version adds in keys of its own may be overlooked."""
    model = small_model()
    model.save(tmp_path / "m.safetensors")
    path = rewritten(tmp_path / "m.safetensors", hypernet_later='{"class_name": "Later"}', author="somebody")
    assert bits_of(hn.saving.load_model(path)) == bits_of(model)
