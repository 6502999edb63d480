"""Adam's bias correction under a changing beta_1 is by the product of the betas, and what that matters."""

import json

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.optimizers import make

import onecycle
from onecycle.hyperparameters import installation
from onecycle.hyperparameters.bias_correction import BiasCorrection

# Keras 3.15's own way of reading a variable trips over NumPy 2's protocol; nothing of ours is in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

BETAS = {
    "cycle": onecycle.OneCycle(0.1, 60).momentum().value_at,
    "rising": lambda step: 0.95 * step / 240,
    "falling": lambda step: 0.99 - 0.9 * step / 240,
    "through-zero": lambda step: 0.0 if step == 3 else 0.9,
    "random": lambda step: float(np.random.default_rng(step).uniform(0.2, 0.99)),
}


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("steps_per_update", [1, 4])
@pytest.mark.parametrize("beta", BETAS)
def test_factor_is_the_quotient_of_power_and_product(beta, steps_per_update, as_tensor):
    """At every update the factor is (1 - betaᵗ) / (1 - product so far), written out, on the host and as a tensor."""
    beta_at = BETAS[beta]
    correction = BiasCorrection.of(beta_at, start_step=0, own=0.9, past=(0, 1.0), steps_per_update=steps_per_update)
    product = 1.0
    for update in range(60):
        step = update * steps_per_update + steps_per_update - 1  # the micro-batch that makes the update
        product *= beta_at(step)
        expected = (1 - beta_at(step) ** (update + 1)) / (1 - product)
        given = keras.ops.convert_to_tensor(step, "int32") if as_tensor else step
        factor = correction.factor(given, beta_at(step), steps_per_update)
        assert float(keras.ops.convert_to_numpy(factor)) == pytest.approx(expected, rel=1e-5 if as_tensor else 1e-8)


def test_before_its_start_the_optimizers_own_beta_counts():
    """Steps before `start_step` enter the product with the beta the optimizer was built with."""
    correction = BiasCorrection.of(lambda step: 0.5, start_step=3, own=0.9, past=(0, 1.0), steps_per_update=1)
    assert correction.product(5) == pytest.approx(0.9**3 * 0.5**2)


def test_earlier_updates_count():
    """Updates made under an earlier schedule enter the product as they were."""
    correction = BiasCorrection.of(lambda step: 0.5, start_step=0, own=0.9, past=(4, 0.3), steps_per_update=1)
    assert correction.product(6) == pytest.approx(0.3 * 0.5**2)
    assert correction.factor(4, 0.5, 1) == pytest.approx((1 - 0.5**5) / (1 - 0.3 * 0.5))


@pytest.mark.parametrize("total_steps", [40, 10_000, 10**9])
def test_table_is_short(total_steps):
    """The table of a default cycle ends where the product no longer counts, however long the cycle is."""
    correction = BiasCorrection.of(
        onecycle.OneCycle(0.1, total_steps).momentum().value_at,
        start_step=0,
        own=0.9,
        past=(0, 1.0),
        steps_per_update=1,
    )
    assert len(correction.products) < 420
    assert correction.products[-2] < 1e-9 <= correction.products[-3]


def test_a_beta_that_never_fades_has_a_table_that_ends():
    """A beta so near 1 that its product hardly falls does not make the table grow without end."""
    correction = BiasCorrection.of(lambda step: 0.999999, start_step=0, own=0.9, past=(0, 1.0), steps_per_update=1)
    assert len(correction.products) == 2**16 + 1


@pytest.mark.parametrize("step", [1000, 10**6, 2**40])
def test_no_correction_where_it_is_negligible(step):
    """Once product and power have vanished the factor is exactly 1."""
    momentum = onecycle.OneCycle(0.1, 60).momentum()
    correction = BiasCorrection.of(momentum.value_at, start_step=0, own=0.9, past=(0, 1.0), steps_per_update=1)
    assert correction.factor(step, momentum.value_at(step), 1) == 1.0


def test_no_correction_of_a_constant_beta():
    """For a beta that does not change the factor is 1 from the first step on."""
    correction = BiasCorrection.of(lambda step: 0.9, start_step=0, own=0.9, past=(0, 1.0), steps_per_update=1)
    assert [correction.factor(step, 0.9, 1) for step in range(300)] == pytest.approx([1.0] * 300, rel=1e-8)


@pytest.mark.parametrize(
    ("total_steps", "of_a_step", "of_the_weights"), [(10, 0.38, 0.13), (40, 0.21, 0.069), (400, 0.050, 0.0076)]
)
def test_how_much_the_correction_matters(total_steps, of_a_step, of_the_weights):
    """Product and power give steps of Adam apart by these parts under the default cycle, less the longer it is."""
    assert effect(total_steps) == (pytest.approx(of_a_step, rel=0.05), pytest.approx(of_the_weights, rel=0.05))


@pytest.mark.parametrize("name", ["Adamax", "Muon"])
def test_plain_steps_under_a_scheduled_rate_are_remembered(name):
    """Steps made while only the rate was scheduled enter the product of a momentum scheduled later."""
    found = networks.batches(seed=1, n=12)
    model, oracle = networks.keras_model(seed=0), make(name, learning_rate=0.01)
    model.compile(getattr(keras.optimizers, name)(learning_rate=0.01), "mse")
    weights = networks.initial_weights(0)
    for hyperparameters, part in [({"learning_rate": 0.02}, found[:4]), ({"momentum": 0.5}, found[4:])]:
        onecycle.schedule_hyperparameters(model, **hyperparameters)
        fit(model, part)
        weights = networks.train(oracle, weights, part, **{"learning_rate": 0.02} | hyperparameters)[0]
    assert networks.distance(model.get_weights(), weights) < 1e-5


def test_a_counter_that_was_set_back_forgets_what_came_after():
    """After the step counter went back, say by loading a checkpoint, updates beyond it are no longer in the product."""
    optimizer, variable = keras.optimizers.Adam(), keras.Variable(np.ones(2), dtype="float32")
    for steps, beta in [(2, 0.5), (3, 0.75)]:
        installation.install(optimizer, {"momentum": beta})
        for _ in range(steps):
            optimizer.apply([keras.ops.ones(2)], [variable])
        installation.uninstall(optimizer)
    found = {}
    for counter in (5, 3, 1):
        optimizer._iterations.assign(counter)
        installation.install(optimizer, {"momentum": 0.625})
        found[counter] = installation.installed(optimizer).past()[1]
        installation.reinstate(optimizer, {})
    # Of the step between the two schedules nothing is known, nor of the first: the new beta is taken to be its own.
    assert found == pytest.approx({5: 0.5**2 * 0.75**3, 3: 0.5**2 * 0.625, 1: 0.625})


def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path, python):
    """A fresh process that loads a checkpoint from inside a cycle, and schedules again, ends at the same weights."""
    models = {name: resumable(name) for name in ("AdamW", "Muon")}
    for name, model in models.items():
        fit(model, networks.batches(seed=1, n=12)[3:7])
        model.save_weights(tmp_path / f"{name}.weights.h5")
        fit(model, networks.batches(seed=1, n=12)[7:])
    found = json.loads(python(RESUME.format(here=__file__), tmp_path).stdout.splitlines()[-1])
    for name, model in models.items():
        assert networks.distance(model.get_weights(), [np.array(weight) for weight in found[name]]) < 1e-6


# Prints the weights of models that go on from the checkpoints in a folder.
RESUME = """
import importlib.util, json, pathlib, sys
sys.path.insert(0, str(pathlib.Path({here!r}).parents[1]))
spec = importlib.util.spec_from_file_location("this_test", {here!r})
this_test = importlib.util.module_from_spec(spec)
spec.loader.exec_module(this_test)
print(json.dumps(this_test.resume(pathlib.Path(sys.argv[1]))))
"""


def resume(folder):
    """Return the weights of each model in the folder after the steps that were left."""
    found = {}
    for path in folder.glob("*.weights.h5"):
        name = path.name.split(".")[0]
        model = resumable(name, path)
        fit(model, networks.batches(seed=1, n=12)[7:])
        found[name] = [weight.tolist() for weight in model.get_weights()]
    return found


def resumable(name, checkpoint=None):
    """Return a model that has made three plain steps, or is at its checkpoint, with a cycle from step 3 on."""
    model = networks.keras_model(seed=0)
    model.compile(getattr(keras.optimizers, name)(learning_rate=0.01), "mse")
    if checkpoint is None:
        fit(model, networks.batches(seed=1, n=12)[:3])
    else:
        model.optimizer.build(model.trainable_variables)
        model.load_weights(checkpoint)
    cycle = onecycle.OneCycle(0.02, 9, start_step=3)
    onecycle.schedule_hyperparameters(model, learning_rate=cycle, momentum=cycle.momentum(high=0.95, low=0.5))
    return model


def effect(total_steps):
    """Return how far product and power are apart under the default cycle.

    Returns:
        The largest relative difference of a step's size, and the largest difference of the weights at the end,
        relative to how far they moved.
    """
    cycle = onecycle.OneCycle(0.01, total_steps)
    momentum = cycle.momentum()
    correction = BiasCorrection.of(momentum.value_at, start_step=0, own=0.9, past=(0, 1.0), steps_per_update=1)
    factors = [correction.factor(step, momentum.value_at(step), 1) for step in range(total_steps)]
    found = networks.batches(seed=1, n=total_steps)
    start = networks.initial_weights(0)
    ends = [
        networks.train(
            make("Adam", bias_correction=rule),
            start,
            found,
            learning_rate=cycle.value_at,
            momentum=momentum.value_at,
        )[0]
        for rule in ("product", "power")
    ]
    moved = networks.distance(ends[0], start)
    return max(abs(factor - 1) for factor in factors), networks.distance(*ends) / moved


def fit(model, found):
    """Train one epoch over the batches, in order."""
    x, y = networks.stacked(found)
    model.fit(x, y, batch_size=networks.BATCH_SIZE, shuffle=False, verbose=0)
