"""What everything with a vector of weights has: Model and HyperModel alike."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._convert import NATIVE, as_array
from .._weights import Weight, is_contiguous, match_weights, read, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..saving import FilePath

Array = NDArray[Any]
SelfVector = TypeVar("SelfVector", bound="ParameterVector")


class ParameterVector:
    """Weights in one order, with the flat vector, the named views and Keras's lists over them."""

    name: str
    _dtype: str | None
    # Where all weights lie side by side, and how many numbers they are, if they do and that is known.
    _place: tuple[_core.Store, int, int] | None = None

    # ---- what a subclass defines ----
    def _weights_in_order(self) -> list[Weight]:
        raise NotImplementedError

    def _entry_names(self) -> list[str]:
        """A name for each weight, unique in the model: "dense/kernel"."""
        raise NotImplementedError

    def _bring_together(self) -> None:
        """Join the stores if the weights lie in several."""
        raise NotImplementedError

    # ---- the vector ----
    @property
    def _gradient_size(self) -> int:
        return sum(weight.size for weight in self._weights_in_order())

    def _stores(self) -> list[_core.Store]:
        return list(dict.fromkeys(weight.store for weight in self._weights_in_order()))

    @property
    def params(self) -> Array:
        """All weights as one live, writable vector (P,), layer by layer, kernel (in, out) row-major, then bias.

        What is assigned is copied into it, so that `model.params -= 0.1 * gradient` is a step of descent.

        Raises
        ------
        ValueError
            The weights do not lie side by side, because layers are shared with other models in another order; use
            `get_weights` and `set_weights`, which always work.
        BufferError
            Stores must be joined while arrays over them are alive.
        """
        self._bring_together()
        weights = self._weights_in_order()
        if not weights:
            return np.empty(0, self._dtype or "float32")
        if not is_contiguous(weights):
            raise ValueError(
                f"The weights of '{self.name}' do not lie side by side in memory, because it shares layers with other "
                "models that have them in another order: there is no live vector `params`. Use `get_weights()` and "
                "`set_weights(...)`, which copy."
            )
        return weights[0].store.view(weights[0].offset, (self._gradient_size,))

    @params.setter
    def params(self, value: Any) -> None:
        self.set_weights(value)

    def unflatten(self, vector: Any) -> dict[str, Array]:
        """Named views of a flat vector of weights or gradients.

        Parameters
        ----------
        vector : array, (P,) or (N, P)
            In the order of `params`.

        Returns
        -------
        dict
            {"dense/kernel": (in, out) or (N, in, out), ...}: views, no copies.

        Raises
        ------
        ValueError
            The last axis is not P long.

        Examples
        --------
        >>> import hypernet as hn
        >>> model = hn.target_network(3, 2)
        >>> [view.shape for view in model.unflatten(model.params).values()]
        [(3, 128), (128,), (128, 2), (2,)]
        """
        weights = self._weights_in_order()
        return unflatten(self.name, self._entry_names(), [weight.shape for weight in weights], vector)

    def get_weights(self) -> list[Array]:
        """Writable copies of the weights, in Keras's order.

        Examples
        --------
        >>> import hypernet as hn
        >>> [weight.shape for weight in hn.target_network(3, 2).get_weights()]
        [(3, 128), (128,), (128, 2), (2,)]
        """
        return read(self._weights_in_order())

    def set_weights(self, weights: Any) -> None:
        """Write the weights.

        Parameters
        ----------
        weights : array (P,) or (1, P), or list of arrays
            The flat vector, as a generator gives it, or Keras's list.

        Raises
        ------
        ValueError
            Wrong number of values or arrays, or a wrong shape; says what is needed. Nothing is changed.

        Examples
        --------
        >>> import hypernet as hn
        >>> model = hn.target_network(3, 2)
        >>> model.set_weights(hn.zeros((1, model.count_params())))
        >>> model.set_weights(model.get_weights())
        """
        self._bring_together()
        if type(weights) is np.ndarray and self._place is not None:
            shape = weights.shape
            if len(shape) == 1 or (len(shape) == 2 and shape[0] == 1):
                place, offset, size = self._place
                if shape[-1] == size and weights.dtype is NATIVE[place.dtype] and _is_plain(weights):
                    place.write(offset, weights)
                    return
        own = self._weights_in_order()
        named = list(zip(self._entry_names(), own, strict=True))
        write(own, match_weights(self.name, named, weights))

    # ---- files ----
    def save(self, filepath: FilePath, overwrite: bool = True, **kwargs: Any) -> None:
        """Save configuration, weights, compile arguments and optimizer state to a `.safetensors` file.

        Parameters
        ----------
        filepath : str
        overwrite : bool
            False: an existing file raises FileExistsError.

        Raises
        ------
        NotImplementedError
            `.keras` and `.h5` are not built.
        ValueError
            Another ending.

        Examples
        --------
        >>> import hypernet as hn
        >>> import os, tempfile
        >>> model = hn.target_network(3, 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.safetensors")
        ...     model.save(path)
        ...     bool((hn.saving.load_model(path).params == model.params).all())
        True
        """
        from ..saving import save_model

        save_model(self, filepath, overwrite=overwrite, **kwargs)

    def save_weights(self, filepath: FilePath, overwrite: bool = True) -> None:
        """Save the weights alone to a `.safetensors` file; errors as `save`'s.

        Examples
        --------
        >>> import hypernet as hn
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "weights.safetensors")
        ...     hn.target_network(3, 2).save_weights(path)
        ...     os.listdir(folder)
        ['weights.safetensors']
        """
        from ..saving import save_weights

        save_weights(self, filepath, overwrite=overwrite)

    def load_weights(self, filepath: FilePath, **kwargs: Any) -> None:
        """Load weights that `save_weights` or `save` wrote.

        Raises
        ------
        ValueError
            The file is damaged, or does not fit; nothing is changed.
        OSError
            It cannot be read.

        Examples
        --------
        >>> import hypernet as hn
        >>> import os, tempfile
        >>> model, other = hn.target_network(3, 2), hn.target_network(3, 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "weights.safetensors")
        ...     model.save_weights(path)
        ...     other.load_weights(path)
        >>> bool((model.params == other.params).all())
        True
        """
        from ..saving import load_weights

        load_weights(self, filepath, **kwargs)

    def __reduce__(self) -> Any:
        from ..saving import rebuild, snapshot

        return rebuild, (type(self), snapshot(self))

    def __copy__(self: SelfVector) -> SelfVector:
        """The same as `copy.deepcopy`: an optimizer belongs to the weights of one model, so that none can be shared."""
        return copy.deepcopy(self)


def _is_plain(array: Array) -> bool:
    return array.flags.c_contiguous and array.flags.aligned


def unflatten(owner: str, names: Sequence[str], shapes: Sequence[tuple[int, ...]], vector: Any) -> dict[str, Array]:
    """Views of (P,) or (N, P) by name."""
    flat = as_array(vector)
    sizes = [math.prod(shape) for shape in shapes]
    total = sum(sizes)
    if flat.ndim not in (1, 2) or flat.shape[-1] != total:
        raise ValueError(
            f"unflatten: '{owner}' has {total:,} weights, so expected an array of shape ({total},) or (N, {total}); "
            f"received one of shape {flat.shape}."
        )
    views, offset = {}, 0
    for name, shape, size in zip(names, shapes, sizes, strict=True):
        part = flat[..., offset : offset + size]
        views[name] = part.reshape(*flat.shape[:-1], *shape)
        offset += size
    return views
