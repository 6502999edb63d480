"""Tests of schedules and searches in float64, float16 and bfloat16."""

import keras
import numpy as np
import pytest

import onecycle

layers, optimizers = keras.layers, keras.optimizers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4))
Y = (X[:, :1] > 0).astype("float64")
OPTIMIZERS = {
    "SGD": lambda: optimizers.SGD(0.01, momentum=0.9),
    "RMSprop": lambda: optimizers.RMSprop(momentum=0.9),
    "Adam": optimizers.Adam,
    "AdamW": optimizers.AdamW,
    "Nadam": optimizers.Nadam,
    "Adamax": optimizers.Adamax,
    "Adafactor": optimizers.Adafactor,
    "Lion": optimizers.Lion,
    "Lamb": optimizers.Lamb,
    "Muon": lambda: optimizers.Muon(exclude_layers=["head"]),
    "scaled": lambda: optimizers.LossScaleOptimizer(optimizers.Adam()),
}
# The others are trained in the long tests.
NAMES = [
    name if name in ("SGD", "Adam", "Muon", "scaled") else pytest.param(name, marks=pytest.mark.long)
    for name in OPTIMIZERS
]
# What plain Keras cannot train in bfloat16 either. There beta_2 is rounded to 1, with which Adam and its relatives do
# not move or become NaN. On TensorFlow, Muon computes a part in float16.
NOT_OF_KERAS = {(name, "bfloat16") for name in ("Adam", "AdamW", "Lamb", "scaled")}
NOT_OF_KERAS |= {"tensorflow": {("Muon", "bfloat16")}, "torch": {("Nadam", "bfloat16")}}.get(
    keras.backend.backend(), set()
)
# Without `jax_enable_x64`, JAX replaces float64 by float32 and warns.
pytestmark = pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64:UserWarning")


@pytest.fixture(params=["float64", "float16", "bfloat16"])
def floatx(request):
    """Make Keras use another precision by default."""
    _set_precision(request.param)
    yield request.param
    _set_precision("float32")


def _set_precision(dtype):
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)  # which does not follow `floatx` once it has been used


def compiled_model(optimizer):
    """Return a small compiled model, always with the same weights."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, "tanh"), layers.Dense(1, name="head")])
    model.compile(optimizer, "mse")
    return model


def finite(model):
    """Return whether all weights are finite."""
    weights = [keras.ops.convert_to_numpy(keras.ops.cast(weight.value, "float32")) for weight in model.weights]
    return all(np.isfinite(weight).all() for weight in weights)


@pytest.mark.one_backend
@pytest.mark.parametrize("name", NAMES)
def test_cycle_in_every_precision(name, floatx):
    """A cycle of rate and momentum trains with every optimizer that Keras has, in each precision."""
    if (name, floatx) in NOT_OF_KERAS:
        pytest.skip("Keras cannot train this")
    model = compiled_model(OPTIMIZERS[name]())
    before = [keras.ops.convert_to_numpy(keras.ops.cast(w.value, "float32")) for w in model.weights]
    # Some moments of Nadam and Lamb underflow in 16 bits, in Keras' own training too, which a guard would notice.
    onecycle.fit_one_cycle(model, X, Y, epochs=1, batch_size=8, max_learning_rate=0.02, verbose=0, guard=False)
    after = [keras.ops.convert_to_numpy(keras.ops.cast(w.value, "float32")) for w in model.weights]
    assert any((one != other).any() for one, other in zip(before, after, strict=True))
    assert floatx != "float64" or finite(model)


@pytest.mark.parametrize("name", ["Adam", "Muon"])
def test_search_in_every_precision(name, floatx):
    """The range test runs in each precision, and leaves the weights as they were."""
    if (name, floatx) in NOT_OF_KERAS:
        pytest.skip("Keras cannot train this")
    model = compiled_model(OPTIMIZERS[name]())
    before = [keras.ops.convert_to_numpy(keras.ops.cast(w.value, "float32")) for w in model.weights]
    result = onecycle.find_learning_rate(model, X, Y, batch_size=8, num_steps=12, seed=0, verbose=0)
    assert np.isfinite(result.losses[:3]).all()
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(keras.ops.cast(weight.value, "float32")), value)


def test_small_rates_and_late_steps(floatx):
    """A schedule keeps the precision of float32, at the last rates of a cycle and beyond 2**24 steps."""
    schedule = onecycle.OneCycle(1e-3, total_steps=2**25)
    for step in (0, 2**24 + 1, 2**25 - 2, 2**25 - 1):
        counter = keras.ops.convert_to_tensor(step, "int32")
        value = float(keras.ops.convert_to_numpy(schedule(counter)))
        assert value == pytest.approx(schedule.value_at(step), rel=1e-5)
