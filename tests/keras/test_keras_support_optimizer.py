"""The private names of Keras' optimizers that onecycle uses; see test_keras_support."""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import networks
from oracles.small_fits import compiled, fit, read, step

from onecycle.keras_support.attributes import set_untracked, unset_untracked
from onecycle.keras_support.optimizers import (
    accumulators,
    add_optimizer_variable,
    all_optimizers,
    inner_optimizers,
    learning_rate_setting,
    raw_step,
    remove_optimizer_variable,
    shared_dtype,
    skip_ema_overwrite_once,
    unscheduled_learning_rate,
    velocities,
    weight_decay_exclusions,
)

# Keras 3.15 reads variables in a way that NumPy 2 deprecates. onecycle has no part in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

needs_multi_optimizer = pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="new in Keras 3.15")


def test_optimizer_iterations():
    """`_iterations` counts micro-batches and `iterations` updates; a schedule is called with `_iterations`."""
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


def test_accumulated_gradients():
    """`_accumulated_gradients` are sums over the batches of an update, and zero once it is complete."""
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    step(optimizer)
    assert [read(variable).tolist() for variable in accumulators(optimizer)] == [[1.0, 1.0]]
    step(optimizer)
    assert [read(variable).tolist() for variable in accumulators(optimizer)] == [[0.0, 0.0]]


def test_trainable_variables_of_an_optimizer():
    """`_trainable_variables` are the variables for which an optimizer was built."""
    optimizer = keras.optimizers.SGD()
    assert shared_dtype(optimizer) is None
    only = keras.Variable(np.ones(2), dtype="float16")
    optimizer.build([only])
    assert [variable is only for variable in optimizer._trainable_variables] == [True]
    assert shared_dtype(optimizer) == "float16"


def test_optimizer_learning_rate_setting():
    """`_learning_rate` is a variable if the learning rate is a number, and otherwise the schedule itself."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    number = learning_rate_setting(keras.optimizers.SGD(0.25))
    assert read(number) == 0.25
    assert hasattr(number, "assign")
    assert learning_rate_setting(keras.optimizers.SGD(schedule)) is schedule


def test_optimizer_reads_the_current_learning_rate_from_the_instance():
    """`learning_rate` and the step use what `_get_current_learning_rate` of the instance returns."""
    optimizer, variable = keras.optimizers.SGD(0.25), keras.Variable(np.ones(2), dtype="float32")
    set_untracked(optimizer, _get_current_learning_rate=lambda: 0.5)
    assert optimizer.learning_rate == 0.5
    optimizer.apply([ops.ones(2)], [variable])
    assert read(variable).tolist() == [0.5, 0.5]
    assert read(unscheduled_learning_rate(optimizer)) == 0.25


@pytest.mark.parametrize("wrapped", [False, True])
def test_optimizer_steps_go_through_the_instances_apply(wrapped):
    """A compiled step calls `apply` of the optimizer instance, also inside a LossScaleOptimizer."""
    inner = keras.optimizers.SGD(0.0)
    model = compiled(keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0) if wrapped else inner)
    apply, calls = inner.apply, []
    set_untracked(
        inner, apply=lambda *args, **kwargs: (calls.append(inner._iterations.value), apply(*args, **kwargs))[1]
    )
    fit(model)
    assert calls
    assert raw_step(model.optimizer) == 1


@pytest.mark.parametrize("name", ["momentum", "beta_1", "weight_decay"])
def test_hyperparameters_are_read_from_the_instance_at_each_step(name):
    """The next step uses an untracked value on the instance, which does not become a variable."""
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9) if name == "momentum" else keras.optimizers.AdamW(0.5)
    other = type(optimizer).from_config(optimizer.get_config())
    variables = keras.Variable(np.ones(2), dtype="float32"), keras.Variable(np.ones(2), dtype="float32")
    for one, variable in zip((optimizer, other), variables, strict=True):
        one.apply([ops.convert_to_tensor([1.0, -2.0])], [variable])
    before = len(optimizer.variables)
    set_untracked(optimizer, **{name: ops.convert_to_tensor(0.125)})
    for one, variable in zip((optimizer, other), variables, strict=True):
        one.apply([ops.convert_to_tensor([-1.0, 1.0])], [variable])
    assert np.abs(read(variables[0]) - read(variables[1])).max() > 1e-3
    assert len(optimizer.variables) == before


def test_untracked_attributes():
    """A variable set through `vars` is no variable of the optimizer; one that is assigned becomes one."""
    optimizer = keras.optimizers.SGD()
    before = len(optimizer.variables)
    set_untracked(optimizer, extra=keras.Variable(1.0))
    assert len(optimizer.variables) == before
    unset_untracked(optimizer, "extra", "missing")
    optimizer.extra = keras.Variable(1.0)
    assert len(optimizer.variables) == before + 1


def test_inner_optimizer_of_loss_scaling():
    """`inner_optimizer` makes the updates, and the step counter of the wrapper stays at 0."""
    inner = keras.optimizers.SGD(0.25)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0)
    fit(compiled(optimizer))
    assert inner_optimizers(optimizer) == (inner,)
    assert (read(optimizer._iterations), raw_step(optimizer)) == (0, 1)


@needs_multi_optimizer
def test_optimizers_of_a_multi_optimizer():
    """`optimizers` make the updates. The MultiOptimizer counts steps, an optimizer without variables does not."""
    inner, idle = keras.optimizers.SGD(0.25), keras.optimizers.Adam(0.25)
    optimizer = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(inner, {"nowhere": idle}))
    step(optimizer)
    assert set(inner_optimizers(optimizer)) == {inner, idle}
    assert [read(one._iterations) for one in (optimizer, inner, idle)] == [1, 1, 0]
    assert raw_step(optimizer) == 1


@needs_multi_optimizer
def test_map_of_an_unbuilt_multi_optimizer():
    """`_optimizer_map` returns the optimizer of a variable before it is in `optimizers`."""
    inner = keras.optimizers.SGD(0.25)
    model = compiled(keras.optimizers.MultiOptimizer(lambda variable: inner))
    assert model.optimizer.optimizers == []
    assert all_optimizers(model) == [model.optimizer, inner]


def test_averages_are_written_by_finalize_variable_values():
    """`fit` ends with one call of `finalize_variable_values` of the optimizer instance."""
    model = compiled(keras.optimizers.SGD(0.05, use_ema=True))
    skip_ema_overwrite_once(model.optimizer)
    fit(model)
    plain = compiled(keras.optimizers.SGD(0.05))
    fit(plain)
    assert networks.distance(model.get_weights(), plain.get_weights()) < 1e-6
    assert "finalize_variable_values" not in vars(model.optimizer)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="used on JAX only")
def test_variables_of_an_optimizer():
    """An entry of `_variables` is one of the optimizer's `variables`, and can be removed again."""
    optimizer, extra = keras.optimizers.SGD(momentum=0.9), keras.Variable(1.0)
    optimizer.build([keras.Variable(np.ones(2))])
    before = [id(variable) for variable in optimizer.variables]
    add_optimizer_variable(optimizer, extra)
    assert [id(variable) for variable in optimizer.variables] == [*before, id(extra)]
    remove_optimizer_variable(optimizer, extra)
    assert [id(variable) for variable in optimizer.variables] == before


@pytest.mark.parametrize("kind", [keras.optimizers.SGD, keras.optimizers.RMSprop])
def test_velocities(kind):
    """`momentums` of SGD and `_momentums` of RMSprop are the velocities, which grow with the learning rate."""
    ends = []
    for rate in (0.1, 0.2):
        optimizer = kind(rate, momentum=0.9)
        step(optimizer)
        (velocity,) = velocities(optimizer)
        ends.append(read(velocity))
    assert ends[1] == pytest.approx(2 * ends[0])
    assert np.abs(ends[0]).min() > 0


def test_exclusions_from_weight_decay():
    """`exclude_from_weight_decay` keeps what it is passed under the two names that onecycle reads."""
    optimizer, variable = keras.optimizers.AdamW(0.1), keras.Variable(1.0, name="bias")
    plain = weight_decay_exclusions(optimizer)
    optimizer.exclude_from_weight_decay(var_list=[variable], var_names=["gamma"])
    excluded = " ".join(weight_decay_exclusions(optimizer))
    assert plain == ["None"]
    assert "gamma" in excluded
    assert len(weight_decay_exclusions(optimizer)) == 2
