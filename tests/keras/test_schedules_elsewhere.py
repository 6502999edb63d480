"""Schedules in the optimizers of optax, on every Keras backend, and of plain PyTorch."""

import keras
import numpy as np
import pytest
from oracles import optimizers
from oracles.sample_schedules import SCHEDULES

import onecycle

CYCLE = onecycle.OneCycle(0.1, 40)
MOMENTUM = CYCLE.momentum(high=0.95, low=0.85)
# There, the host computes the values, as on every backend. Elsewhere the import of PyTorch would take seconds.
needs_torch = pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch only")


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_steps_of_jax_are_accepted(schedule):
    """A schedule takes steps of JAX, one or many and traced or not, and returns its values as an array of JAX."""
    jax = pytest.importorskip("jax")
    expected = schedule.values(130)
    found = schedule(jax.numpy.arange(130, dtype="uint8"))

    assert isinstance(found, jax.Array)
    assert (str(found.dtype), found.shape) == ("float32", (130,))
    assert np.abs(found - expected).max() <= 1e-6 * expected.max()
    last = jax.jit(schedule)(jax.numpy.int32(100))
    assert (str(last.dtype), last.shape) == ("float32", ())
    assert abs(float(last) - expected[100]) <= 1e-6 * expected.max()


def test_fractional_step_of_jax_is_an_error():
    """As for every tensor, the step must be an integer."""
    jax = pytest.importorskip("jax")
    with pytest.raises(ValueError, match="must be an integer"):
        CYCLE(jax.numpy.float32(3))


def test_optax_follows_learning_rate_and_momentum():
    """In a compiled loop of optax, learning rate and momentum are those of the schedules at each step."""
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=CYCLE, momentum=MOMENTUM)

    def step(state, _):
        (weight, inner), gradient = state, state[0]
        updates, inner = optimizer.update(gradient, inner)
        used = inner.hyperparams["learning_rate"], inner.hyperparams["momentum"]
        return (optax.apply_updates(weight, updates), inner), (weight, *used)

    start = jax.numpy.float32(1.0)
    _, (weights, rates, momenta) = jax.jit(lambda s: jax.lax.scan(step, s, length=40))((start, optimizer.init(start)))

    assert np.asarray(rates) == pytest.approx(CYCLE.values(), rel=1e-5)
    assert np.asarray(momenta) == pytest.approx(MOMENTUM.values(), rel=1e-5)
    weight, trace, expected = 1.0, 0.0, []
    for rate, momentum in zip(CYCLE.values(), MOMENTUM.values(), strict=True):
        expected.append(weight)
        trace = weight + momentum * trace
        weight -= rate * trace
    assert np.asarray(weights) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@needs_torch
def test_lambda_lr_follows_the_schedule(tmp_path):
    """PyTorch's `LambdaLR` with `value_at` has the schedule's rates, also after its state was saved and loaded."""
    import torch

    def make():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, CYCLE.value_at)

    def run(optimizer, scheduler, steps):
        rates = []
        for _ in range(steps):
            rates += scheduler.get_last_lr()
            optimizer.step()
            scheduler.step()
        return rates

    optimizer, scheduler = make()
    rates = run(optimizer, scheduler, 15)
    torch.save([optimizer.state_dict(), scheduler.state_dict()], tmp_path / "state.pt")
    optimizer, scheduler = make()
    for one, state in zip((optimizer, scheduler), torch.load(tmp_path / "state.pt"), strict=True):
        one.load_state_dict(state)
    rates += run(optimizer, scheduler, 30)

    assert rates == pytest.approx(CYCLE.values(45), rel=1e-12)


@needs_torch
def test_momentum_of_a_torch_optimizer_follows_the_schedule():
    """Set in the parameter groups, `value_at` cycles beta_1 of PyTorch's Adam as in the float64 transcription."""
    import torch

    parameter = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = torch.optim.Adam([parameter], lr=1.0, eps=1e-12)
    oracle, weights = optimizers.make("Adam", epsilon=1e-12), [np.ones(1)]
    for step in range(40):
        for group in optimizer.param_groups:
            group["lr"], group["betas"] = CYCLE.value_at(step), (MOMENTUM.value_at(step), 0.999)
        parameter.grad = parameter.detach().clone()
        optimizer.step()
        weights = oracle.step(weights, weights, CYCLE.value_at(step), MOMENTUM.value_at(step))

    assert parameter.item() == pytest.approx(weights[0].item(), rel=1e-6)
