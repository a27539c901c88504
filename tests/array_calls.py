"""Every public call that takes arrays: for each array argument, how to call it with any value in that place."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import hypernet as hn
import numpy as np

D, O, C, N = 4, 3, 2, 5  # noqa: E741
RNG = np.random.default_rng(0)


def numbers(*shape: int) -> Any:
    """Numbers that float16 has too, of both signs, none of them 0."""
    return (RNG.integers(1, 9, shape) * RNG.choice([-0.25, 0.25], shape)).astype(np.float32)


X, COND, Y, WEIGHT = numbers(N, D), numbers(N, C), numbers(N, O), np.abs(numbers(N))
LABELS, IDS = np.array([0, 2, 1, 1, 2]), np.array([[0], [3], [1], [2], [3]])
ONE_HOT = np.eye(O, dtype=np.float32)[LABELS]
PROBABILITIES = np.abs(Y) / np.abs(Y).sum(axis=1, keepdims=True)


class Models:
    """The models that are called, of one seed; `restore` gives them their weights again."""

    def __init__(self) -> None:
        hn.utils.set_random_seed(0)
        layers = hn.layers
        inputs = hn.Input((D,))
        self.model = hn.Model(inputs, layers.Dense(O, activation="softmax")(layers.Dense(3, activation="tanh")(inputs)))
        self.regressor = hn.Sequential([hn.Input((D,)), layers.Dense(O)])
        ids = hn.Input((1,), dtype="int32")
        self.ids = hn.Model(ids, layers.Flatten()(layers.Embedding(4, O)(ids)))
        left, right = hn.Input((D,), name="left"), hn.Input((D,), name="right")
        self.pair = hn.Model([left, right], layers.Dense(O)(layers.Add()([left, right])))
        target = hn.Sequential([hn.Input((D,)), layers.Dense(3, activation="tanh"), layers.Dense(O)])
        self.size = target.count_params()
        self.hyper = hn.HyperModel(hn.hypernetwork(C, self.size, hidden=3), target)
        self.small = self.hyper.quantize("int8")
        self.half = self.hyper.quantize("bfloat16")
        self.model.compile(hn.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
        for model in (self.regressor, self.ids, self.pair, self.hyper, self.small, self.half):
            model.compile(hn.optimizers.SGD(0.1), "mse", metrics=["mae"])
        self.all = (self.model, self.regressor, self.ids, self.pair, self.hyper, self.small, self.half)
        self._params = [model.params.copy() for model in self.all]

    def params(self) -> bytes:
        """All weights of all models."""
        return b"".join(model.params.tobytes() for model in self.all)

    def steps(self) -> list[int]:
        """How many updates each model has had."""
        return [int(model.optimizer.iterations) for model in self.all]

    def restore(self) -> None:
        """The weights and the random numbers of the beginning."""
        for model, params in zip(self.all, self._params, strict=True):
            model.set_weights(params)
        hn.utils.set_random_seed(1)


class Slot(NamedTuple):
    """One array argument of one call.

    name: "Model.predict(x)"; family: which results its odd values have; plain: an ordinary value; call: with the models
    and any value; reads: the dtype in which the call takes numbers ("model": float32; "floats": float32 and float64 as
    they are; "targets": integers stay; "ids", "any"); writes: whether the call changes
    weights of the models; draws: whether it draws random numbers, as for new layers.
    """

    name: str
    family: str
    plain: Any
    call: Callable[[Models, Any], Any]
    reads: str = "model"
    writes: bool = False

    @property
    def draws(self) -> bool:
        return self.writes or self.name.startswith("layers.") or ".specialize" in self.name


def fitted(history: Any) -> dict[str, list[float]]:
    return history.history


def _model_slots() -> Iterator[Slot]:
    for kind, name, label in (("Model", "model", LABELS), ("Sequential", "regressor", Y)):
        yield from _trained_slots(kind, "rows", X, label, lambda m, x, name=name: (getattr(m, name), x))
        get = lambda m, name=name: getattr(m, name)  # noqa: E731
        yield Slot(f"{kind}.__call__(x)", "rows, even none", X, lambda m, x, get=get: get(m)(x))
        yield Slot(f"{kind}.vjp(x)", "rows, even none", X, lambda m, x, get=get: _pulled(get(m).vjp(x)))
        yield Slot(f"{kind}.vjp pullback(dy)", "gradient", Y, lambda m, dy, get=get: get(m).vjp(X)[1](dy))
        params = RNG.standard_normal(Models().model.count_params() if kind == "Model" else D * O + O).astype(np.float32)
        yield from _weight_slots(kind, get, params)
    yield Slot("Model.predict(ids)", "ids or stream", IDS, lambda m, x: m.ids.predict(x, verbose=0), "ids")
    yield Slot("Model.__call__(ids)", "ids, even none", IDS, lambda m, x: m.ids(x), "ids")
    yield Slot(
        "Model.fit(ids)", "ids or stream with y", IDS, lambda m, x: fitted(m.ids.fit(x, Y, verbose=0)), "ids", True
    )
    yield Slot("Model.vjp(ids)", "ids, even none", IDS, lambda m, x: _pulled(m.ids.vjp(x)), "ids")
    yield Slot("Model.predict([x, .])", "one of two", X, lambda m, x: m.pair.predict([x, X], verbose=0))
    yield Slot("Model.predict([., x])", "one of two", X, lambda m, x: m.pair.predict([X, x], verbose=0))
    yield Slot("Model.fit([., x])", "one of two", X, lambda m, x: fitted(m.pair.fit([X, x], Y, verbose=0)), writes=True)
    yield Slot("Model.vjp([x, .])", "one of two", X, lambda m, x: _pulled(m.pair.vjp([x, X])))


def _pulled(made: tuple[Any, Callable[[Any], Any]]) -> Any:
    y, pullback = made
    return y, pullback(np.ones_like(y))


def _weight_slots(kind: str, get: Callable[[Models], Any], params: Any) -> Iterator[Slot]:
    yield Slot(f"{kind}.set_weights(vector)", "vector", params, lambda m, v: get(m).set_weights(v), writes=True)
    yield Slot(f"{kind}.params = vector", "vector", params, lambda m, v: setattr(get(m), "params", v), writes=True)
    yield Slot(f"{kind}.unflatten(vector)", "view", params, lambda m, v: get(m).unflatten(v), "any")

    def one_of(m: Models, value: Any) -> None:
        weights = get(m).get_weights()
        get(m).set_weights([value, *weights[1:]])

    shape = get(Models()).get_weights()[0].shape
    yield Slot(f"{kind}.set_weights([array, ...])", "weight", numbers(*shape), one_of, writes=True)


def _trained_slots(
    kind: str, family: str, x: Any, y: Any, meet: Callable[[Models, Any], tuple[Any, Any]], trains: bool = True
) -> Iterator[Slot]:
    """The methods of Keras, for one array of their input, their targets and their sample weights."""

    def with_x(run: Callable[[Any, Any], Any]) -> Callable[[Models, Any], Any]:
        return lambda m, value: run(*meet(m, value))

    def with_other(run: Callable[[Any, Any, Any], Any]) -> Callable[[Models, Any], Any]:
        return lambda m, value: run(*meet(m, x), value)

    stream = f"{family} or stream"
    yield Slot(f"{kind}.predict(x)", stream, x, with_x(lambda m, v: m.predict(v, verbose=0)))
    yield Slot(f"{kind}.predict(x) in batches", stream, x, with_x(lambda m, v: m.predict(v, 2, verbose=0)))
    yield Slot(f"{kind}.predict_on_batch(x)", family, x, with_x(lambda m, v: m.predict_on_batch(v)))
    yield Slot(f"{kind}.evaluate(x)", f"{stream} with y", x, with_x(lambda m, v: m.evaluate(v, y, verbose=0)))
    yield Slot(f"{kind}.test_on_batch(x)", f"{family} with y", x, with_x(lambda m, v: m.test_on_batch(v, y)))
    labels = "labels" if y.ndim == 1 else "targets"
    calls: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
        "evaluate": lambda m, v, y, w: m.evaluate(v, y, 2, verbose=0, sample_weight=w),
        "test_on_batch": lambda m, v, y, w: m.test_on_batch(v, y, w),
    }
    if trains:
        calls |= {
            "fit": lambda m, v, y, w: fitted(m.fit(v, y, 2, sample_weight=w, verbose=0)),
            "train_on_batch": lambda m, v, y, w: m.train_on_batch(v, y, w),
            "loss_and_grad": lambda m, v, y, w: m.loss_and_grad(v, y, w),
        }
        run = lambda m, v: fitted(m.fit(v, y, verbose=0, epochs=2))  # noqa: E731
        yield Slot(f"{kind}.fit(x)", f"{stream} with y", x, with_x(run), writes=True)
        run = lambda m, v: m.train_on_batch(v, y)  # noqa: E731
        yield Slot(f"{kind}.train_on_batch(x)", f"{family} with y", x, with_x(run), writes=True)
        yield Slot(f"{kind}.loss_and_grad(x)", f"{family} with y", x, with_x(lambda m, v: m.loss_and_grad(v, y)))
        validated = lambda m, v, w: fitted(m.fit(v, y, verbose=0, validation_data=(v, w)))  # noqa: E731
        yield Slot(f"{kind}.fit(validation_data=)", labels, y, with_other(validated), "targets", True)
    for name, call in calls.items():
        writes = name in ("fit", "train_on_batch")
        of_y = lambda m, v, value, call=call: call(m, v, value, None)  # noqa: E731
        of_weight = lambda m, v, value, call=call: call(m, v, y, value)  # noqa: E731
        yield Slot(f"{kind}.{name}(y)", labels, y, with_other(of_y), "targets", writes)
        yield Slot(f"{kind}.{name}(sample_weight)", "sample weight", WEIGHT, with_other(of_weight), "model", writes)


def _hyper_slots() -> Iterator[Slot]:
    for kind, name in (
        ("HyperModel", "hyper"),
        ("QuantizedHyperModel", "small"),
        ("QuantizedHyperModel (bf16)", "half"),
    ):
        trains = name == "hyper"
        get = lambda m, name=name: getattr(m, name)  # noqa: E731
        of_rows = lambda m, x, get=get: (get(m), [COND, x])  # noqa: E731
        of_conditions = lambda m, c, get=get: (get(m), [c, X])  # noqa: E731
        yield from _trained_slots(f"{kind}", "hyper rows", X, Y, of_rows, trains)
        yield from (
            slot._replace(name=slot.name.replace("(x)", "(cond)"))
            for slot in _trained_slots(kind, "conditions", COND, Y, of_conditions, trains)
            if "(x)" in slot.name
        )
        yield Slot(f"{kind}.__call__(x)", "hyper rows", X, lambda m, x, get=get: get(m)([COND, x]))
        yield Slot(f"{kind}.__call__(cond)", "conditions", COND, lambda m, c, get=get: get(m)([c, X]))
        yield Slot(f"{kind}.generate(cond)", "alone", COND, lambda m, c, get=get: get(m).generate(c))
        yield Slot(f"{kind}.generate_weights(cond)", "alone", COND, lambda m, c, get=get: get(m).generate_weights(c))
        specialize = lambda m, c, get=get: get(m).specialize(c).params  # noqa: E731
        yield Slot(f"{kind}.specialize(cond)", "one condition", COND[:1], specialize)
        if name != "hyper":
            error = lambda m, c, get=get: get(m).error_bound(c)  # noqa: E731
            yield Slot(f"{kind}.error_bound(cond)", "alone", COND, error)
    yield Slot("HyperModel.vjp(cond)", "conditions", COND, lambda m, c: _pulled(m.hyper.vjp(c, X)))
    yield Slot("HyperModel.vjp(x)", "hyper rows", X, lambda m, x: _pulled(m.hyper.vjp(COND, x)))
    yield Slot("HyperModel.vjp pullback(dy)", "gradient", Y, lambda m, dy: m.hyper.vjp(COND, X)[1](dy))
    yield Slot("HyperModel.generate_vjp(cond)", "alone", COND, lambda m, c: _pulled(m.hyper.generate_vjp(c)))
    theta = numbers(N, Models().size)
    pull = lambda m, dy: m.hyper.generate_vjp(COND)[1](dy)  # noqa: E731
    yield Slot("HyperModel.generate_vjp pullback(dtheta)", "gradient", theta, pull)
    yield from _weight_slots("HyperModel", lambda m: m.hyper, numbers(Models().hyper.count_params()))
    base = lambda m, v: hn.HyperModel(m.hyper.generator, m.hyper.target, base=v).generate(COND)  # noqa: E731
    yield Slot("HyperModel(base=)", "base", theta[0], base, writes=True)


def _functional_slots() -> Iterator[Slot]:
    models = Models()
    for kind, name in (("Model", "regressor"), ("HyperModel", "hyper")):
        get = lambda m, name=name: getattr(m, name)  # noqa: E731
        x: Any = X if kind == "Model" else [COND, X]
        theta = numbers(get(models).count_params())
        family = "rows" if kind == "Model" else "hyper rows"
        wrap = (lambda x: x) if kind == "Model" else (lambda x: [COND, x])

        def call_x(m: Models, v: Any, get: Any = get, wrap: Any = wrap, theta: Any = theta) -> Any:
            return hn.functional_call(get(m), theta, wrap(v))

        def vjp_x(m: Models, v: Any, get: Any = get, wrap: Any = wrap, theta: Any = theta) -> Any:
            return _pulled(hn.functional_vjp(get(m), theta, wrap(v)))

        def vjp_dy(m: Models, v: Any, get: Any = get, x: Any = x, theta: Any = theta) -> Any:
            return hn.functional_vjp(get(m), theta, x)[1](v)

        call_theta = lambda m, v, get=get, x=x: hn.functional_call(get(m), v, x)  # noqa: E731
        vjp_theta = lambda m, v, get=get, x=x: _pulled(hn.functional_vjp(get(m), v, x))  # noqa: E731
        of = "theta" if kind == "Model" else "theta of a HyperModel"
        yield Slot(f"functional_call({kind}, theta)", of, theta, call_theta)
        yield Slot(f"functional_vjp({kind}, theta)", of, theta, vjp_theta)
        rows = "functional rows" if kind == "Model" else family
        yield Slot(f"functional_call({kind}, x)", rows, X, call_x)
        yield Slot(f"functional_vjp({kind}, x)", rows, X, vjp_x)
        yield Slot(f"functional_vjp({kind}) pullback(dy)", "gradient", Y, vjp_dy)


def _losses() -> Iterator[tuple[str, Any]]:
    for name in hn.losses.__all__:
        found = getattr(hn.losses, name)
        if inspect.isclass(found) and issubclass(found, hn.losses.Loss) and found is not hn.losses.Loss:
            yield name, found()
        elif callable(found) and not inspect.isclass(found) and name not in ("get", "serialize", "deserialize"):
            yield name, found


def _loss_slots() -> Iterator[Slot]:
    for name, loss in _losses():
        is_sparse = "sparse" in name.lower()
        true, family, reads = (LABELS, "true labels", "targets") if is_sparse else (ONE_HOT, "true", "floats")
        yield Slot(f"losses.{name}(y_true)", family, true, lambda m, v, loss=loss: loss(v, PROBABILITIES), reads)
        pred = PROBABILITIES
        of = "predictions of labels" if is_sparse else "predictions"
        yield Slot(f"losses.{name}(y_pred)", of, pred, lambda m, v, loss=loss, true=true: loss(true, v), "floats")
        if not inspect.isfunction(loss):
            weigh = lambda m, v, loss=loss, true=true: loss(true, PROBABILITIES, v)  # noqa: E731
            yield Slot(f"losses.{name}(sample_weight)", "loss weight", WEIGHT, weigh)
            both = lambda m, v, loss=loss: loss.value_and_grad(v, PROBABILITIES)  # noqa: E731
            yield Slot(f"losses.{name}.value_and_grad(y_true)", family, true, both, reads)
            both = lambda m, v, loss=loss, true=true: loss.value_and_grad(true, v)  # noqa: E731
            yield Slot(f"losses.{name}.value_and_grad(y_pred)", of, pred, both, "floats")
            both = lambda m, v, loss=loss, true=true: loss.value_and_grad(true, PROBABILITIES, v)  # noqa: E731
            yield Slot(f"losses.{name}.value_and_grad(sample_weight)", "loss weight", WEIGHT, both)


def _activation_slots() -> Iterator[Slot]:
    even = numbers(N, 4)
    for name in hn.activations.__all__:
        if name in ("get", "serialize", "deserialize"):
            continue
        function = getattr(hn.activations, name)
        if name == "threshold":
            function = lambda x: hn.activations.threshold(x, 0.5, 2.0)  # noqa: E731
        by_rows = name in ("softmax", "log_softmax", "sparsemax", "glu")
        family = "halved" if name == "glu" else "whole rows" if by_rows else "elementwise"
        yield Slot(f"activations.{name}(x)", family, even, lambda m, v, function=function: function(v), "floats")


def _metric_slots() -> Iterator[Slot]:
    for name in hn.metrics.__all__:
        found = getattr(hn.metrics, name)
        if name in ("get", "serialize", "deserialize", "Metric"):
            continue
        is_sparse = "sparse" in name.lower()
        counts = "accuracy" in name.lower()
        reads = "any" if counts or name == "RootMeanSquaredError" else "floats"
        true, of = (LABELS, "counted labels" if counts else "true labels") if is_sparse else (ONE_HOT, "true")
        pred = ("counted predictions of labels" if counts else "predictions of labels") if is_sparse else "predictions"
        if not inspect.isclass(found):
            yield Slot(f"metrics.{name}(y_true)", of, true, lambda m, v, f=found: f(v, PROBABILITIES), reads)
            yield Slot(f"metrics.{name}(y_pred)", pred, PROBABILITIES, lambda m, v, f=found, t=true: f(t, v), reads)
            continue
        make = found if name != "MeanMetricWrapper" else lambda: hn.metrics.MeanMetricWrapper(hn.losses.huber)
        if name in ("Mean", "Sum"):
            values = lambda m, v, f=make: f()(v)  # noqa: E731
            yield Slot(f"metrics.{name}(values)", "values", Y, values, "any")
            yield Slot(f"metrics.{name}(vector)", "values", WEIGHT, values, "any")
            weigh = lambda m, v, f=make: f()(Y, v)  # noqa: E731
            yield Slot(f"metrics.{name}(sample_weight)", "metric weight", WEIGHT, weigh, "any")
            continue
        yield Slot(f"metrics.{name}(y_true)", of, true, lambda m, v, f=make: f()(v, PROBABILITIES), reads)
        yield Slot(f"metrics.{name}(y_pred)", pred, PROBABILITIES, lambda m, v, f=make, t=true: f()(t, v), reads)
        weigh = lambda m, v, f=make, t=true: f()(t, PROBABILITIES, v)  # noqa: E731
        yield Slot(f"metrics.{name}(sample_weight)", "metric weight", WEIGHT, weigh, "any")


def _optimizer_slots() -> Iterator[Slot]:
    for name in hn.optimizers.__all__:
        found = getattr(hn.optimizers, name)
        if not inspect.isclass(found) or found is hn.optimizers.Optimizer:
            continue

        def applied(m: Models, value: Any, found: Any = found) -> Any:
            variable = np.ones((N, D), np.float32)
            found().apply(value, variable)
            return variable

        def in_list(m: Models, value: Any, found: Any = found) -> Any:
            variables = [np.ones((N, D), np.float32), np.ones(3, np.float32)]
            found().apply([value, np.ones(3)], variables)
            return variables

        def pairs(m: Models, value: Any, found: Any = found) -> Any:
            variable = np.ones((N, D), np.float32)
            found().apply_gradients([(value, variable)])
            return variable

        delta = lambda m, v, found=found: found().delta(v, np.ones((N, D), np.float32))  # noqa: E731
        yield Slot(f"optimizers.{name}.apply(grads)", "gradient of a variable", X, applied)
        yield Slot(f"optimizers.{name}.apply([grad, .])", "gradient of several", X, in_list)
        yield Slot(f"optimizers.{name}.apply_gradients(grad)", "gradient in a pair", X, pairs)
        yield Slot(f"optimizers.{name}.delta(grads)", "gradient of a variable", X, delta)
        of_model = lambda m, v, found=found: found().apply(v, m.regressor.params)  # noqa: E731
        flat = numbers(D * O + O)
        yield Slot(f"optimizers.{name}.apply(., params)", "gradient of a variable", flat, of_model, writes=True)


def _small_slots() -> Iterator[Slot]:
    for name in hn.constraints.__all__:
        found = getattr(hn.constraints, name)
        if inspect.isclass(found):
            yield Slot(f"constraints.{name}(w)", "projected", X, lambda m, v, found=found: found()(v), "floats")
    for name in hn.regularizers.__all__:
        found = getattr(hn.regularizers, name)
        if not inspect.isclass(found) or found is hn.regularizers.Regularizer:
            continue
        family = "matrix" if issubclass(found, hn.regularizers.OrthogonalRegularizer) else "elementwise"
        yield Slot(f"regularizers.{name}(x)", family, X, lambda m, v, found=found: found()(v), "floats")
        both = lambda m, v, found=found: found().gradient(v)  # noqa: E731
        yield Slot(f"regularizers.{name}.gradient(x)", family, X, both, "floats")
    constant = lambda m, v: hn.initializers.Constant(v)((N, D))  # noqa: E731
    yield Slot("initializers.Constant(value)", "broadcast", X, constant)
    yield Slot("utils.to_categorical(x)", "classes", LABELS, lambda m, v: hn.utils.to_categorical(v), "ids")
    yield Slot("utils.normalize(x)", "normalized", X, lambda m, v: hn.utils.normalize(v), "any")
    yield Slot("losses of one's own(values)", "given values", WEIGHT, lambda m, v: _own_loss(v, X)[0])
    yield Slot("losses of one's own(gradient)", "given gradient", X, lambda m, v: _own_loss(WEIGHT, v)[1])


def _own_loss(values: Any, gradient: Any) -> Any:
    loss = hn.losses.get(lambda y_true, y_pred: (values, gradient))
    return hn.losses.base.LossFunctionWrapper(loss).value_and_grad(X, X)


def _layer_slots() -> Iterator[Slot]:
    layers = hn.layers
    made: dict[str, Callable[[], Any]] = {
        "Dense": lambda: layers.Dense(3, kernel_initializer="ones"),
        "Activation": lambda: layers.Activation("tanh"),
        "Embedding": lambda: layers.Embedding(4, 3, embeddings_initializer="ones"),
        "Reshape": lambda: layers.Reshape((2, 2)),
        "Dropout": lambda: layers.Dropout(0.5),
    }
    for name in layers.__all__:
        found = getattr(layers, name)
        if not inspect.isclass(found) or name in ("Layer", "InputLayer"):
            continue
        if name in ("Add", "Multiply", "Concatenate"):
            family = "joined" if name == "Concatenate" else "merged"
            yield Slot(f"layers.{name}([x, .])", family, X, lambda m, v, f=found: f()([v, X]))
            continue
        make = made.get(name, found)
        family, plain, reads = ("layer ids", IDS, "ids") if name == "Embedding" else ("layer", X, "model")
        family = {
            "Reshape": "reshaped",
            "LayerNormalization": "layer of rows",
            "Dense": "layer of rows",
            "Softmax": "layer of rows",
        }.get(name, family)
        yield Slot(f"layers.{name}(x)", family, plain, lambda m, v, f=make: f()(v), reads)

        def weights(m: Models, v: Any, f: Any = make, x: Any = plain) -> Any:
            layer = f()
            layer(x)
            layer.set_weights(v)
            return layer.get_weights()

        if name in ("Dense", "LayerNormalization", "Embedding", "PReLU"):
            count = {"Dense": D * 3 + 3, "LayerNormalization": 2 * D, "Embedding": 12, "PReLU": D}[name]
            yield Slot(f"layers.{name}.set_weights(vector)", "vector", numbers(count), weights)
    merging = {"add": layers.add, "multiply": layers.multiply, "concatenate": layers.concatenate}
    for name, merge in merging.items():
        family = "joined" if name == "concatenate" else "merged"
        yield Slot(f"layers.{name}([x, .])", family, X, lambda m, v, merge=merge: merge([v, X]))


def slots() -> list[Slot]:
    """All of them."""
    found = itertools.chain(
        _model_slots(), _hyper_slots(), _functional_slots(), _loss_slots(), _activation_slots(), _metric_slots(),
        _optimizer_slots(), _small_slots(), _layer_slots(),
    )  # fmt: skip
    return list(found)
