"""The curves against their definitions, in float64 and on the host; no Keras."""

import math
import pickle
from itertools import pairwise

import numpy as np
import pytest

from onecycle.schedules.curves import SHAPES, Curve, CyclicalCurve, Phase, range_ramp, value_at, values
from onecycle.schedules.phases import (
    fastai_phases,
    momentum_phases,
    one_cycle_phases,
    optax_phases,
    pytorch_phases,
    warmup_linear_phases,
    warmup_stable_phases,
)

FRACTIONS = [(None, 0.1), (None, 0.0), (None, 0.5), (None, 1.0), (0.0, 0.1), (0.3, 0.1), (0.9, 0.1), (1.0, 0.0)]


def one_cycle_by_definition(peak, total_steps, warmup_fraction, final_fraction, initial_divisor, final_divisor):
    """`OneCycle` as design.md words it, one step at a time, in the same letters."""
    T, eta1, eta0 = total_steps, peak, peak / initial_divisor
    last_rate = eta0 / final_divisor
    if T == 1:
        return [eta0]
    if T == 2:
        return [eta0, last_rate]
    n = max(1, math.floor(final_fraction * T)) if final_fraction != 0 else 0
    d = T - 1 - n
    p = max(1, d // 2) if warmup_fraction is None else max(1, min(round(warmup_fraction * (T - 1)), d))
    p = min(p, T - 2)
    knots = {0: eta0, p: eta1, T - 1: last_rate} if n == 0 or d <= p else {0: eta0, p: eta1, d: eta0, T - 1: last_rate}
    return [float(np.interp(step, list(knots), list(knots.values()))) for step in range(T)]


def test_table_by_hand():
    """With a peak of 1000 over 12 steps: 180 up a step, 180 down a step, the last a thousandth of 100."""
    expected = [100, 280, 460, 640, 820, 1000, 820, 640, 460, 280, 100, 0.1]
    assert np.allclose(values(one_cycle_phases(1000.0, 12), np.arange(12)), expected, rtol=1e-13)


@pytest.mark.parametrize(("warmup_fraction", "final_fraction"), FRACTIONS)
def test_one_cycle_is_its_definition(warmup_fraction, final_fraction):
    """For every length to 200 each step has the value of the definition.

    The article's source, Géron's `OneCycleScheduler`, has the same three lines with other ends: its last phase has
    `iterations // 10 + 1` steps, its half is `(iterations - last) // 2`, the second fall stops at step `2 * half`, and
    the last rate belongs to step `iterations`, which is never trained. Here every end is a step that is trained.
    """
    for total_steps in range(1, 201):
        phases = one_cycle_phases(
            3.0, total_steps, warmup_fraction=warmup_fraction, final_fraction=final_fraction,
            initial_divisor=7.0, final_divisor=50.0,
        )  # fmt: skip
        expected = one_cycle_by_definition(3.0, total_steps, warmup_fraction, final_fraction, 7.0, 50.0)
        assert np.allclose(values(phases, np.arange(total_steps)), expected, rtol=1e-12), total_steps


def every_recipe(total_steps):
    """All recipes at a peak of 3, with the highest value each may have at this length, and where it is cut."""
    cut = total_steps - 1
    for warmup_fraction, final_fraction in FRACTIONS:
        for shape in ("linear", "cosine"):
            yield one_cycle_phases(
                3.0, total_steps, warmup_fraction=warmup_fraction, final_fraction=final_fraction, shape=shape
            ), None  # fmt: skip
    for pct in (0.0, 0.05, 0.1, 0.3, 0.5, 0.55, 0.6, 1.0):
        for three_phase in (False, True):
            yield pytorch_phases(3.0, total_steps, pct, "cos", 25.0, 1e4, three_phase), cut
        yield fastai_phases(3.0, total_steps, 25.0, 1e5, pct), None
        yield optax_phases(total_steps, 3.0, pct, 1.0, 25.0, 1e4, "linear"), None
        yield optax_phases(total_steps, 3.0, pct / 2, 0.5, 25.0, 1e4, "linear"), None
        yield optax_phases(total_steps, 3.0, pct, 1.0, 25.0, 1e4, "cosine"), None
        yield warmup_linear_phases(3.0, total_steps, warmup_fraction=pct, final_learning_rate=0.01), None
        for decay in (0.0, 0.2, 1 - pct):
            yield warmup_stable_phases(
                3.0, total_steps, warmup_fraction=min(pct, 1 - decay), decay_fraction=decay, decay_shape="1-sqrt"
            ), None  # fmt: skip
    yield range_ramp(1e-6, 3.0, total_steps), None


@pytest.mark.parametrize("total_steps", [*range(1, 41), 97, 200])
def test_every_curve_is_well_behaved(total_steps):
    """At every length each recipe is finite, inside its phases' ends, monotone in each phase and held after its end."""
    for phases, cut in every_recipe(total_steps):
        curve = Curve(phases, last_step=cut)
        found = curve.values(np.arange(total_steps + 3))
        assert np.isfinite(found).all(), phases
        assert min(min(p.first, p.last) for p in phases) <= found.min(), phases
        assert found.max() <= max(max(p.first, p.last) for p in phases) <= 3.0, phases
        assert (found[curve.end :] == curve.held).all(), phases
        for phase in phases:
            inside = found[math.ceil(max(phase.start, 0)) : math.ceil(min(phase.stop, curve.end))]
            steps = np.diff(inside) * math.copysign(1, phase.last - phase.first)
            assert (steps >= 0).all(), phase
        assert [curve.value_at(step) for step in range(total_steps + 3)] == pytest.approx(found, rel=1e-14, abs=0)


@pytest.mark.parametrize(("warmup_fraction", "final_fraction"), FRACTIONS)
@pytest.mark.parametrize("total_steps", [3, 4, 5, 10, 11, 100, 10**9])
def test_one_cycle_ends_and_peak_are_exact(total_steps, warmup_fraction, final_fraction):
    """The first rate, the peak and the last rate are met bit for bit, and the peak on a whole step."""
    phases = one_cycle_phases(
        0.3, total_steps, warmup_fraction=warmup_fraction, final_fraction=final_fraction,
        initial_divisor=7.0, final_divisor=13.0,
    )  # fmt: skip
    curve = Curve(phases)
    peak = int(phases[0].stop)
    assert [curve.value_at(s) for s in (0, peak, total_steps - 1)] == [0.3 / 7, 0.3, 0.3 / 7 / 13]
    assert curve.values([0, peak, total_steps - 1]).tolist() == [0.3 / 7, 0.3, 0.3 / 7 / 13]


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_meet_their_formulas(shape):
    """Each shape is its textbook formula between its ends."""
    formula = {
        "linear": lambda p: 5 + (80 - 5) * p,
        "cosine": lambda p: 80 + (5 - 80) / 2 * (1 + np.cos(np.pi * p)),
        "1-sqrt": lambda p: 80 + (5 - 80) * (1 - np.sqrt(p)),
        "exponential": lambda p: 5 * (80 / 5) ** p,
    }[shape]
    found = values((Phase("ramp", 10, 30, 5.0, 80.0, shape),), np.arange(10, 31))
    assert np.allclose(found, formula(np.arange(21) / 20), rtol=1e-13)


@pytest.mark.parametrize("spacing", ["linear", "exponential"])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 300, 10**9])
def test_range_ramp_ends_are_exact(num_steps, spacing):
    """A range test begins exactly at its lowest rate and ends exactly at its highest."""
    phases = range_ramp(1e-6, 10.0, num_steps, spacing)
    assert value_at(phases, 0) == 1e-6
    assert value_at(phases, num_steps - 1) == (10.0 if num_steps > 1 else 1e-6)


def test_momentum_mirrors_the_rate():
    """Momentum falls in the warm-up, rises in the fall and stays high in the final drop."""
    phases = momentum_phases(one_cycle_phases(1000.0, 12), 0.95, 0.85)
    expected = [0.95, 0.93, 0.91, 0.89, 0.87, 0.85, 0.87, 0.89, 0.91, 0.93, 0.95, 0.95, 0.95]
    assert np.allclose(values(phases, np.arange(13)), expected, rtol=1e-13)


@pytest.mark.parametrize("start_step", [0, 1, 2**24 + 1, 10**9, 2**53])
def test_start_step_loses_nothing(start_step):
    """A shifted curve has the bits of the unshifted one, however far it is shifted and however fractional its ends."""
    phases = pytorch_phases(3.0, 37, 0.31, "cos", 25.0, 1e4, False)
    plain, shifted = Curve(phases, last_step=36), Curve(phases, start_step=start_step, last_step=36)
    assert [shifted.value_at(start_step + s) for s in range(40)] == [plain.value_at(s) for s in range(40)]
    assert (shifted.values(start_step + np.arange(40)) == plain.values(np.arange(40))).all()
    assert shifted.value_at(start_step - 1) == plain.value_at(0)


@pytest.mark.parametrize(
    "phases",
    [
        (),
        (Phase("warm-up", 0, 2, 1, 2), Phase("decay", 1, 3, 2, 1)),
        (Phase("warm-up", 0, 2, 1, 2), Phase("decay", 3, 4, 2, 1)),
    ],
)
def test_phases_must_follow_each_other(phases):
    """No phase, an overlap and a gap are errors: a phase cannot silently vanish."""
    with pytest.raises(ValueError, match="Received"):
        Curve(phases)


@pytest.mark.parametrize(("start", "stop", "first", "shape"), [(2, 2, 1, "linear"), (3, 2, 1, "linear"),
                                                              (0, 1, 0, "exponential"), (0, 1, 1, "cos")])  # fmt: skip
def test_impossible_phases_are_errors(start, stop, first, shape):
    """An empty phase, an exponential from zero and an unknown shape are errors."""
    with pytest.raises(ValueError, match="Received"):
        Phase("warm-up", start, stop, first, 2, shape)


def test_curves_can_be_pickled():
    """A curve goes to another process and evaluates the same there."""
    curve = Curve(one_cycle_phases(0.1, 100, shape="cosine"))
    assert (pickle.loads(pickle.dumps(curve)).values(np.arange(100)) == curve.values(np.arange(100))).all()


def test_cyclical_table_by_hand():
    """With a peak of 1000 the second triangle is half as high in triangular2, and each step 0.9 of it in exp_range."""
    triangular2 = CyclicalCurve(0.0, 1000.0, step_size=2, mode="triangular2", gamma=1.0, start_step=0)
    assert triangular2.values(np.arange(9)).tolist() == [0, 500, 1000, 500, 0, 250, 500, 250, 0]
    exp_range = CyclicalCurve(0.0, 1000.0, step_size=1, mode="exp_range", gamma=0.9, start_step=0)
    assert [exp_range.value_at(s) for s in range(4)] == pytest.approx([0, 900, 0, 729])


def test_optax_boundaries_on_one_step_join_neighbours():
    """Where optax loses a boundary the phases left still strictly increase and end at the documented last value."""
    phases = optax_phases(10, 1000.0, 0.3, 1.0, 25.0, 1e4, "linear")
    assert [p.name for p in phases] == ["warm-up", "decay"]
    assert all(a.stop == b.start for a, b in pairwise(phases))
    assert value_at(phases, 10) == pytest.approx(0.004)
