"""Training loops of the user's own: the range test, and the cycle of learning rate and momentum."""

import keras
import numpy as np
import pytest
from oracles import optimizers
from oracles.own_loops import own_step

import onecycle
from onecycle.results import RangeTestLoop, StopReason

STEPS, ROWS = 60, 64
CYCLE = onecycle.OneCycle(0.1, 40)
MOMENTUM = CYCLE.momentum(high=0.95, low=0.85)


def batch(number):
    """Return one of the batches of a linear task."""
    x = np.random.RandomState(number).randn(ROWS, 4).astype("float32")
    return x, x @ np.array([[1.0], [-2.0], [0.5], [3.0]], "float32")


def network():
    """Return a small network, with the same weights each time."""
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, "tanh"), layers.BatchNormalization(), layers.Dense(1)])
    for number, weight in enumerate(model.trainable_weights):
        weight.assign(0.5 * np.random.RandomState(number).randn(*weight.shape))
    return model


def suggested_rates(result):
    """Return rule -> the learning rate that it suggests, NaN for none."""
    return {name: suggestion.learning_rate or np.nan for name, suggestion in result.suggestions.items()}


def test_range_test_is_that_of_find_learning_rate():
    """With the same batches, the losses, the end and the learning rates are those of the built-in range test."""
    model = network()
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    batches = (batch(number) for number in range(STEPS))  # `fit` would shuffle arrays
    expected = onecycle.find_learning_rate(model, batches, num_steps=STEPS, verbose=0)

    test = RangeTestLoop(num_steps=STEPS)
    step = own_step(network(), keras.optimizers.SGD(momentum=0.9))
    for number, learning_rate in enumerate(test):
        test.record(step(*batch(number), learning_rate))
    result = test.result()

    assert expected.stop_reason is result.stop_reason is StopReason.DIVERGED
    assert len(result.losses) == len(expected.losses)
    # Rounding grows with the loss once it diverges.
    assert result.losses[:-8] == pytest.approx(expected.losses[:-8], rel=1e-3)
    assert suggested_rates(result) == pytest.approx(suggested_rates(expected), rel=0.02, nan_ok=True)
    assert suggested_rates(result)["blow_up"] > 1e-3


def test_range_test_follows_the_rates_it_hands_out():
    """One step of gradient descent changes the weight by the rate times the gradient, at every rate of the test."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    step, test = own_step(model, keras.optimizers.SGD(0.5)), RangeTestLoop(1e-4, 1e-1, 20)
    x, y = np.ones((4, 1), "float32"), np.zeros((4, 1), "float32")
    weight = 1.0
    for learning_rate in test:
        test.record(step(x, y, learning_rate))
        assert test.result().losses[-1] == pytest.approx(weight**2, rel=1e-4)
        weight -= learning_rate * 2 * weight


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_cycle_in_an_own_loop(name):
    """Learning rate and momentum are cycled: the weights are those of a float64 transcription of the optimizer."""
    config = {"momentum": 0.9} if name == "SGD" else {}
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, use_bias=False)])
    model.trainable_weights[0].assign(np.full((4, 1), 0.1))
    optimizer = getattr(keras.optimizers, name)(0.5, **config)
    onecycle.schedule_hyperparameters(optimizer, learning_rate=CYCLE, momentum=MOMENTUM)
    step = own_step(model, optimizer)

    oracle, weights = optimizers.make(name, **config), [np.full((4, 1), 0.1)]
    for number in range(40):
        x, y = batch(number)
        step(x, y)
        gradient = 2 * x.T.astype(float) @ (x @ weights[0] - y) / ROWS
        weights = oracle.step(weights, [gradient], CYCLE.value_at(number), MOMENTUM.value_at(number))
    step.finish()

    assert keras.ops.convert_to_numpy(model.trainable_weights[0]) == pytest.approx(weights[0], rel=1e-3, abs=1e-4)
    assert int(optimizer.iterations) == 40


def test_schedules_reach_a_loop_that_is_compiled_already():
    """A loop that has made steps is traced again when its optimizer is scheduled, and once more when it is not."""
    optimizer = keras.optimizers.SGD(0.0, momentum=0.9)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    step = own_step(model, optimizer)
    x, y = np.ones((4, 1), "float32"), np.zeros((4, 1), "float32")
    losses = [step(x, y) for _ in range(2)]
    onecycle.schedule_hyperparameters(optimizer, learning_rate=0.1, momentum=0.0)
    losses += [step(x, y) for _ in range(2)]
    onecycle.unschedule_hyperparameters(optimizer)
    losses += [step(x, y) for _ in range(2)]

    # With a rate of 0.1 and no momentum the weight is multiplied by 0.8; afterwards the velocity alone moves it.
    moved = 0.8**2 + 0.9 * (0.8**2 - 0.8)
    assert list(map(keras.ops.convert_to_numpy, losses)) == pytest.approx([1, 1, 1, 0.8**2, 0.8**4, moved**2], rel=1e-5)


def test_epoch_of_a_fit_and_an_own_loop_continue_one_cycle():
    """The schedule counts the steps of the optimizer, whoever makes them."""
    model = network()
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), "mse")
    onecycle.schedule_hyperparameters(model, learning_rate=CYCLE, momentum=MOMENTUM)
    model.fit(*batch(0), batch_size=4, steps_per_epoch=15, verbose=0)
    step = own_step(model, model.optimizer)
    for number in range(15, 20):
        step(*batch(number))
    step.finish()

    assert int(model.optimizer.iterations) == 20
    assert float(model.optimizer.learning_rate) == pytest.approx(CYCLE.value_at(20), rel=1e-5)
