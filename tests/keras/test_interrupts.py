"""An interrupt during a restoration, or during an installation, leaves no trace either."""

import os
import signal
import sys
import threading

import keras
import numpy as np
import pytest
from oracles import states
from oracles.interrupts import lines, lines_of, numbers_of_distinct_lines

import onecycle
from onecycle.finding.ramp_in_fit import RampInFit
from onecycle.hyperparameters.installation import installed
from onecycle.keras_support import interrupts, snapshot
from onecycle.keras_support.snapshot import preserving
from onecycle.training.cycle_run import CycleRun

SAMPLE = 4  # lines of each case, spread evenly; the long tests try every line


@pytest.fixture(autouse=True)
def _handler():
    """Install Python's own handler, which a process started in the background lacks."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def data():
    """Return small arrays."""
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    return x, x[:, :1]


def make(**options):
    """Return a small model that runs without being compiled, in which nothing is built but the layers."""
    states.seed(7)
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.1), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse", run_eagerly=True, **options)
    model.count = {"batches": 0}
    return model


def change_everything(model):
    """Change variables, the optimizer, attributes and random generators, as training does."""
    for variable in model.variables:
        variable.assign(variable + 1)
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(5)
    model.optimizer.learning_rate = 3.0
    model.compute_loss, model.stop_training, model.count["batches"] = None, True, 5
    keras.utils.set_random_seed(1)


def find_in_fit(model):
    """Run a range test in `fit` as a function."""
    onecycle.find_learning_rate(model, *data(), num_steps=10, batch_size=16, steps_per_execution=None, verbose=0)


def find_by_callback(model):
    """Run a range test in a `fit` of the user's."""
    finder = onecycle.LearningRateFinder(num_steps=10)
    model.fit(*data(), epochs=5, batch_size=16, verbose=0, callbacks=[finder])


def run_cycle(model):
    """Train with a cycle in a `fit` of the user's."""
    model.fit(*data(), epochs=2, batch_size=16, verbose=0, callbacks=[onecycle.OneCycleScheduler(0.1)])


def fit_one_cycle(model):
    """Train with a cycle."""
    onecycle.fit_one_cycle(model, *data(), epochs=2, batch_size=16, max_learning_rate=0.1, verbose=0)


def change_and_restore(model):
    """Change everything, and restore it."""
    preserving(model, lambda: change_everything(model))


GIVING_BACK = {
    change_and_restore: (snapshot._TrainingSnapshot.restore, "everything"),
    find_in_fit: (RampInFit.stop, "everything"),
    find_by_callback: (RampInFit.stop, "state"),
    run_cycle: (CycleRun.end, "schedule"),
    fit_one_cycle: (CycleRun.end, "schedule"),
}
QUICK = (change_and_restore, run_cycle)
INSTALLING = {
    find_in_fit: (RampInFit.start, "everything"),
    find_by_callback: (RampInFit.start, "state"),
    run_cycle: (CycleRun.__init__, "schedule"),
}


def check(run, begin, what, numbers, *, within=False):
    """Run once for each number of a line, with an interrupt at this line, and compare the state before and after."""
    model = make()
    for number in numbers:
        model.optimizer = make().optimizer
        handler, before, attributes = signal.getsignal(signal.SIGINT), states.of_model(model), dict(vars(model))
        states.seed(3)
        with pytest.raises(KeyboardInterrupt), lines(begin, number, within=within):
            run(model)
        assert signal.getsignal(signal.SIGINT) is handler, number
        assert installed(model.optimizer) is None, number
        assert "make_train_function" not in vars(model), number
        assert "compute_loss" not in vars(model), number
        if what in ("everything", "state"):
            after = states.of_model(model)
            if what == "state":  # a `fit` of the user's builds the optimizer and the metrics
                names = ["model"]
                before, after = {k: before[k] for k in names}, {k: after[k] for k in names}
            assert states.difference(before, after) == [], number
        if what == "everything":
            assert dict(vars(model)) == attributes, number
            assert model.count == {"batches": 0}, number
            assert not model.optimizer.built, number
            drawn = states.draws()
            states.seed(3)
            assert drawn == states.draws(), number


def sample(begin, run, **options):
    """Return numbers of lines that are spread evenly."""
    # The first run fills caches, and what is read when depends on the clock, so the last lines may be missing.
    count = min(lines_of(begin, run, make(), **options) for _ in range(2))
    assert count > 20
    return np.unique(np.linspace(1, 0.9 * count, SAMPLE).astype(int)).tolist()


@pytest.mark.parametrize(
    "run", [pytest.param(run, marks=[] if run in QUICK else pytest.mark.one_backend) for run in GIVING_BACK]
)
def test_an_interrupt_while_giving_back_is_raised_afterwards(run):
    """At whatever line of the restoration the interrupt comes, everything is restored, and the interrupt is raised."""
    begin, what = GIVING_BACK[run]
    check(run, begin, what, sample(begin, run))


@pytest.mark.one_backend
@pytest.mark.parametrize("run", INSTALLING)
def test_an_interrupt_while_installing_leaves_no_trace(run):
    """At whatever line of the installation the interrupt comes, nothing stays installed."""
    begin, what = INSTALLING[run]
    check(run, begin, what, sample(begin, run, within=True), within=True)


def every_line(begin, run, **options):
    """Return a number for each distinct line, apart from the last ones, which depend on the clock."""
    counted = [numbers_of_distinct_lines(begin, run, make(), **options) for _ in range(2)]
    shorter = min(counted, key=lambda numbers: numbers[-1])
    return [number for number in shorter if number <= 0.95 * shorter[-1]]


@pytest.mark.long
@pytest.mark.parametrize("run", GIVING_BACK)
def test_an_interrupt_at_every_line_of_giving_back(run):
    """The same at every line."""
    begin, what = GIVING_BACK[run]
    check(run, begin, what, every_line(begin, run))


@pytest.mark.long
@pytest.mark.parametrize("run", INSTALLING)
def test_an_interrupt_at_every_line_of_installing(run):
    """The same at every line."""
    begin, what = INSTALLING[run]
    check(run, begin, what, every_line(begin, run, within=True), within=True)


def test_a_second_interrupt_loses_nothing(monkeypatch):
    """After one interrupt within the restoration, a second one at any line of it is raised after it has ended too."""
    restore, calls = snapshot.RandomSnapshot.restore, []

    def interrupted(self):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        restore(self)

    monkeypatch.setattr(snapshot.RandomSnapshot, "restore", interrupted)
    begin = snapshot._TrainingSnapshot.restore
    with pytest.raises(KeyboardInterrupt), lines(begin) as counted:
        change_and_restore(make())
    for number in np.linspace(1, 0.9 * counted.count, SAMPLE).astype(int).tolist():
        calls.clear()
        check(change_and_restore, begin, "everything", [number])


def test_signals_wait_until_everything_is_restored(monkeypatch):
    """Two real signals during the restoration take effect after it, once."""
    restore = snapshot.StateSnapshot.restore

    def with_signals(self, **options):
        os.kill(os.getpid(), signal.SIGINT)
        restore(self, **options)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(snapshot.StateSnapshot, "restore", with_signals)
    model = make()
    before = states.of_model(model)
    with pytest.raises(KeyboardInterrupt):
        change_and_restore(model)
    assert states.difference(before, states.of_model(model)) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_signals_are_left_alone_in_other_threads():
    """In a thread, where no signal arrives, everything is restored without a change of handlers."""
    model, finished = make(), []
    before = states.of_model(model)
    thread = threading.Thread(target=lambda: finished.append(change_and_restore(model)))
    thread.start()
    thread.join()
    assert finished == [None]
    assert states.difference(before, states.of_model(model)) == []


def test_a_handler_of_the_users_is_called_afterwards():
    """The program's own handler of the signal is called once, after the action, and is installed again."""
    received = []
    before = signal.signal(signal.SIGINT, lambda *args: received.append(1))
    try:
        interrupts.without_interrupts(lambda: os.kill(os.getpid(), signal.SIGINT) or received.append("done"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert received == ["done", 1]


def test_an_error_in_a_callback_of_the_users_leaves_no_trace():
    """An error in another callback, in each hook, has a `LearningRateFinder` restore everything at once."""
    for hook in ("on_train_batch_begin", "on_train_batch_end", "on_epoch_end", "on_train_end"):

        class Failing(keras.callbacks.Callback):
            pass

        def fail(self, *args, hook=hook, logs=None):
            if hook == "on_train_end" or self.model.optimizer.iterations >= 2:
                raise RuntimeError(hook)

        setattr(Failing, hook, fail)
        model = make()
        before = states.of_model(model)
        with pytest.raises(RuntimeError, match=hook):
            model.fit(
                *data(), batch_size=16, epochs=5, verbose=0,
                callbacks=[onecycle.LearningRateFinder(num_steps=10), Failing()],
            )  # fmt: skip
        after = states.of_model(model)
        names = ["model"]
        assert states.difference({k: before[k] for k in names}, {k: after[k] for k in names}) == []
        assert installed(model.optimizer) is None


def test_no_trace_function_is_left():
    """The tests above leave no hook behind."""
    assert not isinstance(sys.gettrace(), lines)
