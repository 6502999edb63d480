"""KerasTuner: each trial has a cycle of its own, and the trials that Hyperband continues."""

import pytest
from oracles.clients import LABELS, STEPS, Recorder, X, build

import onecycle

keras_tuner = pytest.importorskip("keras_tuner")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # KerasTuner's
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer"),  # of one that is not built
]

DATA = {"x": X, "y": LABELS, "validation_data": (X, LABELS), "verbose": 0}


class Peaks(keras_tuner.HyperModel):
    """Searches the peak and the width, and trains by `fit_one_cycle`."""

    def build(self, hp):
        return build(hp.Int("units", 1, 8))

    def fit(self, hp, model, *args, **kwargs):
        peak = hp.Float("peak", 1e-2, 1.0, sampling="log")
        return onecycle.fit_one_cycle(model, *args, max_learning_rate=peak, **kwargs)


class Widths(keras_tuner.HyperModel):
    """Searches the width. The optimizer is built, so that its state is loaded where a trial is continued."""

    def __init__(self, built):
        super().__init__()
        self.built = built

    def build(self, hp):
        model = build(hp.Int("units", 1, 8))
        if self.built:
            model.optimizer.build(model.trainable_variables)
        return model


def test_callbacks_are_copied_for_each_trial():
    """Every trial makes a whole cycle, and the callback that was passed stays as it was."""
    fits, cycle = [], onecycle.OneCycleScheduler(0.1)
    tuner = keras_tuner.RandomSearch(Widths(False), "val_loss", max_trials=2, directory=".", seed=0)
    tuner.search(**DATA, epochs=2, callbacks=[cycle, Recorder(fits)])

    assert fits == [pytest.approx(onecycle.OneCycle(0.1, 2 * STEPS).values())] * 2
    assert cycle.params is None


def test_fit_one_cycle_in_a_hyper_model():
    """`HyperModel.fit` may call `fit_one_cycle`: its peak is searched, and its History is the score."""
    fits = []
    tuner = keras_tuner.RandomSearch(Peaks(), "val_accuracy", max_trials=3, directory=".", seed=0)
    tuner.search(**DATA, epochs=2, callbacks=[Recorder(fits)])
    trials = tuner.oracle.trials.values()

    assert [max(rates) for rates in fits] == pytest.approx([trial.hyperparameters["peak"] for trial in trials])
    assert all(0 <= trial.score <= 1 for trial in trials)


def hyperband(built, callback):
    """Run Hyperband and return the rates of each `fit`, as (epochs of the round, rates)."""
    fits = []
    tuner = keras_tuner.Hyperband(Widths(built), "val_loss", max_epochs=2, factor=2, directory=".", seed=0)
    tuner.search(**DATA, callbacks=[callback, Recorder(fits)])
    states = [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]
    return [(state["tuner/initial_epoch"], rates) for state, rates in zip(states, fits, strict=True)]


def test_hyperband_makes_a_new_cycle_in_each_round():
    """A trial that is continued makes a complete cycle in its remaining epochs, and a warning says so."""
    with pytest.warns(UserWarning, match="With `initial_epoch=1` a new cycle begins"):
        fits = hyperband(False, onecycle.OneCycleScheduler(0.1))

    assert {begin for begin, _ in fits} == {0, 1}
    for begin, rates in fits:
        if begin:
            assert rates == pytest.approx(onecycle.OneCycle(0.1, STEPS).values())


@pytest.mark.long
def test_hyperband_continues_a_cycle_where_the_optimizer_is():
    """With its whole length, and an optimizer that is built in `build`, the cycle goes on at the optimizer's step."""
    whole = onecycle.OneCycle(0.1, 2 * STEPS).values()
    with pytest.warns(UserWarning, match="Training ended after 4 of the 8 steps"):  # in the first round
        fits = hyperband(True, onecycle.OneCycleScheduler(0.1, total_steps=2 * STEPS))

    assert {begin for begin, _ in fits} == {0, 1}
    for begin, rates in fits:
        assert rates == pytest.approx(whole[begin * STEPS :][: len(rates)])


@pytest.mark.long
def test_hyperband_without_the_state_of_the_optimizer_is_told(capsys):
    """Where the optimizer is not built in `build`, KerasTuner reports a failed trial with the remedy."""
    with pytest.warns(UserWarning, match="Training ended after 4 of the 8 steps"):
        hyperband(False, onecycle.OneCycleScheduler(0.1, total_steps=2 * STEPS))

    assert "model.optimizer.build(model.trainable_variables)" in capsys.readouterr().err
