"""The private names of Keras' optimizers still mean what they meant; see test_keras_internals.py."""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import networks
from oracles.small_fits import compiled, fit, read, step

from onecycle.keras_support.attributes import set_quietly, unset_quietly
from onecycle.keras_support.optimizers import (
    all_optimizers,
    inner_optimizers,
    learning_rate_setting,
    own_learning_rate,
    raw_step,
    skip_averages_once,
)

# Keras 3.15's own way of reading a variable trips over NumPy 2's protocol; nothing of ours is in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

needs_multi_optimizer = pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="new in Keras 3.15")


def test_optimizer_iterations():
    """`_iterations` counts micro-batches, `iterations` updates, and a schedule is called with the first."""
    seen = []

    class Seeing(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            seen.append(step)
            return 0.1

    optimizer = keras.optimizers.SGD(Seeing(), gradient_accumulation_steps=2)
    step(optimizer, times=3)
    assert read(optimizer._iterations) == raw_step(optimizer) == 3
    assert int(ops.convert_to_numpy(optimizer.iterations)) == 1
    assert all(counter is optimizer._iterations for counter in seen)
    assert seen


def test_optimizer_learning_rate_setting():
    """`_learning_rate` is a variable for a number, and else the very schedule the optimizer was given."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    number = learning_rate_setting(keras.optimizers.SGD(0.25))
    assert read(number) == 0.25
    assert hasattr(number, "assign")
    assert learning_rate_setting(keras.optimizers.SGD(schedule)) is schedule


def test_optimizer_asks_itself_for_the_current_learning_rate():
    """`learning_rate`, and the step, take what the instance's `_get_current_learning_rate` returns."""
    optimizer, variable = keras.optimizers.SGD(0.25), keras.Variable(np.ones(2), dtype="float32")
    set_quietly(optimizer, _get_current_learning_rate=lambda: 0.5)
    assert optimizer.learning_rate == 0.5
    optimizer.apply([ops.ones(2)], [variable])
    assert read(variable).tolist() == [0.5, 0.5]
    assert read(own_learning_rate(optimizer)) == 0.25


@pytest.mark.parametrize("wrapped", [False, True])
def test_optimizer_steps_go_through_the_instances_apply(wrapped):
    """A compiled step calls `apply` of the optimizer instance, inside a LossScaleOptimizer too."""
    inner = keras.optimizers.SGD(0.0)
    model = compiled(keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0) if wrapped else inner)
    apply, calls = inner.apply, []
    set_quietly(inner, apply=lambda *args, **kwargs: (calls.append(inner._iterations.value), apply(*args, **kwargs))[1])
    fit(model)
    assert calls
    assert raw_step(model.optimizer) == 1


@pytest.mark.parametrize("name", ["momentum", "beta_1", "weight_decay"])
def test_hyperparameters_are_read_from_the_instance_at_each_step(name):
    """What is set on the instance past Keras' tracking is what the next step uses, and is no variable."""
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9) if name == "momentum" else keras.optimizers.AdamW(0.5)
    other = type(optimizer).from_config(optimizer.get_config())
    variables = keras.Variable(np.ones(2), dtype="float32"), keras.Variable(np.ones(2), dtype="float32")
    for one, variable in zip((optimizer, other), variables, strict=True):
        one.apply([ops.convert_to_tensor([1.0, -2.0])], [variable])
    before = len(optimizer.variables)
    set_quietly(optimizer, **{name: ops.convert_to_tensor(0.125)})
    for one, variable in zip((optimizer, other), variables, strict=True):
        one.apply([ops.convert_to_tensor([-1.0, 1.0])], [variable])
    assert np.abs(read(variables[0]) - read(variables[1])).max() > 1e-3
    assert len(optimizer.variables) == before


def test_attributes_set_quietly_are_not_tracked():
    """A variable set through `vars` is no state of an optimizer, as one that is assigned is."""
    optimizer = keras.optimizers.SGD()
    before = len(optimizer.variables)
    set_quietly(optimizer, held=keras.Variable(1.0))
    assert len(optimizer.variables) == before
    unset_quietly(optimizer, "held", "never there")
    optimizer.held = keras.Variable(1.0)
    assert len(optimizer.variables) == before + 1


def test_inner_optimizer_of_loss_scaling():
    """`inner_optimizer` is the one that does the work, and the wrapper's own counter stays at 0."""
    inner = keras.optimizers.SGD(0.25)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0)
    fit(compiled(optimizer))
    assert inner_optimizers(optimizer) == (inner,)
    assert (read(optimizer._iterations), raw_step(optimizer)) == (0, 1)


@needs_multi_optimizer
def test_optimizers_of_a_multi_optimizer():
    """`optimizers` are those that do the work, and `_iterations` of the whole counts where an idle one does not."""
    inner, idle = keras.optimizers.SGD(0.25), keras.optimizers.Adam(0.25)
    optimizer = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(inner, {"nowhere": idle}))
    step(optimizer)
    assert set(inner_optimizers(optimizer)) == {inner, idle}
    assert [read(one._iterations) for one in (optimizer, inner, idle)] == [1, 1, 0]
    assert raw_step(optimizer) == 1


@needs_multi_optimizer
def test_map_of_an_unbuilt_multi_optimizer():
    """`_optimizer_map` called with a variable gives its optimizer, before `optimizers` knows of it."""
    inner = keras.optimizers.SGD(0.25)
    model = compiled(keras.optimizers.MultiOptimizer(lambda variable: inner))
    assert model.optimizer.optimizers == []
    assert all_optimizers(model) == [model.optimizer, inner]


def test_averages_are_written_by_finalize_variable_values():
    """`fit` ends by calling `finalize_variable_values` of the optimizer instance, once."""
    model = compiled(keras.optimizers.SGD(0.05, use_ema=True))
    skip_averages_once(model.optimizer)
    fit(model)
    plain = compiled(keras.optimizers.SGD(0.05))
    fit(plain)
    assert networks.distance(model.get_weights(), plain.get_weights()) < 1e-6
    assert "finalize_variable_values" not in vars(model.optimizer)
