"""Schedules in wrapped optimizers, and together with clipping, averaging, constraints and regularisers."""

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.scheduled import CYCLE, compiled, fit, read, sgd, unchanged

import onecycle
from onecycle.hyperparameters.plans import ScaledSchedule

# Keras 3.15 reads variables in a way that NumPy 2 deprecates. onecycle has no part in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

needs_multi_optimizer = pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="new in Keras 3.15")


def test_the_optimizer_inside_a_loss_scale_optimizer_is_scheduled():
    """The optimizer inside a LossScaleOptimizer is scheduled, and the wrapper returns its learning rate."""
    inner = keras.optimizers.SGD(0.5, momentum=0.9)
    model = compiled(keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0))
    onecycle.schedule_hyperparameters(model, learning_rate=CYCLE, momentum=CYCLE.momentum())
    assert read(model) == pytest.approx(0.01)
    fit(model, 6)
    assert networks.distance(model.get_weights(), sgd(momentum=CYCLE.momentum())) < 1e-5
    onecycle.unschedule_hyperparameters(model)
    assert read(model) == 0.5


@needs_multi_optimizer
def test_multi_optimizer_with_a_schedule_inside_is_refused():
    """An inner optimizer with a schedule has no proportion to the others, and the error says so."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.5)
    inner = keras.optimizers.SGD(schedule, momentum=0.9), keras.optimizers.Adam(0.1)
    optimizer = multi(*inner)
    with unchanged(*inner), pytest.raises(ValueError, match=r"only if each is a number.*one by one"):
        onecycle.schedule_hyperparameters(optimizer, learning_rate=CYCLE)
    onecycle.schedule_hyperparameters(optimizer, momentum=0.5)  # without the learning rates


@needs_multi_optimizer
def test_multi_optimizer_refuses_as_a_whole():
    """If one inner optimizer has no momentum, none is changed."""
    inner = keras.optimizers.SGD(0.5, momentum=0.9), keras.optimizers.Adagrad(0.1)
    with unchanged(*inner), pytest.raises(ValueError, match="Adagrad has no `momentum`"):
        onecycle.schedule_hyperparameters(multi(*inner), learning_rate=CYCLE, momentum=0.5)


@needs_multi_optimizer
def test_multi_optimizer_that_is_not_built():
    """A MultiOptimizer that selects its optimizers when it is built is refused before, and accepted afterwards."""
    inner = keras.optimizers.SGD(0.5, momentum=0.9)
    model = compiled(keras.optimizers.MultiOptimizer(lambda variable: inner))
    with pytest.raises(ValueError, match=r"Call `optimizer\.build"):
        onecycle.schedule_hyperparameters(model, learning_rate=CYCLE)
    model.optimizer.build(model.trainable_variables)
    onecycle.schedule_hyperparameters(model, learning_rate=CYCLE, momentum=CYCLE.momentum())
    fit(model, 6)
    assert networks.distance(model.get_weights(), sgd(momentum=CYCLE.momentum())) < 1e-5


@needs_multi_optimizer
def test_multi_optimizer_that_has_made_steps():
    """A `MultiOptimizer` follows schedules after steps too, even with an inner optimizer that has no variables."""
    models = []
    for by_itself in (True, False):
        model = networks.keras_model(seed=0)
        chosen = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.5))
        chosen["nowhere"] = keras.optimizers.Adam(0.1)
        model.compile(keras.optimizers.MultiOptimizer(chosen), "mse")
        fit(model, 2)
        onecycle.schedule_hyperparameters(model.optimizer if by_itself else model, learning_rate=CYCLE)
        fit(model, 2)
        models.append(model)
    assert networks.distance(*(model.get_weights() for model in models)) == 0


@needs_multi_optimizer
def test_proportion_of_a_schedule_of_keras():
    """A schedule of Keras is scaled for an inner optimizer with a lower rate."""
    inner = keras.optimizers.SGD(0.5), keras.optimizers.Adam(0.125)
    optimizer = multi(*inner)
    onecycle.schedule_hyperparameters(
        optimizer, learning_rate=keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    )
    assert [float(one.learning_rate) for one in inner] == pytest.approx([0.1, 0.025])
    scaled = ScaledSchedule(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5), 0.25)
    assert scaled.value_at(10) == pytest.approx(0.0125)


def test_frozen_layers_stay():
    """A frozen layer keeps its weights while the other layers are trained with the schedule."""
    model = networks.keras_model(seed=0)
    model.layers[0].trainable = False
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), "mse")
    onecycle.schedule_hyperparameters(model, learning_rate=CYCLE, momentum=CYCLE.momentum())
    fit(model, 6)
    start = networks.initial_weights(0)
    assert networks.distance(model.get_weights()[:2], start[:2]) == 0
    assert networks.distance(model.get_weights(), sgd(momentum=CYCLE.momentum(), frozen=2)) < 1e-5


@pytest.mark.parametrize("extra", [{"clipnorm": 0.5}, {"clipvalue": 0.05}, {"global_clipnorm": 0.5}])
def test_clipping_keeps_working(extra):
    """The scheduled step uses the clipped gradients."""
    model = compiled(keras.optimizers.SGD(0.5, momentum=0.9, **extra))
    onecycle.schedule_hyperparameters(model, learning_rate=CYCLE, momentum=CYCLE.momentum())
    fit(model, 6)
    expected = sgd(momentum=CYCLE.momentum(), change=clipped(**extra))
    assert networks.distance(model.get_weights(), expected) < 1e-5
    assert networks.distance(expected, sgd(momentum=CYCLE.momentum())) > 1e-3


def test_averaged_weights_keep_working():
    """With `use_ema` the weights after `fit` are the moving average of the oracle's weights."""
    model = compiled(keras.optimizers.SGD(0.5, momentum=0.9, use_ema=True, ema_momentum=0.75))
    onecycle.schedule_hyperparameters(model, learning_rate=CYCLE, momentum=CYCLE.momentum())
    fit(model, 6)
    passed = []
    sgd(momentum=CYCLE.momentum(), passed=passed)
    average = passed[0]
    for weights in passed[1:]:
        average = [0.75 * old + 0.25 * new for old, new in zip(average, weights, strict=True)]
    assert networks.distance(model.get_weights(), average) < 1e-5
    assert networks.distance(average, passed[-1]) > 1e-3


def test_constraints_and_regularisers_keep_working():
    """A constraint holds after every scheduled step, and the step uses the gradient of a regulariser."""
    model = keras.Sequential(
        [
            keras.Input((networks.INPUTS,)),
            keras.layers.Dense(networks.UNITS, activation="tanh", kernel_constraint=keras.constraints.NonNeg()),
            keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.25)),
        ]
    )
    model.set_weights([np.abs(weight) for weight in networks.initial_weights(0)])
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), "mse")
    onecycle.schedule_hyperparameters(model, learning_rate=CYCLE, momentum=CYCLE.momentum())
    fit(model, 6)

    def regularised(gradients, weights):
        return [g + 0.5 * w if i == 2 else g for i, (g, w) in enumerate(zip(gradients, weights, strict=True))]

    expected = sgd(
        momentum=CYCLE.momentum(),
        start=[np.abs(weight) for weight in networks.initial_weights(0)],
        change=regularised,
        constrain=lambda weights: [np.maximum(weights[0], 0), *weights[1:]],
    )
    assert networks.distance(model.get_weights(), expected) < 1e-5
    assert (expected[0] == 0).any(), "the constraint never had an effect, so the agreement does not test it"


def multi(first, second):
    """Return a MultiOptimizer of two optimizers."""
    return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(first, {"second/.*": second}))


def clipped(clipnorm=None, clipvalue=None, global_clipnorm=None):
    """Return gradient clipping as Keras defines it."""

    def change(gradients, weights):
        if clipvalue:
            return [np.clip(g, -clipvalue, clipvalue) for g in gradients]
        norms = [np.linalg.norm(g) for g in gradients]
        if global_clipnorm:
            norms = [np.sqrt(sum(norm**2 for norm in norms))] * len(gradients)
        most = clipnorm or global_clipnorm
        return [g * min(1.0, most / norm) for g, norm in zip(gradients, norms, strict=True)]

    return change
