"""Saving and loading: one native file, `.safetensors`, that C reads too.

Metadata: "hypernet_format", "hypernet_model" (the graphs, for C), "hypernet_config" (the configuration, for Python).
Tensors: "weights/<entry>" of a model; "generator/<entry>", "target/<entry>" (own ones) and "base" of a HyperModel;
"head/kernel", "head/scale" and "head/bias" of one whose head is quantised; "optimizer/<name>".

"hypernet_format" is a whole number, now 1. It grows whenever a reader of before would misread a file; a reader refuses
a number that is larger than its own and says that a newer hypernet is needed, and goes on reading every smaller one.
What a reader of before may overlook goes into metadata keys of its own, or keys of the configuration beside those of
today: where they are not known, they are ignored. Nothing else is: a tensor without a place, a layer or an argument that
is not known are errors.

Loading runs no code from a file and imports nothing that a file names: names of classes are looked up among hypernet's
own and those that the program itself registered or handed in.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._names import without_counts
from ._registry import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from ._weights import Weight, limited_room, write

if TYPE_CHECKING:
    from .hyper.model import HyperModel

Array = NDArray[Any]
FilePath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_FORMAT = "1"
_GENERATED_FREELY, _GENERATED_A_NUMBER = 2**20, 64  # as in hypernet_c/files/model_load.c
_OPTIMIZER = "optimizer/"
_HEAD_PARTS = ("head/kernel", "head/scale", "head/bias")

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_weights",
]


def checked_path(filepath: FilePath, purpose: str = "saving") -> str:
    """The path as a string; NotImplementedError for Keras's formats, ValueError for other endings."""
    path = os.fsdecode(filepath)
    if path.endswith((".keras", ".h5", ".hdf5")):
        raise NotImplementedError(
            f"Saving and loading '{path}': Keras's `.keras` and `.h5` formats are not built; use a name that ends in "
            "`.safetensors`."
        )
    if not path.endswith(".safetensors"):
        advice = (
            "Please add a `.safetensors` extension for the native format."
            if purpose == "saving"
            else "Files of the native format, as `save` and `save_weights` write them, end in `.safetensors`."
        )
        raise ValueError(f"Invalid filepath extension for {purpose}. {advice} Received: filepath={path}.")
    return path


# ---- writing ----
def save_model(model: Any, filepath: FilePath, overwrite: bool = True, **kwargs: Any) -> None:
    """Save configuration, weights, compile arguments and optimizer state.

    Parameters
    ----------
    model : Model or HyperModel
        What to save.
    filepath : str, bytes or path
        Ends in `.safetensors`. The file is written beside it and renamed: an error leaves the old one.
    overwrite : bool
        False: FileExistsError if there is one.

    Raises
    ------
    NotImplementedError, ValueError
        See `Model.save`; a layer or loss that has no configuration.

    Examples
    --------
    >>> import hypernet as hn
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     hn.saving.save_model(hn.target_network(3, 2), path)
    ...     hn.saving.load_model(path).output_shape
    (None, 2)
    """
    if kwargs:
        raise NotImplementedError(f"save: {', '.join(map(repr, kwargs))} is not built.")
    path = _free_path(filepath, overwrite)
    _write(path, {**_live_tensors(model), **dict(head_entries(model)), **_live_state(model)}, model, with_compile=True)


def save_weights(model: Any, filepath: FilePath, overwrite: bool = True) -> None:
    """Save the weights alone (and the base of a HyperModel that has one).

    Examples
    --------
    See `Model.save_weights`.

    >>> import hypernet as hn
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     hn.saving.save_weights(hn.target_network(3, 2), os.path.join(folder, "weights.safetensors"))
    ...     os.listdir(folder)
    ['weights.safetensors']
    """
    path = _free_path(filepath, overwrite)
    _write(path, _live_tensors(model), model, with_compile=False)


def _live_tensors(model: Any) -> dict[str, Array]:
    """The weights and the base, not copied, by their names in the file."""
    tensors = {name: weight.value for name, weight in file_entries(model)}
    base = getattr(model, "_base", None)
    return tensors if base is None else {**tensors, "base": base}


def _live_state(model: Any) -> dict[str, Array]:
    """The state of the optimizer, not copied, by its names in the file."""
    state = {} if model.optimizer is None else model.optimizer.live_state()
    return {f"{_OPTIMIZER}{name}": value for name, value in state.items()}


def _state_of(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The state of the optimizer, of tensors by their names in the file."""
    return {name.removeprefix(_OPTIMIZER): value for name, value in tensors.items() if name.startswith(_OPTIMIZER)}


def _generated_count(generator: Any, tensors: Mapping[str, Array]) -> int:
    kernel = tensors.get(_HEAD_PARTS[0])
    return math.prod(generator.output_shape[1:]) if kernel is None else kernel.shape[-1]


def _check_generated(generated: int, tensors: Mapping[str, Array], path: str) -> None:
    """The target has room for the generated weights, which no tensor holds: the file's numbers must justify it."""
    numbers = sum(value.size for value in tensors.values())
    if generated > max(_GENERATED_FREELY, _GENERATED_A_NUMBER * numbers):
        raise ValueError(
            f"'{path}': {numbers:,} numbers are too few for a generator of {generated:,} weights; a file may have "
            f"{_GENERATED_A_NUMBER} for each of its numbers, or {_GENERATED_FREELY:,}."
        )


def _free_path(filepath: FilePath, overwrite: bool) -> str:
    path = checked_path(filepath)
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"'{path}' exists; pass `overwrite=True` to replace it.")
    return path


def _write(path: str, tensors: dict[str, Array], model: Any, with_compile: bool) -> None:
    import json

    config = {"class_name": _class_name(model), "config": model.get_config(), "weights_only": not with_compile}
    if with_compile:
        config["compile_config"] = model.get_compile_config()
    texts = {
        "hypernet_format": _FORMAT,
        "hypernet_model": _graph_json(model),
        "hypernet_config": json.dumps(config, default=_plain),
    }
    if with_compile and hasattr(model, "generator"):
        _check_generated(_generated_count(model.generator, tensors), tensors, path)  # else it could not be loaded
    _core.write_file(path, tensors, texts)


def _plain(value: Any) -> Any:
    """What JSON does not know: NumPy's numbers and arrays."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"{value!r} of type {type(value).__name__} has no configuration that could be saved.")


def _class_name(model: Any) -> str:
    return type(model).__name__ if not hasattr(model, "_class_name") or not _is_built_in(model) else model._class_name


def _is_built_in(model: Any) -> bool:
    return type(model).__module__.startswith("hypernet.")


def _require_built(model: Any, consequence: str) -> None:
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' is not built yet, so there is {consequence}: call it on data, or begin it with an "
            "`Input` layer."
        )


def _graph_json(model: Any) -> str:
    import json

    if hasattr(model, "generator"):
        graphs = model.generator._graph.json(), model.target._graph.json()
        described = {
            "kind": "hypermodel",
            "generator": json.loads(graphs[0]),
            "target": json.loads(graphs[1]),
            "generated": model.generated,
            "base": model._base is not None,
        }
        if model._head is not None:
            described["head"] = {"stored": model._head[0], "bias": model._head[3] is not None}
    else:
        _require_built(model, "nothing to save")
        described = {"kind": "model", "graph": json.loads(model._graph.json())}
    return json.dumps(described)


def file_entries(model: Any) -> list[tuple[str, Weight]]:
    """The weights by their names in the file."""
    names = model._entry_names()
    weights = model._weights_in_order()
    if hasattr(model, "generator"):
        return list(zip(names, weights, strict=True))
    return [(f"weights/{name}", weight) for name, weight in zip(names, weights, strict=True)]


def head_entries(model: Any) -> list[tuple[str, Array]]:
    """The arrays of a quantised head by their names in the file; none of other models."""
    head = getattr(model, "_head", None)
    if head is None:
        return []
    return [(name, part) for name, part in zip(_HEAD_PARTS, head[1:], strict=True) if part is not None]


# ---- reading ----
@contextmanager
def _named_errors(path: str, what: str) -> Iterator[None]:
    """What code raises that takes a description for granted, as the ValueError that loading promises: wrong types,
    missing keys, numbers too large, nesting too deep."""
    try:
        yield
    except (TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, StopIteration) as error:
        raise ValueError(f"'{path}' has a {what} that cannot be read: {error!r}") from error


def load_model(
    filepath: FilePath,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """A model as `save` wrote it: configuration, weights, and training configuration and optimizer state.

    Parameters
    ----------
    filepath : str, bytes or path
        A `.safetensors` file that hypernet wrote.
    custom_objects : dict, optional
        Names of classes and functions of your own.
    compile : bool
        Whether to compile the model as it was.
    safe_mode : bool
        Always on: loading never runs code from the file. False: NotImplementedError.

    Returns
    -------
    Model or HyperModel

    Raises
    ------
    ValueError
        The file is damaged, is none of hypernet's, or is of a newer format.
    OSError
        It cannot be read: FileNotFoundError, PermissionError, ..., by the system's reason, with `errno` and `filename`.

    Examples
    --------
    >>> import hypernet as hn, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> hn.target_network(3, 2).save(path)
    >>> hn.saving.load_model(path).count_params()
    770
    """
    if not safe_mode:
        raise NotImplementedError("load_model: `safe_mode=False` is not built; files hold no code.")
    path = checked_path(filepath, "loading")
    tensors, texts = _core.read_file(path)
    config = _checked_config(path, texts)
    if config.get("weights_only"):
        raise ValueError(f"'{path}' holds weights only; make the model and use `model.load_weights`.")
    with custom_object_scope(custom_objects or {}):
        with _named_errors(path, "configuration"):
            model = _model_from(config, tensors, custom_objects, path)
        _fill(model, path, tensors)
        if compile and config.get("compile_config"):
            with _named_errors(path, "configuration"):
                _compile_from(config["compile_config"], model, tensors)
    return model


def _compile_from(config: Any, model: Any, tensors: dict[str, Array]) -> None:
    model.compile_from_config(config)
    state = _state_of(tensors)
    if state and model.optimizer is not None:
        model.optimizer.set_state(state, model._weights_in_order())


def _parsed(path: str, text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or a whole number of too many digits
        raise ValueError(f"'{path}' has metadata that is no JSON, or none that can be read: {error}") from error


def _checked_config(path: str, texts: dict[str, str]) -> dict[str, Any]:
    found = texts.get("hypernet_format", "")
    if found.isascii() and found.isdecimal() and 0 < len(found) < 20 and int(found) > int(_FORMAT):
        from . import __version__

        raise ValueError(
            f"'{path}' is of file format {int(found)}, and this hypernet, {__version__}, reads formats up to {_FORMAT}: "
            "a newer hypernet wrote it, and a newer one is needed to read it."
        )
    if found != _FORMAT or "hypernet_config" not in texts:
        raise ValueError(
            f"'{path}' is no file of hypernet's: its metadata has hypernet_format="
            f"{texts.get('hypernet_format')!r}; expected {_FORMAT!r}, and a hypernet_config."
        )
    config = _parsed(path, texts["hypernet_config"])
    if not isinstance(config, dict):
        raise ValueError(f"'{path}' has a configuration that is no object.")
    return config


def _model_from(
    config: dict[str, Any], tensors: dict[str, Array], custom_objects: dict[str, Any] | None, path: str | None
) -> Any:
    """The model of a configuration; of a file, it may have no more weights than there are numbers in the tensors."""
    from .hyper.model import HyperModel
    from .models.config import deserialize_layer

    def room(prefix: str, more: int = 0) -> AbstractContextManager[None]:
        count = sum(value.size for name, value in tensors.items() if name.startswith(prefix))
        return nullcontext() if path is None else limited_room(count + more)

    if config["class_name"] not in ("HyperModel", "QuantizedHyperModel"):
        with room("weights/"):
            return deserialize_layer(config, custom_objects)
    parts = config["config"]
    with room("generator/"):
        generator = deserialize_layer(parts["generator"], custom_objects)
    generated = _generated_count(generator, tensors)
    if path is not None:
        _check_generated(generated, tensors, path)
    with room("target/", generated):
        target = deserialize_layer(parts["target"], custom_objects)
    base = tensors["base"] if parts["has_base"] else None
    if "head" in parts:
        from .hyper.quantize import Head, rebuilt

        described, found = parts["head"], [tensors.get(name) for name in _HEAD_PARTS]
        kernel = tensors[_HEAD_PARTS[0]]
        head = Head(described["stored"], kernel, found[1], found[2], float(described["worst_kernel_error"]))
        return rebuilt(parts, generator, target, head, base)
    model = HyperModel(generator, target, generated=parts["generated"], base=base, init=None, name=parts["name"])
    model._init = parts.get("init", "hyperfan_in")
    _mark_initialized(model)
    return model


def _mark_initialized(model: HyperModel) -> None:
    """No later HyperModel may take these weights for untouched ones."""
    for weight in model._weights_in_order():
        weight.initial_checksum = None


def _fill(model: Any, path: str, tensors: dict[str, Array]) -> None:
    """Check every weight of the file against the model, then write them all."""
    entries = file_entries(model)
    values = []
    for name, weight in entries:
        if name not in tensors:
            raise ValueError(
                f"'{path}' has no tensor '{name}', which '{model.name}' needs. It has: {', '.join(sorted(tensors))}"
            )
        value = tensors[name]
        if value.shape != weight.shape:
            raise ValueError(f"'{path}': tensor '{name}' has the shape {value.shape}; expected {weight.shape}.")
        if value.dtype.kind != "f":
            raise ValueError(f"'{path}': tensor '{name}' is of {value.dtype}; expected floating point numbers.")
        values.append(value)
    known = {name for name, _ in [*entries, *head_entries(model)]}
    if getattr(model, "_base", None) is not None:
        known.add("base")
    extra = [name for name in tensors if not name.startswith(_OPTIMIZER) and name not in known]
    if extra:
        raise ValueError(f"'{path}' has tensors that '{model.name}' has no place for: {', '.join(sorted(extra))}")
    model._bring_together()
    write([weight for _, weight in entries], values)
    for _, weight in entries:
        weight.initial_checksum = None


def _renamed(model: Any, path: str, tensors: dict[str, Array], graph_text: str) -> dict[str, Array]:
    """The tensors by the model's names, where only counted names differ: a model built again has dense_2 for dense.

    Layers meet in the order of their graphs, as in Keras; tensors as they were if that does not fit.
    """

    entries = [name for name, _ in file_entries(model)]
    held = [name for name in tensors if name.startswith(("weights/", "generator/", "target/"))]
    if set(entries) == set(held):
        return tensors
    with _named_errors(path, "description of its graph"):
        described = _parsed(path, graph_text)
        graphs = {"weights": "graph", "generator": "generator", "target": "target"}
        layers = [
            f"{prefix}/{node['layer']}"
            for prefix, key in graphs.items()
            if key in described
            for node in described[key]["nodes"]
        ]

    def in_order(names: list[str], owners: list[str]) -> list[str]:
        place = {owner: i for i, owner in reversed(list(enumerate(owners)))}
        owner_of = {name: name.rpartition("/")[0] for name in names}
        return sorted(names, key=lambda name: (place.get(owner_of[name], len(place)), without_counts(name)))

    ours = in_order(entries, [name.rpartition("/")[0] for name in entries])
    theirs = in_order(held, layers)
    if [without_counts(name) for name in ours] != [without_counts(name) for name in theirs]:
        return tensors
    others = {name: value for name, value in tensors.items() if name not in held}
    return {**others, **{name: tensors[other] for name, other in zip(ours, theirs, strict=True)}}


def load_weights(model: Any, filepath: FilePath, **kwargs: Any) -> None:
    """Load the weights of a file into a model of the same layers; if they do not fit: ValueError, nothing changed.

    Names that a user gave must agree; layers whose names were counted up may have other numbers.

    Examples
    --------
    >>> import hypernet as hn
    >>> import os, tempfile
    >>> model, other = hn.target_network(3, 2), hn.target_network(3, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "weights.safetensors")
    ...     hn.saving.save_weights(model, path)
    ...     hn.saving.load_weights(other, path)
    >>> bool((model.params == other.params).all())
    True
    """
    if any(value for value in kwargs.values()):
        raise NotImplementedError(f"load_weights: {', '.join(map(repr, kwargs))} is not built.")
    path = checked_path(filepath, "loading")
    _require_built(model, "no place for weights")
    tensors, texts = _core.read_file(path)
    _checked_config(path, texts)
    base, held = getattr(model, "_base", None), tensors.get("base")
    if (None if held is None else held.shape) != (None if base is None else base.shape):
        raise ValueError(f"'{path}' and '{model.name}' do not agree about a base of generated weights.")
    if held is not None and held.dtype.kind != "f":
        raise ValueError(f"'{path}': tensor 'base' is of {held.dtype}; expected floating point numbers.")
    _fill(model, path, _renamed(model, path, tensors, texts.get("hypernet_model", "{}")))
    if base is not None:
        base[...] = held
        model._core = None  # made anew with this base


# ---- pickle and deepcopy ----
def snapshot(model: Any) -> dict[str, Any]:
    """All that makes a model, as plain and picklable objects; its numbers are those between two training steps."""
    weights = model._weights_in_order()
    # A HyperModel's target keeps weights of its own beneath the generated ones.
    target = model.target._weights_in_order() if hasattr(model, "generator") else []
    live = {
        f"{part}/{i}": one.value
        for part, those in (("weights", weights), ("target", target))
        for i, one in enumerate(those)
    }
    copies = _core.copies({**live, **_live_state(model)})
    taken = [copies[name] for name in live]
    return {
        "class_name": _class_name(model),
        "config": model.get_config(),
        "built": model.built,
        "weights": taken[: len(weights)],
        "target": taken[len(weights) :] if hasattr(model, "generator") else None,
        "base": getattr(model, "_base", None),
        "head": dict(head_entries(model)),
        "trainable": [weight._own_trainable for weight in weights],
        "checksums": [weight.initial_checksum for weight in weights],
        "compile_arguments": model._compile_arguments,
        "optimizer_state": None if model.optimizer is None else _state_of(copies),
    }


def rebuild(cls: type[Any], state: dict[str, Any]) -> Any:
    """The model of a snapshot."""
    if state["class_name"] in ("HyperModel", "QuantizedHyperModel"):
        tensors = state["head"] if state["base"] is None else {**state["head"], "base": state["base"]}
        model = _model_from(state, tensors, None, path=None)
    else:
        model = cls.from_config(state["config"])
    if state["built"]:
        if state["target"] is not None:
            model.target.set_weights(state["target"])
        model.set_weights(state["weights"])
    for weight, own, checksum in zip(model._weights_in_order(), state["trainable"], state["checksums"], strict=True):
        weight._own_trainable, weight.initial_checksum = own, checksum
    if state["compile_arguments"] is not None:
        model.compile(**state["compile_arguments"])
        if state["optimizer_state"]:
            model.optimizer.set_state(state["optimizer_state"], model._weights_in_order())
    return model
