"""Tests of what plans by the length of the training: the sweep, its cost, and the search for a peak."""

import keras
import numpy as np
import pytest

from onecycle import find_learning_rate, fit_one_cycle, sweep_learning_rates

pytestmark = pytest.mark.one_backend

layers = keras.layers
BATCH, ROWS = 4, 400
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4)).astype("float32")
Y = (X @ RNG.normal(size=(4, 1)) + 0.1 * RNG.normal(size=(ROWS, 1))).astype("float32")


class CountingModel(keras.Sequential):
    """A model that counts its training steps, each of which runs as Python code."""

    steps = 0

    def train_step(self, *arguments):
        CountingModel.steps += 1
        return super().train_step(*arguments)


def compiled_model(optimizer=None, model_class=keras.Sequential, **arguments):
    """Return a small compiled model, always with the same weights."""
    keras.utils.set_random_seed(1)
    model = model_class([keras.Input((4,)), layers.Dense(4, "tanh"), layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.SGD(0.01, momentum=0.9), "mse", **arguments)
    return model


LENGTHS = {
    "steps": ({"epochs": 8, "steps_per_epoch": 20, "validation_split": 0.2}, 160),
    # Keras ignores the split beside `validation_data`.
    "validation": ({"epochs": 2, "validation_split": 0.2, "validation_data": (X, Y), "validation_steps": 1}, 200),
}


@pytest.mark.parametrize("case", LENGTHS)
def test_sweep_plans_by_the_length_of_the_training(case):
    """The sweep of `fit_one_cycle` knows the length of the training, and costs at most as much as the training."""
    arguments, total = LENGTHS[case]
    history = fit_one_cycle(
        compiled_model(), X, Y, batch_size=BATCH, max_learning_rate="sweep", seed=1, verbose=0, **arguments
    )
    sweep = history.onecycle.sweep
    assert sweep.total_steps == history.onecycle.total_steps == history.onecycle.steps == total
    assert (sweep.steps.sum() + sweep.range_test.training_steps) / total == sweep.cost <= 1


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="steps in Python are slow on the other backends")
def test_cost_is_that_of_the_steps_really_made():
    """The cost of a sweep counts every training step that it makes."""
    model = compiled_model(model_class=CountingModel, run_eagerly=True)
    CountingModel.steps = 0
    sweep = sweep_learning_rates(model, X, Y, epochs=9, steps_per_epoch=20, batch_size=BATCH, seed=1, verbose=0)
    assert CountingModel.steps == pytest.approx(sweep.cost * 180)


def endless_dataset():
    """Return a data set without an end, of the kind that users of the backend have."""
    if keras.backend.backend() != "torch":
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH).repeat()
    from torch.utils.data import DataLoader, IterableDataset

    class Endless(IterableDataset):
        def __iter__(self):
            while True:
                yield from zip(X, Y, strict=True)

    return DataLoader(Endless(), batch_size=BATCH)


def test_data_without_an_end_can_be_swept():
    """With `steps_per_epoch`, a data set of unknown length can be swept; without, the error names the argument."""
    arguments = {"epochs": 6, "verbose": 0, "seed": 1}
    sweep = sweep_learning_rates(compiled_model(), endless_dataset(), steps_per_epoch=25, **arguments)
    assert sweep.total_steps == 150
    assert sweep.cost <= 1
    with pytest.raises(ValueError, match="Pass `steps_per_epoch`"):
        sweep_learning_rates(compiled_model(), endless_dataset(), **arguments)


def test_training_that_is_too_short_for_a_sweep():
    """The error names what the called function takes: `budget` or `max_learning_rate`."""
    arguments = {"epochs": 1, "steps_per_epoch": 30, "batch_size": BATCH, "verbose": 0}
    with pytest.raises(ValueError, match="larger `budget`"):
        sweep_learning_rates(compiled_model(), X, Y, **arguments)
    with pytest.raises(ValueError, match="training of at least 110 steps") as error:
        fit_one_cycle(compiled_model(), X, Y, max_learning_rate="sweep", **arguments)
    assert "budget" not in str(error.value)
    with pytest.raises(ValueError, match="`steps_per_epoch` must be >= 1"):
        sweep_learning_rates(compiled_model(), X, Y, **{**arguments, "steps_per_epoch": 0})


def easy_model():
    """Return a model that trains at any learning rate: every target is 1."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.SGD(0.01), "binary_crossentropy")
    return model


def test_loss_that_never_rises(monkeypatch):
    """If the loss falls and never shoots up, the peak is where it falls fastest, and the reason says so."""
    monkeypatch.setattr("onecycle.training.peak.WIDER_STEPS", 100)
    report = fit_one_cycle(easy_model(), X, np.ones(ROWS), epochs=1, seed=1, verbose=0).onecycle
    assert report.range_test.rule == "steepest"
    assert report.max_learning_rate == report.range_test.learning_rate
    assert "did not shoot up" in report.reason
    assert "falls fastest" in report.reason
    assert 1e-3 < report.max_learning_rate < 10


def test_missing_peak_names_what_the_called_function_takes(monkeypatch):
    """Without a peak, `fit_one_cycle` asks for a number and names no argument that it does not have."""
    monkeypatch.setattr("onecycle.training.peak.WIDER_STEPS", 20)
    model = compiled_model()
    learned = keras.ops.convert_to_numpy(model(X))
    with pytest.raises(ValueError, match="Pass a number as `max_learning_rate`") as error:
        fit_one_cycle(model, X, learned, epochs=1, verbose=0)
    assert "raise `max_learning_rate`" not in str(error.value)


@pytest.mark.parametrize("change", [1e-8, 1e-7, 1e-6])
def test_losses_that_are_rounding_suggest_nothing(change):
    """Of a loss that is zero but for rounding no rule suggests a peak, whichever way the rounding goes."""
    model = compiled_model()
    learned = keras.ops.convert_to_numpy(model(X))
    noise = change * np.random.default_rng(0).normal(size=learned.shape)
    result = find_learning_rate(model, X, (learned * (1 + noise)).astype("float32"), num_steps=20, verbose=0)
    assert all(suggestion.learning_rate is None for suggestion in result.suggestions.values())
    assert "Nothing is left to learn" in result.suggestion.reason


class Batches(keras.utils.PyDataset):
    """The training data in batches."""

    def __len__(self):
        return ROWS // BATCH

    def __getitem__(self, k):
        return X[BATCH * k : BATCH * (k + 1)], Y[BATCH * k : BATCH * (k + 1)]


def test_batch_size_of_a_data_set_is_its_own():
    """As in `fit`, `batch_size` has no effect on a data set, and no other number than its own is recorded."""
    result = find_learning_rate(compiled_model(), Batches(), batch_size=64, num_steps=12, verbose=0)
    assert result.batch_size is None
    assert "64" not in result.summary().split("*")[0]
