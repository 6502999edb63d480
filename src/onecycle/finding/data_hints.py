"""What a range test noticed about the data: bad values in a batch, and batches in the order of their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from onecycle.finding.data_order import Order, order_of_batches
from onecycle.finding.ramp import FinishedRamp
from onecycle.keras_support.batch_facts import BatchFacts
from onecycle.keras_support.data_faults import DataFault
from onecycle.results.range_test import RangeTest
from onecycle.suggestions.suggestion import Suggestion

REMEDY = (
    "Shuffle the data set before training (in `tf.data`: `dataset.shuffle(buffer_size)` before `batch`; in a "
    "`DataLoader`: `shuffle=True`), since the learning rate depends on it."
)


def bad_batch_hint(run: FinishedRamp) -> str | None:
    """Return a sentence on the loss that is not finite, if the data or the start of the test is its cause."""
    losses, facts = run.losses, run.facts
    bad = np.flatnonzero(~np.isfinite(losses))
    if not len(bad):
        return None
    step = int(bad[0])
    named = _bad_arguments(facts, len(losses), step)
    if named:
        cause = f"{' and '.join(f'`{name}`' for name in named)} of this batch held NaN or infinite values"
    elif step == 0:
        cause = "the learning rate cannot be the cause: check the weights of the model and its loss"
    else:
        return None
    return (
        f"The loss of batch {step + 1} of {len(losses)} was NaN or infinite, and {cause}. One such batch makes all "
        "weights NaN. Remove or replace these values, for example with `np.nan_to_num`."
    )


def _bad_arguments(facts: BatchFacts | None, losses: int, step: int) -> list[str]:
    """Return the arguments that held NaN or infinite values in the batch, or micro-batches, of one of the losses."""
    if facts is None:
        return []
    per_loss = max(1, len(facts.rows) // losses)
    batches = slice(step * per_loss, (step + 1) * per_loss)
    return [name for name, counts in facts.bad_values.items() if counts[batches].any()]


def zero_weights_hint(facts: BatchFacts | None) -> str | None:
    """Return a sentence on sample weights that were all zero, or None."""
    if facts is None or not len(facts.weights) or np.any(facts.weights != 0):
        return None
    return (
        f"All sample weights of the {len(facts.weights)} batches were zero, so the loss does not depend on the data. "
        "Pass weights above 0."
    )


def noticed_order(facts: BatchFacts | None) -> Order | None:
    """Return how the targets of the batches differ, or None if they look shuffled."""
    if facts is None:
        return None
    orders = [
        order_of_batches(means, variances, facts.rows)
        for means, variances in zip(facts.means.T, facts.variances.T, strict=True)
    ]
    # A single constant target, as a model with a custom loss may have, shows no order.
    found = [order for order in (Order.SORTED, Order.PURE) if order in orders]
    return found[0] if found else Order.CONSTANT if orders and set(orders) == {Order.CONSTANT} else None


def with_hints(result: RangeTest, runs: Sequence[FinishedRamp], order: Order | None = None) -> RangeTest:
    """Return the result with hints on the batches of its runs. Losses cut short by bad data suggest nothing.

    Args:
        result: The result of the runs.
        runs: The runs.
        order: How the batches differ in their targets.
    """
    spoiled = next(filter(None, (*map(bad_batch_hint, runs), zero_weights_hint(runs[0].facts))), None)
    hints = [*result.hints, *filter(None, (spoiled, _order_hint(order)))]
    suggestions = result.suggestions
    if spoiled:
        suggestions = dict.fromkeys(suggestions, Suggestion(None, spoiled))
    return replace(result, hints=tuple(hints), suggestions=suggestions)


def _order_hint(order: Order | None) -> str | None:
    """Return the order and its remedy; None where the targets look shuffled or are only known to be constant."""
    return None if order in (None, Order.CONSTANT) else f"{order.value} {REMEDY}"


def require_good_first_batch(result: RangeTest, runs: Sequence[FinishedRamp]) -> None:
    """Raise a `DataFault` if the very first batch held NaN or infinite values, or all weights were zero.

    Args:
        result: The result with its hints.
        runs: Its runs.
    """
    facts = runs[0].facts
    if facts is None or not len(runs[0].losses):
        return
    losses = runs[0].losses
    bad = not np.isfinite(losses[0]) and _bad_arguments(facts, len(losses), 0)
    if bad or zero_weights_hint(facts):
        raise DataFault(" ".join(result.hints))
