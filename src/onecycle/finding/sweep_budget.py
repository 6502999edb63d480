"""The division of the training steps of a sweep among its parts."""

from __future__ import annotations

import math

# Part of the budget, and limits in updates: fewer are not enough, and `find_learning_rate` takes no more by default.
RANGE_TEST_SHARE, RANGE_TEST_STEPS = 0.35, (20, 300)
FACTORS = (0.5, 1.0, 2.0, 4.0)  # times the suggestion of the range test; the best peaks were 0.4 to 5 times as high
# If the range test suggests nothing, this part of the rest goes to shorter runs, from the highest rate downwards.
SEARCH_SHARE, SEARCH_RUNS, SEARCH_RATIO = 0.35, 5, 10**0.5
MIN_STEPS_PER_RUN = 5  # in updates; in a shorter run, the schedule would have no shape


class SweepTooShortError(ValueError):
    """The training is too short for a sweep.

    Args:
        total_steps: Steps of the full run.
        budget: Steps of the sweep as a fraction of those.
        needed: Steps that a sweep needs.

    Attributes:
        total_steps: As given.
        needed_steps: Steps that the full run would have to have with this budget.
    """

    def __init__(self, total_steps: int, budget: float, needed: int) -> None:
        super().__init__(
            f"Argument `budget` allows {int(budget * total_steps)} of the {total_steps} steps of the full run, and a "
            f"sweep needs {needed}. Pass a larger `budget`, or use a range test, `find_learning_rate`, for a run this "
            f"short. Received: budget={budget:g}"
        )
        self.total_steps, self.needed_steps = total_steps, math.ceil(needed / budget)


class SweepBudget:
    """The training steps of a sweep, divided among its parts.

    Args:
        total_steps: Steps of the full run for which the peak is sought.
        budget: Steps of the sweep as a fraction of those, above 0.
        steps_per_update: Steps that gradient accumulation takes for one update of the weights. Each part of the sweep
            has whole updates.

    Attributes:
        total_steps: As given.
        steps_per_update: As given.
        sweep_steps: Steps of the whole sweep.
        range_test_steps: Steps of the range test.
        search_steps: Steps of each run of the search that follows a range test without a suggestion.

    Raises:
        SweepTooShortError: If the budget is too small for a sweep.
    """

    def __init__(self, total_steps: int, budget: float, steps_per_update: int = 1) -> None:
        self.total_steps, self.sweep_steps = total_steps, int(budget * total_steps)
        self.steps_per_update = steps_per_update
        low, high = RANGE_TEST_STEPS
        # The limits hold for updates, since a schedule shows only in these.
        updates = self.sweep_steps // steps_per_update
        range_test = min(max(round(RANGE_TEST_SHARE * updates), low), high)
        search = int(SEARCH_SHARE * (updates - range_test) / SEARCH_RUNS)
        self.range_test_steps, self.search_steps = range_test * steps_per_update, search * steps_per_update
        if search < MIN_STEPS_PER_RUN:
            runs = MIN_STEPS_PER_RUN * SEARCH_RUNS / SEARCH_SHARE
            needed = max(low + runs, runs / (1 - RANGE_TEST_SHARE))
            raise SweepTooShortError(total_steps, budget, (int(needed) + 1) * steps_per_update)

    def steps_per_run(self, spent: int) -> int:
        """Return the steps of each run, which leave room for one run more than `FACTORS` has.

        Args:
            spent: Steps already spent on the search.
        """
        steps = (self.sweep_steps - self.range_test_steps - spent) // (len(FACTORS) + 1)
        return max(self.search_steps, steps // self.steps_per_update * self.steps_per_update)


def epochs_of_longest_run(epochs: int, budget: float) -> float:
    """Return the length of the longest runs of a sweep, in epochs of the full run.

    Args:
        epochs: Epochs of the full run.
        budget: Steps of the sweep as a fraction of those of the full run.
    """
    return budget * epochs / (len(FACTORS) + 1)
