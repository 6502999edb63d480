"""The schedules of one optimizer, read together from a constant table.

In the training step of a small network, every operation takes noticeable time. A learning rate and a momentum computed
from their formulas take about 20 operations. From a table they take five, and one on the host, where PyTorch runs its
steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

from onecycle.hyperparameters.evaluation import NumberOrSchedule
from onecycle.keras_support import backends
from onecycle.schedules.base import Schedule

if TYPE_CHECKING:
    from onecycle.keras_support.types import Step, StepValue

_MAX_ROWS = 2**17  # a learning rate and a momentum then take 1 MiB


@dataclass(frozen=True)
class ValueTable:
    """The values of several schedules that begin at the same step.

    Attributes:
        names: (columns,) name of the hyperparameter in each column.
        table: (n, columns) one row per step from `start_step` on. Later steps have the last row.
        start_step: The step of the first row, which earlier steps have too.
    """

    names: tuple[str, ...]
    table: NDArray[np.floating]
    start_step: int

    @classmethod
    def of(cls, plan: Mapping[str, NumberOrSchedule]) -> ValueTable | None:
        """Return the table of the schedules in a plan that are made of phases.

        Args:
            plan: Name -> a number or a schedule.

        Returns:
            None if there is no such schedule, if they begin at different steps, or if the table would be too long.
        """
        schedules = {name: value for name, value in plan.items() if isinstance(value, Schedule) and value.phases}
        starts = {schedule.start_step for schedule in schedules.values()}
        # One row more than there are steps, since some schedules have another value after their last step.
        rows = max((schedule.total_steps for schedule in schedules.values()), default=0) + 1
        if len(starts) != 1 or rows > _MAX_ROWS:
            return None
        columns = [schedule.shifted(0).values(rows) for schedule in schedules.values()]
        # Keras computes in float32 in the graph, unless the user wants float64; on the host, float64 costs nothing.
        precise = backends.runs_eagerly() or keras.config.floatx() == "float64"
        precision = "float64" if precise else "float32"
        return cls(tuple(schedules), np.stack(columns, axis=1).astype(precision), starts.pop())

    def at(self, step: Step) -> dict[str, StepValue]:
        """Return the values at a step by name: floats for a Python integer, otherwise scalar tensors."""
        if isinstance(step, int):
            row = self.table[min(max(step - self.start_step, 0), len(self.table) - 1)].tolist()
        else:
            row = backends.table_row(self.table, step, first=self.start_step)
        return dict(zip(self.names, row, strict=True))
