"""Tests of models with a custom `train_step`, which may use several optimizers, and of custom training loops."""

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.cycles import STEPS, T, X, Y, compiled, fit, weight_distance
from oracles.own_steps import model_with_own_step

from onecycle import (
    LearningRateFinder,
    OneCycle,
    OneCycleScheduler,
    find_learning_rate,
    fit_one_cycle,
    schedule_hyperparameters,
    unschedule_hyperparameters,
)
from onecycle.engine import train_members

UNUSED = {
    "OneCycleScheduler": lambda model: fit(model, OneCycleScheduler(0.1)),
    "with total_steps": lambda model: fit(model, OneCycleScheduler(0.1, total_steps=50)),
    "fit_one_cycle": lambda model: fit_one_cycle(model, X, Y, epochs=1, max_learning_rate=0.1, verbose=0),
    "fit_one_cycle auto": lambda model: fit_one_cycle(model, X, Y, epochs=1, verbose=0),
    "find_learning_rate": lambda model: find_learning_rate(model, X, Y, num_steps=10, verbose=0),
    "LearningRateFinder": lambda model: fit(model, LearningRateFinder(num_steps=10)),
    "train_members": lambda model: train_members(model, X, Y, members=[0.1], epochs=2),
}


@pytest.mark.parametrize("case", UNUSED)
def test_optimizer_that_makes_no_step_is_an_error(case):
    """If `train_step` does not use the optimizer of `compile`, an error in the first epoch names the other one."""
    model = model_with_own_step(lambda model: [model.own], {"own": keras.optimizers.Adam(0.01)})
    with pytest.raises(ValueError, match=r"\(SGD\) made no step .*schedule_hyperparameters\(model.own"):
        UNUSED[case](model)
    assert "apply" not in vars(model.optimizer)
    assert np.isfinite(model.get_weights()[0]).all()


def test_steps_that_are_not_one_per_batch_need_total_steps():
    """An optimizer that makes two steps per batch is an error without `total_steps` and follows the cycle with it."""
    model = model_with_own_step(lambda model: [model.optimizer] * 2)
    with pytest.raises(ValueError, match=r"SGD made 2 steps in 1 batches.*Pass `total_steps`"):
        fit(model, OneCycleScheduler(0.1))
    model = model_with_own_step(lambda model: [model.optimizer] * 2)
    report = fit(model, OneCycleScheduler(0.1, total_steps=2 * T)).onecycle
    assert (report.steps, report.total_steps) == (2 * T, 2 * T)


def test_fewer_steps_than_batches_need_total_steps(backend):
    """An optimizer that makes a step only in some batches is an error at the end of the first epoch."""
    if backend != "torch":
        pytest.skip("a compiled step would need a condition in the graph")
    batches = iter(range(100))
    model = model_with_own_step(lambda model: [model.optimizer] * (next(batches) % 2 == 0))
    with pytest.raises(ValueError, match=f"made 3 steps in {STEPS} batches"):
        fit(model, OneCycleScheduler(0.1))
    report = fit(model, OneCycleScheduler(0.1, total_steps=7)).onecycle
    assert report.steps in (7, 8)


def test_training_function_is_the_plain_one_after_the_first_epoch():
    """From the second epoch on, no function is wrapped around the compiled step."""
    model, functions = compiled(), []
    fit(model)
    plain = model.train_function
    record = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: functions.append(model.train_function))
    fit(model, OneCycleScheduler(0.1), record)
    assert len({id(function) for function in functions}) == 2
    assert functions[1] is functions[2] is not plain
    assert model.train_function is plain


def test_optimizer_of_a_model_is_scheduled_by_itself(backend):
    """Scheduling an optimizer that a trained model holds changes the model's compiled step, and back."""
    if backend == "jax":
        pytest.skip("on JAX the step's state has only the optimizer of `compile`")
    own = {"own": keras.optimizers.SGD(0.02, momentum=0.9)}
    model = model_with_own_step(lambda model: [model.own], own)
    by_hand = compiled()
    for one in (model, by_hand):
        fit(one)
    cycle = OneCycle(0.1, T, start_step=T)
    assert schedule_hyperparameters(model.own, learning_rate=cycle, momentum=cycle.momentum()) is model.own
    schedule_hyperparameters(by_hand, learning_rate=cycle, momentum=cycle.momentum())
    for one in (model, by_hand):
        fit(one)
    assert weight_distance(model, by_hand) < 1e-6
    unschedule_hyperparameters(model.own)
    unschedule_hyperparameters(by_hand)
    for one in (model, by_hand):
        fit(one, epochs=1)
    assert weight_distance(model, by_hand) < 1e-6


def own_loop(backend, model, optimizer):
    """Return a function that makes a step on a batch, compiled where the backend compiles."""
    variables = model.trainable_variables
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function
        def step(x, y):
            with tf.GradientTape() as tape:
                loss = keras.ops.mean((model(x) - y) ** 2)
            optimizer.apply(tape.gradient(loss, variables), variables)

        return step
    if backend == "torch":

        def step(x, y):
            model.zero_grad()
            keras.ops.mean((model(x) - keras.ops.convert_to_tensor(y)) ** 2).backward()
            optimizer.apply([variable.value.grad for variable in variables], variables)

        return step
    import jax

    optimizer.build(variables)

    @jax.jit
    def compiled_step(trainable, state, x, y):
        def loss_of(values):
            return keras.ops.mean((model.stateless_call(values, [], x)[0] - y) ** 2)

        return optimizer.stateless_apply(state, jax.grad(loss_of)(trainable), trainable)

    state = [[variable.value for variable in variables], [variable.value for variable in optimizer.variables]]

    def step(x, y):
        state[:] = compiled_step(*state, x, y)
        for variable, value in zip([*variables, *optimizer.variables], state[0] + state[1], strict=True):
            variable.assign(value)

    return step


def test_optimizer_of_an_own_loop_is_scheduled_after_steps(backend):
    """An optimizer that has made steps in a custom, compiled loop follows schedules from the next step on, and back."""
    optimizer, model, by_hand = keras.optimizers.SGD(0.02, momentum=0.9), networks.keras_model(0), compiled()
    step = own_loop(backend, model, optimizer)
    batches = networks.batches(1, STEPS)

    def epoch():
        for x, y in batches:
            step(x.astype("float32"), y.astype("float32"))

    epoch()
    fit(by_hand, epochs=1)
    cycle = OneCycle(0.1, STEPS, start_step=STEPS)
    for one in (optimizer, by_hand):
        schedule_hyperparameters(one, learning_rate=cycle, momentum=cycle.momentum())
    epoch()
    fit(by_hand, epochs=1)
    assert weight_distance(model, by_hand) < 1e-6
    for one in (optimizer, by_hand):
        unschedule_hyperparameters(one)
    epoch()
    fit(by_hand, epochs=1)
    assert weight_distance(model, by_hand) < 1e-6
