"""`LearningRateFinder` refuses what cannot work before training, and leaves nothing behind when `fit` fails."""

import functools

import keras
import numpy as np
import pytest
from oracles import states

import onecycle

BATCH = 16


def arrays():
    """Inputs and targets that a small network can learn: ten batches."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(10 * BATCH, 4)).astype("float32")
    return x, np.sin(x[:, :1] + x[:, 1:2]).astype("float32")


def network(optimizer=None):
    """A small model with dropout, its optimizer built."""
    states.seed(2)
    layers = [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.1), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(optimizer or keras.optimizers.SGD(0.01, momentum=0.9), "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, callbacks, epochs=20):
    """Train as a person would."""
    return model.fit(*arrays(), epochs=epochs, callbacks=callbacks, batch_size=BATCH, verbose=0)


def unchanged(before, model):
    """Whether weights, seed generators and optimizer are those from before; metrics are built where `fit` begins."""
    return states.difference({**before, "metrics": []}, {**states.of_model(model), "metrics": []}) == []


def finder():
    """A finder whose test takes some epochs."""
    return onecycle.LearningRateFinder(num_steps=60)


RIVALS = {
    "LearningRateScheduler": lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
    "ReduceLROnPlateau": lambda: keras.callbacks.ReduceLROnPlateau("loss"),
    "OneCycleScheduler": lambda: onecycle.OneCycleScheduler(0.1),
    "LearningRateFinder": finder,
}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("rival", RIVALS)
def test_another_callback_that_sets_the_rate_is_refused(rival, order):
    """Before training, whichever of the two comes first; nothing has changed, and each trains alone afterwards."""
    model = network()
    before = states.of_model(model)
    with pytest.raises(ValueError, match=rival):
        fit(model, [finder(), RIVALS[rival]()][::order])
    assert unchanged(before, model)


def test_a_model_without_weights_is_refused_with_advice():
    """Where `fit` itself makes the weights too late to give them back, on TensorFlow, the error says what to do."""
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    if keras.backend.backend() == "tensorflow":
        with pytest.raises(ValueError, match="find_learning_rate"):
            fit(model, [finder()])
        model(arrays()[0][:1])
    tested = finder()
    fit(model, [tested])
    assert len(tested.result.losses) > 20


def test_a_fit_that_is_too_short_is_refused_with_advice():
    """Fewer than ten steps tell nothing; the error says how many there are and what to do."""
    model = network()
    before = states.of_model(model)
    with pytest.raises(ValueError, match=r"at least 10 steps.*has 3"):
        model.fit(*arrays(), batch_size=60, verbose=0, callbacks=[finder()])
    assert unchanged(before, model)


def averaging():
    """A model whose weights are overwritten with their moving averages when training ends."""
    return network(keras.optimizers.SGD(0.01, momentum=0.9, use_ema=True, ema_momentum=0.9))


@functools.cache
def trained_without_a_test():
    """The state of that model after two epochs."""
    model = averaging()
    fit(model, [], epochs=2)
    return states.of_model(model)


class Raising(keras.callbacks.Callback):
    """Fails at a moment in the middle of the ramp."""

    def __init__(self, hook):
        super().__init__()
        self.calls = 0
        at = 2 if "epoch" in hook else 22

        def fail(*args, **kwargs):
            self.calls += 1
            if self.calls == at:
                raise KeyboardInterrupt

        setattr(self, hook, fail)


@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end", "on_epoch_begin", "on_epoch_end"])
def test_an_error_in_another_callback_gives_the_model_back(hook):
    """Weights and optimizer come back at once, and the next `fit` trains as if there had been no test."""
    without = trained_without_a_test()
    model = averaging()
    before = states.of_model(model)
    with pytest.raises(KeyboardInterrupt):
        fit(model, [Raising(hook), finder()])
    assert unchanged(before, model)
    fit(model, [], epochs=2)
    assert states.difference(without, states.of_model(model)) == []


class Failing(keras.utils.PyDataset):
    """Data that cannot be read in the middle of the ramp."""

    def __init__(self):
        super().__init__()
        self.given = 0

    def __len__(self):
        return 100

    def __getitem__(self, index):
        self.given += 1
        if self.given == 25:
            raise RuntimeError("no more")
        x, y = arrays()
        return x[:BATCH], y[:BATCH]


@pytest.mark.parametrize("then", ["plain", "finder", "cycle", "compiled", "unscheduled"])
def test_nothing_is_left_after_data_that_failed(then):
    """Whatever comes next, the training after it goes as that of a model with the same weights and no such past."""
    model = network()
    with pytest.raises(Exception, match="no more"):
        model.fit(Failing(), verbose=0, callbacks=[finder()])
    if then == "finder":
        again = finder()
        fit(model, [again])
        assert len(again.result.losses) > 20
    elif then == "cycle":
        fit(model, [onecycle.OneCycleScheduler(0.02)], epochs=1)
    elif then == "compiled":
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", metrics=["mae"])
        fit(model, [], epochs=1)
    elif then == "unscheduled":
        onecycle.unschedule_hyperparameters(model)
    fresh = network()
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
    assert then == "compiled" or not {"compute_loss", "make_train_function"} & set(vars(model))
