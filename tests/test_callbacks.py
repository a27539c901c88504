"""Callbacks on scripted curves, and in fit."""

import csv
import sys
import types
import warnings

import hypernet as hn
import numpy as np
import pytest
from hypernet import callbacks


class Scripted:
    """A model whose logs are written beforehand: enough for every callback."""

    def __init__(self, learning_rate=1.0):
        self.optimizer = hn.optimizers.SGD(learning_rate)
        self.stop_training = False
        self.weights = None
        self.saved = []

    def get_weights(self):
        return [np.array(self.weights)]

    def set_weights(self, weights):
        self.weights = int(weights[0])

    def _metric_direction(self, name):
        return {"accuracy": "up", "loss": "down"}.get(name)

    def save(self, path, overwrite=True):
        self.saved.append(("model", path))

    def save_weights(self, path, overwrite=True):
        self.saved.append(("weights", path))


def play(callback, curve, monitor="val_loss", model=None, epochs=None):
    """Run `callback` over a curve; the epochs that were run and the last logs."""
    model = model or Scripted()
    callback.set_model(model)
    callback.set_params({"verbose": 0, "epochs": len(curve), "steps": 1})
    callback.on_train_begin({})
    seen, logs = 0, {}
    for epoch, value in enumerate(curve):
        model.weights = epoch
        callback.on_epoch_begin(epoch, {})
        callback.on_train_batch_begin(0, {})
        callback.on_train_batch_end(0, {"loss": value})
        logs = {monitor: value}
        callback.on_epoch_end(epoch, logs)
        seen = epoch + 1
        if model.stop_training:
            break
    callback.on_train_end({})
    return seen, model


# ---- EarlyStopping ----
@pytest.mark.parametrize(
    ("options", "curve", "epochs"),
    [
        ({"patience": 0}, [3, 2, 1, 1, 0], 4),
        ({"patience": 2}, [3, 2, 2.5, 2.4, 1, 0], 4),
        ({"patience": 3}, [3, 2, 2.5, 2.4, 1, 0], 6),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.7, 2.2, 2.0], 2),
        ({"patience": 2, "min_delta": 0.5}, [3, 2.7, 2.2, 2.0, 1.9], 5),
        ({"patience": 1, "mode": "max"}, [1, 2, 3, 2.9, 2.8], 4),
        ({"patience": 2, "baseline": 1.0}, [3, 2.9, 2.8, 2.7], 4),
        ({"patience": 2, "baseline": 2.95}, [3, 2.9, 3.8, 3.7, 0], 4),
        ({"patience": 0, "start_from_epoch": 3}, [1, 2, 3, 4, 5, 6], 5),
        ({"patience": 1}, [np.nan, np.nan, 1.0], 2),
        ({"patience": 0}, [1, np.nan, 0.5], 2),
    ],
)
def test_early_stopping(options, curve, epochs):
    callback = callbacks.EarlyStopping(**options)
    assert play(callback, curve)[0] == epochs
    assert play(callback, curve)[0] == epochs  # and once more with the same object


def test_early_stopping_restores_the_best():
    callback = callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    seen, model = play(callback, [3, 1, 2, 2, 2])
    assert seen == 4 and model.weights == 1 and callback.best_epoch == 1 and callback.stopped_epoch == 3
    seen, model = play(callback, [3, 2, 1])  # also where nothing was stopped
    assert seen == 3 and model.weights == 2


def test_early_stopping_on_what_is_not_there():
    with pytest.warns(UserWarning, match="Early stopping conditioned on metric `val_loss` which is not available"):
        assert play(callbacks.EarlyStopping(), [1, 2], monitor="loss")[0] == 2


def test_direction_is_asked_of_the_metric():
    assert play(callbacks.EarlyStopping("val_accuracy"), [1, 2, 3, 2], monitor="val_accuracy")[0] == 4
    with pytest.raises(ValueError, match="whether that metric should be maximized or minimized"):
        play(callbacks.EarlyStopping("val_strange"), [1], monitor="val_strange")
    with pytest.warns(UserWarning, match="mode 'sideways' is unknown, fallback to auto mode"):
        callbacks.EarlyStopping(mode="sideways")


# ---- ReduceLROnPlateau ----
@pytest.mark.parametrize(
    ("options", "curve", "rates"),
    [
        ({"patience": 2}, [3, 2, 2, 2, 2, 2], [1, 1, 1, 0.5, 0.5, 0.25]),
        ({"patience": 1, "cooldown": 2}, [3, 3, 3, 3, 3, 3], [1, 0.5, 0.5, 0.25, 0.25, 0.125]),
        ({"patience": 1, "min_lr": 0.3}, [3, 3, 3, 3], [1, 0.5, 0.3, 0.3]),
        ({"patience": 1, "min_delta": 1.0}, [5, 4.5, 3.5, 3.4], [1, 0.5, 0.5, 0.25]),
        ({"patience": 1, "mode": "max"}, [1, 2, 2, 3], [1, 1, 0.5, 0.5]),
    ],
)
def test_reduce_on_plateau(options, curve, rates):
    model, seen = Scripted(), []
    callback = callbacks.ReduceLROnPlateau(factor=0.5, **options)
    callback.set_model(model)
    callback.on_train_begin({})
    for epoch, value in enumerate(curve):
        logs = {"val_loss": value}
        callback.on_epoch_end(epoch, logs)
        seen.append(model.optimizer.learning_rate)
        assert "learning_rate" in logs
    assert seen == pytest.approx(rates)


def test_reduce_on_plateau_errors():
    with pytest.raises(ValueError, match=r"ReduceLROnPlateau does not support a factor >= 1\.0"):
        callbacks.ReduceLROnPlateau(factor=1.0)
    with pytest.warns(UserWarning, match="Learning rate reduction is conditioned on metric `val_loss`"):
        play(callbacks.ReduceLROnPlateau(), [1.0], monitor="loss")


# ---- ModelCheckpoint ----
def test_checkpoint_of_every_epoch():
    _, model = play(callbacks.ModelCheckpoint("m-{epoch:02d}-{val_loss:.1f}.safetensors"), [3, 2])
    assert model.saved == [("model", "m-01-3.0.safetensors"), ("model", "m-02-2.0.safetensors")]
    _, model = play(callbacks.ModelCheckpoint("m.safetensors", save_weights_only=True), [3, 2])
    assert model.saved == [("weights", "m.safetensors")] * 2


@pytest.mark.parametrize(
    ("options", "epochs"),
    [({}, [1, 2, 4]), ({"mode": "max"}, [1, 3]), ({"initial_value_threshold": 2.0}, [4])],
)
def test_checkpoint_of_the_best(options, epochs):
    callback = callbacks.ModelCheckpoint("{epoch}.safetensors", save_best_only=True, **options)
    _, model = play(callback, [3, 2, 4, 1, 1])
    assert [path for _, path in model.saved] == [f"{epoch}.safetensors" for epoch in epochs]


def test_checkpoint_by_batches():
    callback, model = callbacks.ModelCheckpoint("{epoch}-{batch}.safetensors", save_freq=3), Scripted()
    callback.set_model(model)
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        for batch in range(4):
            callback.on_train_batch_end(batch, {"loss": 1.0})
        callback.on_epoch_end(epoch, {"loss": 1.0})
    assert [path for _, path in model.saved] == ["1-3.safetensors", "2-2.safetensors"]


def test_checkpoint_errors(tmp_path):
    for path in ("a.keras", "a.weights.h5", "a.h5"):
        with pytest.raises(NotImplementedError, match="safetensors"):
            callbacks.ModelCheckpoint(path)
    with pytest.raises(ValueError, match="safetensors"):
        callbacks.ModelCheckpoint("a.txt")
    with pytest.raises(ValueError, match="Unrecognized save_freq"):
        callbacks.ModelCheckpoint("a.safetensors", save_freq="batch")
    with pytest.raises(KeyError, match="Failed to format this callback filepath"):
        play(callbacks.ModelCheckpoint("{accuracy}.safetensors"), [1.0])
    (tmp_path / "d.safetensors").mkdir()
    with pytest.raises(OSError, match="directory"):
        play(callbacks.ModelCheckpoint(tmp_path / "d.safetensors"), [1.0])
    with pytest.warns(UserWarning, match="Can save best model only with val_loss available"):
        _, model = play(callbacks.ModelCheckpoint("a.safetensors", save_best_only=True), [1.0], monitor="loss")
    assert len(model.saved) == 1


# ---- the others ----
def test_learning_rate_scheduler(capsys):
    model = Scripted()
    play(callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5), [1, 1], model=model)
    assert model.optimizer.learning_rate == 0.25
    play(callbacks.LearningRateScheduler(lambda epoch: 0.1 * (epoch + 1), verbose=1), [1, 1, 1], model=model)
    assert model.optimizer.learning_rate == pytest.approx(0.3)
    assert "Epoch 3: LearningRateScheduler setting learning rate to 0.3" in capsys.readouterr().out
    with pytest.raises(ValueError, match="The output of the `schedule` function should be a float"):
        play(callbacks.LearningRateScheduler(lambda epoch: "fast"), [1])


def test_terminate_on_nan(capsys):
    assert play(callbacks.TerminateOnNaN(), [1.0, np.nan, 1.0])[0] == 2
    assert "Invalid loss, terminating training" in capsys.readouterr().out
    assert play(callbacks.TerminateOnNaN(), [1.0, np.inf, 1.0])[0] == 2
    with pytest.raises(RuntimeError, match="NaN or Inf loss encountered"):
        play(callbacks.TerminateOnNaN(raise_error=True), [np.nan])


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    callback = callbacks.CSVLogger(path, separator=";")
    play(callback, [3.0, 2.0], monitor="loss")
    with open(path, newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))
    assert rows == [["epoch", "loss", "val_loss"], ["0", "3.0", "NA"], ["1", "2.0", "NA"]]
    play(callbacks.CSVLogger(path, separator=";", append=True), [1.0], monitor="loss")
    with open(path, newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))
    assert len(rows) == 4 and rows[-1] == ["0", "1.0", "NA"]
    play(callbacks.CSVLogger(path), [1.0], monitor="val_loss")
    assert path.read_text().splitlines() == ["epoch,val_loss", "0,1.0"]


def test_lambda_callback():
    seen = []
    hooks = {
        name: lambda *arguments, name=name, **named: seen.append(name)
        for name in (
            "on_epoch_begin",
            "on_epoch_end",
            "on_train_begin",
            "on_train_end",
            "on_train_batch_begin",
            "on_train_batch_end",
            "on_test_begin",
        )
    }
    play(callbacks.LambdaCallback(**hooks), [1.0])
    assert seen == [
        "on_train_begin",
        "on_epoch_begin",
        "on_train_batch_begin",
        "on_train_batch_end",
        "on_epoch_end",
        "on_train_end",
    ]


class Recorder(callbacks.Callback):
    """Writes down every hook."""

    def __init__(self):
        super().__init__()
        self.calls = []


def _recording(name):
    def hook(self, *arguments, **named):
        self.calls.append((name, *[a for a in arguments if isinstance(a, int)]))

    return hook


for _name in [
    n for n in dir(callbacks.Callback) if n.startswith("on_") and n not in ("on_batch_begin", "on_batch_end")
]:
    setattr(Recorder, _name, _recording(_name))


def _model():
    inputs = hn.Input((2,))
    model = hn.Model(inputs, hn.layers.Dense(1)(inputs))
    model.compile(optimizer="sgd", loss="mse")
    return model


def test_hooks_in_order():
    recorder = Recorder()
    model = _model()
    x, y = np.ones((5, 2)), np.ones((5, 1))
    model.fit(x, y, batch_size=3, epochs=2, verbose=0, validation_data=(x, y), callbacks=[recorder])
    batch = [
        ("on_train_batch_begin", 0),
        ("on_train_batch_end", 0),
        ("on_train_batch_begin", 1),
        ("on_train_batch_end", 1),
    ]
    test = [("on_test_begin",)]
    test += [("on_test_batch_begin", 0), ("on_test_batch_end", 0), ("on_test_batch_begin", 1), ("on_test_batch_end", 1)]
    test += [("on_test_end",)]
    expected = [("on_train_begin",)]
    for epoch in range(2):
        expected += [("on_epoch_begin", epoch), *batch, *test, ("on_epoch_end", epoch)]
    assert recorder.calls == [*expected, ("on_train_end",)]
    assert recorder.params == {"verbose": 0, "epochs": 2, "steps": 2} and recorder.model is model
    recorder.calls.clear()
    model.evaluate(x, y, batch_size=3, verbose=0, callbacks=[recorder])
    assert recorder.calls == test
    recorder.calls.clear()
    model.predict(x, batch_size=3, verbose=0, callbacks=[recorder])
    assert [name for name, *_ in recorder.calls] == [
        "on_predict_begin",
        *["on_predict_batch_begin", "on_predict_batch_end"] * 2,
        "on_predict_end",
    ]


def test_old_batch_hooks_are_called():
    class Old(callbacks.Callback):
        seen = 0

        def on_batch_end(self, batch, logs=None):
            self.seen += 1
            assert np.isfinite(logs["loss"])

    old = Old()
    _model().fit(np.ones((5, 2)), np.ones((5, 1)), batch_size=2, verbose=0, callbacks=[old])
    assert old.seen == 3


def test_batch_logs_are_means_so_far():
    losses = []
    callback = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    model = _model()
    model.optimizer.learning_rate = 0.0
    x, y = np.zeros((4, 2)), np.array([[0.0], [1.0], [2.0], [3.0]])
    history = model.fit(x, y, batch_size=1, shuffle=False, verbose=0, callbacks=[callback])
    assert losses == pytest.approx([0, 0.5, 5 / 3, 3.5]) and history.history["loss"] == pytest.approx([3.5])


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_compile_while_fit_or_evaluate_runs(method):
    """Keras fails at the next batch; here nothing is changed, and what is running says what to do."""
    model, x, y = _model(), np.ones((4, 2)), np.ones((4, 1))
    optimizer, metrics = model.optimizer, model.metrics
    recompile = lambda *_, **__: model.compile(optimizer="adam", loss="mae")  # noqa: E731
    what = "train" if method == "fit" else "test"
    hooks = [f"on_{what}_begin", f"on_{what}_batch_begin", f"on_{what}_batch_end"]
    for hook in [*hooks, *(["on_epoch_begin", "on_epoch_end"] if method == "fit" else ["on_test_end"])]:
        callback = callbacks.Callback()
        setattr(callback, hook, recompile)
        with pytest.raises(
            RuntimeError, match=rf"`{method}` of '{model.name}' is running .* when `{method}` has returned"
        ):
            getattr(model, method)(x, y, batch_size=2, verbose=0, callbacks=[callback])
        assert model.optimizer is optimizer and model.metrics == metrics
    recompile()  # as it says
    assert model.optimizer is not optimizer
    getattr(model, method)(x, y, verbose=0)


def test_compile_in_an_evaluation_inside_fit():
    """What an inner evaluation holds, it gives back to the fit around it."""
    model, x, y = _model(), np.ones((4, 2)), np.ones((4, 1))

    def end_epoch(epoch, logs):
        model.evaluate(x, y, verbose=0)
        model.compile(optimizer="adam", loss="mae")

    with pytest.raises(RuntimeError, match="`fit` of"):
        model.fit(x, y, verbose=0, callbacks=[callbacks.LambdaCallback(on_epoch_end=end_epoch)])


def test_compile_when_training_has_ended():
    model, x, y = _model(), np.ones((4, 2)), np.ones((4, 1))
    last = callbacks.LambdaCallback(on_train_end=lambda logs: model.compile(optimizer="adam", loss="mae"))
    assert len(model.fit(x, y, epochs=2, verbose=0, callbacks=[last]).history["loss"]) == 2
    assert model.evaluate(x, y, verbose=0) == pytest.approx(np.abs(model.predict(x, verbose=0) - y).mean())


def test_callbacks_that_stop():
    stop = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: setattr(stop.model, "stop_training", batch == 1)
    )
    model, recorder = _model(), Recorder()
    history = model.fit(
        np.ones((9, 2)), np.ones((9, 1)), batch_size=2, epochs=3, verbose=0, callbacks=[[stop], recorder]
    )
    assert history.epoch == [0] and ("on_train_batch_end", 1) in recorder.calls
    assert ("on_train_batch_end", 2) not in recorder.calls and recorder.calls[-1] == ("on_train_end",)


def test_in_fit(tmp_path):
    model = _model()
    x, y = np.random.default_rng(0).normal(size=(40, 2)), np.ones((40, 1))
    path = tmp_path / "log.csv"
    best = tmp_path / "folder" / "best.safetensors"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = model.fit(
            x,
            y,
            epochs=30,
            verbose=0,
            validation_split=0.25,
            callbacks=[
                callbacks.EarlyStopping(patience=3, min_delta=1e-3, restore_best_weights=True),
                callbacks.ReduceLROnPlateau(patience=1, factor=0.5),
                callbacks.CSVLogger(path),
                callbacks.ModelCheckpoint(best, save_best_only=True),
            ],
        )
    assert set(history.history) == {"loss", "val_loss", "learning_rate"} and best.exists()
    assert len(path.read_text().splitlines()) == len(history.epoch) + 1
    again = hn.saving.load_model(best)
    expected = min(history.history["val_loss"])
    assert again.evaluate(x[30:], y[30:], verbose=0) == pytest.approx(expected, rel=1e-4)


def test_list():
    history = callbacks.History()
    listed = callbacks.CallbackList([history], add_history=True, add_progbar=True, model=_model(), verbose=0, epochs=1)
    assert [type(c).__name__ for c in listed.callbacks] == ["History", "ProgbarLogger"]
    recorder = Recorder()
    listed.append(recorder)
    listed.on_train_batch_end(3, {"loss": 1.0})
    assert recorder.calls == [("on_train_batch_end", 3)]
    model = _model()
    model.fit(
        np.ones((2, 2)), np.ones((2, 1)), callbacks=callbacks.CallbackList([recorder], add_history=True, model=model)
    )
    assert model.history.epoch == [0]


def test_progress(capsys):
    model = _model()
    x, y = np.ones((5, 2)), np.ones((5, 1))
    model.fit(x, y, epochs=2, batch_size=2, verbose=2, validation_data=(x, y))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1].startswith("Epoch 2/2 - 3/3 - ")
    assert "loss: " in lines[0] and "val_loss: " in lines[0]
    model.fit(x, y, verbose="auto")  # no terminal: a line
    assert capsys.readouterr().out.startswith("1/1 - ")
    model.evaluate(x, y, verbose=2)
    assert "loss: " in capsys.readouterr().out
    model.fit(x, y, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x)
    model.predict(x, batch_size=2)
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


def test_progress_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("hypernet.callbacks.progress.has_display", lambda: True)
    model = _model()
    model.fit(np.ones((5, 2)), np.ones((5, 1)), epochs=2, batch_size=2)
    captured = capsys.readouterr()
    assert captured.out == "" and "Epoch 2/2" in captured.err and "loss=" in captured.err and "3/3" in captured.err
    with pytest.raises(ZeroDivisionError):
        model.fit(
            np.ones((5, 2)),
            np.ones((5, 1)),
            callbacks=[callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: 1 / 0)],
        )


@pytest.mark.parametrize(
    ("config", "display"),
    [({"IPKernelApp": {"connection_file": "kernel.json"}}, True), ({"TerminalIPythonApp": {}}, False)],
)
def test_progress_knows_notebooks(config, display, monkeypatch, capsys):
    """A kernel's output is no terminal, but shows a bar; IPython without a kernel is a terminal or nothing."""
    shell = types.SimpleNamespace(config=config)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    _model().fit(np.ones((5, 2)), np.ones((5, 1)), batch_size=2, epochs=2)
    captured = capsys.readouterr()
    assert ("3/3" in captured.err) == display
    assert (captured.out == "") == display
