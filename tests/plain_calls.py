"""The public calls that take no arrays, each by its name: models, layers, configurations, files, seeds.

Together with those of array_calls.py they are all that is public; test_endurance.py proves it.
"""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hypernet as hn
import numpy as np

from array_calls import COND, D, Models, O, X, Y

Call = Callable[[], Any]
WITHOUT_OBJECTS = ("get", "serialize", "deserialize")
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "Dense": (3,), "Embedding": (4, 3), "Reshape": ((2, 2),), "Dropout": (0.5,), "Activation": ("tanh",),
    "InputLayer": ((D,),), "Constant": (2.0,), "constant": (2.0,),
    "CosineDecay": (0.1, 5), "CosineDecayRestarts": (0.1, 5), "ExponentialDecay": (0.1, 5, 0.5),
    "InverseTimeDecay": (0.1, 5, 0.5), "PiecewiseConstantDecay": ([3], [0.1, 0.2]), "PolynomialDecay": (0.1, 5),
}  # fmt: skip
ABSTRACT = {"Loss", "Metric", "Layer", "Optimizer", "Initializer", "Regularizer", "Constraint", "LearningRateSchedule"}


class Batches(hn.utils.PyDataset):
    """Two batches."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return X, Y


@hn.saving.register_keras_serializable(package="endurance")
class OwnInitializer(hn.initializers.Initializer):
    """A class of one's own, by name."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return hn.ones(shape, dtype)


def own_loss(y_true: Any, y_pred: Any) -> Any:
    """A function of one's own."""
    return y_pred.sum(axis=-1), np.ones_like(y_pred)


def silently(call: Call) -> Call:
    def quiet() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            call()

    return quiet


def _instance(found: Any) -> Any:
    return found(*ARGUMENTS.get(found.__name__, ()))


def _classes(module: ModuleType) -> Iterator[tuple[str, type]]:
    """Those that can be made and described; in `initializers`, `Ones` and `ones` are one."""
    for name in module.__all__:
        found = getattr(module, name)
        if inspect.isclass(found) and name not in ABSTRACT and hasattr(found, "get_config"):
            yield name, found


def described(found: Any, module: ModuleType) -> Call:
    """An object made, described, and made again from its description."""

    def call() -> Any:
        one = (
            hn.metrics.MeanMetricWrapper(hn.losses.huber) if found.__name__ == "MeanMetricWrapper" else _instance(found)
        )
        if found.__name__ == "MeanMetricWrapper":
            return one.get_config()
        if hasattr(module, "serialize"):
            return module.deserialize(module.serialize(one))
        return type(one).from_config(one.get_config())

    return call


def _object_calls() -> Iterator[tuple[str, Call]]:
    modules = {
        name: getattr(hn, name)
        for name in (
            "activations",
            "constraints",
            "initializers",
            "layers",
            "losses",
            "metrics",
            "optimizers",
            "regularizers",
        )
    }
    for name, module in modules.items():
        for kind, found in _classes(module):
            yield f"{name}.{kind} and back", described(found, module)
    for kind, found in _classes(hn.optimizers.schedules):
        made = described(found, hn.optimizers.schedules)
        yield f"optimizers.schedules.{kind} and back", lambda made=made: made()(3)
    a_name = {
        "activations": "relu", "constraints": "non_neg", "initializers": "he_normal", "losses": "mse", "metrics": "mae",
        "optimizers": "adam", "regularizers": "l2",
    }  # fmt: skip
    for name, identifier in a_name.items():
        module = modules[name]
        yield f"{name}.get", lambda m=module, i=identifier: m.get(i)
        one = module.get(identifier)
        yield f"{name}.serialize", lambda m=module, one=one: m.serialize(one)
        config = module.serialize(one)
        yield f"{name}.deserialize", lambda m=module, c=config: m.deserialize(c)


def _initializer_calls() -> Iterator[tuple[str, Call]]:
    for name in hn.initializers.__all__:
        found = getattr(hn.initializers, name)
        if name in (*WITHOUT_OBJECTS, "compute_fans", "Initializer", "Constant"):
            continue
        yield f"initializers.{name}", lambda found=found: _instance(found)((4, 4))
    yield "initializers.compute_fans", lambda: hn.initializers.compute_fans((3, 4))


def _base_calls() -> Iterator[tuple[str, Call]]:
    """A class of one's own, made in each call: types are garbage in cycles, and go with all that they hold."""

    def own(base: type, run: Callable[[Any], Any], **methods: Any) -> Call:
        return lambda: run(type("Own", (base,), methods)())

    yield "losses.Loss", own(hn.losses.Loss, lambda loss: loss(Y, Y), call=lambda self, a, b: np.abs(a - b).sum(-1))
    mean = {"update_state": lambda self, *a, **k: None, "result": lambda self: 1.0, "reset_state": lambda self: None}
    yield "metrics.Metric", own(hn.metrics.Metric, lambda metric: metric.name, **mean)
    yield "layers.Layer", own(hn.layers.Layer, lambda layer: (layer.name, layer.trainable, layer.get_config()))
    yield "regularizers.Regularizer", own(hn.regularizers.Regularizer, lambda r: r(X), __call__=lambda self, x: 1.0)
    ones = {"__call__": lambda self, shape, dtype=None, **kwargs: hn.ones(shape, dtype)}
    yield "initializers.Initializer", own(hn.initializers.Initializer, lambda i: i((2, 2)), **ones)
    yield "callbacks.Callback", own(hn.callbacks.Callback, lambda callback: callback.set_params({}))
    yield "optimizers.Optimizer", lambda: isinstance(hn.optimizers.get("sgd"), hn.optimizers.Optimizer)
    yield "layers.InputLayer", lambda: hn.layers.InputLayer((D,)).get_config()
    yield "layers.Input", lambda: hn.layers.Input((D,), name="x")
    yield "optimizers.schedules", lambda: hn.optimizers.SGD(hn.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5))


def _top_calls(models: Models) -> Iterator[tuple[str, Call]]:
    yield "hypernet.Input", lambda: hn.Input((D,))
    yield "hypernet.KerasTensor", lambda: hn.KerasTensor((None, D))
    yield "hypernet.__version__", lambda: hn.__version__.split(".")
    yield "hypernet.constant", lambda: hn.constant([[1.0, 2.0]], "float32")
    yield "hypernet.ones", lambda: hn.ones((2, 3))
    yield "hypernet.zeros", lambda: hn.zeros((2, 3))
    yield "hypernet.count_params", lambda: hn.count_params(models.hyper.target)
    yield "hypernet.get_num_threads", hn.get_num_threads
    threads = hn.get_num_threads()
    yield "hypernet.set_num_threads", lambda: hn.set_num_threads(threads)
    yield "hypernet.hypernetwork", lambda: hn.hypernetwork(2, 7, hidden=3)
    yield "hypernet.target_network", lambda: hn.target_network(D, O, hidden=3)
    yield "hypernet.show_config", silently(hn.show_config)


def _utils_calls() -> Iterator[tuple[str, Call]]:
    scope = {"Own": OwnInitializer}

    def scoped(kind: Any) -> Call:
        def call() -> None:
            with kind(scope):
                hn.initializers.get("Own")

        return call

    for name in ("utils", "saving"):
        module = getattr(hn, name)
        yield f"{name}.CustomObjectScope", scoped(module.CustomObjectScope)
        yield f"{name}.custom_object_scope", scoped(module.custom_object_scope)
        yield f"{name}.get_custom_objects", module.get_custom_objects
        yield f"{name}.get_registered_name", lambda m=module: m.get_registered_name(OwnInitializer)
        yield f"{name}.get_registered_object", lambda m=module: m.get_registered_object("endurance>OwnInitializer")
        register = lambda m=module: m.register_keras_serializable(package="endurance")(OwnInitializer)  # noqa: E731
        yield f"{name}.register_keras_serializable", register
    yield "utils.clear_session", hn.utils.clear_session
    yield "utils.set_random_seed", lambda: hn.utils.set_random_seed(7)


def _callback_calls(models: Models, folder: Path) -> Iterator[tuple[str, Call]]:
    callbacks, model = hn.callbacks, models.regressor
    made: dict[str, Call] = {
        "CSVLogger": lambda: callbacks.CSVLogger(folder / "log.csv"),
        "EarlyStopping": lambda: callbacks.EarlyStopping("loss", restore_best_weights=True),
        "History": callbacks.History,
        "LambdaCallback": lambda: callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
        "LearningRateScheduler": lambda: callbacks.LearningRateScheduler(lambda epoch: 0.01),
        "ModelCheckpoint": lambda: callbacks.ModelCheckpoint(folder / "checkpoint.safetensors"),
        "ProgbarLogger": callbacks.ProgbarLogger,
        "ReduceLROnPlateau": lambda: callbacks.ReduceLROnPlateau("loss", patience=1),
        "TerminateOnNaN": callbacks.TerminateOnNaN,
    }
    for name, make in made.items():
        yield f"callbacks.{name}", silently(lambda make=make: model.fit(X, Y, verbose=0, callbacks=[make()]))
    given = lambda: callbacks.CallbackList([callbacks.History()], model=model, epochs=1)  # noqa: E731
    yield "callbacks.CallbackList", lambda: model.fit(X, Y, verbose=0, callbacks=given())
    yield "utils.PyDataset", lambda: model.fit(Batches(), verbose=0)


def _file_calls(models: Models, folder: Path) -> Iterator[tuple[str, Call]]:
    model, path, weights = models.regressor, str(folder / "model.safetensors"), str(folder / "weights.safetensors")
    model.save(path)
    model.save_weights(weights)
    for name in ("models", "saving"):
        module = getattr(hn, name)
        yield f"{name}.save_model", lambda m=module: m.save_model(model, path)
        yield f"{name}.load_model", lambda m=module: m.load_model(path)
    yield "saving.save_weights", lambda: hn.saving.save_weights(model, weights)
    yield "saving.load_weights", lambda: hn.saving.load_weights(model, weights)
    yield "models.clone_model", lambda: hn.models.clone_model(model)


def _method_calls(models: Models, folder: Path) -> Iterator[tuple[str, Call]]:
    for kind, model in (("Model", models.model), ("Sequential", models.regressor), ("HyperModel", models.hyper)):
        path, weights = str(folder / f"{kind}.safetensors"), str(folder / f"{kind}-weights.safetensors")
        model.save_weights(weights)
        is_hyper = kind == "HyperModel"
        layer, config = model.layers[-1].name, model.get_config()
        compiled = model.get_compile_config()
        loss = model.loss
        calls: dict[str, Call] = {
            "compile": lambda m=model, loss=loss: m.compile(hn.optimizers.SGD(0.1), loss, metrics=["mae"]),
            "compile_from_config": lambda m=model, c=compiled: m.compile_from_config(c),
            "count_params": model.count_params,
            "from_config": lambda m=model, c=config: type(m).from_config(c),
            "get_compile_config": model.get_compile_config,
            "get_config": model.get_config,
            "get_layer": lambda m=model, layer=layer: m.get_layer(layer),
            "get_weights": model.get_weights,
            "load_weights": lambda m=model, w=weights: m.load_weights(w),
            "reset_metrics": model.reset_metrics,
            "save": lambda m=model, p=path: m.save(p),
            "save_weights": lambda m=model, w=weights: m.save_weights(w),
            "summary": lambda m=model: m.summary(print_fn=len),
        }
        if is_hyper:
            calls["quantize"] = lambda: models.hyper.quantize("int8")
            calls["__init__"] = lambda: hn.HyperModel(
                hn.hypernetwork(COND.shape[1], models.size, hidden=3), models.hyper.target
            )
        else:
            calls["build"] = lambda m=model: _built(m)
            calls["compute_output_shape"] = lambda m=model: m.compute_output_shape((None, D))
        if kind == "Sequential":
            calls |= {"add": _added, "pop": _popped}
        yield from ((f"{kind}.{name}", call) for name, call in calls.items())


def _built(model: Any) -> None:
    if type(model) is hn.Sequential:
        hn.Sequential([hn.layers.Dense(3)]).build((None, D))
        return
    try:
        model.build((None, D))
    except NotImplementedError:
        return
    raise AssertionError("it should have been refused")


def _added() -> None:
    model = hn.Sequential([hn.Input((D,))])
    model.add(hn.layers.Dense(3))
    model.add(hn.layers.Dense(2))


def _popped() -> None:
    model = hn.Sequential([hn.Input((D,)), hn.layers.Dense(3), hn.layers.Dense(2)])
    model.pop()


def _optimizer_calls(models: Models) -> Iterator[tuple[str, Call]]:
    model = models.regressor
    optimizer = hn.optimizers.SGD(0.1, momentum=0.9)
    weights = model._weights_in_order()
    optimizer.bind(weights)
    state, config = optimizer.state(), optimizer.get_config()
    calls: dict[str, Call] = {
        "bind": lambda: hn.optimizers.SGD(0.1).bind(weights),
        "exclude_from_weight_decay": lambda: hn.optimizers.AdamW().exclude_from_weight_decay(var_names=["bias"]),
        "from_config": lambda: hn.optimizers.SGD.from_config(config),
        "get_config": optimizer.get_config,
        "live_state": optimizer.live_state,
        "set_state": lambda: optimizer.set_state(state, weights),
        "state": optimizer.state,
    }
    yield from ((f"optimizers.SGD.{name}", call) for name, call in calls.items())


def _properties(models: Models) -> Iterator[tuple[str, Call]]:
    """All of an object's at once."""
    found = (models.model, models.regressor, models.hyper, models.small, models.hyper.optimizer, models.model.layers[1])
    for item in found:
        names = [name for name, value in inspect.getmembers(type(item)) if _is_property(name, value)]
        yield f"{type(item).__name__}: its properties", lambda item=item, names=names: [getattr(item, n) for n in names]


def _is_property(name: str, value: Any) -> bool:
    return isinstance(value, property) and not name.startswith("_")


def calls(models: Models, folder: Path) -> dict[str, Call]:
    """All of them; files go to the folder."""
    found = [
        *_object_calls(), *_initializer_calls(), *_base_calls(), *_top_calls(models), *_utils_calls(),
        *_callback_calls(models, folder), *_file_calls(models, folder), *_method_calls(models, folder),
        *_optimizer_calls(models), *_properties(models),
    ]  # fmt: skip
    named = dict(found)
    assert len(named) == len(found), "two calls of one name"
    return named
