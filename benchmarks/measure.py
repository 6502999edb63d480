"""Ratios of times, taken in turns in one process, with an A/A ratio beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

LARGEST_HALF_WIDTH = 0.02  # design.md, section 4: an A/A ratio known worse than this proves nothing


@dataclass(frozen=True)
class Seconds:
    """What one run took per step, first epoch (where it compiles) left out."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Ratio:
    """A geometric mean of ratios over the rounds, with its 95 % interval (Student's t on the logarithms)."""

    ratio: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    @classmethod
    def of(cls, above: list[float], below: list[float]) -> Ratio:
        logs = np.log(np.array(above) / np.array(below))
        spread = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
        low, middle, high = np.exp([logs.mean() - spread, logs.mean(), logs.mean() + spread])
        return cls(float(middle), float(low), float(high))


def in_turns(runs: Mapping[str, Callable[[], Seconds]], rounds: int) -> dict[str, list[Seconds]]:
    """Run everything `rounds` times, beginning each round with another one, after a round that does not count."""
    names = list(runs)
    taken: dict[str, list[Seconds]] = {name: [] for name in names}
    for number in range(-1, rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            seconds = runs[name]()
            if number >= 0:
                taken[name].append(seconds)
    return taken


def compared(taken: dict[str, list[Seconds]], base: str, again: str, target: float, subject: str) -> dict[str, object]:
    """One row of the results: CPU time of a subject over the base, beside the base over itself."""
    cpu = {name: [seconds.cpu for seconds in taken[name]] for name in (base, again, subject)}
    both = [(one + other) / 2 for one, other in zip(cpu[base], cpu[again], strict=True)]
    ratio, a_a = Ratio.of(cpu[subject], both), Ratio.of(cpu[again], cpu[base])
    return {
        "subject": subject,
        "ratio": asdict(ratio),
        "a_a": asdict(a_a),
        "target": target,
        "holds": ratio.low <= target and a_a.half_width <= LARGEST_HALF_WIDTH,
        "microseconds_per_step": {name: round(1e6 * float(np.median(values)), 1) for name, values in cpu.items()},
    }


class Stopwatch:
    """CPU and wall seconds between two calls."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def lap(self) -> tuple[float, float]:
        cpu, wall = time.process_time(), time.perf_counter()
        lap = cpu - self._cpu, wall - self._wall
        self._cpu, self._wall = cpu, wall
        return lap
