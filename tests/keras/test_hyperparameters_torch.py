"""On PyTorch schedules are evaluated once per step, on the host, without waiting for the device."""

import inspect

import keras
import numpy as np
import pytest
from oracles.scheduled import CYCLE, compiled, fit, optimizer_with_momentum

import onecycle
from onecycle.hyperparameters import scheduled_steps
from onecycle.keras_support import backends

# Keras 3.15 reads variables in a way that NumPy 2 deprecates. onecycle has no part in that call.
pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch only"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]


@pytest.mark.parametrize("name", ["SGD", "Adam", "Muon"])
@pytest.mark.parametrize("steps", [40, 2**18])
def test_a_schedule_is_evaluated_once_per_step(name, steps, monkeypatch):
    """A schedule is evaluated once per step, or read from a table if it is short. The counter is never read."""
    import torch

    cycle = onecycle.OneCycle(0.1, steps)
    model = compiled(optimizer_with_momentum(name))
    onecycle.schedule_hyperparameters(model, learning_rate=cycle, momentum=cycle.momentum(), weight_decay=cycle)
    fit(model, 1)
    evaluated, table_reads, reads, syncs = count_evaluations(monkeypatch), [], [], []
    monkeypatch.setattr(backends, "to_numpy", lambda variable: reads.append(variable))
    count_calls(monkeypatch, scheduled_steps.ValueTable, "at", table_reads, within=scheduled_steps.__file__)
    for reader in ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__"):
        count_calls(monkeypatch, torch.Tensor, reader, syncs, within=scheduled_steps.__file__)
    fit(model, 20)
    assert (len(table_reads), len(evaluated)) == ((20, 0) if steps == 40 else (0, 3 * 20))
    assert (reads, syncs) == ([], [])


@pytest.mark.parametrize("how", ["assign", "load"])
def test_an_outside_write_to_the_counter_is_noticed(how, tmp_path):
    """If the step counter is assigned between two steps, the schedules continue from the new step."""
    model = compiled(keras.optimizers.SGD(0.5, momentum=0.9))
    onecycle.schedule_hyperparameters(model, learning_rate=CYCLE, momentum=CYCLE.momentum())
    fit(model, 1)
    model.save_weights(tmp_path / "one.weights.h5")
    fit(model, 3)
    if how == "assign":
        model.optimizer._iterations.assign(1)
    else:
        model.load_weights(tmp_path / "one.weights.h5")
    seen = []
    update = model.optimizer._backend_update_step

    def seeing(gradients, variables, learning_rate):
        seen.append((learning_rate, model.optimizer.momentum))
        update(gradients, variables, learning_rate)

    vars(model.optimizer)["_backend_update_step"] = seeing
    fit(model, 2)
    expected = [(CYCLE.value_at(step), CYCLE.momentum().value_at(step)) for step in (1, 2)]
    assert np.array(seen) == pytest.approx(np.array(expected))


def test_current_values_are_floats():
    """On PyTorch the rate and momentum of a step are Python floats, also from a schedule that returns tensors."""
    model = compiled(keras.optimizers.SGD(0.5, momentum=0.9))
    decay = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.5)
    onecycle.schedule_hyperparameters(model, learning_rate=decay, momentum=decay, weight_decay=decay)
    seen = []

    def seeing(gradients, variables, learning_rate):
        seen.extend([learning_rate, model.optimizer.momentum, model.optimizer.weight_decay])

    vars(model.optimizer)["_backend_update_step"] = seeing
    fit(model, 1)
    assert [type(value) for value in seen] == [float] * 3


def count_evaluations(monkeypatch):
    """Return a list that gets an entry for each evaluation of a schedule of onecycle, on the host or as tensors."""
    evaluated = []
    base = next(c for c in type(CYCLE).__mro__ if "value_at" in vars(c))
    value_at, call = base.value_at, base.__call__
    monkeypatch.setattr(base, "value_at", lambda self, step: (evaluated.append(step), value_at(self, step))[1])
    monkeypatch.setattr(base, "__call__", lambda self, step: (evaluated.append(step), call(self, step))[1])
    return evaluated


def count_calls(monkeypatch, owner, name, calls, within):
    """Record the calls of a method that one source file makes directly."""
    method = getattr(owner, name)

    def counted(self, *arguments, **keywords):
        if inspect.currentframe().f_back.f_code.co_filename == within:
            calls.append(name)
        return method(self, *arguments, **keywords)

    monkeypatch.setattr(owner, name, counted)
