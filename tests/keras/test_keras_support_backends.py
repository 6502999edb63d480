"""The private names of TensorFlow, JAX and PyTorch and of Keras on them; see test_keras_support."""

import keras
import pytest
from keras import ops
from oracles import networks
from oracles.small_fits import compiled, fit, read, step

from onecycle.keras_support import backends, devices, step_state
from onecycle.keras_support.attributes import set_untracked
from onecycle.keras_support.optimizers import raw_step, step_counter
from onecycle.keras_support.random_state import _tensorflow_context, random_states, set_random_states
from onecycle.keras_support.stale_functions import retrace_functions
from onecycle.keras_support.traceable import NonZeroTensor, traceable_momentum

# Keras 3.15 reads variables in a way that NumPy 2 deprecates. onecycle has no part in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

BACKEND = keras.backend.backend()
only = {name: pytest.mark.skipif(name != BACKEND, reason=f"{name} only") for name in ("tensorflow", "jax", "torch")}


@only["jax"]
def test_jax_state_of_a_training_step():
    """A training function on JAX takes and returns the state in the order that onecycle assumes."""
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
    assert int(step_state.variable_after_step(model, model.optimizer._iterations, results[0])) == 2
    assert len(trainable) == 4
    assert (len(non_trainable), len(optimizer)) == (0, 2)
    assert metrics


class StepLog:
    """A log that is computed in the background, or whose wait is interrupted."""

    def __init__(self, waited, number, interrupted=False):
        self.waited, self.number, self.interrupted = waited, number, interrupted

    def block_until_ready(self):
        """Stand for the method of an array of JAX."""
        self.waited.append(self.number)
        if self.interrupted:
            raise KeyboardInterrupt
        return self


def test_steps_in_the_background_are_waited_for_one_by_one(backend):
    """An interrupt waits for one step. On the other backends there is nothing to wait for."""
    waited, queue = [], step_state.StepQueue()
    for number in range(40):
        queue.add(({"loss": StepLog(waited, number, interrupted=number == 20)}, None))
    if backend != "jax":
        queue.wait()
        assert not waited
        return
    with pytest.raises(KeyboardInterrupt):
        queue.wait()
    assert waited == list(range(40 - step_state.STEPS_IN_BACKGROUND, 21))


@only["jax"]
def test_jax_state_can_be_written_back_or_discarded():
    """`jax_state_sync` writes `_jax_state` into the variables, unless `_jax_state_synced` is true."""
    model = compiled(keras.optimizers.SGD(0.05))
    fit(model)
    names = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
    _, state = step_state.result_with_state(model, (None, None))
    changed = [value + 1 for value in state[0]], *state[1:]
    before = model.get_weights()
    model._jax_state, model._jax_state_synced = dict(zip(names, changed, strict=True)), False
    step_state.discard_state(model)
    model.jax_state_sync()
    assert networks.distance(model.get_weights(), before) == 0
    step_state.write_back_state(model, (None, changed))
    assert networks.distance(model.get_weights(), [weight + 1 for weight in before]) < 1e-6


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch does not trace")
@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD, keras.optimizers.RMSprop])
def test_a_traced_momentum_is_compared_with_zero(optimizer):
    """While tracing, SGD and RMSprop compare the momentum by `!= 0` or `> 0`, and else only cast and multiply it."""
    model = compiled(optimizer(0.05, momentum=0.9))
    comparisons = []

    class Compared(NonZeroTensor):
        def __ne__(self, other):
            comparisons.append("!=")
            return True

        def __gt__(self, other):
            comparisons.append(">")
            return True

        __hash__ = object.__hash__

    set_untracked(model.optimizer, momentum=Compared(ops.convert_to_tensor(0.5, dtype="float32")))
    fit(model)
    assert set(comparisons) == {"!=" if optimizer is keras.optimizers.SGD else ">"}


@only["torch"]
def test_torch_counts_writes_to_a_variable():
    """`_version` of a variable's tensor grows by one with each step, grows with an assignment, and not by reading."""
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
def test_torch_optimizers_take_floats():
    """Keras' optimizers on PyTorch take Python floats in place of variables, also a tiny momentum."""
    for name, momentum in (("SGD", traceable_momentum(0.0)), ("RMSprop", 0.5)):
        optimizer = getattr(keras.optimizers, name)(0.5, momentum=0.9)
        set_untracked(optimizer, momentum=momentum, _get_current_learning_rate=lambda: 0.25)
        step(optimizer)
        assert raw_step(optimizer) == 1


@only["torch"]
def test_torch_state_is_more_than_variables():
    """Training leaves gradients on the variables and modules in evaluation mode, and both can be restored."""
    model = compiled(keras.optimizers.SGD())
    model.train()
    before = step_state.torch_state(model)
    fit(model)
    assert model.trainable_variables[0].value.grad is not None
    assert not model.training
    step_state.set_torch_state(before)
    assert model.trainable_variables[0].value.grad is None
    assert model.training


@only["torch"]
def test_torch_compile_can_exclude_a_function():
    """A function that is excluded from `torch.compile` is called uncompiled."""
    import torch

    inside = []
    function = backends.exclude_from_compilation(lambda: inside.append(torch.compiler.is_compiling()))
    torch.compile(lambda: function(), backend="eager")()
    assert inside == [False]


@only["tensorflow"]
def test_tensorflow_strategy_of_a_model():
    """By default `distribute_strategy` has one replica and `_distribute_strategy` is None."""
    model = compiled(keras.optimizers.SGD())
    assert model._distribute_strategy is None
    assert not devices.is_distributed(model)
    assert model.distribute_strategy.num_replicas_in_sync == 1
    with devices.strategy_scope(model):
        assert read(keras.Variable(1.0)) == 1.0


@only["tensorflow"]
def test_tensorflow_wraps_containers():
    """TensorFlow wraps lists, whose items are in `_storage`, and dicts, which have `__wrapped__`."""
    import tensorflow as tf

    optimizer = keras.optimizers.SGD()
    assert backends.is_tracked_list(optimizer._variables)
    assert [id(variable) for variable in optimizer._variables._storage] == [id(v) for v in optimizer.variables]
    assert not backends.is_tracked_list([1, 2])
    module = tf.Module()
    module.mapping = {"a": 1}
    assert backends.is_tracked_dict(module.mapping)
    assert not backends.is_tracked_dict({"a": 1})


@only["tensorflow"]
def test_tensorflow_keeps_traces_in_a_cache():
    """The traces of a `tf.function` that use the step counter are in caches that can be emptied, and others stay."""
    import tensorflow as tf

    optimizer, traced = keras.optimizers.SGD(), []
    step(optimizer)

    @tf.function
    def reading():
        traced.append("reading")
        return step_counter(optimizer).value + 1

    @tf.function
    def other():
        traced.append("other")
        return tf.constant(1)

    for _ in range(2):
        reading(), other()
    assert traced == ["reading", "other"]
    retrace_functions(optimizer)
    reading(), other()
    assert traced == ["reading", "other", "reading"]


@only["jax"]
def test_jax_discards_traces():
    """`jax.clear_caches` has every function traced again."""
    import jax

    optimizer, traced = keras.optimizers.SGD(), []
    step(optimizer)
    reading = jax.jit(lambda number: traced.append(1) or number)
    for _ in range(2):
        reading(1.0)
    assert len(traced) == 1
    retrace_functions(optimizer)
    reading(1.0)
    assert len(traced) == 2


@only["tensorflow"]
def test_tensorflow_keeps_its_seed_in_the_context():
    """`tf.random.set_seed` sets `_seed` of the eager context, and random operations draw from its `_rng`."""
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


def test_evaluation_on_the_cpu():
    """Within `keras.device("cpu")` a schedule of tensors is evaluated to a number."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert backends.evaluate_on_cpu(schedule, 10) == pytest.approx(0.05)
