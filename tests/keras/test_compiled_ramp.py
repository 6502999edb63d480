"""The range test as a compiled program finds what the one inside `fit` finds, and is compiled once."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from oracles import reading, states

import onecycle
from onecycle.finding import compiled_ramp
from onecycle.results import StopReason

layers = keras.layers
pytestmark = pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch has no such program")
ROWS, BATCH = 75, 8  # ten steps an epoch, the last batch short


def make(optimizer=None, body=None, **compiled):
    """A small model with every kind of state."""
    keras.utils.set_random_seed(3)
    whole = [layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(1)]
    model = keras.Sequential([keras.Input((4,)), *(body or whole)])
    model.compile(optimizer or keras.optimizers.SGD(0.01, momentum=0.9), **{"loss": "mse", **compiled})
    return model


def arrays():
    """Inputs and targets that the model can learn."""
    x = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
    return x, 2 * x[:, :1]


def find(model, **options):
    """A test of 90 steps: two chunks."""
    arguments = {"batch_size": BATCH, "num_steps": 90, "seed": 5, "verbose": 0, **options}
    return onecycle.find_learning_rate(model, *arrays(), **arguments)


def find_inside_fit(model, **options):
    """The same test inside `fit`, which reads the rows in the same order."""
    weights = (options["sample_weight"],) if "sample_weight" in options else ()
    data = reading.as_programs_do((*arrays(), *weights), seed=5, batch_size=BATCH, epochs=9)
    given = {name: data[name] for name in ("x", "y", "sample_weight", "batch_size") if name in data}
    return onecycle.find_learning_rate(model, **given, num_steps=90, seed=5, verbose=0, steps_per_execution=None)


@pytest.fixture
def compiled_ramps(monkeypatch):
    """A list of the programs that were made for range tests."""
    made = []
    original = compiled_ramp.Program
    monkeypatch.setattr(compiled_ramp, "Program", lambda *args: (made.append(1), original(*args))[1])
    return made


@pytest.mark.parametrize("kind", ["momentum", "adam", "accumulating", "trained", "weighted", "scheduled"])
def test_losses_are_those_of_the_test_inside_fit(kind, compiled_ramps):
    """With the same seed every loss is the same to float32, and so is the step at which the test stops."""
    optimizers = {
        "adam": lambda: keras.optimizers.Adam(),
        "accumulating": lambda: keras.optimizers.SGD(momentum=0.9, gradient_accumulation_steps=3),
    }
    model = make(optimizers.get(kind, lambda: None)())
    if kind == "trained":
        model.fit(*arrays(), verbose=0)
    if kind == "scheduled":
        onecycle.schedule_hyperparameters(model, momentum=onecycle.OneCycle(0.1, 90).momentum())
    options = {"sample_weight": np.linspace(0, 2, ROWS)} if kind == "weighted" else {}
    before = states.of_model(model)
    compiled = find(model, **options)
    assert compiled_ramps == [1]
    assert states.difference(before, states.of_model(model)) == []
    inside = find_inside_fit(model, **options)
    assert compiled_ramps == [1]
    assert compiled.stop_reason is inside.stop_reason
    assert len(compiled.losses) == len(inside.losses) > 30
    steps = len(inside.losses) - 8  # where the loss explodes, so do differences
    np.testing.assert_allclose(compiled.losses[:steps], inside.losses[:steps], rtol=1e-4)
    np.testing.assert_array_equal(compiled.learning_rates, inside.learning_rates)


def test_a_program_serves_every_later_test_of_the_same_shapes(compiled_ramps):
    """Other rates, lengths, seeds and weights need no new one; another compilation or other shapes do."""
    model = make()
    model.optimizer.build(model.trainable_variables)  # TensorFlow's programs go with an optimizer that they had built
    find(model)
    find(model, min_learning_rate=1e-4, max_learning_rate=1.0, num_steps=30, seed=6, repeats=2)
    model.fit(*arrays(), verbose=0)
    find(model)
    assert len(compiled_ramps) == 1
    find(model, batch_size=16)
    assert len(compiled_ramps) == 2
    model.compile(keras.optimizers.SGD(0.01, nesterov=True, momentum=0.9), "mse")
    find(model)
    assert len(compiled_ramps) == 3


def test_what_is_not_to_be_compiled_goes_through_fit(compiled_ramps):
    """A number of steps per execution, validation data, a model's own step, loss scaling, `run_eagerly`."""

    class OwnStep(keras.Sequential):
        def train_step(self, *args):
            return super().train_step(*args)

    own = OwnStep([keras.Input((4,)), layers.Dense(1)])
    own.compile("sgd", "mse")
    plain, eager = make(body=[layers.Dense(1)]), make(body=[layers.Dense(1)], run_eagerly=True)
    scaled = make(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01)), body=[layers.Dense(1)])
    options = {"num_steps": 10, "max_learning_rate": 1e-3, "batch_size": 25}
    for model, more in [(own, {}), (scaled, {}), (eager, {}), (plain, {"steps_per_execution": 1})]:
        assert find(model, **options, **more).stop_reason is StopReason.COMPLETED
    find(plain, **options, validation_data=tuple(array[:4] for array in arrays()))
    assert compiled_ramps == []


def test_convolutions_that_a_loop_would_slow_go_through_fit(compiled_ramps, monkeypatch):
    """Where a CPU's loop is bad for them the test is not compiled, and finds the same."""
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(32, 6, 6, 1)).astype("float32")
    options = {"num_steps": 12, "max_learning_rate": 1e-3, "seed": 1, "verbose": 0}
    small = onecycle.find_learning_rate(model, x, x[:, 0, 0], **options)
    monkeypatch.setattr("onecycle.engine.program.MOST_CONVOLVED", 100)
    model.compile("sgd", "mse")
    large = onecycle.find_learning_rate(model, x, x[:, 0, 0], **options)
    assert len(compiled_ramps) == 2
    np.testing.assert_allclose(small.losses, large.losses, rtol=1e-4)


def test_slow_steps_are_made_few_at_a_time(monkeypatch):
    """Where a step takes long a call makes few, so that Ctrl-C is heard soon; the result is the same.

    Also that of a second test, whose rows come from the same global generator.
    """
    model = make()
    model.optimizer.build(model.trainable_variables)

    def found():
        keras.utils.set_random_seed(7)
        return find(model, seed=None, repeats=2)

    quick = found()
    taken = []
    original = compiled_ramp.CompiledRamp._arguments

    def noting(self, state, order, first, steps):
        taken.append(steps)
        return original(self, state, order, first, steps)

    monkeypatch.setattr(compiled_ramp.CompiledRamp, "_arguments", noting)
    monkeypatch.setattr(
        compiled_ramp, "time", SimpleNamespace(perf_counter=lambda: 0.2 * sum(taken))
    )  # a fifth of a second each
    slow = found()
    assert taken[:20] == [8, *[2] * 19]
    assert slow.losses.shape[0] == 2
    np.testing.assert_array_equal(slow.losses, quick.losses)


def test_an_interruption_leaves_no_trace(monkeypatch):
    """Ctrl-C between two chunks leaves model, optimizer and random generators as they were."""
    model = make()
    before = states.of_model(model)
    states.seed(2)
    drawn = states.draws()
    states.seed(2)
    monkeypatch.setattr(compiled_ramp.CompiledRamp, "_arguments", _interrupting(compiled_ramp.CompiledRamp._arguments))
    with pytest.raises(KeyboardInterrupt):
        find(model)
    assert states.difference(before, states.of_model(model)) == []
    assert states.draws() == drawn


def _interrupting(original):
    calls = []

    def arguments(*args):
        calls.append(1)
        if len(calls) == 3:  # once to compile, then before the second chunk
            raise KeyboardInterrupt
        return original(*args)

    return arguments
