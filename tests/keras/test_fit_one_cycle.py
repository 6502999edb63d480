"""`fit_one_cycle`: find the rate and train with one cycle, in one line."""

import warnings

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.cycles import EPOCHS, STEPS, T, X, Y, apart, compiled, fit

from onecycle import OneCycle, OneCycleScheduler, WarmupLinearDecay, fit_one_cycle
from onecycle.keras_support.input_scaling import not_standardised
from onecycle.tasks import load_task

BATCH = networks.BATCH_SIZE
ROWS = np.random.default_rng(0)


def one_cycle(model, x=X, y=Y, **arguments):
    """Call it in silence and in a fixed order."""
    arguments = {"epochs": EPOCHS, "batch_size": BATCH, "shuffle": False, "verbose": 0, **arguments}
    return fit_one_cycle(model, x, y, **arguments)


def untouched(model):
    """Return whether the model has the weights it began with."""
    return networks.distance(model.get_weights(), networks.initial_weights(0)) == 0


def test_auto_trains_with_the_rate_it_found(capsys):
    """With "auto" History holds the range test and its pick, and training is as with that rate by hand."""
    model, by_hand = compiled(), compiled()
    report = one_cycle(model, seed=3).onecycle
    assert capsys.readouterr().out == ""  # `verbose=0` silences the range test too
    assert report.range_test.learning_rate == report.max_learning_rate
    fit(by_hand, OneCycleScheduler(report.max_learning_rate))
    assert apart(model, by_hand) == 0
    assert report.total_steps == report.steps == T


def test_number_is_the_callback():
    """With a number it trains as the callback does, and runs no range test."""
    model, by_hand = compiled(), compiled()
    report = one_cycle(model, max_learning_rate=0.1, momentum=(0.9, 0.8)).onecycle
    fit(by_hand, OneCycleScheduler(0.1, momentum=(0.9, 0.8)))
    assert apart(model, by_hand) == 0
    assert (report.range_test, report.max_learning_rate, report.momentum) == (None, 0.1, (0.9, 0.8))


def test_schedules():
    """A schedule has its own rates; a callable is given the steps and the peak, a found one too."""
    model, by_hand = compiled(), compiled()
    report = one_cycle(model, schedule=OneCycle(0.2, T)).onecycle
    fit(by_hand, OneCycleScheduler(0.2))
    assert apart(model, by_hand) == 0
    assert (report.range_test, report.max_learning_rate) == (None, None)
    asked = []

    def make(steps, peak):
        asked.append((steps, peak))
        return WarmupLinearDecay(peak, steps)

    one_cycle(compiled(), schedule=make, max_learning_rate=0.05)
    found = one_cycle(compiled(), schedule=make, seed=3).onecycle
    assert asked == [(T, 0.05), (T, found.range_test.learning_rate)]
    assert found.schedule == repr(WarmupLinearDecay(found.max_learning_rate, T))
    assert found.momentum is None


class _Counted:
    """A generator that tells how often it was asked."""

    def __init__(self):
        self.asked = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.asked += 1
        return X[:BATCH], Y[:BATCH]


def test_generators():
    """A generator is refused with "auto", and nothing drawn from it; with a number and `steps_per_epoch` it trains."""
    model, data = compiled(), (pair for pair in _Counted())
    counted = _Counted()
    for generator in (data, counted):
        with pytest.raises(ValueError, match="generator"):
            fit_one_cycle(model, generator, epochs=2, steps_per_epoch=3)
    assert counted.asked == 0
    assert untouched(model)
    history = one_cycle(model, data, None, epochs=2, steps_per_epoch=3, max_learning_rate=0.1, batch_size=None)
    assert history.onecycle.total_steps == history.onecycle.steps == 6


def test_no_suggestion():
    """Where the range test believes no rate the error says why, and the model is untouched."""
    model = compiled()
    before = set(vars(model.optimizer))
    with pytest.raises(ValueError, match="learning rate"):
        one_cycle(model, sample_weight=np.zeros(len(X)))  # the loss is 0 whatever the rate
    assert untouched(model)
    assert set(vars(model.optimizer)) == before
    assert "apply" not in vars(model.optimizer)


def test_callbacks_and_arguments_are_passed_on():
    """A person's callbacks run in their order before ours, once, and `fit`'s other arguments have their effect."""
    seen = []

    class Note(keras.callbacks.Callback):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def on_train_begin(self, logs=None):
            seen.append(self.name)

        def on_train_end(self, logs=None):
            seen.append((self.name, "apply" in vars(self.model.optimizer)))

    model = compiled()
    history = one_cycle(model, max_learning_rate=0.1, callbacks=[Note("a"), Note("b")], validation_split=0.2)
    assert seen == ["a", "b", ("a", True), ("b", True)]
    assert len(history.history["val_loss"]) == EPOCHS
    assert history.onecycle.total_steps == T - EPOCHS
    history = one_cycle(model, max_learning_rate=0.1, callbacks=Note("c"), validation_data=(X, Y), initial_epoch=2)
    assert seen[4:] == ["c", ("c", True)]
    assert len(history.history["val_loss"]) == 1
    assert history.onecycle.total_steps == STEPS


BAD = {
    "epochs": ({"epochs": 0}, "`epochs` must be >= 1"),
    "peak": ({"max_learning_rate": 0}, "`max_learning_rate` must be > 0"),
    "word": ({"max_learning_rate": "best"}, 'a number or "auto"'),
    "both": ({"schedule": OneCycle(0.1, T), "max_learning_rate": 0.1}, "either `schedule` or"),
    "momentum": ({"momentum": (0.8, 0.9)}, r"pair \(high, low\)"),
    "rival": ({"callbacks": [keras.callbacks.ReduceLROnPlateau()]}, "ReduceLROnPlateau"),
    "cycle": ({"callbacks": [OneCycleScheduler(0.1)]}, "Keep one"),
    "batch_size": ({"batch_size": 0}, "`batch_size` must be >= 1"),
    "no data": ({"x": None}, "`x`"),
    "empty": ({"x": X[:0], "y": Y[:0]}, "at least one row"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case):
    """What makes no sense raises before the range test and before training."""
    arguments, message = BAD[case]
    model = compiled()
    with pytest.raises(ValueError, match=message):
        one_cycle(model, **arguments)
    assert untouched(model)
    assert getattr(model, "history", None) is None


def test_optimizer_without_momentum_and_model_not_compiled():
    """A momentum pair for SGD without momentum, and a model that is not compiled, raise before the range test."""
    model = compiled(keras.optimizers.SGD(0.02))
    with pytest.raises(ValueError, match="no velocity"):
        one_cycle(model, momentum=(0.95, 0.85))
    with pytest.raises(ValueError, match="compile"):
        one_cycle(networks.keras_model(0))
    with pytest.raises(TypeError, match="LearningRateSchedule"):
        one_cycle(model, schedule=0.1)


def test_printing(capsys):
    """`verbose=1` shows a bar for the range test, and each epoch begins on a line of its own."""
    one_cycle(compiled(), verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Epoch")] == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]


def network(*layers, shape=(4,)):
    """Return a compiled model that begins with these layers."""
    model = keras.Sequential([keras.Input(shape), *layers, keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-6, momentum=0.9), "mse")
    return model


PIXELS = ROWS.integers(0, 256, (32, 4, 4, 1)).astype("uint8")
WORDS = ROWS.integers(0, 5000, (32, 6))
TABLE = ROWS.normal([400.0, 0.5, 70.0, 12.0], [170.0, 0.1, 28.0, 7.0], (32, 4))
STANDARD = ROWS.normal(size=(32, 4))
PLAIN = {
    "raw pixels": (PIXELS, lambda: network(shape=(4, 4, 1))),
    "raw features": (TABLE, network),
    "raw features in a dict": ({"a": TABLE}, lambda: named(keras.layers.Dense(2))),
}
FINE = {
    "standardised": (STANDARD, network),
    "pixels in [0, 1]": (PIXELS / 255, lambda: network(shape=(4, 4, 1))),
    "with a NaN": (np.where(STANDARD > 1, np.nan, STANDARD), network),
    "text": (np.array([["a b"], ["c"]]), network),
    "words": (WORDS, lambda: network(keras.layers.Embedding(5000, 2), shape=(6,))),
    "words and a table": ({"a": STANDARD, "words": WORDS}, lambda: named(keras.layers.Dense(2), words=True)),
    "rescaled": (PIXELS, lambda: network(keras.layers.Rescaling(1 / 255), shape=(4, 4, 1))),
    "normalised": (TABLE, lambda: network(keras.layers.Normalization(mean=TABLE.mean(0), variance=TABLE.var(0)))),
    "divided": ({"a": TABLE}, lambda: named(lambda x: x / 255.0)),
}


def named(first, *, words=False):
    """Return a functional model of named inputs."""
    inputs = {"a": keras.Input((4,), name="a")}
    ends = [first(inputs["a"])]
    if words:
        inputs["words"] = keras.Input((6,), name="words", dtype="int32")
        ends.append(keras.layers.Flatten()(keras.layers.Embedding(5000, 2)(inputs["words"])))
    end = keras.layers.Concatenate()(ends) if words else ends[0]
    model = keras.Model(inputs, keras.layers.Dense(1)(end))
    model.compile(keras.optimizers.SGD(1e-6, momentum=0.9), "mse")
    return model


@pytest.mark.parametrize("case", PLAIN)
def test_raw_inputs(case):
    """Inputs that are plainly not standardised are told of with the remedy."""
    x, make = PLAIN[case]
    assert "x = (x - x.mean(axis=0)) / x.std(axis=0)" in not_standardised(make(), x)


@pytest.mark.parametrize("case", FINE)
def test_fine_inputs(case):
    """Standardised inputs, words for an Embedding, and inputs that the model scales itself are fine."""
    x, make = FINE[case]
    assert not_standardised(make(), x) is None


def test_warns_once():
    """`fit_one_cycle` warns of raw inputs once, at the line that called it, and of others not at all."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        for x in (TABLE, STANDARD):
            fit_one_cycle(network(), x, np.zeros((32, 1)), epochs=1, max_learning_rate=1e-6, verbose=0)
    assert [(warning.category, warning.filename) for warning in caught] == [(UserWarning, __file__)]
    assert "not standardised" in str(caught[0].message)


def test_boston_housing(data_dir):
    """On Boston Housing twelve epochs of `fit_one_cycle` err at most two thirds as much as predicting the mean does."""
    task = load_task("boston-housing", data_dir=data_dir)
    (x, y), (x_test, y_test) = task.data
    model = task.build(seed=0)
    fit_one_cycle(model, x, y, epochs=12, batch_size=task.batch_size, verbose=0, seed=0)
    mean_error = np.abs(y_test - y.mean()).mean()
    assert model.evaluate(x_test, y_test, verbose=0, return_dict=True)["mae"] < mean_error * 2 / 3


def test_auto_looks_again_wider():
    """A model whose loss shoots up only far above the usual range gets its rate from a second, wider range test."""
    x, y = np.random.default_rng(0).normal(size=(2, 320, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile(keras.optimizers.SGD(momentum=0.9), loss=lambda y, y_pred: 1e-3 * keras.ops.mean((y - y_pred) ** 2))
    history = fit_one_cycle(model, x, y, epochs=1, seed=0, verbose=0)
    assert history.onecycle.range_test.num_steps == 900
    assert history.onecycle.max_learning_rate > 1
