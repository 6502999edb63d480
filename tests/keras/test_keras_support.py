"""The private names of Keras (and of what is behind it) that onecycle uses still mean what they meant.

One test for each name in `keras_internals.py` and `backends/`; those of optimizers and of what is behind the backends
have files of their own. Checked on Keras 3.15.1, TensorFlow 2.21, JAX 0.10 and PyTorch 2.13: where one of them fails
after an upgrade, look at what uses the name before anything else.
"""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import networks
from oracles.small_fits import compiled, draws, fit, read

from onecycle.keras_support.attributes import set_quietly
from onecycle.keras_support.callback_list import (
    backups_to_restore,
    call_first,
    call_last,
    callbacks_beside,
    on_error_of_callbacks,
)
from onecycle.keras_support.loss_capture import losses_told
from onecycle.keras_support.model_state import (
    carry_variable,
    compiled_parts,
    drop_variable,
    keeps_what_is_assigned,
    metrics_of,
)
from onecycle.keras_support.random_state import (
    global_seed,
    global_seed_generator,
    random_states,
    set_global_seed,
    set_global_seed_generator,
    set_random_states,
)
from onecycle.keras_support.running_fit import called_by_fit, is_fitting
from onecycle.keras_support.train_function import remake_train_function

# Keras 3.15's own way of reading a variable trips over NumPy 2's protocol; nothing of ours is in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

BACKEND = keras.backend.backend()

# The model and its training function


@pytest.mark.parametrize("renewed", [True, False])
def test_training_function_is_remade(renewed):
    """After a change of a hyperparameter, the remade function uses it; on JAX only since the step is a new function."""
    model = compiled(keras.optimizers.SGD(0.05, momentum=0.9))
    fit(model, 2)
    model.optimizer.momentum = 0.0
    before = model.train_function
    if renewed:
        remake_train_function(model)
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
    remake_train_function(model)
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
        callers.append((called_by_fit(model), is_fitting(model)))
        return make(force=force)

    set_quietly(model, make_train_function=making)
    fit(model, 2)
    assert callers == [(True, True)]
    model.make_train_function()
    assert callers[1:] == [(False, False)]


def test_seed_generators_travel_with_the_state():
    """The state of what is in `_seed_generators` is carried through training steps, but is no weight."""
    model = compiled(keras.optimizers.SGD())
    carried = keras.Variable(0, trainable=False, dtype="int32")
    weights, saved = len(model.weights), len(model.get_weights())
    carry_variable(model, carried)
    assert any(variable is carried for variable in model.non_trainable_variables)
    assert (len(model.weights), len(model.get_weights())) == (weights, saved)
    drop_variable(model, carried)
    assert not any(variable is carried for variable in model.non_trainable_variables)


def test_stateless_scope():
    """`in_stateless_scope` tells whether a scope is open that keeps what is assigned."""
    assert not keeps_what_is_assigned()
    variable = keras.Variable(1.0)
    with keras.StatelessScope() as scope:
        assert keeps_what_is_assigned()
        variable.assign(2.0)
    assert float(ops.convert_to_numpy(scope.get_current_value(variable))) == 2.0
    assert read(variable) == 1.0


def test_compiled_loss_and_metrics():
    """`_compile_loss` and `_compile_metrics` are what `compile` made, and are built by the first batch."""
    model = compiled(keras.optimizers.SGD(), metrics=["mae"])
    parts = compiled_parts(model)
    assert parts == (model._compile_loss, model._compile_metrics)
    assert [part.built for part in parts] == [False, False]
    fit(model)
    assert [part.built for part in compiled_parts(model)] == [True, True]
    bare = networks.keras_model(seed=0)
    assert compiled_parts(bare) == (None, None)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="is of TensorFlow")
def test_a_training_step_asks_for_its_loss_once():
    """`train_step` calls the instance's `compute_loss` once, and what is told is the loss of that batch alone."""
    model = compiled(keras.optimizers.SGD(0.0))
    batches = [networks.stacked([batch]) for batch in networks.batches(seed=1, n=2)]
    with losses_told(model) as losses:
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
    assert {id(plain), id(weighted)} <= {id(metric) for metric in metrics_of(model)}
    fit(model)
    assert {id(plain), id(weighted)} <= {id(metric) for metric in metrics_of(model)}


# Global state


def test_global_seed():
    """What `set_random_seed` was given is kept under the name we read."""
    before = global_seed()
    keras.utils.set_random_seed(1234)
    assert global_seed() == 1234
    set_global_seed(before)
    assert global_seed() == before


def test_global_seed_generator():
    """What a layer without a seed of its own draws from is kept under the name we read and write."""
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


def test_random_states_come_back():
    """Every generator that is put back draws the same numbers again."""
    states = random_states()
    first = draws()
    assert draws() != first
    set_random_states(states)
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
            found.extend(callbacks_beside(self))
            order.append("looking")
            call_last(self, Last())

    class Other(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            order.append("other")

    looking, other = Looking(), Other()
    assert callbacks_beside(looking) == []
    fit(compiled(keras.optimizers.SGD()), callbacks=[looking, other])
    assert {id(looking), id(other)} <= {id(callback) for callback in found}
    assert order == ["looking", "other", "last"]


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_end", "on_test_begin", "on_epoch_end"])
def test_errors_of_callbacks_are_noticed(hook):
    """A hook of the calling `CallbackList` can be replaced: the training loop looks it up on the instance."""
    noticed = []

    class Guarding(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            on_error_of_callbacks(self, lambda: noticed.append(hook))

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
            seen.append(backups_to_restore(self))

        def on_epoch_end(self, epoch, logs=None):
            seen.append(backups_to_restore(self))

    model = compiled(keras.optimizers.SGD())
    fit(model, callbacks=[Asking(), keras.callbacks.BackupAndRestore(tmp_path)], epochs=2)
    # The backup of the second epoch is gone when training has ended, and the folder with it.
    assert seen == [((str(tmp_path),), there) for there in (False, False, True)]


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
                call_first(self)

        def on_epoch_begin(self, epoch, logs=None):
            called.append(self.name)

    fit(compiled(keras.optimizers.SGD()), callbacks=[Named(name) for name in "abcd"])
    assert "".join(called) == "abcd" + "cabd"
