"""The curves that `onecycle preview` shows. They are those of the schedules, made without Keras, which loads slowly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onecycle.cli.console import UsageError, option_name
from onecycle.cli.preview import ScheduleName
from onecycle.schedules import phases
from onecycle.schedules.curves import Curve, CyclicalCurve, Phase
from onecycle.suggestions.arguments import (
    check_choice,
    check_fractions,
    check_integer,
    check_learning_rate,
    check_number,
)

Options = Mapping[str, float | str]


@dataclass(frozen=True)
class ShownCurve:
    """A curve with its length.

    Attributes:
        curve: The curve.
        total_steps: Number of steps to show, from the first.
        has_momentum: Whether a momentum goes with it, as with the learning rate of a cycle.
    """

    curve: Curve | CyclicalCurve
    total_steps: int
    has_momentum: bool = False

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the curve; empty if it is not made of phases."""
        return self.curve.phases if isinstance(self.curve, Curve) else ()

    @property
    def step_size(self) -> int | None:
        """Length of half a cycle in steps, of a curve that repeats."""
        return None if isinstance(self.curve, Curve) else self.curve.step_size

    def value_at(self, step: int) -> float:
        """Return the value at one step."""
        return self.curve.value_at(step)

    def values(self) -> NDArray[np.float64]:
        """Return the value at each step."""
        return self.curve.values(np.arange(self.total_steps))


def learning_rate_curve(
    name: ScheduleName, max_learning_rate: float, total_steps: int, options: Mapping[str, float | str | None]
) -> ShownCurve:
    """Return the curve of a learning rate.

    Args:
        name: Which schedule.
        max_learning_rate: The peak.
        total_steps: Length of the schedule in training steps.
        options: Option name -> its value; None if the option was not given.

    Raises:
        UsageError: If an option was given that the schedule does not have.
        ValueError: If an argument is out of its range.
    """
    make, names = _MAKERS[name]
    given = {option: value for option, value in options.items() if value is not None}
    unknown = [option_name(option) for option in given if option not in names]
    if unknown:
        raise UsageError(f"The schedule {name.value} has no option {', '.join(unknown)}.")
    peak = check_learning_rate("max_learning_rate", max_learning_rate)
    curve = make(peak, check_integer("total_steps", total_steps), _checked(given))
    return ShownCurve(curve, total_steps, not name.value.startswith("warmup"))


def momentum_curve(rate: ShownCurve, *, high: float, low: float) -> ShownCurve | None:
    """Return the momentum that goes with the learning rate of a cycle; None for other schedules.

    Args:
        rate: The learning rate.
        high: Momentum at low learning rates, less than 1.
        low: Momentum at the peak, 0 to `high`.

    Raises:
        ValueError: If a momentum is out of its range.
    """
    if not rate.has_momentum:
        return None
    check_number("high", high, minimum=0)
    check_number("low", low, minimum=0, maximum=high, remedy="The pair is written (high, low)")
    if high >= 1:
        raise ValueError(f"Argument `high` must be < 1. Received: high={high:g}")
    curve = rate.curve
    if isinstance(curve, CyclicalCurve):
        return ShownCurve(_cyclical(high, low, curve.step_size), rate.total_steps)
    return ShownCurve(Curve(phases.momentum_phases(curve.phases, high, low), last_step=curve.end), rate.total_steps)


def _checked(options: Options) -> Options:
    for option in ("warmup_fraction", "final_fraction"):
        if option in options:
            check_number(option, options[option], minimum=0, maximum=1)
    for option in ("initial_divisor", "final_divisor"):
        if option in options:
            check_number(option, options[option], minimum=1)
    if "shape" in options:
        check_choice("shape", options["shape"], ("linear", "cosine"))
    return options


def _one_cycle(peak: float, steps: int, options: Any) -> Curve:
    check_fractions(warmup_fraction=options.get("warmup_fraction"), final_fraction=options.get("final_fraction", 0.1))
    return Curve(phases.one_cycle_phases(peak, steps, **options))


def _pytorch(peak: float, steps: int, _options: Options) -> Curve:
    return Curve(phases.pytorch_phases(peak, steps, 0.3, "cos", 25.0, 1e4, False), last_step=steps - 1)


def _warmup_linear(peak: float, steps: int, options: Any) -> Curve:
    fraction = options.get("warmup_fraction", 0.1)
    return Curve(phases.warmup_linear_phases(peak, steps, warmup_fraction=fraction, final_learning_rate=0.0))


def _warmup_stable(peak: float, steps: int, options: Any) -> Curve:
    warmup, decay = options.get("warmup_fraction", 0.1), options.get("final_fraction", 0.2)
    check_fractions(warmup_fraction=warmup, final_fraction=decay)
    return Curve(
        phases.warmup_stable_phases(peak, steps, warmup_fraction=warmup, decay_fraction=decay, decay_shape="1-sqrt")
    )


def _cyclical(base: float, peak: float, step_size: int) -> CyclicalCurve:
    return CyclicalCurve(base, peak, step_size=step_size, mode="triangular", gamma=1.0, start_step=0)


_ONE_CYCLE_OPTIONS = ("warmup_fraction", "final_fraction", "initial_divisor", "final_divisor", "shape")
# For each schedule what makes its curve with the defaults of its class, and the options that it has.
_MAKERS: dict[ScheduleName, tuple[Callable[[float, int, Options], Curve | CyclicalCurve], tuple[str, ...]]] = {
    ScheduleName.one_cycle: (_one_cycle, _ONE_CYCLE_OPTIONS),
    ScheduleName.pytorch: (_pytorch, ()),
    ScheduleName.fastai: (lambda peak, steps, _: Curve(phases.fastai_phases(peak, steps, 25.0, 1e5, 0.25)), ()),
    ScheduleName.optax: (
        lambda peak, steps, _: Curve(phases.optax_phases(steps, peak, 0.3, 0.85, 25.0, 1e4, "linear")), (),
    ),
    ScheduleName.warmup_linear: (_warmup_linear, ("warmup_fraction",)),
    ScheduleName.warmup_stable: (_warmup_stable, ("warmup_fraction", "final_fraction")),
    # Four complete cycles.
    ScheduleName.cyclical: (lambda peak, steps, _: _cyclical(peak / 10, peak, max(1, steps // 8)), ()),
}  # fmt: skip
