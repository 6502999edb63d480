"""`schedule_hyperparameters` and `unschedule_hyperparameters`: what they accept, refuse and change."""

import re

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.scheduled import CYCLE, compiled, fit, optimizer_with_momentum, read, sgd, unchanged

import onecycle
from onecycle.hyperparameters.value_table import ValueTable

# Keras 3.15 reads variables in a way that NumPy 2 deprecates. onecycle has no part in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

ABSTRACT = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"}
ALL = sorted(
    name
    for name, found in vars(keras.optimizers).items()
    if isinstance(found, type) and issubclass(found, keras.optimizers.Optimizer) and name not in ABSTRACT
)
WITH_MOMENTUM = {"SGD", "RMSprop", "Adam", "AdamW", "Nadam", "Adamax", "Lamb", "Lion", "Muon"}
WITHOUT_MOMENTUM = [name for name in ALL if name not in WITH_MOMENTUM]


# What is refused, before anything is changed


@pytest.mark.parametrize("name", WITHOUT_MOMENTUM)
def test_optimizers_without_momentum_are_refused(name):
    """A momentum for an optimizer that has none is an error that names the optimizer and the remedy."""
    optimizer = getattr(keras.optimizers, name)()
    with unchanged(optimizer), pytest.raises(ValueError, match=rf"{name} has no `momentum` or `beta_1`.*momentum=None"):
        onecycle.schedule_hyperparameters(optimizer, learning_rate=CYCLE, momentum=CYCLE.momentum())


@pytest.mark.parametrize("name", ["SGD", "RMSprop"])
def test_momentum_zero_is_refused(name):
    """An optimizer built with momentum 0 keeps no velocity, and the error explains how to build it with one."""
    optimizer = getattr(keras.optimizers, name)()
    with unchanged(optimizer), pytest.raises(ValueError, match=rf"built with momentum=0.0.*{name}\(momentum=0.9\)"):
        onecycle.schedule_hyperparameters(optimizer, momentum=0.9)


@pytest.mark.parametrize("wrong", ["0.1", True, [0.1], lambda step: 0.1])
@pytest.mark.parametrize("name", ["learning_rate", "momentum", "weight_decay"])
def test_wrong_types(name, wrong):
    """A value that is neither a number nor a schedule is a TypeError that names the argument."""
    optimizer = keras.optimizers.Adam()
    with unchanged(optimizer), pytest.raises(TypeError, match=f"`{name}` must be a number"):
        onecycle.schedule_hyperparameters(optimizer, **{name: wrong})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("learning_rate", -0.1),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("weight_decay", -1e-4),
    ],
)
def test_numbers_out_of_range(name, wrong):
    """A number out of range is refused with an error that names the range."""
    optimizer = keras.optimizers.Adam()
    with unchanged(optimizer), pytest.raises(ValueError, match=rf"`{name}` must be (in \[0, 1\)|>= 0)"):
        onecycle.schedule_hyperparameters(optimizer, **{name: wrong})


@pytest.mark.parametrize("wrong", [None, "adam", keras.layers.Dense(1)])
@pytest.mark.parametrize("function", [onecycle.schedule_hyperparameters, onecycle.unschedule_hyperparameters])
def test_neither_model_nor_optimizer(function, wrong):
    """Anything but a model or an optimizer is a TypeError that names the two."""
    with pytest.raises(TypeError, match=r"compiled keras\.Model or a keras optimizer"):
        function(wrong)


def test_uncompiled_model():
    """A model without an optimizer is refused with the advice to compile it."""
    with pytest.raises(ValueError, match=r"model.compile\(optimizer="):
        onecycle.schedule_hyperparameters(networks.keras_model(seed=0), learning_rate=0.1)


def test_an_optimizer_that_has_made_steps_is_scheduled_without_its_model():
    """The compiled step of a model that was trained before follows schedules of its optimizer, and is plain again."""
    model, other = compiled(keras.optimizers.Adam()), compiled(keras.optimizers.Adam())
    for one, scheduled in ((model, model.optimizer), (other, other)):
        fit(one, 2)
        assert onecycle.schedule_hyperparameters(scheduled, learning_rate=CYCLE, momentum=0.8) is scheduled
        fit(one, 2)
        onecycle.unschedule_hyperparameters(scheduled)
        fit(one, 2)
    assert networks.distance(model.get_weights(), other.get_weights()) == 0


def test_an_interrupted_installation_leaves_the_earlier_schedules(monkeypatch):
    """If Ctrl-C interrupts the installation of new schedules, those installed before stay installed."""

    def interrupted(plan):
        raise KeyboardInterrupt

    optimizer = keras.optimizers.Adam()
    onecycle.schedule_hyperparameters(optimizer, learning_rate=CYCLE)
    monkeypatch.setattr(ValueTable, "of", interrupted)
    with unchanged(optimizer), pytest.raises(KeyboardInterrupt):
        onecycle.schedule_hyperparameters(optimizer, momentum=CYCLE.momentum())
    assert float(optimizer.learning_rate) == pytest.approx(0.01)


# What is accepted


@pytest.mark.parametrize("name", ALL)
def test_the_learning_rate_alone_can_be_scheduled_in_every_optimizer(name):
    """Every optimizer of Keras takes a scheduled rate, and updates like one that was built with that schedule."""
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.02, 0.01])
    moved = []
    for optimizer in (make_keras(name, 0.5), make_keras(name, schedule), make_keras(name, 0.5)):
        if len(moved) == 2:
            onecycle.schedule_hyperparameters(optimizer, learning_rate=schedule)
        variable = keras.Variable(np.array([[0.5, -1.0], [2.0, 0.25]]), dtype="float32")
        for gradient in (1.0, -0.5, 2.0):
            optimizer.apply([keras.ops.full((2, 2), gradient)], [variable])
        moved.append(keras.ops.convert_to_numpy(variable.value))
    unscheduled, built_with_schedule, scheduled = moved
    np.testing.assert_allclose(scheduled, built_with_schedule, rtol=1e-6)
    assert np.abs(scheduled - unscheduled).max() > 1e-4


def test_an_optimizer_can_be_scheduled_before_compile():
    """An optimizer that has taken no step can be scheduled first and passed to `compile` afterwards."""
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9)
    assert onecycle.schedule_hyperparameters(optimizer, learning_rate=CYCLE, momentum=CYCLE.momentum()) is optimizer
    model = compiled(optimizer)
    fit(model, 6)
    assert networks.distance(model.get_weights(), sgd(momentum=CYCLE.momentum())) < 1e-5


def test_returns_the_model():
    """Both functions return their argument."""
    model = compiled(keras.optimizers.SGD())
    assert onecycle.schedule_hyperparameters(model, learning_rate=CYCLE) is model
    assert onecycle.unschedule_hyperparameters(model) is model


def test_a_second_call_merges():
    """A second call replaces the hyperparameters it names and keeps the others."""
    model = compiled(keras.optimizers.SGD(0.5, momentum=0.9))
    onecycle.schedule_hyperparameters(model, learning_rate=0.3, momentum=CYCLE.momentum())
    onecycle.schedule_hyperparameters(model, learning_rate=CYCLE)
    fit(model, 6)
    assert networks.distance(model.get_weights(), sgd(momentum=CYCLE.momentum())) < 1e-5


@pytest.mark.parametrize("name", sorted(WITH_MOMENTUM))
def test_no_variable_is_added(name):
    """The optimizer's variables have the number, names, shapes and dtypes of those of the plain optimizer."""
    plain, scheduled = (compiled(optimizer_with_momentum(name)) for _ in range(2))
    onecycle.schedule_hyperparameters(scheduled, learning_rate=CYCLE, momentum=CYCLE.momentum(), weight_decay=0.01)
    for model in (plain, scheduled):
        gradients = [keras.ops.ones(variable.shape) for variable in model.trainable_variables]
        model.optimizer.apply(gradients, model.trainable_variables)
    assert layout(scheduled) == layout(plain)
    assert len(layout(plain)) > 2


# Reading schedules and removing them


def test_learning_rate_reads_the_schedule_and_the_original_afterwards():
    """Between steps `optimizer.learning_rate` is the next step's value; after unscheduling it is the original one."""
    model = compiled(keras.optimizers.Adam(0.5))
    onecycle.schedule_hyperparameters(model, learning_rate=CYCLE, momentum=CYCLE.momentum())
    for step in range(3):
        assert read(model) == pytest.approx(CYCLE.value_at(step), rel=1e-6)
        fit(model, 1)
    onecycle.unschedule_hyperparameters(model)
    assert read(model) == pytest.approx(0.5)


def test_a_number_can_be_read_as_keras_callbacks_read_it():
    """A learning rate scheduled as a plain number can be read through `keras.ops`, as Keras' callbacks do."""
    optimizer = keras.optimizers.Adam(0.5)
    onecycle.schedule_hyperparameters(optimizer, learning_rate=0.25)
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == 0.25


@pytest.mark.parametrize("original", [0.05, keras.optimizers.schedules.ExponentialDecay(0.05, 10, 0.5)])
def test_learning_rate_none_keeps_the_original(original):
    """With `learning_rate=None` the optimizer keeps its rate or schedule, also after unscheduling."""
    model = compiled(keras.optimizers.SGD(original, momentum=0.9))
    before = model.optimizer._learning_rate
    onecycle.schedule_hyperparameters(model, momentum=CYCLE.momentum())
    fit(model, 6)
    rate = original if isinstance(original, float) else lambda step: 0.05 * 0.5 ** (step / 10)
    assert networks.distance(model.get_weights(), sgd(learning_rate=rate, momentum=CYCLE.momentum())) < 1e-5
    onecycle.unschedule_hyperparameters(model)
    assert model.optimizer._learning_rate is before


def test_a_replaced_schedule_is_restored():
    """An optimizer that was built with a schedule has it again after unscheduling."""
    original = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.5)
    model = compiled(keras.optimizers.SGD(original, momentum=0.9))
    onecycle.schedule_hyperparameters(model, learning_rate=0.125)
    assert read(model) == 0.125
    onecycle.unschedule_hyperparameters(model)
    fit(model, 1)
    assert read(model) == pytest.approx(0.5 * 0.5**0.1)
    assert model.optimizer.get_config()["learning_rate"]["config"]["initial_learning_rate"] == 0.5


@pytest.mark.parametrize("name", sorted(WITH_MOMENTUM))
def test_unscheduling_leaves_nothing(name):
    """After scheduled steps and unscheduling, every attribute of the optimizer is the same object as before."""
    optimizer = optimizer_with_momentum(name)
    variable = keras.Variable(np.ones((2, 2)), dtype="float32")
    gradient = keras.ops.ones((2, 2))
    optimizer.build([variable])
    before, config = dict(vars(optimizer)), optimizer.get_config()
    onecycle.schedule_hyperparameters(optimizer, learning_rate=CYCLE, momentum=CYCLE.momentum(), weight_decay=0.01)
    assert set(vars(optimizer)) > set(before)
    for _ in range(2):
        optimizer.apply([gradient], [variable])
    onecycle.unschedule_hyperparameters(optimizer)
    after = vars(optimizer)
    # Keras stores which variables are decayed at the first step with weight decay.
    assert set(after) - set(before) <= {"_exclude_from_weight_decay_cache"}
    assert [key for key in before if after[key] is not before[key]] == []
    assert optimizer.get_config() == config


def test_the_next_fit_is_unscheduled():
    """After unscheduling, the compiled step is that of the plain optimizer."""
    model = compiled(keras.optimizers.SGD(0.05, momentum=0.9))
    onecycle.schedule_hyperparameters(model, learning_rate=0.0, momentum=0.1)
    fit(model, 3)
    assert networks.distance(model.get_weights(), networks.initial_weights(0)) == 0
    onecycle.unschedule_hyperparameters(model)
    fit(model, 6)
    assert networks.distance(model.get_weights(), sgd(learning_rate=0.05)) < 1e-5


def test_unscheduling_without_schedules():
    """Unscheduling a model without schedules does nothing and keeps the compiled function."""
    model = compiled(keras.optimizers.SGD(0.05))
    fit(model, 1)
    function = model.train_function
    onecycle.unschedule_hyperparameters(model)
    assert model.train_function is function


def test_the_config_has_the_original_values():
    """Between steps the optimizer has its original hyperparameters, so a saved config is that of a plain optimizer."""
    model = compiled(keras.optimizers.AdamW(0.5, weight_decay=0.25, beta_1=0.75))
    onecycle.schedule_hyperparameters(model, learning_rate=CYCLE, momentum=CYCLE.momentum(), weight_decay=0.125)
    fit(model, 1)
    config = model.optimizer.get_config()
    assert (config["learning_rate"], config["weight_decay"], config["beta_1"]) == (0.5, 0.25, 0.75)


def test_an_error_inside_the_step_restores_the_original_values():
    """If a step raises, the optimizer has its original values again, and its schedules are at the same step."""
    optimizer = keras.optimizers.AdamW(0.5, weight_decay=0.25, beta_1=0.75)
    variable = keras.Variable(np.ones((2, 2)), dtype="float32")
    onecycle.schedule_hyperparameters(optimizer, learning_rate=CYCLE, momentum=CYCLE.momentum(), weight_decay=0.125)
    seen = []

    def failing(*arguments):
        seen.append(float(optimizer.weight_decay))
        raise ArithmeticError

    vars(optimizer)["_backend_update_step"] = failing
    with pytest.raises(ArithmeticError):
        optimizer.apply([keras.ops.ones((2, 2))], [variable])
    assert seen == [pytest.approx(0.125)]
    assert (optimizer.weight_decay, optimizer.beta_1) == (0.25, 0.75)
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == pytest.approx(CYCLE.value_at(0))


def make_keras(name, learning_rate):
    """Return the Keras optimizer of that name."""
    return getattr(keras.optimizers, name)(learning_rate=learning_rate)


def layout(model):
    """Return the paths, shapes and dtypes of the optimizer's variables, without the numbers Keras gives to layers."""
    variables = model.optimizer.variables
    return [(re.sub(r"_\d+", "", v.path), tuple(v.shape), str(v.dtype)) for v in variables]
