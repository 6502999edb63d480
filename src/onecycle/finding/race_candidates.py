"""The peaks with which a race begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from onecycle.finding.race_data import RaceData
from onecycle.finding.race_standing import RATIO
from onecycle.finding.range_test import find_learning_rate
from onecycle.hyperparameters.layer_rates import LayerRates
from onecycle.hyperparameters.optimizer_traits import HIGHEST_NORMALIZED_PEAK, normalizes_gradients
from onecycle.keras_support.optimizers import steps_per_update
from onecycle.results.range_test import RangeTest
from onecycle.suggestions import one_cycle_divisor
from onecycle.suggestions.arguments import check_integer, check_learning_rate, described

RANGE_TEST_UPDATES, MIN_RANGE_TEST_UPDATES = 100, 20
LONGER_UPDATES, LARGEST_SHARE = 300, 0.2  # of a second test if the first saw no limit, and of a run
WIDE_CANDIDATES = 4  # up to which they may be two steps of `RATIO` apart
MAX_CANDIDATES = 8
DOWNWARD_RATIO = 10.0  # of neighboring candidates if no blow-up was seen: the best rate may be far below the highest

Candidates = int | Sequence[float]


@dataclass(frozen=True)
class RaceStart:
    """The candidates with which a race begins.

    Attributes:
        learning_rates: Their peaks, from low to high.
        range_test: The test that they follow from, or None if they were given.
        note: A sentence on them, or "".
        spent_before: Training steps of an earlier range test that suggested nothing.
    """

    learning_rates: tuple[float, ...]
    range_test: RangeTest | None
    note: str = ""
    spent_before: int = 0

    @property
    def steps_spent(self) -> int:
        """Training steps of the range tests."""
        return self.spent_before + (0 if self.range_test is None else self.range_test.training_steps or 0)


def checked_candidates(candidates: object) -> int | tuple[float, ...]:
    """Return the argument `candidates`: how many, or the peaks themselves from low to high.

    Raises:
        TypeError, ValueError: For anything else, or fewer than two.
    """
    if isinstance(candidates, np.ndarray):
        candidates = candidates.tolist()
    if isinstance(candidates, Sequence) and not isinstance(candidates, str):
        rates = tuple(sorted({check_learning_rate("candidates", rate) for rate in candidates}))
        if len(rates) < 2:
            raise ValueError(
                "Argument `candidates` must be at least two different learning rates; with one, call `fit_one_cycle`. "
                f"Received: candidates={described(candidates)}"
            )
        return rates
    return check_integer("candidates", candidates, minimum=2, maximum=MAX_CANDIDATES)


def start_of_race(
    model: keras.Model,
    candidates: int | tuple[float, ...],
    data: RaceData,
    *,
    total_steps: int,
    batch_size: int | None,
    class_weight: dict[int, float] | None,
    seed: int | None,
    wide: bool = True,
    layer_rates: LayerRates | None = None,
) -> RaceStart:
    """Return the candidates: the given ones, or those around what a range test suggests.

    Args:
        model: The compiled model, which is left unchanged.
        candidates: How many, or the peaks themselves.
        data: The data of the race.
        total_steps: Steps of one run.
        batch_size: As in `fit`.
        class_weight: As in `fit`.
        seed: Seed of the range test.
        wide: Whether they are far apart.
        layer_rates: The rates of layers, or None.
    """
    if not isinstance(candidates, int):
        return RaceStart(candidates, None)
    updates = total_steps // steps_per_update(model.optimizer)

    def tested(num_steps: int) -> RangeTest:
        return find_learning_rate(
            model, data.x, data.y, batch_size=batch_size, sample_weight=data.sample_weight, class_weight=class_weight,
            num_steps=num_steps, layer_rates=layer_rates, seed=seed, verbose=0, plot=False,
        )  # fmt: skip

    test = tested(min(RANGE_TEST_UPDATES, max(MIN_RANGE_TEST_UPDATES, updates // 2)))
    highest = HIGHEST_NORMALIZED_PEAK if normalizes_gradients(model.optimizer) else math.inf
    if _center(test) is not None or updates * LARGEST_SHARE < LONGER_UPDATES:
        return candidates_around(test, candidates, wide=wide, highest=highest)
    start = candidates_around(tested(LONGER_UPDATES), candidates, wide=wide, highest=highest)
    return replace(start, spent_before=test.training_steps or 0)


def candidates_around(test: RangeTest, candidates: int, *, wide: bool = True, highest: float = math.inf) -> RaceStart:
    """Return the candidates around what a range test suggests, or as far below the blow-up if it suggests nothing.

    If it saw no blow-up, they go down from the highest rate.

    Args:
        test: The range test.
        candidates: How many.
        wide: Whether they are far apart.
        highest: Peak above which they do not begin to go down.
    """
    center = _center(test)
    if center is not None:
        note = ""
        if test.suggestion.learning_rate is None:
            note = f"The range test is not conclusive, so the candidates lie around {center:.3g}, below its blow-up."
        return RaceStart(tuple(center * factor for factor in _factors(candidates, wide)), test, note)
    highest = min(float(test.learning_rates[-1]), highest)
    rates = tuple(sorted(highest / DOWNWARD_RATIO**k for k in range(candidates)))
    note = f"The range test suggests no learning rate, so the candidates go down from {highest:.3g}."
    return RaceStart(rates, test, note)


def _center(test: RangeTest) -> float | None:
    """Return what a range test suggests, or what it would if its loss had fallen; None if it saw no blow-up."""
    suggested, seen = test.suggestion.learning_rate, test.suggestions["one_cycle"].seen_at
    if suggested is not None or seen is None:
        return suggested
    step = int(np.argmin(np.abs(np.log(test.learning_rates / seen))))
    return seen / one_cycle_divisor(test.learning_rates, max(step, 1))


def _factors(candidates: int, wide: bool) -> tuple[float, ...]:
    """Return the candidates as multiples of what the range test suggests, from low to high."""
    # The suggestion may be off by a hundred times. The gaps are filled next to the best candidate.
    ratio = RATIO**2 if wide and candidates <= WIDE_CANDIDATES else RATIO
    return tuple(ratio ** (k - (candidates - 1) / 2) for k in range(candidates))
