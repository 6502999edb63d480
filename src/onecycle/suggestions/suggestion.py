"""What a rule suggests, and the type of a rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Suggestion:
    """A suggested learning rate, or None, with the reason.

    Attributes:
        learning_rate: The learning rate, > 0, or None if the losses do not support any.
        reason: One or two sentences: where the rate comes from, or what to change to get one.
        seen_at: Learning rate on the curve that the suggestion is derived from (the blow-up, the minimum), or None.
    """

    learning_rate: float | None
    reason: str
    seen_at: float | None = None


Rule = Callable[[ArrayLike, ArrayLike], Suggestion]
