"""Ratios of times, taken in turns in one process, with an A/A ratio beside them."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LARGEST_HALF_WIDTH = 0.02  # design.md, section 4: an A/A ratio known worse than this proves nothing


@dataclass(frozen=True)
class Seconds:
    """What a step of one epoch took."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Ratio:
    """A geometric mean of paired ratios with its 95 % interval (Student's t on the logarithms of blocks)."""

    ratio: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    @classmethod
    def of(cls, above: NDArray[np.float64], below: NDArray[np.float64], block: int) -> Ratio:
        """The ratio of times taken in pairs; those of `block` epochs, in which every order occurs, count as one."""
        logs = np.log(above / below)
        logs = logs[: len(logs) // block * block].reshape(-1, block).mean(axis=1)
        spread = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
        low, middle, high = np.exp([logs.mean() - spread, logs.mean(), logs.mean() + spread])
        return cls(float(middle), float(low), float(high))


def compared(taken: dict[str, list[Seconds]], base: str, again: str, target: float, subject: str) -> dict[str, object]:
    """One row of the results: CPU time of a subject over the base, beside the base over itself."""
    cpu = {name: np.array([seconds.cpu for seconds in taken[name]]) for name in (base, again, subject)}
    ratio = Ratio.of(cpu[subject], (cpu[base] + cpu[again]) / 2, block=len(taken))
    a_a = Ratio.of(cpu[again], cpu[base], block=len(taken))
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
