"""A range test leaves no trace: training after it gives the same bits as training without it."""

import functools

import keras
import numpy as np
import pytest
from oracles import states

import onecycle
from onecycle.keras_support.loss_capture import LossRecorder

EPOCHS = 3  # of 17 steps, the last batch short: 51 steps


def sgd():
    """Return SGD with momentum."""
    return keras.optimizers.SGD(0.05, momentum=0.9)


def sgd_averaged():
    """Return SGD with moving averages of the weights, which replace the weights when training ends."""
    return keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True, ema_momentum=0.9)


def loss_scaled():
    """Return SGD with loss scaling."""
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05, momentum=0.9))


def adam():
    """Return Adam."""
    return keras.optimizers.Adam(0.01)


def data(rows=262):
    """Return arrays that a small network can learn."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(rows, 4)).astype("float32")
    return x, (np.sin(x[:, :1]) + x[:, 1:2]).astype("float32")


def make(optimizer, loss="mse"):
    """Return a small model with all kinds of state: weights, BatchNormalization, a seed, metrics and an optimizer."""
    states.seed(7)
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(1)]
    )
    model.compile(optimizer(), loss, metrics=["mae"])
    return model


def prepare(model, prior):
    """Return a new model in the state in which the range test begins."""
    if prior == "built":
        model.optimizer.build(model.trainable_variables)
    elif prior == "trained":
        model.fit(*data(), batch_size=32, epochs=1, verbose=0)
    return model


def train(model):
    """Return the state after 51 steps."""
    model.fit(*data(), batch_size=16, epochs=EPOCHS, verbose=0)
    return states.of_model(model)


@functools.cache
def without_a_test(optimizer, prior):
    """Return the state after training without a range test, and the next random numbers."""
    return train(prepare(make(optimizer), prior)), states.draws()


def find(model, **options):
    """Run a range test that diverges."""
    arguments = {"x": data()[0], "y": data()[1], "batch_size": 16, "num_steps": 60, "verbose": 0, **options}
    return onecycle.find_learning_rate(model, arguments.pop("x"), arguments.pop("y"), **arguments)


@pytest.mark.parametrize(("optimizer", "prior"), [(sgd, "fresh"), (sgd, "trained"), (adam, "fresh"), (adam, "built")])
def test_training_after_a_test_is_the_same(optimizer, prior):
    """After 51 steps every variable, and every next random number, is the same with and without a range test."""
    without, drawn = without_a_test(optimizer, prior)
    model = prepare(make(optimizer), prior)
    before = states.of_model(model)
    result = find(model, seed=11)
    assert len(result.losses) > 20
    assert states.difference(before, states.of_model(model)) == []
    assert model.optimizer.built == (prior != "fresh")
    assert states.difference(without, train(model)) == []
    assert states.draws() == drawn


@pytest.mark.parametrize(("optimizer", "prior"), [(sgd_averaged, "fresh"), (loss_scaled, "trained")])
def test_optimizers_with_more_state_are_restored(optimizer, prior):
    """Moving averages of weights, and the scale and counters of loss scaling, are as without a test."""
    without, drawn = without_a_test(optimizer, prior)
    model = prepare(make(optimizer), prior)
    find(model)
    assert states.difference(without, train(model)) == []
    assert states.draws() == drawn


class Failing(keras.utils.PyDataset):
    """The arrays batch by batch, followed by an error."""

    def __len__(self):
        return 100

    def __init__(self):
        super().__init__()
        self.given = 0

    def __getitem__(self, index):
        self.given += 1
        if self.given == 25:
            raise RuntimeError("no more")
        x, y = data()
        return x[index : index + 16], y[index : index + 16]


def interrupted(where, model, monkeypatch):
    """Run a range test that ends by an exception."""
    calls = []

    def raising(original, at, error):
        def wrapped(*args, **kwargs):
            calls.append(1)
            if len(calls) == at:
                raise error
            return original(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        if where == "data":
            with pytest.raises(Exception, match="no more"):
                find(model, x=Failing(), y=None, batch_size=None)
            return
        target, name, at, options = {
            "step": (keras.Model, "compute_loss", 2 if keras.backend.backend() != "tensorflow" else 1, {}),
            "read": (LossRecorder, "read", 2, {"steps_per_execution": None}),
            "between": (keras.callbacks.CallbackList, "on_train_batch_end", 18, {"steps_per_execution": None}),
            "second": (LossRecorder, "read", 5, {"repeats": 3, "steps_per_execution": None}),
        }[where]
        patch.setattr(target, name, raising(getattr(target, name), at, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            find(model, **options)
        assert len(calls) == at


@pytest.mark.parametrize("where", ["step", "read", "between", "second", "data"])
def test_an_exception_leaves_no_trace(where, monkeypatch):
    """An exception in the compiled step, while reading losses, between steps, in a repeat or in the data is undone."""
    without, drawn = without_a_test(sgd_averaged, "fresh")
    model = make(sgd_averaged)
    before = states.of_model(model)
    interrupted(where, model, monkeypatch)
    assert states.difference(before, states.of_model(model)) == []
    assert "make_train_function" not in vars(model)
    assert states.difference(without, train(model)) == []
    assert states.draws() == drawn


def test_the_attributes_of_the_model_are_restored():
    """History, `stop_training`, compiled functions, steps per execution and the rate are the same objects as before."""
    model = prepare(make(sgd), "trained")
    model.evaluate(*data(), verbose=0)
    model.stop_training = "a value"
    names = "history", "stop_training", "train_function", "test_function", "compute_loss", "steps_per_execution"
    before = {name: getattr(model, name) for name in names}
    attributes = set(vars(model)), set(vars(model.optimizer))
    find(model)
    assert {name: getattr(model, name) for name in names} == before
    assert (set(vars(model)), set(vars(model.optimizer))) == attributes
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)


def test_steps_per_execution_is_restored():
    """A model compiled with four steps per execution has four after a range test with seven."""
    if keras.backend.backend() == "torch":
        pytest.skip("PyTorch allows one")
    model = make(sgd)
    model.steps_per_execution = 4
    find(model, steps_per_execution=7)
    assert model.steps_per_execution == 4
    batches = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch))
    model.fit(*data(), batch_size=16, verbose=0, callbacks=[count])
    assert len(batches) == 5


def test_installed_schedules_continue():
    """Schedules that were installed before the test apply after it, at the same step."""
    trained = []
    for tested in (False, True):
        model = make(adam)
        rate = onecycle.OneCycle(0.05, EPOCHS * 17)
        onecycle.schedule_hyperparameters(model, learning_rate=rate, momentum=rate.momentum())
        if tested:
            find(model)
        trained.append(train(model))
        assert float(model.optimizer.learning_rate) == pytest.approx(rate.values()[-1], rel=1e-5)
    assert states.difference(*trained) == []
