"""Tests of `OneCycleScheduler` together with the callbacks of Keras, and of its arguments."""

import csv
import importlib.util

import keras
import pytest
from oracles import networks
from oracles.cycles import STEPS, T, compiled, fit, weight_distance

import onecycle
from onecycle import LearningRateFinder, OneCycle, OneCycleScheduler, WarmupLinearDecay

pytestmark = pytest.mark.one_backend

SGD = keras.optimizers.SGD


def observers(folder):
    """Return callbacks that only observe or save."""
    callbacks = [
        keras.callbacks.ModelCheckpoint(str(folder / "{epoch}.keras")),
        keras.callbacks.ModelCheckpoint(str(folder / "{epoch}.weights.h5"), save_weights_only=True),
        keras.callbacks.EarlyStopping("loss", patience=10),
        keras.callbacks.CSVLogger(str(folder / "log.csv")),
        keras.callbacks.BackupAndRestore(str(folder / "backup")),
        keras.callbacks.TerminateOnNaN(),
    ]
    if importlib.util.find_spec("tensorboard"):
        callbacks.append(keras.callbacks.TensorBoard(str(folder / "logs")))
    return callbacks


@pytest.fixture(scope="module")
def model_alone():
    """Return the model after a cycle with no other callback."""
    model = compiled()
    fit(model, OneCycleScheduler(0.1))
    return model


@pytest.mark.parametrize("place", [0, None])
def test_observers_do_not_affect_the_cycle(model_alone, tmp_path, place):
    """Checkpoints, logs, backups and early stopping do not change the training, in any order of the callbacks."""
    model, callbacks = compiled(), observers(tmp_path)
    callbacks.insert(len(callbacks) if place is None else place, OneCycleScheduler(0.1))
    assert fit(model, *callbacks).onecycle.total_steps == T
    assert weight_distance(model, model_alone) == 0
    with (tmp_path / "log.csv").open() as log:
        assert len(list(csv.DictReader(log))) == T // STEPS


def test_checkpoints_during_a_cycle_load_as_plain_models(tmp_path):
    """A checkpoint saved during a cycle loads as a plain model with the optimizer's own rate, momentum and step."""
    model = compiled()
    fit(model, OneCycleScheduler(0.1), *observers(tmp_path)[:2])
    whole, weights = keras.saving.load_model(tmp_path / "2.keras"), compiled()
    weights.optimizer.build(weights.trainable_variables)
    weights.load_weights(tmp_path / "2.weights.h5")
    for loaded in (whole, weights):
        assert isinstance(loaded.optimizer, SGD)
        assert loaded.optimizer.get_config()["learning_rate"] == pytest.approx(0.02)
        assert loaded.optimizer.momentum == 0.9
        assert int(keras.ops.convert_to_numpy(loaded.optimizer.iterations)) == 2 * STEPS
        fit(loaded)
    assert weight_distance(whole, weights) == 0


CONFLICTING = {
    "LearningRateScheduler": lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
    "ReduceLROnPlateau": lambda: keras.callbacks.ReduceLROnPlateau("loss"),
    "LearningRateFinder": LearningRateFinder,
    "OneCycleScheduler": lambda: OneCycleScheduler(0.1),
}


@pytest.mark.parametrize("name", CONFLICTING)
@pytest.mark.parametrize("first", [True, False])
def test_conflicting_callbacks_are_refused(name, first):
    """Another callback that sets the learning rate is refused before the first step, in any order."""
    model = compiled()
    with pytest.raises(ValueError, match=f"OneCycleScheduler.*{name}|{name}.*OneCycleScheduler"):
        fit(model, *[OneCycleScheduler(0.1), CONFLICTING[name]()][:: 1 if first else -1])
    assert networks.distance(model.get_weights(), networks.initial_weights(0)) == 0


CYCLE = OneCycle(0.1, 50)
BAD = {
    "neither": ({}, ValueError, "either `max_learning_rate` or `schedule`"),
    "both": ({"max_learning_rate": 0.1, "schedule": CYCLE}, ValueError, "either `max_learning_rate` or `schedule`"),
    "peak of 0": ({"max_learning_rate": 0.0}, ValueError, "`max_learning_rate` must be > 0"),
    "negative peak": ({"max_learning_rate": -0.1}, ValueError, "`max_learning_rate` must be > 0"),
    "peak NaN": ({"max_learning_rate": float("nan")}, ValueError, "`max_learning_rate` must be a finite"),
    "peak text": ({"max_learning_rate": "0.1"}, ValueError, "`max_learning_rate` must be a finite"),
    "no steps": ({"max_learning_rate": 0.1, "total_steps": 0}, ValueError, "`total_steps` must be >= 1"),
    "broken steps": ({"max_learning_rate": 0.1, "total_steps": 1.5}, ValueError, "`total_steps` must be an integer"),
    "pair reversed": ({"max_learning_rate": 0.1, "momentum": (0.85, 0.95)}, ValueError, r"pair \(high, low\)"),
    "three momenta": ({"max_learning_rate": 0.1, "momentum": (0.9, 0.8, 0.9)}, ValueError, r"pair \(high, low\)"),
    "momentum of 1": ({"max_learning_rate": 0.1, "momentum": (1.0, 0.8)}, ValueError, "high < 1"),
    "negative momentum": ({"max_learning_rate": 0.1, "momentum": (0.9, -0.1)}, ValueError, "`momentum`"),
    "momentum text": ({"max_learning_rate": 0.1, "momentum": "off"}, ValueError, '"auto", a pair'),
    "one momentum": ({"max_learning_rate": 0.1, "momentum": 0.9}, ValueError, '"auto", a pair'),
    "schedule a number": ({"schedule": 0.1}, TypeError, "LearningRateSchedule"),
    "no cycle": ({"schedule": WarmupLinearDecay(0.1, 50), "momentum": (0.9, 0.8)}, ValueError, "no matching momentum"),
    "two lengths": ({"schedule": CYCLE, "total_steps": 40}, ValueError, "that of the schedule"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case):
    """The constructor refuses bad arguments, and the error names the argument."""
    arguments, error, message = BAD[case]
    with pytest.raises(error, match=message):
        OneCycleScheduler(**arguments)


def test_callable_must_return_a_schedule():
    """A `schedule` callable must return a schedule, with a momentum pair a cycle, else `fit` refuses it."""
    model = compiled()
    with pytest.raises(TypeError, match=r"must return a keras LearningRateSchedule. Received: 0.1 for total_steps=15"):
        fit(model, OneCycleScheduler(schedule=lambda steps: 0.1))
    with pytest.raises(ValueError, match="WarmupLinearDecay has no matching momentum"):
        fit(model, OneCycleScheduler(schedule=lambda steps: WarmupLinearDecay(0.1, steps), momentum=(0.9, 0.8)))
    assert networks.distance(model.get_weights(), networks.initial_weights(0)) == 0
    assert "apply" not in vars(model.optimizer)


@pytest.mark.parametrize("optimizer", [SGD, keras.optimizers.Adagrad])
def test_optimizer_without_momentum_cycles_the_rate_only(optimizer):
    """Without momentum, a pair is refused before the first step, and "auto" cycles the learning rate only."""
    model, by_hand = compiled(optimizer(0.02)), compiled(optimizer(0.02))
    with pytest.raises(ValueError, match="momentum"):
        fit(model, OneCycleScheduler(0.1, momentum=(0.95, 0.85)))
    assert networks.distance(model.get_weights(), networks.initial_weights(0)) == 0
    assert fit(model, OneCycleScheduler(0.1)).onecycle.momentum is None
    fit(onecycle.schedule_hyperparameters(by_hand, learning_rate=OneCycle(0.1, T)))
    assert weight_distance(model, by_hand) == 0


def test_model_must_be_compiled():
    """A model that is not compiled is refused with the remedy."""
    model = networks.keras_model(0)
    with pytest.raises(ValueError, match="compile"):
        fit(model, OneCycleScheduler(0.1))


SCHEDULES = {
    "callable": (lambda steps: OneCycle(0.2, steps), lambda start: OneCycle(0.2, T, start_step=start)),
    "Keras": (keras.optimizers.schedules.CosineDecay(0.1, T), lambda start: Delayed(SCHEDULES["Keras"][0], start)),
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_schedule_starts_with_the_fit(kind):
    """A schedule or callable starts at the first step of the fit, in a second fit too."""
    schedule, shifted = SCHEDULES[kind]
    model, by_hand = compiled(), compiled()
    callback = OneCycleScheduler(schedule=schedule)
    reports = [fit(model, callback).onecycle for _ in range(2)]
    assert [report.start_step for report in reports] == [0, T]
    assert " object at " not in reports[1].summary()
    for start in (0, T):
        rates = shifted(start)
        momentum = rates.momentum() if kind == "callable" else None
        fit(onecycle.schedule_hyperparameters(by_hand, learning_rate=rates, momentum=momentum))
    assert weight_distance(model, by_hand) < 1e-6


def test_report_describes_the_given_schedule():
    """A onecycle schedule keeps its own length, and a schedule without a config is reported by its class name."""
    model = compiled()
    report = fit(model, OneCycleScheduler(schedule=OneCycle(0.1, 8, start_step=7))).onecycle
    assert (report.start_step, report.total_steps, report.steps) == (7, 8, T - 7)
    report = fit(model, OneCycleScheduler(schedule=Delayed(OneCycle(0.1, 20), 0))).onecycle
    assert report.schedule == f"Delayed from step {T}"
    assert report.momentum is None


class Delayed(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that starts at a later step."""

    def __init__(self, schedule, start):
        self.schedule, self.start = schedule, start

    def __call__(self, step):
        return self.schedule(step - self.start)
