"""Configurations: layers and models as plain dicts, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _nest
from .._tensor import KerasTensor

if TYPE_CHECKING:
    from ..layers.base import Layer
    from .model import Model
    from .sequential import Sequential


def serialize_layer(layer: Layer) -> dict[str, Any]:
    """{"class_name", "config"}, and the shapes it was built for."""
    return {"class_name": type(layer).__name__, "config": layer.get_config()}


def layer_class(name: str, custom_objects: dict[str, Any] | None) -> type[Any]:
    """The class of this name; ValueError if there is none."""
    from .. import layers
    from .._registry import custom_object
    from .model import Model
    from .sequential import Sequential

    found = (custom_objects or {}).get(name) or custom_object(name)
    if found is None and name in layers.__all__:
        found = getattr(layers, name)
    if found is None:
        found = {"Functional": Model, "Model": Model, "Sequential": Sequential}.get(name)
    if not isinstance(found, type):
        raise ValueError(
            f"Could not locate class '{name}'. If it is a class of your own, pass it in `custom_objects`, "
            f"for example `custom_objects={{'{name}': {name}}}`."
        )
    return found


def deserialize_layer(data: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
    """The layer that `serialize_layer` described."""
    from .model import Model

    if not isinstance(data, dict) or "class_name" not in data or "config" not in data:
        raise ValueError(f"A layer's configuration is a dict with 'class_name' and 'config'. Received: {data!r}")
    cls = layer_class(data["class_name"], custom_objects)
    if issubclass(cls, Model):
        return cls.from_config(data["config"], custom_objects)
    return cls.from_config(data["config"])


def functional_config(model: Model) -> dict[str, Any]:
    """Layers by name; nodes in order, each with its layer and the tensors it takes: [node, output], node -1: inputs."""
    topology = model._known("inputs")
    place: dict[int, list[int]] = {id(tensor): [-1, i] for i, tensor in enumerate(topology.inputs)}
    nodes = []
    for number, node in enumerate(topology.nodes):
        tensors = [place[id(tensor)] for tensor in node.inputs]
        nodes.append({"layer": node.layer.name, "structure": node.structure, "inputs": tensors})
        place.update((id(tensor), [number, i]) for i, tensor in enumerate(node.outputs))
    used = list(dict.fromkeys(node.layer for node in topology.nodes))
    ordered = [layer for layer in topology.layers if layer in used]
    return {
        "name": model.name,
        "trainable": model.trainable,
        "inputs": [
            {"name": name, "batch_shape": list(tensor.shape), "dtype": tensor.dtype}
            for name, tensor in zip(model.input_names, topology.inputs, strict=True)
        ],
        "input_structure": topology.input_structure,
        "layers": [serialize_layer(layer) for layer in ordered],
        "nodes": nodes,
        "outputs": [place[id(tensor)] for tensor in topology.outputs],
        "output_structure": topology.output_structure,
    }


def functional_from_config(cls: type[Any], config: dict[str, Any], custom_objects: dict[str, Any] | None) -> Any:
    """The model that `functional_config` described."""
    from ..layers.input import Input

    try:
        inputs: list[KerasTensor] = [
            Input(batch_shape=tuple(data["batch_shape"]), dtype=data["dtype"], name=data["name"])
            for data in config["inputs"]
        ]
        layers = {data["config"]["name"]: deserialize_layer(data, custom_objects) for data in config["layers"]}
        results: list[list[KerasTensor]] = []

        def tensor(at: list[int]) -> KerasTensor:
            return inputs[at[1]] if at[0] == -1 else results[at[0]][at[1]]

        for data in config["nodes"]:
            layer = layers[data["layer"]]
            given = [tensor(at) for at in data["inputs"]]
            layer(given[0] if data["structure"] == 0 else _nest.pack(data["structure"], given))
            results.append(layer._nodes[-1].outputs)
        outputs = [tensor(at) for at in config["outputs"]]
        structures = config["input_structure"], config["output_structure"]
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"Cannot deserialize the model (invalid config data?): {error!r}") from error
    packed = [
        leaves[0] if structure == 0 else _nest.pack(structure, leaves)
        for structure, leaves in zip(structures, (inputs, outputs), strict=True)
    ]
    model = cls(packed[0], packed[1], name=config.get("name"))
    model._trainable = bool(config.get("trainable", True))
    return model


def sequential_config(model: Sequential) -> dict[str, Any]:
    """Name and layers; the input layer stands first where the model is built."""
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": [serialize_layer(layer) for layer in model._stack],
    }


def sequential_from_config(cls: type[Any], config: dict[str, Any], custom_objects: dict[str, Any] | None) -> Any:
    """The model that `sequential_config` described."""
    if not isinstance(config, dict) or "name" not in config or "layers" not in config:
        raise ValueError(
            "A Sequential model configuration must be a dictionary containing the 'name' and 'layers' keys. "
            f"Received: config={config}"
        )
    model = cls(name=config["name"])
    for data in config["layers"]:
        model.add(deserialize_layer(data, custom_objects))
    model._trainable = bool(config.get("trainable", True))
    return model


def clone_model(model: Any) -> Any:
    """A new model of the same layers with new weights.

    Parameters
    ----------
    model : Model or HyperModel
        What to copy; its weights are not copied (`set_weights(model.get_weights())` does that).

    Returns
    -------
    Model or HyperModel
        Shares nothing with the old one.

    Examples
    --------
    >>> import hypernet as hn
    >>> model = hn.target_network(3, 2)
    >>> hn.models.clone_model(model).count_params() == model.count_params()
    True
    """
    return type(model).from_config(model.get_config())
