"""The schedules have the values of PyTorch, optax and fastai: of their code, or of their formula. On the host only."""

import math
import random

import keras
import numpy as np
import pytest

from onecycle.schedules import CyclicalLearningRate, OneCycle
from onecycle.schedules.cycle import CycleSchedule

pytestmark = pytest.mark.one_backend


def torch_run(make, n, optimizer="SGD"):
    """Return the rates and momenta of a PyTorch scheduler for steps 0 to n - 1."""
    torch = pytest.importorskip("torch", reason="compares with torch.optim.lr_scheduler")
    weight = torch.nn.Parameter(torch.zeros(1))
    options = {"momentum": 0.9} if optimizer == "SGD" else {}
    optimizer = getattr(torch.optim, optimizer)([weight], lr=0.1, **options)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates, momenta = [], []
    for step in range(n):
        group = optimizer.param_groups[0]
        rates.append(group["lr"])
        momenta.append(group["momentum"] if "momentum" in group else group["betas"][0])
        if step < n - 1:
            optimizer.step()
            scheduler.step()
    return np.array(rates), np.array(momenta)


def assert_close(expected, actual):
    """Check that two curves differ by at most 1e-6 of the peak."""
    assert np.abs(expected - actual).max() <= 1e-6 * expected.max()


def random_one_cycles():
    """Yield the arguments of 300 cycles, some short and some at unusual fractions, all of which PyTorch can compute."""
    draw = random.Random(0)
    for _ in range(300):
        total_steps = draw.choice([1, 2, 3, 5, 10, draw.randint(1, 60), draw.randint(60, 200)])
        pct = draw.choice([0.0, 0.3, 0.5, 0.6, 1.0, draw.random()])
        if math.isclose(pct * total_steps, 1) or (pct == 1.0 and total_steps == 1):
            continue
        yield {
            "max_lr": 10 ** draw.uniform(-4, 1), "total_steps": total_steps, "pct_start": pct,
            "anneal_strategy": draw.choice(["cos", "linear"]), "div_factor": draw.uniform(1, 100),
            "final_div_factor": 10 ** draw.uniform(0, 5), "three_phase": draw.random() < 0.5,
        }  # fmt: skip


def test_pytorch_has_the_values_of_torch():
    """Rate and momentum of `OneCycle.pytorch` are PyTorch's for hundreds of random cycles of each shape and form."""
    compared = 0
    for config in random_one_cycles():
        n = config["total_steps"]
        rates, momenta = torch_run(
            lambda scheduler, optimizer, config=config: scheduler.OneCycleLR(
                optimizer, base_momentum=0.8, max_momentum=0.9, **config
            ),
            n,
        )
        schedule = OneCycle.pytorch(**config)
        assert_close(rates, schedule.values())
        assert_close(momenta, schedule.momentum(high=0.9, low=0.8).values())
        assert (schedule.values(n + 3)[n:] == schedule.values()[-1]).all()
        compared += 1
    assert compared > 200


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize(("total_steps", "pct_start"), [(10, 0.1), (2, 0.5), (1, 1.0), (20, 0.05), (10, 1.0)])
def test_pytorch_where_torch_divides_by_zero(total_steps, pct_start, three_phase):
    """With a warm-up of exactly one step the curve is that of a slightly shorter warm-up, constant at the end."""
    schedule = OneCycle.pytorch(1.0, total_steps, pct_start, three_phase=three_phase)
    found = schedule.values(total_steps + 2)
    assert np.isfinite(found).all()
    if pct_start * total_steps == 1:
        shorter = OneCycle.pytorch(1.0, total_steps, pct_start * (1 - 1e-9), three_phase=three_phase)
        assert np.allclose(found, shorter.values(total_steps + 2), atol=1e-6)
    assert (found[total_steps:] == found[total_steps - 1]).all()


@pytest.mark.parametrize("pct_start", [0.0, 0.2, 0.25, 0.37])
@pytest.mark.parametrize("transition_steps", [1, 2, 3, 4, 10, 37, 200])
@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_optax_has_the_values_of_optax(shape, transition_steps, pct_start):
    """`OneCycle.optax` has optax's values wherever optax keeps all boundaries, and is constant after its end."""
    optax = pytest.importorskip("optax", reason="compares with optax's schedules")
    pct_final = 0.81
    boundaries = [int(pct_start * transition_steps), transition_steps]
    if shape == "linear":
        boundaries.insert(1, int(pct_final * transition_steps))
        peer = optax.linear_onecycle_schedule(transition_steps, 0.7, pct_start, pct_final, 20.0, 30.0)
    else:
        peer = optax.cosine_onecycle_schedule(transition_steps, 0.7, pct_start, 20.0, 30.0)
    found = OneCycle.optax(transition_steps, 0.7, pct_start, pct_final, 20.0, 30.0, shape).values(transition_steps + 3)
    if len(set(boundaries)) == len(boundaries):
        assert_close(np.array([float(peer(step)) for step in range(transition_steps + 3)]), found)
    else:
        assert found[0] == pytest.approx(0.7)
    assert found[transition_steps:] == pytest.approx([0.7 / 20 / 30] * 3)


def test_fastai_table_by_hand():
    """With a peak of 1000 over 8 steps: half way at step 1, the peak at 2, half of it at 5, the lowest from 8 on."""
    quarter = 1000 * (1 + math.cos(math.pi / 6)) / 2
    expected = [40, 520, 1000, quarter, 750, 500, 250, 1000 - quarter, 0, 0]
    assert OneCycle.fastai(1000.0, 8, div_final=1e9).values(10) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("pct_start", [0.0, 0.1, 0.25, 0.5, 0.99])
@pytest.mark.parametrize("total_steps", [1, 2, 3, 10, 37, 200])
def test_fastai_follows_its_formula(total_steps, pct_start):
    """Rate and momentum are fastai's `combined_cos(pct_start, start, middle, end)` at step / total_steps."""

    def combined_cos(start, middle, end):
        def anneal(a, b, p):
            return a + (1 + math.cos(math.pi * (1 - p))) * (b - a) / 2

        positions = [step / total_steps for step in range(total_steps + 1)]
        return np.array([
            anneal(start, middle, p / pct_start) if p < pct_start
            else anneal(middle, end, (p - pct_start) / (1 - pct_start))
            for p in positions
        ])  # fmt: skip

    schedule = OneCycle.fastai(0.7, total_steps, 20.0, 300.0, pct_start)
    assert_close(combined_cos(0.7 / 20, 0.7, 0.7 / 300), schedule.values(total_steps + 1))
    assert_close(combined_cos(0.95, 0.85, 0.95), schedule.momentum().values(total_steps + 1))
    assert schedule.value_at(total_steps) == schedule.value_at(10 * total_steps) == 0.7 / 300


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("step_size", [1, 2, 7, 50])
@pytest.mark.parametrize(("mode", "gamma"), [("triangular", 1.0), ("triangular2", 1.0), ("exp_range", 0.99)])
def test_cyclical_has_the_values_of_torch(mode, gamma, step_size, optimizer):
    """Rate and momentum are those of PyTorch's CyclicLR, for SGD's momentum and for Adam's beta_1."""
    rates, momenta = torch_run(
        lambda scheduler, inner: scheduler.CyclicLR(
            inner, 0.01, 0.3, step_size, mode=mode, gamma=gamma, base_momentum=0.8, max_momentum=0.9
        ),
        150,
        optimizer,
    )
    schedule = CyclicalLearningRate(0.01, 0.3, step_size, mode=mode, gamma=gamma)
    assert_close(rates, schedule.values(150))
    assert_close(momenta, schedule.momentum(high=0.9, low=0.8).values(150))


FORMS = {
    "OneCycle": (
        OneCycle(
            0.5, 40, warmup_fraction=0.25, final_fraction=0.2, initial_divisor=5.0, final_divisor=20.0, start_step=3
        ),
        (0.5, 40, 3, 0.25, 0.2, 5.0, 20.0, "linear"),
    ),
    "pytorch": (
        OneCycle.pytorch(0.5, 40, 0.25, "linear", 5.0, 20.0, start_step=3),
        (0.5, 40, 3, 0.25, 0.0, 5.0, 20.0, "linear"),
    ),
    "pytorch, three phases": (
        OneCycle.pytorch(0.5, 40, 0.25, "cos", 5.0, 20.0, three_phase=True),
        (0.5, 40, 0, 0.25, 0.5, 5.0, 20.0, "cosine"),
    ),
    "pytorch, three phases, late peak": (
        OneCycle.pytorch(0.5, 40, 0.6, three_phase=True),
        (0.5, 40, 0, 0.6, 0.0, 25.0, 1e4, "cosine"),
    ),
    "fastai": (OneCycle.fastai(0.5, 40, 5.0, 100.0, 0.25, start_step=3), (0.5, 40, 3, 0.25, 0.0, 5.0, 20.0, "cosine")),
    "optax": (
        OneCycle.optax(40, 0.5, 0.25, 0.75, 5.0, 20.0, start_step=3),
        (0.5, 40, 3, 0.25, 0.25, 5.0, 20.0, "linear"),
    ),
    "optax, cosine": (
        OneCycle.optax(40, 0.5, 0.25, 0.75, 5.0, 20.0, "cosine"),
        (0.5, 40, 0, 0.25, 0.0, 5.0, 20.0, "cosine"),
    ),
}
ATTRIBUTES = (
    "max_learning_rate", "total_steps", "start_step", "warmup_fraction", "final_fraction", "initial_divisor",
    "final_divisor", "shape",
)  # fmt: skip
each_form = pytest.mark.parametrize(("schedule", "expected"), FORMS.values(), ids=FORMS)


@each_form
def test_every_form_describes_its_cycle_by_the_same_attributes(schedule, expected):
    """Whatever the names of its arguments, each form of the cycle has the attributes of `CycleSchedule`."""
    assert isinstance(schedule, CycleSchedule)
    assert tuple(getattr(schedule, attribute) for attribute in ATTRIBUTES) == expected


@each_form
def test_the_attributes_agree_with_the_curve(schedule, expected):
    """The first rate, the peak and the last rate follow from the attributes, and the peak ends the warm-up."""
    peak, total_steps, start_step, _, _, initial_divisor, final_divisor, _ = expected
    assert schedule.value_at(start_step) == pytest.approx(peak / initial_divisor)
    assert max(phase.last for phase in schedule.phases) == peak
    if schedule.phases[-1].stop <= start_step + total_steps:  # PyTorch cuts a late decay short
        assert schedule.value_at(start_step + total_steps) == pytest.approx(peak / initial_divisor / final_divisor)


@each_form
@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_the_attributes_are_read_only(schedule, expected, attribute):
    """Setting an attribute of a cycle is an error, in every form."""
    with pytest.raises(AttributeError, match="cannot be changed"):
        setattr(schedule, attribute, getattr(schedule, attribute))


def test_a_form_is_no_one_cycle():
    """The forms of PyTorch, fastai and optax share a base class with `OneCycle` and are not `OneCycle`s."""
    for schedule, _ in FORMS.values():
        assert isinstance(schedule, OneCycle) == (type(schedule) is OneCycle)


def test_a_config_has_the_peers_argument_names_only():
    """A config holds the constructor's arguments, so a file that an earlier version saved loads."""
    assert OneCycle.pytorch(0.5, 40).get_config() == {
        "max_lr": 0.5, "total_steps": 40, "pct_start": 0.3, "anneal_strategy": "cos", "div_factor": 25.0,
        "final_div_factor": 1e4, "three_phase": False, "start_step": 0,
    }  # fmt: skip
    assert OneCycle.fastai(0.5, 40).get_config() == {
        "lr_max": 0.5, "total_steps": 40, "div": 25.0, "div_final": 1e5, "pct_start": 0.25, "start_step": 0,
    }  # fmt: skip
    assert OneCycle.optax(40, 0.5).get_config() == {
        "transition_steps": 40, "peak_value": 0.5, "pct_start": 0.3, "pct_final": 0.85, "div_factor": 25.0,
        "final_div_factor": 1e4, "shape": "linear", "start_step": 0,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["OneCyclePyTorch", "OneCycleFastai", "OneCycleOptax"])
def test_the_registered_names_are_those_of_earlier_files(name):
    """Keras finds each form under the name that saved models use."""
    assert keras.saving.get_registered_object(f"onecycle>{name}").__name__ == name
