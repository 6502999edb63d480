"""What is reported of trainings with rescues: after an interruption, an early end, or a rescue as an epoch ends."""

import keras
import numpy as np
import pytest

import onecycle

pytestmark = pytest.mark.one_backend

STEPS, EPOCHS = 16, 10
RNG = np.random.default_rng(0)
X = RNG.normal(size=(32 * STEPS, 5)).astype("float32")
Y = X[:, :1] * 2


class Damage(keras.callbacks.Callback):
    """Makes the weights a million times larger within some epochs, so that the training diverges."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs, self.epoch = epochs, 0

    def on_epoch_begin(self, epoch, logs=None):
        """Note the epoch."""
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        """Damage the weights."""
        if self.epoch in self.epochs and batch == 5:
            for weight in self.model.trainable_variables:
                weight.assign(weight * 1e6)


class Interrupt(keras.callbacks.Callback):
    """Ends the training with an error before an epoch."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_epoch_begin(self, epoch, logs=None):
        """Raise the error."""
        if epoch == self.at:
            raise RuntimeError("interrupted")


def compiled_model():
    """Return a small compiled model, always with the same weights."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", metrics=["mae"])
    return model


def trained(folder, *, interrupted_at=None, damaged=(4, 7), run_eagerly=True, **options):
    """Return the `History` and the model of a cycle that diverges twice."""
    model = compiled_model()
    model.run_eagerly = run_eagerly  # the callback changes weights, which JAX keeps elsewhere in a compiled step
    callbacks = [Damage(damaged), *([] if interrupted_at is None else [Interrupt(interrupted_at)])]
    history = onecycle.fit_one_cycle(
        model, X, Y, epochs=EPOCHS, max_learning_rate=0.05, verbose=0, callbacks=callbacks, backup_dir=folder, **options
    )
    return history, model


@pytest.fixture(params=["torch", "tensorflow"])
def weights_can_be_damaged(request, backend):
    """Skip where a callback cannot change the weights of a running `fit`."""
    if backend == "jax" or request.param != backend:
        pytest.skip("one run for each backend, and on JAX the weights are not in the variables")


@pytest.mark.filterwarnings("ignore:DivergenceGuard", "ignore:The run in")
@pytest.mark.usefixtures("weights_can_be_damaged")
def test_run_with_rescues_goes_on_after_an_interruption(tmp_path):
    """It ends with the weights, the rescues and the learning rates of a run that was not interrupted."""
    whole, expected = trained(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="interrupted"):
        trained(tmp_path / "run", interrupted_at=6)
    history, model = trained(tmp_path / "run")
    assert [one.step for one in whole.rescues] == [one.step for one in history.rescues]
    assert len(history.rescues) == 2
    assert history.onecycle.rescues == history.rescues
    np.testing.assert_allclose(history.onecycle.learning_rates, whole.onecycle.learning_rates, rtol=1e-6)
    assert history.history["learning_rate"] == pytest.approx(whole.history["learning_rate"])
    assert history.onecycle.steps == whole.onecycle.steps == STEPS * EPOCHS
    # The good states that the guard keeps in memory are not in the backup, so it may go back to another one.
    assert model.evaluate(X, Y, verbose=0)[0] == pytest.approx(expected.evaluate(X, Y, verbose=0)[0], abs=0.05)

    again, _ = trained(tmp_path / "run")  # it is finished
    assert again.rescues == again.onecycle.rescues == history.rescues
    assert again.onecycle.learning_rates.tolist() == history.onecycle.learning_rates.tolist()


class Rates(keras.callbacks.Callback):
    """Records the learning rate of each step, and what the progress bar shows."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.rates, self.shown = [], []
        original = keras.callbacks.ProgbarLogger.on_train_batch_end

        def shown(bar, batch, logs=None):
            self.shown.append(float(logs["learning_rate"]))
            return original(bar, batch, logs)

        monkeypatch.setattr(keras.callbacks.ProgbarLogger, "on_train_batch_end", shown)

    def on_train_batch_end(self, batch, logs=None):
        """Record the rate of the step that was made."""
        self.rates.append(float(self.model.optimizer.learning_rate))


@pytest.mark.filterwarnings("ignore:DivergenceGuard", "ignore:Training ended after")
@pytest.mark.usefixtures("weights_can_be_damaged")
@pytest.mark.parametrize("early", [False, True])
def test_report_and_progress_bar_have_the_rates_of_the_steps(early, monkeypatch):
    """Also where `finish_early` ends a cycle that was lowered."""
    model, cycle = compiled_model(), onecycle.OneCycleScheduler(0.05)
    rates = Rates(monkeypatch)
    finish = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: cycle.finish_early(10) if early and epoch == 6 else None
    )
    callbacks = [cycle, onecycle.DivergenceGuard(), Damage((4,)), rates, finish]
    history = model.fit(X, Y, epochs=EPOCHS, verbose=1, callbacks=callbacks)
    (rescue,), report = history.rescues, history.onecycle
    assert len(rates.rates) == report.steps == (7 * STEPS + 10 if early else EPOCHS * STEPS)
    undone = range(rescue.step - 5, rescue.step + 6)  # around the rescue, whose step is seen a little later
    shown = [(step, rate) for step, rate in zip(report.steps_shown, report.learning_rates, strict=True)
             if step < len(rates.rates) and step not in undone]  # fmt: skip
    assert len(shown) > 50
    np.testing.assert_allclose([rate for _, rate in shown], [rates.rates[step] for step, _ in shown], rtol=1e-5)
    kept = [step for step in range(len(rates.rates)) if step not in undone]
    np.testing.assert_allclose([rates.shown[step] for step in kept], [rates.rates[step] for step in kept], rtol=1e-5)


class Batches(keras.utils.PyDataset):
    """Batches of which one has NaN, in one epoch."""

    def __init__(self, steps, bad):
        super().__init__()
        self.steps, self.bad, self.epoch = steps, bad, 0

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        x = X[8 * index : 8 * index + 8].copy()
        if (self.epoch, index) == self.bad:
            x[0, 0] = np.nan
        return x, Y[8 * index : 8 * index + 8]


@pytest.mark.filterwarnings("ignore:DivergenceGuard")
@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize(("bad", "steps"), [((0, 3), 4), ((1, 3), 4), ((1, 2), 4), ((1, 8), 12), ((0, 0), 1)])
def test_epoch_that_ends_with_a_rescue_is_not_the_best(bad, steps, validated):
    """Its loss is that of its good batches, or of those before, or unknown, but not zero, and no column is shorter."""
    model = compiled_model()
    data, validation = Batches(steps, bad), (X[:8], Y[:8]) if validated else None
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(data, "epoch", epoch))
    callbacks = [onecycle.OneCycleScheduler(0.05), onecycle.DivergenceGuard(), onecycle.HyperparameterLogger(), begin]
    history = model.fit(data, epochs=4, shuffle=False, verbose=0, callbacks=callbacks, validation_data=validation)
    assert len(history.rescues) == 1
    assert {len(values) for values in history.history.values()} == {4}
    losses = np.array(history.history["loss"])
    assert np.nanmin(losses) > 0.01
    assert np.isfinite(np.delete(losses, bad[0])).all()
    assert np.nanmin(history.history["mae"]) > 0.01


@pytest.mark.parametrize(("guard", "number"), [("yes", 0), (True, 2)])
@pytest.mark.parametrize("function", [onecycle.fit_one_cycle, onecycle.fine_tune])
def test_guards_are_checked_before_the_search(guard, number, function, monkeypatch):
    """A wrong argument, or two guards, cost no range test."""
    monkeypatch.setattr("onecycle.training.fitting.find_peak", lambda *args, **kwargs: pytest.fail("a search"))
    callbacks = [onecycle.DivergenceGuard() for _ in range(number)]
    with pytest.raises((TypeError, ValueError), match=r"guard|DivergenceGuards"):
        function(compiled_model(), X, Y, epochs=1, guard=guard, callbacks=callbacks, verbose=0)


@pytest.mark.filterwarnings("ignore:DivergenceGuard")
def test_run_with_a_skipped_batch_goes_on_after_an_interruption(tmp_path):
    """The steps that were undone count as made, in the check of the optimizer's steps and in the cycle."""

    def run(folder, interrupted_at=None):
        data = Batches(4, (2, 1))
        begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(data, "epoch", epoch))
        callbacks = [begin, *([] if interrupted_at is None else [Interrupt(interrupted_at)])]
        model = compiled_model()
        return onecycle.fit_one_cycle(
            model,
            data,
            epochs=8,
            max_learning_rate=0.05,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
            backup_dir=folder,
        )

    whole = run(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="interrupted"):
        run(tmp_path / "run", interrupted_at=5)
    history = run(tmp_path / "run")
    assert history.rescues == whole.rescues
    assert len(history.rescues) == 1
    assert history.history["learning_rate"] == pytest.approx(whole.history["learning_rate"])
    assert history.history["loss"] == pytest.approx(whole.history["loss"], rel=1e-5)
    assert (history.onecycle.steps, whole.onecycle.steps) == (32, 32)
