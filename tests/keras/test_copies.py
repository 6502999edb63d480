"""Tests of copies: of scheduled models and optimizers, and of callbacks, as tuners and scikit-learn make them."""

import copy
import pickle
import threading

import keras
import numpy as np
import pytest
from oracles.cycles import T, X, Y, compiled, fit, scheduled, weight_distance

from onecycle import (
    HyperparameterLogger,
    LearningRateFinder,
    OneCycleScheduler,
    schedule_hyperparameters,
    unschedule_hyperparameters,
)

COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda one: pickle.loads(pickle.dumps(one))}


@pytest.mark.one_backend
@pytest.mark.parametrize("how", COPIES)
def test_a_scheduled_model_is_not_copied_in_silence(how, tmp_path):
    """Copying a scheduled model or its optimizer is an error that says what to do; saving it is not."""
    model = scheduled(compiled())
    fit(model, epochs=1)
    for one in (model, model.optimizer):
        with pytest.raises(ValueError, match=r"SGD has schedules of onecycle.*unschedule_hyperparameters"):
            COPIES[how](one)
    model.save(tmp_path / "model.keras")
    keras.models.clone_model(model)  # a new model, for which Keras does not promise to keep what `compile` was given
    assert model.optimizer.get_config()["momentum"] == 0.9
    assert COPIES[how](unschedule_hyperparameters(model)).optimizer.momentum == 0.9


@pytest.mark.one_backend
def test_an_optimizer_scheduled_before_compile_is_not_copied_in_silence():
    """A model compiled with a scheduled optimizer, also inside a wrapper, cannot be copied either."""
    optimizer = schedule_hyperparameters(keras.optimizers.SGD(0.1), learning_rate=0.2)
    for one in (optimizer, keras.optimizers.LossScaleOptimizer(optimizer)):
        with pytest.raises(ValueError, match="SGD has schedules"):
            copy.deepcopy(compiled(one))


@pytest.mark.one_backend
def test_a_copy_made_during_a_cycle_is_plain():
    """A model that a callback copies during a cycle is plain, as a saved one is, and the cycle continues."""
    copies = []
    take = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: copies.append(copy.deepcopy(model)))
    model, other = compiled(), compiled()
    fit(model, OneCycleScheduler(0.1), take)
    fit(other, OneCycleScheduler(0.1))
    assert weight_distance(model, other) == weight_distance(copies[-1], model) == 0
    assert "apply" not in vars(copies[0].optimizer)
    assert float(copies[0].optimizer.learning_rate) == pytest.approx(0.02)


@pytest.mark.one_backend
@pytest.mark.parametrize("how", COPIES)
def test_a_copied_callback_runs_a_cycle_of_its_own(how):
    """A copy of a callback, made before or after it was used, runs a complete cycle and has no model."""
    callback, logger = OneCycleScheduler(0.1, momentum=(0.9, 0.8)), HyperparameterLogger()
    expected = compiled()
    fresh = COPIES[how](callback)
    fit(expected, callback, logger)
    for one in (fresh, COPIES[how](callback)):
        model = compiled()
        assert one.model is None
        report = fit(model, one).onecycle
        assert (report.steps, report.momentum) == (T, (0.9, 0.8))
        assert weight_distance(model, expected) == 0


@pytest.mark.one_backend
def test_a_copied_finder_is_a_new_one():
    """A copied `LearningRateFinder` has the arguments of the first and finds the same rate."""
    finder = LearningRateFinder(max_learning_rate=5.0, num_steps=12)
    fit(compiled(), finder)
    other = copy.deepcopy(finder)
    assert (other.model, other.max_learning_rate, other.result) == (None, 5.0, finder.result)
    fit(compiled(), other)
    np.testing.assert_array_equal(other.result.losses, finder.result.losses)


class Stop(Exception):
    """Ends a `fit`, as a pruned trial does."""


def fail(*arguments):
    """Raise Stop."""
    raise Stop("stopped by the test")


FAILURES = {
    "callback": lambda model: fit(
        model, OneCycleScheduler(0.1), keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: fail())
    ),
    "data": lambda model: fit(model, OneCycleScheduler(0.1, total_steps=9), x=failing_data(), y=None),
}


def failing_data():
    """Yield a few batches, then fail."""
    for _ in range(3):
        yield X[:16], Y[:16]
    fail()


@pytest.mark.one_backend
@pytest.mark.parametrize("case", FAILURES)
def test_the_rate_is_the_variable_again_after_an_exception(case):
    """After an exception in `fit`, wherever it came from, the learning rate is the optimizer's own and can be set."""
    model, expected = compiled(), compiled()
    with pytest.raises(Exception, match="stopped by the test"):  # TensorFlow raises its own for an error in the data
        FAILURES[case](model)
    model.optimizer.learning_rate.assign(0.005)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.005)
    assert "apply" not in vars(model.optimizer)
    expected.set_weights(model.get_weights())
    expected.optimizer.learning_rate = 0.005
    for one in (model, expected):
        one.compile(keras.optimizers.SGD(float(one.optimizer.learning_rate), momentum=0.9), "mse")
        fit(one)
    assert weight_distance(model, expected) == 0


@pytest.mark.one_backend
def test_another_thread_may_read_the_rate_during_a_cycle():
    """A thread that reads the learning rate while another one trains does not end the cycle."""
    rates = []

    def read(epoch, logs):
        thread = threading.Thread(target=lambda: rates.append(float(model.optimizer.learning_rate)))
        thread.start()
        thread.join()

    model, other = compiled(), compiled()
    fit(model, OneCycleScheduler(0.1), keras.callbacks.LambdaCallback(on_epoch_end=read))
    fit(other, OneCycleScheduler(0.1))
    assert weight_distance(model, other) == 0
    assert len(set(rates)) == len(rates) == 3
