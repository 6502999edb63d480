"""Ratios of times that were measured in turns in one process, and their A/A ratios."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LARGEST_HALF_WIDTH = 0.02  # of the interval of an A/A ratio; a result with a wider one does not hold


@dataclass(frozen=True)
class Seconds:
    """The time of a step, a mean over one epoch, or the time of a call.

    Attributes:
        cpu: CPU time, in seconds.
        wall: Wall time, in seconds.
    """

    cpu: float
    wall: float


@dataclass(frozen=True)
class Ratio:
    """A geometric mean of paired ratios with its 95 % interval (Student's t on the logarithms of blocks).

    Attributes:
        ratio: The mean.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    ratio: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    @classmethod
    def of(cls, above: NDArray[np.float64], below: NDArray[np.float64], block: int) -> Ratio:
        """Return the ratio of paired times.

        Args:
            above: Times in the numerator.
            below: Times in the denominator.
            block: Number of consecutive epochs that count as one observation, which has every order of turns once.
        """
        logs = np.log(above / below)
        logs = logs[: len(logs) // block * block].reshape(-1, block).mean(axis=1)
        spread = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
        low, middle, high = np.exp([logs.mean() - spread, logs.mean(), logs.mean() + spread])
        return cls(float(middle), float(low), float(high))


def compare_times(
    taken: dict[str, list[Seconds]], base: str, again: str, target: float, subject: str
) -> dict[str, object]:
    """Return a row of the results: the CPU time of a subject relative to the base, and the A/A ratio of the base.

    Args:
        taken: Name -> times of the epochs.
        base: Name of the base.
        again: Name of the second run of the base.
        target: Largest ratio that holds.
        subject: Name of the subject.
    """
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
    """Measures CPU and wall time, in seconds, between two calls of `lap`."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def lap(self) -> tuple[float, float]:
        cpu, wall = time.process_time(), time.perf_counter()
        lap = cpu - self._cpu, wall - self._wall
        self._cpu, self._wall = cpu, wall
        return lap
