"""What every engine returns, and how divergence is marked in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from onecycle.engine.members import Array, Weights


@dataclass(frozen=True, eq=False)
class EngineOutput:
    """The runs of all members as an engine returns them. The attributes are those of `MemberRuns`.

    Attributes:
        losses: (members, steps) the loss of each batch. A run that ended early is padded with NaN.
        metrics: Name -> (members, epochs).
        validation: Name -> (members, evaluations). Empty without validation data.
        weights: For each member its last weights. None unless requested.
        compile_seconds: Seconds spent on compiling, or None if they were not measured separately.
    """

    losses: Array
    metrics: dict[str, Array]
    validation: dict[str, Array]
    weights: tuple[Weights, ...] | None
    compile_seconds: float | None = None

    @property
    def diverged_at(self) -> tuple[int | None, ...]:
        """For each member the step of its first loss that is not finite, or None.

        The padding of a run is not mistaken for divergence: a run ends early only after such a loss.
        """
        not_finite = ~np.isfinite(self.losses)
        return tuple(int(np.argmax(row)) if row.any() else None for row in not_finite)

    def masked(self) -> EngineOutput:
        """Return a copy that holds NaN in place of every value computed after its member diverged."""
        losses = self.losses.copy()
        metrics = {name: table.copy() for name, table in self.metrics.items()}
        validation = {name: table.copy() for name, table in self.validation.items()}
        steps = losses.shape[1]
        for k, step in enumerate(self.diverged_at):
            if step is None:
                continue
            losses[k, step + 1 :] = np.nan
            for table in (*metrics.values(), *validation.values()):
                # The column is the epoch (or the evaluation) that contains the step.
                table[k, step * table.shape[1] // steps :] = np.nan
        return replace(self, losses=losses, metrics=metrics, validation=validation)
