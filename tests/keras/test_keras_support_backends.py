"""The private names of Keras' backends, and of what is behind them, still mean what they meant; see
test_keras_internals.py.
"""

import keras
import pytest
from keras import ops
from oracles import networks
from oracles.small_fits import compiled, fit, read, step

from onecycle.keras_support import backends
from onecycle.keras_support.attributes import set_quietly
from onecycle.keras_support.optimizers import raw_step
from onecycle.keras_support.random_state import _tensorflow_context, random_states, set_random_states

# Keras 3.15's own way of reading a variable trips over NumPy 2's protocol; nothing of ours is in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

BACKEND = keras.backend.backend()
only = {name: pytest.mark.skipif(name != BACKEND, reason=f"is of {name}") for name in ("tensorflow", "jax", "torch")}


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

    set_quietly(model.optimizer, momentum=Asked(ops.convert_to_tensor(0.5, dtype="float32")))
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
        set_quietly(optimizer, momentum=momentum, _get_current_learning_rate=lambda: 0.25)
        step(optimizer)
        assert raw_step(optimizer) == 1


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

    states = random_states()
    tf.random.set_seed(3)
    context = _tensorflow_context()
    assert context._seed == 3
    first = [float(tf.random.normal(())) for _ in range(2)]
    tf.random.set_seed(3)
    assert [float(tf.random.normal(())) for _ in range(2)] == first
    set_random_states(states)
    assert context._seed == states["tensorflow"][0]


def test_computed_on_host():
    """`keras.device("cpu")` is where a schedule of tensors can be computed as a number."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert backends.computed_on_host(schedule, 10) == pytest.approx(0.05)
