"""The table that `summary` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._weights import Weight
    from ..layers.base import Layer


def print_summary(
    model: Any,
    line_length: int | None,
    positions: Any,
    print_fn: Any,
    expand_nested: bool,
    show_trainable: bool,
    layer_range: Any,
) -> None:
    """A table a model, with totals under it; HyperModels are two models."""
    if positions is not None or layer_range is not None:
        raise NotImplementedError("summary: `positions` and `layer_range` are not built.")
    import rich.console

    width = line_length or (88 if print_fn is not None else None)
    # In a notebook rich would display what it captures as well, as an empty cell.
    console = rich.console.Console(width=width, highlight=False, record=False, force_jupyter=False)
    with console.capture() as capture:
        console.print(f'[bold]Model: "{model.name}"[/bold]')
        parts = model._summary_parts() if hasattr(model, "_summary_parts") else [("", model)]
        for title, part in parts:
            if title:
                console.print(f'[bold]{title}: "{part.name}"[/bold]')
            console.print(_table(part, expand_nested, show_trainable))
        console.print(_totals(model))
        for note in getattr(model, "_summary_notes", list)():
            console.print(f" {note}")
    text = capture.get()
    if print_fn is None:
        print(text, end="")
    else:
        print_fn(text)


def _table(model: Any, expand_nested: bool, show_trainable: bool) -> Any:
    import rich.table
    from rich.markup import escape

    branching = _branches(model)
    table = rich.table.Table(show_lines=True, header_style="bold")
    table.add_column("Layer (type)", overflow="fold", ratio=4)
    table.add_column("Output Shape", overflow="fold", ratio=3)
    table.add_column("Param #", justify="right", ratio=2)
    if branching:
        table.add_column("Connected to", overflow="fold", ratio=3)
    if show_trainable:
        table.add_column("Trainable", justify="center", ratio=1)
    for depth, layer, owner in _rows(model, expand_nested, 0):
        cells = [
            escape(f"{'   ' * depth}{layer.name} ({getattr(layer, '_class_name', type(layer).__name__)})"),
            escape(_shape_text(layer)),
            f"{layer.count_params():,}" if layer.built else "0 (unbuilt)",
        ]
        if branching:
            cells.append(escape(_connections(layer, owner)))
        if show_trainable:
            cells.append("Y" if layer.trainable else "N")
        table.add_row(*cells)
    return table


def _rows(model: Any, expand_nested: bool, depth: int) -> list[tuple[int, Layer, Any]]:
    rows = []
    for layer in model.layers:
        rows.append((depth, layer, model))
        if expand_nested and hasattr(layer, "layers"):
            rows += _rows(layer, True, depth + 1)
    return rows


def _branches(model: Any) -> bool:
    """Whether the layers are more than a chain."""
    topology = getattr(model, "_topology", None)
    if topology is None:
        return False
    layers = [node.layer for node in topology.nodes]
    return (
        any(len(node.inputs) > 1 for node in topology.nodes)
        or len(set(layers)) < len(layers)
        or (len(topology.inputs) > 1 or len(topology.outputs) > 1)
    )


def _shape_text(layer: Layer) -> str:
    if not layer._nodes and getattr(layer, "_topology", None) is None:
        return "?"
    return str(layer.output_shape)


def _connections(layer: Layer, model: Any) -> str:
    topology = getattr(model, "_topology", None)
    if topology is None:
        return "-"
    nodes = [node for node in topology.nodes if node.layer is layer]
    sources = [
        f"{tensor.history[0].layer.name}[{_node_number(tensor)}][{tensor.history[1]}]"
        for node in nodes
        for tensor in node.inputs
    ]
    return ", ".join(sources) or "-"


def _node_number(tensor: Any) -> int:
    node = tensor.history[0]
    return int(node.layer._nodes.index(node)) if node in node.layer._nodes else 0


def _totals(model: Any) -> str:
    def line(label: str, weights: list[Weight], more_params: int = 0, more_bytes: int = 0) -> str:
        count = sum(weight.size for weight in weights) + more_params
        size = sum(weight.size * (8 if weight.dtype == "float64" else 4) for weight in weights) + more_bytes
        return f" [bold]{label}:[/bold] {count:,} ({readable(size)})"

    trainable, frozen = model.trainable_weights, model.non_trainable_weights
    apart = model._params_apart() if hasattr(model, "_params_apart") else (0, 0)
    return "\n".join(
        [
            line("Total params", [*trainable, *frozen], *apart),
            line("Trainable params", trainable),
            line("Non-trainable params", frozen, *apart),
        ]
    )


def readable(size: float) -> str:
    """A number of bytes, in the unit that suits it."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            return f"{size:.2f} {unit}"
        size /= 1024
    return ""
