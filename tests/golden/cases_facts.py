"""Facts: signatures with their defaults, configurations, names, shapes, and the errors of common mistakes."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .libraries import Case, Library

SIGNATURES: dict[str, str] = {
    "layers": "Input Dense Activation ReLU LeakyReLU ELU PReLU Softmax Dropout Flatten Reshape Add Multiply Concatenate "
    "Embedding LayerNormalization",
    "activations": "relu leaky_relu elu gelu softmax log_softmax celu squareplus soft_shrink hard_shrink threshold glu "
    "sparsemax",
    "losses": "MeanSquaredError MeanAbsoluteError Huber BinaryCrossentropy CategoricalCrossentropy "
    "SparseCategoricalCrossentropy huber binary_crossentropy categorical_crossentropy sparse_categorical_crossentropy",
    "metrics": "Mean Sum MeanMetricWrapper Accuracy BinaryAccuracy CategoricalAccuracy SparseCategoricalAccuracy "
    "TopKCategoricalAccuracy SparseTopKCategoricalAccuracy MeanSquaredError MeanAbsoluteError RootMeanSquaredError "
    "BinaryCrossentropy CategoricalCrossentropy SparseCategoricalCrossentropy",
    "optimizers": "SGD RMSprop Adam AdamW",
    "optimizers.schedules": "ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay CosineDecay "
    "CosineDecayRestarts",
    "initializers": "Constant Identity RandomNormal TruncatedNormal RandomUniform VarianceScaling GlorotUniform "
    "GlorotNormal HeUniform HeNormal LecunUniform LecunNormal Orthogonal",
    "regularizers": "L1 L2 L1L2 OrthogonalRegularizer",
    "constraints": "MaxNorm UnitNorm MinMaxNorm",
    "callbacks": "EarlyStopping ModelCheckpoint ReduceLROnPlateau LearningRateScheduler CSVLogger LambdaCallback "
    "TerminateOnNaN",
    "Model": "compile fit evaluate predict train_on_batch test_on_batch predict_on_batch summary get_layer save_weights",
    "utils": "set_random_seed to_categorical normalize clear_session",
}
# Arguments of Keras's that hypernet has not built: given to it, they raise TypeError, ValueError or NotImplementedError.
UNBUILT: dict[str, set[str]] = {
    "layers.Input": {"sparse", "ragged", "tensor", "optional"},
    "layers.Dense": {"lora_rank", "lora_alpha", "quantization_config"},
    "layers.Embedding": {"weights", "lora_rank", "lora_alpha", "quantization_config"},
    "layers.LayerNormalization": {"rms_scaling"},
    "Model.save_weights": {"max_shard_size"},
}


def owner_of(k: Any, module: str) -> Any:
    """A module by its dotted name."""
    for part in module.split("."):
        k = getattr(k, part)
    return k


def signature_of(function: Any) -> list[list[str]]:
    """Names and defaults of the parameters, in order."""
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or name == "self":
            continue
        default = parameter.default
        text = "required" if default is parameter.empty else repr(None if default is None else default)
        found.append([name, text])
    return found


def _signature(module: str, name: str, library: Library) -> Any:
    return signature_of(getattr(owner_of(library.k, module), name))


_OBJECTS: dict[str, Callable[[Any], Any]] = {
    "Dense": lambda k: k.layers.Dense(3, activation="relu", kernel_initializer="he_normal"),
    "Dropout": lambda k: k.layers.Dropout(0.2),
    "LayerNormalization": lambda k: k.layers.LayerNormalization(),
    "Embedding": lambda k: k.layers.Embedding(5, 2),
    "Reshape": lambda k: k.layers.Reshape((2, 3)),
    "Concatenate": lambda k: k.layers.Concatenate(axis=1),
    "ReLU": lambda k: k.layers.ReLU(max_value=2.0),
    "PReLU": lambda k: k.layers.PReLU(shared_axes=[1]),
    "Huber": lambda k: k.losses.Huber(0.5),
    "BinaryCrossentropy": lambda k: k.losses.BinaryCrossentropy(from_logits=True),
    "SparseCategoricalCrossentropy": lambda k: k.losses.SparseCategoricalCrossentropy(),
    "SGD": lambda k: k.optimizers.SGD(0.25, momentum=0.5),
    "Adam": lambda k: k.optimizers.Adam(0.25, clipnorm=1.0),
    "AdamW": lambda k: k.optimizers.AdamW(0.25),
    "RMSprop": lambda k: k.optimizers.RMSprop(0.25),
    "CosineDecay": lambda k: k.optimizers.schedules.CosineDecay(0.1, 10),
    "PiecewiseConstantDecay": lambda k: k.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.25]),
    "GlorotUniform": lambda k: k.initializers.GlorotUniform(seed=1),
    "VarianceScaling": lambda k: k.initializers.VarianceScaling(seed=1),
    "L1L2": lambda k: k.regularizers.L1L2(0.25, 0.5),
    "MinMaxNorm": lambda k: k.constraints.MinMaxNorm(),
    "TopKCategoricalAccuracy": lambda k: k.metrics.TopKCategoricalAccuracy(k=3),
}


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):  # a nested object: its class and configuration, wherever the library keeps it
        return {key: _plain(item) for key, item in value.items() if key not in ("module", "registered_name", "dtype")}
    if isinstance(value, (np.generic, np.ndarray)) or hasattr(value, "numpy"):
        return np.asarray(value).tolist()
    return round(value, 9) if isinstance(value, float) else value


def _config(name: str, library: Library) -> Any:
    config = _OBJECTS[name](library.k).get_config()
    config.pop("dtype", None)
    return _plain(config)


def _names(library: Library) -> Any:
    """Automatic names, shapes, counts, order of weights."""
    k = library.k
    inputs = k.Input((4,))
    first = k.layers.Dense(3)
    hidden = k.layers.LayerNormalization()(first(inputs))
    model = k.Model(inputs, [k.layers.Dense(2)(hidden), k.layers.ReLU()(hidden)])
    sequential = k.Sequential([k.Input((2,)), k.layers.Dense(5, "relu"), k.layers.Dropout(0.1), k.layers.Dense(1)])
    return {
        "layers": [layer.name for layer in model.layers],
        "sequential": [layer.name for layer in sequential.layers],
        "models": [model.name, sequential.name],
        "weights": [[weight.name, list(weight.shape)] for weight in model.weights],
        "paths": [weight.path for weight in model.weights],
        "count": [model.count_params(), sequential.count_params(), first.count_params()],
        "shapes": [list(model.input_shape), [list(shape) for shape in model.output_shape]],
        "losses": [k.losses.get(name).__name__ for name in ("mse", "mae", "huber", "binary_crossentropy")],
        "metrics": [k.metrics.get(name).name for name in ("mse", "mae")],
    }


def _logs(library: Library) -> Any:
    """The names under which `fit` reports, for the losses and outputs that choose them."""
    k = library.k
    found = {}
    for loss, units, y in (
        ("mse", 1, np.ones((4, 1))),
        ("binary_crossentropy", 1, np.ones((4, 1))),
        ("categorical_crossentropy", 3, np.eye(3)[[0, 1, 2, 0]]),
        ("sparse_categorical_crossentropy", 3, np.array([0, 1, 2, 0])),
    ):
        inputs = k.Input((2,))
        model = k.Model(inputs, k.layers.Dense(units, activation="sigmoid")(inputs))
        metrics = ["accuracy", "mae"] if units == 1 else ["acc", "crossentropy"]
        model.compile(optimizer="sgd", loss=loss, metrics=metrics[:1] if units > 1 else metrics)
        history = model.fit(np.ones((4, 2)), y, validation_data=(np.ones((4, 2)), y), verbose=0)
        found[loss] = list(history.history)
    return found


def _mistakes() -> dict[str, Callable[[Any], Any]]:
    x, y = np.ones((4, 3)), np.ones((4, 1))

    def model(k: Any, compiled: bool = True) -> Any:
        inputs = k.Input((3,), name="x")
        made = k.Model(inputs, k.layers.Dense(1, name="dense")(inputs), name="model")
        if compiled:
            made.compile(optimizer="sgd", loss="mse")
        return made

    def unknown_loss(k: Any) -> Any:
        made = model(k, compiled=False)
        made.compile(optimizer="sgd", loss="mean_error")
        return made.fit(x, y, verbose=0)

    def classes(k: Any) -> Any:
        inputs = k.Input((3,))
        made = k.Model(inputs, k.layers.Dense(3, activation="softmax")(inputs))
        made.compile(optimizer="sgd", loss="categorical_crossentropy")
        return made

    return {
        "Input(3)": lambda k: k.Input(3),
        "Dense(0)": lambda k: k.layers.Dense(0),
        "Dense(-1)": lambda k: k.layers.Dense(-1),
        "Dense('a')": lambda k: k.layers.Dense("a"),
        "Dense unknown argument": lambda k: k.layers.Dense(2, colour="red"),
        "Dense unknown activation": lambda k: k.layers.Dense(2, activation="rellu"),
        "Dense unknown initializer": lambda k: k.layers.Dense(2, kernel_initializer="gloro"),
        "Dense unknown regularizer": lambda k: k.layers.Dense(2, kernel_regularizer="l3"),
        "Dense unknown constraint": lambda k: k.layers.Dense(2, kernel_constraint="big"),
        "Dropout(2)": lambda k: k.layers.Dropout(2),
        "Concatenate does not fit": lambda k: k.layers.Concatenate()([np.ones((2, 3, 1)), np.ones((2, 4, 1))]),
        "Concatenate of one": lambda k: k.layers.Concatenate()(np.ones((2, 3))),
        "Add does not fit": lambda k: k.layers.Add()([np.ones((2, 3)), np.ones((2, 4))]),
        "ReLU negative slope": lambda k: k.layers.ReLU(negative_slope=-1.0),
        "wrong width": lambda k: model(k)(np.ones((4, 5))),
        "wrong rank": lambda k: k.layers.Dense(2, name="dense")(np.ones(3)),
        "set_weights count": lambda k: model(k).set_weights([np.ones((3, 1))]),
        "set_weights shape": lambda k: model(k).set_weights([np.ones((4, 1)), np.ones(1)]),
        "get_layer unknown": lambda k: model(k).get_layer("nowhere"),
        "get_layer index": lambda k: model(k).get_layer(index=7),
        "get_layer nothing": lambda k: model(k).get_layer(),
        "fit uncompiled": lambda k: model(k, compiled=False).fit(x, y, verbose=0),
        "evaluate uncompiled": lambda k: model(k, compiled=False).evaluate(x, y, verbose=0),
        "fit lengths": lambda k: model(k).fit(x, y[:3], verbose=0),
        "fit sample_weight length": lambda k: model(k).fit(x, y, sample_weight=np.ones(3), verbose=0),
        "fit target width": lambda k: classes(k).fit(x, np.ones((4, 2)), verbose=0),
        "fit validation_split": lambda k: model(k).fit(x, y, validation_split=1.0, verbose=0),
        "unknown loss": unknown_loss,
        "compile unknown optimizer": lambda k: model(k, False).compile(optimizer="sdg"),
        "losses.get unknown": lambda k: k.losses.get("mean_error"),
        "metrics.get unknown": lambda k: k.metrics.get("acuracy_score"),
        "optimizers.get unknown": lambda k: k.optimizers.get("sdg"),
        "activations.get unknown": lambda k: k.activations.get("rellu"),
        "initializers.get unknown": lambda k: k.initializers.get("gloro"),
        "SGD momentum": lambda k: k.optimizers.SGD(momentum=2.0),
        "two ways of clipping": lambda k: k.optimizers.SGD(clipnorm=1.0, clipvalue=1.0),
        "unknown optimizer argument": lambda k: k.optimizers.SGD(decoy=1.0),
        "learning rate of schedule": lambda k: setattr(
            k.optimizers.SGD(k.optimizers.schedules.CosineDecay(0.1, 5)), "learning_rate", 0.1
        ),
        "decay_steps": lambda k: k.optimizers.schedules.CosineDecay(0.1, 0),
        "boundaries": lambda k: k.optimizers.schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2]),
        "unknown reduction": lambda k: k.losses.MeanSquaredError(reduction="median"),
        "VarianceScaling scale": lambda k: k.initializers.VarianceScaling(scale=-1.0),
        "VarianceScaling mode": lambda k: k.initializers.VarianceScaling(mode="fan"),
        "VarianceScaling distribution": lambda k: k.initializers.VarianceScaling(distribution="beta"),
        "Identity of rank 1": lambda k: k.initializers.Identity()((3,)),
        "Orthogonal of rank 1": lambda k: k.initializers.Orthogonal()((3,)),
        "L1 negative": lambda k: k.regularizers.L1(-1.0),
        "Orthogonal mode": lambda k: k.regularizers.OrthogonalRegularizer(mode="diagonal"),
        "ReduceLROnPlateau factor": lambda k: k.callbacks.ReduceLROnPlateau(factor=1.0),
        "ModelCheckpoint save_freq": lambda k: k.callbacks.ModelCheckpoint("m.weights.h5", save_freq="batch"),
        "Model of numbers": lambda k: k.Model(np.ones(3), np.ones(3)),
        "Sequential.add": lambda k: k.Sequential().add("dense"),
        "Sequential.pop": lambda k: k.Sequential().pop(),
        "Sequential without input": lambda k: k.Sequential([k.layers.Dense(2)]).count_params(),
    }


def _mistake(name: str, library: Library) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _mistakes()[name](library.k)
        except Exception as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return {"type": type(error).__name__, "message": lines[0] if lines else ""}
    return {"type": "no error", "message": ""}


def cases() -> dict[str, Case]:
    """All of them by name."""
    found: dict[str, Case] = {}
    for module, names in SIGNATURES.items():
        for name in names.split():
            found[f"signature/{module}.{name}"] = partial(_signature, module, name)
    for name in _OBJECTS:
        found[f"config/{name}"] = partial(_config, name)
    for name in _mistakes():
        found[f"mistake/{name}"] = partial(_mistake, name)
    found["names"] = _names
    found["logs"] = _logs
    return found
