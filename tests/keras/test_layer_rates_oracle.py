"""The weights after a compiled `fit` with rates of layers are those of an oracle for each weight."""

import keras
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
    replay,
    scheduled,
)
from oracles.layered import Layered
from oracles.optimizers import make

import onecycle

# Keras 3.15 reads variables in a way that NumPy 2 deprecates. onecycle has no part in that call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

DIFFERENT = 1e-3
FACTORS = (0.25, 2.0)  # of the two layers
OTHERS = {"adagrad": 0.05, "adadelta": 1.0, "adafactor": 0.05, "ftrl": 0.05}

needs_multi_optimizer = pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="new in Keras 3.15")


@pytest.fixture(scope="module")
def data():
    """The fixed batches of all tests here."""
    return networks.batches(seed=1, n=STEPS + 12)


@pytest.mark.parametrize("case", CASES)
def test_everything_scheduled(case, data):
    """Forty steps with rate, momentum and weight decay scheduled follow the oracle; without the factors they do not."""
    name, config = CASES[case]
    model, values = layered(case), scheduled(config)
    onecycle.schedule_hyperparameters(model, **values)
    fit(model, data[:STEPS])
    oracle = oracle_of(case)
    assert networks.distance(model.get_weights(), follow(oracle, data[:STEPS], values)) < SAME
    assert oracle.margin > SAME, "a sign of Lion depends on rounding, so an agreement would be chance"
    plain = follow(make(name, **config), data[:STEPS], values)
    assert networks.distance(model.get_weights(), plain) > DIFFERENT
    # A decay with the whole rate differs too: the factor acts on the decay as a smaller rate does.
    undecayed = follow(oracle_of(case), data[:STEPS], values | {"weight_decay": 0.0})
    assert networks.distance(model.get_weights(), undecayed) > DIFFERENT


@pytest.mark.parametrize("case", ["sgd", "lamb"])
def test_rates_of_layers_alone(case, data):
    """Without any schedule, the optimizer's own rate is read, also one that is assigned between two calls of `fit`."""
    model, oracle = layered(case), oracle_of(case)
    fit(model, data[:6])
    weights = follow(oracle, data[:6])
    assert networks.distance(model.get_weights(), weights) < SAME
    model.optimizer.learning_rate = 0.003
    fit(model, data[6:12])
    expected = follow(oracle, data[6:12], {"learning_rate": 0.003}, weights=weights)
    assert networks.distance(model.get_weights(), expected) < SAME


@pytest.mark.parametrize("case", ["sgd-nesterov", "adam"])
def test_schedule_of_the_optimizer(case, data):
    """An optimizer that was built with a schedule of Keras keeps it."""
    name, config = CASES[case]
    schedule = keras.optimizers.schedules.PolynomialDecay(0.05, 12, 0.01)
    model = compiled(name, config | {"learning_rate": schedule})
    onecycle.schedule_hyperparameters(model, layer_rates=dict(zip(model.layers, FACTORS, strict=True)))
    fit(model, data[:12])
    values = {"learning_rate": lambda step: 0.01 + 0.04 * (1 - min(step, 12) / 12)}
    assert networks.distance(model.get_weights(), follow(oracle_of(case), data[:12], values)) < SAME


@pytest.mark.skipif(BACKEND == "torch", reason="Keras on PyTorch allows one step per execution")
@pytest.mark.parametrize("case", ["adamw"])
def test_several_steps_per_execution(case, data):
    """The factors hold in every step of a call of the compiled function."""
    values = scheduled(CASES[case][1])
    model = layered(case, steps_per_execution=7)
    onecycle.schedule_hyperparameters(model, **values)
    fit(model, data[:STEPS])
    assert networks.distance(model.get_weights(), follow(oracle_of(case), data[:STEPS], values)) < SAME


@pytest.mark.skipif(BACKEND == "torch", reason="the optimizer's step is excluded from `torch.compile`")
@pytest.mark.parametrize("jit_compile", [True, False])
def test_with_and_without_jit_compile(jit_compile, data):
    """The weights are the same whether or not XLA compiles the step."""
    steps = 4 if BACKEND == "jax" and not jit_compile else STEPS  # op by op
    values = scheduled(CASES["adamw"][1])
    model = layered("adamw", jit_compile=jit_compile)
    onecycle.schedule_hyperparameters(model, **values)
    fit(model, data[:steps])
    assert networks.distance(model.get_weights(), follow(oracle_of("adamw"), data[:steps], values)) < SAME


@pytest.mark.parametrize("case", ["adamw", "nadam"])
def test_gradient_accumulation(case, data):
    """Four micro-batches make one update with the factors, and the decay has them too."""
    name, config = CASES[case]
    config = config | {"gradient_accumulation_steps": 4}
    values = scheduled(config)
    model = compiled(name, config)
    onecycle.schedule_hyperparameters(model, **values, layer_rates=dict(zip(model.layers, FACTORS, strict=True)))
    fit(model, data[:STEPS])
    expected = follow(Layered(name, config, weight_factors()), data[:STEPS], values)
    assert networks.distance(model.get_weights(), expected) < SAME


@pytest.mark.parametrize("case", ["sgd-nesterov", "adam"])
def test_mixed_float16(case, data):
    """Under loss scaling the optimizer inside has the factors."""
    name, config = CASES[case]
    model, values = compiled_in_float16(name, config), scheduled(config)
    recorded = Recorded(model)
    onecycle.schedule_hyperparameters(model, **values, layer_rates=dict(zip(model.layers, FACTORS, strict=True)))
    fit(model, data[:STEPS])
    assert recorded.updates() == STEPS
    expected = replay(oracle_of(case), recorded.gradients(), values)
    assert networks.distance(model.get_weights(), expected) < SAME


@pytest.mark.parametrize("case", ["sgd-nesterov", "nadam"])
def test_factor_zero(case, data):
    """A layer with factor 0 keeps its weights, without decay, and the other layer trains."""
    name, config = CASES[case]
    config = config | {"weight_decay": 0.1}
    model = compiled(name, config)
    onecycle.schedule_hyperparameters(model, layer_rates={model.layers[0]: 0})
    fit(model, data[:12])
    expected = follow(Layered(name, config, (0, 0, 1, 1)), data[:12])
    assert networks.distance(model.get_weights(), expected) < SAME
    assert networks.distance(model.get_weights()[:2], networks.initial_weights(0)[:2]) == 0


@needs_multi_optimizer
@pytest.mark.parametrize("case", OTHERS)
def test_same_as_two_optimizers(case, data):
    """Two optimizers of Keras, one for each layer, with rates in the proportion of the factors train the same way."""
    name, config = case.capitalize(), {"learning_rate": OTHERS[case], "weight_decay": 0.1}
    model = compiled(name, config)
    onecycle.schedule_hyperparameters(model, layer_rates=dict(zip(model.layers, FACTORS, strict=True)))
    fit(model, data[:STEPS])
    other = networks.keras_model(seed=0)
    inner = [
        getattr(keras.optimizers, name)(**config | {"learning_rate": config["learning_rate"] * factor})
        for factor in FACTORS
    ]
    chosen = keras.optimizers.OptimizerMap(inner[0], {f"{other.layers[1].path}/.*": inner[1]})
    other.compile(keras.optimizers.MultiOptimizer(chosen), "mse")
    fit(other, data[:STEPS])
    assert networks.distance(model.get_weights(), other.get_weights()) < SAME


@needs_multi_optimizer
def test_inside_a_multi_optimizer(data):
    """The factor of a layer acts on the rate of the optimizer that trains it."""
    model = networks.keras_model(seed=0)
    sgd, adam = {"learning_rate": 0.05, "momentum": 0.9}, {"learning_rate": 0.01}
    chosen = keras.optimizers.OptimizerMap(keras.optimizers.SGD(**sgd))
    chosen[f"{model.layers[1].path}/.*"] = keras.optimizers.Adam(**adam)
    model.compile(keras.optimizers.MultiOptimizer(chosen), "mse")
    onecycle.schedule_hyperparameters(model, layer_rates=dict(zip(model.layers, FACTORS, strict=True)))
    fit(model, data[:STEPS])
    oracles = make("SGD", **sgd), make("Adam", **adam)
    weights = networks.initial_weights(0)
    for x, y in data[:STEPS]:
        _, gradients = networks.loss_and_gradients(weights, x, y)
        weights = [
            *oracles[0].step(weights[:2], gradients[:2], 0.05 * FACTORS[0]),
            *oracles[1].step(weights[2:], gradients[2:], 0.01 * FACTORS[1]),
        ]
    assert networks.distance(model.get_weights(), weights) < SAME


def layered(case, **arguments):
    """Return the small network compiled with an optimizer, whose two layers have the factors."""
    model = compiled(*CASES[case], **arguments)
    return onecycle.schedule_hyperparameters(model, layer_rates=dict(zip(model.layers, FACTORS, strict=True)))


def oracle_of(case):
    """Return an oracle of that optimizer with the factors."""
    return Layered(*CASES[case], weight_factors())


def weight_factors():
    """Return the factor of each weight: kernel, bias, kernel, bias."""
    return tuple(factor for factor in FACTORS for _ in range(2))
