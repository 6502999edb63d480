"""The private names of Keras (and of what is behind it) that onecycle uses still mean what they meant.

One test for each name in `keras_internals.py` and `backends/`. Checked on Keras 3.15.1, TensorFlow 2.21, JAX 0.10 and
PyTorch 2.13: where one of them fails after an upgrade, look at what uses the name before anything else.
"""

import random

import keras
import numpy as np
import pytest
from keras import ops
from oracles import networks

from onecycle import backends
from onecycle import keras_internals as internals

# Keras 3.15's own way of reading a variable trips over NumPy 2's protocol; nothing of ours is in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

BACKEND = keras.backend.backend()
only = {name: pytest.mark.skipif(name != BACKEND, reason=f"is of {name}") for name in ("tensorflow", "jax", "torch")}
needs_multi_optimizer = pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="new in Keras 3.15")


# The optimizer


def test_optimizer_iterations():
    """`_iterations` counts micro-batches, `iterations` updates, and a schedule is called with the first."""
    seen = []

    class Seeing(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            seen.append(step)
            return 0.1

    optimizer = keras.optimizers.SGD(Seeing(), gradient_accumulation_steps=2)
    step(optimizer, times=3)
    assert read(optimizer._iterations) == internals.raw_step(optimizer) == 3
    assert int(ops.convert_to_numpy(optimizer.iterations)) == 1
    assert all(counter is optimizer._iterations for counter in seen)
    assert seen


def test_optimizer_learning_rate_setting():
    """`_learning_rate` is a variable for a number, and else the very schedule the optimizer was given."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    number = internals.learning_rate_setting(keras.optimizers.SGD(0.25))
    assert read(number) == 0.25
    assert hasattr(number, "assign")
    assert internals.learning_rate_setting(keras.optimizers.SGD(schedule)) is schedule


def test_optimizer_asks_itself_for_the_current_learning_rate():
    """`learning_rate`, and the step, take what the instance's `_get_current_learning_rate` returns."""
    optimizer, variable = keras.optimizers.SGD(0.25), keras.Variable(np.ones(2), dtype="float32")
    internals.set_quietly(optimizer, _get_current_learning_rate=lambda: 0.5)
    assert optimizer.learning_rate == 0.5
    optimizer.apply([ops.ones(2)], [variable])
    assert read(variable).tolist() == [0.5, 0.5]
    assert read(internals.own_learning_rate(optimizer)) == 0.25


@pytest.mark.parametrize("wrapped", [False, True])
def test_optimizer_steps_go_through_the_instances_apply(wrapped):
    """A compiled step calls `apply` of the optimizer instance, inside a LossScaleOptimizer too."""
    inner = keras.optimizers.SGD(0.0)
    model = compiled(keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0) if wrapped else inner)
    apply, calls = inner.apply, []
    internals.set_quietly(
        inner, apply=lambda *args, **kwargs: (calls.append(inner._iterations.value), apply(*args, **kwargs))[1]
    )
    fit(model)
    assert calls
    assert internals.raw_step(model.optimizer) == 1


@pytest.mark.parametrize("name", ["momentum", "beta_1", "weight_decay"])
def test_hyperparameters_are_read_from_the_instance_at_each_step(name):
    """What is set on the instance past Keras' tracking is what the next step uses, and is no variable."""
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9) if name == "momentum" else keras.optimizers.AdamW(0.5)
    other = type(optimizer).from_config(optimizer.get_config())
    variables = keras.Variable(np.ones(2), dtype="float32"), keras.Variable(np.ones(2), dtype="float32")
    for one, variable in zip((optimizer, other), variables, strict=True):
        one.apply([ops.convert_to_tensor([1.0, -2.0])], [variable])
    before = len(optimizer.variables)
    internals.set_quietly(optimizer, **{name: ops.convert_to_tensor(0.125)})
    for one, variable in zip((optimizer, other), variables, strict=True):
        one.apply([ops.convert_to_tensor([-1.0, 1.0])], [variable])
    assert np.abs(read(variables[0]) - read(variables[1])).max() > 1e-3
    assert len(optimizer.variables) == before


def test_attributes_set_quietly_are_not_tracked():
    """A variable set through `vars` is no state of an optimizer, as one that is assigned is."""
    optimizer = keras.optimizers.SGD()
    before = len(optimizer.variables)
    internals.set_quietly(optimizer, held=keras.Variable(1.0))
    assert len(optimizer.variables) == before
    internals.unset_quietly(optimizer, "held", "never there")
    optimizer.held = keras.Variable(1.0)
    assert len(optimizer.variables) == before + 1


def test_inner_optimizer_of_loss_scaling():
    """`inner_optimizer` is the one that does the work, and the wrapper's own counter stays at 0."""
    inner = keras.optimizers.SGD(0.25)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0)
    fit(compiled(optimizer))
    assert internals.inner_optimizers(optimizer) == (inner,)
    assert (read(optimizer._iterations), internals.raw_step(optimizer)) == (0, 1)


@needs_multi_optimizer
def test_optimizers_of_a_multi_optimizer():
    """`optimizers` are those that do the work, and `_iterations` of the whole counts where an idle one does not."""
    inner, idle = keras.optimizers.SGD(0.25), keras.optimizers.Adam(0.25)
    optimizer = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(inner, {"nowhere": idle}))
    step(optimizer)
    assert set(internals.inner_optimizers(optimizer)) == {inner, idle}
    assert [read(one._iterations) for one in (optimizer, inner, idle)] == [1, 1, 0]
    assert internals.raw_step(optimizer) == 1


@needs_multi_optimizer
def test_map_of_an_unbuilt_multi_optimizer():
    """`_optimizer_map` called with a variable gives its optimizer, before `optimizers` knows of it."""
    inner = keras.optimizers.SGD(0.25)
    model = compiled(keras.optimizers.MultiOptimizer(lambda variable: inner))
    assert model.optimizer.optimizers == []
    assert internals.all_optimizers(model) == [model.optimizer, inner]


def test_averages_are_written_by_finalize_variable_values():
    """`fit` ends by calling `finalize_variable_values` of the optimizer instance, once."""
    model = compiled(keras.optimizers.SGD(0.05, use_ema=True))
    internals.skip_averages_once(model.optimizer)
    fit(model)
    plain = compiled(keras.optimizers.SGD(0.05))
    fit(plain)
    assert networks.distance(model.get_weights(), plain.get_weights()) < 1e-6
    assert "finalize_variable_values" not in vars(model.optimizer)


# The model and its training function


@pytest.mark.parametrize("renewed", [True, False])
def test_training_function_is_remade(renewed):
    """After a change of a hyperparameter, the remade function uses it; on JAX only since the step is a new function."""
    model = compiled(keras.optimizers.SGD(0.05, momentum=0.9))
    fit(model, 2)
    model.optimizer.momentum = 0.0
    before = model.train_function
    if renewed:
        internals.remake_train_function(model)
    else:
        model.make_train_function(force=True)
    assert model.train_function is not before
    assert "train_step" not in vars(model)
    velocity_before = [read(v) for v in model.optimizer.momentums]
    fit(model, 1)
    moved = networks.distance(map(read, model.optimizer.momentums), velocity_before)
    # Momentum 0 leaves the velocity alone. If the trap is gone (this fails on JAX), `_renewed` can go too.
    trapped = BACKEND == "jax" and not renewed
    assert (moved > 0) == trapped


def test_a_model_without_a_training_function_has_none():
    """`train_function` is None until the first `fit`, and again after `compile`."""
    model = compiled(keras.optimizers.SGD())
    assert model.train_function is None
    internals.remake_train_function(model)
    assert model.train_function is None
    fit(model)
    assert model.train_function is not None
    model.compile(keras.optimizers.SGD(), "mse")
    assert model.train_function is None


def test_fit_begins_by_calling_make_train_function():
    """`fit` itself calls the model instance's `make_train_function`, and nothing else does while it trains."""
    model, callers = compiled(keras.optimizers.SGD()), []
    make = model.make_train_function

    def making(force=False):
        callers.append((internals.called_by_fit(model), internals.is_fitting(model)))
        return make(force=force)

    internals.set_quietly(model, make_train_function=making)
    fit(model, 2)
    assert callers == [(True, True)]
    model.make_train_function()
    assert callers[1:] == [(False, False)]


def test_seed_generators_travel_with_the_state():
    """The state of what is in `_seed_generators` is carried through training steps, but is no weight."""
    model = compiled(keras.optimizers.SGD())
    carried = keras.Variable(0, trainable=False, dtype="int32")
    weights, saved = len(model.weights), len(model.get_weights())
    internals.carry_variable(model, carried)
    assert any(variable is carried for variable in model.non_trainable_variables)
    assert (len(model.weights), len(model.get_weights())) == (weights, saved)
    internals.drop_variable(model, carried)
    assert not any(variable is carried for variable in model.non_trainable_variables)


def test_stateless_scope():
    """`in_stateless_scope` tells whether a scope is open that keeps what is assigned."""
    assert not internals.keeps_what_is_assigned()
    variable = keras.Variable(1.0)
    with keras.StatelessScope() as scope:
        assert internals.keeps_what_is_assigned()
        variable.assign(2.0)
    assert float(ops.convert_to_numpy(scope.get_current_value(variable))) == 2.0
    assert read(variable) == 1.0


def test_compiled_loss_and_metrics():
    """`_compile_loss` and `_compile_metrics` are what `compile` made, and are built by the first batch."""
    model = compiled(keras.optimizers.SGD(), metrics=["mae"])
    parts = internals.compiled_parts(model)
    assert parts == (model._compile_loss, model._compile_metrics)
    assert [part.built for part in parts] == [False, False]
    fit(model)
    assert [part.built for part in internals.compiled_parts(model)] == [True, True]
    bare = networks.keras_model(seed=0)
    assert internals.compiled_parts(bare) == (None, None)


@only["tensorflow"]
def test_a_training_step_asks_for_its_loss_once():
    """`train_step` calls the instance's `compute_loss` once, and what is told is the loss of that batch alone."""
    model = compiled(keras.optimizers.SGD(0.0))
    batches = [networks.stacked([batch]) for batch in networks.batches(seed=1, n=2)]
    with internals.losses_told(model) as losses:
        for x, y in batches:
            model.train_step((x, y, None))
    assert "compute_loss" not in vars(model)
    weights = networks.initial_weights(seed=0)
    expected = [networks.loss_and_gradients(weights, x, y)[0] for x, y in batches]
    assert [float(loss) for loss in losses] == pytest.approx(expected, rel=1e-5)


def test_metrics_wait_in_what_compile_was_given():
    """Before the first batch a metric is only in `_user_metrics` or `_user_weighted_metrics`."""
    plain, weighted = keras.metrics.MeanAbsoluteError(), keras.metrics.MeanSquaredError()
    model = compiled(keras.optimizers.SGD(), metrics=[plain], weighted_metrics=[weighted])
    assert {id(plain), id(weighted)} <= {id(metric) for metric in internals.metrics_of(model)}
    fit(model)
    assert {id(plain), id(weighted)} <= {id(metric) for metric in internals.metrics_of(model)}


# Global state


def test_global_seed():
    """What `set_random_seed` was given is kept under the name we read."""
    before = internals.global_seed()
    keras.utils.set_random_seed(1234)
    assert internals.global_seed() == 1234
    internals.set_global_seed(before)
    assert internals.global_seed() == before


def test_global_seed_generator():
    """What a layer without a seed of its own draws from is kept under the name we read and write."""
    keras.utils.set_random_seed(5)
    keras.random.normal(())
    generator = internals.global_seed_generator()
    state = read(generator.state)
    keras.random.normal(())
    assert not np.array_equal(read(generator.state), state)
    internals.set_global_seed_generator(None)
    keras.random.normal(())
    assert internals.global_seed_generator() is not generator
    internals.set_global_seed_generator(generator)
    assert internals.global_seed_generator() is generator


def test_random_states_come_back():
    """Every generator that is put back draws the same numbers again."""
    states = backends.random_states()
    first = draws()
    assert draws() != first
    backends.set_random_states(states)
    assert draws() == first


# Callbacks


def test_callbacks_are_found_from_within_a_hook():
    """From a hook the `CallbackList` that is calling is found, with all the callbacks of the `fit`."""
    found, order = [], []

    class Last(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            order.append("last")

    class Looking(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            found.extend(internals.callbacks_beside(self))
            order.append("looking")
            internals.call_last(self, Last())

    class Other(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            order.append("other")

    looking, other = Looking(), Other()
    assert internals.callbacks_beside(looking) == []
    fit(compiled(keras.optimizers.SGD()), callbacks=[looking, other])
    assert {id(looking), id(other)} <= {id(callback) for callback in found}
    assert order == ["looking", "other", "last"]


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_end", "on_test_begin", "on_epoch_end"])
def test_errors_of_callbacks_are_noticed(hook):
    """A hook of the calling `CallbackList` can be replaced: the training loop looks it up on the instance."""
    noticed = []

    class Guarding(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            internals.on_error_of_callbacks(self, lambda: noticed.append(hook))

    def failing(*args, **kwargs):
        raise ArithmeticError

    other = keras.callbacks.Callback()
    setattr(other, hook, failing)
    with pytest.raises(ArithmeticError):
        fit(compiled(keras.optimizers.SGD()), callbacks=[Guarding(), other], validate=True)
    assert noticed == [hook]


def test_backups_are_found_before_training(tmp_path):
    """`_training_metadata_path` of a `BackupAndRestore` is there exactly when there is something to restore."""
    seen = []

    class Asking(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(internals.backups_to_restore(self))

        def on_epoch_end(self, epoch, logs=None):
            seen.append(internals.backups_to_restore(self))

    model = compiled(keras.optimizers.SGD())
    fit(model, callbacks=[Asking(), keras.callbacks.BackupAndRestore(tmp_path)], epochs=2)
    # The backup of the second epoch is gone when training has ended, and the folder with it.
    assert seen == [((str(tmp_path),), there) for there in (False, False, True)]


# What differs by backend


@only["jax"]
def test_jax_state_of_a_training_step():
    """`fit` on JAX gives and takes the state in the order we know, and keeps it in `_jax_state` until it is synced."""
    model = compiled(keras.optimizers.SGD(0.05), metrics=["mae"])
    fit(model)
    results = []
    function = model.train_function
    model.train_function = lambda *args: results.append(function(*args)) or results[-1]
    fit(model)
    trainable, non_trainable, optimizer, metrics = results[0][1]
    assert [len(part) for part in results[0][1]] == [
        len(part)
        for part in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    ]
    assert int(backends.variable_after_step(model, model.optimizer._iterations, results[0])) == 2
    assert len(trainable) == 4
    assert (len(non_trainable), len(optimizer)) == (0, 2)
    assert metrics


@only["jax"]
def test_jax_state_can_be_attached_and_forgotten():
    """`jax_state_sync` writes `_jax_state` into the variables unless `_jax_state_synced` says it has been done."""
    model = compiled(keras.optimizers.SGD(0.05))
    fit(model)
    names = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
    _, state = backends.result_with_state_of(model, (None, None))
    changed = [value + 1 for value in state[0]], *state[1:]
    before = model.get_weights()
    model._jax_state, model._jax_state_synced = dict(zip(names, changed, strict=True)), False
    backends.forget_state(model)
    model.jax_state_sync()
    assert networks.distance(model.get_weights(), before) == 0
    backends.attach_state(model, (None, changed))
    assert networks.distance(model.get_weights(), [weight + 1 for weight in before]) < 1e-6


@pytest.mark.skipif(BACKEND == "torch", reason="has no tracing")
@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD, keras.optimizers.RMSprop])
def test_a_traced_momentum_is_asked_whether_it_is_zero(optimizer):
    """SGD and RMSprop ask the momentum `!= 0` or `> 0` while tracing, and otherwise only cast and multiply it."""
    model = compiled(optimizer(0.05, momentum=0.9))
    asked = []

    class Asked(backends._NonZeroTensor):
        def __ne__(self, other):
            asked.append("!=")
            return True

        def __gt__(self, other):
            asked.append(">")
            return True

        __hash__ = object.__hash__

    internals.set_quietly(model.optimizer, momentum=Asked(ops.convert_to_tensor(0.5, dtype="float32")))
    fit(model)
    assert set(asked) == {"!=" if optimizer is keras.optimizers.SGD else ">"}


@only["torch"]
def test_torch_counts_writes_to_a_variable():
    """`_version` of a variable's tensor grows by one with each step and each assignment, and with nothing else."""
    optimizer = keras.optimizers.SGD(0.1)
    counter = optimizer._iterations
    step(optimizer)
    before = backends.write_count(counter)
    step(optimizer)
    assert backends.write_count(counter) == before + 1
    counter.assign(7)
    assert backends.write_count(counter) > before + 1
    before = backends.write_count(counter)
    assert int(backends.to_numpy(counter)) == 7
    _ = optimizer.iterations + 1
    assert backends.write_count(counter) == before


@only["torch"]
def test_torch_optimizers_take_a_float():
    """Keras' optimizers on PyTorch take Python floats where it has variables, also a momentum that is tiny."""
    for name, momentum in (("SGD", backends.answering_not_zero(0.0)), ("RMSprop", 0.5)):
        optimizer = getattr(keras.optimizers, name)(0.5, momentum=0.9)
        internals.set_quietly(optimizer, momentum=momentum, _get_current_learning_rate=lambda: 0.25)
        step(optimizer)
        assert internals.raw_step(optimizer) == 1


@only["torch"]
def test_torch_state_is_more_than_variables():
    """Training leaves a gradient on each variable and modules in evaluation mode, and both can be put back."""
    model = compiled(keras.optimizers.SGD())
    model.train()
    before = backends.torch_state(model)
    fit(model)
    assert model.trainable_variables[0].value.grad is not None
    assert not model.training
    backends.set_torch_state(before)
    assert model.trainable_variables[0].value.grad is None
    assert model.training


@only["torch"]
def test_torch_compile_can_leave_a_function_out():
    """A function that is left out of `torch.compile` is called as it is."""
    import torch

    inside = []
    function = backends.uncompiled(lambda: inside.append(torch.compiler.is_compiling()))
    torch.compile(lambda: function(), backend="eager")()
    assert inside == [False]


@only["tensorflow"]
def test_tensorflow_strategy_of_a_model():
    """`distribute_strategy` of a model is the default one, with one replica, where nobody asked for another."""
    model = compiled(keras.optimizers.SGD())
    assert model.distribute_strategy.num_replicas_in_sync == 1
    with backends.placement(model):
        assert read(keras.Variable(1.0)) == 1.0


@only["tensorflow"]
def test_tensorflow_wraps_lists():
    """An optimizer's list of variables is TensorFlow's wrapper, whose items are in `_storage`."""
    optimizer = keras.optimizers.SGD()
    assert backends.is_tracked_list(optimizer._variables)
    assert [id(variable) for variable in optimizer._variables._storage] == [id(v) for v in optimizer.variables]
    assert not backends.is_tracked_list([1, 2])


@only["tensorflow"]
def test_tensorflow_keeps_its_seed_in_the_context():
    """The eager context's `_seed` and `_rng` are what `tf.random.set_seed` sets and random operations draw from."""
    import tensorflow as tf

    states = backends.random_states()
    tf.random.set_seed(3)
    context = backends._tensorflow_context()
    assert context._seed == 3
    first = [float(tf.random.normal(())) for _ in range(2)]
    tf.random.set_seed(3)
    assert [float(tf.random.normal(())) for _ in range(2)] == first
    backends.set_random_states(states)
    assert context._seed == states["tensorflow"][0]


def test_computed_on_host():
    """`keras.device("cpu")` is where a schedule of tensors can be computed as a number."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert backends.computed_on_host(schedule, 10) == pytest.approx(0.05)


def compiled(optimizer, **arguments):
    """Return the small network compiled with the optimizer."""
    model = networks.keras_model(seed=0)
    model.compile(optimizer, "mse", **arguments)
    return model


def fit(model, steps=1, *, callbacks=None, epochs=1, validate=False):
    """Train on that many of the fixed batches."""
    x, y = networks.stacked(networks.batches(seed=1, n=steps))
    model.fit(
        x,
        y,
        batch_size=networks.BATCH_SIZE,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        epochs=epochs,
        validation_data=(x, y) if validate else None,
    )


def step(optimizer, times=1):
    """Make uncompiled steps on a variable."""
    if not optimizer.built:
        optimizer.build([keras.Variable(np.ones(2), dtype="float32", name="only")])
    for _ in range(times):
        optimizer.apply([ops.ones(2)])


def read(variable):
    """Return a variable as NumPy."""
    return ops.convert_to_numpy(getattr(variable, "value", variable))


def draws():
    """Return a number of every global generator that Keras or its data pipelines draw from."""
    drawn = [random.random(), float(np.random.random())]  # noqa: NPY002 - Keras draws from it
    if BACKEND == "tensorflow":
        import tensorflow as tf

        drawn.append(float(tf.random.normal(())))
    if BACKEND == "torch":
        import torch

        drawn.append(float(torch.rand(())))
    return drawn


def test_a_callback_can_be_called_first():
    """A callback that moves itself to the front while the list is calling: each is called once, and it first later."""
    called = []

    class Named(keras.callbacks.Callback):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def on_train_begin(self, logs=None):
            called.append(self.name)
            if self.name == "c":
                internals.call_first(self)

        def on_epoch_begin(self, epoch, logs=None):
            called.append(self.name)

    fit(compiled(keras.optimizers.SGD()), callbacks=[Named(name) for name in "abcd"])
    assert "".join(called) == "abcd" + "cabd"
