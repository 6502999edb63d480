"""`LearningRateFinder`: the range test inside a person's own `fit`, given back before anybody sees the wreck."""

import keras
import numpy as np
import pytest
from oracles import states

import onecycle
from onecycle.results import StopReason

BATCH = 16
PER_EPOCH = 10


def arrays():
    """Inputs and targets that a small network can learn."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(PER_EPOCH * BATCH, 4)).astype("float32")
    return x, np.sin(x[:, :1] + x[:, 1:2]).astype("float32")


def network(optimizer=None):
    """A small model with BatchNormalization and dropout, its optimizer built, already somewhere in its training."""
    states.seed(2)
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dropout(0.1), layers.Dense(1)]
    )
    model.compile(optimizer or keras.optimizers.SGD(0.01, momentum=0.9), "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, callbacks, epochs=20, **options):
    """Train as a person would."""
    arguments = {"batch_size": BATCH, "verbose": 0, **options}
    return model.fit(*arrays(), epochs=epochs, callbacks=callbacks, **arguments)


def without_metrics(state):
    """The state but for the metrics, which hold the numbers of the last epoch."""
    return {**state, "metrics": []}


def unchanged(before, model):
    """Whether weights, seed generators and optimizer are those from before, to the last bit."""
    return states.difference(without_metrics(before), without_metrics(states.of_model(model))) == []


class Seen(keras.callbacks.Callback):
    """Notes what other callbacks get to see at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.weights, self.logs = [], []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())
        self.logs.append(logs)


@pytest.mark.parametrize(("first", "averaged"), [(True, False), (False, True)])
def test_the_model_comes_back_at_the_moment_the_test_stops(first, averaged, tmp_path):
    """The last epoch's checkpoints, validation and callbacks, whatever their order, see the weights from before."""
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, use_ema=averaged)
    model, x_y = network(optimizer), arrays()
    before, weights = states.of_model(model), model.get_weights()
    validation = model.evaluate(*x_y, verbose=0, return_dict=True)
    seen, finder = Seen(), onecycle.LearningRateFinder(num_steps=60)
    every = keras.callbacks.ModelCheckpoint(tmp_path / "every.weights.h5", save_weights_only=True)
    whole = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras", save_freq="epoch")
    rest = [every, whole, seen]
    history = fit(model, [finder, *rest] if first else [*rest, finder], validation_data=x_y)
    assert finder.result.stop_reason in (StopReason.DIVERGED, StopReason.NON_FINITE)
    assert len(finder.result.losses) > 30
    assert unchanged(before, model)
    assert all(np.array_equal(one, other) for one, other in zip(seen.weights[-1], weights, strict=True))
    assert {name: seen.logs[-1][f"val_{name}"] for name in validation} == pytest.approx(validation, rel=1e-6)
    assert history.history["val_loss"][-1] == seen.logs[-1]["val_loss"]
    assert 3 <= len(history.history["loss"]) < 7
    model.set_weights([0 * weight for weight in weights])
    model.load_weights(tmp_path / "every.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), weights, strict=True))


def test_checkpoints_in_the_middle_of_the_ramp_can_be_loaded(tmp_path):
    """What is saved while the ramp runs is a plain model with the weights and optimizer of that moment."""
    model = network()
    path = tmp_path / "at-{batch:02d}.keras"
    fit(model, [onecycle.LearningRateFinder(num_steps=60), keras.callbacks.ModelCheckpoint(path, save_freq=5)])
    files = sorted(tmp_path.glob("*.keras"))
    assert files
    for file in files:
        loaded = keras.saving.load_model(file)
        assert len(loaded.variables) == len(model.variables)
        assert len(loaded.optimizer.variables) == len(model.optimizer.variables)


def test_early_stopping_and_a_csv_log_beside_it(tmp_path):
    """`EarlyStopping` that restores its best weights, from the ramp, does not get the last word; the log is written."""
    for order in (1, -1):
        model, finder = network(), onecycle.LearningRateFinder(num_steps=60)
        before = states.of_model(model)
        stopping = keras.callbacks.EarlyStopping("loss", patience=50, restore_best_weights=True)
        log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
        history = fit(model, [finder, stopping, log][::order])
        assert finder.result is not None
        assert unchanged(before, model)
        assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + len(history.history["loss"])


def test_it_agrees_with_the_function():
    """On the same batches in the same order it finds what `find_learning_rate` finds, to the last bit."""
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices(arrays()).batch(BATCH)
    finder = onecycle.LearningRateFinder(num_steps=60, rule="steepest")
    network().fit(batches, epochs=6, shuffle=False, callbacks=[finder], verbose=0)
    options = {"num_steps": 60, "rule": "steepest", "steps_per_execution": None, "verbose": 0}
    result = onecycle.find_learning_rate(network(), batches, **options)
    np.testing.assert_array_equal(finder.result.learning_rates, result.learning_rates)
    np.testing.assert_array_equal(finder.result.losses, result.losses)
    assert dict(finder.result.suggestions) == dict(result.suggestions)


def test_the_ramp_is_as_long_as_the_fit_where_that_is_shorter():
    """The rates reach the maximum at the last step of a short `fit`, whose natural end is the test's."""
    model, finder = network(), onecycle.LearningRateFinder(1e-5, 1e-3, num_steps=300)
    before = states.of_model(model)
    history = fit(model, [finder], epochs=4, initial_epoch=1)
    assert len(finder.result.losses) == 3 * PER_EPOCH
    np.testing.assert_allclose(finder.result.learning_rates, np.geomspace(1e-5, 1e-3, 3 * PER_EPOCH))
    assert finder.result.stop_reason is StopReason.COMPLETED
    assert history.epoch == [1, 2, 3]
    assert unchanged(before, model)


def test_data_of_unknown_length_may_end_before_the_ramp():
    """The result then says that the data ended, and the weights are back."""
    model, finder = network(), onecycle.LearningRateFinder(num_steps=300)
    before = states.of_model(model)
    x, y = arrays()
    batches = ((x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(x), BATCH))
    with pytest.warns(UserWarning, match="ran out of data|`shuffle=True` was passed"):
        model.fit(batches, verbose=0, callbacks=[finder])
    assert finder.result.stop_reason is StopReason.DATA_ENDED
    assert len(finder.result.losses) == PER_EPOCH
    assert unchanged(before, model)


def test_it_can_be_used_again():
    """A second `fit` with the same callback runs a second whole test; training in between is not disturbed."""
    model, finder = network(), onecycle.LearningRateFinder(num_steps=60)
    fit(model, [finder], shuffle=False)
    first = finder.result
    fit(model, [], epochs=1)
    fit(model, [finder])
    assert finder.result is not first
    assert len(finder.result.losses) > 30
    np.testing.assert_array_equal(finder.result.learning_rates[:30], first.learning_rates[:30])
