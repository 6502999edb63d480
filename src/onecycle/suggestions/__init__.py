"""Rules that suggest a learning rate from measured losses. They need NumPy only."""

from onecycle.suggestions.averaged_rules import slide, valley
from onecycle.suggestions.divergence import DivergenceRule, StopReason
from onecycle.suggestions.rules import (
    BLOW_UP_DIVISOR,
    DEFAULT_RULE,
    MINIMUM_DIVISOR,
    ONE_CYCLE_DIVISOR,
    ONE_CYCLE_DIVISORS,
    RULES,
    blow_up,
    find_rule,
    minimum,
    one_cycle,
    one_cycle_divisor,
    steepest,
    trained_model,
)
from onecycle.suggestions.suggestion import Rule, Suggestion

__all__ = [
    "BLOW_UP_DIVISOR",
    "DEFAULT_RULE",
    "MINIMUM_DIVISOR",
    "ONE_CYCLE_DIVISOR",
    "ONE_CYCLE_DIVISORS",
    "RULES",
    "DivergenceRule",
    "Rule",
    "StopReason",
    "Suggestion",
    "blow_up",
    "find_rule",
    "minimum",
    "one_cycle",
    "one_cycle_divisor",
    "slide",
    "steepest",
    "trained_model",
    "valley",
]
