"""Bad input to the public functions and callbacks is an error before anything is trained."""

import re

import keras
import numpy as np
import pytest
from keras.optimizers.schedules import LearningRateSchedule
from oracles import states

import onecycle
from onecycle.suggestions import Suggestion

pytestmark = pytest.mark.one_backend

X, Y = np.ones((64, 4), "float32"), np.ones((64, 1), "float32")
NAN = float("nan")


def network(**compiled):
    """Return a small compiled model."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(**{"optimizer": keras.optimizers.SGD(0.01, momentum=0.9), "loss": "mse", **compiled})
    return model


class NoCall(keras.Model):
    """A model that cannot compute its outputs."""


class NoBatches(keras.utils.PyDataset):
    """A data set of length 0."""

    def __len__(self):
        return 0


class Rates(LearningRateSchedule):
    """A schedule that returns the same object for every step."""

    def __init__(self, value):
        self.value = value

    def __call__(self, step):
        return self.value


class Falling(LearningRateSchedule):
    """A schedule that is negative from some step on."""

    def __call__(self, step):
        return 0.5 - 1.0 * keras.ops.cast(step, "float32")


def frozen(**compiled):
    """Return a compiled model without trainable weights."""
    model = network(**compiled)
    model.trainable = False
    model.compile("sgd", "mse")
    return model


def find(model, x=X, y=Y, **arguments):
    """Run the range test, in as few steps as it takes."""
    return onecycle.find_learning_rate(model, x, y, **{"num_steps": 20, "verbose": 0, **arguments})


def fit(model, x=X, y=Y, **arguments):
    """Train with a cycle of a given peak, unless the arguments say otherwise."""
    return onecycle.fit_one_cycle(model, x, y, **{"epochs": 2, "verbose": 0, "max_learning_rate": 0.01, **arguments})


def fit_auto(model, x=X, y=Y, **arguments):
    """Train with a cycle whose peak has to be found."""
    return fit(model, x, y, max_learning_rate="auto", **arguments)


def with_cycle(model, **arguments):
    """Train in a user's own `fit` with the callback."""
    return model.fit(X, Y, verbose=0, callbacks=[onecycle.OneCycleScheduler(**{"max_learning_rate": 0.1, **arguments})])


def with_finder(model, **arguments):
    """Run the range test in a user's own `fit`."""
    return model.fit(X, Y, epochs=10, verbose=0, callbacks=[onecycle.LearningRateFinder(**arguments)])


FUNCTIONS = {"find": find, "fit": fit, "auto": fit_auto}
# Name -> (arguments, type of the error, a part of its message), for each of the functions above.
ARGUMENTS = {
    "batch size 1.5": ({"batch_size": 1.5}, ValueError, "`batch_size` must be an integer. Received: batch_size=1.5"),
    "batch size True": ({"batch_size": True}, ValueError, "`batch_size` must be an integer. Received: batch_size=True"),
    "batch size NaN": ({"batch_size": NAN}, ValueError, "`batch_size` must be an integer. Received: batch_size=nan"),
    "batch size '32'": ({"batch_size": "32"}, ValueError, "`batch_size` must be an integer. Received: batch_size='32'"),
    "batch size 0": ({"batch_size": 0}, ValueError, "`batch_size` must be >= 1. Received: batch_size=0"),
    "batch size -1": ({"batch_size": -1}, ValueError, "`batch_size` must be >= 1. Received: batch_size=-1"),
    "seed -1": ({"seed": -1}, ValueError, "`seed` must be >= 0. Received: seed=-1"),
    "seed True": ({"seed": True}, ValueError, "`seed` must be an integer. Received: seed=True"),
    "seed 1.5": ({"seed": 1.5}, ValueError, "`seed` must be an integer. Received: seed=1.5"),
    "seed 2**64": ({"seed": 2**64}, ValueError, "`seed` must be <= 4294967295. Received: seed=18446744073709551616"),
    "verbose": (
        {"verbose": "loud"},
        ValueError,
        "`verbose` must be one of (0, 1, 2, 'auto'). Received: verbose='loud'",
    ),
    "class weights in a list": ({"class_weight": [1, 2]}, TypeError, "`class_weight` must be a dict"),
    "class weights by name": ({"class_weight": {"a": 1.0}}, ValueError, "integer labels"),
    "class weight of text": ({"class_weight": {0: "1"}}, ValueError, "`class_weight[0]` must be a finite number"),
    "no x": ({"x": None}, ValueError, "`x` must be training data"),
    "0-d x": ({"x": np.float32(1)}, ValueError, "an array without dimensions"),
    "0-d y": ({"y": np.float32(1)}, ValueError, "an array without dimensions"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, ValueError, "`x` must have at least one row"),
    "no batches": ({"x": NoBatches(), "y": None}, ValueError, "`x` must have at least one batch"),
    "no y": ({"y": None}, ValueError, "`y` must have the targets"),
    "y of another length": ({"y": Y[:10]}, ValueError, "Data cardinality is ambiguous"),
    "no validation x": ({"validation_data": (None, None)}, ValueError, "`validation_data` must be"),
    "no validation rows": ({"validation_data": (X[:0], Y[:0])}, ValueError, "`validation_data` must have at least one"),
    "validation y of another length": ({"validation_data": (X, Y[:5])}, ValueError, "Data cardinality is ambiguous"),
    "unknown argument": ({"random_seed": 1}, TypeError, "Did you mean `seed`?"),
}
FIT_ARGUMENTS = {
    "split 1.5": ({"validation_split": 1.5}, ValueError, "`validation_split` must be < 1"),
    "split -1": ({"validation_split": -1}, ValueError, "`validation_split` must be >= 0"),
    "split of nearly all": ({"validation_split": 0.999}, ValueError, "must leave rows"),
    "initial epoch -1": ({"initial_epoch": -1}, ValueError, "`initial_epoch` must be >= 0"),
    "initial epoch 2": ({"initial_epoch": 2}, ValueError, "`initial_epoch` must be < `epochs`"),
    "no steps": ({"steps_per_epoch": 0}, ValueError, "`steps_per_epoch` must be >= 1"),
    "validation steps": ({"validation_steps": 1.5}, ValueError, "`validation_steps` must be an integer"),
    "validation batch size": ({"validation_batch_size": -1}, ValueError, "`validation_batch_size` must be >= 1"),
    "validation frequency": ({"validation_freq": 0}, ValueError, "`validation_freq` must be >= 1"),
    "shuffle": ({"shuffle": "yes"}, ValueError, "`shuffle` must be True or False"),
    "callback class": ({"callbacks": [keras.callbacks.Callback]}, TypeError, "Pass an instance"),
    "callback name": ({"callbacks": ["EarlyStopping"]}, TypeError, "`callbacks` must be a list of keras callbacks"),
}  # fmt: skip
# For a cycle whose peak has to be found; otherwise the callback raises them.
SCHEDULES = {
    "schedule class": ({"schedule": onecycle.OneCycle}, TypeError, "`schedule` must be a keras LearningRateSchedule"),
    "schedule of another type": ({"schedule": lambda *_: 0.1}, TypeError, "must return a keras LearningRateSchedule"),
    "negative schedule": ({"schedule": lambda *_: Falling()}, ValueError, ">= 0 and finite"),
    "schedule of vectors": ({"schedule": lambda *_: Rates(np.ones(3))}, TypeError, "must return one number"),
    "schedule of NaN": ({"schedule": lambda *_: Rates(NAN)}, ValueError, "Received: nan at step 0"),
    "schedule of None": ({"schedule": lambda *_: Rates(None)}, TypeError, "Received: None"),
}  # fmt: skip
PEAKS = {
    "1e300": (1e300, "limits of float32. Received: max_learning_rate=1e+300"),
    "1e-300": (1e-300, "limits of float32. Received: max_learning_rate=1e-300"),
    "infinite": (float("inf"), "must be a finite number. Received: max_learning_rate=inf"),
    "NaN": (NAN, "must be a finite number. Received: max_learning_rate=nan"),
    "negative": (-0.1, "must be > 0. Received: max_learning_rate=-0.1"),
    "vector": (np.ones(3), "Received: max_learning_rate=<ndarray of shape (3,)>"),
}


def calling(function, **arguments):
    """Return a function that calls one of the functions above with a model."""
    return lambda model: function(model, **arguments)


def scheduling(**values):
    """Return a function that schedules a model."""
    return lambda model: onecycle.schedule_hyperparameters(model, **values)


MORE = {"fit": FIT_ARGUMENTS, "auto": FIT_ARGUMENTS | SCHEDULES}
NOT_ONE_RATE, NOT_FINITE = "`schedule` must", ">= 0 and finite"
# Name -> (call, type of the error, a part of its message). Those of callbacks are raised within `fit`.
CALLS = {
    f"{name}: {case}": (calling(function, **arguments), error, message)
    for name, function in FUNCTIONS.items()
    for case, (arguments, error, message) in (ARGUMENTS | MORE.get(name, {})).items()
} | {
    "fit: peak " + case: (calling(fit, max_learning_rate=peak), ValueError, m) for case, (peak, m) in PEAKS.items()
} | {
    "find: peak " + case: (calling(find, max_learning_rate=peak), ValueError, m) for case, (peak, m) in PEAKS.items()
} | {
    "swapped": (lambda model: onecycle.find_learning_rate(X, model), TypeError, "The model comes first"),
    "schedule: negative": (scheduling(learning_rate=Rates(-1.0)), ValueError, NOT_FINITE),
    "schedule: vector": (scheduling(weight_decay=Rates(np.ones(2))), TypeError, "must return one number"),
    "schedule: momentum of 1": (scheduling(momentum=Rates(1.0)), ValueError, "in [0, 1)"),
    "schedule: text": (scheduling(learning_rate="0.1"), TypeError, "must be a number, a keras LearningRateSchedule"),
    "schedule: 1e300": (scheduling(learning_rate=1e300), ValueError, NOT_FINITE),
    "schedule: unknown": (scheduling(wd=0.1), TypeError, "Did you mean `weight_decay`?"),
    "rule: number": (calling(find, rule=lambda rates, losses: 0.1), TypeError, "must return a Suggestion"),
    "rule: negative": (calling(find, rule=lambda *_: Suggestion(-1.0, "")), ValueError, "must be > 0"),
    "rule: error": (calling(find, rule=lambda rates, losses: {}["x"]), RuntimeError, "raised KeyError: 'x'"),
    "rule: list": (calling(find, rule=["one_cycle"]), ValueError, "`rule` must be one of"),
}  # fmt: skip
CALLBACKS = {
    "negative schedule": (calling(with_cycle, max_learning_rate=None, schedule=Falling()), ValueError, NOT_FINITE),
    "class": (calling(with_cycle, max_learning_rate=None, schedule=onecycle.OneCycle), TypeError, NOT_ONE_RATE),
    "1e300": (calling(with_cycle, max_learning_rate=1e300), ValueError, "limits of float32"),
    "unknown": (calling(with_cycle, pct_start=0.3), TypeError, "pass it as `schedule`"),
    "finder: rule of a number": (calling(with_finder, rule=lambda *_: 0.1), TypeError, "must return a Suggestion"),
    "finder: 1e-300": (calling(with_finder, min_learning_rate=1e-300), ValueError, "limits of float32"),
    "finder: unknown": (calling(with_finder, num_it=100), TypeError, "Did you mean `num_steps`?"),
}


@pytest.mark.parametrize("case", CALLS)
def test_bad_arguments_are_refused_before_training(case):
    """The error has the right type and sentence, `fit` is not reached, and no attribute of the model has changed."""
    call, error, message = CALLS[case]
    model = network()
    before, attributes = states.of_model(model), {**vars(model)}
    with pytest.raises(error, match=re.escape(message)):
        call(model)
    assert states.difference(before, states.of_model(model)) == []
    assert vars(model) == attributes
    assert model.train_function is None


@pytest.mark.parametrize("case", CALLBACKS)
def test_callbacks_refuse_bad_arguments_before_the_first_step(case):
    """The error has the right type and sentence, and the weights and the step counter are unchanged."""
    call, error, message = CALLBACKS[case]
    model = network()
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(error, match=re.escape(message)):
        call(model)
    assert all(np.array_equal(one, other.numpy()) for one, other in zip(before, model.weights, strict=True))
    assert int(model.optimizer.iterations.numpy()) == 0


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the other backends have their own error")
@pytest.mark.parametrize(
    ("function", "arguments"),
    [("find", {}), ("fit", {"steps_per_epoch": 5, "shuffle": False})],
)
def test_data_of_unknown_length_without_a_batch_is_refused(function, arguments):
    """The error says that there is no batch, even if the data has no length."""
    import tensorflow as tf

    none = tf.data.Dataset.from_tensor_slices((X, Y)).batch(32).filter(lambda x, y: False)
    with pytest.raises(ValueError, match="`x` must have at least one batch"):
        FUNCTIONS[function](network(), none, None, **arguments)


MODELS = {
    "None": (lambda: None, TypeError, "`model` must be a compiled keras.Model. Received: model=None"),
    "text": (lambda: "model", TypeError, "Received: model='model'"),
    "array": (lambda: X, TypeError, "Received: model=<ndarray of shape (64, 4)>"),
    "class": (lambda: keras.Sequential, TypeError, "Pass an instance"),
    "optimizer": (keras.optimizers.SGD, TypeError, "`model` must be a compiled keras.Model"),
    "not compiled": (
        lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]),
        ValueError,
        "model.compile(",
    ),
    "no loss": (lambda: network(loss=None), ValueError, "`model` must have a loss"),
    "no call": (lambda: compiled(NoCall()), ValueError, "`model` must have a method `call`"),
    "frozen": (frozen, ValueError, "`model` must have trainable weights"),
}


def compiled(model):
    """Return the model, compiled."""
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("case", MODELS)
def test_models_that_cannot_be_trained_are_refused(case, function):
    """Whatever is given as the model, the error says what is missing; `fit` is not reached."""
    make, error, message = MODELS[case]
    model = make()
    with pytest.raises(error, match=re.escape(message)):
        FUNCTIONS[function](model)
    assert getattr(model, "train_function", None) is None


@pytest.mark.parametrize("make", [frozen, lambda: network(loss=None)])
@pytest.mark.parametrize("train", [with_cycle, with_finder])
def test_callbacks_refuse_such_models_too(make, train):
    """A callback notices when `fit` begins that there is nothing to train, or no loss."""
    model = make()
    with pytest.raises(ValueError, match="`model` must have"):
        train(model)
    assert int(model.optimizer.iterations.numpy()) == 0


def test_a_loss_of_a_layer_is_a_loss():
    """A model without a compiled loss trains on what its layers add."""

    class Penalty(keras.layers.Layer):
        def call(self, inputs):
            self.add_loss(keras.ops.mean(keras.ops.square(inputs)))
            return inputs

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1), Penalty()])
    model.compile("sgd")
    history = fit(model, y=None, epochs=1)
    assert 0 < history.history["loss"][0] < 100


@pytest.mark.parametrize("peak", [np.float32(0.125), np.array(0.125), keras.ops.convert_to_tensor(0.125), 1 / 8])
def test_scalars_of_every_kind_are_numbers(peak):
    """NumPy scalars, 0-d arrays and tensors are taken as the numbers that they hold."""
    assert onecycle.OneCycle(peak, 10) == onecycle.OneCycle(0.125, 10)
    assert onecycle.OneCycleScheduler(peak).max_learning_rate == 0.125
    history = fit(network(), epochs=1, max_learning_rate=peak)
    assert history.onecycle.max_learning_rate == 0.125


def test_a_batch_size_above_the_number_of_rows_is_the_number_of_rows():
    """As in `fit`, such a batch holds all rows; no memory is taken for the missing ones."""
    model = network()
    result, same = (find(model, batch_size=rows, seed=0) for rows in (10**9, 64))
    assert result.losses.tolist() == same.losses.tolist()


def test_a_rule_of_the_user_is_tried_before_the_test():
    """The rule is called on an example with as many steps before the test, and decides after it."""
    curves = []

    def rule(rates, losses):
        curves.append((len(rates), len(losses)))
        return Suggestion(0.25, "Always the same.")

    assert find(network(), rule=rule).learning_rate == 0.25
    assert len(curves) == 2
    assert curves[0] == (20, 20)


def test_weight_decay_can_be_scheduled_on_an_optimizer_without_any():
    """The weights are those of an optimizer that was built with this weight decay."""
    weights = []
    for built_with in (0.5, None):
        keras.utils.set_random_seed(0)
        model = network(optimizer=keras.optimizers.SGD(0.1, weight_decay=built_with))
        if built_with is None:
            onecycle.schedule_hyperparameters(model, weight_decay=0.5)
        model.fit(X, Y, shuffle=False, verbose=0)
        weights.append(keras.ops.convert_to_numpy(model.weights[0]))
    assert np.array_equal(*weights)
