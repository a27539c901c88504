"""Where a model begins."""

from __future__ import annotations

from typing import Any

from .._shapes import FLOATS, FLOATX, INTEGERS, Shape, standard_shape
from .._tensor import KerasTensor, Node
from .base import Layer, Operation, reject


class InputLayer(Layer):
    """The layer behind `Input`; takes part in `Model.layers` and in summaries.

    Parameters
    ----------
    shape, batch_size, dtype, batch_shape, name
        See `Input`.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.target_network(3, 2).layers[0].batch_shape
    (None, 3)
    """

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        reject("Input", sparse=sparse, ragged=ragged, input_tensor=input_tensor, optional=optional)
        if shape is not None and batch_shape is not None:
            raise ValueError("You cannot pass both `shape` and `batch_shape` at the same time.")
        if batch_size is not None and batch_shape is not None:
            raise ValueError("You cannot pass both `batch_size` and `batch_shape` at the same time.")
        if shape is None and batch_shape is None:
            raise ValueError("You must pass a `shape` argument.")
        if batch_shape is None:
            self.batch_shape: Shape = (batch_size, *standard_shape(shape))
        else:
            self.batch_shape = standard_shape(batch_shape)
            if not self.batch_shape:
                raise ValueError("`batch_shape` must have the batch axis at least. Received: batch_shape=()")
        self._input_dtype = _input_dtype(dtype)
        self._dtype = self._input_dtype
        self.built = True
        tensor = KerasTensor(self.batch_shape, self._input_dtype, self.name)
        self._nodes.append(Node(self, [], [], [tensor]))

    @property
    def dtype(self) -> str:
        """Element type of what is fed here."""
        return self._input_dtype

    def _operations(self, shapes: list[Shape]) -> list[Operation]:
        return []

    def __call__(self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """An input layer passes on what comes."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {"batch_shape": self.batch_shape, "dtype": self._input_dtype, "name": self.name}

    def __reduce__(self) -> Any:
        return _rebuild_input, (self.get_config(),)


def _rebuild_input(config: dict[str, Any]) -> InputLayer:
    return InputLayer(**config)


def _input_dtype(dtype: Any) -> str:
    if dtype is None:
        return FLOATX
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or getattr(dtype, "__name__", str(dtype))
    if name == "int":
        name = "int32"
    if name in FLOATS or name in INTEGERS:
        return str(name)
    if name in ("bool", "float16", "bfloat16", "string"):
        raise NotImplementedError(f"Input: dtype {name!r} is not built; use 'float32', 'float64' or an integer type.")
    raise ValueError(f"Invalid dtype: {dtype}")


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> KerasTensor:
    """A symbolic tensor to begin a model with.

    Parameters
    ----------
    shape : tuple
        Shape of one sample, without the batch; None leaves an axis open, `()` is one number a sample.
    batch_size : int, optional
        Shown in shapes; batches of other sizes may still come.
    dtype : str, optional
        "float32" (the default), "float64" (layers after it follow), or an integer type for ids.
    name : str, optional
        Name of the input layer.

    Returns
    -------
    KerasTensor
        Of shape (batch_size, *shape).

    Raises
    ------
    ValueError
        `shape` is missing or is no shape.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.layers.Input(shape=(None, 8)).shape
    (None, None, 8)
    """
    layer = InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        input_tensor=tensor,
        optional=optional,
        name=name,
    )
    return layer._nodes[0].outputs[0]
