"""The weights after a compiled `fit` with schedules are those of the oracle with the same values."""

import keras
import numpy as np
import pytest
from oracles import networks
from oracles.followed import (
    BACKEND,
    CASES,
    SAME,
    STEPS,
    Recorded,
    compiled,
    compiled_in_float16,
    fit,
    follow,
    recompilations_are_errors,
    replay,
    scheduled,
)
from oracles.optimizers import make

import onecycle

# Keras 3.15 reads variables in a way that NumPy 2 deprecates. onecycle has no part in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

DIFFERENT = 1e-3
A_FEW = ("sgd-nesterov", "adamw", "muon")


@pytest.fixture(scope="module")
def data():
    """The fixed batches of all tests here."""
    return networks.batches(seed=1, n=STEPS + 12)


@pytest.mark.parametrize("case", CASES)
def test_weights_follow_the_oracle(case, data):
    """Forty compiled steps with everything scheduled have the weights of the oracle; constant values do not."""
    name, config = CASES[case]
    model, values = compiled(name, config), scheduled(config)
    onecycle.schedule_hyperparameters(model, **values)
    fit(model, data[:STEPS])
    oracle = make(name, **config)
    expected = follow(oracle, data[:STEPS], values)
    assert networks.distance(model.get_weights(), expected) < SAME
    assert getattr(oracle, "margin", 1.0) > SAME, "a sign of Lion depends on rounding, so an agreement would be chance"
    for changed in ("learning_rate", "momentum", "weight_decay"):
        constant = values | {changed: config.get(changed)}
        otherwise = follow(make(name, **config), data[:STEPS], constant)
        assert networks.distance(model.get_weights(), otherwise) > DIFFERENT, changed


@pytest.mark.skipif(BACKEND == "torch", reason="Keras on PyTorch allows one step per execution")
@pytest.mark.parametrize("case", [*A_FEW, "rmsprop"])
def test_several_steps_per_execution(case, data):
    """With `steps_per_execution=7`, and a shorter last block, every step has the values of its number."""
    name, config = CASES[case]
    model, values = compiled(name, config, steps_per_execution=7), scheduled(config)
    onecycle.schedule_hyperparameters(model, **values)
    fit(model, data[:STEPS])
    assert networks.distance(model.get_weights(), follow(make(name, **config), data[:STEPS], values)) < SAME


# `torch.compile` imports modules that warn about themselves.
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("case", A_FEW)
def test_with_and_without_jit_compile(case, jit_compile, data):
    """The values are the same whether or not XLA, or on PyTorch `torch.compile`, compiles the step."""
    if BACKEND == "torch" and jit_compile and case != "adamw":
        pytest.skip("torch.compile takes ten seconds a model: one is enough")
    name, config = CASES[case]
    steps = 4 if BACKEND == "jax" and not jit_compile else STEPS  # op by op
    model, values = compiled(name, config, jit_compile=jit_compile), scheduled(config)
    onecycle.schedule_hyperparameters(model, **values)
    with recompilations_are_errors():
        fit(model, data[:steps])
    assert networks.distance(model.get_weights(), follow(make(name, **config), data[:steps], values)) < SAME


@pytest.mark.parametrize("case", A_FEW)
def test_gradient_accumulation(case, data):
    """Four micro-batches make one update, with the values at the step of the last micro-batch."""
    name, config = CASES[case]
    config = config | {"gradient_accumulation_steps": 4}
    model, values = compiled(name, config), scheduled(config)
    onecycle.schedule_hyperparameters(model, **values)
    fit(model, data[:STEPS])
    expected = follow(make(name, **config), data[:STEPS], values)
    assert networks.distance(model.get_weights(), expected) < SAME
    early = {key: lambda step, at=value.value_at: at(step // 4 * 4) for key, value in values.items()}
    assert networks.distance(model.get_weights(), follow(make(name, **config), data[:STEPS], early)) > DIFFERENT


@pytest.mark.parametrize("case", [*A_FEW, "rmsprop", "nadam"])
def test_on_a_model_whose_step_is_compiled(case, data):
    """After an earlier `fit` on the same compiled model the schedules apply, and the old trace is not used again."""
    name, config = CASES[case]
    model, oracle = compiled(name, config), make(name, **config)
    fit(model, data[:12])
    weights = follow(oracle, data[:12])
    assert networks.distance(model.get_weights(), weights) < SAME
    values = scheduled(config, steps=STEPS - 12, start_step=12)
    onecycle.schedule_hyperparameters(model, **values)
    fit(model, data[12:STEPS])
    expected = follow(oracle, data[12:STEPS], values, weights=weights, start_step=12)
    assert networks.distance(model.get_weights(), expected) < SAME
    assert networks.distance(model.get_weights(), follow(make(name, **config), data[:STEPS])) > DIFFERENT


@pytest.mark.parametrize("case", ["sgd-nesterov", "adam", "muon"])
def test_one_schedule_after_another(case, data):
    """A schedule, unscheduled steps and a second schedule have the weights of an oracle with the same sequence."""
    name, config = CASES[case]
    model, oracle, weights = compiled(name, config), make(name, **config), networks.initial_weights(0)
    first = {"momentum": onecycle.OneCycle(0.1, 4).momentum(high=0.7, low=0.3)}
    second = scheduled(config, steps=10, start_step=7)
    for begin, end, values in [(0, 4, first), (4, 7, {}), (7, 17, second)]:
        onecycle.unschedule_hyperparameters(model)
        if values:
            onecycle.schedule_hyperparameters(model, **values)
        fit(model, data[begin:end])
        weights = follow(oracle, data[begin:end], values, weights=weights, start_step=begin)
        assert networks.distance(model.get_weights(), weights) < SAME, end


@pytest.mark.parametrize("case", ["sgd-nesterov", "adam"])
def test_mixed_float16(case, data):
    """Under loss scaling the weights are those of the oracle with the gradients that the optimizer received."""
    name, config = CASES[case]
    model, values = compiled_in_float16(name, config), scheduled(config)
    recorded = Recorded(model)
    onecycle.schedule_hyperparameters(model, **values)
    fit(model, data[:STEPS])
    assert recorded.updates() == STEPS
    expected = replay(make(name, **config), recorded.gradients(), values)
    assert networks.distance(model.get_weights(), expected) < SAME
    constant = values | {"momentum": None}
    assert networks.distance(model.get_weights(), replay(make(name, **config), recorded.gradients(), constant)) > 1e-4


@pytest.mark.parametrize("case", ["sgd-nesterov", "adam"])
def test_a_skipped_update_does_not_count(case, data):
    """An update that loss scaling skips, because a gradient is not finite, does not advance the schedules."""
    name, config = CASES[case]
    found = list(data[:20])
    found[5] = (found[5][0], np.full_like(found[5][1], np.inf))
    model, values = compiled_in_float16(name, config), scheduled(config, steps=20)
    recorded = Recorded(model)
    onecycle.schedule_hyperparameters(model, **values)
    fit(model, found)
    assert recorded.updates() == 19
    expected = replay(make(name, **config), recorded.gradients(), values)
    assert networks.distance(model.get_weights(), expected) < SAME
    advanced = {key: lambda step, at=value.value_at: at(step + (step >= 5)) for key, value in values.items()}
    otherwise = replay(make(name, **config), recorded.gradients(), advanced)
    assert networks.distance(model.get_weights(), otherwise) > 1e-4


@pytest.mark.parametrize("case", ["sgd-nesterov", "rmsprop"])
def test_a_momentum_of_zero_resets_the_velocity(case, data):
    """Where a schedule reaches momentum 0 the velocity starts again, though Keras would skip it at 0."""
    name, config = CASES[case]
    model = compiled(name, config)
    momentum = onecycle.OneCycle(0.1, 12, final_fraction=0.0).momentum(high=0.9, low=0.0)
    assert momentum.values().min() == 0
    onecycle.schedule_hyperparameters(model, momentum=momentum)
    fit(model, data[:12])
    expected = follow(make(name, **config), data[:12], {"momentum": momentum})
    assert networks.distance(model.get_weights(), expected) < SAME


@pytest.mark.parametrize("case", ["sgd-nesterov", "adamw"])
def test_schedules_of_keras(case, data):
    """Schedules of Keras, which return tensors, work for the rate and for the momentum."""
    name, config = CASES[case]
    values = {
        "learning_rate": keras.optimizers.schedules.PiecewiseConstantDecay([3, 7], [0.02, 0.01, 0.03]),
        "momentum": keras.optimizers.schedules.PolynomialDecay(0.9, 10, 0.5),
    }
    model = compiled(name, config)
    onecycle.schedule_hyperparameters(model, **values)
    fit(model, data[:12])
    formulas = {
        "learning_rate": lambda step: 0.02 if step <= 3 else 0.01 if step <= 7 else 0.03,
        "momentum": lambda step: 0.5 + 0.4 * (1 - min(step, 10) / 10),
    }
    assert networks.distance(model.get_weights(), follow(make(name, **config), data[:12], formulas)) < SAME


@pytest.mark.parametrize("case", ["sgd-nesterov", "adamw"])
def test_plain_numbers(case, data):
    """Numbers, also those of NumPy, replace those that the optimizer was built with."""
    name, config = CASES[case]
    values = {"learning_rate": np.float32(0.0078125), "momentum": 0.75, "weight_decay": np.float64(0.125)}
    model = compiled(name, config)
    fit(model, data[:1])
    onecycle.schedule_hyperparameters(model, **values)
    fit(model, data[1:12])
    oracle = make(name, **config)
    weights = follow(oracle, data[:1])
    expected = follow(oracle, data[1:12], values, weights=weights)
    assert networks.distance(model.get_weights(), expected) < SAME


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="new in Keras 3.15")
def test_inner_optimizers_in_proportion(data):
    """In a MultiOptimizer each inner optimizer follows the schedules, with the rate in its proportion."""
    sgd = {"learning_rate": 0.05, "momentum": 0.9}
    adam = {"learning_rate": 0.01}
    model = networks.keras_model(seed=0)
    chosen = keras.optimizers.OptimizerMap(keras.optimizers.SGD(**sgd))
    chosen[f"{model.layers[1].path}/.*"] = keras.optimizers.Adam(**adam)
    model.compile(keras.optimizers.MultiOptimizer(chosen), "mse")
    values = scheduled(sgd)
    onecycle.schedule_hyperparameters(model, **values)
    fit(model, data[:STEPS])
    parts = Part(make("SGD", **sgd), slice(0, 2)), Part(make("Adam", **adam), slice(2, 4), proportion=0.2)
    expected = networks.initial_weights(0)
    for step, (x, y) in enumerate(data[:STEPS]):
        _, gradients = networks.loss_and_gradients(expected, x, y)
        now = {key: value.value_at(step) for key, value in values.items()}
        expected = [weight for part in parts for weight in part.step(expected, gradients, now)]
    assert networks.distance(model.get_weights(), expected) < SAME


@pytest.mark.parametrize("case", ["sgd-nesterov", "adam"])
def test_a_schedule_affects_one_optimizer_only(case, data):
    """Another model with an optimizer of the same class, trained in between, is not affected by the schedule."""
    name, config = CASES[case]
    model, other, values = compiled(name, config), compiled(name, config), scheduled(config, steps=12)
    onecycle.schedule_hyperparameters(model, **values)
    for step in (0, 6):
        fit(model, data[step : step + 6])
        fit(other, data[step : step + 6])
    assert networks.distance(model.get_weights(), follow(make(name, **config), data[:12], values)) < SAME
    assert networks.distance(other.get_weights(), follow(make(name, **config), data[:12])) < SAME


class Part:
    """The oracle of one inner optimizer, and the slice of the weights that it updates."""

    def __init__(self, oracle, part, proportion=1.0):
        self.oracle, self.part, self.proportion = oracle, part, proportion

    def step(self, weights, gradients, now):
        now = now | {"learning_rate": now["learning_rate"] * self.proportion}
        return self.oracle.step(weights[self.part], gradients[self.part], **now)
