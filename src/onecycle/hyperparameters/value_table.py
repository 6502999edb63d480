"""The curves of one optimizer read together from a constant table: in a small net's step each operation costs.

A rate and a momentum computed from their formulas are some 20 operations; from a table they are five, and on the host,
where PyTorch runs its steps, one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onecycle.keras_support import backends

_LONGEST = 2**17  # steps; a rate and a momentum take 1 MiB


@dataclass(frozen=True)
class Lookup:
    """The values of several schedules that begin at the same step.

    Attributes:
        names: What each column is.
        table: (n, columns) a row for each step from `start_step` on; the last row is held.
        start_step: The step of the first row, held before.
    """

    names: tuple[str, ...]
    table: NDArray[np.floating]
    start_step: int

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> Lookup | None:
        """The table of all curves in a plan that end; None where there are none, or where it would be too long."""
        curves = {name: value for name, value in plan.items() if getattr(value, "phases", ())}
        starts = {curve.start_step for curve in curves.values()}
        # A row more than the steps of the curve: some hold another value afterwards than they end with.
        length = max((curve.total_steps for curve in curves.values()), default=0) + 1
        if len(starts) != 1 or length > _LONGEST:
            return None
        columns = [curve.shifted(0).values(length) for curve in curves.values()]
        precision = "float64" if backends.evaluates_on_host() else "float32"
        return cls(tuple(curves), np.stack(columns, axis=1).astype(precision), starts.pop())

    def at(self, step: Any) -> dict[str, Any]:
        """The values at a step by name: floats for a Python int, else scalar tensors."""
        if isinstance(step, int):
            row = self.table[min(max(step - self.start_step, 0), len(self.table) - 1)].tolist()
        else:
            row = backends.row_of_table(self.table, step, first=self.start_step)
        return dict(zip(self.names, row, strict=True))
