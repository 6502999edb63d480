"""Tests of the search for a peak: losses that never rise, losses that are rounding, and its batch size."""

import keras
import numpy as np
import pytest

from onecycle import find_learning_rate, fit_one_cycle

pytestmark = pytest.mark.one_backend

layers = keras.layers
BATCH, ROWS = 4, 400
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4)).astype("float32")
Y = (X @ RNG.normal(size=(4, 1)) + 0.1 * RNG.normal(size=(ROWS, 1))).astype("float32")


def compiled_model():
    """Return a small compiled model, always with the same weights."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4, "tanh"), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    return model


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
