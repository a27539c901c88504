"""Names that count up per process: dense, dense_1, dense_2, as in Keras."""

import re

_counts: dict[str, int] = {}
_stems: set[str] = set()  # of all counted names there have been


def snake_case(name: str) -> str:
    """`LayerNormalization` -> `layer_normalization`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def auto_name(class_name: str) -> str:
    """The next free name for an object of this class."""
    name = snake_case(class_name)
    count = _counts.get(name, 0)
    _counts[name] = count + 1
    _stems.add(name)
    return f"{name}_{count}" if count else name


def without_counts(path: str) -> str:
    """A weight's path with its counted names as the first of their kind: sequential_1/dense_3/kernel has no numbers."""
    parts = []
    for part in path.split("/"):
        stem = re.sub(r"_[1-9]\d*$", "", part)
        parts.append(stem if stem in _stems else part)
    return "/".join(parts)


def reset_names() -> None:
    """Start counting anew."""
    _counts.clear()


def checked_name(name: object) -> str:
    """A name that a user gave; a slash separates layer and weight, so it may not be part of one."""
    if not isinstance(name, str) or "/" in name:
        raise ValueError(
            f"Argument `name` must be a string and cannot contain character `/`. "
            f"Received: name={name} (of type {type(name)})"
        )
    return name
