"""The division of the training steps of a sweep among its parts."""

from __future__ import annotations

# Part of the budget, and limits: fewer steps are not enough, and `find_learning_rate` takes no more by default.
RANGE_TEST_SHARE, RANGE_TEST_STEPS = 0.35, (20, 300)
FACTORS = (0.5, 1.0, 2.0, 4.0)  # times the suggestion of the range test; the best peaks were 0.4 to 5 times as high
# If the range test suggests nothing, this part of the rest goes to shorter runs, from the highest rate downwards.
SEARCH_SHARE, SEARCH_RUNS, SEARCH_RATIO = 0.35, 5, 10**0.5
MIN_STEPS_PER_RUN = 5  # in a shorter run, the schedule would have no shape


class SweepBudget:
    """The training steps of a sweep, divided among its parts.

    Args:
        total_steps: Steps of the full run for which the peak is sought.
        budget: Steps of the sweep as a fraction of those, above 0.

    Attributes:
        total_steps: As given.
        sweep_steps: Steps of the whole sweep.
        range_test_steps: Steps of the range test.
        search_steps: Steps of each run of the search that follows a range test without a suggestion.

    Raises:
        ValueError: If the budget is too small for a sweep.
    """

    def __init__(self, total_steps: int, budget: float) -> None:
        self.total_steps, self.sweep_steps = total_steps, int(budget * total_steps)
        low, high = RANGE_TEST_STEPS
        self.range_test_steps = min(max(round(RANGE_TEST_SHARE * self.sweep_steps), low), high)
        self.search_steps = int(SEARCH_SHARE * (self.sweep_steps - self.range_test_steps) / SEARCH_RUNS)
        if self.search_steps < MIN_STEPS_PER_RUN:
            runs = MIN_STEPS_PER_RUN * SEARCH_RUNS / SEARCH_SHARE
            needed = max(low + runs, runs / (1 - RANGE_TEST_SHARE))
            raise ValueError(
                f"Argument `budget` allows {self.sweep_steps} of the {total_steps} steps of the full run, and a sweep "
                f"needs {int(needed) + 1}. Pass a larger `budget`, or use a range test, `find_learning_rate`, for a "
                f"run this short. Received: budget={budget:g}"
            )

    def steps_per_run(self, spent: int) -> int:
        """Return the steps of each run, which leave room for one run more than `FACTORS` has.

        Args:
            spent: Steps already spent on the search.
        """
        return max(self.search_steps, (self.sweep_steps - self.range_test_steps - spent) // (len(FACTORS) + 1))


def longest_share(epochs: int, budget: float) -> float:
    """Return the part of an epoch, at most 1, that the longest run of a sweep reads.

    Args:
        epochs: Epochs of the full run.
        budget: Steps of the sweep as a fraction of those of the full run.
    """
    return float(min(1.0, budget * epochs / (len(FACTORS) + 1)))
