"""Tests of the range test as a compiled program, against the range test inside `fit`."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from oracles import reading, states

import onecycle
from onecycle.engine import program_cache
from onecycle.finding import compiled_ramp
from onecycle.results import StopReason

layers = keras.layers
pytestmark = pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch compiles no loops: test_step_graph")
ROWS, BATCH = 75, 8  # ten steps an epoch, the last batch short


def small_model(optimizer=None, body=None, **compiled):
    """Return a small compiled model with batch normalization and dropout, or with the layers in `body`."""
    keras.utils.set_random_seed(3)
    default = [layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(1)]
    model = keras.Sequential([keras.Input((4,)), *(body or default)])
    model.compile(optimizer or keras.optimizers.SGD(0.01, momentum=0.9), **{"loss": "mse", **compiled})
    return model


def arrays():
    """Return inputs and targets that the model can learn."""
    x = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
    return x, 2 * x[:, :1]


def compiled_test(model, **options):
    """Run a range test of 90 steps, which takes two calls of the program."""
    arguments = {"batch_size": BATCH, "num_steps": 90, "seed": 5, "verbose": 0, **options}
    return onecycle.find_learning_rate(model, *arrays(), **arguments)


def run_inside_fit(model, **options):
    """Run the same range test inside `fit`, on the rows in the same order."""
    weights = (options["sample_weight"],) if "sample_weight" in options else ()
    # Enough epochs for 3 batches per update, where gradients accumulate.
    data = reading.in_program_order((*arrays(), *weights), seed=5, batch_size=BATCH, epochs=27)
    given = {name: data[name] for name in ("x", "y", "sample_weight", "batch_size") if name in data}
    return onecycle.find_learning_rate(model, **given, num_steps=90, seed=5, verbose=0, steps_per_execution=None)


@pytest.fixture
def compiled_ramps(monkeypatch):
    """Return a list that has one element for each program compiled for a range test."""
    compiled = []
    original = compiled_ramp.compile_training
    monkeypatch.setattr(compiled_ramp, "compile_training", lambda *args: (compiled.append(1), original(*args))[1])
    return compiled


@pytest.mark.parametrize("kind", ["momentum", "adam", "accumulating", "trained", "weighted", "scheduled"])
def test_losses_equal_those_of_the_test_inside_fit(kind, compiled_ramps):
    """With the same seed, losses agree with those inside `fit` to float32, and the test stops at the same step."""
    optimizers = {
        "adam": lambda: keras.optimizers.Adam(),
        "accumulating": lambda: keras.optimizers.SGD(momentum=0.9, gradient_accumulation_steps=3),
    }
    model = small_model(optimizers.get(kind, lambda: None)())
    if kind == "trained":
        model.fit(*arrays(), verbose=0)
    if kind == "scheduled":
        onecycle.schedule_hyperparameters(model, momentum=onecycle.OneCycle(0.1, 90).momentum())
    options = {"sample_weight": np.linspace(0, 2, ROWS)} if kind == "weighted" else {}
    before = states.of_model(model)
    compiled = compiled_test(model, **options)
    assert compiled_ramps == [1]
    assert states.difference(before, states.of_model(model)) == []
    inside = run_inside_fit(model, **options)
    assert compiled_ramps == [1]
    assert compiled.stop_reason is inside.stop_reason
    assert len(compiled.losses) == len(inside.losses) > 30
    steps = len(inside.losses) - 8  # rounding errors grow where the loss explodes
    np.testing.assert_allclose(compiled.losses[:steps], inside.losses[:steps], rtol=1e-4)
    np.testing.assert_array_equal(compiled.learning_rates, inside.learning_rates)


def test_program_is_reused(compiled_ramps):
    """A program is reused for other rates, lengths, seeds and weights, but not for other shapes or after `compile`."""
    model = small_model()
    compiled_test(model)
    compiled_test(model, min_learning_rate=1e-4, max_learning_rate=1.0, num_steps=30, seed=6, repeats=2)
    model.fit(*arrays(), verbose=0)
    compiled_test(model)
    assert len(compiled_ramps) == 1
    compiled_test(model, batch_size=16)
    assert len(compiled_ramps) == 2
    model.compile(keras.optimizers.SGD(0.01, nesterov=True, momentum=0.9), "mse")
    compiled_test(model)
    assert len(compiled_ramps) == 3


class Clipped(keras.constraints.Constraint):
    """A constraint of the user, without a config."""

    def __init__(self, limit):
        self.limit = limit

    def __call__(self, weight):
        """Return the weight within the limits."""
        return keras.ops.clip(weight, -self.limit, self.limit)


CHANGES = ("rate", "weights", "frozen", "optimizer", "adapted", "constraint", "regularizer")


@pytest.mark.parametrize("change", CHANGES)
def test_a_reused_program_knows_what_has_changed(change):
    """After a change to layers, weights, optimizer or metrics, losses are those of a model that was never tested."""
    tested, fresh = (
        small_model(
            body=[layers.Normalization(), layers.Dense(8, "relu"), layers.Dropout(0.3, seed=1), layers.Dense(1)]
        )
        for _ in range(2)
    )
    for model in (tested, fresh):
        model.layers[1].kernel.constraint = Clipped(1.0)
    fresh.set_weights(tested.get_weights())
    compiled_test(tested, num_steps=20)

    def changed(model):
        match change:
            case "rate":
                model.layers[2].rate = 0.9
            case "weights":
                model.set_weights([0.5 * value for value in model.get_weights()])
            case "frozen":
                model.layers[1].trainable = False
            case "optimizer":
                model.optimizer.momentum = 0.5
            case "adapted":
                model.layers[0].adapt(5 + arrays()[0])
            case "constraint":
                model.layers[1].kernel.constraint = Clipped(0.1)
            case "regularizer":
                model.layers[1].kernel.regularizer = keras.regularizers.L2(0.1)
        return compiled_test(model, num_steps=20, min_learning_rate=1e-3, max_learning_rate=1e-1).losses

    np.testing.assert_allclose(changed(tested), changed(fresh), rtol=1e-6)


def test_unsupported_cases_use_fit(compiled_ramps):
    """A `steps_per_execution`, validation data, a custom step, loss scaling and `run_eagerly` all use `fit`."""

    class CustomStep(keras.Sequential):
        def train_step(self, *args):
            return super().train_step(*args)

    custom = CustomStep([keras.Input((4,)), layers.Dense(1)])
    custom.compile("sgd", "mse")
    plain, eager = small_model(body=[layers.Dense(1)]), small_model(body=[layers.Dense(1)], run_eagerly=True)
    scaled = small_model(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01)), body=[layers.Dense(1)])
    options = {"num_steps": 10, "max_learning_rate": 1e-3, "batch_size": 25}
    for model, more in [(custom, {}), (scaled, {}), (eager, {}), (plain, {"steps_per_execution": 1})]:
        assert compiled_test(model, **options, **more).stop_reason is StopReason.COMPLETED
    compiled_test(plain, **options, validation_data=tuple(array[:4] for array in arrays()))
    assert compiled_ramps == []


def test_large_convolutions_use_single_steps(compiled_ramps, monkeypatch):
    """Convolutions that are slow in a compiled loop on a CPU run in calls of a compiled step, with the same losses."""
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(32, 6, 6, 1)).astype("float32")
    options = {"num_steps": 12, "max_learning_rate": 1e-3, "seed": 1, "verbose": 0}
    small = onecycle.find_learning_rate(model, x, x[:, 0, 0], **options)
    monkeypatch.setattr("onecycle.engine.programs.MAX_CONVOLUTION_OPERATIONS", 100)
    model.compile("sgd", "mse")
    large = onecycle.find_learning_rate(model, x, x[:, 0, 0], **options)
    kinds = [type(entry).__name__ for entry in program_cache.cache_of(model)._entries.values()]
    assert kinds == (["SteppedProgram"] if keras.backend.backend() == "jax" else ["TrainingProgram"])
    assert len(compiled_ramps) == 2
    np.testing.assert_allclose(small.losses, large.losses, rtol=1e-4)


def test_slow_steps_are_run_in_small_chunks(monkeypatch):
    """Slow steps are run few at a time, so that Ctrl-C works, and the result is the same.

    The second repeat is included, whose rows come from the same global generator.
    """
    model = small_model()
    model.optimizer.build(model.trainable_variables)

    def seeded_test():
        keras.utils.set_random_seed(7)
        return compiled_test(model, seed=None, repeats=2)

    quick = seeded_test()
    steps_of_calls = []
    original = compiled_ramp.CompiledRamp._arguments

    def recording(self, state, order, first, steps):
        steps_of_calls.append(steps)
        return original(self, state, order, first, steps)

    monkeypatch.setattr(compiled_ramp.CompiledRamp, "_arguments", recording)
    # Each step takes a fifth of a second on this clock.
    monkeypatch.setattr(compiled_ramp, "time", SimpleNamespace(perf_counter=lambda: 0.2 * sum(steps_of_calls)))
    slow = seeded_test()
    assert steps_of_calls[:20] == [8, *[2] * 19]
    assert slow.losses.shape[0] == 2
    np.testing.assert_array_equal(slow.losses, quick.losses)


def test_interruption_restores_the_model(monkeypatch):
    """Ctrl-C between two chunks leaves model, optimizer and random states as they were."""
    model = small_model()
    before = states.of_model(model)
    states.seed(2)
    expected_draws = states.draws()
    states.seed(2)
    monkeypatch.setattr(compiled_ramp.CompiledRamp, "_arguments", _interrupting(compiled_ramp.CompiledRamp._arguments))
    with pytest.raises(KeyboardInterrupt):
        compiled_test(model)
    assert states.difference(before, states.of_model(model)) == []
    assert states.draws() == expected_draws


def _interrupting(original):
    calls = []

    def arguments(*args):
        calls.append(1)
        if len(calls) == 3:  # the calls: to compile, before the first chunk, before the second
            raise KeyboardInterrupt
        return original(*args)

    return arguments
