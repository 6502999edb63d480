"""Comparisons whose runs are trained in one compiled program."""

import keras
import numpy as np
import pytest
from oracles.comparisons import build, data_of

from onecycle import compare
from onecycle.comparison import compiled_runs

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="only JAX compiles the runs")


def assert_close(history, other):
    """Assert that two histories have the same keys and, to float32 precision, the same values."""
    assert list(history) == list(other)
    for name, values in history.items():
        np.testing.assert_allclose(values, other[name], rtol=1e-4, atol=1e-6)


def rich():
    """Return a net with batch normalization and dropout, trained by Adam."""
    layers = keras.layers
    body = [keras.Input((4,)), layers.Dense(8), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.2)]
    model = keras.Sequential([*body, layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


def test_compiled_runs_equal_runs_of_fit():
    """One compiled program for all seeds gives the same records as a `fit` for each seed, except for the times."""
    arms = {
        "plain": {},
        "found": {"max_learning_rate": "auto", "optimizer": "sgd"},
        "cycle": {"max_learning_rate": 0.05, "batch_size": 20},
        "wild": {"schedule": "constant", "max_learning_rate": 1e30, "optimizer": "sgd"},
    }
    options = {"seeds": [3, 5], "epochs": 2, "metric": "val_loss", "verbose": 0}
    compiled = compare(rich, data_of(), arms, **options)
    fitted = compare(rich, lambda seed: data_of(), arms, **options)
    for one, other in zip(compiled.runs, fitted.runs, strict=True):
        assert "2 seeds together" in one["config"]["trained"]
        assert "trained" not in other["config"]
        for name in ("arm", "seed", "steps", "samples", "diverged"):
            assert one[name] == other[name]
        assert one["config"]["initial_weights"] == other["config"]["initial_weights"]
        assert one["finder"].get("steps") == other["finder"].get("steps")
        assert one["finder"].get("learning_rate") == pytest.approx(other["finder"].get("learning_rate"))
        assert len(one["seconds"]) == len(one["steps"])
        if one["diverged"] is None:
            assert_close(one["history"], other["history"])
        else:  # other metrics may differ in the epoch of the NaN
            assert len(one["history"]["loss"]) == len(other["history"]["loss"]) == one["diverged"]
    assert all(run["diverged"] for run in compiled.of("wild"))


def test_memory_limits_the_seeds_that_train_together(monkeypatch):
    """They take turns in groups, of which none is a single seed, and the records are the same."""
    options = {"seeds": [3, 5, 7, 9, 11], "epochs": 1, "verbose": 0}
    together = compare(build, data_of(), {"plain": {}, "cycle": {"max_learning_rate": 0.05}}, **options)
    monkeypatch.setattr(compiled_runs, "MAX_BYTES_TOGETHER", 1)
    groups = compare(build, data_of(), {"plain": {}, "cycle": {"max_learning_rate": 0.05}}, **options)
    assert [run["config"]["trained"][:7] for run in groups.of("plain")] == ["2 seeds"] * 2 + ["3 seeds"] * 3
    for one, other in zip(together.runs, groups.runs, strict=True):
        assert_close(one["history"], other["history"])


def test_incomparable_times_are_reported(tmp_path):
    """Added seeds trained in one program take less time per run than a seed trained alone, which is reported."""
    options = {"epochs": 1, "directory": tmp_path, "verbose": 0}
    compare(build, data_of(), {"one": {}, "two": {}}, seeds=1, **options)
    comparison = compare(build, data_of(), {"one": {}, "two": {}}, seeds=3, **options)
    assert comparison.problems[0].startswith("Some runs were trained in one compiled program")
