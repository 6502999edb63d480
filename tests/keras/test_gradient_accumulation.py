"""Tests of gradient accumulation: where updates of the weights are counted, and where batches."""

import keras
import numpy as np
import pytest
from oracles import states

from onecycle import LearningRateFinder, OneCycle, OneCycleScheduler, find_learning_rate
from onecycle.finding.ramp import Ramp
from onecycle.keras_support.optimizers import raw_step

layers = keras.layers
BATCH, ROWS = 8, 448
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4)).astype("float32")
Y = (X @ RNG.normal(size=(4, 1)) + 0.1 * RNG.normal(size=(ROWS, 1))).astype("float32")
OPTIMIZERS = {
    "SGD": lambda **arguments: keras.optimizers.SGD(0.01, momentum=0.9, **arguments),
    "Adam": lambda **arguments: keras.optimizers.Adam(0.01, **arguments),
}
EAGER = {"run_eagerly": True}


def compiled_model(optimizer, **arguments):
    """Return a small compiled model, always with the same weights."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, "tanh"), layers.Dense(1)])
    model.compile(optimizer, "mse", **arguments)
    return model


def accumulating(name, steps, **arguments):
    """Return a model whose optimizer accumulates the gradients of `steps` batches, or of one."""
    return compiled_model(OPTIMIZERS[name](gradient_accumulation_steps=None if steps == 1 else steps), **arguments)


def same(one, other):
    """Return whether two range tests have the same rates, nearly the same losses and nearly the same suggestion."""
    assert (one.num_steps, one.stop_reason) == (other.num_steps, other.stop_reason)
    n = min(len(one.learning_rates), len(other.learning_rates))
    assert abs(len(one.learning_rates) - len(other.learning_rates)) <= 2
    np.testing.assert_allclose(one.learning_rates[:n], other.learning_rates[:n], rtol=1e-6)
    # Where the loss explodes, rounding errors do too.
    calm = np.arange(n - 20)
    np.testing.assert_allclose(one.losses[..., calm], other.losses[..., calm], rtol=2e-3)
    seen, expected = (result.suggestion.seen_at or 0.0 for result in (one, other))
    assert seen == pytest.approx(expected, rel=0.3)
    return True


@pytest.mark.parametrize(("name", "steps"), [("SGD", 2), ("Adam", 7)])
def test_range_test_counts_updates(name, steps):
    """A range test with accumulated batches equals one with batches as large as an update, if the rows are the same."""
    arguments = {"seed": 3, "verbose": 0, "num_steps": 100}
    small = find_learning_rate(accumulating(name, steps), X, Y, batch_size=BATCH, **arguments)
    large = find_learning_rate(accumulating(name, 1), X, Y, batch_size=BATCH * steps, **arguments)
    assert (small.gradient_accumulation_steps, large.gradient_accumulation_steps) == (steps, None)
    assert small.training_steps >= steps * len(small.learning_rates)
    assert f"an update of {steps} accumulated batches" in small.summary()
    assert same(small, large)


def in_order(model, batch_size, updates):
    """Return the result of `LearningRateFinder` over rows in a fixed order."""
    finder = LearningRateFinder(num_steps=updates)
    model(X[:1])
    model.fit(X, Y, batch_size=batch_size, epochs=30, shuffle=False, callbacks=[finder], verbose=0)
    return finder.result


def test_finder_counts_updates():
    """The callback counts updates too, also if it begins in the middle of one, and restores everything."""
    model = accumulating("SGD", 4)
    model.fit(X[: 3 * BATCH], Y[: 3 * BATCH], batch_size=BATCH, shuffle=False, verbose=0)
    before = states.of_model(model)
    assert raw_step(model.optimizer) == 3
    assert same(in_order(model, BATCH, 100), in_order(accumulating("SGD", 1), 4 * BATCH, 100))
    # The metrics are those of the user's own `fit`.
    assert set(states.difference(before, states.of_model(model))) <= {"metrics[0]", "metrics[1]"}


@pytest.mark.one_backend
def test_finder_has_as_many_updates_as_the_fit():
    """A `fit` with fewer batches than the ramp needs shortens it, and one with fewer than 10 updates is refused."""
    finder = LearningRateFinder()
    model = accumulating("SGD", 4)
    model.fit(X, Y, batch_size=BATCH, epochs=1, callbacks=[finder], verbose=0)
    assert len(finder.result.learning_rates) == 14
    assert finder.result.learning_rates[-1] == pytest.approx(10)
    with pytest.raises(ValueError, match="this `fit` has 8"):
        model.fit(X, Y, batch_size=BATCH, epochs=1, steps_per_epoch=35, callbacks=[LearningRateFinder()], verbose=0)


@pytest.mark.one_backend
def test_validation_loss_is_that_after_each_update():
    """With `validation_data`, the losses are those after the updates, whatever makes up an update."""
    arguments = {"validation_data": (X[:32], Y[:32]), "num_steps": 12, "seed": 3, "verbose": 0}
    small = find_learning_rate(accumulating("SGD", 2), X, Y, batch_size=ROWS // 2, **arguments)
    large = find_learning_rate(accumulating("SGD", 1), X, Y, batch_size=ROWS, **arguments)
    assert len(small.losses) == len(large.losses)
    np.testing.assert_allclose(small.losses[:9], large.losses[:9], rtol=1e-3)


@pytest.mark.one_backend
def test_repeats_inside_fit():
    """Repeats of the range test inside `fit` count updates as well."""
    arguments = {"seed": 3, "verbose": 0, "num_steps": 40, "repeats": 2, "steps_per_execution": 1}
    small = find_learning_rate(accumulating("SGD", 4), X, Y, batch_size=BATCH, **arguments)
    large = find_learning_rate(accumulating("SGD", 1), X, Y, batch_size=BATCH * 4, **arguments)
    assert small.losses.shape[0] == large.losses.shape[0] == 2
    np.testing.assert_allclose(small.learning_rates[:30], large.learning_rates[:30], rtol=1e-6)


class RateRecorder(keras.optimizers.SGD):
    """Keeps the rate and the momentum of each update, in a step that runs as Python code."""

    used = ()

    def update_step(self, gradient, variable, learning_rate):
        values = [
            float(keras.ops.convert_to_numpy(keras.ops.cast(v, "float32"))) for v in (learning_rate, self.momentum)
        ]
        RateRecorder.used = (*RateRecorder.used, tuple(values))
        super().update_step(gradient, variable, learning_rate)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX computes every update, and keeps some")
@pytest.mark.parametrize(("steps", "last"), [(4, 56), (5, 55)])
def test_last_update_has_the_last_rate(steps, last):
    """Each update has the rate and momentum of its last batch, and the last one has the last rate of the cycle."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, use_bias=False)])
    model.compile(RateRecorder(0.01, momentum=0.9, gradient_accumulation_steps=steps), "mse", **EAGER)
    RateRecorder.used = ()
    history = model.fit(X, Y, batch_size=BATCH, callbacks=[OneCycleScheduler(0.1)], verbose=0)
    cycle = OneCycle(0.1, last)
    at = np.arange(steps - 1, last, steps)
    used = np.array(RateRecorder.used)
    if keras.backend.backend() == "torch":  # its optimizer updates all variables together
        used = used.reshape(-1, 2)
    np.testing.assert_allclose(used[:, 0], cycle.values()[at], rtol=1e-6)
    np.testing.assert_allclose(used[:, 1], cycle.momentum().values()[at], rtol=1e-6)
    assert used[-1, 0] == pytest.approx(0.1 / 10 / 1000)
    report = history.onecycle
    assert (report.steps, report.total_steps) == (56, 56)


def test_ramp_holds_its_rate_within_an_update():
    """All steps of an update have the same rate, on the host and in tensors, from any start."""
    ramp = Ramp(1e-3, 1.0, 4, steps_per_update=3).shifted(6)
    expected = np.repeat([1e-3, 1e-2, 1e-1, 1.0], 3)
    np.testing.assert_allclose([ramp.value_at(6 + step) for step in range(12)], expected)
    np.testing.assert_allclose(ramp.values(18)[6:], expected)
    tensor = keras.ops.convert_to_numpy(ramp(np.arange(6, 18)))
    np.testing.assert_allclose(tensor, expected, rtol=1e-5)
    assert ramp.total_steps == 12
