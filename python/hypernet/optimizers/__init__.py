"""Optimizers: one pass over one vector; each step in C."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._registry import Family
from . import schedules
from .base import Optimizer

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "deserialize", "get", "schedules", "serialize"]


class SGD(Optimizer):
    """Gradient descent, with momentum.

    `v = momentum v - lr g; w += v` (nesterov: `w += momentum v - lr g`); without momentum `w -= lr g`.

    Parameters
    ----------
    learning_rate : float or schedule
    momentum : float
        From 0 to 1.
    nesterov : bool
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> optimizer, weights = hn.optimizers.SGD(0.5), np.ones(2)
    >>> optimizer.apply(np.array([1.0, 2.0]), weights)
    >>> weights.tolist()
    [0.5, 0.0]
    """

    _kind = "sgd"
    _slot_names = ("velocity",)

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
            **kwargs,
        )
        if not isinstance(momentum, (float, int)) or not 0 <= momentum <= 1:
            raise ValueError("`momentum` must be a float between [0, 1].")
        self.momentum = float(momentum)
        self.nesterov = bool(nesterov)

    def _params(self) -> tuple[float, float, float, float]:
        return self.momentum, float(self.nesterov), 0.0, 0.0

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}


class RMSprop(Optimizer):
    """Gradients divided by the root of a running mean of their squares (Hinton, 2012).

    `a = rho a + (1 - rho) g^2; w -= lr g / sqrt(a + epsilon)`; centered: a minus the squared running mean of g.

    Parameters
    ----------
    learning_rate : float or schedule
    rho, momentum, epsilon : float
    centered : bool
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> optimizer, weights = hn.optimizers.RMSprop(0.1, rho=0.0), np.ones(1)
    >>> optimizer.apply(np.array([4.0]), weights)
    >>> weights.round(6).tolist()
    [0.9]
    """

    _kind = "rmsprop"
    _slot_names = ("average_square", "average_gradient", "momentum")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
            **kwargs,
        )
        self.rho = float(rho)
        self.momentum = float(momentum)
        self.epsilon = float(epsilon)
        self.centered = bool(centered)

    def _params(self) -> tuple[float, float, float, float]:
        return self.rho, self.momentum, self.epsilon, float(self.centered)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }


class Adam(Optimizer):
    """Adam (Kingma, Ba, ICLR 2015).

    `m += (g - m)(1 - b1); v += (g^2 - v)(1 - b2); w -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)`.

    Parameters
    ----------
    learning_rate : float or schedule
    beta_1, beta_2, epsilon : float
    amsgrad : bool
        The largest v so far in place of v.
    weight_decay, clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> optimizer, weights = hn.optimizers.Adam(0.1), np.ones(1)
    >>> optimizer.apply(np.array([4.0]), weights)
    >>> weights.round(6).tolist()
    [0.9]
    """

    _kind = "adam"
    _slot_names = ("momentum", "velocity", "velocity_hat")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
            **kwargs,
        )
        self.beta_1 = float(beta_1)
        self.beta_2 = float(beta_2)
        self.epsilon = float(epsilon)
        self.amsgrad = bool(amsgrad)

    def _params(self) -> tuple[float, float, float, float]:
        return self.beta_1, self.beta_2, self.epsilon, float(self.amsgrad)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


class AdamW(Adam):
    """Adam with decoupled weight decay, `w -= w * weight_decay * lr` (Loshchilov, Hutter, ICLR 2019).

    Parameters
    ----------
    learning_rate : float or schedule
    weight_decay : float
    beta_1, beta_2, epsilon, amsgrad
        See `Adam`.
    clipnorm, clipvalue, global_clipnorm, name
        See `Optimizer`.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> optimizer, weights = hn.optimizers.AdamW(0.1, weight_decay=0.5), np.ones(1)
    >>> optimizer.apply(np.zeros(1), weights)
    >>> weights.tolist()
    [0.95]
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if weight_decay is None:
            raise ValueError("Argument `weight_decay` must be a float. Received: weight_decay=None")
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
            **kwargs,
        )


_family = Family("optimizer", [SGD, RMSprop, Adam, AdamW], fold_case=True)


def get(identifier: Any) -> Any:
    """The optimizer of this name (whatever its capitals) or configuration; None is None, an optimizer is itself.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.optimizers.get("adam").learning_rate
    0.001
    """
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    found = _family.get(identifier) if isinstance(identifier, (str, dict)) else None
    if not isinstance(found, Optimizer):
        if isinstance(identifier, type) and issubclass(identifier, Optimizer):
            name = identifier.__name__
            raise ValueError(
                f"Could not interpret optimizer identifier: {identifier}, which is a class. Make an object of it: "
                f"`{name}()`, or `{name}(learning_rate=...)`."
            )
        raise _family.unknown(identifier)
    return found


def serialize(optimizer: Any) -> Any:
    """A JSON value that `deserialize` takes."""
    return _family.serialize(optimizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The optimizer that `serialize` described."""
    return _family.deserialize(config, custom_objects)
