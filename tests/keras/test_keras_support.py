"""The private names of Keras that onecycle uses have the meaning that onecycle assumes.

There is a test for each name that a module of `onecycle.keras_support` lists. Those of optimizers, of the backends and
of models are in files named after them. Checked on Keras 3.15.1, TensorFlow 2.21, JAX 0.10 and PyTorch 2.13. If one of
these tests fails after an upgrade, look first at the code that uses the name.
"""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import networks
from oracles.small_fits import compiled, draws, fit, read

from onecycle.keras_support.attributes import set_untracked
from onecycle.keras_support.callback_list import (
    call_first,
    call_last,
    fit_callbacks,
    on_callback_error,
)
from onecycle.keras_support.held_objects import held_objects
from onecycle.keras_support.keras_backups import backup_folders
from onecycle.keras_support.loss_capture import captured_losses
from onecycle.keras_support.model_state import (
    add_state_variable,
    in_stateless_scope,
    loss_and_metrics,
    remove_state_variable,
)
from onecycle.keras_support.random_state import (
    global_seed,
    global_seed_generator,
    random_states,
    set_global_seed,
    set_global_seed_generator,
    set_random_states,
)
from onecycle.keras_support.running_fit import called_by_fit, called_by_keras, initial_epoch, is_fitting
from onecycle.keras_support.train_function import remake_train_function

# Keras 3.15 reads variables in a way that NumPy 2 deprecates. onecycle has no part in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

BACKEND = keras.backend.backend()

# The training function


@pytest.mark.parametrize("remade", [True, False])
def test_a_remade_training_function_is_traced_again(remade):
    """A changed hyperparameter is used by the remade function. On JAX Keras' own way would use the old trace."""
    model = compiled(keras.optimizers.SGD(0.05, momentum=0.9))
    fit(model, 2)
    model.optimizer.momentum = 0.0
    before = model.train_function
    if remade:
        remake_train_function(model)
    else:
        model.make_train_function(force=True)
    assert model.train_function is not before
    assert "train_step" not in vars(model)
    velocity_before = [read(v) for v in model.optimizer.momentums]
    fit(model, 1)
    moved = networks.distance(map(read, model.optimizer.momentums), velocity_before)
    # Momentum 0 leaves the velocity alone. If this fails on JAX, `retrace_train_function` has become unnecessary.
    uses_old_trace = BACKEND == "jax" and not remade
    assert (moved > 0) == uses_old_trace


def test_the_training_function_is_made_by_fit():
    """`train_function` is None until the first `fit`, and again after `compile`."""
    model = compiled(keras.optimizers.SGD())
    assert model.train_function is None
    remake_train_function(model)
    assert model.train_function is None
    fit(model)
    assert model.train_function is not None
    model.compile(keras.optimizers.SGD(), "mse")
    assert model.train_function is None


def test_fit_begins_by_calling_make_train_function():
    """`fit` itself calls `make_train_function` of the model instance, and nothing else calls it during training."""
    model, callers = compiled(keras.optimizers.SGD()), []
    make = model.make_train_function

    def making(force=False):
        callers.append((called_by_fit(model), is_fitting(model)))
        return make(force=force)

    set_untracked(model, make_train_function=making)
    fit(model, 2)
    assert callers == [(True, True)]
    model.make_train_function()
    assert callers[1:] == [(False, False)]


@pytest.mark.parametrize("first", [0, 1])
def test_the_first_epoch_of_a_running_fit(first):
    """`fit` keeps its argument `initial_epoch` under this name while it runs."""
    model, seen = compiled(keras.optimizers.SGD()), []
    reading = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: seen.append(initial_epoch(model)))
    x, y = networks.stacked(networks.batches(seed=1, n=1))
    model.fit(x, y, initial_epoch=first, epochs=2, verbose=0, callbacks=[reading])
    assert seen == [first]


def test_calls_by_keras_itself():
    """The names of Keras' modules begin with `keras.`, and so its own calls are recognized."""
    callers = []

    class Noticing(keras.optimizers.SGD):
        def get_config(self):
            callers.append(called_by_keras())
            return super().get_config()

    optimizer = Noticing()
    keras.optimizers.serialize(optimizer)
    optimizer.get_config()
    assert callers == [True, False]


# The state of a model


def test_seed_generators_are_part_of_the_state():
    """The state of what is in `_seed_generators` is a non-trainable variable of the model, but no weight."""
    model = compiled(keras.optimizers.SGD())
    carried = keras.Variable(0, trainable=False, dtype="int32")
    weights, saved = len(model.weights), len(model.get_weights())
    add_state_variable(model, carried)
    assert any(variable is carried for variable in model.non_trainable_variables)
    assert (len(model.weights), len(model.get_weights())) == (weights, saved)
    remove_state_variable(model, carried)
    assert not any(variable is carried for variable in model.non_trainable_variables)


def test_stateless_scope():
    """`in_stateless_scope` is true inside a `StatelessScope`, which keeps the values that are assigned."""
    assert not in_stateless_scope()
    variable = keras.Variable(1.0)
    with keras.StatelessScope() as scope:
        assert in_stateless_scope()
        variable.assign(2.0)
    assert float(ops.convert_to_numpy(scope.get_current_value(variable))) == 2.0
    assert read(variable) == 1.0


def test_compiled_loss_and_metrics():
    """`_compile_loss` and `_compile_metrics` are made by `compile` and built by the first batch."""
    model = compiled(keras.optimizers.SGD(), metrics=["mae"])
    parts = loss_and_metrics(model)
    assert parts == (model._compile_loss, model._compile_metrics)
    assert [part.built for part in parts] == [False, False]
    fit(model)
    assert [part.built for part in loss_and_metrics(model)] == [True, True]
    uncompiled = networks.keras_model(seed=0)
    assert loss_and_metrics(uncompiled) == (None, None)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow only")
def test_a_training_step_computes_its_loss_once():
    """`train_step` calls `compute_loss` of the instance once, which returns the loss of that batch alone."""
    model = compiled(keras.optimizers.SGD(0.0))
    batches = [networks.stacked([batch]) for batch in networks.batches(seed=1, n=2)]
    with captured_losses(model) as losses:
        for x, y in batches:
            model.train_step((x, y, None))
    assert "compute_loss" not in vars(model)
    weights = networks.initial_weights(seed=0)
    expected = [networks.loss_and_gradients(weights, x, y)[0] for x, y in batches]
    assert [float(loss) for loss in losses] == pytest.approx(expected, rel=1e-5)


def test_metrics_before_the_first_batch():
    """A metric is found among what the model holds before the first batch too, when Keras does not list it yet."""
    plain, weighted = keras.metrics.MeanAbsoluteError(), keras.metrics.MeanSquaredError()
    model = compiled(keras.optimizers.SGD(), metrics=[plain], weighted_metrics=[weighted])
    assert {id(plain), id(weighted)} <= {id(one) for one in held_objects(model)}
    fit(model)
    assert {id(plain), id(weighted)} <= {id(one) for one in held_objects(model)}


# Global state


def test_global_seed():
    """The argument of `set_random_seed` is kept under the name that onecycle reads."""
    before = global_seed()
    keras.utils.set_random_seed(1234)
    assert global_seed() == 1234
    set_global_seed(before)
    assert global_seed() == before


def test_global_seed_generator():
    """The generator of layers without a seed is kept under the name that onecycle reads and writes."""
    keras.utils.set_random_seed(5)
    keras.random.normal(())
    generator = global_seed_generator()
    state = read(generator.state)
    keras.random.normal(())
    assert not np.array_equal(read(generator.state), state)
    set_global_seed_generator(None)
    keras.random.normal(())
    assert global_seed_generator() is not generator
    set_global_seed_generator(generator)
    assert global_seed_generator() is generator


def test_random_states_are_restored():
    """Every generator draws the same numbers again after its state is restored."""
    states = random_states()
    first = draws()
    assert draws() != first
    set_random_states(states)
    assert draws() == first


# Callbacks


def test_callbacks_are_found_from_within_a_hook():
    """A hook finds the `CallbackList` that calls it, with all callbacks of the `fit`."""
    found, order = [], []

    class Last(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            order.append("last")

    class Looking(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            found.extend(fit_callbacks(self))
            order.append("looking")
            call_last(self, Last())

    class Other(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            order.append("other")

    looking, other = Looking(), Other()
    assert fit_callbacks(looking) == []
    fit(compiled(keras.optimizers.SGD()), callbacks=[looking, other])
    assert {id(looking), id(other)} <= {id(callback) for callback in found}
    assert order == ["looking", "other", "last"]


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_end", "on_test_begin", "on_epoch_end"])
def test_errors_of_callbacks_are_noticed(hook):
    """A hook of the running `CallbackList` can be replaced, since the training loop looks it up on the instance."""
    noticed = []

    class Guarding(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            on_callback_error(self, lambda: noticed.append(hook))

    def failing(*args, **kwargs):
        raise ArithmeticError

    other = keras.callbacks.Callback()
    setattr(other, hook, failing)
    with pytest.raises(ArithmeticError):
        fit(compiled(keras.optimizers.SGD()), callbacks=[Guarding(), other], validate=True)
    # Twice, in case an interrupt has ended the first call.
    assert noticed == [hook, hook]


def test_backups_are_found_before_training(tmp_path):
    """The file at `_training_metadata_path` of a `BackupAndRestore` exists exactly when there is a backup."""
    seen = []

    class Reading(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(backup_folders(fit_callbacks(self)))

        def on_epoch_end(self, epoch, logs=None):
            seen.append(backup_folders(fit_callbacks(self)))

    model = compiled(keras.optimizers.SGD())
    fit(model, callbacks=[Reading(), keras.callbacks.BackupAndRestore(tmp_path)], epochs=2)
    # Keras deletes the folder when training has ended, with the backup of the second epoch.
    assert seen == [((str(tmp_path),), exists) for exists in (False, False, True)]


def test_a_callback_can_be_called_first():
    """A callback that moves itself to the front is called first later, and no hook is called twice or skipped."""
    called = []

    class Named(keras.callbacks.Callback):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def on_train_begin(self, logs=None):
            called.append(self.name)
            if self.name == "c":
                call_first(self)

        def on_epoch_begin(self, epoch, logs=None):
            called.append(self.name)

    fit(compiled(keras.optimizers.SGD()), callbacks=[Named(name) for name in "abcd"])
    assert "".join(called) == "abcd" + "cabd"
