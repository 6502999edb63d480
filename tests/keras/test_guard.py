"""Tests of `DivergenceGuard`: what it notices, what it restores, and that it changes nothing otherwise."""

import re

import keras
import numpy as np
import pytest
from oracles import guarded
from oracles.guarded import BATCH, STEPS

import onecycle
from onecycle.keras_support import device_memory, state_copies
from onecycle.keras_support.optimizers import raw_step
from onecycle.training import fault_watch, guard_run
from onecycle.training.guard_run import DivergenceError

X, Y = guarded.arrays()
TOO_HIGH = 300.0  # times what this network can be trained with


def own_step(backend):
    """Return a class with its own `train_step` that calls `compute_loss`."""
    if backend == "jax":

        class OwnStep(keras.Model):
            def train_step(self, state, data):
                import jax

                trainable, non_trainable, ours, metrics = state
                x, y = data
                gradient = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
                (_, aux), gradients = gradient(trainable, non_trainable, metrics, x, y, None, training=True,
                                               optimizer_variables=ours)  # fmt: skip
                loss, _, non_trainable, metrics = aux
                trainable, ours = self.optimizer.stateless_apply(ours, gradients, trainable)
                return {"my_loss": loss}, (trainable, non_trainable, ours, metrics)

    elif backend == "tensorflow":
        import tensorflow as tf

        class OwnStep(keras.Model):
            def train_step(self, data):
                x, y = data
                with tf.GradientTape() as tape:
                    loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
                self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
                return {"my_loss": loss}

    else:
        import torch

        class OwnStep(keras.Model):
            def train_step(self, data):
                x, y = data
                self.zero_grad()
                loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
                loss.backward()
                with torch.no_grad():
                    gradients = [variable.value.grad for variable in self.trainable_variables]
                    self.optimizer.apply(gradients, self.trainable_variables)
                return {"my_loss": loss.detach()}

    return OwnStep


def sgd(**arguments):
    """Return an optimizer with which the network can be trained."""
    return keras.optimizers.SGD(0.05, momentum=0.9, **arguments)


CASES = {
    "plain": lambda backend: guarded.network(),
    "adam": lambda backend: guarded.network(keras.optimizers.AdamW(0.01)),
    "steps_per_execution": lambda backend: guarded.network(steps_per_execution=4 if backend != "torch" else 1),
    "accumulation": lambda backend: guarded.network(sgd(gradient_accumulation_steps=3)),
    "ema": lambda backend: guarded.network(sgd(use_ema=True, ema_overwrite_frequency=5)),
    "loss scaling": lambda backend: guarded.network(keras.optimizers.LossScaleOptimizer(sgd())),
    "own step": lambda backend: guarded.network(kind=own_step(backend)),
}


QUICK = ("plain",)


def of(cases):
    """Return the cases as parameters, most of them for the long tests."""
    return [pytest.param(one, marks=() if one in cases else pytest.mark.long) for one in CASES]


@pytest.mark.parametrize("cycle", [True, pytest.param(False, marks=pytest.mark.long)], ids=["cycle", "no schedule"])
@pytest.mark.parametrize("case", of(QUICK))
def test_healthy_training_is_unchanged(backend, case, cycle):
    """Weights, statistics, optimizer and history are those without the guard, bit for bit."""

    def trained(*guards):
        model = CASES[case](backend)
        keras.utils.set_random_seed(3)
        scheduler = [onecycle.OneCycleScheduler(0.05)] if cycle else []
        history = model.fit(X, Y, batch_size=BATCH, epochs=3, verbose=0, callbacks=[*scheduler, *guards])
        return guarded.state(model), history.history

    guard = onecycle.DivergenceGuard()
    (one, history), (other, other_history) = trained(), trained(guard)
    guarded.assert_equal(one, other)
    assert history == other_history
    assert guard.rescues == ()


@pytest.mark.parametrize("case", of(["plain"]))
def test_diverging_cycle_is_rescued(backend, case):
    """A cycle with a peak that is far too high ends finite, with a lowered last rate on its last step."""
    model = CASES[case](backend)
    epochs, peak = 8, TOO_HIGH if case != "adam" else 1e10
    with pytest.warns(UserWarning, match="DivergenceGuard: Step"):
        history = model.fit(
            X, Y, batch_size=BATCH, epochs=epochs, verbose=0,
            callbacks=[onecycle.DivergenceGuard(max_rescues=9), onecycle.OneCycleScheduler(peak)],
        )  # fmt: skip
    report = history.onecycle
    assert guarded.is_finite(model)
    assert report.rescues == history.rescues
    factor = report.rescues[-1].learning_rate_factor
    assert 0 < factor < 1
    assert report.steps + (report.skipped_steps or 0) == report.total_steps == epochs * STEPS
    if case != "loss scaling":
        assert history.history["learning_rate"][-1] == pytest.approx(peak / 10_000 * factor, rel=1e-4)


LONG = ("TerminateOnNaN", "one copy")


def poison(numbers, value=np.nan):
    """Return a change of batches that gives those with these numbers a bad value in their inputs."""

    def change(number, x, y):
        if number in numbers:
            x[2, 1] = value
        return x, y

    return change


def fit(model, data, epochs=1, callbacks=()):
    """Train on data in its order."""
    return model.fit(data, epochs=epochs, verbose=0, shuffle=False, callbacks=list(callbacks))


@pytest.fixture
def noticed(monkeypatch):
    """Return a list to which each rescue adds the number of steps that were made when the guard noticed."""
    steps, restore = [], guard_run.GuardRun._restore

    def restored(run, state, **options):
        steps.append(run._losses.steps)
        return restore(run, state, **options)

    monkeypatch.setattr(guard_run.GuardRun, "_restore", restored)
    return steps


@pytest.mark.filterwarnings("ignore:DivergenceGuard")
def test_poisoned_batch_is_skipped_and_data_go_on(noticed):
    """The training equals, bit for bit, one of the batches before the restored state and those after the rescue."""
    guard, bad, steps = onecycle.DivergenceGuard(), STEPS + 5, 2 * STEPS
    model = guarded.network()
    history = fit(model, guarded.Batches(poison([bad]), range(steps)), callbacks=[guard])
    (rescue,) = guard.rescues
    assert rescue.step == bad
    assert rescue.learning_rate_factor == 1.0
    assert history.rescues == (rescue,)
    assert np.isfinite(history.history["loss"]).all()
    assert raw_step(model.optimizer) == steps - rescue.lost_steps
    other, order = guarded.network(), [*range(noticed[0] - rescue.lost_steps), *range(noticed[0], steps)]
    assert bad not in order
    fit(other, guarded.Batches(order=order))
    guarded.assert_equal(guarded.state(model), guarded.state(other))


@pytest.mark.parametrize("what", ["NaN", pytest.param("explosion", marks=pytest.mark.long)])
@pytest.mark.filterwarnings("ignore:DivergenceGuard")
def test_divergence_is_seen_within_five_steps(noticed, what):
    """After the first bad batch, the training function is called at most five times before the rescue."""
    first = STEPS + 3

    def change(number, x, y):
        return x, y * (np.nan if what == "NaN" else 1e4) if first <= number < first + 6 else y

    guard = onecycle.DivergenceGuard()
    model, data = guarded.network(keras.optimizers.SGD(1e-9)), guarded.Batches(change, range(2 * STEPS))
    fit(model, data, callbacks=[guard])
    assert guard.rescues[0].step == first
    assert first < noticed[0] <= first + 5


@pytest.mark.parametrize(("others", "times"), [([], 1), ([keras.callbacks.LambdaCallback()], 4)])
def test_state_is_examined_at_the_end_of_an_epoch_only_where_it_may_be_saved(monkeypatch, others, times):
    """Another callback may save the model. Without one, the end of the training is enough."""
    examined, at_end = [], fault_watch.FaultWatch.of_state
    monkeypatch.setattr(
        fault_watch.FaultWatch, "of_state",
        lambda self, *args, checks: (examined.append(checks), at_end(self, *args, checks=checks))[1],
    )  # fmt: skip
    guarded.network().fit(X, Y, batch_size=BATCH, epochs=4, verbose=0, callbacks=[onecycle.DivergenceGuard(), *others])
    assert sum(examined) == times


def test_bad_row_in_each_epoch_is_skipped_to_the_end():
    """A row with NaN costs a few steps of each epoch, a warning at first and one at the end."""
    model, guard, epochs, x = guarded.network(), onecycle.DivergenceGuard(), 13, X.copy()
    x[100, 1] = np.nan
    with pytest.warns(UserWarning, match="DivergenceGuard") as caught:
        model.fit(x, Y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[guard])
    messages = [str(one.message) for one in caught if "DivergenceGuard" in str(one.message)]
    assert len(messages) == 2
    assert f"{epochs} batches with bad values were skipped" in messages[-1]
    assert len(guard.rescues) == epochs
    assert {one.learning_rate_factor for one in guard.rescues} == {1.0}
    assert sum(one.lost_steps for one in guard.rescues) < epochs * STEPS / 2
    assert guarded.is_finite(model)


@pytest.mark.filterwarnings("ignore:DivergenceGuard")
def test_guard_gives_up_where_all_batches_are_bad():
    """Without a good batch in between, skipping ends after a few rescues."""
    model, data = guarded.network(), guarded.Batches(poison(range(STEPS, 6 * STEPS)), range(6 * STEPS))
    with pytest.raises(DivergenceError, match="rescues in a row"):
        fit(model, data, callbacks=[onecycle.DivergenceGuard()])
    assert guarded.is_finite(model)


class Counter(keras.layers.Layer):
    """Keeps a statistic that becomes NaN at a call and has no effect on its output."""

    def __init__(self, bad_call):
        super().__init__()
        self.bad_call = bad_call
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def call(self, x, training=False):
        if training:
            nan = keras.ops.where(self.count == self.bad_call, float("nan"), 1.0)
            self.count.assign(self.count + nan)
        return x


@pytest.mark.filterwarnings("ignore:DivergenceGuard")
def test_finite_loss_with_a_statistic_that_is_not():
    """A variable that becomes NaN while the loss stays finite is a divergence, and its name is in the reason."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), Counter(20), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    guard = onecycle.DivergenceGuard()
    with pytest.raises(DivergenceError):  # it becomes NaN each time
        fit(model, guarded.Batches(), epochs=12, callbacks=[guard])
    assert "count became NaN" in guard.rescues[0].reason
    assert guarded.is_finite(model)


@pytest.mark.filterwarnings("ignore:DivergenceGuard")
def test_guard_gives_up_with_the_best_state():
    """After `max_rescues` rescues an error names the step and the remedy, and the model is that of a good state."""
    model = guarded.network()
    from_there_on = guarded.Batches(lambda number, x, y: (x, y * 1e30 if number >= STEPS else y), range(4 * STEPS))
    guard = onecycle.DivergenceGuard(max_rescues=2)
    with pytest.raises(DivergenceError, match=r"after 2 rescues. Step \d+: .* lower learning rate") as error:
        fit(model, from_there_on, callbacks=[guard])
    assert len(guard.rescues) == 2
    other, good = guarded.network(), int(re.search(r"after step (\d+)", str(error.value)).group(1))
    assert 0 < good <= STEPS
    fit(other, guarded.Batches(order=range(good)))
    guarded.assert_equal(guarded.state(model), guarded.state(other))
    assert "_onecycle_fit_scope" not in vars(model)


def test_network_that_dies_is_restored():
    """A network whose loss goes back to that of guessing, and stays there, is restored, and ends well."""

    class Die(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 6:  # as after steps that are too large: no unit is ever active again
                kernel, bias = self.model.layers[0].get_weights()
                self.model.layers[0].set_weights([kernel, bias - 100])

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(16, "relu"), layers.Dense(1)])
    model.compile(sgd(), "mse")
    guard = onecycle.DivergenceGuard()
    callbacks = [onecycle.OneCycleScheduler(0.05), Die(), guard]
    with pytest.warns(UserWarning, match="near that of guessing"):
        history = model.fit(X, Y, batch_size=BATCH, epochs=12, verbose=0, callbacks=callbacks).history
    (rescue,) = guard.rescues
    assert 6 * STEPS - 16 <= rescue.step <= 8 * STEPS
    assert rescue.learning_rate_factor < 1
    assert history["loss"][-1] < 0.5 * np.var(Y)


@pytest.mark.filterwarnings("ignore:DivergenceGuard")
def test_learning_rate_is_given_back():
    """A plain learning rate is lowered while the training lasts, and has its value again afterwards."""
    model, rates = guarded.network(keras.optimizers.SGD(1e4)), []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    guard = onecycle.DivergenceGuard(max_rescues=8)
    model.fit(X, Y, batch_size=BATCH, epochs=6, verbose=0, callbacks=[guard, Watch()])
    assert rates[-1] == pytest.approx(1e4 * guard.rescues[-1].learning_rate_factor, rel=1e-5)
    assert float(model.optimizer.learning_rate) == 1e4


@pytest.mark.filterwarnings("ignore:DivergenceGuard")
@pytest.mark.parametrize("beside", ["BackupAndRestore", *(pytest.param(one, marks=pytest.mark.long) for one in LONG)])
def test_beside_other_callbacks(tmp_path, beside):
    """A poisoned batch is skipped beside callbacks that end training or save it, and with one state in memory."""
    others = {
        "TerminateOnNaN": keras.callbacks.TerminateOnNaN,
        "BackupAndRestore": lambda: keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        "one copy": keras.callbacks.Callback,
    }
    guard = onecycle.DivergenceGuard(copies=1 if beside == "one copy" else 2)
    model, data = guarded.network(), guarded.Batches(poison([STEPS - 1]))
    history = fit(model, data, epochs=3, callbacks=[others[beside](), guard])
    assert len(guard.rescues) == 3
    assert len(history.history["loss"]) == 3
    assert np.isfinite(history.history["loss"]).all()
    assert guarded.is_finite(model)


@pytest.mark.parametrize(("free", "copies", "most"), [(2.9, None, 1), (3.1, None, 2), (None, None, 2), (0, 2, 2)])
def test_one_state_where_memory_is_short(monkeypatch, free, copies, most):
    """With less free memory than three states take, the guard keeps one and rescues with it, unless `copies` is two."""
    size, kept = [], []

    def free_bytes(variable):
        assert device_memory.free_bytes(variable) > 10**6
        return None if free is None else int(free * size[0])

    monkeypatch.setattr(state_copies, "free_bytes", free_bytes)
    guard = onecycle.DivergenceGuard(copies=copies)
    model = guarded.network()
    fit(model, guarded.Batches())  # makes the variables of the optimizer and the metrics
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    size.append(sum(keras.ops.convert_to_numpy(one).nbytes for one in variables))
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_, **__: kept.append(len(guard._run._states._states))
    )
    with pytest.warns(UserWarning, match="DivergenceGuard"):
        fit(model, guarded.Batches(poison([STEPS - 1])), epochs=2, callbacks=[guard, count])
    assert max(kept) == most
    assert len(guard.rescues) == 2
    assert guarded.is_finite(model)


def test_fit_one_cycle_has_a_guard():
    """`fit_one_cycle` survives a peak that is far too high, unless `guard=False`."""
    arguments = {"epochs": 8, "batch_size": BATCH, "max_learning_rate": TOO_HIGH, "verbose": 0}
    model = guarded.network()
    with pytest.warns(UserWarning, match="DivergenceGuard"):
        report = onecycle.fit_one_cycle(model, X, Y, **arguments).onecycle
    assert guarded.is_finite(model)
    assert report.rescues
    assert "Rescued from divergence: Step" in report.summary()
    assert report.learning_rates.max() < TOO_HIGH
    model = guarded.network()
    assert onecycle.fit_one_cycle(model, X, Y, guard=False, **arguments).onecycle.rescues == ()
    assert not guarded.is_finite(model)


@pytest.mark.parametrize("arguments", [{"max_rescues": -1}, {"max_rescues": 1.5}, {"copies": 0}, {"copies": 3}])
def test_bad_arguments(arguments):
    """Each is refused by name."""
    with pytest.raises(ValueError, match=f"Argument `{next(iter(arguments))}`"):
        onecycle.DivergenceGuard(**arguments)


def test_two_guards_are_refused():
    """Two guards in one `fit` are an error before training."""
    with pytest.raises(ValueError, match="Two DivergenceGuards"):
        fit(guarded.network(), guarded.Batches(), callbacks=[onecycle.DivergenceGuard(), onecycle.DivergenceGuard()])
