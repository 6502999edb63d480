"""Tests of the errors of `LearningRateFinder`, and of how it restores the model after a failed `fit`."""

import functools

import keras
import numpy as np
import pytest
from oracles import states

import onecycle

pytestmark = pytest.mark.one_backend

BATCH = 16


def arrays():
    """Return ten batches of inputs and targets that a small model can learn."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(10 * BATCH, 4)).astype("float32")
    return x, np.sin(x[:, :1] + x[:, 1:2]).astype("float32")


def dropout_model(optimizer=None):
    """Return a small compiled model with dropout and a built optimizer."""
    states.seed(2)
    layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.1), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(optimizer or keras.optimizers.SGD(0.01, momentum=0.9), "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, callbacks, epochs=20):
    """Train the model with the callbacks."""
    return model.fit(*arrays(), epochs=epochs, callbacks=callbacks, batch_size=BATCH, verbose=0)


def unchanged(before, model):
    """Return whether weights, seed generators and optimizer are those of `before`; `fit` builds the metrics."""
    return states.difference({**before, "metrics": []}, {**states.of_model(model), "metrics": []}) == []


def finder():
    """Return a finder whose range test takes several epochs."""
    return onecycle.LearningRateFinder(num_steps=60)


CONFLICTING = {
    "LearningRateScheduler": lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
    "ReduceLROnPlateau": lambda: keras.callbacks.ReduceLROnPlateau("loss"),
    "OneCycleScheduler": lambda: onecycle.OneCycleScheduler(0.1),
    "LearningRateFinder": finder,
}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("conflicting", CONFLICTING)
def test_conflicting_callbacks_are_refused(conflicting, order):
    """Another callback that sets the learning rate is refused before training, in any order, and nothing changes."""
    model = dropout_model()
    before = states.of_model(model)
    with pytest.raises(ValueError, match=conflicting):
        fit(model, [finder(), CONFLICTING[conflicting]()][::order])
    assert unchanged(before, model)


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_begin", "on_epoch_end"])
def test_a_rate_set_by_another_callback_is_an_error(hook):
    """A rate that another callback sets, which the test would override, is an error that restores the model."""

    class OwnScheduler(keras.callbacks.Callback):
        pass

    model = dropout_model()
    setattr(OwnScheduler, hook, lambda self, *args, **logs: setattr(self.model.optimizer, "learning_rate", 0.5))
    before = states.of_model(model)
    with pytest.raises(
        ValueError, match=r"learning rate .* set to 0.5 \(it was 0.01.*LearningRateFinder.*OwnScheduler"
    ):
        fit(model, [OwnScheduler(), finder()])
    if hook == "on_train_batch_begin":  # the others set the rate also before the test begins or after its end
        assert unchanged(before, model)


def test_model_without_weights_is_refused_on_tensorflow():
    """On TensorFlow a model without weights is refused with advice, and once it is built the finder runs."""
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    if keras.backend.backend() == "tensorflow":
        with pytest.raises(ValueError, match="find_learning_rate"):
            fit(model, [finder()])
        model(arrays()[0][:1])
    tested = finder()
    fit(model, [tested])
    assert len(tested.result.losses) > 20


def test_fit_with_too_few_steps_is_refused():
    """A `fit` of fewer than ten steps is refused, and the error gives the number of steps."""
    model = dropout_model()
    before = states.of_model(model)
    with pytest.raises(ValueError, match=r"at least 10 steps.*has 3"):
        model.fit(*arrays(), batch_size=60, verbose=0, callbacks=[finder()])
    assert unchanged(before, model)


def averaging_model():
    """Return a model whose weights are replaced by their moving averages when training ends."""
    return dropout_model(keras.optimizers.SGD(0.01, momentum=0.9, use_ema=True, ema_momentum=0.9))


@functools.cache
def state_trained_without_a_test():
    """Return the state of the averaging model after two epochs."""
    model = averaging_model()
    fit(model, [], epochs=2)
    return states.of_model(model)


class Interrupter(keras.callbacks.Callback):
    """Raises KeyboardInterrupt in a hook during the ramp."""

    def __init__(self, hook):
        super().__init__()
        self.calls = 0
        failing_call = 2 if "epoch" in hook else 22

        def fail(*args, **kwargs):
            self.calls += 1
            if self.calls == failing_call:
                raise KeyboardInterrupt

        setattr(self, hook, fail)


@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end", "on_epoch_begin", "on_epoch_end"])
def test_error_in_another_callback_restores_the_model(hook):
    """An error in another callback restores the model, and the next `fit` trains as if there had been no range test."""
    expected = state_trained_without_a_test()
    model = averaging_model()
    before = states.of_model(model)
    with pytest.raises(KeyboardInterrupt):
        fit(model, [Interrupter(hook), finder()])
    assert unchanged(before, model)
    fit(model, [], epochs=2)
    assert states.difference(expected, states.of_model(model)) == []


class UnreadableData(keras.utils.PyDataset):
    """Data whose 25th batch, read during the ramp, raises an error."""

    def __init__(self):
        super().__init__()
        self.batches_read = 0

    def __len__(self):
        return 100

    def __getitem__(self, index):
        self.batches_read += 1
        if self.batches_read == 25:
            raise RuntimeError("no more")
        x, y = arrays()
        return x[:BATCH], y[:BATCH]


@pytest.mark.parametrize("next_step", ["plain", "finder", "cycle", "compiled", "unscheduled"])
def test_training_after_failed_data_is_normal(next_step):
    """After data that fails during the ramp, training is that of a fresh model with the same state."""
    model = dropout_model()
    with pytest.raises(Exception, match="no more"):
        model.fit(UnreadableData(), verbose=0, callbacks=[finder()])
    if next_step == "finder":
        again = finder()
        fit(model, [again])
        assert len(again.result.losses) > 20
    elif next_step == "cycle":
        fit(model, [onecycle.OneCycleScheduler(0.02)], epochs=1)
    elif next_step == "compiled":
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", metrics=["mae"])
        fit(model, [], epochs=1)
    elif next_step == "unscheduled":
        onecycle.unschedule_hyperparameters(model)
    fresh = dropout_model()
    fit(fresh, [], epochs=1)
    state = states.of_model(model)
    for variables, values in ((fresh.variables, state["model"]), (fresh.optimizer.variables, state["optimizer"])):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    for one in (model, fresh):
        states.seed(3)  # PyTorch's dropout draws from the global generator
        one.fit(*arrays(), shuffle=False, batch_size=BATCH, verbose=0)
    assert unchanged(states.of_model(fresh), model)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert next_step == "compiled" or not {"compute_loss", "make_train_function"} & set(vars(model))
