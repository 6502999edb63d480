"""`HyperparameterLogger` logs what the steps used, and the progress bar shows the rate of a running cycle."""

import csv
import re

import keras
import numpy as np
import pytest

import onecycle
from onecycle.hyperparameters.logger import HyperparameterLogger

pytestmark = pytest.mark.one_backend

STEPS, EPOCHS = 5, 3


def model_with(optimizer):
    """Return a model whose only weight is its loss, so that it falls by the learning rate in each step."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs))
    model.compile(optimizer, loss=lambda y, prediction: prediction)
    return model


def fit(model, *callbacks, verbose=0, epochs=EPOCHS):
    """Train some epochs of five steps."""
    x = np.ones((4 * STEPS, 1), "float32")
    return model.fit(x, x, batch_size=4, epochs=epochs, verbose=verbose, callbacks=list(callbacks))


def events(folder):
    """Return scalar name -> {step: value}, read by TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    tensors = read.Tags()["tensors"]
    return {tag: {event.step: float(event.tensor_proto.float_val[0]) for event in read.Tensors(tag)} for tag in tensors}


def test_history_has_the_values_of_the_last_step_of_each_epoch():
    """In three epochs, the rate and momentum of a cycle are logged at the steps T/3 - 1, 2T/3 - 1 and T - 1."""
    model = model_with(keras.optimizers.SGD(0.3, momentum=0.5))
    history = fit(model, onecycle.OneCycleScheduler(0.1), HyperparameterLogger()).history
    schedule = onecycle.OneCycle(0.1, EPOCHS * STEPS)
    ends = np.arange(1, EPOCHS + 1) * STEPS - 1
    np.testing.assert_allclose(history["learning_rate"], schedule.values()[ends], rtol=1e-6)
    momentum = schedule.momentum(high=0.95, low=0.85).values()
    np.testing.assert_allclose(history["momentum"], momentum[ends], rtol=1e-6)
    assert "weight_decay" not in history


def test_plain_numbers_and_keras_schedules():
    """Without a cycle, the optimizer's own rate is logged, and Adam's beta_1 as momentum."""
    adam = keras.optimizers.AdamW(0.02, beta_1=0.8, weight_decay=0.004)
    history = fit(model_with(adam), HyperparameterLogger()).history
    assert history["learning_rate"] == pytest.approx([0.02] * EPOCHS)
    assert history["momentum"] == pytest.approx([0.8] * EPOCHS)
    assert history["weight_decay"] == pytest.approx([0.004] * EPOCHS)
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, STEPS, 0.5)
    history = fit(model_with(keras.optimizers.SGD(decay)), HyperparameterLogger()).history
    expected = [0.1 * 0.5 ** ((STEPS * n - 1) / STEPS) for n in range(1, EPOCHS + 1)]
    assert history["learning_rate"] == pytest.approx(expected)


def test_a_rate_that_changes_between_epochs():
    """If a callback lowers the rate at the end of an epoch, that epoch is logged with the old rate, in any order."""
    for order in (slice(None), slice(None, None, -1)):
        lower = keras.callbacks.LambdaCallback()
        model = model_with(keras.optimizers.SGD(0.8))
        lower.on_epoch_end = lambda epoch, logs=None, model=model: model.optimizer.learning_rate.assign(0.4 / 2**epoch)
        history = fit(model, *[lower, HyperparameterLogger()][order]).history
        assert history["learning_rate"] == pytest.approx([0.8, 0.4, 0.2])


def test_callbacks_before_it_in_the_list_see_the_values(tmp_path):
    """`CSVLogger` writes the columns even if it is the first callback."""
    log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    fit(model_with(keras.optimizers.SGD(0.25)), log, HyperparameterLogger())
    with (tmp_path / "log.csv").open() as file:
        assert [float(row["learning_rate"]) for row in csv.DictReader(file)] == [0.25] * EPOCHS


def test_event_file_has_every_step(tmp_path):
    """The event file has the rate of each step, and their sum is the distance that the weight has moved."""
    model = model_with(keras.optimizers.SGD(0.3))
    fit(model, HyperparameterLogger(tmp_path), onecycle.OneCycleScheduler(0.1))
    rates = events(tmp_path)["hyperparameters/learning_rate"]
    assert sorted(rates) == list(range(EPOCHS * STEPS))
    schedule = onecycle.OneCycle(0.1, EPOCHS * STEPS).values()
    np.testing.assert_allclose([rates[step] for step in sorted(rates)], schedule, rtol=1e-6)
    assert -model.get_weights()[0].item() == pytest.approx(sum(rates.values()), rel=1e-5)


def test_event_file_continues_in_a_second_fit(tmp_path):
    """A second `fit` continues the steps of the first."""
    model = model_with(keras.optimizers.Adam(0.3))
    for _ in range(2):
        fit(model, HyperparameterLogger(tmp_path), epochs=1)
    found = events(tmp_path)
    assert sorted(found) == ["hyperparameters/learning_rate", "hyperparameters/momentum"]
    assert sorted(found["hyperparameters/momentum"]) == list(range(2 * STEPS))


def test_without_tensorboard_the_error_names_the_package(tmp_path, monkeypatch):
    """The error is raised before training, and only if there is a `log_dir`."""
    monkeypatch.setitem(__import__("sys").modules, "tensorboard.summary", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        fit(model_with("sgd"), HyperparameterLogger(tmp_path))
    assert "learning_rate" in fit(model_with("sgd"), HyperparameterLogger()).history


def test_progress_bar_shows_the_rate(capsys):
    """Keras' progress bar shows the rate of the cycle while it runs, and not in the next `fit`."""
    model = model_with(keras.optimizers.SGD(0.3))
    fit(model, onecycle.OneCycleScheduler(0.1), verbose=1)
    rates = onecycle.OneCycle(0.1, EPOCHS * STEPS).values()
    # On a busy machine the bar is some batches late, so any step may be the last one that it shows.
    shown = set(re.findall(r"learning_rate: ([0-9.e-]+)", capsys.readouterr().out))
    assert shown
    assert shown <= {f"{rate:.4f}" if rate > 1e-3 else f"{rate:.4e}" for rate in rates}
    fit(model, verbose=1)
    assert "learning_rate" not in capsys.readouterr().out


def test_nothing_runs_per_batch_without_a_bar():
    """With `verbose=0` or 2 no callback of onecycle has a batch hook."""
    hooked = []

    class Looking(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            from onecycle.keras_support.callback_list import fit_callbacks

            for one in fit_callbacks(self):
                hooked.extend(name for name in vars(one) if "batch" in name)

    for verbose in (0, 2):
        callbacks = onecycle.OneCycleScheduler(0.1), HyperparameterLogger(), Looking()
        fit(model_with("sgd"), *callbacks, verbose=verbose)
        hooks = "on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"
        plain = keras.callbacks.Callback
        assert all(getattr(type(one), hook) is getattr(plain, hook) for one in callbacks for hook in hooks)
    assert hooked == []
