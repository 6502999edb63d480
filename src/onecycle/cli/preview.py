"""`onecycle preview`: a schedule as a table and a picture, before any training."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Any

from onecycle.commands.console import WrongUse

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ROWS, _COLUMNS = 6, 64


class Name(StrEnum):
    """The schedules that can be looked at."""

    one_cycle = "one-cycle"
    pytorch = "pytorch"
    fastai = "fastai"
    optax = "optax"
    warmup_linear = "warmup-linear"
    warmup_stable = "warmup-stable"
    cyclical = "cyclical"


def make(name: Name, peak: float, steps: int, **options: Any) -> Any:
    """Return the schedule; of the options only those given, which it must know."""
    from onecycle.schedules import OneCycle
    from onecycle.schedules.cyclical import CyclicalLearningRate
    from onecycle.schedules.warmup import WarmupLinearDecay, WarmupStableDecay

    makers: dict[Name, tuple[Any, tuple[str, ...]]] = {
        Name.one_cycle: (
            OneCycle,
            ("warmup_fraction", "final_fraction", "initial_divisor", "final_divisor", "shape"),
        ),
        Name.pytorch: (OneCycle.pytorch, ()),
        Name.fastai: (OneCycle.fastai, ()),
        Name.optax: (lambda peak, steps: OneCycle.optax(steps, peak), ()),
        Name.warmup_linear: (WarmupLinearDecay, ("warmup_fraction",)),
        Name.warmup_stable: (WarmupStableDecay, ("warmup_fraction", "final_fraction")),
        Name.cyclical: (lambda peak, steps: CyclicalLearningRate(peak / 10, peak, max(1, steps // 8)), ()),
    }
    maker, known = makers[name]
    given = {option: value for option, value in options.items() if value is not None}
    unknown = [f"--{option.replace('_', '-')}" for option in given if option not in known]
    if unknown:
        raise WrongUse(f"The schedule {name.value} has no option {', '.join(unknown)}.")
    if name is Name.warmup_stable and "final_fraction" in given:
        given["decay_fraction"] = given.pop("final_fraction")
    return maker(peak, steps, **given)


def preview(schedule: Any, steps: int, *, momentum: tuple[float, float] | None, plot: Path | None) -> Preview:
    """Look at so many steps of a schedule, and of the momentum that goes with it."""
    with_momentum = momentum is not None and hasattr(schedule, "momentum")
    matching = schedule.momentum(high=momentum[0], low=momentum[1]) if with_momentum and momentum else None
    if plot is not None:
        from onecycle.plot import plot_schedule, save_figure

        save_figure(plot_schedule(schedule, matching), plot)
    return Preview(schedule, steps, matching)


class Preview:
    """A schedule, ready to be shown as text or given as plain data.

    Args:
        schedule: The learning rate.
        steps: How many of its steps to look at.
        momentum: The matching momentum, or None.
    """

    def __init__(self, schedule: Any, steps: int, momentum: Any) -> None:
        self._name = schedule
        self._rates = [float(rate) for rate in schedule.values(steps)]
        self._momenta = [] if momentum is None else [float(value) for value in momentum.values(steps)]
        self._phases = [(phase.name, phase.start, phase.stop) for phase in getattr(schedule, "phases", ())]

    def facts(self) -> dict[str, Any]:
        """Return the values of every step, as JSON can hold them."""
        phases = [{"name": name, "start": start, "stop": stop} for name, start, stop in self._phases]
        return {"learning_rates": self._rates, "momenta": self._momenta, "phases": phases}

    def text(self) -> str:
        """Return the curves drawn with characters, and a table of where each phase begins and ends."""
        parts = [self._drawn("learning rate", self._rates)]
        parts += [self._drawn("momentum", self._momenta)] if self._momenta else []
        return "\n\n".join([*parts, self._table()])

    def _drawn(self, what: str, values: list[float]) -> str:
        low, high = min(values), max(values)
        columns = [values[round(k * (len(values) - 1) / (_COLUMNS - 1))] for k in range(_COLUMNS)]
        heights = [(value - low) / ((high - low) or 1.0) * _ROWS * 8 for value in columns]
        lines = [
            "".join(_BLOCKS[max(0, min(8, math.ceil(height) - 8 * row))] for height in heights)
            for row in reversed(range(_ROWS))
        ]
        labels = [f"{high:.4g}", *[""] * (_ROWS - 2), f"{low:.4g}"]
        width = max(map(len, labels))
        drawn = [f"  {label:>{width}} │{line}" for label, line in zip(labels, lines, strict=True)]
        axis = f"  {'':{width}} └{'─' * _COLUMNS}"
        ends = f"  {'':{width}}  0{f'step {len(values) - 1}':>{_COLUMNS - 1}}"
        return "\n".join([what, *drawn, axis, ends])

    def _table(self) -> str:
        rows = [("phase", "steps", "learning rate", "momentum")]
        for name, start, stop in self._phases or [("all", 0, len(self._rates) - 1)]:
            first, last = (min(round(step), len(self._rates) - 1) for step in (start, stop))
            momentum = f"{self._momenta[first]:.4g} to {self._momenta[last]:.4g}" if self._momenta else "as it is"
            rate = f"{self._rates[first]:.4g} to {self._rates[last]:.4g}"
            rows.append((name, f"{first} to {last}", rate, momentum))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
