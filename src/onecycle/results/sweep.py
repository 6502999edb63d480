"""The result of a sweep: short annealed runs at several rates, and the rate they point at. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onecycle.results import codec
from onecycle.results.base import Result
from onecycle.suggestions.sweep_pick import Pick

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from onecycle.results.range_test import RangeTest

codec.storable(Pick)


@codec.storable
@dataclass(frozen=True, eq=False)
class Sweep(Result):
    """A learning rate sweep: runs at several rates, each with its schedule to the end, judged on held-out data.

    Attributes:
        learning_rates: float64 array, (n,), peaks of the runs, the shorter runs first, each length from low to high.
        scores: float64 array, (n,), held-out loss at the end of each; NaN where the run diverged.
        steps: float64 array, (n,), training steps of each; scores of different lengths are not comparable.
        curves: float64 array, (n, parts), mean training loss in equal parts of each run, padded with NaN.
        pick: what the scores point at for the whole run.
        cost: training steps of the sweep, range test included, over those of the whole run.
        range_test: the `RangeTest` around whose suggestion the rates lie.
        total_steps: training steps of the whole run.
        initial_score: held-out loss before training, NaN where it could not be told.
        held_out: what the scores are losses of, in a sentence.
        seed: the seed given, or None.
        config: the remaining settings: epochs, budget, schedule, momentum, batch_size, optimizer, backend.
        engines: how the runs of each length were made, a sentence for each.
        versions: package name -> version, of what made the runs.
    """

    learning_rates: NDArray[np.float64]
    scores: NDArray[np.float64]
    steps: NDArray[np.float64]
    curves: NDArray[np.float64]
    pick: Pick
    cost: float
    range_test: RangeTest
    total_steps: int
    initial_score: float
    held_out: str
    seed: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    engines: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("learning_rates", "scores", "steps", "curves"):
            self._freeze(name)
        n = self.learning_rates.shape
        if len(n) != 1 or self.scores.shape != n or self.steps.shape != n or self.curves.shape[:1] != n:
            raise ValueError(
                "A sweep needs learning_rates (n,), scores (n,), steps (n,), curves (n, parts). Received: "
                f"{self.learning_rates.shape}, {self.scores.shape}, {self.steps.shape}, {self.curves.shape}"
            )
        object.__setattr__(self, "config", dict(self.config))
        object.__setattr__(self, "versions", dict(self.versions))

    @property
    def learning_rate(self) -> float:
        """The rate picked for the whole run; a ValueError with the reason where there is none."""
        if self.pick.learning_rate is None:
            raise ValueError(f"The sweep picks no learning rate. {self.pick.reason}")
        return self.pick.learning_rate

    @property
    def interval(self) -> tuple[float, float] | None:
        """(low, high): by these scores a rate between them costs at most 5 % more than the one picked."""
        return self.pick.interval

    @property
    def at_end(self) -> str | None:
        """Which end of the rates the best run is at, "lowest" or "highest": a better one may lie outside; or None."""
        return self.pick.at_end

    @property
    def verdict(self) -> str:
        """The pick in a sentence."""
        if self.pick.learning_rate is None or self.interval is None:
            return "The sweep picks no learning rate."
        low, high = self.interval
        return (
            f"The sweep picks {self.pick.learning_rate:.3g} for {self.total_steps} steps "
            f"(from {low:.3g} to {high:.3g} it makes little difference)."
        )

    def summary(self) -> str:
        """Returns the result as text of a few lines: the rate and why, what it cost, and each run."""
        facts = [f"{name.replace('_', ' ')} {value}" for name, value in self.config.items() if value is not None]
        lines = [self.verdict, self.pick.reason, f"It cost {self.cost:.3g} of such a run. {self.held_out}"]
        lines += ["; ".join(facts) + ".", ""] if facts else [""]
        for row in self.rows():
            lines.append(f"{'*' if row['best'] else ' '} {row['rate']:>9}  {row['steps']:>7} steps  {row['loss']}")
        return "\n".join(lines)

    def rows(self) -> list[dict[str, str]]:
        """Each run as text; "best" is filled for the best of the longest."""
        seen = self.pick.seen_at
        longest = float(self.steps.max(initial=0.0))
        return [
            {
                "best": "best" if rate == seen and steps == longest else "",
                "rate": f"{rate:.3g}",
                "steps": f"{int(steps)}",
                "loss": f"{score:.5g}" if np.isfinite(score) else "diverged",
            }
            for rate, score, steps in zip(self.learning_rates, self.scores, self.steps, strict=True)
        ]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the score of each run against its rate, and the pick with its interval; returns the Axes.

        Raises:
            ImportError: without matplotlib; the message says what to install.
        """
        from onecycle.plot import plot_sweep

        return plot_sweep(self, ax)
