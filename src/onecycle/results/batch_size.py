"""The result of `advise_batch_size`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onecycle.results import codec
from onecycle.results.base import Result
from onecycle.suggestions.gradient_noise import relative_samples, relative_times

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# ours: with a wider interval of the noise scale nothing is advised
MAX_SPAN = 10.0
# ours: a difference in samples that no training shows
SAME_SAMPLES = 1.05
# ours: the expected times are no more exact than this (studies/2026-11-27_batch_size). Of sizes that are equally fast,
# the largest has the least noise at the end of the training.
SAME_TIME = 1.25


@codec.storable
@dataclass(frozen=True, eq=False, repr=False)
class BatchSizeAdvice(Result):
    """The batch size that should reach a target fastest, the one with the fewest samples, and the evidence.

    Attributes:
        batch_sizes: int64 array, `(n,)`, the batch sizes that were timed, increasing.
        step_seconds: float64 array, `(n,)`, seconds of a training step with each.
        noise_scale: The gradient noise scale in rows. With this batch size, training takes twice the least number of
            steps and twice the least number of samples. It is infinite where no gradient was visible.
        interval: (low, high), 90 % bootstrap interval of the noise scale; `high` may be infinite.
        current_batch_size: The batch size that the rate belongs to.
        scaling: How the rate changes with the batch size: "linear" or "square root".
        training_steps: Steps of training, in whose last third the gradients were measured.
        micro_batches: Number of batches whose gradients were compared.
        micro_batch_size: Rows of each.
        seed: The seed given, or None.
        config: Remaining settings: optimizer and backend.
        versions: Package name -> version of the packages that made the measurement.
        origin: Name -> text: date, model, optimizer, backend and hardware. Results are equal whatever their origin.
    """

    batch_sizes: NDArray[np.int64]
    step_seconds: NDArray[np.float64] = field(compare=False)
    noise_scale: float
    interval: tuple[float, float]
    current_batch_size: int
    scaling: str
    training_steps: int
    micro_batches: int
    micro_batch_size: int
    seed: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        self._freeze("batch_sizes", np.int64)
        self._freeze("step_seconds")
        if self.batch_sizes.ndim != 1 or self.batch_sizes.shape != self.step_seconds.shape or not self.batch_sizes.size:
            raise ValueError(
                "A batch size advice needs batch_sizes (n,) and step_seconds (n,) with n >= 1. Received: "
                f"{self.batch_sizes.shape}, {self.step_seconds.shape}"
            )
        object.__setattr__(self, "interval", tuple(map(float, self.interval)))
        # Copies, so that later changes of the caller's dicts do not change the result.
        for name in ("config", "versions", "origin"):
            object.__setattr__(self, name, dict(getattr(self, name)))

    @property
    def is_certain(self) -> bool:
        """Whether the interval of the noise scale is narrow enough for an advice."""
        low, high = self.interval
        return low > 0 and math.isfinite(high) and high <= MAX_SPAN * low

    @property
    def batch_size(self) -> int | None:
        """The largest batch size whose expected time to a target is within 25 % of the shortest; None if uncertain."""
        if not self.is_certain:
            return None
        return int(self.batch_sizes[self.relative_times <= SAME_TIME].max())

    @property
    def fewest_samples(self) -> int | None:
        """The fastest batch size among those with the fewest samples until a target, within 5 %; None as above."""
        if not self.is_certain:
            return None
        samples = self.relative_samples
        few = np.flatnonzero(samples <= SAME_SAMPLES * samples.min())
        return int(self.batch_sizes[few[int(np.argmin(self.relative_times[few]))]])

    @property
    def relative_times(self) -> NDArray[np.float64]:
        """(n,) expected time to a target with each batch size, relative to the shortest."""
        return relative_times(self.batch_sizes, self.step_seconds, self.noise_scale)

    @property
    def relative_samples(self) -> NDArray[np.float64]:
        """(n,) expected samples until a target with each batch size, relative to the least possible number."""
        return relative_samples(self.batch_sizes, self.noise_scale)

    @property
    def rate_factors(self) -> NDArray[np.float64]:
        """(n,) factor on the learning rate for each batch size, relative to `current_batch_size`.

        Linear for optimizers whose steps grow with the gradient (P. Goyal et al., 2017, arXiv:1706.02677, section 2.1),
        the square root for those that divide by its size (S. Malladi et al., 2022, arXiv:2205.10287, section 4). Either
        holds for batches that are small against the noise scale, and no factor lifts the largest stable rate.
        """
        ratios = self.batch_sizes / self.current_batch_size
        return np.asarray(ratios if self.scaling == "linear" else np.sqrt(ratios))

    @property
    def reason(self) -> str:
        """What the advice rests on, or why there is none, in a sentence."""
        low, high = self.interval
        interval = f"{low:.3g} to {high:.3g}" if math.isfinite(high) else f"{low:.3g} or more"
        if not self.is_certain:
            return (
                f"The gradient noise scale may be {interval} rows, which is too wide an interval for an advice. "
                "Measure with more `micro_batches`, or after fewer training steps, where the gradient is larger."
            )
        return f"The gradient noise scale is {self.noise_scale:.3g} rows ({interval})."

    @property
    def verdict(self) -> str:
        """The advice in one sentence."""
        size = self.batch_size
        if size is None:
            return "Cannot tell which batch size is best."
        factor = self.rate_factors[np.flatnonzero(self.batch_sizes == size)[0]]
        return (
            f"A batch size of {size} should reach a target fastest, with {factor:.3g} times the learning rate of "
            f"{self.current_batch_size}; {self.fewest_samples} with the fewest samples."
        )

    def summary(self) -> str:
        """Return the advice, its reason, how it was measured, and a line for each batch size, as text."""
        how = (
            f"Measured on {self.micro_batches} batches of {self.micro_batch_size} rows, in the last third of "
            f"{self.training_steps} training steps; scaling of the rate: {self.scaling}."
        )
        lines = [self.verdict, self.reason, how, ""]
        lines.append(
            f"  {'batch size':>12}  {'ms a step':>9}  {'rows a second':>13}  {'time':>6}  {'samples':>7}  rate"
        )
        lines += [
            f"{'*' if row['note'] else ' '} {row['batch_size']:>12}  {row['step']:>9}  {row['throughput']:>13}  "
            f"{row['time']:>6}  {row['samples']:>7}  {row['rate']}{row['note'] and ' (' + row['note'] + ')'}"
            for row in self.rows()
        ]
        return "\n".join(lines)

    def rows(self) -> list[dict[str, str]]:
        """Return a row of text for each batch size.

        Its keys are `batch_size`, `step` (ms), `throughput` (rows a second), `time`, `samples`, `rate` and `note`.
        Times and samples are left out where the noise scale is not known well enough.
        """
        notes = {self.fewest_samples: "fewest samples", self.batch_size: "advised"}
        if self.batch_size == self.fewest_samples:
            notes[self.batch_size] = "advised, fewest samples"
        rows = []
        for number, size in enumerate(self.batch_sizes.tolist()):
            seconds = float(self.step_seconds[number])
            rows.append(
                {
                    "batch_size": str(size),
                    "step": f"{1000 * seconds:.3g}",
                    "throughput": f"{size / seconds:.3g}",
                    "time": f"{self.relative_times[number]:.3g}" if self.is_certain else "?",
                    "samples": f"{self.relative_samples[number]:.3g}" if self.is_certain else "?",
                    "rate": f"x {self.rate_factors[number]:.3g}",
                    "note": notes.get(size, ""),
                }
            )
        return rows

    def _draw(self, ax: Axes | None) -> Axes:
        from onecycle.plot import plot_batch_sizes

        return plot_batch_sizes(self, ax)

    def _headline(self) -> str:
        size = self.batch_size
        return "cannot tell" if size is None else f"{size}, noise scale {self.noise_scale:.3g}"
