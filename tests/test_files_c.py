"""The native file from C: against the safetensors package both ways, and everything that must be refused."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from c_build import program, run

HN_OK, HN_ERROR_VALUE, HN_ERROR_OS = 0, 1, 4


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program("tests/c/files.c", tmp_path_factory.mktemp("files"))


def statuses(files: Path, *paths: Path, command: str = "read") -> list[tuple[int, int, str]]:
    """(status, leaked blocks, message) of reading each path."""
    lines = run(files, command, *paths).splitlines()
    assert len(lines) == len(paths)
    return [(int(status), int(blocks), text) for status, blocks, text in (line.split(" ", 2) for line in lines)]


def raw(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A file with this header (an object, or text as it is)."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(begin: int, end: int, shape: list[Any] | None = None, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def test_from_c(files: Path, tmp_path: Path) -> None:
    assert run(files, "self", tmp_path) == "ok\n"
    assert not list(tmp_path.glob(".hypernet*"))


def test_a_locale_with_another_decimal_point(files: Path, tmp_path: Path) -> None:
    """Pashto's point has two bytes, German's is a comma; numbers in files are JSON's."""
    for name in ("de_DE", "ps_AF"):
        folder = tmp_path / f"{name}.UTF-8"
        made = ["localedef", "-c", "-i", name, "-f", "UTF-8", folder]
        if shutil.which("localedef") is None or subprocess.run(made, capture_output=True).returncode > 1:
            pytest.skip("no such locale can be made here")
        environment = {**os.environ, "LOCPATH": str(tmp_path), "LC_ALL": folder.name}
        locale_point = "import locale; locale.setlocale(locale.LC_ALL, ''); print(locale.localeconv()['decimal_point'])"
        point = subprocess.run([sys.executable, "-c", locale_point], env=environment, capture_output=True)
        assert point.returncode == 0 and point.stdout.strip() != b"."
        work = tmp_path / f"{name} files"
        work.mkdir()
        done = subprocess.run([files, "self", work], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "layer/kernel é": np.array([[np.nan, np.inf], [-0.0, 5e-324]]),
    "scalar": np.array(2.5, dtype=np.float32),
    "empty": np.zeros((3, 0, 2), dtype=np.float64),
    "ids": np.array([np.iinfo(np.int64).min, -1, 7]),
    "deep": np.arange(2, dtype=np.float32).reshape(1, 1, 1, 1, 1, 1, 1, 2),
}


def test_agrees_with_safetensors_both_ways(files: Path, tmp_path: Path) -> None:
    metadata = {"note": 'quotes " \\ \n\t\x01 and ünïcode 😀', "": "", "b": "2"}
    save_file(ARRAYS, tmp_path / "theirs.safetensors", metadata=metadata)
    run(files, "copy", tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors")
    back = load_file(tmp_path / "ours.safetensors")
    assert set(back) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert back[name].dtype == array.dtype and back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()
    with safe_open(tmp_path / "ours.safetensors", "np") as opened:
        assert {k: v for k, v in opened.metadata().items() if k != "hypernet_checksum"} == metadata


def test_checksum_survives_another_writer(files: Path, tmp_path: Path) -> None:
    """safetensors writes tensors and metadata in an order of its own; changed contents are refused."""
    save_file(ARRAYS, tmp_path / "a.safetensors", metadata={"x": "1", "y": "2", "z": "3"})
    run(files, "copy", tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    with safe_open(tmp_path / "b.safetensors", "np") as opened:
        metadata = opened.metadata()
    arrays = load_file(tmp_path / "b.safetensors")
    save_file(dict(reversed(arrays.items())), tmp_path / "c.safetensors", metadata=metadata)
    arrays["a"][0, 0] += 1
    save_file(arrays, tmp_path / "d.safetensors", metadata=metadata)
    same, changed = statuses(files, tmp_path / "c.safetensors", tmp_path / "d.safetensors")
    assert same == (HN_OK, 0, "read")
    assert changed[:2] == (HN_ERROR_VALUE, 0) and "checksum" in changed[2]


def xxh64(data: bytes, seed: int = 0) -> int:
    """XXH64 by its specification, slowly."""
    p1, p2, p3, p4, p5 = (
        *(0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5),
    )
    mask = 2**64 - 1

    def rotate(word: int, bits: int) -> int:
        return (word << bits | word >> (64 - bits)) & mask

    def take(total: int, word: int) -> int:
        return rotate((total + word * p2) & mask, 31) * p1 & mask

    place, hash_ = 0, (seed + p5) & mask
    if len(data) >= 32:
        sums = [(seed + p1 + p2) & mask, (seed + p2) & mask, seed, (seed - p1) & mask]
        while len(data) - place >= 32:
            sums = [take(s, w) for s, w in zip(sums, struct.unpack_from("<4Q", data, place), strict=True)]
            place += 32
        hash_ = sum(rotate(s, bits) for s, bits in zip(sums, (1, 7, 12, 18), strict=True)) & mask
        for s in sums:
            hash_ = ((hash_ ^ take(0, s)) * p1 + p4) & mask
    hash_ = (hash_ + len(data)) & mask
    while len(data) - place >= 8:
        hash_ = (rotate(hash_ ^ take(0, struct.unpack_from("<Q", data, place)[0]), 27) * p1 + p4) & mask
        place += 8
    if len(data) - place >= 4:
        hash_ = (rotate(hash_ ^ struct.unpack_from("<I", data, place)[0] * p1 & mask, 23) * p2 + p3) & mask
        place += 4
    for byte in data[place:]:
        hash_ = rotate(hash_ ^ byte * p5 & mask, 11) * p1 & mask
    for shift, prime in ((33, p2), (29, p3)):
        hash_ = (hash_ ^ hash_ >> shift) * prime & mask
    return hash_ ^ hash_ >> 32


KINDS = {"float32": "F32", "float64": "F64", "int64": "I64"}


def save_native(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> Path:
    """A native file by the safetensors package, with the checksum as tensors.h defines it."""
    total = sum(xxh64(value.encode(), xxh64(key.encode())) for key, value in metadata.items())
    for name, array in arrays.items():
        kind = f"{KINDS[array.dtype.name]}:{array.shape}"
        total += xxh64(array.tobytes(), xxh64(kind.encode(), xxh64(name.encode())))
    save_file(arrays, path, metadata=metadata | {"hypernet_checksum": f"{total % 2**64:016x}"})
    return path


def test_checksum_is_as_documented(files: Path, tmp_path: Path) -> None:
    metadata = {"hypernet_format": "1", "note": "ünïcode " * 10}
    assert statuses(files, save_native(tmp_path / "a.safetensors", ARRAYS, metadata)) == [(HN_OK, 0, "read")]


DAMAGED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "0 bytes"),
    "seven bytes": (b"\x01" * 7, "7 bytes"),
    "length beyond the file": (raw({}, length=3), "the file is shorter"),
    "length beyond the limit": (struct.pack("<Q", 100_000_001) + b"{}", "100000000"),
    "largest length": (struct.pack("<Q", 2**64 - 1) + b"{}", "100000000"),
    "no JSON": (raw(b"nonsense"), "no JSON"),
    "empty header": (raw(b""), "too early"),
    "space first": (raw(b" {}"), "does not begin"),
    "no object": (raw([1]), "begin with"),
    "not UTF-8": (raw(b'{"\xff":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'), "UTF-8"),
    "deep nesting": (raw(b'{"a":' + b"[" * 100_000), "too deep"),
    "duplicate tensor": (
        raw(
            b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
        ),
        "twice",
    ),
    "duplicate metadata": (raw(b'{"__metadata__":{"a":"1","a":"2"}}'), "twice"),
    "duplicate field": (raw(b'{"a":{"dtype":"F32","dtype":"F32","shape":[0],"data_offsets":[0,0]}}'), "twice"),
    "overlap": (raw({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12)), "begins at byte 4"),
    "gap": (raw({"a": tensor(0, 4), "b": tensor(8, 12)}, bytes(12)), "begins at byte 8"),
    "gap before the first": (raw({"a": tensor(4, 8)}, bytes(8)), "begins at byte 4"),
    "same place": (raw({"a": tensor(0, 8), "b": tensor(0, 8)}, bytes(8)), "begins at byte 0"),
    "bytes behind the last": (raw({"a": tensor(0, 4)}, bytes(8)), "the buffer has 8 bytes"),
    "bytes missing": (raw({"a": tensor(0, 8)}, bytes(4)), "does not lie"),
    "end before begin": (raw({"a": tensor(8, 4, [1])}, bytes(8)), "does not lie"),
    "negative offset": (raw({"a": tensor(-4, 4)}, bytes(4)), "does not lie"),
    "offset that is no integer": (raw({"a": tensor(0, 4) | {"data_offsets": [0, 4.0]}}, bytes(4)), "does not lie"),
    "three offsets": (raw({"a": tensor(0, 4) | {"data_offsets": [0, 4, 4]}}, bytes(4)), "does not lie"),
    "negative shape": (raw({"a": tensor(0, 4, [-1, -1])}, bytes(4)), "must have a shape"),
    "shape that is no integer": (raw({"a": tensor(0, 4, [1.0])}, bytes(4)), "must have a shape"),
    "nine axes": (raw({"a": tensor(0, 4, [1] * 9)}, bytes(4)), "must have a shape"),
    "wrong size": (raw({"a": tensor(0, 4, [2])}, bytes(4)), "cannot have 4 bytes"),
    "product that overflows": (raw({"a": tensor(0, 4, [2**32, 2**32])}, bytes(4)), "cannot have"),
    "bytes that overflow": (raw({"a": tensor(0, 0, [2**62])}), "cannot have"),
    "giant declared size": (raw({"a": tensor(0, 2**50, [2**48])}), "does not lie"),
    "number beyond int64": (raw({"a": tensor(0, 4) | {"data_offsets": [0, 2**64]}}, bytes(4)), "does not lie"),
    "unknown dtype": (raw({"a": tensor(0, 4, dtype="BF16")}, bytes(4)), "BF16"),
    "dtype that is no string": (raw({"a": tensor(0, 4) | {"dtype": 3}}, bytes(4)), "an integer"),
    "field missing": (raw({"a": {"dtype": "F32", "shape": [0]}}), "must have dtype"),
    "field too many": (raw({"a": tensor(0, 4) | {"more": 1}}, bytes(4)), "must have dtype"),
    "tensor that is no object": (raw({"a": 3}), "must have dtype"),
    "metadata that is no object": (raw({"__metadata__": "text"}), "is a string"),
    "metadata that is no string": (raw({"__metadata__": {"a": 1}}), "is an integer"),
    "checksum missing": (raw({"__metadata__": {"hypernet_format": "1"}}), "no checksum"),
    "wrong checksum": (raw({"__metadata__": {"hypernet_checksum": "0" * 15 + "1"}}), "checksum"),
    "NUL in a name": (raw(b'{"a\\u0000":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'), "U+0000"),
}


def test_damaged_files_are_refused(files: Path, tmp_path: Path) -> None:
    paths = []
    for number, (content, _) in enumerate(DAMAGED.values()):
        paths.append(tmp_path / f"{number}.safetensors")
        paths[-1].write_bytes(content)
    for (name, (_, words)), (status, blocks, message) in zip(DAMAGED.items(), statuses(files, *paths), strict=True):
        assert status == HN_ERROR_VALUE and blocks == 0, f"{name}: {status} {message}"
        assert words in message, f"{name}: {message}"


def test_what_is_no_file(files: Path, tmp_path: Path) -> None:
    missing, folder = statuses(files, tmp_path / "missing", tmp_path)
    assert missing[:2] == (HN_ERROR_OS, 0) and str(tmp_path / "missing") in missing[2]
    assert folder[:2] == (HN_ERROR_OS, 0)


DENSE = {"op": "dense", "layer": "d", "inputs": [0], "attributes": {"units": 3, "activation": "relu"}}
INPUT = {"name": "x", "shape": [4], "dtype": "float32"}
GRAPH: dict[str, Any] = {"dtype": "float32", "inputs": [INPUT], "nodes": [DENSE], "outputs": [1]}


def read_graph(files: Path, text: str) -> tuple[int, str]:
    status, answer = run(files, "graph", text).rstrip("\n").split(" ", 1)
    return int(status), answer


def test_graph_round_trip(files: Path) -> None:
    """Defaults are filled in, and what is written reads back as itself."""
    relu = {"op": "activation", "layer": "r", "inputs": [1], "attributes": {"activation": "relu_general", "p0": 0.2}}
    fold = {"op": "reshape", "layer": "fold", "inputs": [4], "attributes": {"target": [3, -1]}}
    graph = GRAPH | {
        "inputs": [INPUT | {"shape": [-1, 4]}, {"name": "ids", "shape": [], "dtype": "int64"}],
        "nodes": [DENSE | {"layer": 'dé/"q"'}, relu | {"inputs": [2]}, relu | {"inputs": [3]}, fold],
        "outputs": [5, 0],
    }
    status, text = read_graph(files, json.dumps(graph))
    assert status == HN_OK, text
    again = json.loads(text)
    assert again["inputs"] == graph["inputs"] and again["outputs"] == [5, 0]
    assert again["nodes"][0]["attributes"] == {"units": 3, "use_bias": 1, "activation": "relu"}
    assert again["nodes"][1]["attributes"]["p0"] == 0.2
    assert again["nodes"][3] == fold
    assert again["nodes"][1]["attributes"]["p1"] == "Infinity"
    assert read_graph(files, text) == (HN_OK, text)


BAD_GRAPHS: dict[str, tuple[Any, str]] = {
    "no object": ([], "must be an object"),
    "dtype": (GRAPH | {"dtype": "int64"}, "float32 or float64"),
    "unknown dtype": (GRAPH | {"dtype": "f"}, "float32 or float64"),
    "key too many": (GRAPH | {"more": 1}, "nothing else"),
    "input dtype": (GRAPH | {"inputs": [INPUT | {"dtype": "float64"}]}, "dtype"),
    "input without name": (GRAPH | {"inputs": [{"shape": [4], "dtype": "float32"}]}, "nothing else"),
    "nine axes": (GRAPH | {"inputs": [INPUT | {"shape": [1] * 9}]}, "shape"),
    "node without layer": (GRAPH | {"nodes": [{key: DENSE[key] for key in DENSE if key != "layer"}]}, "nothing else"),
    "unknown op": (GRAPH | {"nodes": [DENSE | {"op": "conv"}]}, "conv"),
    "unknown attribute": (GRAPH | {"nodes": [DENSE | {"attributes": {"unit": 3}}]}, "unit"),
    "attribute type": (GRAPH | {"nodes": [DENSE | {"attributes": {"units": "3"}}]}, "units"),
    "attribute true": (GRAPH | {"nodes": [DENSE | {"attributes": {"units": True}}]}, "units"),
    "attribute too long": (GRAPH | {"nodes": [DENSE | {"attributes": {"activation": "x" * 32}}]}, "short string"),
    "too many attributes": (GRAPH | {"nodes": [DENSE | {"attributes": {str(i): i for i in range(9)}}]}, "at most 8"),
    "no units": (GRAPH | {"nodes": [DENSE | {"attributes": {"units": 0}}]}, "units"),
    "giant units": (GRAPH | {"nodes": [DENSE | {"attributes": {"units": 2**62}}]}, "large"),
    "forward reference": (GRAPH | {"nodes": [DENSE | {"inputs": [1]}]}, "tensor 1"),
    "missing input": (GRAPH | {"nodes": [DENSE | {"inputs": []}]}, "expects"),
    "too many inputs": (GRAPH | {"nodes": [DENSE | {"inputs": [0] * 65}]}, "at most 64"),
    "negative number": (GRAPH | {"nodes": [DENSE | {"inputs": [-1]}]}, "from 0 up"),
    "giant number": (GRAPH | {"nodes": [DENSE | {"inputs": [2**32]}]}, "from 0 up"),
    "output": (GRAPH | {"outputs": [2]}, "tensor 2"),
    "giant output": (GRAPH | {"outputs": [2**40]}, "from 0 up"),
    "outputs no array": (GRAPH | {"outputs": 1}, "array"),
}


@pytest.mark.parametrize("name", BAD_GRAPHS)
def test_bad_graphs_are_refused(files: Path, name: str) -> None:
    graph, words = BAD_GRAPHS[name]
    status, message = read_graph(files, json.dumps(graph))
    assert status == HN_ERROR_VALUE and words in message, message


# ---- models ----
GENERATOR: dict[str, Any] = {
    "dtype": "float32",
    "inputs": [{"name": "c", "shape": [2], "dtype": "float32"}],
    "nodes": [{"op": "dense", "layer": "head", "inputs": [0], "attributes": {"units": 12}}],
    "outputs": [1],
}
HYPER: dict[str, Any] = {
    "kind": "hypermodel",
    "generator": GENERATOR,
    "target": GRAPH,
    "generated": ["d/kernel"],
    "base": True,
}
HYPER_ARRAYS = {
    "generator/head/kernel": np.zeros((2, 12), np.float32),
    "generator/head/bias": np.zeros(12, np.float32),
    "target/d/bias": np.zeros(3, np.float32),
    "base": np.zeros(12, np.float32),
    "optimizer/iterations": np.array(3),
}
MODEL_ARRAYS = {"weights/d/kernel": np.zeros((4, 3), np.float32), "weights/d/bias": np.zeros(3, np.float32)}


def without(arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {key: array for key, array in arrays.items() if key != name}


def metadata_of(description: Any) -> dict[str, str]:
    return {"hypernet_format": "1", "hypernet_model": json.dumps(description)}


MODEL = {"kind": "model", "graph": GRAPH}
INT8 = HYPER | {"head": {"stored": "int8", "bias": True}}
WIDE_GRAPH = GRAPH | {"dtype": "float64", "inputs": [INPUT | {"dtype": "float64"}]}
OTHER_SIZE = GENERATOR | {"nodes": [GENERATOR["nodes"][0] | {"attributes": {"units": 11}}]}
ROOM = 3 * 2**20  # for more weights than there are numbers in a file of a few kilobytes
IDENTITY = GENERATOR | {"inputs": [GENERATOR["inputs"][0] | {"shape": [ROOM]}], "nodes": [], "outputs": [0]}
FORGED = HYPER | {
    "generator": IDENTITY,
    "target": GRAPH | {"inputs": [INPUT | {"shape": [ROOM // 3]}]},
    "base": False,
}
BAD_MODELS: dict[str, tuple[dict[str, np.ndarray], dict[str, str], str]] = {
    "room for nothing": ({"target/d/bias": np.zeros(3, np.float32)}, metadata_of(FORGED), "too few"),
    "no format": (MODEL_ARRAYS, {"hypernet_model": json.dumps(MODEL)}, "format"),
    "newer format": (MODEL_ARRAYS, metadata_of(MODEL) | {"hypernet_format": "2"}, "format 2"),
    "no description": (MODEL_ARRAYS, {"hypernet_format": "1"}, "no model"),
    "description no JSON": (MODEL_ARRAYS, {"hypernet_format": "1", "hypernet_model": "{"}, "no JSON"),
    "description no object": (MODEL_ARRAYS, metadata_of([]), "neither"),
    "unknown kind": (MODEL_ARRAYS, metadata_of(MODEL | {"kind": "other"}), "neither"),
    "key too many": (MODEL_ARRAYS, metadata_of(MODEL | {"more": 1}), "neither"),
    "bad graph": (MODEL_ARRAYS, metadata_of(MODEL | {"graph": {}}), "graph"),
    "tensor missing": (without(MODEL_ARRAYS, "weights/d/bias"), metadata_of(MODEL), 'no tensor "weights/d/bias"'),
    "tensor too many": (MODEL_ARRAYS | {"other": np.zeros(1)}, metadata_of(MODEL), "a place for 2"),
    "wrong shape": (MODEL_ARRAYS | {"weights/d/bias": np.zeros(4, np.float32)}, metadata_of(MODEL), "shape (4,)"),
    "wrong dtype": (MODEL_ARRAYS | {"weights/d/bias": np.zeros(3)}, metadata_of(MODEL), "F64"),
    "generated unknown": (HYPER_ARRAYS, metadata_of(HYPER | {"generated": ["d/k"]}), '"d/k"'),
    "generated twice": (HYPER_ARRAYS, metadata_of(HYPER | {"generated": ["d/kernel"] * 2}), "there already"),
    "generated no names": (HYPER_ARRAYS, metadata_of(HYPER | {"generated": [1]}), "an integer"),
    "generated no array": (HYPER_ARRAYS, metadata_of(HYPER | {"generated": None}), "array of names"),
    "base no flag": (HYPER_ARRAYS, metadata_of(HYPER | {"base": 1}), "true or false"),
    "base missing": (without(HYPER_ARRAYS, "base"), metadata_of(HYPER), '"base"'),
    "base not announced": (HYPER_ARRAYS, metadata_of(HYPER | {"base": False}), "a place for 3"),
    "generator's size": (HYPER_ARRAYS, metadata_of(HYPER | {"generator": OTHER_SIZE}), "the 12 generated weights"),
    "generator's dtype": (HYPER_ARRAYS, metadata_of(HYPER | {"target": WIDE_GRAPH}), "different dtypes"),
    "head of another kind": (HYPER_ARRAYS, metadata_of(HYPER | {"head": {"stored": "int4", "bias": True}}), "int8"),
    "head's bias no flag": (HYPER_ARRAYS, metadata_of(HYPER | {"head": {"stored": "int8", "bias": 1}}), "a bias"),
    "head of float64": (HYPER_ARRAYS, metadata_of(INT8 | {"target": WIDE_GRAPH}), "networks of float32"),
    "two outputs before a head": (
        HYPER_ARRAYS, metadata_of(INT8 | {"generator": GENERATOR | {"outputs": [1, 1]}}), "the head's features",
    ),
}  # fmt: skip


def test_models_load(files: Path, tmp_path: Path) -> None:
    paths = [
        save_native(tmp_path / "model.safetensors", MODEL_ARRAYS, metadata_of(MODEL)),
        save_native(tmp_path / "hyper.safetensors", HYPER_ARRAYS, metadata_of(HYPER)),
    ]
    assert statuses(files, *paths, command="model") == [(HN_OK, 0, "loaded")] * 2


def test_bad_models_are_refused(files: Path, tmp_path: Path) -> None:
    paths = [
        save_native(tmp_path / f"{number}.safetensors", arrays, metadata)
        for number, (arrays, metadata, _) in enumerate(BAD_MODELS.values())
    ]
    results = statuses(files, *paths, command="model")
    for (name, (_, _, words)), (status, blocks, message) in zip(BAD_MODELS.items(), results, strict=True):
        assert status == HN_ERROR_VALUE and blocks == 0, f"{name}: {status} {message}"
        assert words in message, f"{name}: {message}"
