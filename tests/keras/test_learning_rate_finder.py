"""Tests of `LearningRateFinder`, the range test inside a `fit` of the user, and of how it restores the model."""

import keras
import numpy as np
import pytest
from oracles import states

import onecycle
from onecycle.results import StopReason

BATCH = 16
STEPS_PER_EPOCH = 10


def arrays():
    """Return inputs and targets that a small model can learn."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(STEPS_PER_EPOCH * BATCH, 4)).astype("float32")
    return x, np.sin(x[:, :1] + x[:, 1:2]).astype("float32")


def batch_normalized_model(optimizer=None):
    """Return a small compiled model with batch normalization and dropout, and a built optimizer."""
    states.seed(2)
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dropout(0.1), layers.Dense(1)]
    )
    model.compile(optimizer or keras.optimizers.SGD(0.01, momentum=0.9), "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, callbacks, epochs=20, **options):
    """Train the model with the callbacks."""
    arguments = {"batch_size": BATCH, "verbose": 0, **options}
    return model.fit(*arrays(), epochs=epochs, callbacks=callbacks, **arguments)


def without_metrics(state):
    """Return the state without the metrics, which keep the values of the last epoch."""
    return {**state, "metrics": []}


def unchanged(before, model):
    """Return whether weights, seed generators and optimizer are bitwise those of `before`."""
    return states.difference(without_metrics(before), without_metrics(states.of_model(model))) == []


class EpochEndRecorder(keras.callbacks.Callback):
    """Records the weights and logs that a callback receives at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.weights, self.logs = [], []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())
        self.logs.append(logs)


@pytest.mark.parametrize(("first", "averaged"), [(True, False), (False, True)])
def test_model_is_restored_when_the_test_stops(first, averaged, tmp_path):
    """Checkpoints, validation and callbacks at the end of the last epoch see the restored weights, in any order."""
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, use_ema=averaged)
    model, x_y = batch_normalized_model(optimizer), arrays()
    before, weights = states.of_model(model), model.get_weights()
    validation = model.evaluate(*x_y, verbose=0, return_dict=True)
    recorder, finder = EpochEndRecorder(), onecycle.LearningRateFinder(num_steps=60)
    weights_only = keras.callbacks.ModelCheckpoint(tmp_path / "last.weights.h5", save_weights_only=True)
    whole_model = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras", save_freq="epoch")
    others = [weights_only, whole_model, recorder]
    history = fit(model, [finder, *others] if first else [*others, finder], validation_data=x_y)
    assert finder.result.stop_reason in (StopReason.DIVERGED, StopReason.NON_FINITE)
    assert len(finder.result.losses) > 30
    assert unchanged(before, model)
    assert all(np.array_equal(one, other) for one, other in zip(recorder.weights[-1], weights, strict=True))
    assert {name: recorder.logs[-1][f"val_{name}"] for name in validation} == pytest.approx(validation, rel=1e-6)
    assert history.history["val_loss"][-1] == recorder.logs[-1]["val_loss"]
    assert 3 <= len(history.history["loss"]) < 7
    model.set_weights([0 * weight for weight in weights])
    model.load_weights(tmp_path / "last.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), weights, strict=True))


@pytest.mark.one_backend
def test_checkpoints_during_the_ramp_can_be_loaded(tmp_path):
    """A checkpoint saved during the ramp loads as a plain model with the same variables."""
    model = batch_normalized_model()
    path = tmp_path / "at-{batch:02d}.keras"
    fit(model, [onecycle.LearningRateFinder(num_steps=60), keras.callbacks.ModelCheckpoint(path, save_freq=5)])
    files = sorted(tmp_path.glob("*.keras"))
    assert files
    for file in files:
        loaded = keras.saving.load_model(file)
        assert len(loaded.variables) == len(model.variables)
        assert len(loaded.optimizer.variables) == len(model.optimizer.variables)


@pytest.mark.one_backend
def test_early_stopping_does_not_undo_the_restoration(tmp_path):
    """`EarlyStopping` with `restore_best_weights` does not undo the restoration, and the CSV log has every epoch."""
    for order in (1, -1):
        model, finder = batch_normalized_model(), onecycle.LearningRateFinder(num_steps=60)
        before = states.of_model(model)
        stopping = keras.callbacks.EarlyStopping("loss", patience=50, restore_best_weights=True)
        log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
        history = fit(model, [finder, stopping, log][::order])
        assert finder.result is not None
        assert unchanged(before, model)
        assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + len(history.history["loss"])


@pytest.mark.parametrize("beside", ["finder", "guard"])
def test_history_of_ones_own_keeps_its_records(beside):
    """What a `History` of the user's own class records is no state of the model, which is restored."""

    class Recorder(keras.callbacks.History):
        def __init__(self):
            super().__init__()
            self.epochs = []

        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            self.epochs.append(epoch)

    recorder, model = Recorder(), batch_normalized_model()
    if beside == "finder":
        fit(model, [onecycle.LearningRateFinder(num_steps=20), recorder])
        assert recorder.epochs == list(range(len(recorder.epochs)))
    else:
        bad = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: (
                epoch == 3 and model.set_weights([w * np.nan for w in model.get_weights()])
            )
        )
        with pytest.warns(UserWarning, match="DivergenceGuard"):
            fit(model, [onecycle.DivergenceGuard(), bad, recorder], epochs=6)
        assert recorder.epochs == list(range(6))
    assert recorder.epochs


def test_finder_agrees_with_find_learning_rate():
    """On the same batches the finder gives bitwise the losses and suggestions of `find_learning_rate`."""
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices(arrays()).batch(BATCH)
    finder = onecycle.LearningRateFinder(num_steps=60, rule="steepest")
    batch_normalized_model().fit(batches, epochs=6, shuffle=False, callbacks=[finder], verbose=0)
    options = {"num_steps": 60, "rule": "steepest", "steps_per_execution": None, "verbose": 0}
    result = onecycle.find_learning_rate(batch_normalized_model(), batches, **options)
    np.testing.assert_array_equal(finder.result.learning_rates, result.learning_rates)
    np.testing.assert_array_equal(finder.result.losses, result.losses)
    assert dict(finder.result.suggestions) == dict(result.suggestions)


@pytest.mark.one_backend
def test_ramp_is_no_longer_than_the_fit():
    """In a `fit` shorter than `num_steps` the learning rate reaches its maximum at the last step."""
    model, finder = batch_normalized_model(), onecycle.LearningRateFinder(1e-5, 1e-3, num_steps=300)
    before = states.of_model(model)
    history = fit(model, [finder], epochs=4, initial_epoch=1)
    assert len(finder.result.losses) == 3 * STEPS_PER_EPOCH
    np.testing.assert_allclose(finder.result.learning_rates, np.geomspace(1e-5, 1e-3, 3 * STEPS_PER_EPOCH))
    assert finder.result.stop_reason is StopReason.COMPLETED
    assert history.epoch == [1, 2, 3]
    assert unchanged(before, model)


@pytest.mark.one_backend
def test_data_may_end_before_the_ramp():
    """If data of unknown length ends before the ramp, the result says so and the model is restored."""
    model, finder = batch_normalized_model(), onecycle.LearningRateFinder(num_steps=300)
    before = states.of_model(model)
    x, y = arrays()
    batches = ((x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(x), BATCH))
    with pytest.warns(UserWarning, match="ran out of data|`shuffle=True` was passed"):
        model.fit(batches, verbose=0, callbacks=[finder])
    assert finder.result.stop_reason is StopReason.DATA_ENDED
    assert len(finder.result.losses) == STEPS_PER_EPOCH
    assert unchanged(before, model)


def test_finder_can_be_reused():
    """A second `fit` with the same callback runs a second full range test."""
    model, finder = batch_normalized_model(), onecycle.LearningRateFinder(num_steps=60)
    fit(model, [finder], shuffle=False)
    first = finder.result
    fit(model, [], epochs=1)
    fit(model, [finder])
    assert finder.result is not first
    assert len(finder.result.losses) > 30
    np.testing.assert_array_equal(finder.result.learning_rates[:30], first.learning_rates[:30])
