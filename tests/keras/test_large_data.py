"""Range tests on arrays that are too large to be put on the device as a whole."""

import keras
import numpy as np
import pytest

import onecycle
from onecycle.engine import row_reader
from onecycle.finding import fit_runs, race_data
from onecycle.keras_support import kept_rows as kept_rows_module
from onecycle.keras_support import training_data
from onecycle.keras_support.kept_rows import kept_rows

ROWS, BATCH, STEPS = 1003, 8, 200  # one epoch and a half, with a short batch between them


def model(classes=4):
    """Return a small compiled model."""
    keras.utils.set_random_seed(3)
    body = [keras.layers.Dense(8, "relu"), keras.layers.BatchNormalization(), keras.layers.Dense(classes)]
    built = keras.Sequential([keras.Input((5,)), *body])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    built.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return built


def arrays(folder, dtype):
    """Return inputs in a file, and targets."""
    random = np.random.default_rng(0)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", dtype, (ROWS, 5))
    x[:] = random.integers(0, 9, size=x.shape)
    return np.load(folder / "x.npy", mmap_mode="r"), (np.asarray(x).sum(axis=1) % 4).astype("int64")


def range_test_of(x, y, **options):
    """Return a range test from the same weights, in the same order."""
    return onecycle.find_learning_rate(model(), x, y, batch_size=BATCH, num_steps=STEPS, seed=5, verbose=0, **options)


@pytest.fixture
def everything_is_large(monkeypatch):
    """Have small arrays treated as large ones."""
    return lambda: monkeypatch.setattr(training_data, "LARGE_BYTES", 1000)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize(
    "weights", [{}, {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5, 3: 1.0}}, {"sample_weight": np.linspace(0, 2, ROWS)}]
)
def test_rows_are_read_as_they_are_needed(tmp_path, monkeypatch, everything_is_large, dtype, weights):
    """The losses are those of the same test with all data on the device, and no call reads more than its rows."""
    x, y = arrays(tmp_path, dtype)
    expected = range_test_of(x, y, **weights)
    everything_is_large()
    read, prepare = [], row_reader.training_arrays
    monkeypatch.setattr(row_reader, "training_arrays", lambda x, *others: (read.append(len(x)), prepare(x, *others))[1])
    found = range_test_of(x, y, **weights)
    assert len(found.losses) > 64
    np.testing.assert_allclose(found.losses[:100], expected.losses[:100], rtol=1e-5)
    assert read
    assert max(read) <= 64 * BATCH


def test_a_test_in_fit_gets_the_rows_that_it_needs(tmp_path, monkeypatch, everything_is_large):
    """A test that cannot be compiled trains on a random part of large arrays."""
    everything_is_large()
    given, needed_rows = [], fit_runs.needed_rows
    monkeypatch.setattr(fit_runs, "needed_rows", lambda *args: (given.append(needed_rows(*args)), given[-1])[1])
    x, y = arrays(tmp_path, "float32")
    results = [
        onecycle.find_learning_rate(
            model(), x, y, batch_size=BATCH, num_steps=40, seed=5, repeats=2, verbose=0, steps_per_execution=None
        )
        for _ in range(2)
    ]
    parts = [data["x"] for data in given]
    assert [len(part) for part in parts] == [40 * BATCH] * 4
    assert len(np.unique(parts[0], axis=0)) > 30 * BATCH
    assert not np.array_equal(parts[0], parts[1])  # each repeat draws its own rows
    np.testing.assert_array_equal(parts[0], parts[2])
    assert results[0] == results[1]


def test_a_race_keeps_its_rows_in_a_file(tmp_path, monkeypatch, everything_is_large):
    """It gives the same result as with small arrays."""
    x, y = arrays(tmp_path, "float32")
    # Given candidates, since a range test on large arrays may draw other rows.
    options = {"epochs": 1, "batch_size": 32, "candidates": [0.05, 0.2, 0.8], "seed": 1, "verbose": 0}
    expected = onecycle.race_learning_rates(model(), x, y, **options)
    everything_is_large()
    kept = []
    monkeypatch.setattr(race_data, "kept_rows", lambda *args: (kept.append(kept_rows(*args)), kept[-1])[1])
    race = onecycle.race_learning_rates(model(), x, y, **options)
    assert [isinstance(part[0], np.memmap) for part in kept] == [True, True]
    np.testing.assert_allclose(race.learning_rates, expected.learning_rates, rtol=1e-4)
    np.testing.assert_allclose(race.scores, expected.scores, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_rows_in_a_file_are_those_that_were_chosen(tmp_path, everything_is_large, monkeypatch, dtype):
    """In any order, read in chunks; small arrays beside them and slices are not copied to a file."""
    everything_is_large()
    monkeypatch.setattr(kept_rows_module, "CHUNK_BYTES", 300)
    x, y = arrays(tmp_path, dtype)
    rows = np.random.default_rng(2).permutation(ROWS)[:700]
    part, targets, missing = kept_rows((x, y, None), rows)
    np.testing.assert_array_equal(part, np.asarray(x)[rows])
    np.testing.assert_array_equal(targets, y[rows])
    assert missing is None
    assert isinstance(part, np.memmap)
    assert not isinstance(targets, np.memmap)
    assert np.shares_memory(kept_rows(x, slice(10, 900)), x)


def test_a_race_with_a_validation_split_copies_nothing(tmp_path, monkeypatch):
    """Both parts are slices of the arrays."""
    x, y = arrays(tmp_path, "float32")
    kept = []
    monkeypatch.setattr(race_data, "kept_rows", lambda *args: (kept.append(kept_rows(*args)), kept[-1])[1])
    onecycle.race_learning_rates(model(), x, y, epochs=1, validation_split=0.2, verbose=0)
    assert [len(part[0]) for part in kept] == [int(ROWS * 0.8), ROWS - int(ROWS * 0.8)]
    assert all(np.shares_memory(part[0], x) for part in kept)
