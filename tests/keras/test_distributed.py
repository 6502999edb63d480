"""Tests that two devices give the results of one, with the same global batch size.

TensorFlow uses MirroredStrategy, JAX Keras' DataParallel.
"""

import json

import numpy as np
import pytest

PROGRAM = """
import json, sys
import numpy as np, keras, onecycle

def arrays():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)).astype("float32")
    return x, np.sin(x[:, :1] + x[:, 1:2]).astype("float32")

def run():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    dataset = tf.data.Dataset.from_tensor_slices(arrays()).batch(20)
    built = model.optimizer.built
    result = onecycle.find_learning_rate(model, dataset, num_steps=60, verbose=0)
    assert model.optimizer.built == built
    finder = onecycle.LearningRateFinder(num_steps=60)
    before = model.get_weights()
    model.fit(dataset, epochs=6, verbose=0, shuffle=False, callbacks=[finder])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    history = model.fit(dataset, epochs=2, verbose=0, shuffle=False)
    weights = np.concatenate([weight.ravel() for weight in model.get_weights()])
    return {
        "losses": result.losses.tolist(), "rates": result.learning_rates.tolist(),
        "suggested": result.learning_rate, "losses of finder": finder.result.losses.tolist(),
        "later losses": history.history["loss"], "weights": weights.tolist(), **cycles(),
    }

def race():
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    options = {"candidates": [0.01, 0.04], "validation_data": arrays(), "seed": 3, "verbose": 0}
    result = onecycle.race_learning_rates(model, *arrays(), epochs=2, batch_size=20, **options)
    weights = np.concatenate([weight.ravel() for weight in model.get_weights()])
    return {"scores": result.scores.tolist(), "winner": result.learning_rate, "weights": weights.tolist()}

def cycles():
    return {"cycle of " + type(optimizer).__name__: cycle(optimizer) for optimizer in (
        keras.optimizers.SGD(0.01, momentum=0.9), keras.optimizers.AdamW(weight_decay=1.0)
    )}

def guarded():
    import warnings
    warnings.simplefilter("ignore")
    bad = arrays()[0], arrays()[1].copy()
    bad[1][100] = np.nan
    results = {}
    for name, (x, y), peak in (("healthy", arrays(), 0.02), ("diverging", arrays(), 1000.0), ("poisoned", bad, 0.02)):
        guard = onecycle.DivergenceGuard()
        weights = cycle(keras.optimizers.SGD(0.01, momentum=0.9), x, y, peak, guard)
        results[name] = {"weights": weights, "factors": [one.learning_rate_factor for one in guard.rescues]}
    return results

def cycle(optimizer, x=arrays()[0], y=arrays()[1], peak=0.02, *guards):
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(20)
    model.fit(dataset, epochs=4, verbose=0, shuffle=False, callbacks=[onecycle.OneCycleScheduler(peak), *guards])
    return np.concatenate([weight.ravel() for weight in model.get_weights()]).tolist()
"""
SETUP = {
    "tensorflow": """
import tensorflow as tf
devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
""",
    "jax": """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
import tensorflow as tf
""",
}
ON_TWO = {
    "tensorflow": """
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
scope = strategy.scope()
scope.__enter__()
""",
    "jax": """
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=keras.distribution.list_devices("cpu")))
assert len(keras.distribution.list_devices("cpu")) == 2
""",
}


def on_one_and_two(python, backend, one, two):
    """Return what two expressions give: on one device the first, on two devices the second."""
    if backend not in ON_TWO:
        pytest.skip("tested on TensorFlow and JAX only")
    last = f"two = {two}\nprint(json.dumps([one, two]))"
    program = "\n".join((SETUP[backend], PROGRAM, f"one = {one}", ON_TWO[backend], last))
    done = python(program, check=False, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def one_and_two(python, backend):
    """Return the results of one device and of two."""
    return on_one_and_two(python, backend, "run()", 'run() | {"guard": guarded()}')


def test_guard_on_two_devices(one_and_two):
    """A healthy cycle is unchanged to the bit, a diverging one is lowered, and a bad batch is left out."""
    two = one_and_two[1]
    assert two["guard"]["healthy"] == {"weights": two["cycle of SGD"], "factors": []}
    for name in ("diverging", "poisoned"):
        assert np.isfinite(two["guard"][name]["weights"]).all()
    assert 0 < two["guard"]["diverging"]["factors"][-1] < 1
    # The batch comes in each of the four epochs.
    assert two["guard"]["poisoned"]["factors"] == [1.0] * 4


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_cycle_on_two_devices_equals_that_on_one(one_and_two, optimizer):
    """After a cycle on two devices the weights agree with those of one device to float32, and differ per optimizer."""
    one, two = (each[f"cycle of {optimizer}"] for each in one_and_two)
    np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)
    others = [value for name, value in one_and_two[0].items() if name.startswith("cycle") and value is not one]
    assert all(np.max(np.abs(np.subtract(one, other))) > 1e-2 for other in others)


@pytest.mark.long
def test_race_on_two_devices_equals_that_on_one(python, backend):
    """The scores at the cut, the winner and its weights agree with those of one device to float32."""
    one, two = on_one_and_two(python, backend, "race()", "race()")
    np.testing.assert_allclose(two["scores"], one["scores"], rtol=1e-3)
    assert two["winner"] == one["winner"]
    np.testing.assert_allclose(two["weights"], one["weights"], rtol=1e-3, atol=1e-5)


def test_range_test_on_two_devices_equals_that_on_one(one_and_two):
    """On two devices the losses, the suggestion and later training agree with those of one device to float32."""
    one, two = one_and_two
    steps = min(len(one["losses"]), len(two["losses"]))
    assert steps > 30
    assert abs(len(one["losses"]) - len(two["losses"])) <= 1
    for name in ("losses", "rates", "losses of finder"):
        # Rounding errors grow where the loss explodes, at the end.
        np.testing.assert_allclose(two[name][: steps - 6], one[name][: steps - 6], rtol=2e-5)
    assert two["suggested"] == pytest.approx(one["suggested"], rel=0.3)
    np.testing.assert_allclose(two["later losses"], one["later losses"], rtol=1e-4)
    np.testing.assert_allclose(two["weights"], one["weights"], rtol=1e-3, atol=1e-5)
