"""The phases of each schedule, computed from its arguments. Needs only the standard library.

The schedule classes check the arguments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from onecycle.schedules.curves import Phase


def one_cycle_phases(
    max_learning_rate: float,
    total_steps: int,
    *,
    warmup_fraction: float | None = None,
    final_fraction: float = 0.1,
    initial_divisor: float = 10.0,
    final_divisor: float = 1000.0,
    shape: str = "linear",
) -> tuple[Phase, ...]:
    """Return the phases of `onecycle.OneCycle`, whose docstring has the formula.

    Args:
        max_learning_rate: The peak, above 0.
        total_steps: Length of the cycle in steps, at least 1.
        warmup_fraction: Fraction of the cycle spent rising; None for half of what precedes the final drop.
        final_fraction: Fraction of the cycle that is the final drop.
        initial_divisor: The first rate is `max_learning_rate / initial_divisor`.
        final_divisor: The last rate is the first rate divided by this.
        shape: `"linear"` or `"cosine"`.

    Returns:
        The phases, not shifted.
    """
    initial = max_learning_rate / initial_divisor
    final = initial / final_divisor
    if total_steps == 1:
        return (Phase("final drop", 0, 1, initial, initial),)
    if total_steps == 2:
        return (Phase("final drop", 0, 1, initial, final, shape),)
    last = total_steps - 1
    # A final drop has at least one step, however short the cycle.
    drop = max(1, math.floor(final_fraction * total_steps)) if final_fraction else 0
    start = last - drop
    peak = max(1, start // 2 if warmup_fraction is None else min(round(warmup_fraction * last), start))
    # Without a final drop a warm-up over everything would leave no step for the last rate.
    peak = min(peak, last - 1)
    if drop and peak < start:
        return _through(
            (0, initial), (peak, max_learning_rate), (start, initial), (last, final),
            names=("warm-up", "decay", "final drop"), shape=shape,
        )  # fmt: skip
    return _through((0, initial), (peak, max_learning_rate), (last, final), names=("warm-up", "decay"), shape=shape)


def pytorch_phases(
    max_lr: float,
    total_steps: int,
    pct_start: float,
    anneal_strategy: str,
    div_factor: float,
    final_div_factor: float,
    three_phase: bool,
) -> tuple[Phase, ...]:
    """Return the phases of `torch.optim.lr_scheduler.OneCycleLR`.

    Evaluate them with `last_step=total_steps - 1`. A phase that would end before it begins is left out, as in PyTorch.
    Where PyTorch divides by zero (a warm-up of exactly one step) the curve is the limit of smaller `pct_start`: no
    warm-up. A cycle of one step has the lowest rate.

    Args:
        max_lr: The peak, above 0.
        total_steps: Length of the cycle in steps, at least 1.
        pct_start: Fraction of the cycle spent rising.
        anneal_strategy: `"cos"` or `"linear"`.
        div_factor: The first rate is `max_lr / div_factor`.
        final_div_factor: The last rate is the first rate divided by this.
        three_phase: Whether the fall to the first rate and the final drop are separate phases.

    Returns:
        The phases, not shifted.
    """
    initial = max_lr / div_factor
    final = initial / final_div_factor
    shape = {"cos": "cosine", "linear": "linear"}[anneal_strategy]
    last = total_steps - 1
    # Fractional ends, as in PyTorch: a phase may stop between two steps.
    stages = [("warm-up", float(pct_start * total_steps) - 1, initial, max_lr)]
    if three_phase:
        stages += [("decay", float(2 * pct_start * total_steps) - 2, max_lr, initial)]
        stages += [("final drop", last, initial, final)]
    else:
        stages += [("decay", last, max_lr, final)]
    starts = [0.0, *(stop for _, stop, _, _ in stages)]
    phases = tuple(
        Phase(name, start, stop, first, end, shape)
        for start, (name, stop, first, end) in zip(starts, stages, strict=False)
        if start < min(stop, last)
    )
    return phases or (Phase("final drop", 0, 1, final, final),)


def fastai_phases(lr_max: float, total_steps: int, div: float, div_final: float, pct_start: float) -> tuple[Phase, ...]:
    """Return the phases of fastai's `fit_one_cycle`: two cosines, with the lowest rate only at step `total_steps`.

    Args:
        lr_max: The peak, above 0.
        total_steps: Length of the cycle in steps, at least 1.
        div: The first rate is `lr_max / div`.
        div_final: The last rate is `lr_max / div_final`.
        pct_start: Fraction of the cycle spent rising.

    Returns:
        The phases, not shifted.
    """
    peak = pct_start * total_steps
    up = (Phase("warm-up", 0, peak, lr_max / div, lr_max, "cosine"),) if peak > 0 else ()
    if peak >= total_steps:
        # No step is left for the fall. At step `total_steps` fastai divides by zero; later its rate is this one.
        return (*up, Phase("final drop", peak, peak + 1, lr_max / div_final, lr_max / div_final))
    return (*up, Phase("decay", peak, total_steps, lr_max, lr_max / div_final, "cosine"))


def optax_phases(
    transition_steps: int,
    peak_value: float,
    pct_start: float,
    pct_final: float,
    div_factor: float,
    final_div_factor: float,
    shape: str,
) -> tuple[Phase, ...]:
    """Return the phases of `optax.linear_onecycle_schedule` or (`shape="cosine"`) `cosine_onecycle_schedule`.

    Where two boundaries fall on the same step, optax loses one of them. Here the phase between them is left out:
    without a warm-up the curve starts at the peak; without a decay or a final drop it falls from the peak straight to
    the last value.

    Args:
        transition_steps: Length of the cycle in steps, at least 1.
        peak_value: The peak, above 0.
        pct_start: Position of the peak as a fraction of the cycle.
        pct_final: Start of the final drop as a fraction of the cycle. Unused for `shape="cosine"`.
        div_factor: The first rate is `peak_value / div_factor`.
        final_div_factor: The last rate is the first rate divided by this.
        shape: `"linear"` or `"cosine"`.

    Returns:
        The phases, not shifted.
    """
    initial = peak_value / div_factor
    final = initial / final_div_factor
    # Rounded down, as in optax.
    peak, drop = int(pct_start * transition_steps), int(pct_final * transition_steps)
    knots = [(peak, peak_value)]
    names = []
    if peak > 0:
        knots.insert(0, (0, initial))
        names.append("warm-up")
    if shape == "linear" and peak < drop < transition_steps:
        knots.append((drop, initial))
        names += ["decay", "final drop"]
    elif peak < transition_steps:
        names.append("decay")
    if peak < transition_steps:
        knots.append((transition_steps, final))
    return _through(*knots, names=names, shape=shape)


def warmup_linear_phases(
    max_learning_rate: float, total_steps: int, *, warmup_fraction: float, final_learning_rate: float
) -> tuple[Phase, ...]:
    """Return the phases of `onecycle.WarmupLinearDecay`, whose docstring has the formula.

    Args:
        max_learning_rate: The peak, above 0.
        total_steps: Length of the schedule in steps, at least 1.
        warmup_fraction: Fraction of the schedule spent rising.
        final_learning_rate: Rate of the last step.

    Returns:
        The phases, not shifted.
    """
    if total_steps == 1:
        return (Phase("decay", 0, 1, max_learning_rate, max_learning_rate),)
    up = _warmup(max_learning_rate, total_steps, warmup_fraction)
    start = up[-1].stop if up else 0
    return (*up, Phase("decay", start, total_steps - 1, max_learning_rate, final_learning_rate))


def warmup_stable_phases(
    max_learning_rate: float, total_steps: int, *, warmup_fraction: float, decay_fraction: float, decay_shape: str
) -> tuple[Phase, ...]:
    """Return the phases of `onecycle.WarmupStableDecay`, whose docstring has the formula.

    Args:
        max_learning_rate: The peak, above 0.
        total_steps: Length of the schedule in steps, at least 1.
        warmup_fraction: Fraction of the schedule spent rising.
        decay_fraction: Fraction of the schedule spent falling.
        decay_shape: `"1-sqrt"`, `"linear"` or `"cosine"`.

    Returns:
        The phases, not shifted.
    """
    if total_steps == 1:
        return (Phase("stable", 0, 1, max_learning_rate, max_learning_rate),)
    phases = list(_warmup(max_learning_rate, total_steps, warmup_fraction))
    last = total_steps - 1
    start = int(phases[-1].stop) if phases else 0
    # A decay has at least one step, and never begins within the warm-up.
    length = min(max(1, round(decay_fraction * total_steps)), last - start) if decay_fraction else 0
    if start < last - length:
        phases.append(Phase("stable", start, last - length, max_learning_rate, max_learning_rate))
    if length:
        phases.append(Phase("decay", last - length, last, max_learning_rate, 0.0, decay_shape))
    return tuple(phases)


def momentum_phases(phases: Sequence[Phase], high: float, low: float) -> tuple[Phase, ...]:
    """Return the phases of the momentum that matches a cycle's phases.

    Args:
        phases: The phases of the learning rate.
        high: Momentum at the start of the warm-up, at the end of the decay and in the final drop.
        low: Momentum at the peak of the learning rate.

    Returns:
        Phases with the same names, boundaries and shapes.
    """
    ends = {"warm-up": (high, low), "decay": (low, high), "final drop": (high, high)}
    return tuple(replace(phase, first=ends[phase.name][0], last=ends[phase.name][1]) for phase in phases)


def _through(*knots: tuple[int, float], names: Sequence[str], shape: str) -> tuple[Phase, ...]:
    """Return the phases that connect (step, value) knots."""
    return tuple(
        Phase(name, start, stop, first, last, shape)
        for name, (start, first), (stop, last) in zip(names, knots[:-1], knots[1:], strict=True)
    )


def _warmup(max_learning_rate: float, total_steps: int, fraction: float) -> tuple[Phase, ...]:
    # The line is zero at step -1 and reaches the peak at step w, so no step has a learning rate of zero.
    steps = min(max(1, round(fraction * total_steps)), total_steps - 2) if fraction else 0
    if steps < 1:
        return ()
    return (Phase("warm-up", 0, steps, max_learning_rate / (steps + 1), max_learning_rate),)
